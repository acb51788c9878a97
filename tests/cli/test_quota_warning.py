"""Whom `quota` warns, on real terminals, and what it remembers where nobody was reached."""

from __future__ import annotations

import os
import pty
import select
import socket
import threading
import time
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ds01ctl.commands import (
    enforce_memory,
    gathering,
    quota_memory,
    quota_recording,
    quota_warning,
)
from ds01ctl.commands.quota_looking import Look, Reading
from ds01ctl.commands.quota_recording import Ran
from ds01ctl.commands.quota_running import Done
from ds01ctl.core import quota
from ds01ctl.core.disk_quota import Accounting, DiskQuota, Limits, QuotaFileSystem
from ds01ctl.core.held import Held
from ds01ctl.core.people import Roll
from ds01ctl.core.plan import Result
from ds01ctl.core.quota_model import Change, Place, Plan, World
from ds01ctl.core.quota_uses import of_held
from ds01ctl.core.quota_warnings import Warned
from ds01ctl.observe.users import UsersReading
from ds01ctl.paths import Paths
from ds01ctl.report.quota_text import apply_lines
from ds01ctl.state import State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ds01ctl.commands.quota_events import Told
    from ds01ctl.core.quota_warnings import Key

ME = os.geteuid()
ALICE = 1001
NOON = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)
MIB = 1 << 20
LIMITS = Limits(40 * MIB, 44 * MIB)
ON = Accounting(True, True, None, 604_800, 604_800)
KEY: Key = ("disk-bytes", "/home", "user", str(ALICE))
POLICY = """\
quota:
  projects:
    vision: {path: /scratch/vision, owner: bob, soft: 1G}
    speech: {path: /scratch/speech, soft: 1G}
"""


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """A root with the machine's terminals, a policy, and nobody who is logged in."""
    for name in ("run/systemd/sessions", "etc/ds01", "var/log/ds01"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("dev", "proc"):
        (tmp_path / name).symlink_to(f"/{name}")
    (tmp_path / "var/lib/prometheus/node-exporter").mkdir(parents=True)
    (tmp_path / "etc/ds01/resource-limits.yaml").write_text(POLICY)
    return Paths(tmp_path)


def reading(
    paths: Paths,
    used_mib: float = 38,
    *,
    users: dict[int, str] | None = None,
    accounting: Accounting = ON,
    records: tuple[DiskQuota, ...] | None = None,
    projects: dict[int, str] | None = None,
    hours: float = 0,
    **more: Any,
) -> Reading:
    """What the kernel tells of alice, whose terminals are those of whoever runs the tests."""
    users = {ALICE: "alice"} if users is None else users
    found = (DiskQuota(ALICE, int(used_mib * MIB), 1, LIMITS),) if records is None else records
    trees = tuple(DiskQuota(number, 38 * MIB, 1, LIMITS) for number in projects or {})
    home = QuotaFileSystem("/home", "/dev/sda1", "xfs", ("/home",),
                           {"user": accounting, "project": accounting},
                           {"user": found, "project": trees})  # fmt: skip
    uids = {login: ME if login == "alice" else uid for uid, login in users.items()}
    told: dict[str, Any] = {"owners": {}, "trees": {}, "projects_known": True} | more
    return Reading(
        taken_at=NOON + timedelta(hours=hours),
        policy=gathering.load_policy(paths, None).policy,
        file_systems=(home,),
        users=UsersReading(users, uids, {}, (), gone=told.pop("gone", frozenset()),
                           groups={"ds01-admin": told.pop("admins", frozenset())}),
        projects=projects or {},
        memory=quota_memory.recall(paths),
        gaps=(),
        **told,
    )  # fmt: skip


@contextmanager
def logged_in(paths: Paths) -> Iterator[int]:
    """Log alice in, on a terminal as sshd makes one; gives its other end."""
    master, slave = pty.openpty()
    os.fchmod(slave, 0o620)
    name = os.ttyname(slave).removeprefix("/dev/")
    session = paths.under("/run/systemd/sessions/1")
    session.write_text(f"UID={ME}\nUSER=alice\nSTATE=active\nCLASS=user\nTTY={name}\n")
    yield master
    session.unlink()
    os.close(master)
    os.close(slave)


def shown(master: int) -> str:
    found = b""
    while select.select([master], [], [], 0.05)[0]:
        found += os.read(master, 65536)
    return found.decode()


def warn(seen: Reading, paths: Paths) -> tuple[Told, ...]:
    told, gaps = quota_warning.warn(quota_warning.uses_of(seen, paths, None), seen, paths)
    assert gaps == ()
    return told


def lines(told: tuple[Told, ...]) -> list[str]:
    """Say it as `apply` prints it."""
    rows = [one.row() for one in told if one.is_news or one.outcome == "warned"]
    data = {"warned": rows, "examined": {"users": 0, "limits": 0, "file_systems": 0}}
    return apply_lines(Result("quota apply", "gpu01", NOON, (), (), (), data))[:-1]


def test_who_logs_in_later_is_told_then(paths: Paths) -> None:
    """Once; an admin reads once that it could not be told, and the event is written once."""
    amount = "alice: 38 MiB of 40 MiB of disk space on /home (95 %)"
    first = warn(reading(paths), paths)
    assert lines(first) == [f"could not tell {amount} (not logged in on a terminal)"]
    assert [one.is_news for one in first] == [True]
    assert quota_memory.recall(paths).warned == {KEY: Warned(90, NOON, told=False)}
    second = warn(reading(paths, hours=1), paths)
    assert (lines(second), [one.is_news for one in second]) == ([], [False])
    with logged_in(paths) as master:
        third = warn(reading(paths, hours=2), paths)
        assert (lines(third), [one.is_news for one in third]) == ([f"warned {amount}"], [False])
        assert "You use 38 MiB of 40 MiB of your disk space on /home (95 %)." in shown(master)
        assert warn(reading(paths, hours=3), paths) == ()
        assert shown(master) == ""
    assert quota_memory.recall(paths).warned == {KEY: Warned(90, NOON + timedelta(hours=2))}


def test_who_leaves_the_threshold_is_told_nothing(paths: Paths) -> None:
    warn(reading(paths), paths)
    with logged_in(paths) as master:
        assert warn(reading(paths, 10, hours=1), paths) == ()
        assert shown(master) == ""
    assert quota_memory.recall(paths).warned == {}


def test_a_memory_of_before(paths: Paths) -> None:
    """A row that says nothing of it was told."""
    with State.open_for_recording(paths) as state, state.transaction():
        row = f'{{"level": 90, "at": "{NOON.isoformat()}"}}'
        state.replace_inventory(
            quota_memory.WARNED, {f'["{KEY[0]}", "/home", "user", "1001"]': row}
        )
    assert quota_memory.recall(paths).warned == {KEY: Warned(90, NOON)}


def test_holding_what_one_may_is_noted(paths: Paths) -> None:
    """It reaches no terminal, and is not printed as if; above the limit he is told."""

    def at(used: float, hours: int) -> tuple[Told, ...]:
        rows = (Held("alice", "containers", used, 3, None, (), ()),)
        seen = reading(paths, 1, hours=hours)
        uses = quota_warning.Uses(tuple(of_held(rows)), frozenset(), rows)
        return quota_warning.warn(uses, seen, paths)[0]

    with logged_in(paths) as master:
        assert lines(at(3, 0)) == ["noted alice: 3 of 3 of containers (100 %)"]
        assert lines(at(3, 1)) == []
        assert shown(master) == ""
        assert lines(at(4, 2)) == ["warned alice: 4 of 3 of containers (133 %)"]
        assert "You use 4 of 3 of your containers" in shown(master)
        assert lines(at(4, 3)) == []


@pytest.mark.parametrize(
    ("read", "is_unknown"),
    [
        # the directory is down; and: it says that nobody has the uid
        ({"users": {}}, True),
        ({"users": {}, "gone": frozenset({ALICE})}, False),
        # not every id could be read; and: every one, and she uses nothing
        ({"records": (), "accounting": ON._replace(is_complete=False)}, True),
        ({"records": ()}, False),
        # what was read is so, though others were not
        ({"used_mib": 10, "accounting": ON._replace(is_complete=False)}, False),
        # she has no limit any more
        ({"records": (DiskQuota(ALICE, 38 * MIB, 1),)}, False),
    ],
)
def test_what_was_not_read_is_not_warned_of_anew(
    paths: Paths, read: dict[str, Any], is_unknown: bool
) -> None:
    """A warning that was given is neither forgotten nor given again by an outage."""
    with logged_in(paths) as master:
        assert len(warn(reading(paths), paths)) == 1
        assert warn(reading(paths, hours=1, **read), paths) == ()
        shown(master)
        again = warn(reading(paths, hours=2), paths)
        assert ([one.outcome for one in again], bool(shown(master))) == (
            ([], False) if is_unknown else (["warned"], True)
        )


@pytest.mark.parametrize(
    ("name", "owners", "login"),
    [
        ("vision", {"vision": "carl"}, "bob"),
        ("speech", {"speech": "carl"}, "carl"),
        ("theirs", {}, None),
        ("volumes-alice", {}, "alice"),
        (f"volumes-uid-{ALICE}", {}, "alice"),
        ("volumes-uid-7", {}, None),
    ],
)
def test_whom_to_tell_of_a_project(
    paths: Paths, name: str, owners: dict[str, str], login: str | None
) -> None:
    """The owner that the policy names, else that of the registry."""
    seen = reading(paths, projects={2_000_000: name}, owners=owners)
    assert quota_warning.told_login(Place("/home", "project", 2_000_000), seen) == login


@pytest.mark.parametrize(
    ("projects", "known", "is_unknown"),
    [({7: "volumes-uid-7"}, True, True), ({7: "theirs"}, True, False), ({}, False, True)],
)
def test_a_project_whose_owner_is_not_known_now(
    paths: Paths, projects: dict[int, str], known: bool, is_unknown: bool
) -> None:
    key: Key = ("disk-bytes", "/home", "project", "7")
    with State.open_for_recording(paths) as state, state.transaction():
        quota_memory.remember_warned(state, {key: Warned(90, NOON)})
    seen = reading(paths, projects=projects or {7: "x"}, projects_known=known)
    seen = seen if projects else seen._replace(projects={})
    records = quota.records_of(seen.file_systems)
    assert (key in quota_warning.unknown_of(seen, records, ())) == is_unknown


@contextmanager
def engine(path: Path, asked: list[str], log: Path) -> Iterator[None]:
    """Play an engine that, when it is asked, looks at what the log has, and hangs up."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def serve() -> None:
            while True:
                try:
                    one, _ = listening.accept()
                except OSError:
                    return
                asked.append(log.read_text() if log.exists() else "")
                one.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def test_what_is_written_and_when(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was set is in the log before the long look at containers; then come the warnings.

    Who is an admin is remembered, too, as `enforce` may not run.
    """
    log, asked = paths.under("/var/log/ds01/events.jsonl"), list[str]()
    host = tmp_path / "engine.sock"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{host}")
    place = Place("/home", "user", ALICE)
    change = Change(place, "/dev/sda1", "alice", Limits(), LIMITS, "as asked", "set", LIMITS)
    seen = reading(paths, admins=frozenset({"carol"}))
    look = Look(seen, World(seen.file_systems, Roll((), ()), ()), Plan((change,)))
    with State.open_for_recording(paths) as state, state.transaction():
        enforce_memory.remember_admins(state, ["old"], gathering.utcnow() - timedelta(days=8))
        enforce_memory.remember_admins(state, ["dave"], gathering.utcnow() - timedelta(days=1))
    with engine(host, asked, log):
        _, warned = quota_recording.record(look, Ran([Done(change)], (), time.monotonic()), paths)
    assert asked
    assert "quota.disk_limit" in asked[0]
    assert "quota.disk_warning" not in asked[0]
    assert [one["outcome"] for one in warned] == ["not-told"]
    assert log.read_text().count("quota.disk_warning") == 1
    assert enforce_memory.recall(paths, gathering.utcnow()).admins == {"carol", "dave"}
