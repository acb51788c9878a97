"""Two warnings, then the stop: none is skipped, and the rest of the time comes after each.

What is compared is the time that was counted when a warning was delivered, so that an outage
brings nothing nearer; a warning that reached nobody was not given, and one from when the limit was
shorter says nothing of the stop that is due now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from ds01ctl.core.cleanup_model import Part, Warned

# of seconds that were added up
_ROUNDING = 1e-6
_TOLERANCE = 0.01


class Stages(NamedTuple):
    """When to warn and to stop, in parts of the limit."""

    first: float
    second: float
    first_to_second: float
    first_to_stop: float
    second_to_stop: float


IDLE = Stages(0.80, 0.95, 0.15, 0.20, 0.05)
RUNTIME = Stages(0.75, 0.90, 0.15, 0.25, 0.10)


class Due(NamedTuple):
    """What is due now."""

    what: Literal["warn", "stop"]
    stage: int
    """warn: 1 or 2."""
    in_s: float
    """warn: until the stop, at the earliest."""
    overdue_s: float


def has_reached(channels: Iterable[str]) -> bool:
    """Tell whether one of these channels brings a warning to its user.

    The notice in a file of root's does not: it is there to be looked up, and nothing shows it.
    """
    return any(not one.startswith("notice ") for one in channels)


def given(
    warned: Iterable[Warned], part: Part, counted_s: float, since: datetime | None
) -> tuple[Warned | None, Warned | None]:
    """Find the warnings that count: delivered, of this part, and after whatever spared it last."""
    valid = [
        one
        for one in warned
        if one.part == part
        and has_reached(one.channels)
        and one.counted_s <= counted_s + _ROUNDING
        and (since is None or one.at >= since)
    ]
    first = next((one for one in reversed(valid) if one.stage == 1), None)
    if first is None:
        return None, None
    later = (one for one in reversed(valid) if one.stage == 2 and one.counted_s >= first.counted_s)
    return first, next(later, None)


def due(
    stages: Stages, counted_s: float, limit_s: float, first: Warned | None, second: Warned | None
) -> Due | None:
    """Tell what is due after so much counted time.

    A warning that came too early for the limit of now, which has grown since, is none.
    """
    if _is_early(first, limit_s * stages.first):
        first = second = None
    if _is_early(second, limit_s * stages.second):
        second = None
    if first is None:
        begin = limit_s * stages.first
        left = max(limit_s - counted_s, limit_s * stages.first_to_stop)
        return _if_past(counted_s, begin, Due("warn", 1, left, counted_s - begin))
    earliest = max(limit_s, first.counted_s + limit_s * stages.first_to_stop)
    if second is None:
        begin = max(limit_s * stages.second, first.counted_s + limit_s * stages.first_to_second)
        left = max(earliest - counted_s, limit_s * stages.second_to_stop)
        return _if_past(counted_s, begin, Due("warn", 2, left, counted_s - begin))
    stop = max(earliest, second.counted_s + limit_s * stages.second_to_stop)
    return _if_past(counted_s, stop, Due("stop", 0, 0.0, counted_s - stop))


def _is_early(warned: Warned | None, mark: float) -> bool:
    return warned is not None and warned.counted_s < mark * (1 - _TOLERANCE)


def due_in_report(stages: Stages, counted_s: float, limit_s: float) -> Due | None:
    """Tell what would be due had every warning been given; it is told, never done."""
    marks = (
        Due("stop", 0, 0.0, counted_s - limit_s),
        Due("warn", 2, limit_s - counted_s, counted_s - limit_s * stages.second),
        Due("warn", 1, limit_s - counted_s, counted_s - limit_s * stages.first),
    )
    return next((one for one in marks if one.overdue_s >= -_ROUNDING), None)


def _if_past(counted_s: float, mark: float, one: Due) -> Due | None:
    return one if counted_s + _ROUNDING >= mark else None
