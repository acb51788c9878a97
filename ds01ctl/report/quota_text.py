"""What `quota plan`, `apply`, `check`, `set` and `undo` tell, as lines."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from ds01ctl.core.disk_quota import Limits
from ds01ctl.core.quota_model import REPORT_ONLY
from ds01ctl.core.storage import limits_text
from ds01ctl.report.text import clean, gap_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ds01ctl.core.plan import Action, Finding, Result

_WHOLE = 2000
_FEW = 10
"""Findings of one kind that are told one by one without being asked for."""


def plan_lines(result: Result) -> list[str]:
    """Say what would be set, and how to go on."""
    lines = [*gap_lines(result), *action_lines(result), *finding_lines(result.findings)]
    lines.append(_counted(result, "to change"))
    lines += _mode_lines(result)
    if any(one.outcome == "planned" for one in result.actions):
        lines.append("nothing was changed yet; make it so with: ds01ctl quota apply")
    return lines


def apply_lines(result: Result) -> list[str]:
    """Say what was set, and what was not, with the reason."""
    lines = [*gap_lines(result), *action_lines(result), *finding_lines(result.findings)]
    lines += [line for one in result.data["warned"] if (line := _warned_line(one))]
    return [*lines, _counted(result, "changed"), *_mode_lines(result)]


def _warned_line(row: Mapping[str, Any]) -> str | None:
    """Say who was warned; of who could not be, once, and not at each reminder."""
    message = clean(row["message"], _WHOLE)
    if row["outcome"] != "not-told":
        return f"{row['outcome']} {message}"
    why = "; ".join(dict.fromkeys(one["error"] for one in row["delivered"]))
    return None if row["reminder"] else f"could not tell {message} ({clean(why, _WHOLE)})"


def check_lines(result: Result) -> list[str]:
    """Say which limits are not as the policy says."""
    off = sum(1 for one in result.findings if one.kind == "quota-drift")
    told = (
        f"{_plural(off, 'limit')} not as the policy says"
        if off
        else "every limit is as it should be"
    )
    if more := len(result.findings) - off:
        told += f"; {_plural(more, 'other finding')}"
    lines = [*gap_lines(result), *finding_lines(result.findings, whole=True)]
    return [*lines, f"{told}; {_examined(result.data)}"]


def change_lines(result: Result) -> list[str]:
    """Say what came of `set`, `unset`, `undo` and `restore`: the actions, and what to know."""
    lines = [*gap_lines(result), *action_lines(result)]
    lines += [clean(text, _WHOLE) for text in result.data.get("notes", ())]
    if not result.actions:
        lines.append("nothing to do: it is so already")
    if any(one.outcome == "planned" for one in result.actions):
        lines.append("nothing was changed yet; run it without --dry-run")
    return lines


def action_lines(result: Result) -> list[str]:
    """Tell each change in a line."""
    return [line for action in result.actions for line in _action_lines(action)]


def _action_lines(action: Action) -> list[str]:
    verb = {
        "planned": "would set",
        "done": "set",
        "skipped": "would set" if action.error == REPORT_ONLY else "left alone",
        "failed": "could not set",
    }[action.outcome]
    if action.kind == "edit-policy":
        verb = {"planned": "would write", "done": "wrote"}.get(action.outcome, "could not write")
    lines = [f"{verb} {clean(action.target, _WHOLE)}: {clean(action.reason, _WHOLE)}"]
    if action.error and action.error != REPORT_ONLY:
        lines.append(f"    because: {clean(action.error, _WHOLE)}")
    return lines


def finding_lines(findings: Iterable[Finding], *, whole: bool = False) -> list[str]:
    """Tell the findings; not whole: of the many of one kind a few, and how many more."""
    lines: list[str] = []
    told: Counter[str] = Counter()
    for one in findings:
        told[one.kind] += 1
        if whole or told[one.kind] <= _FEW:
            user = f" {clean(one.user)}" if one.user else ""
            mount = one.subject.get("mount")
            lines.append(f"{one.severity} {one.kind}{user} ({clean(mount)})")
            lines += [f"    {clean(text, _WHOLE)}" for text in one.evidence]
    for kind, count in told.items():
        if not whole and count > _FEW:
            lines.append(f"and {count - _FEW} more {kind}: ds01ctl quota check tells all")
    return lines


def _counted(result: Result, words: str) -> str:
    counts = Counter(action.outcome for action in result.actions)
    made = counts["planned"] + counts["done"]
    parts = [f"{made or 'nothing'} {'to change' if counts['planned'] else words}"]
    parts += [f"{counts['failed']} failed"] if counts["failed"] else []
    told_only = sum(1 for action in result.actions if action.error == REPORT_ONLY)
    parts += [f"{told_only} only reported"] if told_only else []
    left = counts["skipped"] - told_only
    parts += [f"{left} left as they are"] if left else []
    return f"{', '.join(parts)}; {_examined(result.data)}"


def _examined(data: Mapping[str, Any]) -> str:
    seen = data["examined"]
    return (
        f"examined {_plural(seen['users'], 'user')}, {_plural(seen['limits'], 'limit')},"
        f" {_plural(seen['file_systems'], 'file system')}"
    )


def _plural(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _mode_lines(result: Result) -> list[str]:
    if not any(action.error == REPORT_ONLY for action in result.actions):
        return []
    return ["report only: to have limits set, write quota: {mode: enforce} in the policy"]


def dump_lines(result: Result) -> list[str]:
    """Say what was saved; or, where no file was named, the limits themselves."""
    rows, saved = result.data["limits"], result.data["saved"]
    lines = gap_lines(result)
    if saved:
        lines.append(f"{_plural(len(rows), 'limit')} saved to {clean(saved, _WHOLE)}")
        return [*lines, f"put them back with: ds01ctl quota restore {clean(saved, _WHOLE)}"]
    for row in rows:
        who = clean(row["name"] or f"#{row['id']}")
        limits = Limits(*(row[name] for name in Limits._fields))
        lines.append(f"{row['kind']} {who} on {clean(row['mount'])}: {limits_text(limits)}")
    return lines or ["no limit is set anywhere"]
