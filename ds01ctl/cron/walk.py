"""Cron's own question, minute by minute: find_jobs() of cron.c, written apart from the calendar."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ds01ctl.cron.fields import Schedule


def runs_on(schedule: Schedule, day: date) -> bool:
    """Tell whether a line runs on a day at all."""
    if day.month not in schedule.months:
        return False
    by_date = day.day in schedule.days
    by_name = day.isoweekday() % 7 in schedule.weekdays
    return (by_date or by_name) if schedule.either_day else (by_date and by_name)


def firings(schedule: Schedule, start: datetime, end: datetime) -> Iterator[datetime]:
    """Walk through the minutes after start and before end at which cron runs a line.

    The wall clock is taken to be even: no change of daylight saving time is in it.
    """
    for number in range((end.date() - start.date()).days + 1):
        day = start.date() + timedelta(days=number)
        if not runs_on(schedule, day):
            continue
        for hour in schedule.hours:
            for minute in schedule.minutes:
                moment = datetime.combine(day, time(hour, minute), start.tzinfo)
                if start < moment < end:
                    yield moment
