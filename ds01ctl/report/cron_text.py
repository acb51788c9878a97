"""What was made of crontabs, as lines of text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ds01ctl.report.text import clean, columns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ds01ctl.core.plan import Action, Result

_WHOLE = 100_000
"""How much of a text is shown where nothing is to be left out."""
_WIDEST_CELL = 52


def import_lines(result: Result, *, show: bool = False) -> list[str]:
    """List every line with its unit, its proof and its warnings; show: the units, too."""
    data = result.data
    lines = [clean(f"note: {gap.source} {gap.kind}: {gap.reason}", _WHOLE) for gap in result.gaps]
    lines += [f"skipped: {_place(row)}: {clean(row['message'], _WHOLE)}" for row in data["skipped"]]
    lines += [line for row in data["run_parts"] for line in _folder_lines(row)]
    rows = [("LINE", "USER", "WHEN", "UNIT", "PROOF")]
    rows += [_row(row) for row in data["lines"]]
    lines += columns(rows, _WIDEST_CELL) if data["lines"] else []
    for row in data["lines"]:
        lines += [f"warning: {_place(row)}: {clean(text, _WHOLE)}" for text in row["warnings"]]
    for row in data["handed_over"]:
        if not row["is_enabled"]:
            why = "nothing runs it: it is marked, and its timer is not enabled"
            lines.append(f"warning: {_place(row)}: {why}; take-over or give-back {row['unit']}")
    if show:
        lines += [line for unit in data["units"] for line in _unit_lines(unit)]
    return [*lines, *_foot(result)]


def _row(row: Mapping[str, Any]) -> tuple[str, str, str, str, str]:
    unit = row["unit"] or "none: it never runs"
    return (_place(row), clean(row["user"]), clean(row["when"]), clean(unit), _proof(row))


def _place(row: Mapping[str, Any]) -> str:
    line = row.get("line")
    return clean(row["file"] if line is None else f"{row['file']}:{line}")


def _proof(row: Mapping[str, Any]) -> str:
    proof = row["proof"]
    if proof is None:
        return "-"
    if proof["missing"]:
        return clean(f"not proved: {proof['missing']}")
    return f"{proof['firings']} runs equal"


def _folder_lines(row: Mapping[str, Any]) -> list[str]:
    """Tell what run-parts does in a folder."""
    folder = row["folder"]
    lines = [f"{folder}: runs {clean(', '.join(row['runs']) or 'nothing', _WHOLE)}"]
    lines += [f"{folder}: skips {clean(skip['name'])}: {skip['reason']}" for skip in row["skips"]]
    if row["defers"]:
        names = clean(", ".join(row["defers"]), _WHOLE)
        lines.append(f"{folder}: {names}: may leave the work to a timer of the package")
    return lines


def _unit_lines(unit: Mapping[str, Any]) -> list[str]:
    text = (clean(line, _WHOLE) for line in unit["text"].splitlines())
    return ["", f"# {unit['name']}", *text]


def _foot(result: Result) -> list[str]:
    """Count, and say what comes next."""
    data = result.data
    made = sum(row["unit"] is not None for row in data["lines"])
    lines = [f"{_count(len(data['lines']), 'line')}, {_count(made, 'pair')} of units"]
    if data["handed_over"]:
        lines.append(f"{_count(len(data['handed_over']), 'line')} handed over to timers before")
    if data["out"] is None:
        return [*lines, "nothing was written: --out DIR writes the units"]
    written = sum(action.outcome == "done" for action in result.actions)
    out = clean(data["out"], _WHOLE)
    return [*lines, f"{_count(written, 'file')} written to {out}; no timer is enabled by that"]


def hand_over_lines(result: Result) -> list[str]:
    """List what was changed, or would be, in order."""
    notes = [clean(f"note: {gap.source} {gap.kind}: {gap.reason}", _WHOLE) for gap in result.gaps]
    notes += [
        f"note: {clean(place)} has a problem and was left alone: import-cron names it"
        for place in result.data["crontabs_with_problems"]
    ]
    if not result.actions:
        return [*notes, "nothing to do"]
    return [*notes, *map(_action_line, result.actions)]


def _action_line(action: Action) -> str:
    told = f"{action.outcome}: {action.kind} {action.target}: {action.reason}"
    return clean(f"{told}: {action.error}" if action.error else told, _WHOLE)


def _count(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"
