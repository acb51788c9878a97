"""The times of a report of `carbon`: from what the admin says to whole hours."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from ds01ctl.core.carbon_report import Period
from ds01ctl.core.energy_booking import HOUR_S
from ds01ctl.errors import UsageError

if TYPE_CHECKING:
    from ds01ctl.state import State

_HOURLY = 49
"""Periods of fewer hours are drawn by the hour, longer ones by the day."""


def periods_of(since: str | None, until: str | None, now: datetime) -> tuple[Period, ...]:
    """Say which times are asked for; today and this month, where none is. Raises UsageError."""
    end = hour_after(now)
    if since is None and until is None:
        today = midnight_of(now)
        return (
            Period("today", hour_of(today), end),
            Period("this month", hour_of(first_of_month(now)), end),
        )
    return (period_of(since, until, now),)


def period_of(since: str | None, until: str | None, now: datetime) -> Period:
    """Read one period; without an end it is now, without a beginning the end's month's."""
    last = moment("--until", until, now) if until is not None else now
    if since is not None:
        first = moment("--since", since, now)
    else:
        first = first_of_month(last - timedelta(microseconds=1))
    if first >= last:
        raise UsageError(f"--since {since} is not before --until {until or 'now'}")
    return Period("period", hour_of(first), hour_after(last))


def moment(option: str, text: str, now: datetime) -> datetime:
    """Read a time as `events --since` does; a day is its beginning. Raises UsageError."""
    from ds01ctl.eventlog import parse_since

    try:
        return parse_since(text, now)
    except UsageError as error:
        raise UsageError(error.message.replace("--since", option, 1), error.hint) from None


def midnight_of(time: datetime, days: int = 0) -> datetime:
    """Give the beginning of a time's day, or of one some days later, in the host's time zone."""
    # without a zone it is the system's of that very day, be it summer or winter
    day = time.astimezone().replace(tzinfo=None, hour=0, minute=0, second=0, microsecond=0, fold=0)
    day += timedelta(days=days)
    found = day.astimezone()
    # where clocks go from 0 to 1, there is no midnight
    return found if found.date() == day.date() else day.replace(fold=1).astimezone()


def first_of_month(time: datetime) -> datetime:
    """Give the beginning of a time's month, in the host's time zone."""
    return midnight_of(time.astimezone().replace(tzinfo=None, day=1))


def hour_of(time: datetime) -> int:
    """Say which hour a time is in."""
    return int(time.timestamp() // HOUR_S)


def hour_after(time: datetime) -> int:
    """Say which hour is the first that begins at a time or after it."""
    return -int(-time.timestamp() // HOUR_S)


def time_of(hour: int) -> datetime:
    """Give the beginning of an hour."""
    return datetime.fromtimestamp(hour * HOUR_S, timezone.utc)


def stored_part(state: State | None, period: Period, now: datetime) -> Period:
    """Leave out what is before the first hour that is stored, and after now and the last one."""
    span = state.energy_span() if state else None
    if span is None:
        return period._replace(end=period.first)
    end = min(period.end, max(span[1], hour_after(now)))
    first = max(period.first, span[0])
    return period._replace(first=first, end=max(first, end))


def buckets(period: Period, stored: Period) -> list[Period]:
    """Divide the time for a plot: into hours where it is short, else into days of the host's."""
    is_short = period.end - period.first < _HOURLY
    found: dict[str, Period] = {}
    hour = stored.first
    while hour < stored.end:
        local = time_of(hour).astimezone()
        name = f"{local:%Y-%m-%d %H:%M}" if is_short else f"{local:%Y-%m-%d}"
        next_day = max(hour_after(midnight_of(local, 1)), hour + 1)
        end = hour + 1 if is_short else min(next_day, stored.end)
        # an hour of the clock is there twice when summer ends
        found[name] = found.get(name, Period(name, hour, hour))._replace(end=end)
        hour = end
    return list(found.values())
