"""What is looked at again: control groups, containers that ended, and single look-ups."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from ds01ctl.observe import containers, engine_json
from ds01ctl.observe.engine_api import EngineError
from ds01ctl.paths import Paths
from tests.observe.stub_engine import ID, LIST, entry, inspect_of, read, world

if TYPE_CHECKING:
    from pathlib import Path

    from tests.observe.stub_engine import StubEngine


# --- the container's own control group --------------------------------------------------------

SCOPE = f"/ds01.slice/docker-{ID(1)}.scope"
LIBPOD = f"/machine.slice/libpod-{ID(1)}.scope"


@pytest.mark.parametrize(
    ("of_first_process", "expected"),
    [
        (SCOPE, SCOPE),
        (f"{SCOPE}/init", SCOPE),
        (f"{SCOPE}/init.scope", SCOPE),
        (f"{LIBPOD}/container", LIBPOD),
        (f"/docker/{ID(1)}/docker/{ID(2)}", f"/docker/{ID(1)}"),
        (f"{SCOPE}/docker-{ID(1)}.scope/x", SCOPE),
        ("/system.slice/cron.service", None),
    ],
)
def test_own_cgroup(
    stub: StubEngine, tmp_path: Path, of_first_process: str, expected: str | None
) -> None:
    """Docker in docker, systemd and podman put the first process into a group below it."""
    paths = world(tmp_path, {71: of_first_process})
    stub.containers(entry(1, state="running", Pid=71))
    (container,) = read(stub.host, paths=paths).containers
    assert container.cgroup == expected
    found = containers.find(stub.host, ID(1), paths=paths)
    assert found
    assert found.cgroup == expected


# --- containers that ended --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("Exited (0) Less than a second ago", (1, 1)),
        ("Exited (137) 5 seconds ago", (5, 1)),
        ("Exited (0) About a minute ago", (60, 60)),
        ("Exited (0) 47 hours ago", (47 * 3600, 3600)),
        ("Exited (-1) About an hour ago", (3600, 3600)),
        ("Exited (0) 13 days ago", (13 * 86400, 86400)),
        ("Exited (0) 3 weeks ago", (21 * 86400, 7 * 86400)),
        ("Exited (0) 23 months ago", (690 * 86400, 30 * 86400)),
        ("Exited (0) 2 years ago", (730 * 86400, 365 * 86400)),
        ("Created", None),
        ("Up 3 hours (unhealthy)", None),
        ("Exited (0) \u0663 hours ago", None),
        ("", None),
        (None, None),
    ],
)
def test_ended_ago(status: Any, expected: tuple[int, int] | None) -> None:
    assert engine_json.ended_ago({"Status": status}) == expected


def put(stub: StubEngine, ago: timedelta, status: str) -> datetime:
    """Let a container have ended; the list says it in words of its own. Gives the end."""
    listed = entry(1, state="exited", Status=status)
    answer = inspect_of(listed)
    finished_at = datetime.now(timezone.utc) - ago
    answer["State"]["FinishedAt"] = finished_at.isoformat()
    stub.containers(listed)
    stub.answer(f"/containers/{ID(1)}/json", answer)
    return finished_at


@pytest.mark.parametrize(
    ("known_ago", "status", "inspects"),
    [
        (timedelta(minutes=5), "Exited (0) 5 minutes ago", 0),
        (timedelta(minutes=5, seconds=58), "Exited (0) 5 minutes ago", 0),
        (timedelta(seconds=9), "Exited (0) 3 seconds ago", 0),
        (timedelta(hours=28, minutes=29), "Exited (0) 28 hours ago", 0),
        (timedelta(days=13, hours=20), "Exited (0) 13 days ago", 0),
        (timedelta(days=59), "Exited (0) 8 weeks ago", 0),
        (timedelta(days=700), "Exited (0) 23 months ago", 0),
        (timedelta(days=1000), "Exited (0) 2 years ago", 0),
        # it says what nobody can read: what was known is kept
        (timedelta(days=5), "Exited", 0),
        # it ran, and ended again, between two looks
        (timedelta(minutes=5), "Exited (0) 3 seconds ago", 1),
        (timedelta(hours=20), "Exited (0) 2 hours ago", 1),
        (timedelta(days=9), "Exited (0) Less than a second ago", 1),
    ],
)
def test_an_end_that_the_list_contradicts_is_looked_at_again(
    stub: StubEngine, known_ago: timedelta, status: str, inspects: int
) -> None:
    put(stub, known_ago, status)
    first = read(stub.host)
    stub.asked.clear()
    read(stub.host, known=first.facts)
    assert stub.count(ID(1)) == inspects


def test_what_is_looked_at_again_is_then_known(stub: StubEngine) -> None:
    put(stub, timedelta(hours=5), "Exited (0) 5 hours ago")
    first = read(stub.host)
    finished_at = put(stub, timedelta(minutes=2), "Exited (0) 2 minutes ago")
    second = read(stub.host, known=first.facts)
    assert second.containers[0].finished_at == finished_at
    stub.asked.clear()
    read(stub.host, known=second.facts)
    assert stub.asked == [LIST]


# --- one more look ----------------------------------------------------------------------------


@pytest.mark.parametrize(("deadline_s", "until_s"), [(0.3, float("inf")), (30, 0.3), (30, -5)])
def test_look_ups_may_share_a_deadline(stub: StubEngine, deadline_s: float, until_s: float) -> None:
    stub.containers(entry(1))
    stub.delay_s = 5
    started = time.monotonic()
    until = started + until_s
    with pytest.raises(EngineError, match=r"no answer in time \(docker.timeout_s\)"):
        containers.find(stub.host, ID(1), deadline_s=deadline_s, deadline=until, paths=Paths())
    assert time.monotonic() - started < 2
