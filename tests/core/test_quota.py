"""Which disk limits are set: tables of worlds."""

from __future__ import annotations

from typing import Any

import pytest

from ds01ctl.core import quota
from ds01ctl.core.disk_quota import Accounting, DiskQuota, Limits, QuotaFileSystem
from ds01ctl.core.people import Person, Roll, Spared
from ds01ctl.core.quota_model import REPORT_ONLY, Known, Place, Wanted, World, same

GIB = 1 << 30
ON = Accounting(is_on=True, is_enforced=True)
OFF = Accounting(is_on=False, reason="mounted without uquota")
ALICE, BOB = Person("alice", 1001, "student"), Person("bob", 1002, "student")
BOSS = Spared("boss", 1000, "is an admin")
HOME = Place("/home", "user", 1001)
LIMITS = Limits(100 * GIB, 110 * GIB)


def file_system(
    *records: DiskQuota, mount: str = "/home", user: Accounting = ON, **fields: Any
) -> QuotaFileSystem:
    """A file system with users' records."""
    return QuotaFileSystem(
        mount, "/dev/sda1", "xfs", (mount,), {"user": user, "project": ON},
        {"user": records, "project": ()}, **fields,
    )  # fmt: skip


def wanted(place: Place = HOME, limits: Limits = LIMITS, name: str = "alice") -> Wanted:
    return Wanted(place, name, place.mount, limits, "resource-limits.yaml:3 (group student)")


def world(*file_systems: QuotaFileSystem, want: Any = (), **fields: Any) -> World:
    usual = {"roll": Roll((ALICE, BOB), (BOSS,)), "enforces": True}
    return World(file_systems=file_systems, wanted=tuple(want), **(usual | fields))


def planned(seen: World) -> list[tuple[Place, Limits]]:
    return [(one.place, one.after) for one in quota.decide(seen).changes]


def notices(seen: World) -> list[str]:
    return [one.kind for one in quota.decide(seen).notices]


def test_a_limit_is_set_where_there_is_none() -> None:
    seen = world(file_system(DiskQuota(1001, 5 * GIB, 100)), want=[wanted()])
    (change,) = quota.decide(seen).changes
    assert (change.place, change.after, change.skip) == (HOME, LIMITS, None)
    assert "group student" in change.reason


def test_somebody_who_uses_nothing_yet_gets_a_limit() -> None:
    assert planned(world(file_system(), want=[wanted()])) == [(HOME, LIMITS)]


def test_what_is_so_is_not_written_again() -> None:
    """ext4 begins the grace anew whenever a limit is set, even the same one."""
    seen = world(file_system(DiskQuota(1001, 105 * GIB, 1, LIMITS, 123)), want=[wanted()])
    assert planned(seen) == []


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (LIMITS, LIMITS, True),
        (Limits(100 * GIB, 110 * GIB), Limits(100 * GIB + 4096, 110 * GIB), True),
        (Limits(100 * GIB), Limits(100 * GIB + 65536), False),
        (Limits(0), Limits(4096), False),
        (Limits(0, 0, 10, 11), Limits(0, 0, 10, 12), False),
    ],
)
def test_rounding_by_a_file_system_is_no_drift(one: Limits, other: Limits, expected: bool) -> None:
    assert same(one, other) is expected
    assert same(other, one) is expected


def test_report_mode_only_tells() -> None:
    (change,) = quota.decide(world(file_system(), want=[wanted()], enforces=False)).changes
    assert change.skip == REPORT_ONLY


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        (Limits(), Limits(100 * GIB, 0)),
        (Limits(200 * GIB, 220 * GIB), Limits(100 * GIB, 220 * GIB)),
        # it is below already: not raised, and nothing to do
        (LIMITS, None),
    ],
)
def test_a_hard_limit_below_what_is_in_use_waits(before: Limits, expected: Limits | None) -> None:
    """Every write would fail at once; with the soft limit the grace runs."""
    seen = world(file_system(DiskQuota(1001, 150 * GIB, 1, before)), want=[wanted()])
    assert planned(seen) == ([(HOME, expected)] if expected else [])
    if expected:
        assert notices(seen) == ["hard-limit-waits"]
        (notice,) = quota.decide(seen).notices
        assert "40 GiB over the hard limit of 110 GiB" in notice.text
        assert planned(seen._replace(force=True)) == [(HOME, LIMITS)]


def test_inodes_wait_by_themselves() -> None:
    limits = Limits(100 * GIB, 110 * GIB, 1000, 1100)
    seen = world(file_system(DiskQuota(1001, GIB, 5000)), want=[wanted(limits=limits)])
    assert planned(seen) == [(HOME, Limits(100 * GIB, 110 * GIB, 1000, 0))]


def test_quotas_that_are_off_are_told_once() -> None:
    """Neither a limit that nothing holds, nor a message for each user."""
    people = [wanted(), wanted(Place("/home", "user", 1002), name="bob")]
    seen = world(file_system(user=OFF), want=people)
    assert planned(seen) == []
    (notice,) = quota.decide(seen).notices
    assert (notice.kind, notice.mount) == ("not-enforced", "/home")
    assert "mounted without uquota" in notice.text


def test_counted_and_not_enforced_is_set_and_told() -> None:
    counted = Accounting(is_on=True, reason="mounted with uqnoenforce")
    seen = world(file_system(user=counted), want=[wanted()])
    assert (planned(seen), notices(seen)) == ([(HOME, LIMITS)], ["not-enforced"])


