"""What `explain USER` tells, as lines."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from ds01ctl.report import config_text, enforce_show_text
from ds01ctl.report.local_time import local_time
from ds01ctl.report.text import ENDLESS, clean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ds01ctl.core.plan import Result

_SHOWN = 10


def explain_lines(result: Result, width: int = ENDLESS) -> list[str]:
    """Tell the policy's word, then what is live, then what happened."""
    data = result.data
    lines = config_text.explain_lines(result, width)
    if data["spared"]:
        lines += ["", f"not limited: {clean(data['spared'])}"]
    if data["live"]:
        lines += ["", *enforce_show_text.user_lines(data["live"])]
    if data["processes"]:
        lines += ["", *_process_lines(data["processes"])]
    return [*lines, "", *_event_lines(data)]


def _process_lines(processes: Mapping[str, Any]) -> Iterator[str]:
    inside = [f"{count} in {unit}" for unit, count in sorted(processes["by_home"].items())]
    yield f"processes on the host: {processes['count']}" + (
        f" ({', '.join(inside)})" if inside else ""
    )
    for one in processes["outside"][:_SHOWN]:
        where = clean(one["cgroup"])
        yield f"  not bound by any home: pid {one['pid']} {clean(one['name'])} in {where}"
    if (more := len(processes["outside"]) - _SHOWN) > 0:
        yield f"  and {more} more"


def _event_lines(data: Mapping[str, Any]) -> Iterator[str]:
    if not data["events"]:
        yield "no event of limits or detection is on record for this user"
        return
    yield "what happened last:"
    for one in data["events"]:
        at = one["time"]
        when = local_time(at) if isinstance(at, datetime) else str(at)
        yield f"  {when}  {clean(one['type'])}  {clean(one['message'])}"
