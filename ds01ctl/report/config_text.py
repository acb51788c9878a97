"""The config commands' results as lines of text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ds01ctl.core.disk_quota import Limits
from ds01ctl.core.storage import limits_text
from ds01ctl.report.text import ENDLESS, cells, clean, columns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ds01ctl.core.plan import Result

_SHORT = {"days": "d", "hours": "h", "minutes": "min", "seconds": "s", "cores": "CPUs"}
_NOT_SET = "not set"
_WIDEST_CELL = 44
"""A longer value, such as a list, is not what a column is laid out for."""
_WHOLE = 100_000
"""How much of a text is shown where nothing is to be left out."""


def check_lines(result: Result) -> list[str]:
    """Say what was read, and each warning."""
    first, *others = result.data["files"]
    beside = " and beside it" if others else ""
    return [*warning_lines(result.data), f"{summary(result.data)} ({first}{beside})"]


def warning_lines(data: Mapping[str, Any]) -> list[str]:
    """Show each warning as file:line: key: message."""
    return [f"warning: {_problem(warning)}" for warning in data["warnings"]]


def summary(data: Mapping[str, Any]) -> str:
    """Count problems and warnings, and the files read."""
    told = [_count(len(data["problems"]), "problem")]
    if data["warnings"]:
        told.append(_count(len(data["warnings"]), "warning"))
    return f"{', '.join(told)} in {_count(len(data['files']), 'file')}"


def _count(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"


def show_lines(result: Result, width: int = ENDLESS) -> list[str]:
    """List settings with where each was written; width is the terminal's, in columns."""
    rows = [("KEY", "VALUE", "FROM")]
    rows += [(row["key"], shown_value(row), _where(row)) for row in result.data["settings"]]
    rows += [
        ("exempt: " + row["user"], _until(row), _where(row)) for row in result.data["exemptions"]
    ]
    members = len(result.data["members"])
    are = "login is a member" if members == 1 else "logins are members"
    return [*_gap_lines(result), *_table(rows, width), f"{members or 'no'} {are} of a group"]


def explain_lines(result: Result, width: int = ENDLESS) -> list[str]:
    """Show a user's group, exemptions and limits, with the rule that gave each."""
    data = result.data
    group = data["group"]
    lines = [f"user {data['user']}: group {group['value']} by {_where(group)}"]
    lines += _name_lines(data)
    if data["bare_metal_exempt"]:
        where = _where(data["bare_metal_exempt"])
        lines.append(f"may use GPUs without a container by {where}")
    lines += [f"exempt: {_until(row)}, {_where(row)}" for row in data["exemptions"]]
    rows = [("LIMIT", "VALUE", "FROM", "INSTEAD OF")]
    rows += [(row["key"], shown_value(row), _where(row), _beaten(row)) for row in data["limits"]]
    table = [*_table(rows, width), *_legend(data["limits"])]
    return [*_gap_lines(result), *(clean(line, _WHOLE) for line in lines), "", *table]


def _name_lines(data: Mapping[str, Any]) -> list[str]:
    """Say what is said in vain of a login, and whose values it has if no file names it."""
    vain = [row for row in data["group_overrides"] if row["problem"]]
    lines = [
        f"{row['file']}:{row['line']} names {row['user']}:{row['group']}, but {row['problem']}, "
        "so it changes nothing"
        for row in vain
    ]
    user, people = data["user"], data["stands_for"]
    if len(people) > 1 and not data["named"]:
        lines.append(f"{user} can stand for {' or '.join(people)}, so what holds for them does not")
    elif people and not data["named"]:
        lines.append(f"{user} is read as {people[0]}")
    elif not people:
        no_file = "no other file" if vain else "no file"
        lines.append(f"{no_file} names {user}; these are the limits of anybody unnamed")
    return lines


def _legend(limits: Sequence[Mapping[str, Any]]) -> list[str]:
    """Explain the words that stand in the place of a value."""
    nulls = sorted({str(row["null_means"]) for row in limits if row["null_means"]})
    lines = [f"{', '.join(nulls)}: written as null"] if nulls else []
    if any(not row["is_set"] for row in limits):
        lines.append(f"{_NOT_SET}: written nowhere, so nothing is limited by it")
    return ["", *lines] if lines else []


def _table(rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Align rows; what comes behind the value goes below where a line would be too long."""
    shown = [[clean(cell, _WHOLE) for cell in row] for row in rows]
    whole = columns(shown, _WIDEST_CELL)
    heads = columns([row[:2] for row in shown], _WIDEST_CELL)
    lines: list[str] = []
    for row, line, head in zip(shown, whole, heads, strict=True):
        if cells(line) > width:
            lines += [head, *_below(row[2:], width)]
        else:
            lines.append(line)
    return lines


def _below(parts: Sequence[str], width: int) -> list[str]:
    told = [part for part in parts if part]
    line = "    " + "  ".join(told)
    if cells(line) > width:
        return [f"    {part}" for part in told]
    return [line] if told else []


def schema_lines(result: Result) -> list[str]:
    """Print the schema itself."""
    return json.dumps(result.data["json_schema"], indent=2).splitlines()


def init_lines(result: Result) -> list[str]:
    """Say what was written; for a dry run show it."""
    if result.actions[0].outcome != "done":
        return str(result.data["text"]).splitlines()
    return [
        *(f"made the folder {folder}" for folder in result.data["folders"]),
        f"wrote {result.data['file']}; nothing is set in it yet. Edit it, then try: "
        "ds01ctl config check",
    ]


def shown_value(row: Mapping[str, Any]) -> str:
    """Show a value with its unit; null by its meaning, and what is not set as such."""
    value, unit = row["value"], row["unit"]
    if not row["is_set"]:
        return _NOT_SET
    if value is None:
        return str(row["null_means"] or "none")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, dict):
        return _limit_text(value)
    if isinstance(value, str):  # such as 80% of the host's memory
        return value
    if unit == "bytes" and isinstance(value, int):
        return _size(value)
    if unit == "%":
        return f"{value}%"
    return f"{value} {_SHORT.get(unit, unit)}" if unit else str(value)


def _limit_text(value: Mapping[str, Any]) -> str:
    """Show a disk limit: of a project with its folder and owner, of a path with its last day."""
    told = [limits_text(Limits(*(value[name] or 0 for name in Limits._fields)))]
    if "owner" in value:
        told += [f"in {value['path']}"] + ([f"of {value['owner']}"] if value["owner"] else [])
        return " ".join(told)
    over = " (past)" if value["is_over"] else ""
    return ", ".join([*told, f"until {value['until']}{over}"] if value["until"] else told)


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
    """Name the values that would hold otherwise, where they are other ones."""
    others = [other for other in row["instead_of"] if other["value"] != row["value"]]
    told = [f"{shown_value(other)} of {other['rule']}" for other in others]
    return ("; " if any(", " in text for text in told) else ", ").join(told)


def _until(row: Mapping[str, Any]) -> str:
    until = f"until {row['expires_at']:%Y-%m-%d %H:%M} UTC" if row["expires_at"] else "for ever"
    return f"{', '.join(row['exempt_from'])} {until}" + ("" if row["is_valid"] else " (expired)")


def _problem(problem: Mapping[str, Any]) -> str:
    place = f"{problem['file']}:{problem['line']}" if problem["line"] else problem["file"]
    parts = (place, problem["key"], problem["message"])
    return clean(": ".join(part for part in parts if part), _WHOLE)


def _gap_lines(result: Result) -> list[str]:
    return [f"note: {gap.reason}" for gap in result.gaps]
