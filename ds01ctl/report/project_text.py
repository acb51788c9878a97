"""What the commands of `quota project` tell, as lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ds01ctl.core.sizes import size
from ds01ctl.report.text import clean, columns, gap_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ds01ctl.core.plan import Action, Result

_WHOLE = 2000
_VERBS = {
    "register-project": ("registered", "register"),
    "unregister-project": ("unregistered", "unregister"),
    "tag-tree": ("tagged", "tag"),
    "untag-tree": ("untagged", "untag"),
    "take-limits": ("took the limits away on", "take the limits away on"),
    "forget-tree": ("forgot", "forget"),
}


def change_lines(result: Result) -> list[str]:
    """Say what `create` and `remove` did, or would do, and what to know of it."""
    lines = [*gap_lines(result), *action_lines(result.actions)]
    lines += [clean(note, _WHOLE) for note in result.data["notes"]]
    return [*lines, *_foot(result)]


def volumes_lines(result: Result) -> list[str]:
    """Say which volumes were tagged, and why others were not."""
    lines = [*gap_lines(result), *action_lines(result.actions)]
    data = result.data
    lines += [
        f"left alone {clean(one['volume'])}: {clean(one['reason'], _WHOLE)}"
        for one in data["left_alone"]
    ]
    lines += [clean(note, _WHOLE) for note in data["notes"]]
    done = sum(1 for one in result.actions if one.outcome in {"planned", "done"})
    lines.append(
        f"{done} changed, {len(data['unchanged'])} as they should be,"
        f" {len(data['left_alone'])} left alone"
    )
    return [*lines, *_foot(result)]


def list_lines(result: Result) -> list[str]:
    """Show every project, a row for each tree."""
    heading: tuple[str, ...] = ("NAME", "ID", "OWNER", "USED", "SOFT", "HARD", "INODES", "PATH")
    rows = [heading]
    for project in result.data["projects"]:
        rows += _rows(project)
    lines = gap_lines(result)
    if len(rows) == 1:
        lines.append("there is no project; make one with: ds01ctl quota project create NAME PATH")
    else:
        lines += columns(rows, widest=60)
    if any(one["is_foreign"] for one in result.data["projects"]):
        lines.append("(foreign): not one of our ids; ds01ctl leaves it alone")
    return [*lines, *(f"warning: {clean(one, _WHOLE)}" for one in result.data["broken_lines"])]


def check_lines(result: Result) -> list[str]:
    """Tell each finding with its evidence and what to do."""
    lines = gap_lines(result)
    for one in result.findings:
        name = one.subject["name"] or ""
        lines.append(f"{one.severity} {one.kind}{f' {clean(name)}' if name else ''}")
        lines += [f"    {clean(text, _WHOLE)}" for text in one.evidence]
    count = result.data["projects"]
    found = len(result.findings)
    told = "nothing is wrong" if not found else f"{found} finding{'' if found == 1 else 's'}"
    lines.append(f"{told}; examined {count} project{'' if count == 1 else 's'}")
    return [*lines, *(clean(note, _WHOLE) for note in result.data["notes"])]


def action_lines(actions: Iterable[Action]) -> list[str]:
    """Tell each change in a line, and why it was not made."""
    lines = []
    for one in actions:
        done, plain = _VERBS[one.kind]
        verb = {
            "planned": f"would {plain}",
            "done": done,
            "skipped": f"left alone, did not {plain}",
            "failed": f"could not fully {plain}",
        }[one.outcome]
        lines.append(f"{verb} {clean(one.target, _WHOLE)}: {clean(one.reason, _WHOLE)}")
        if one.error:
            lines.append(f"    because: {clean(one.error, _WHOLE)}")
    return lines


def _rows(project: Mapping[str, Any]) -> list[tuple[str, ...]]:
    name = clean(project["name"] or "(no name)")
    name += " (foreign)" if project["is_foreign"] else ""
    uses = project["uses"]
    use = uses[0] if len(uses) == 1 else None
    shown = (
        name,
        str(project["id"]),
        clean(project["owner"] or "-"),
        *_use_cells(use, is_several=len(uses) > 1),
    )
    paths = [clean(path, _WHOLE) for path in project["paths"]] or ["(no tree)"]
    return [(*shown, paths[0]), *(("",) * len(shown) + (path,) for path in paths[1:])]


def _use_cells(use: Mapping[str, Any] | None, *, is_several: bool) -> tuple[str, ...]:
    if use is None:
        return ("several", "", "", "") if is_several else ("?", "?", "?", "?")
    if not use["is_on"]:
        return ("not counted", "", "", "")
    inodes = "?" if use["used_inodes"] is None else str(use["used_inodes"])
    return (
        "?" if use["used_bytes"] is None else size(use["used_bytes"]),
        *("-" if use[key] is None else size(use[key]) for key in ("soft_bytes", "hard_bytes")),
        inodes,
    )


def _foot(result: Result) -> list[str]:
    if any(one.outcome == "planned" for one in result.actions):
        return ["nothing was changed yet; run it without --dry-run"]
    return []
