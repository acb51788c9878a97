"""What `detect` found, as rows of text: nothing in them that a terminal would obey."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ds01ctl.core.record import NamedTuple
from ds01ctl.report.text import age, clean, memory

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ds01ctl.core.plan import Finding, Result

WHOLE = 4096
"""Longer text than this is absurd, and is cut even on a pipe."""
_COLOURS = {"critical": "bold red", "warning": "yellow", "info": "dim"}
_VERDICT_COLOURS = {"unmanaged": "yellow", "unknown": "magenta", "managed": "green"}
_LAST = 1 << 30


class Line(NamedTuple):
    """One row of the table."""

    cells: tuple[str, ...]
    colour: str
    """Of the first cell, in rich's words."""
    why: str | None = None
    """The first piece of evidence; None: this table has no such column."""
    evidence: tuple[str, ...] = ()
    """The rest of it, shown only on demand."""
    about: tuple[object, ...] | None = None
    """The same in neighbours: they are about one subject."""
    is_new: bool = False


class Table(NamedTuple):
    """Titles, without WHY, and rows."""

    titles: tuple[str, ...]
    lines: tuple[Line, ...]

    @property
    def has_why(self) -> bool:
        """Tell whether each row has a reason to show."""
        return any(line.why is not None for line in self.lines)


def table(result: Result, *, numbered: bool = False) -> Table:
    """Make the table of a result: findings, or the inventory."""
    made = _workloads(result) if "workloads" in result.data else _findings(result)
    return _numbered(made) if numbered else made


def _findings(result: Result) -> Table:
    titles = ("SEVERITY", "KIND", "USER", "WHAT", "GPU", "MEMORY", "AGE")
    return Table(titles, tuple(_finding(finding, result) for finding in result.findings))


def _numbered(plain: Table) -> Table:
    lines = (
        line._replace(cells=(str(number), *line.cells))
        for number, line in enumerate(plain.lines, 1)
    )
    return Table(("#", *plain.titles), tuple(lines))


def _finding(finding: Finding, result: Result) -> Line:
    began = finding.since or finding.first_seen
    cells = (
        finding.severity + (" (new)" if finding.new else ""),
        finding.kind,
        clean(finding.user or "?", WHOLE),
        what(finding.subject),
        gpus_of(finding.subject, result),
        _memory(finding.subject),
        age(result.time - began if began else None),
    )
    why, *rest = (clean(text, WHOLE) for text in finding.evidence)
    about = _about(finding)
    return Line(cells, _COLOURS[finding.severity], why, tuple(rest), about, finding.new)


def _about(finding: Finding) -> tuple[object, ...]:
    """Identify what a finding is about, whatever was found about it."""
    names = ("type", "engine", "id", "pid", "start_ticks", "uuid", "resource")
    return (finding.user, *(finding.subject.get(name) for name in names))


def _workloads(result: Result) -> Table:
    titles = ("USER", "GPU", "KIND", "WHAT", "VERDICT", "MEMORY", "AGE")
    first = {"user": (0, 1, 2, 3), "gpu": (1, 0, 2, 3), "container": (3, 2, 0, 1)}
    order = (*first[result.data["by"]], 4, 5, 6)
    rows = (_workload(row, order, result) for row in result.data["workloads"])
    return Table(tuple(titles[index] for index in order), tuple(rows))


def _workload(row: dict[str, Any], order: Iterable[int], result: Result) -> Line:
    subject = row["subject"]
    cells = (
        clean(row["user"] or "?", WHOLE),
        gpus_of(subject, result),
        row["kind"],
        what(subject),
        row["verdict"],
        memory(row["memory_bytes"]) if subject["gpus"] or row["memory_bytes"] is None else "-",
        age(timedelta(seconds=row["age_s"]) if row["age_s"] is not None else None),
    )
    evidence = tuple(clean(text, WHOLE) for text in (row["why"], *row["evidence"]))
    colour = _VERDICT_COLOURS.get(row["verdict"], "dim")
    return Line(tuple(cells[index] for index in order), colour, evidence=evidence)


# --- cells --------------------------------------------------------------------------------------


def what(subject: Any) -> str:
    """Name a subject: a container by name, a process by pid and command."""
    kind = subject["type"]
    if kind == "container":
        name = subject["name"] or f"{subject['runtime']} {str(subject['id'])[:12]}"
        state = subject["state"]
        return clean(name, WHOLE) + (f" ({state})" if state not in {None, "running"} else "")
    if kind == "process":
        return f"pid {subject['pid']} {clean(subject['name'] or '?', WHOLE)}"
    if kind == "gpu":
        return f"GPU {subject['index']} {clean(subject['name'] or '', WHOLE)}".rstrip()
    if kind == "user":
        unit = subject["resource"].replace("gpu_", "GPU-")
        return f"{subject['held']:g} of {subject['limit']:g} {unit}"
    return "driver"


def gpus_of(subject: Any, result: Result) -> str:
    """Name the GPUs in use as INDEX or INDEX:INSTANCE; in parentheses those only given."""
    if subject["type"] == "gpu":
        return str(subject["index"])
    if names := {use_name(use) for use in subject.get("gpus") or ()}:
        return _in_order(names)
    given = subject.get("gpu_uuids")
    return f"({_in_order(_given(set(given), result)) or '?'})" if given else "-"


def use_name(use: Any) -> str:
    """Name one GPU in use; ``?`` where its index is not known."""
    index = "?" if use["index"] is None else str(use["index"])
    return index if use["gpu_instance"] is None else f"{index}:{use['gpu_instance']}"


def _in_order(names: Iterable[str]) -> str:
    return ",".join(sorted(names, key=_numbers))


def _numbers(name: str) -> list[int]:
    return [int(part) if part.isdecimal() else _LAST for part in name.split(":")]


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
