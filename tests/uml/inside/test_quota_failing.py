"""Two runs of `quota` at once, and disks that are full: nothing half-done, and all of it told."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ds01ctl.commands import quota_running
from ds01ctl.core.disk_quota import Limits
from ds01ctl.core.quota_model import Change, Place
from ds01ctl.lock import job_lock
from ds01ctl.paths import Paths
from tests.uml.inside.places import BOTH, MIB
from tests.uml.inside.quota_world import (
    ALICE,
    BOB,
    EVENTS,
    HOME,
    OVERRIDES,
    POLICY,
    begin,
    events,
    fill,
    limits,
    put,
    said,
    told,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.uml.inside.quota_world import Run

ON_HOME = ("--path", "/home")


@pytest.fixture(autouse=True)
def _begin() -> None:
    begin()


@contextmanager
def full(folder: str) -> Iterator[None]:
    """Have a folder with what is in it, and no room for more."""
    held = {path: path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k,mode=755", "none", folder], check=True)
    try:
        for path, data in held.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        with Path(folder, "hog").open("wb") as hog:
            while hog.write(bytes(4096)):
                hog.flush()
    except OSError:
        pass
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def test_two_at_once(ds01ctl: Run) -> None:
    with job_lock(Paths(), "quota"):
        for argv in (("apply", "--yes"), ("set", "alice", "--soft", "1G", *ON_HOME),
                     ("undo", "--yes")):  # fmt: skip
            assert "another instance is running" in said(ds01ctl, *argv, status=5)
        said(ds01ctl, "plan")
    assert (OVERRIDES.exists(), limits("/home", ALICE)) == (False, Limits())


def test_no_room_for_the_policy(ds01ctl: Run) -> None:
    """Neither the file nor the kernel is changed, and there is nothing to undo."""
    said(ds01ctl, "apply", "--yes")
    with full("/etc/ds01"):
        output = said(ds01ctl, "set", "alice", "--soft", "20M", *ON_HOME, status=1)
        assert "cannot be written: No space left" in output
        assert not list(Path("/etc/ds01").glob(".*"))
    assert (OVERRIDES.exists(), limits("/home", ALICE)) == (False, HOME)
    assert "what quota apply of" in said(ds01ctl, "undo", "--dry-run")
    # what is ours is known to be so as before
    POLICY.write_text("quota: {mode: enforce}\ngroups: {staff: {}}\n")
    said(ds01ctl, "apply", "--yes")
    assert limits("/home", ALICE) == Limits()


def test_no_room_for_what_was(ds01ctl: Run) -> None:
    """Nothing is set that could not be undone, and nobody is warned who would be each hour."""
    said(ds01ctl, "plan")
    Path("/var/lib/ds01").mkdir(exist_ok=True)
    fill("/home/a", ALICE, 9 * MIB)
    put("/home", ALICE, HOME)
    with full("/var/lib/ds01"):
        output = said(ds01ctl, "set", "alice", "--soft", "20M", *ON_HOME, status=1)
        assert "nothing was changed" in output
        done = told(ds01ctl, "apply", "--yes", status=3)
        assert {one["outcome"] for one in done["actions"]} == {"skipped"}
        assert done["data"]["warned"] == []
        assert "state" in {gap["source"] for gap in done["gaps"]}
    assert (OVERRIDES.exists(), limits("/home", BOB)) == (False, Limits())
    assert events("quota.disk_warning") == []
    assert [one["user"] for one in told(ds01ctl, "apply", "--yes")["data"]["warned"]] == ["alice"]


def test_no_room_for_events(ds01ctl: Run) -> None:
    """It is done, and told that the log lacks it."""
    Path("/var/log/ds01").mkdir(exist_ok=True)
    EVENTS.write_text("")
    with full("/var/log/ds01"):
        done = told(ds01ctl, "set", "alice", "--soft", "20M", *ON_HOME, status=3)
        assert "events" in {gap["source"] for gap in done["gaps"]}
    assert limits("/home", ALICE) == Limits(20 * MIB, 22 * MIB)


@pytest.mark.parametrize("mount", ["/home", "/scratch"])
def test_more_is_used_between_look_and_act(mount: str) -> None:
    """A hard limit that fitted when it was decided is not set below what is used by then."""
    device = next(one.device for one in BOTH if one.mount == mount)
    change = Change(Place(mount, "user", ALICE), device, "alice", Limits(), HOME, "as asked")
    fill(f"{mount}/a", ALICE, 9 * MIB)
    ((_, error),) = quota_running.carry_out([change], Paths())
    assert "more is in use by now" in str(error)
    assert limits(mount, ALICE) == Limits()
    ((_, error),) = quota_running.carry_out([change._replace(is_forced=True)], Paths())
    assert (error, limits(mount, ALICE)) == (None, HOME)
