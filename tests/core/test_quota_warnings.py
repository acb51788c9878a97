"""Warnings of limits, as days of use and what was said on each."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest

from ds01ctl.core.quota_warnings import Crossing, Decision, Key, Use, Warned, decide

MONDAY = datetime(2026, 11, 23, 12, 0, tzinfo=timezone.utc)
WEEK = timedelta(days=7)
KEY: Key = ("disk", "/home", "1001")
LEVELS = (80, 90, 100)


def use(percent: float, key: Key = KEY, limit: float = 1000.0) -> Use:
    return Use(key, "alice", "disk space on /home", percent * limit / 100, limit)


def told(decision: Decision) -> list[str]:
    return [f"{one.level}{' again' if one.is_reminder else ''}" for one in decision.events]


# one look a day: what was used, and what was said
DAYS: dict[str, list[tuple[float | None, str]]] = {
    "never": [(10, ""), (79.9, ""), (50, "")],
    "once a crossing": [(70, ""), (81, "80"), (82, ""), (91, "90"), (92, ""), (100, "100")],
    "exactly": [(80, "80"), (90, "90"), (100, "100")],
    "only the highest of several": [(10, ""), (105, "100"), (106, "")],
    "no flapping at a threshold": [(80, "80"), (79, ""), (80, ""), (78.1, ""), (81, "")],
    "left, and crossed anew": [(81, "80"), (77.9, ""), (81, "80")],
    "a higher one left, and crossed anew": [(101, "100"), (85, ""), (95, "90"), (101, "100")],
    "no flapping at a higher one": [(100, "100"), (99, ""), (100, ""), (98.5, ""), (100, "")],
    "falls slowly, and nothing is said": [(100, "100"), (97, ""), (91, ""), (88, ""), (81, "")],
    "again while it lasts": [(85, "80"), *[(85, "")] * 6, (85, "80 again"), (85, "")],
    "again, of where he stands": [(101, "100"), *[(92, "")] * 6, (92, "90 again"), *[(92, "")] * 6,
                                  (92, "90 again")],
    "a crossing counts as told": [(85, "80"), *[(85, "")] * 5, (95, "90"), (95, ""), (95, "")],
    "not read, and no less for it": [(95, "90"), (None, ""), (None, ""), (95, "")],
    "not read, and then more": [(95, "90"), (None, ""), (101, "100")],
    "not read, and then less": [(95, "90"), (None, ""), (10, ""), (95, "90")],
    "far above": [(1e6, "100"), (1e6, "")],
}  # fmt: skip


@pytest.mark.parametrize("days", DAYS.values(), ids=DAYS.keys())
def test_days(days: list[tuple[float | None, str]]) -> None:
    """Each crossing is told once; a use that was not read (None) changes nothing."""
    memory: dict[Key, Warned] = {}
    for number, (percent, said) in enumerate(days):
        now = MONDAY + timedelta(days=number)
        uses, unknown = ([use(percent)], set[Key]()) if percent is not None else ([], {KEY})
        decision = decide(now, uses, memory, LEVELS, WEEK, unknown)
        assert (number, told(decision)) == (number, [said] if said else [])
        memory = decision.memory


@pytest.mark.parametrize(("percent", "said"), [(50, []), (85, ["80"]), (200, ["100"])])
def test_a_lost_memory_warns_once_more(percent: float, said: list[str]) -> None:
    """Of where everybody stands, and not of each threshold on the way there."""
    first = decide(MONDAY, [use(percent)], {}, LEVELS, WEEK)
    assert told(first) == said
    assert told(decide(MONDAY, [use(percent)], first.memory, LEVELS, WEEK)) == []


def test_memory_is_small_and_plain() -> None:
    """Who is below all thresholds, or has no limit any more, is forgotten; it fits into JSON."""
    other: Key = ("gpu", "bob")
    before = {KEY: Warned(90, MONDAY), other: Warned(80, MONDAY)}
    assert decide(MONDAY, [use(10)], before, LEVELS, WEEK).memory == {}
    kept = decide(MONDAY, [use(85), use(10, other)], before, LEVELS, WEEK).memory
    assert kept == {KEY: Warned(80, MONDAY)}
    assert json.loads(json.dumps([KEY, kept[KEY].level, kept[KEY].at.isoformat()]))


def test_what_was_read_in_part_only_rises() -> None:
    """One engine of two is silent: that fewer containers are seen is no relief."""
    before = {KEY: Warned(90, MONDAY)}
    low = decide(MONDAY, [use(30)], before, LEVELS, WEEK, {KEY})
    assert (low.events, low.memory) == ((), before)
    assert told(decide(MONDAY, [use(130)], before, LEVELS, WEEK, {KEY})) == ["100"]
    # nothing was told before, and so much there is at least
    assert told(decide(MONDAY, [use(85)], {}, LEVELS, WEEK, {KEY})) == ["80"]


@pytest.mark.parametrize(
    ("levels", "before", "percent", "said", "left"),
    [
        # the admin lowered, raised, removed the thresholds, or wrote them in another order
        ((50,), None, 60, ["50"], 50),
        ((85, 95), 80, 86, ["85"], 85),
        ((80, 90), 100, 101, [], 90),
        ((95,), 80, 90, [], None),
        ((), 80, 90, [], None),
        ((100, 80, 90), None, 95, ["90"], 90),
    ],
)
def test_other_thresholds(
    levels: tuple[int, ...], before: int | None, percent: float, said: list[str], left: int | None
) -> None:
    memory = {} if before is None else {KEY: Warned(before, MONDAY)}
    decision = decide(MONDAY, [use(percent)], memory, levels, WEEK)
    assert told(decision) == said
    assert [one.level for one in decision.memory.values()] == ([] if left is None else [left])


# hours on end: what was used, whether he is logged in, what was said, and what reached him
HOURS: dict[str, list[tuple[float, bool, str, bool]]] = {
    "told at the crossing": [(85, True, "80", True), (85, True, "", False)],
    "logs in later": [(85, False, "80", False), (85, False, "80 tried", False),
                      (86, True, "80 tried", True), (86, True, "", False)],
    "leaves the threshold, untold": [(85, False, "80", False), (70, True, "", False)],
    "more, untold": [(85, False, "80", False), (95, False, "90", False),
                     (95, True, "90 tried", True)],
    "less, untold": [(101, False, "100", False), (92, True, "90 tried", True)],
    "comes back, untold": [(85, False, "80", False), (70, False, "", False),
                           (85, False, "80", False)],
}  # fmt: skip


@pytest.mark.parametrize("hours", HOURS.values(), ids=HOURS.keys())
def test_what_reached_nobody(hours: list[tuple[float, bool, str, bool]]) -> None:
    """It is tried again at each run, while the use lasts, and is no news then."""
    memory: dict[Key, Warned] = {}
    for number, (percent, is_there, said, is_told) in enumerate(hours):
        decision = decide(MONDAY + timedelta(hours=number), [use(percent)], memory, LEVELS, WEEK)
        words = [f"{one.level}{' tried' if one.since else ''}" for one in decision.events]
        assert (number, words) == (number, [said] if said else [])
        reached = {one.use.key for one in decision.events} if is_there else set[Key]()
        assert bool(reached) == is_told
        memory = decision.but(reached)


def test_reminders_of_what_reached_nobody() -> None:
    """They go by when it was said; once it reaches him, by that."""
    memory: dict[Key, Warned] = {}
    for day in range(8):
        decision = decide(MONDAY + timedelta(days=day), [use(85)], memory, LEVELS, WEEK)
        (one,) = decision.events
        assert (one.is_reminder, one.since) == (day == 7, MONDAY if 0 < day < 7 else None)
        memory = decision.but(())
    told_at = MONDAY + timedelta(days=8)
    memory = decide(told_at, [use(85)], memory, LEVELS, WEEK).but({KEY})
    assert memory == {KEY: Warned(80, told_at)}


def test_no_reminders() -> None:
    """Zero days is never, not at once."""
    before = {KEY: Warned(80, MONDAY - timedelta(days=900))}
    assert decide(MONDAY, [use(85)], before, LEVELS, timedelta(0)).events == ()


def test_a_clock_that_was_ahead() -> None:
    """A warning from the year 2040 does not keep one from being reminded."""
    before = {KEY: Warned(80, MONDAY + timedelta(days=5000))}
    decision = decide(MONDAY, [use(85)], before, LEVELS, WEEK)
    assert (decision.events, decision.memory) == ((), {KEY: Warned(80, MONDAY)})


@pytest.mark.parametrize(
    ("used", "limit", "said"),
    [(1, 0, ["100"]), (0, 0, []), (3 / 7 + 4 / 7 - 1e-16, 1, ["100"]), (2, 3, []), (3, 3, ["100"])],
)
def test_small_limits(used: float, limit: float, said: list[str]) -> None:
    """GPUs and containers: a limit of none, sevenths, and all of a few."""
    one = Use(("gpu", "alice"), "alice", "GPUs", used, limit)
    assert told(decide(MONDAY, [one], {}, LEVELS, WEEK)) == said


def test_order_and_content() -> None:
    """Warnings come in the order of their keys, each with its use."""
    first, second = use(85, ("a",)), use(95, ("b",))
    decision = decide(MONDAY, [second, first], {}, LEVELS, WEEK)
    assert decision.events == (
        Crossing(first, 80, is_reminder=False), Crossing(second, 90, is_reminder=False),
    )  # fmt: skip
