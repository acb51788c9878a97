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
from ds01ctl.core.timestamp import format_time
from ds01ctl.eventlog import Found, Record, Wanted, follow, parse_since, select

POLL_S = 0.5


class Query(NamedTuple):
    """The options of the command."""

    since: str | None = None
    types: tuple[str, ...] = ()
    user: str | None = None
    limit: int | None = None


def run(log: Path, query: Query, *, host: str, now: datetime) -> tuple[Result, Iterator[Record]]:
    """Find events; the iterator, for ``--follow``, blocks and gives those that come after.

    Raises UsageError for a time that is none, Ds01Error when the log can't be read.
    """
    since = parse_since(query.since, now) if query.since else None
    wanted = Wanted(since, query.types, query.user, query.limit)
    found = select(log, wanted)
    result = Result("events", host, now, data=_data(log, found))
    return result, follow(log, found.position, wanted, _wait)


def as_json(record: Record) -> dict[str, Any]:
    """Give an event by the key names of schema v1; ``--follow --json`` prints one per line."""
    return {
        "timestamp": format_time(record.time),
        "event_type": record.type,
        "user": record.user,
        "source": record.source,
        "details": record.details,
    }


def _data(log: Path, found: Found) -> dict[str, Any]:
    return {
        "log": str(log),
        "events": [as_json(record) for record in found.records],
        "malformed_lines": found.malformed,
        "first_malformed": found.first_malformed,
    }


def _wait() -> bool:
    time.sleep(POLL_S)
    return True


def show(query: Query, config: Path | None, *, follow: bool, as_json: bool) -> Shown:
    """Print what the log has, and with ``follow`` what comes, until ^C."""
    paths = gathering.host_paths()
    policy = gathering.load_policy(paths, config).policy
    log = paths.under(str(policy.value("events.path")))
    result, coming = run(log, query, host=os.uname().nodename, now=gathering.utcnow())
    if not follow:
        return Shown(result, lambda: _print(result), as_json)
    _follow(result, coming, as_json_lines=as_json)
    return Shown(result, lambda: None)


def _print(result: Result) -> None:
    from ds01ctl.report import events_text
    from ds01ctl.report.text import columns

    rows = list(events_text.rows(result.data["events"]))
    for line in columns([events_text.HEADINGS, *rows]) if rows else ["no events"]:
        print(line)
    if note := events_text.malformed_note(result.data):
        print(note, file=sys.stderr)


def _follow(result: Result, coming: Iterator[Record], *, as_json_lines: bool) -> None:
    from ds01ctl.report import events_text

    known = result.data["events"]
    with suppress(KeyboardInterrupt):
        for event in chain(known, map(as_json, coming)):
            if as_json_lines:
                print(json.dumps(event), flush=True)
            else:
                print(*next(events_text.rows([event])), sep="  ", flush=True)
