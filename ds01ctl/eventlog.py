"""Read the event log and its rotated siblings: newest first on disk, oldest first in the answer.

A log of 500 MB is read backwards in blocks, and only as far as the question reaches.
"""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta, timezone
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, NamedTuple

from ds01ctl.core.timestamp import parse_time
from ds01ctl.errors import Ds01Error, UsageError
from ds01ctl.loglines import LINE_MAX, Tail, end_of, has_files, newest_first

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from ds01ctl.loglines import Line, Position

SLACK_S = 300.0
"""How much later than its newest event a file may be said to have been written."""
OLD_IN_A_ROW = 100
"""So many older events end the search; fewer are a clock gone wrong, or writers out of order."""
_DURATION = re.compile(r"(?:\d{1,6}[smhdw])+", re.ASCII)
_MOMENT = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(:\d\d(?:\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?", re.ASCII
)
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


class Record(NamedTuple):
    """One event as it was logged."""

    time: datetime
    type: str
    user: str | None
    source: str | None
    details: Mapping[str, Any]


class Wanted(NamedTuple):
    """Which events are asked for."""

    since: datetime | None = None
    types: tuple[str, ...] = ()
    """Shell patterns, one of which must fit: ``detection.*``; none: all."""
    user: str | None = None
    limit: int | None = None
    """The newest so many."""

    def fits(self, record: Record) -> bool:
        """Tell whether a record is asked for."""
        if self.since is not None and record.time < self.since:
            return False
        if self.user is not None and record.user != self.user:
            return False
        return not self.types or any(fnmatchcase(record.type, kind) for kind in self.types)


class Found(NamedTuple):
    """What the log says. The events stay text: parsed, they take ten times the memory."""

    lines: tuple[bytes, ...]
    """Oldest first."""
    is_cut: bool
    """More than the limit fit: older ones were left out."""
    exists: bool
    """There is a log, or a rotated one."""
    malformed: int
    """Lines among those read that are no events."""
    first_malformed: str | None
    """The oldest of them as file:line."""
    position: Position
    """Where to follow on."""

    @property
    def records(self) -> Iterator[Record]:
        """Read the events, oldest first."""
        return (record for text in self.lines if (record := read_record(text)))


def parse_since(text: str, now: datetime) -> datetime:
    """Read ``2h``, ``1d12h``, a date or a time; local time where no zone is given.

    Raises UsageError.
    """
    try:
        if _DURATION.fullmatch(text):
            parts = re.findall(r"(\d+)([smhdw])", text)
            return now - timedelta(seconds=sum(int(n) * _UNIT_S[unit] for n, unit in parts))
        if match := _MOMENT.fullmatch(text):
            day, minute, second, zone = match.groups()
            moment = f"{day}T{minute or '00:00'}{second or ':00'}{zone or ''}"
            return parse_time(moment).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        pass
    hint = "give 30m, 2h, 7d, 2026-11-23, or 2026-11-23T14:00 (local time; Z or +01:00 at the end)"
    raise UsageError(f"--since {text!a}: not a duration, date or time", hint)


def select(log: Path, wanted: Wanted) -> Found:
    """Find events. A log that does not exist is empty; Ds01Error for one that can't be read."""
    try:
        position = end_of(log)
        exists = has_files(log)
        found, malformed = _search(log, wanted)
        first = malformed[-1].place() if malformed else None
    except OSError as error:
        raise _cannot_read(log, error) from None
    kept = found[: wanted.limit]
    kept.reverse()
    kept.sort(key=lambda one: one[0])
    lines = tuple(text for _, text in kept)
    return Found(lines, len(found) > len(kept), exists, len(malformed), first, position)


def follow(
    log: Path, position: Position, wanted: Wanted, wait: Callable[[], bool]
) -> Iterator[Record]:
    """Yield the events logged after a position, through rotation and truncation.

    ``wait`` is called when there is nothing more; it returns False to end. Raises Ds01Error.
    """
    try:
        with Tail(log, position) as tail:
            while True:
                lines = tail.read()
                records = (read_record(text) for text in lines)
                yield from (record for record in records if record and wanted.fits(record))
                if not lines and not wait():
                    return
    except OSError as error:
        raise _cannot_read(log, error) from None


def _search(log: Path, wanted: Wanted) -> tuple[list[tuple[datetime, bytes]], list[Line]]:
    """Go back in time until the question is answered, and one event further; newest first."""
    found: list[tuple[datetime, bytes]] = []
    malformed: list[Line] = []
    since = wanted.since
    old = 0
    for line in newest_first(log, None if since is None else since.timestamp() - SLACK_S):
        record = read_record(line.text)
        if record is None:
            malformed.append(line._replace(text=b""))
            continue
        old = old + 1 if since is not None and record.time < since else 0
        if wanted.fits(record):
            found.append((record.time, line.text))
        if old >= OLD_IN_A_ROW or (wanted.limit is not None and len(found) > wanted.limit):
            break
    return found, malformed


def _cannot_read(log: Path, error: OSError) -> Ds01Error:
    hint = "run it as root"
    if not isinstance(error, PermissionError):
        hint = "events.path in the policy must name a file that can be read"
    return Ds01Error(f"{error.filename or log}: {error.strerror or error}", hint)


def read_record(text: bytes) -> Record | None:
    """Read a line of schema v1, or an older one with ``ts`` and ``event``; None: neither."""
    try:
        data = json.loads(text.decode()) if len(text) <= LINE_MAX else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict):
        return None
    time = _time(data.get("timestamp", data.get("ts")))
    kind = data.get("event_type", data.get("event"))
    if time is None or not isinstance(kind, str):
        return None
    details = data.get("details")
    if not isinstance(details, dict):
        known = {"timestamp", "ts", "event_type", "event", "schema_version", "user", "source"}
        details = {key: value for key, value in data.items() if key not in known}
    return Record(time, kind, _text(data.get("user")), _text(data.get("source")), details)


def _time(value: object) -> datetime | None:
    try:
        if isinstance(value, str):
            if value[10:11] == "T" and value[19:20] == "." and value[23:] == "Z":
                # as every new line has it: a tenth of the time
                return datetime.fromisoformat(f"{value[:-1]}+00:00")
            time = parse_time(value)
            # the platform's writers log UTC
            naive = time.tzinfo is None
            return (time.replace(tzinfo=timezone.utc) if naive else time).astimezone(timezone.utc)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, timezone.utc)
    except (ValueError, OverflowError, OSError):
        pass
    return None


def _text(value: object) -> str | None:
    return None if value is None else str(value)
