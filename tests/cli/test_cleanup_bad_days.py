"""`cleanup` when it is killed, when its memory is lost, and when things change meanwhile."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.act.act_worlds import OBEYS
from tests.cli.cleanup_host import (
    CONTAINERS,
    HOUR,
    KILL,
    KILL_AFTER,
    MEANWHILE,
    POLICY,
    CleanupHost,
    was_killed,
)
from tests.cli.conftest import Host, gaps
from tests.engine import Engine

AT = "2026-11-23T12:00:00Z"
APPLY = ("apply", "--yes", "--only", CONTAINERS)


@pytest.fixture
def host(host: Host, engine: Engine) -> CleanupHost:
    return CleanupHost(host, engine)


def prepared(host: CleanupHost) -> tuple[str, str, str]:
    """One container to stop, which obeys at once, one to remove, and one to warn of."""
    stop = host.container("to-stop", command=OBEYS)
    remove, warn = (host.container(name) for name in ("to-remove", "to-warn"))
    host.engine.client.stop(remove, timeout=0)
    host.apply()
    host.due(stop)
    host.remember(remove, stopped_s=2 * HOUR, stopped_by_us="idle for 2 h")
    host.remember(warn, idle_s=0.85 * HOUR, streak=5)
    return stop, remove, warn


def test_killed_before_each_thing_it_does(host: CleanupHost) -> None:
    """Killed with -9 anywhere: the next run goes on; nothing is done twice, nothing is lost."""
    kills = 0
    for at in range(1, 60):
        stop, remove, warn = prepared(host)
        killed = was_killed(host.with_hook(KILL, *APPLY, KILL_AT=str(at)))
        kills += killed
        host.apply()
        assert host.state_of(stop) == "exited", at
        assert host.state_of(remove) is None, at
        assert host.state_of(warn) == "running", at
        assert host.watch(stop).stopped_by_us.startswith("idle for"), at
        assert [one.stage for one in host.watch(warn).warned] == [1], at
        assert not [row for row in host.log() if row[1] == "begun"], at
        totals = json.loads(host.marks()["totals"])
        assert (totals["stop-container|idle"], totals["remove-container|stopped"]) == (1, 1), at
        host.engine.remove_all()
        host.base.state_path.unlink()
        if not killed:
            break
    assert kills >= 8


@pytest.mark.parametrize("request_", ["/stop", "DELETE"])
def test_killed_while_the_engine_does_it(host: CleanupHost, request_: str) -> None:
    """Nobody heard that it was done: the next run sees that it was, and takes it for its own."""
    stop, remove, _ = prepared(host)
    assert was_killed(host.with_hook(KILL_AFTER, *APPLY, AFTER=request_))
    assert "begun" in {outcome for _, outcome in host.log()}
    host.apply()
    kinds = Counter(kind for kind, outcome in host.log() if outcome == "done")
    assert kinds == {"warn": 1, "stop-container": 1, "remove-container": 1}
    assert host.watch(stop).stopped_by_us.startswith("idle for")
    assert host.state_of(remove) is None
    settled = [one for one in host.base.events() if one["details"].get("settled")]
    assert len(settled) == 1
    totals = json.loads(host.marks()["totals"])
    assert (totals["stop-container|idle"], totals["remove-container|stopped"]) == (1, 1)
    assert [one["name"] for one in host.json("undo")["data"]["held"]] == ["to-stop"]


def test_a_store_that_is_lost_stops_nobody(host: CleanupHost) -> None:
    stop, remove, warn = prepared(host)
    host.base.state_path.unlink()
    document = host.apply()
    assert document["actions"] == []
    assert [host.state_of(one) for one in (stop, remove, warn)] == ["running", "exited", "running"]
    assert host.watch(stop).idle_s == 0


def test_a_store_that_cannot_be_read_stops_nobody(host: CleanupHost) -> None:
    """A store that is damaged is told, and nothing is done; nobody is warned either."""
    stop, remove, _ = prepared(host)
    host.base.state_path.write_bytes(b"no database at all" * 100)
    document = host.apply(status=3)
    assert ("state", "failed") in gaps(document)
    assert document["actions"] == []
    assert [host.state_of(one) for one in (stop, remove)] == ["running", "exited"]
    assert host.base.events() == []


@pytest.fixture
def full_disk(host: CleanupHost) -> Iterator[Callable[[], None]]:
    """The state folder on a disk of its own, and a way to fill it."""
    place = host.root / "var/lib/ds01"
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("cannot mount")

    def fill() -> None:
        with suppress(OSError), (place / "full").open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)

    yield fill
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_full_disk_stops_nobody(host: CleanupHost, full_disk: Callable[[], None]) -> None:
    """What cannot be noted down is not done: nobody is warned, nothing is stopped."""
    stop, remove, warn = prepared(host)
    before = host.watch(warn)
    # of the hold of what is to be removed
    told = {one: one.read_text() for one in (host.root / "var/lib/ds01/notices").iterdir()}
    full_disk()
    document = host.apply(status=3)
    assert {(one["outcome"]) for one in document["actions"]} == {"skipped"}
    assert all("could not be noted down" in one["error"] for one in document["actions"])
    assert any("room" in gap["reason"] for gap in document["gaps"] if gap["source"] == "state")
    assert [host.state_of(one) for one in (stop, remove, warn)] == ["running", "exited", "running"]
    assert host.watch(warn) == before
    assert {one: one.read_text() for one in (host.root / "var/lib/ds01/notices").iterdir()} == told
    assert host.base.events() == []


def test_who_is_kept_meanwhile_is_not_stopped(host: CleanupHost) -> None:
    stop, _, _ = prepared(host)
    keep = {"id": stop, "name": "x", "until": None, "by": "boss", "reason": "", "at": AT}
    text = json.dumps({"schema": "ds01ctl-keeps/v1", "keeps": [keep]})
    file = host.root / "var/lib/ds01/keep.json"
    done = host.with_hook(MEANWHILE, *APPLY, FILE=str(file), TEXT=text, SLEEP="0")
    assert "did not stop to-stop" in done.stdout
    assert "kept meanwhile by boss" in done.stdout
    assert host.state_of(stop) == "running"
    assert ("stop-container", "skipped") in host.log()


def test_who_works_again_is_not_stopped(host: CleanupHost, tmp_path: Path) -> None:
    """Ten seconds of work after an hour of nothing count, though the look did not see them."""
    flag = tmp_path / "flags"
    flag.mkdir()
    id_ = host.container(
        "wakes",
        mounts=[(flag, "/flags")],
        command=("sh", "-c", "while [ ! -e /flags/go ]; do sleep 1; done; while :; do :; done"),
    )
    host.apply()
    host.due(id_)
    done = host.with_hook(MEANWHILE, *APPLY, FILE=str(flag / "go"), TEXT="", SLEEP="2.5")
    assert "active right before the stop" in done.stdout, done.stdout + done.stderr
    assert host.state_of(id_) == "running"
    host.apply()
    assert host.watch(id_).idle_s == 0
    assert host.watch(id_).warned == ()


def test_who_was_started_anew_meanwhile_is_another_run(host: CleanupHost) -> None:
    id_ = host.container("anew")
    host.apply()
    host.due(id_)
    host.engine.client.restart(id_, timeout=0)
    before = host.started_at(id_)
    assert host.apply()["actions"] == []
    assert host.started_at(id_) == before
    assert host.watch(id_).idle_s == 0


def test_docker_down_is_not_everybody_gone(host: CleanupHost) -> None:
    """Nothing is done, nothing is forgotten, and what was held is held when it answers again."""
    stop, remove, warn = prepared(host)
    host.base.env["DOCKER_HOST"] = f"unix://{host.engine.folder}/nobody.sock"
    document = host.apply(status=3)
    assert ("docker", "failed") in gaps(document)
    assert document["actions"] == []
    host.base.env["DOCKER_HOST"] = host.engine.host
    assert host.watch(remove).stopped_s >= 2 * HOUR
    done = {(one["kind"], one["outcome"]) for one in host.apply()["actions"]}
    assert ("remove-container", "done") in done
    assert (host.state_of(stop), host.state_of(warn)) == ("exited", "running")


def test_nobody_is_stopped_after_an_upgrade_or_a_boot(host: CleanupHost) -> None:
    host.base.policy(POLICY.replace("  breaker: {after_boot_m: 0, after_upgrade_m: 0}\n", ""))
    stop, remove, _ = prepared(host)
    document = host.apply()
    by_kind = {one["kind"]: one for one in document["actions"]}
    assert by_kind["stop-container"]["outcome"] == "skipped"
    assert "this version" in by_kind["stop-container"]["error"]
    # warnings take nothing away
    assert by_kind["warn"]["outcome"] == "done"
    assert [host.state_of(one) for one in (stop, remove)] == ["running", "exited"]
    document = host.json("plan", "--only", CONTAINERS)
    assert [trip["breaker"] for trip in document["data"]["trips"]] == ["upgrade"]
