"""What is known of a unit that failed, and when to tell of it: once, not every 30 seconds."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.core.run_result import in_words
from ds01ctl.core.timestamp import format_time, parse_time

if TYPE_CHECKING:
    from collections.abc import Mapping

EVENT_AGAIN = timedelta(hours=1)
MAIL_AGAIN = timedelta(hours=23)
"""Below a day, so that a job that fails daily is told daily."""
MAIL_RETRY = timedelta(minutes=10)
"""After a mail that could not be sent."""
QUIET_LEAST = timedelta(hours=1)
QUIET_CALENDAR = timedelta(hours=25)
_QUIET_PERIODS = 3
# what a header and SMTP's RCPT take as it is, or the login of a local mail box
_ADDRESS = re.compile(r"(?![-.])[A-Za-z0-9.!#$%&'*+/=?^_{|}~-]{1,64}(@[A-Za-z0-9.-]{1,190})?")


class Failure(NamedTuple):
    """How a run of a unit ended."""

    unit: str
    """With its suffix."""
    at: datetime
    result: str | None = None
    """systemd's word: ``exit-code``, ``signal``, ``timeout``…"""
    status: str | None = None
    """The exit code, or the signal."""
    invocation: str | None = None
    lines: tuple[str, ...] = ()
    """The last lines of that run."""
    last_error: str | None = None

    @property
    def in_words(self) -> str:
        """Say how it ended."""
        status = int(self.status) if self.status and self.status.isdecimal() else self.status
        return in_words(self.result, status) or "for an unknown reason"


class Streak(NamedTuple):
    """A row of failures of one unit."""

    began_at: datetime
    last_at: datetime
    failures: int = 0
    told_at: datetime | None = None
    mailed_at: datetime | None = None
    tried_at: datetime | None = None

    def event_is_due(self, now: datetime) -> bool:
        """Tell whether to write an event."""
        return self.told_at is None or now - self.told_at >= EVENT_AGAIN

    def mail_is_due(self, now: datetime) -> bool:
        """Tell whether to send a mail."""
        if self.mailed_at is not None and now - self.mailed_at < MAIL_AGAIN:
            return False
        return self.tried_at is None or now - self.tried_at >= MAIL_RETRY


def quiet_of(every_s: int | None) -> timedelta:
    """Say after how long without a failure a row of them is over."""
    if every_s is None:
        return QUIET_CALENDAR
    return max(QUIET_LEAST, timedelta(seconds=_QUIET_PERIODS * every_s))


def advance(old: Streak | None, now: datetime, quiet: timedelta) -> Streak:
    """Count one more failure; after a quiet time, or a step of the clock, a new row begins."""
    if old is None or abs(now - old.last_at) > quiet:
        old = Streak(now, now)
    return old._replace(last_at=now, failures=old.failures + 1)


def dump(streak: Streak) -> str:
    """Write a streak as JSON."""
    told = {
        name: format_time(value) if isinstance(value, datetime) else value
        for name, value in streak._asdict().items()
    }
    return json.dumps(told) + "\n"


def load(text: str) -> Streak | None:
    """Read a streak; None for what makes no sense."""
    try:
        said = json.loads(text)
        times = {name: _time(said, name) for name in ("told_at", "mailed_at", "tried_at")}
        began, last, count = _time(said, "began_at"), _time(said, "last_at"), said["failures"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    if began is None or last is None or type(count) is not int or count < 0:
        return None
    return Streak(began, last, count, **times)


def _time(said: Mapping[str, object], name: str) -> datetime | None:
    value = said[name]
    if value is None:
        return None
    time = parse_time(str(value))
    if time.tzinfo is None:
        raise ValueError(f"{name}: no zone")
    return time


def mail_to(unit_text: str | None) -> tuple[str, ...] | None:
    """Read ``X-DS01-MailTo=`` of a unit file; None: it has none; empty: nobody is to be told."""
    found = None
    for line in (unit_text or "").splitlines():
        name, equals, value = line.partition("=")
        if equals and name.strip() == "X-DS01-MailTo":
            found = tuple(value.replace("%%", "%").replace(",", " ").split())
    return found


def is_mailable(address: str) -> bool:
    """Tell whether an address can stand in a header as it is; a bare login is a local mail box."""
    return _ADDRESS.fullmatch(address) is not None
