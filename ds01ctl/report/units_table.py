"""The table of the jobs: the same lines everywhere, with colour and to size on a terminal."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

from ds01ctl.report.text import age, cells, clean, columns, memory, width

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from ds01ctl.core.plan import Finding, Result

TITLES = (
    "JOB", "STATE", "SCHEDULE", "LAST RUN", "RESULT", "TOOK", "CPU", "MEMORY", "NEXT", "MISSED",
)  # fmt: skip
_LEFT_OUT = ("MEMORY", "CPU", "SCHEDULE", "TOOK", "MISSED", "NEXT")
"""What a narrow terminal does without, in this order; --json has all of it."""
_COLOURS = {
    "ok": "green", "running": "green", "failing": "bold red", "overdue": "bold red",
    "stopped": "yellow", "disabled": "dim", "never-ran": "dim", "not-installed": "yellow",
    "unknown": "magenta",
}  # fmt: skip
_LONGEST = 400


def print_result(result: Result) -> None:
    """Print the jobs, what is wrong and how to look further, and what could not be seen."""
    if sys.stdout.isatty():
        _print_on_terminal(result)
    else:
        print("\n".join(lines(result)))


def lines(result: Result, room: int | None = None) -> list[str]:
    """Lay everything out as lines of text; room: columns that there are for the table."""
    return [*_table(result, room), *_foot(result)]


def _print_on_terminal(result: Result) -> None:
    from rich.text import Text

    from ds01ctl.report import screen

    terminal = screen.console()
    for index, line in enumerate(_table(result, width())):
        text = Text(line, style="bold" if index == 0 else "", no_wrap=True, overflow="ellipsis")
        for state, colour in _COLOURS.items():
            text.highlight_words([f"  {state}  "], colour)
        terminal.print(text)
    for line in _foot(result):
        print(line)


def _table(result: Result, room: int | None) -> list[str]:
    jobs = result.data["jobs"]
    titles = list(TITLES)
    rows = [dict(zip(TITLES, _row(job, result.time), strict=True)) for job in jobs]
    for title in (None, *_LEFT_OUT):
        titles = [one for one in titles if one != title]
        made = columns([titles, *([row[one] for one in titles] for row in rows)])
        if room is None or max(map(cells, made)) <= room:
            break
    return made


def _row(job: Mapping[str, Any], now: datetime) -> tuple[str, ...]:
    missed = job["missed_runs"]
    return (
        clean(job["job"], 60),
        str(job["state"]),
        clean(job["schedule"] or "?", 60),
        _ago(job["last_run"], now),
        "running" if job["state"] == "running" else clean(job["result"] or "-", 60),
        _seconds(job["duration_s"]),
        _seconds(job["cpu_s"]),
        "-" if job["memory_bytes"] is None else memory(job["memory_bytes"]),
        _until(job["next_run"], now),
        "?" if missed is None else str(missed),
    )


def _ago(moment: datetime | None, now: datetime) -> str:
    return f"{age(now - moment)} ago" if moment else "-"


def _until(moment: datetime | None, now: datetime) -> str:
    if moment is None:
        return "-"
    return f"in {age(moment - now)}" if moment > now else "now"


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds:.2f}s" if seconds < 10 else f"{seconds:.0f}s"


def _foot(result: Result) -> Iterator[str]:
    yield from (_finding(one) for one in result.findings)
    yield from (f"not seen: {gap.source} {gap.kind}: {clean(gap.reason, _LONGEST)}"
                if gap.source != "policy" or gap.kind != "absent"
                else f"note: {clean(gap.reason, _LONGEST)}" for gap in result.gaps)  # fmt: skip
    yield _summary(result.data["jobs"], result.findings)


def _finding(finding: Finding) -> str:
    subject = finding.subject
    about = subject.get("job") or subject.get("unit") or subject.get("path") or "units"
    why = "; ".join(clean(text, _LONGEST) for text in finding.evidence)
    return f"{finding.kind}: {clean(about, _LONGEST)}: {why} ({clean(subject['look'], _LONGEST)})"


def _summary(jobs: Sequence[Mapping[str, Any]], findings: Sequence[Finding]) -> str:
    counts = Counter(job["state"] for job in jobs)
    states = ", ".join(f"{counts[state]} {state}" for state in _COLOURS if counts[state])
    found = f"{len(findings)} {'finding' if len(findings) == 1 else 'findings'}"
    return f"{len(jobs)} {'job' if len(jobs) == 1 else 'jobs'}: {states}; {found}"
