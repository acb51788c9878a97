"""Show what `detect` found: rich tables on a terminal, aligned plain lines elsewhere."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from ds01ctl.report.text import age, clean, columns, memory

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console, RenderableType
    from rich.live import Live

    from ds01ctl.core.plan import Finding, Result

_COLOURS = {"critical": "bold red", "warning": "yellow", "info": "dim"}
_VERDICT_COLOURS = {"unmanaged": "yellow", "unknown": "magenta", "managed": "green"}


class Line(NamedTuple):
    """One row, its colour, and the lines of evidence below it."""

    cells: tuple[str, ...]
    colour: str
    evidence: tuple[str, ...] = ()


def print_findings(result: Result, *, explain: bool, numbered: bool = False) -> None:
    """Print the findings, what was examined, and what could not be seen."""
    _print(*_findings(result, numbered=numbered), result, explain=explain)


def print_workloads(result: Result, *, explain: bool) -> None:
    """Print the inventory."""
    _print(*_workloads(result), result, explain=explain)


def live() -> Live:
    """Open a live display that refreshes in place."""
    from rich.live import Live

    return Live(console=_console(), auto_refresh=False, screen=False)


def refresh(screen: Live | None, result: Result, seconds: float, *, explain: bool) -> None:
    """Show a new look: in place on a terminal, one after the other on a pipe."""
    title, lines = _lines(result)
    if screen is None:
        _print(title, lines, result, explain=explain)
        sys.stdout.flush()
        return
    from rich.console import Group
    from rich.text import Text

    when = f"{result.time:%H:%M:%S} UTC, every {seconds:g} s, ^C ends"
    foot = [Text(text) for text in (*_foot(result), when)]
    screen.update(Group(_table(title, lines, explain=explain), *foot), refresh=True)


def _lines(result: Result) -> tuple[tuple[str, ...], list[Line]]:
    return _workloads(result) if "workloads" in result.data else _findings(result)


# --- rows ---------------------------------------------------------------------------------------


def _findings(result: Result, *, numbered: bool = False) -> tuple[tuple[str, ...], list[Line]]:
    title: tuple[str, ...] = ("SEVERITY", "KIND", "USER", "WHAT", "GPU", "MEMORY", "AGE", "WHY")
    lines = [_finding_line(finding, result) for finding in result.findings]
    if numbered:
        title = ("#", *title)
        lines = [
            line._replace(cells=(str(number), *line.cells)) for number, line in enumerate(lines, 1)
        ]
    return title, lines


def _finding_line(finding: Finding, result: Result) -> Line:
    began = finding.since or finding.first_seen
    cells = (
        finding.severity + (" (new)" if finding.new else ""),
        finding.kind,
        clean(finding.user or "?", 32),
        what(finding.subject),
        _gpus(finding.subject, result),
        _memory(finding.subject),
        age(result.time - began if began else None),
        clean(finding.evidence[0], 120),
    )
    rest = tuple(clean(text, 300) for text in finding.evidence[1:])
    return Line(cells, _COLOURS[finding.severity], rest)


def _workloads(result: Result) -> tuple[tuple[str, ...], list[Line]]:
    title = ["USER", "GPU", "KIND", "WHAT", "VERDICT", "MEMORY", "AGE"]
    order = {"user": [0, 1, 2, 3], "gpu": [1, 0, 2, 3], "container": [3, 2, 0, 1]}
    order_of = [*order[result.data["by"]], 4, 5, 6]
    lines = []
    for row in result.data["workloads"]:
        subject = row["subject"]
        cells = (
            clean(row["user"] or "?", 32),
            _gpus(subject, result),
            row["kind"],
            what(subject),
            row["verdict"],
            memory(row["memory_bytes"]) if subject["gpus"] else "-",
            age(timedelta(seconds=row["age_s"]) if row["age_s"] is not None else None),
        )
        evidence = tuple(clean(text, 300) for text in (row["why"], *row["evidence"]))
        colour = _VERDICT_COLOURS.get(row["verdict"], "dim")
        lines.append(Line(tuple(cells[index] for index in order_of), colour, evidence))
    return tuple(title[index] for index in order_of), lines


def what(subject: Any) -> str:
    """Name a subject: a container by name, a process by pid and command."""
    kind = subject["type"]
    if kind == "container":
        name = subject["name"] or f"{subject['runtime']} {str(subject['id'])[:12]}"
        state = subject["state"]
        return clean(name, 40) + (f" ({state})" if state not in {None, "running"} else "")
    if kind == "process":
        return f"pid {subject['pid']} {clean(subject['name'] or '?', 24)}"
    if kind == "gpu":
        return f"GPU {subject['index']} {clean(subject['name'] or '', 30)}".rstrip()
    if kind == "user":
        unit = subject["resource"].replace("gpu_", "GPU-")
        return f"{subject['held']:g} of {subject['limit']:g} {unit}"
    return "driver"


def _gpus(subject: Any, result: Result) -> str:
    """Name the GPUs in use as INDEX or INDEX:INSTANCE; in parentheses those only given."""
    if subject["type"] == "gpu":
        return str(subject["index"])
    names = {
        ("?" if use["index"] is None else str(use["index"]))
        + (f":{use['gpu_instance']}" if use["gpu_instance"] is not None else "")
        for use in subject.get("gpus") or ()
    }
    if names:
        return ",".join(sorted(names))
    given = subject.get("gpu_uuids")
    return f"({','.join(sorted(_given(set(given), result)))})" if given else "-"


def _given(uuids: set[str], result: Result) -> Iterator[str]:
    for gpu in result.data["gpus"]:
        if gpu["uuid"] in uuids:
            yield str(gpu["index"])
            continue
        for device in gpu["mig_devices"]:
            if device["uuid"] in uuids:
                yield f"{gpu['index']}:{device['gpu_instance']}"


def _memory(subject: Any) -> str:
    if "unexplained_bytes" in subject:
        return memory(subject["unexplained_bytes"])
    uses = subject.get("gpus") or ()
    if not uses:
        return "-"
    sizes = [use["memory_bytes"] for use in uses]
    return memory(None if None in sizes else sum(sizes))


def _foot(result: Result) -> Iterator[str]:
    """Say what was examined, and what was not."""
    examined = result.data["examined"]
    counted = ", ".join(
        f"{'?' if number is None else number} {name.replace('_', ' ').replace('gpu', 'GPU')}"
        for name, number in examined.items()
    )
    found = len(result.findings)
    if "workloads" in result.data:
        yield f"{len(result.data['workloads'])} workloads; examined {counted}"
    else:
        new = sum(finding.new for finding in result.findings)
        fresh = f" ({new} new)" if new else ""
        yield f"{found or 'no'} finding{'' if found == 1 else 's'}{fresh}; examined {counted}"
    for gap in result.gaps:
        yield f"not seen: {gap.source} {gap.kind}: {clean(gap.reason, 400)}"


def _left_alone(result: Result) -> Iterator[str]:
    rows = result.data.get("left_alone") or ()
    if rows:
        yield ""
        yield "Left alone:"
    table = [
        (
            row["verdict"],
            clean(row["user"] or "?", 32),
            what(row["subject"]),
            _gpus(row["subject"], result),
            clean(row["why"], 160),
        )
        for row in rows
    ]
    yield from (f"  {line}" for line in columns(table))


# --- printing -----------------------------------------------------------------------------------


def _print(title: tuple[str, ...], lines: Sequence[Line], result: Result, *, explain: bool) -> None:
    if sys.stdout.isatty():
        console = _console()
        if lines:
            console.print(_table(title, lines, explain=explain))
    elif lines:
        rows = columns([title, *(line.cells for line in lines)])
        print(rows[0])
        for text, line in zip(rows[1:], lines, strict=True):
            print(text)
            for evidence in line.evidence if explain else ():
                print(f"    {evidence}")
    for text in (*_left_alone(result), *_foot(result)):
        print(text)


def _console() -> Console:
    from rich.console import Console

    # markup and highlighting off: a label's "[red]" is text
    return Console(markup=False, highlight=False, emoji=False)


def _table(title: tuple[str, ...], lines: Sequence[Line], *, explain: bool) -> RenderableType:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for name in title:
        table.add_column(
            name, no_wrap=name in {"SEVERITY", "GPU", "MEMORY", "AGE", "#"}, overflow="fold"
        )
    for line in lines:
        first, *rest = line.cells
        cells = [Text(first, style=line.colour), *(Text(cell) for cell in rest)]
        if explain and line.evidence:
            cells[-1].append("\n" + "\n".join(line.evidence), style="dim")
        table.add_row(*cells)
    return table
