"""What `quota` knows as its own after a run, also after one that failed or was undone."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest

from ds01ctl.commands import quota_memory, quota_recording
from ds01ctl.commands.quota_running import Done
from ds01ctl.core.disk_quota import Limits
from ds01ctl.core.quota_model import Change, Known, Place
from ds01ctl.paths import Paths

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ds01ctl.core.quota_model import Rule

NOON = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)
HOME = Place("/home", "user", 1001)
MIB = 1 << 20
NONE, OWN, OLD, NEW = Limits(), Limits(0, 9 * MIB), Limits(4 * MIB), Limits(5 * MIB)
OURS = {HOME: Known(OLD, NONE)}


def change(before: Limits, after: Limits, rule: Rule = "set") -> Change:
    return Change(HOME, "/dev/sda1", "alice", before, after, "as asked", rule, after)


@pytest.mark.parametrize(
    ("known", "made", "expected"),
    [
        ({}, change(NONE, OLD), {HOME: Known(OLD, NONE)}),
        ({}, change(OWN, OLD), {HOME: Known(OLD, OWN)}),
        # what was before the first of ours
        (OURS, change(OLD, NEW), {HOME: Known(NEW, NONE)}),
        # somebody has set his own meanwhile
        (OURS, change(OWN, NEW), {HOME: Known(NEW, OWN)}),
        # as it was before us: nothing of ours is left
        (OURS, change(OLD, NONE), {}),
        (OURS, change(OLD, NONE, "take-back"), {}),
        # restored: not ours, the next run must not take it back
        ({}, change(NONE, OWN, "put-back"), {}),
        (OURS, change(OLD, OWN, "put-back"), {}),
        # but ours, restored, is ours
        (OURS, change(NONE, OLD, "put-back"), OURS),
    ],
)
def test_what_is_ours(
    known: Mapping[Place, Known], made: Change, expected: Mapping[Place, Known]
) -> None:
    assert quota_recording.known_after(known, [made]) == expected


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path)


def newest(paths: Paths) -> str | None:
    undo = quota_memory.newest_undo(paths)
    return undo.command if undo else None


def test_what_was_undone_is_ours_as_before(paths: Paths) -> None:
    first, second = change(NONE, OLD), change(OLD, NEW)
    assert quota_recording.intend([first], paths, NOON, "quota apply") == ()
    assert quota_recording.intend([second], paths, NOON + timedelta(1), "quota set") == ()
    assert quota_recording.forget_newest(paths, [change(NEW, OLD, "put-back")]) == ()
    assert (quota_memory.recall(paths).known, newest(paths)) == (OURS, "quota apply")
    assert quota_recording.forget_newest(paths, [change(OLD, NONE, "put-back")]) == ()
    assert quota_memory.recall(paths) == quota_memory.Memory()
    assert newest(paths) is None


def test_what_failed_is_not_ours(paths: Paths) -> None:
    """Nor is forgotten what was before ours."""
    quota_recording.intend([change(NONE, OLD)], paths, NOON, "quota apply")
    before = quota_memory.recall(paths)
    for failing in (change(OLD, NEW), change(OLD, NONE, "take-back")):
        quota_recording.intend([failing], paths, NOON + timedelta(1), "quota apply")
        quota_recording.disown([Done(failing, "input/output error")], before, paths)
        assert quota_memory.recall(paths).known == OURS
    quota_recording.unintend(before, paths)
    assert quota_memory.recall(paths) == before
    assert newest(paths) == "quota apply"


def test_the_newest_is_the_last_whatever_the_clock_says(paths: Paths) -> None:
    for number in range(25):
        at = NOON - timedelta(days=number)
        quota_recording.intend([change(NONE, OLD)], paths, at, f"run {number}")
    for number in range(24, 4, -1):
        assert newest(paths) == f"run {number}"
        quota_recording.forget_newest(paths, [])
    assert newest(paths) is None


def test_a_run_that_is_not_whole_stays(paths: Paths) -> None:
    """What was put back of it is not ours any more all the same."""
    quota_recording.intend([change(NONE, OLD)], paths, NOON, "quota apply")
    quota_recording.forget_newest(paths, [change(OLD, NONE, "put-back")], is_whole=False)
    assert (quota_memory.recall(paths).known, newest(paths)) == ({}, "quota apply")


def test_graces_and_deadlines_are_noted(paths: Paths) -> None:
    grace = quota_memory.GraceSet("/home", "/dev/sda1", "user", (7, 8), (9, 9))
    quota_recording.intend([], paths, NOON, "quota apply", (), (grace,), ("alice on /home",))
    undo = quota_memory.Undo(NOON, "quota apply", (), (), (grace,), ("alice on /home",))
    assert quota_memory.newest_undo(paths) == undo
