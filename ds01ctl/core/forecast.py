"""Say when something is full, from what it held before: by a slope that outliers do not move.

The slope is that of Theil and Sen: the median of the slopes between all pairs of points. A file
copied or deleted once is no trend, but in the middle of the window half of all pairs lie across
it; so one such jump up and one down are taken out first.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import datetime, timedelta
from itertools import accumulate, combinations, groupby, pairwise
from operator import itemgetter
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    Sample = tuple[datetime, int]

WINDOW = timedelta(days=14)
LEAST_SPAN = timedelta(hours=24)
MOST_DAYS = 365.0
_STALE = timedelta(days=2)
"""Without a sample for so long, nobody looked."""
_POINTS = 25
"""300 pairs, however many samples there are."""
_JUMP = 8.0
"""Times the median step that a step must be to be none of the usual ones."""
_DAY_S = 86400.0
_time = itemgetter(0)


def days_until_full(
    samples: Sequence[tuple[datetime, int]], limit_bytes: int, now: datetime
) -> float | None:
    """Say in how many days a limit is reached; 0: it is.

    samples: by rising time, hourly or noted when they changed. None where they span less than 24
    hours, are older than two days, do not rise, or do not get there within a year.
    """
    speed = trend_bytes_per_day(samples, now)
    if speed is None:
        return None
    return days_at(speed, limit_bytes - _window(samples, now)[-1][1])


def days_at(bytes_per_day: float, left_bytes: int) -> float | None:
    """Say in how many days so much is used at a speed; None: not within a year."""
    if left_bytes <= 0:
        return 0.0
    # by a product: a slope may be too small to divide by
    return left_bytes / bytes_per_day if bytes_per_day * MOST_DAYS >= left_bytes else None


def trend_bytes_per_day(samples: Sequence[tuple[datetime, int]], now: datetime) -> float | None:
    """Say how fast something grew in the last two weeks, in bytes a day; None: not known."""
    known = _window(samples, now)
    if not known or now - known[-1][0] > _STALE:
        return None
    begin = max(known[0][0], now - WINDOW)
    if now - begin < LEAST_SPAN:
        return None
    # most are: of ten thousand users a few hundred work
    if all(used == known[0][1] for _, used in known):
        return 0.0
    points_a_day = (_POINTS - 1) * _DAY_S / (now - begin).total_seconds()
    return _slope(_points(known, begin, now)) * points_a_day


def _window(samples: Sequence[Sample], now: datetime) -> Sequence[Sample]:
    """Take those of the window and the one before it; not what a clock that was ahead noted."""
    first = bisect_right(samples, now - WINDOW, key=_time)
    return samples[max(first - 1, 0) : bisect_right(samples, now, key=_time)]


def _points(known: Sequence[Sample], begin: datetime, now: datetime) -> list[int]:
    """Read the samples at equal distances: each holds until the next one."""
    step = (now - begin) / (_POINTS - 1)
    times = (begin + number * step for number in range(_POINTS))
    places = (bisect_right(known, time, key=_time) for time in times)
    return [known[max(place - 1, 0)][1] for place in places]


def _slope(points: Sequence[int]) -> float:
    """Give the rise from point to point."""
    steady = _without_jumps(points)
    numbered = enumerate(steady)
    return median((to - of) / (j - i) for (i, of), (j, to) in combinations(numbered, 2))


def _without_jumps(points: Sequence[int]) -> list[float]:
    """Take out what happened once: one rise and one fall that are no steps like the others."""
    steps: list[float] = [to - of for of, to in pairwise(points)]
    usual, size = median(steps), median(abs(step) for step in steps)
    signs = [(abs(step) > _JUMP * size) * (1 if step > 0 else -1) for step in steps]
    runs = _runs(signs)
    for sign in (1, -1):
        of_sign = [places for run_sign, places in runs if run_sign == sign]
        # what came several times, or took long, is how it grows
        if len(of_sign) == 1 and len(of_sign[0]) <= len(steps) // 5:
            for place in of_sign[0]:
                steps[place] = usual
    return list(accumulate(steps, initial=float(points[0])))


def _runs(signs: Sequence[int]) -> list[tuple[int, list[int]]]:
    """Group neighbours of the same sign: sign, and their places."""
    grouped = groupby(range(len(signs)), key=lambda place: signs[place])
    return [(sign, list(places)) for sign, places in grouped]