def test_two_paths_on_one_file_system_have_the_larger_limit() -> None:
    two = [wanted(), wanted(limits=Limits(500 * GIB, 550 * GIB))._replace(path="/home/data")]
    for order in (two, two[::-1]):
        seen = world(file_system(), want=order)
        assert planned(seen) == [(HOME, Limits(500 * GIB, 550 * GIB))]
        assert notices(seen) == ["two-paths"]


def test_no_limit_is_the_larger_of_two() -> None:
    two = [wanted(), wanted(limits=Limits())._replace(path="/home/data")]
    seen = world(file_system(DiskQuota(1001, 1, 1, LIMITS)), want=two)
    assert planned(seen) == [(HOME, Limits())]


# --- what is not wanted any more ----------------------------------------------------------------


BEFORE = Limits(10 * GIB, 20 * GIB)


def test_ours_is_taken_back_when_nobody_wants_it() -> None:
    """As it was before us, which may be somebody's own limit."""
    seen = world(file_system(DiskQuota(1001, 1, 1, LIMITS)), known={HOME: Known(LIMITS, BEFORE)})
    (change,) = quota.decide(seen).changes
    assert (change.rule, change.after) == ("take-back", BEFORE)


def test_what_was_before_waits_while_more_is_in_use() -> None:
    """Every write would fail at once, of somebody who did nothing."""
    record = DiskQuota(1001, 50 * GIB, 1, LIMITS)
    seen = world(file_system(record), known={HOME: Known(LIMITS, BEFORE)})
    (change,) = quota.decide(seen).changes
    assert "it waits" in str(change.skip)
    (change,) = quota.decide(seen._replace(force=True)).changes
    assert change.skip is None


@pytest.mark.parametrize(
    ("record", "place"),
    [
        # somebody has changed it since
        (DiskQuota(1001, 1, 1, Limits(7 * GIB, 8 * GIB)), HOME),
        # the account is gone, or the directory is down: not on the strength of that
        (DiskQuota(4242, 1, 1, LIMITS), Place("/home", "user", 4242)),
        # not mounted now
        (DiskQuota(1001, 1, 1, LIMITS), Place("/scratch", "user", 1001)),
    ],
)
def test_what_is_not_surely_ours_stays(record: DiskQuota, place: Place) -> None:
    seen = world(file_system(record), known={place: Known(LIMITS, Limits())})
    assert planned(seen) == []


def test_ours_that_somebody_changed_is_told_as_theirs() -> None:
    seen = world(file_system(DiskQuota(1001, 1, 1, LIMITS)), known={HOME: Known(BEFORE, Limits())})
    assert (planned(seen), notices(seen)) == ([], ["not-in-policy"])


def test_nothing_rests_on_records_that_could_not_be_read() -> None:
    """Bob may use more than his hard limit: of him nothing was told."""
    people = [wanted(), wanted(Place("/home", "user", 1002), name="bob")]
    partly = ON._replace(is_complete=False)
    seen = world(file_system(DiskQuota(1001, 1, 1), user=partly), want=people)
    assert (planned(seen), notices(seen)) == ([(HOME, LIMITS)], ["unread"])


def test_a_hard_limit_that_waits_is_told_in_every_run() -> None:
    limits = Limits(LIMITS.soft_bytes, 0)
    seen = world(file_system(DiskQuota(1001, 150 * GIB, 1, limits)), want=[wanted()])
    assert (planned(seen), notices(seen)) == ([], ["hard-limit-waits"])
    assert notices(seen._replace(users=frozenset({"bob"}))) == []


def test_limits_of_others_are_told_and_left() -> None:
    seen = world(file_system(DiskQuota(1002, 1, 1, LIMITS), DiskQuota(0, 1, 1, LIMITS)))
    assert planned(seen) == []
    assert [(one.kind, one.user) for one in quota.decide(seen).notices] == [
        ("not-in-policy", "bob")
    ]


def test_only_those_who_were_asked_about() -> None:
    people = [wanted(), wanted(Place("/home", "user", 1002), name="bob")]
    seen = world(file_system(), want=people, users=frozenset({"bob"}))
    assert [place.id for place, _ in planned(seen)] == [1002]


@pytest.mark.parametrize(
    ("fields", "is_left"),
    [
        ({"unresolved": frozenset({("user", 1001)})}, True),
        ({"unresolved_kinds": frozenset({"user"})}, True),
        ({"unresolved_kinds": frozenset({"project"})}, False),
        ({"unresolved": frozenset({("user", 1002)})}, False),
    ],
)
def test_a_path_that_could_not_be_looked_at_lifts_no_limit(
    fields: dict[str, Any], is_left: bool
) -> None:
    """The policy may still give it, at a folder that is not there now."""
    seen = world(
        file_system(DiskQuota(1001, 1, 1, LIMITS)), known={HOME: Known(LIMITS, BEFORE)}, **fields
    )
    assert (planned(seen) == []) is is_left


def test_the_larger_of_two_is_so_in_each_part() -> None:
    """A small limit of files does not come along with a large one of bytes."""
    one = wanted(limits=Limits(100 * GIB, 110 * GIB, 50, 55))
    other = wanted(limits=Limits(0, 50 * GIB, 1000, 1100))._replace(path="/home/data")
    expected = [(HOME, Limits(0, 110 * GIB, 1000, 1100))]
    assert planned(world(file_system(), want=[one, other])) == expected
    assert planned(world(file_system(), want=[other, one])) == expected


def test_id_0_is_never_limited() -> None:
    """On XFS its limits are the defaults of everybody."""
    root = wanted(Place("/home", "user", 0), name="root")
    assert planned(world(file_system(), want=[root])) == []
