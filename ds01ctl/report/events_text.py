"""Events as lines for people: one row each, nothing in it that a terminal would obey."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ds01ctl.core.timestamp import parse_time
from ds01ctl.report.text import cells, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

Row = tuple[str, str, str, str]


def headings(times: Iterable[datetime]) -> Row:
    """Give the headings, with the local zone of the times, or both around a change of clocks."""
    zones = "/".join(dict.fromkeys(time.astimezone().tzname() or "" for time in times))
    return f"TIME ({zones})" if zones else "TIME", "EVENT", "USER", "DETAILS"


def rows(events: Iterable[Mapping[str, Any]]) -> Iterator[Row]:
    """Give a row per event, in the form of schema v1; times in local time."""
    for event in events:
        time = parse_time(event["timestamp"]).astimezone()
        yield (
            f"{time:%Y-%m-%d %H:%M:%S}",
            printable(event["event_type"]),
            printable(event["user"] or "-"),
            _details(event["details"]),
        )


def cut(lines: Iterable[str], width: int | None) -> Iterator[str]:
    """Shorten lines to a width in terminal cells; None: never."""
    for line in lines:
        if width is None or cells(line) <= width:
            yield line
            continue
        short = line[: max(width - 1, 0)]
        while cells(short) >= width:
            short = short[:-1]
        yield f"{short}…"


def malformed_note(data: Mapping[str, Any]) -> str | None:
    """Say how many lines of the log are no events; None where all are."""
    count = data["malformed_lines"]
    if not count:
        return None
    lines = "1 line is" if count == 1 else f"{count} lines are"
    return f"{lines} not an event, the first at {data['first_malformed']}"


def cut_note(data: Mapping[str, Any]) -> str | None:
    """Say that older events were left out; None where none were."""
    if not data["truncated"]:
        return None
    return f"only the last {data['limit']} events; --since or --limit shows more"


def none_note(data: Mapping[str, Any], filters: Sequence[str]) -> str:
    """Say that there are no events, and why."""
    log = printable(data["log"])
    if not data["log_exists"]:
        return f"no events in {log}: there is no such file yet (detect --record writes it)"
    if filters:
        return f"no events in {log} that fit {', '.join(filters)}"
    return f"no events in {log}"


def _details(details: Mapping[str, Any]) -> str:
    """Give the message, which begins with the subject; without one the subject and the details."""
    message = details.get("message")
    gpus = _gpus(details.get("gpus"))
    if isinstance(message, str):
        # first, so that it is not what a narrow screen cuts off
        return (f"{gpus}: " if gpus and gpus not in message else "") + printable(message)
    subject = [printable(str(details[key])) for key in ("pid", "name") if details.get(key)]
    shown = {"pid", "name", *(["gpus"] if gpus else [])}
    rest = [
        f"{printable(key)}={_value(value)}"
        for key, value in details.items()
        if key not in shown or not details[key]
    ]
    return " ".join([*subject, *([f"[{gpus}]"] if gpus else []), *rest])


def _gpus(uses: object) -> str:
    """List the indices of the GPUs that an event is about: ``GPU 0, 3``."""
    if not isinstance(uses, list):
        return ""
    known = {use["index"] for use in uses if isinstance(use, dict) and "index" in use}
    indices = sorted(index for index in known if isinstance(index, int))
    return f"GPU {', '.join(map(str, indices))}" if indices else ""


def _value(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return printable(text)
