"""What disks held before: how much of it is noted, and what a clock that is wrong does to it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from ds01ctl.commands import quota_history
from ds01ctl.core.disk_quota import Accounting, DiskQuota, QuotaFileSystem
from ds01ctl.core.quota_model import Place
from ds01ctl.paths import Paths
from ds01ctl.state import State

if TYPE_CHECKING:
    from pathlib import Path

NOON = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ALICE, BOB = ("/home", "user", 2101), ("/home", "user", 2102)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path)


def note(paths: Paths, at: datetime, alice: int, bob: int = 7) -> None:
    records = (DiskQuota(2101, alice, 1), DiskQuota(2102, bob, 1))
    on = {"user": Accounting(is_on=True)}
    one = QuotaFileSystem("/home", "/dev/sda1", "xfs", (), on, {"user": records})  # type: ignore[arg-type]
    seen: Any = SimpleNamespace(taken_at=at, file_systems=(one,))
    with State.open_for_recording(paths) as state, state.transaction():
        quota_history.note(state, seen)


def hours(paths: Paths, begin: datetime, count: int) -> None:
    for number in range(count):
        note(paths, begin + number * HOUR, 1000 + number)


def noted(paths: Paths, now: datetime) -> list[datetime]:
    found = quota_history.samples(paths, now, [ALICE]).get(ALICE, [])
    return [datetime.fromtimestamp(at, timezone.utc) for at, _ in found]


def test_what_changes_is_noted_every_six_hours_and_the_rest_daily(paths: Paths) -> None:
    hours(paths, NOON, 49)
    now = NOON + 2 * DAY
    assert noted(paths, now) == [NOON + number * 6 * HOUR for number in range(9)]
    assert len(quota_history.samples(paths, now, [BOB])[BOB]) == 3
    # who never changed is not read where all are, and has no forecast
    everybody = quota_history.samples(paths, now)
    assert everybody.keys() == {ALICE}
    limits = {Place(*ALICE): 5000, Place(*BOB): 5000}  # type: ignore[arg-type]
    both = quota_history.samples(paths, now, [ALICE, BOB])
    forecasts = quota_history.forecasts(both, limits, now)
    assert forecasts.keys() == {Place(*ALICE)}  # type: ignore[arg-type]
    assert forecasts[Place(*ALICE)].bytes_per_day == pytest.approx(24, rel=0.1)  # type: ignore[arg-type]


def test_two_weeks_are_kept(paths: Paths) -> None:
    for number in range(40):
        note(paths, NOON + number * DAY, number + 1)
    now = NOON + 39 * DAY
    assert noted(paths, now)[0] == now - 14 * DAY


@pytest.mark.parametrize("off", [400 * DAY, -400 * DAY])
def test_a_wrong_clock_wipes_nothing(paths: Paths, off: timedelta) -> None:
    """However often a run sees it, in a day."""
    for number in range(12):
        note(paths, NOON + number * DAY, number + 1)
    end = NOON + 11 * DAY
    before = noted(paths, end)
    for number in range(20):
        note(paths, end + off + number * HOUR, 5000 + number)
    note(paths, end + HOUR, 20)
    assert noted(paths, end + HOUR) == before
    note(paths, end + 7 * HOUR, 30)
    assert noted(paths, end + 7 * HOUR) == [*before, end + 7 * HOUR]
    # what was noted ahead is gone for good
    if off > timedelta():
        assert noted(paths, end + off + DAY) == []


@pytest.mark.parametrize(
    ("days", "now", "expected"),
    [
        ([], 5, (0, 5 * 86400)),
        (range(40), 39, (25 * 86400, 39 * 86400)),
        # away for long: the last two weeks that were seen
        (range(20), 400, (5 * 86400, 400 * 86400)),
        ([*range(10), 300], 9, (0, 9 * 86400)),
        ([3, *range(300, 310)], 3, (3 * 86400, None)),
    ],
)
def test_kept(days: list[int], now: int, expected: tuple[int, int | None]) -> None:
    assert quota_history.kept(days, now * 86400) == expected
