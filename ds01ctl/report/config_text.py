"""The config commands' results as lines of text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ds01ctl.report.text import clean, columns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ds01ctl.core.plan import Result

_SHORT = {"hours": "h", "minutes": "min", "seconds": "s", "cores": "CPUs"}


def check_lines(result: Result) -> list[str]:
    """Say what was read, and each warning."""
    warnings = [f"warning: {_problem(warning)}" for warning in result.data["warnings"]]
    count = len(result.data["files"])
    return [*warnings, f"{result.data['files'][0]}: no problems in {count} file(s)"]


def show_lines(result: Result) -> list[str]:
    """List settings, one a line, with where each was written."""
    rows = [(row["key"], shown_value(row), _where(row)) for row in result.data["settings"]]
    rows += [
        ("exempt: " + row["user"], _until(row), _where(row)) for row in result.data["exemptions"]
    ]
    lines = columns([tuple(clean(cell, 120) for cell in row) for row in rows])
    lines += [f"{len(result.data['members'])} logins are members of a group"]
    return [*_gap_lines(result), *lines]


def explain_lines(result: Result) -> list[str]:
    """Show a user's group, exemptions and limits, with the rule that gave each."""
    data = result.data
    group = data["group"]
    lines = [f"user {clean(data['user'])}: group {clean(group['value'])} by {_where(group)}"]
    if not data["named"]:
        lines.append("no file names this login as it is written here")
    if data["bare_metal_exempt"]:
        where = _where(data["bare_metal_exempt"])
        lines.append(f"may use GPUs without a container by {where}")
    lines += [f"exempt: {_until(row)}, {_where(row)}" for row in data["exemptions"]]
    rows = [("LIMIT", "VALUE", "FROM", "INSTEAD OF")]
    rows += [
        (row["key"], shown_value(row), _where(row), ", ".join(map(_beaten, row["instead_of"])))
        for row in data["limits"]
    ]
    cells = [tuple(clean(cell, 160) for cell in row) for row in rows]
    return [*_gap_lines(result), *lines, "", *columns(cells)]


def schema_lines(result: Result) -> list[str]:
    """Print the schema itself."""
    return json.dumps(result.data["json_schema"], indent=2).splitlines()


def init_lines(result: Result) -> list[str]:
    """Say what was written; for a dry run show it."""
    if result.actions[0].outcome == "planned":
        return str(result.data["text"]).splitlines()
    return [
        f"wrote {result.data['file']}; nothing is set in it yet. Edit it, then try: "
        "ds01ctl config check"
    ]


def shown_value(row: Mapping[str, Any]) -> str:
    """Show a value with its unit; null by its meaning, and what is not set as such."""
    value, unit = row["value"], row["unit"]
    if not row["is_set"]:
        return "not set"
    if value is None:
        return str(row["null_means"] or "none")
    if isinstance(value, (list, bool)):
        return ", ".join(map(str, value)) if isinstance(value, list) else str(value).lower()
    if unit == "bytes" and isinstance(value, int):
        return _size(value)
    if unit == "%":
        return f"{value}%"
    return f"{value} {_SHORT.get(unit, unit)}" if unit else str(value)


def _size(value: int) -> str:
    for power, unit in ((40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")):
        if value >= 1 << power:
            return f"{value / (1 << power):.6g} {unit}"
    return f"{value} B"


def _where(row: Mapping[str, Any]) -> str:
    if row["file"] is None:
        return str(row["rule"] or "")
    line = f":{row['line']}" if row["line"] else ""
    return f"{row['file']}{line} ({row['rule']})"


def _beaten(row: Mapping[str, Any]) -> str:
    return f"{shown_value(row)} of {row['rule']}"


def _until(row: Mapping[str, Any]) -> str:
    until = f"until {row['expires_at']:%Y-%m-%d %H:%M} UTC" if row["expires_at"] else "for ever"
    return f"{', '.join(row['exempt_from'])} {until}" + ("" if row["is_valid"] else " (expired)")


def _problem(problem: Mapping[str, Any]) -> str:
    place = f"{problem['file']}:{problem['line']}" if problem["line"] else problem["file"]
    parts = (place, problem["key"], problem["message"])
    return clean(": ".join(part for part in parts if part), 400)


def _gap_lines(result: Result) -> list[str]:
    return [f"note: {gap.reason}" for gap in result.gaps]
