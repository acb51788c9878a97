"""``ds01ctl events``: what happened, from the event log."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from ds01ctl.commands import gathering
from ds01ctl.commands.shown import Shown
from ds01ctl.core.plan import Result
from ds01ctl.eventlog import Found, Record, Wanted, follow, parse_since, select
from ds01ctl.report.events import timestamp

POLL_S = 0.5
LIMIT = 1000
"""So many events are shown where neither a time nor a number is given."""


class Query(NamedTuple):
    """The options of the command."""

    since: str | None = None
    types: tuple[str, ...] = ()
    user: str | None = None
    limit: int | None = None

    @property
    def filters(self) -> tuple[str, ...]:
        """Name the options that hide events."""
        given = (("--since", self.since), ("--type", self.types), ("--user", self.user))
        return tuple(option for option, value in given if value)


class Reading(NamedTuple):
    """What the log has, and what will come."""

    result: Result
    """Without the events, which may be many: ``document`` and ``found`` have them."""
    found: Found
    coming: Iterator[Record]
    """Blocks, and gives the events that come after those found."""

    def document(self) -> Iterator[str]:
        """Give the JSON document in pieces, so that no more than one event is in memory twice."""
        from ds01ctl.report import document

        # in a string the quotes would be escaped
        head, tail = document.dumps(document.of_result(self.result)).split('"events":[]', 1)
        yield head + '"events":['
        encode = json.JSONEncoder(separators=(",", ":")).encode
        for index, record in enumerate(self.found.records):
            yield ("," if index else "") + encode(as_json(record))
        yield "]" + tail


def run(log: Path, query: Query, *, host: str, now: datetime) -> Reading:
    """Find events.

    Raises UsageError for a time that is none, Ds01Error when the log can't be read.
    """
    since = parse_since(query.since, now) if query.since else None
    limit = LIMIT if query.limit is None and since is None else query.limit
    wanted = Wanted(since, query.types, query.user, limit)
    found = select(log, wanted)
    result = Result("events", host, now, data=_data(log, found, limit))
    return Reading(result, found, follow(log, found.position, wanted, _wait))


def as_json(record: Record) -> dict[str, Any]:
    """Give an event by the key names of schema v1; ``--follow --json`` prints one per line."""
    return {
        "timestamp": timestamp(record.time),
        "event_type": record.type,
        "user": record.user,
        "source": record.source,
        "details": record.details,
    }


def _data(log: Path, found: Found, limit: int | None) -> dict[str, Any]:
    return {
        "log": str(log),
        "log_exists": found.exists,
        "limit": limit,
        "truncated": found.is_cut,
        "malformed_lines": found.malformed,
        "first_malformed": found.first_malformed,
        "events": [],
    }


def _wait() -> bool:
    time.sleep(POLL_S)
    return True


def show(query: Query, config: Path | None, *, follow: bool, as_json: bool) -> Shown:
    """Print what the log has, and with ``follow`` what comes, until ^C."""
    paths = gathering.host_paths()
    policy = gathering.load_policy(paths, config).policy
    log = paths.under(str(policy.value("events.path")))
    reading = run(log, query, host=os.uname().nodename, now=gathering.utcnow())
    if follow:
        _follow(reading, as_json_lines=as_json)
        return Shown(reading.result, lambda: None)
    render = _print_json if as_json else _print
    return Shown(reading.result, lambda: render(reading, query))


def _print_json(reading: Reading, query: Query) -> None:
    for piece in reading.document():
        sys.stdout.write(piece)
    print()
    _tell_notes(reading, query)


def _print(reading: Reading, query: Query) -> None:
    from ds01ctl.report import events_text
    from ds01ctl.report.text import columns

    rows = list(events_text.rows(map(as_json, reading.found.records)))
    if not rows:
        print(events_text.none_note(reading.result.data, query.filters))
    else:
        headings = events_text.headings(record.time for record in reading.found.records)
        for line in events_text.cut(columns([headings, *rows]), _width()):
            print(line)
    _tell_notes(reading, query)


def _tell_notes(reading: Reading, query: Query) -> None:
    from ds01ctl.report import events_text

    data = reading.result.data
    # who gave a number knows that there may be more
    cut = events_text.cut_note(data) if query.limit is None else None
    for note in (cut, events_text.malformed_note(data)):
        if note:
            print(note, file=sys.stderr)


def _width() -> int | None:
    """Find the width of the screen in characters; None: not a screen."""
    from ds01ctl.report.text import width

    return width() if sys.stdout.isatty() else None


def _follow(reading: Reading, *, as_json_lines: bool) -> None:
    from ds01ctl.report import events_text

    with suppress(KeyboardInterrupt):
        for event in map(as_json, chain(reading.found.records, reading.coming)):
            if as_json_lines:
                print(json.dumps(event), flush=True)
                continue
            row = "  ".join(next(events_text.rows([event])))
            print(*events_text.cut([row], _width()), flush=True)
