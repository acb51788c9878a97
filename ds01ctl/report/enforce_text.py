"""What `enforce plan`, `apply`, `check` and `revert` tell, as lines."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from ds01ctl.core.enforce_model import REPORT_ONLY
from ds01ctl.core.subjects import short
from ds01ctl.report.text import clean, gap_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ds01ctl.core.plan import Action, Finding, Result

_VERBS = {
    "set-property": ("set", "set"),
    "write-cgroup": ("set", "set"),
    "write-drop-in": ("wrote", "write"),
    "remove-drop-in": ("removed", "remove"),
}
_WHOLE = 2000


def plan_lines(result: Result) -> list[str]:
    """Say what would be changed, what cannot be, and how to go on."""
    lines = [*gap_lines(result), *action_lines(result)]
    lines += finding_lines(result.findings, whole=False)
    lines.append(_counted(result, "to change"))
    lines += _mode_lines(result)
    if result.data["saved"]:
        lines.append(f"saved; make exactly this with: ds01ctl enforce apply {result.data['saved']}")
    elif any(one.outcome == "planned" for one in result.actions):
        lines.append("nothing was changed yet; make it so with: ds01ctl enforce apply")
    return lines


def apply_lines(result: Result) -> list[str]:
    """Say what was changed, and what was not, with the reason."""
    lines = [*gap_lines(result), *action_lines(result)]
    lines += finding_lines(result.findings, whole=False)
    return [*lines, _counted(result, "changed"), *_mode_lines(result)]


def check_lines(result: Result) -> list[str]:
    """Say where limits are not as they should be."""
    found = len(result.findings)
    told = "every limit is as the policy says" if not found else _plural(found, "finding")
    examined = _examined(result.data)
    return [*gap_lines(result), *finding_lines(result.findings), f"{told}; {examined}"]


def revert_lines(result: Result) -> list[str]:
    """Say what was taken back."""
    if not result.actions:
        return [*gap_lines(result), "nothing to do: no limit of ds01ctl's is on this host"]
    lines = [*gap_lines(result), *action_lines(result), _counted(result, "taken back")]
    if any(one.outcome == "planned" for one in result.actions):
        lines.append("nothing was changed yet; run it without --dry-run")
    elif result.data["modes"].get("logins") == "enforce":
        lines.append(
            "the policy may say enforcement.mode: enforce: then the timer sets the limits again"
        )
    return lines


def action_lines(result: Result) -> list[str]:
    """Tell each change in a line; of a slice that is told already the file is only mentioned."""
    lines: list[str] = []
    before: Action | None = None
    for action in result.actions:
        if before is not None and _is_file_of(action, before):
            file, live = (action, before) if before.kind == "set-property" else (before, action)
            # what is live tells what was there before
            lines[-1:] = [*_action_lines(live)[:1], *_also_file(file)]
            before = None
            continue
        lines += _action_lines(action)
        before = action
    return lines


def _is_file_of(action: Action, before: Action | None) -> bool:
    """Tell whether two actions are the drop-in and the live half of one slice, alike in outcome."""
    if before is None or (action.outcome, action.error) != (before.outcome, before.error):
        return False
    file, live = (action, before) if before.kind == "set-property" else (before, action)
    return live.kind == "set-property" and f"/{live.target}.d/" in file.target


def _also_file(action: Action) -> list[str]:
    done, plain = _VERBS[action.kind]
    when = "" if action.kind == "remove-drop-in" else ", for the next boot"
    return [f"    and {done if action.outcome == 'done' else plain} its drop-in{when}"]


def _action_lines(action: Action) -> list[str]:
    done, plain = _VERBS[action.kind]
    is_told_only = action.error == REPORT_ONLY
    verb = {
        "planned": f"would {plain}",
        "done": done,
        "skipped": f"would {plain}" if is_told_only else f"leave alone, not {plain}",
        "failed": f"could not {plain}",
    }[action.outcome]
    lines = [f"{verb} {clean(short(action.target), _WHOLE)}: {clean(action.reason, _WHOLE)}"]
    if action.error and not is_told_only:
        lines.append(f"    because: {clean(action.error, _WHOLE)}")
    return lines


def finding_lines(findings: Iterable[Finding], *, whole: bool = True) -> list[str]:
    """Tell each finding with its evidence; not whole: of a container over its limits one line."""
    lines = []
    for one in findings:
        user = f" {clean(one.user)}" if one.user else ""
        told = f"{one.severity} {one.kind}{user}{_about(one.subject)}"
        if not whole and one.kind == "container-over-limit":
            names = ", ".join(text.partition(":")[0] for text in one.evidence)
            lines.append(f"{told}: {names}")
            continue
        lines += [told, *(f"    {clean(text, _WHOLE)}" for text in one.evidence)]
    return lines


def _about(subject: Mapping[str, Any]) -> str:
    named = subject.get("unit") or subject.get("name") or subject.get("target")
    named = named or subject.get("key") or subject.get("host")
    return f" ({clean(named)})" if named else ""


def _counted(result: Result, words: str) -> str:
    counts = Counter(action.outcome for action in result.actions)
    made = counts["planned"] + counts["done"]
    parts = [f"{made or 'nothing'} {'to change' if counts['planned'] else words}"]
    parts += [f"{counts['failed']} failed"] if counts["failed"] else []
    told_only = sum(1 for action in result.actions if action.error == REPORT_ONLY)
    left = counts["skipped"] - told_only
    parts += [f"{told_only} only reported"] if told_only else []
    parts += [f"{left} left as they are"] if left else []
    return f"{', '.join(parts)}; {_examined(result.data)}"


def _examined(data: Mapping[str, Any]) -> str:
    seen = data["examined"]
    parts = [
        _plural(seen["users"], "user"),
        f"{_plural(seen['slices'], 'slice')} ({seen['live_slices']} in use)",
        _plural(seen["containers"], "container"),
    ]
    return f"examined {', '.join(parts)}"


def _plural(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _mode_lines(result: Result) -> list[str]:
    """Say how to have changes made where they are only reported."""
    if not any(action.error == REPORT_ONLY for action in result.actions):
        return []
    return report_only_lines(result.data["modes"])


def report_only_lines(modes: Mapping[str, str]) -> list[str]:
    """Name the rules that only report, and the key that changes that."""
    idle = [rule for rule, mode in modes.items() if mode == "report"]
    if len(idle) == len(modes):
        return ["report only: to have limits set, write enforcement: {mode: enforce} in the policy"]
    return [
        f"report only: {', '.join(idle)} (enforcement.rules in the policy; enforce sets the limits)"
    ]
