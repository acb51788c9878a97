"""A schedule as OnCalendar= expressions that elapse at exactly the same minutes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.cron.fields import DAY, HOUR, MINUTE, MONTH, Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ds01ctl.cron.fields import Schedule

_NAMES = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def calendars(schedule: Schedule, zone: str | None = None) -> tuple[str, ...]:
    """Write one expression, or two where either day field is enough.

    A timer that elapses by both at once starts its service once. Steps are written out:
    ``*:0/7`` of systemd 252 leaves out the minute 0 of every day.
    """
    time = f"{_numbers(schedule.hours, HOUR)}:{_numbers(schedule.minutes, MINUTE)}:00"
    months = _numbers(schedule.months, MONTH)
    days, weekdays = _numbers(schedule.days, DAY), _weekdays(schedule.weekdays)
    if not schedule.either_day:
        wanted = [(weekdays, days)]
    elif days == "*" or not weekdays:
        wanted = [("", "*")]
    else:
        wanted = [("", days), (weekdays, "*")]
    end = f" {zone}" if zone else ""
    return tuple(f"{names}*-{months}-{numbers} {time}{end}" for names, numbers in wanted)


def _weekdays(found: Sequence[int]) -> str:
    """List the days by name, with a space behind, as systemd does; nothing for all seven."""
    if len(found) == 7:
        return ""
    runs = _runs(sorted((day - 1) % 7 for day in found))
    return ",".join(_span(_NAMES[low], _NAMES[high], high - low) for low, high in runs) + " "


def _numbers(found: Sequence[int], kind: Kind) -> str:
    if len(found) == kind.high - kind.low + 1:
        return "*"
    return ",".join(_span(f"{low:02}", f"{high:02}", high - low) for low, high in _runs(found))


def _span(low: str, high: str, length: int) -> str:
    if not length:
        return low
    return f"{low},{high}" if length == 1 else f"{low}..{high}"


def _runs(found: Sequence[int]) -> list[tuple[int, int]]:
    """Group sorted numbers into runs without a hole."""
    runs: list[tuple[int, int]] = []
    for number in found:
        if runs and number == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs
