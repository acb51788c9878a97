"""The five time fields, as Vixie cron 3.0pl1 (Debian) reads them: entry.c, crontab(5)."""

from __future__ import annotations

import re
from typing import NamedTuple

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_LONGEST = {1: 31, 2: 29, 3: 31, 4: 30, 5: 31, 6: 30, 7: 31, 8: 31, 9: 30, 10: 31, 11: 30, 12: 31}
_PART = re.compile(r"(?P<first>\*|[A-Za-z0-9]+)(?:-(?P<last>[A-Za-z0-9]+))?(?:/(?P<step>[0-9]+))?")


class FieldError(Exception):
    """A field that cron refuses, or would not do what it says; offset counts from its start."""

    def __init__(self, offset: int, message: str) -> None:
        super().__init__(message)
        self.offset = offset
        self.message = message


class Kind(NamedTuple):
    """One of the five columns."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    def value(self, text: str, offset: int) -> int:
        """Read a number or a name; raises FieldError."""
        if text.lower() in self.names:
            return self.low + self.names.index(text.lower())
        if not (text.isascii() and text.isdigit()):
            raise FieldError(offset, f"{text!r} is no {self.name}; expected {self.expected()}")
        # a number of a thousand digits is out of range, whatever it is
        number = int(text) if len(text) < 9 else self.high + 1
        if not self.low <= number <= self.high:
            what = f"{text[:20]} is out of range for the {self.name}"
            raise FieldError(offset, f"{what}; expected {self.expected()}")
        return number

    def expected(self) -> str:
        """Say what may stand there."""
        names = f", or {self.names[0]} to {self.names[-1]}" if self.names else ""
        return f"{self.low} to {self.high}{names}"


MINUTE = Kind("minute", 0, 59)
HOUR = Kind("hour", 0, 23)
DAY = Kind("day of the month", 1, 31)
MONTH = Kind("month", 1, 12, _MONTHS)
WEEKDAY = Kind("day of the week", 0, 7, _WEEKDAYS)
KINDS = (MINUTE, HOUR, DAY, MONTH, WEEKDAY)

NAMED = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
REBOOT = "@reboot"


class Schedule(NamedTuple):
    """When a line runs: sorted values of each field, Sunday being 0 only."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]
    either_day: bool
    """Both day fields are restricted: one of them is enough. A field that *starts* with ``*``,
    such as ``*/2``, counts as not restricted (DOM_STAR and DOW_STAR in cron.c)."""
    is_wild: bool
    """Minute or hour start with ``*``: cron runs such a line by the new time after a clock change.
    """

    @property
    def never_runs(self) -> bool:
        """No date has all that is asked for, as 30 February."""
        dates = (day <= _LONGEST[month] for month in self.months for day in self.days)
        return not (self.either_day or any(dates))


def parse(fields: tuple[str, str, str, str, str]) -> Schedule:
    """Read five fields; raises FieldError of the first that is wrong, with its place in it."""
    minutes, hours, days, months, weekdays = map(values, fields, KINDS)
    return Schedule(
        minutes,
        hours,
        days,
        months,
        tuple(sorted({day % 7 for day in weekdays})),
        either_day=not (fields[2].startswith("*") or fields[4].startswith("*")),
        is_wild=fields[0].startswith("*") or fields[1].startswith("*"),
    )


def named(name: str) -> Schedule:
    """Give the schedule of ``@daily`` and its like."""
    minute, hour, day, month, weekday = NAMED[name].split()
    return parse((minute, hour, day, month, weekday))


def values(text: str, kind: Kind) -> tuple[int, ...]:
    """Read one field into its sorted values; raises FieldError."""
    found: set[int] = set()
    offset = 0
    for part in text.split(","):
        found |= _part(part, kind, offset)
        offset += len(part) + 1
    return tuple(sorted(found))


def _part(part: str, kind: Kind, offset: int) -> set[int]:
    match = _PART.fullmatch(part)
    if not match:
        raise FieldError(*_misfit(part, kind, offset))
    first, last, step = match["first"], match["last"], match["step"]
    # a step of a thousand digits is one value, whatever it is
    every = int((step.lstrip("0") or "0")[:9]) if step else 1
    if every == 0:
        raise FieldError(offset + match.start("step"), "a step of 0; expected 1 or more")
    if first == "*":
        if last is not None:
            raise FieldError(offset + 1, f"a range from *; expected {kind.expected()}, or * alone")
        return set(range(kind.low, kind.high + 1, every))
    low = kind.value(first, offset)
    if last is None:
        if step is not None:
            what = f"a step after one number; expected {first}, or {first}-{kind.high}/{step}"
            raise FieldError(offset + match.start("step") - 1, what)
        return {low}
    high = kind.value(last, offset + match.start("last"))
    if low > high:
        raise FieldError(offset, _wrapped(first, last, low, kind))
    return set(range(low, high + 1, every))


def _misfit(part: str, kind: Kind, offset: int) -> tuple[int, str]:
    """Find where a part stops being one; cron itself reads over some of this in silence."""
    match = _PART.match(part)
    at = match.end() if match else 0
    if not part[at:]:
        return offset, f"an empty {kind.name} in the list; expected {kind.expected()}"
    expected = "a number, *, a range a-b or a step a-b/n"
    return offset + at, f"{part[at:][:20]!r} in the {kind.name}; expected {expected}"


def _wrapped(first: str, last: str, low: int, kind: Kind) -> str:
    """Say what to write instead of a range that cron takes for an empty one."""
    high = kind.value(last, 0)
    if kind is WEEKDAY and high == 0:
        return f"{first}-{last} never runs: cron takes {last} for 0 here; expected {low}-7"
    end = 6 if kind is WEEKDAY else kind.high
    cure = f"{_shortest(low, end)},{_shortest(kind.low, high)}"
    return f"{first}-{last} runs backwards, and so never, in cron; expected {cure}"


def _shortest(low: int, high: int) -> str:
    return str(low) if low == high else f"{low}-{high}"
