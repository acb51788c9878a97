"""Events as lines for people: one row each, nothing in it that a terminal would obey."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ds01ctl.core.timestamp import parse_time
from ds01ctl.report.events import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

HEADINGS = ("TIME", "EVENT", "USER", "DETAILS")


def rows(events: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str, str, str]]:
    """Give a row per event, in the form of schema v1; times in local time."""
    for event in events:
        time = parse_time(event["timestamp"]).astimezone()
        yield (
            f"{time:%Y-%m-%d %H:%M:%S}",
            printable(event["event_type"]),
            printable(event["user"] or "-"),
            _details(event["details"]),
        )


def malformed_note(data: Mapping[str, Any]) -> str | None:
    """Say how many lines of the log are no events; None where all are."""
    count = data["malformed_lines"]
    if not count:
        return None
    lines = "1 line is" if count == 1 else f"{count} lines are"
    return f"{lines} not an event, the first at {data['first_malformed']}"


def _details(details: Mapping[str, Any]) -> str:
    """Give the message where the writer left one, else the details themselves."""
    message = details.get("message")
    if isinstance(message, str):
        return printable(message)
    return " ".join(f"{printable(key)}={_value(value)}" for key, value in details.items())


def _value(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return printable(text)
