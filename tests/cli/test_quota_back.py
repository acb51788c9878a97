"""What undo and restore plan: an incomplete reading is no zeroes, a reused id is somebody else."""

from __future__ import annotations

from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from ds01ctl.commands import quota_back
from ds01ctl.commands.quota_dump_file import Dump
from ds01ctl.commands.quota_memory import GraceSet, Undo
from ds01ctl.core.disk_quota import Accounting, DiskQuota, Limits, QuotaFileSystem
from ds01ctl.core.quota_model import Place

NOON = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)
ALICE, BOB = Place("/home", "user", 2101), Place("/home", "user", 2102)
NONE, OLD, NEW = Limits(), Limits(4 << 20), Limits(5 << 20)
WHOLE = Accounting(is_on=True, is_enforced=True, bytes_grace_s=700, inodes_grace_s=800)
PART = WHOLE._replace(is_complete=False)


class Names(SimpleNamespace):
    """A reading, as far as it is asked."""

    def name_of(self, place: Place) -> str | None:
        return {ALICE: "alice", BOB: "bob"}.get(place)


def seen(records: dict[Place, Limits], state: Accounting | None = WHOLE) -> Any:
    read = tuple(DiskQuota(place.id, 0, 0, one) for place, one in records.items())
    on: Any = {"user": state}
    one = QuotaFileSystem("/home", "/dev/sdb1", "xfs", (), on, {"user": read})
    return Names(file_systems=(one,) if state else ())


def undo(*places: tuple[Place, Limits, Limits], graces: tuple[GraceSet, ...] = ()) -> Undo:
    rows = tuple((place, "x", before, after) for place, before, after in places)
    return Undo(NOON, "quota apply", rows, (), graces, ())


@pytest.mark.parametrize(
    ("reading", "changed", "is_whole"),
    [
        (seen({ALICE: NEW, BOB: NEW}), {ALICE, BOB}, True),
        # who is missing of a whole reading has no limit: changed since
        (seen({ALICE: NEW}), {ALICE}, True),
        (seen({ALICE: NEW}, PART), {ALICE}, False),
        (seen({ALICE: OLD, BOB: NEW}, PART), {BOB}, True),
        (seen({}, PART), set(), False),
        (seen({}, Accounting(is_on=False)), set(), False),
        (seen({}, None), set(), False),
    ],
)
def test_what_could_not_be_read_stays_noted(
    reading: Any, changed: set[Place], is_whole: bool
) -> None:
    plan = quota_back.undone(undo((ALICE, OLD, NEW), (BOB, OLD, NEW)), reading)
    assert ({one.place for one in plan.changes}, plan.is_whole) == (changed, is_whole)


def test_missing_is_not_without_a_limit() -> None:
    """A limit that was taken back is not put back over one that could not be read."""
    last = undo((ALICE, OLD, NONE))
    assert quota_back.undone(last, seen({}, PART)).changes == ()
    assert [one.after for one in quota_back.undone(last, seen({})).changes] == [OLD]


@pytest.mark.parametrize(
    ("after", "put_back", "is_whole", "state"),
    [
        ((700, 800), [(60, 70)], True, WHOLE),
        ((701, 800), [], True, WHOLE),
        ((700, 800), [], False, WHOLE._replace(bytes_grace_s=None)),
        ((700, 800), [], False, None),
    ],
)
def test_graces_are_put_back_where_they_are_as_we_left_them(
    after: tuple[int, int], put_back: list[tuple[int, int]], is_whole: bool, state: Any
) -> None:
    last = undo(graces=(GraceSet("/home", "/dev/sda1", "user", (60, 70), after),))
    plan = quota_back.undone(last, seen({}, state))
    assert ([one.after for one in plan.graces], plan.is_whole) == (put_back, is_whole)
    assert all(one.source == "/dev/sdb1" for one in plan.graces)


def test_a_deadline_is_told() -> None:
    plan = quota_back.undone(undo()._replace(deadlines=("alice on /home",)), seen({}))
    assert "alice on /home: the end of a grace that ran is not put back" in plan.notes


def dump(names: dict[Place, str], **more: Any) -> Dump:
    limits = {ALICE: OLD, BOB: OLD}
    return Dump({("/home", "user")}, limits, names, {}, {})._replace(**more)


def test_a_reused_id_is_left() -> None:
    plan = quota_back.restored(dump({ALICE: "eve", BOB: "bob"}), seen({ALICE: NEW}), "as in it")
    assert [one.place for one in plan.changes] == [BOB]
    assert any("2101 on /home: was eve then, and is alice now" in one for one in plan.notes)
    # not known then, or not now
    carl = Place("/home", "user", 2103)
    unknown = dump({carl: "carl"}, limits={ALICE: OLD, carl: OLD})
    assert len(quota_back.restored(unknown, seen({}), "as in it").changes) == 2


def test_another_device_and_other_graces() -> None:
    more = {"sources": {"/home": "/dev/sda1"}, "graces": {("/home", "user"): (60, 70)}}
    plan = quota_back.restored(dump({}, **more), seen({}), "as in it")
    assert "/home: was /dev/sda1 then, and is /dev/sdb1 now" in plan.notes
    assert plan.graces == (GraceSet("/home", "/dev/sdb1", "user", (700, 800), (60, 70)),)
    assert len(plan.changes) == 2


def test_a_restore_leaves_who_could_not_be_read() -> None:
    plan = quota_back.restored(dump({}), seen({BOB: NEW}, PART), "as in it")
    assert [one.place for one in plan.changes] == [BOB]
    assert any("not all of its user quotas could be read now" in one for one in plan.notes)
