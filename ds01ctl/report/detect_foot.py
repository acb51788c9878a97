"""The lines around the table of `detect`: what was looked at, what could not be seen."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ds01ctl.report.detect_rows import WHOLE, gpus_of, what
from ds01ctl.report.local_time import local_time
from ds01ctl.report.text import clean, columns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ds01ctl.core.model import Gap
    from ds01ctl.core.plan import Result
    from ds01ctl.report.detect_rows import Table

_EXAMINED = {
    "gpus": ("GPU", "GPUs"),
    "gpu_processes": ("GPU process", "GPU processes"),
    "containers": ("container", "containers"),
}
_MISSED = {"state": "not remembered", "events": "not written", "metrics": "not written"}
_NOTED = frozenset({"policy"})
_BLIND = "nothing can be said: neither NVML nor a container engine answered"


def heading(result: Result) -> Iterator[str]:
    """Say that a replay is one, and whose."""
    replay = result.data.get("replay")
    if not replay:
        return
    where = "not now" if replay["host"] == os.uname().nodename else "not this machine"
    policy = str(replay["policy"] or "").rpartition("/")[2] or "the built-in policy"
    when = local_time(replay["taken_at"])
    host = clean(replay["host"])
    yield f"recorded on {host} at {when} ({where}), judged by {clean(policy)}"


def foot(result: Result, limit: int = WHOLE) -> Iterator[str]:
    """Say what was examined and what was not, each reason cut at so many characters."""
    yield summary(result)
    yield from (gap_line(gap, limit) for gap in result.gaps)


def summary(result: Result) -> str:
    """Count what was found, without ever taking "not seen" for "not there"."""
    examined = result.data["examined"]
    is_workloads = "workloads" in result.data
    found = len(result.data["workloads"]) if is_workloads else len(result.findings)
    if not found and examined["gpus"] is None and examined["containers"] is None:
        return _BLIND
    words = ("workload", "workloads") if is_workloads else ("finding", "findings")
    text = counted(found, *words) if found else f"no {words[1]}{_asked(result)}"
    if not found and None in examined.values():
        text += " in what could be seen"
    looked_at = ", ".join(counted(examined[key], *_EXAMINED[key]) for key in _EXAMINED)
    return f"{_with_new(text, result)}; examined {looked_at}"


def counted(number: int | None, one: str, more: str) -> str:
    """Count in words: ``1 GPU``, ``2 GPUs``, ``? GPUs`` where it is not known."""
    return f"{'?' if number is None else number} {one if number == 1 else more}"


def _asked(result: Result) -> str:
    """Repeat the filters, so that a mistyped one is seen where nothing is found."""
    filters = result.data.get("filters") or {}
    parts = []
    if filters.get("user") is not None:
        parts.append(f" for user {clean(filters['user'])}")
    if filters.get("gpu") is not None:
        parts.append(f" on GPU {clean(filters['gpu'])}")
    if filters.get("kinds"):
        parts.append(f" of kind {', '.join(map(clean, filters['kinds']))}")
    return "".join(parts)


def _with_new(text: str, result: Result) -> str:
    held_back = result.data.get("held_back")
    if held_back:
        text = text.replace("no findings", "no confirmed findings", 1)
        return f"{text}; {counted(held_back, 'new one waits', 'new ones wait')} for a second scan"
    new = sum(finding.new for finding in result.findings)
    return f"{text} ({new} new)" if new else text


def gap_line(gap: Gap, limit: int = WHOLE) -> str:
    """Say what is missing, by what it was for: seeing, remembering or telling."""
    text = f"{gap.source} {gap.kind}: {clean(gap.reason, limit)}"
    if gap.source in _NOTED:
        return f"note: {text}"
    return f"{_MISSED.get(gap.source, 'not seen')}: {text}"


def left_alone(result: Result, limit: int = WHOLE) -> Iterator[str]:
    """List what `--all` shows besides: what is no finding, and why."""
    rows = result.data.get("left_alone") or ()
    if rows:
        yield ""
        yield "Left alone:"
    table = [
        (
            row["verdict"],
            clean(row["user"] or "?", limit),
            clean(what(row["subject"]), limit),
            gpus_of(row["subject"], result),
            clean(row["why"], limit),
        )
        for row in rows
    ]
    yield from (f"  {line}" for line in columns(table))


def legend(table: Table) -> str | None:
    """Explain the signs that a table uses; None where it has none."""
    gpus = [line.cells[table.titles.index("GPU")] for line in table.lines]
    cells = [cell for line in table.lines for cell in line.cells]
    names = [name for text in gpus for name in text.strip("()").split(",")]
    signs = []
    if part := next((name for name in names if ":" in name), None):
        gpu, _, instance = part.partition(":")
        signs.append(f"{part} = GPU {gpu}, MIG instance {instance}")
    if given := next((text for text in gpus if text.startswith("(")), None):
        signs.append(f"{given} = given, not in use")
    if any(cell in {"?", "(?)"} for cell in cells):
        signs.append("? = unknown")
    if any(line.is_new for line in table.lines):
        signs.append("(new) = seen too briefly or too rarely to be sure")
    return "; ".join(signs) or None
