"""Forecasts: of steady growth, noise, one-time copies, deletions, and of too little."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import pytest

from ds01ctl.core.forecast import days_until_full, trend_bytes_per_day

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=timezone.utc)
GB = 10**9
HOURS = 14 * 24

Samples = list[tuple[datetime, int]]


def hourly(used_gb: Callable[[float], float], hours: int = HOURS) -> Samples:
    """Samples of a use that is a function of days since the first."""
    begin = NOW - timedelta(hours=hours)
    times = range(hours + 1)
    return [(begin + timedelta(hours=one), int(used_gb(one / 24) * GB)) for one in times]


def changes_only(samples: Samples) -> Samples:
    """What is noted when only changes are, and at least one sample a day."""
    kept = samples[:1]
    for at, used in samples[1:]:
        if used != kept[-1][1] or at - kept[-1][0] >= timedelta(hours=24):
            kept.append((at, used))
    return kept


def trend_gb(samples: Samples) -> float:
    found = trend_bytes_per_day(samples, NOW)
    assert found is not None
    return found / GB


def noise(day: float) -> float:
    """Of about one, and the same each time."""
    return random.Random(day).gauss(0, 1)


def step(day: float, at: float) -> float:
    return 1.0 if day >= at else 0.0


GROWING: dict[str, tuple[Callable[[float], float], float]] = {
    "steady": (lambda day: 10 + 2 * day, 2),
    "with noise": (lambda day: 10 + 2 * day + noise(day), 2),
    "falling": (lambda day: 100 - 3 * day, -3),
    "a jump on the way": (lambda day: 10 + 2 * day + 50 * step(day, 7), 2),
    "a deletion on the way": (lambda day: 90 + 2 * day - 50 * step(day, 7), 2),
    "copied, and deleted": (lambda day: 10 + 2 * day + 50 * (step(day, 5) - step(day, 9)), 2),
    "a jump in noise": (lambda day: 10 + 2 * day + 50 * step(day, 7) + noise(day), 2),
    "a copy of two days": (lambda day: 10 + day + 25 * min(max(day - 6, 0), 2), 1),
    "every other day": (lambda day: 10 + 4 * (day // 2), 2),
    "in office hours": (lambda day: 10 + 2 * (day // 1) + 2 * min(day % 1 * 3, 1), 2),
    "outliers": (lambda day: 10 + 2 * day + (300 if noise(day) > 1.5 else 0), 2),
}


@pytest.mark.parametrize(("used", "expected"), GROWING.values(), ids=GROWING.keys())
def test_trend(used: Callable[[float], float], expected: float) -> None:
    """What goes on is the trend, to a fifth; what happened once is not."""
    samples = hourly(used)
    assert trend_gb(samples) == pytest.approx(expected, rel=0.2)
    assert trend_gb(changes_only(samples)) == pytest.approx(expected, rel=0.2)


@pytest.mark.parametrize("at", [0.5, 1, 3.5, 7, 10.5, 13, 13.9])
@pytest.mark.parametrize("size", [50, -50])
def test_a_jump_is_no_trend(at: float, size: float) -> None:
    """Wherever in the window it lies; a jump out of noise neither."""
    samples = hourly(lambda day: 100 + size * step(day, at))
    assert trend_gb(samples) == 0
    assert days_until_full(samples, 1000 * GB, NOW) is None
    assert abs(trend_gb(hourly(lambda day: 100 + size * step(day, at) + noise(day) / 2))) < 0.3


def test_days_until_full() -> None:
    samples = hourly(lambda day: 10 + 2 * day)
    assert days_until_full(samples, 58 * GB, NOW) == pytest.approx(10, rel=0.02)
    assert days_until_full(samples, 38 * GB, NOW) == 0
    assert days_until_full(samples, 1, NOW) == 0
    # 730 GB more take a year
    assert days_until_full(samples, 760 * GB, NOW) == pytest.approx(361, rel=0.02)
    assert days_until_full(samples, 800 * GB, NOW) is None


def test_after_a_deletion_it_counts_from_what_is_left() -> None:
    samples = hourly(lambda day: 90 + 2 * day - 100 * step(day, 13))
    assert days_until_full(samples, 118 * GB, NOW) == pytest.approx(50, rel=0.1)


UNKNOWN: dict[str, Samples] = {
    "nothing": [],
    "one": [(NOW, GB)],
    "less than a day": hourly(lambda day: 10 + 50 * day, 23),
    "of the future": [(NOW + timedelta(hours=one), one * GB) for one in range(1, 50)],
    "nobody looked since": [
        (at - timedelta(days=3), used) for at, used in hourly(lambda day: day * 5)
    ],
}


@pytest.mark.parametrize("samples", UNKNOWN.values(), ids=UNKNOWN.keys())
def test_unknown(samples: Samples) -> None:
    """Too little, or too old, is no forecast; not even of what is flat."""
    assert trend_bytes_per_day(samples, NOW) is None
    assert days_until_full(samples, 100 * GB, NOW) is None


@pytest.mark.parametrize(
    "used",
    [
        lambda day: 50, lambda day: 0, lambda day: 100 - day,
        lambda day: 50 + (day * 24 % 2) * 0.001,
    ],
)  # fmt: skip
def test_flat_and_falling(used: Callable[[float], float]) -> None:
    assert days_until_full(hourly(used), 100 * GB, NOW) is None


def test_a_day_is_enough_and_what_is_older_than_the_window_is_not_asked() -> None:
    assert trend_gb(hourly(lambda day: 10 + 5 * day, 24)) == pytest.approx(5, rel=0.05)
    month = hourly(lambda day: 10 * min(day, 16) + max(day - 16, 0), 30 * 24)
    assert trend_gb(month) == pytest.approx(1, rel=0.05)


def test_a_user_who_changes_nothing_has_one_sample_a_day() -> None:
    """Two changes in two weeks: sparse, and no trend of the last two points."""
    begin = NOW - timedelta(days=10)
    samples = [(begin, 10 * GB), (NOW - timedelta(hours=5), 60 * GB)]
    assert trend_gb(samples) == 0


def test_a_month_of_minutes_has_the_trend_of_its_last_two_weeks() -> None:
    """However many samples there are: most lie between those that are looked at."""
    begin = NOW - timedelta(days=30)
    days = [one / (24 * 60) for one in range(30 * 24 * 60 + 1)]
    used = [8 * min(day, 16) + 3 * max(day - 16, 0) for day in days]
    samples = [
        (begin + timedelta(days=day), int(gb * GB)) for day, gb in zip(days, used, strict=True)
    ]
    assert trend_gb(samples) == pytest.approx(3, rel=0.01)
