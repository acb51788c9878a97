"""What `cleanup why` tells of one container, as lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ds01ctl.core.cleanup_text import span
from ds01ctl.report.cleanup_text import finding_lines, local
from ds01ctl.report.text import clean, columns, gap_lines, memory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ds01ctl.core.plan import Result

_WHOLE = 2000
_MOST_INTERVALS = 6
_OF_RUNNING = {"running"}
_OF_STOPPED = {"exited", "dead"}


def why_lines(result: Result) -> list[str]:
    """Say what it is, what was seen, which limits hold, and what comes of it, in this order."""
    data = result.data
    return [
        *gap_lines(result),
        *_head(data["container"]),
        *_verdict(data),
        *_section("what comes next", _next(data)),
        *_section("what was counted", _counted(data)),
        *_section("samples, the newest first", _intervals(data["intervals"])),
        *_section("warnings", _warnings(data["warnings"])),
        *_section("warnings that reached nobody", _undelivered(data["undelivered"])),
        *_section("limits", columns([_limit(one) for one in data["limits"]], 40)),
        *finding_lines(result.findings, whole=True),
    ]


def _section(head: str, lines: Sequence[str]) -> list[str]:
    return [f"{head}:", *(f"  {line}" for line in lines)] if lines else []


def _head(one: Mapping[str, Any]) -> list[str]:
    who = f"of {one['user']} (by {one['owner_by']})" if one["user"] else "whose owner is not known"
    gpu = "with a GPU" if one["has_gpu"] else "without a GPU"
    return [clean(f"{one['name']} ({one['id'][:12]}), {one['state']}, {who}, type {one['type']},"
                  f" {gpu}", _WHOLE)]  # fmt: skip


def _verdict(data: Mapping[str, Any]) -> list[str]:
    lines = [f"left alone: {clean(text, _WHOLE)}" for text in data["left_alone"]]
    report = sorted(part for part, mode in data["modes"].items() if mode == "report")
    if report and not lines:
        lines.append(f"only told, as these parts are in report mode: {', '.join(report)}")
    return lines


def _next(data: Mapping[str, Any]) -> list[str]:
    lines = []
    for row in data["due"]:
        deed = f"warning {row['stage']}" if row["kind"] == "warn" else row["kind"].partition("-")[0]
        held = f"; not done: {row['error']}" if row["error"] else ""
        lines.append(clean(f"now: {deed} ({row['part']}): {row['reason']}{held}", _WHOLE))
    for row in data["next"]:
        when = f"{local(row['at'])}, in {span(row['in_s'])}"
        lines.append(clean(f"{when}: {row['what']} ({row['part']}): {row['why']}", _WHOLE))
    return [*lines, *(f"nothing by {clean(text, _WHOLE)}" for text in data["nothing_next"])]


def _counted(data: Mapping[str, Any]) -> list[str]:
    counted = data["counted"]
    if counted is None:
        return ["nothing yet: it is of a user's own engine, or was not there at a run of the timer"]
    lines = [] if counted["known_before"] else ["seen for the first time now"]
    state = data["container"]["state"]
    if state in _OF_RUNNING:
        lines.append(f"idle for {span(counted['idle_s'])},"
                     f" in {counted['idle_streak']} samples in a row")  # fmt: skip
        more = counted["ran_s"] - counted["this_run_s"]
        earlier = f", {span(more)} of it before the last restart" if more > 0 else ""
        lines.append(f"has run for {span(counted['ran_s'])}{earlier}")
        held = counted["gpu_memory_bytes"]
        lines += [f"holds {memory(held)} of GPU memory"] if held else []
    elif state in _OF_STOPPED:
        lines.append(f"seen stopped for {span(counted['stopped_s'])}")
        by = counted["stopped_by_cleanup"]
        lines += [f"stopped by cleanup: {clean(by, _WHOLE)}"] if by else []
        lines += ["its GPU counts as free"] if counted["gpu_released"] else []
    elif state == "created":
        lines.append(f"seen so for {span(counted['created_s'])}, never started")
    return lines


def _intervals(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = []
    for row in list(reversed(rows))[:_MOST_INTERVALS]:
        over = f" over {span(row['seconds'])}" if row["seconds"] else ""
        lines.append(f"{local(row['at'])}  {row['verdict']}{over}")
        lines += [f"  {clean(text, _WHOLE)}" for text in row["evidence"]]
    if len(rows) > _MOST_INTERVALS:
        lines.append(f"and {len(rows) - _MOST_INTERVALS} older ones: --json has all")
    return lines


def _warnings(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = []
    for row in rows:
        text = (
            f"{local(row['at'])}  {row['part']} warning {row['stage']}, after"
            f" {span(row['counted_s'])}, by {', '.join(row['channels'])}"
        )
        lines += [clean(text, _WHOLE), *(f"  not by {clean(one, _WHOLE)}" for one in row["errors"])]
    return lines


def _undelivered(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return [
        clean(f"{local(row['time'])}  {row['part']} warning {row['stage']}: {row['error']}", _WHOLE)
        for row in rows
    ]


def _limit(row: Mapping[str, Any]) -> tuple[str, str, str]:
    key = row["key"].removeprefix("policies.")
    if row["origin"] is None:
        return key, "-", "set nowhere: no limit"
    return key, "null" if row["value"] is None else str(row["value"]), clean(row["origin"], _WHOLE)
