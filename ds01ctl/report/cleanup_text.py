"""What `cleanup plan`, `apply`, `keep`, `undo` and `history` tell, as lines."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ds01ctl.core.cleanup_model import DONE_UNWRITTEN, REPORT_MODE
from ds01ctl.core.cleanup_words import NO_MAIL
from ds01ctl.core.timestamp import parse_time
from ds01ctl.report.text import clean, columns, gap_lines, memory

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ds01ctl.core.plan import Action, Finding, Result

_WHOLE = 2000
_FEW = 10
"""Notices of one kind that are told one by one."""
_DEED = {
    "warn": ("warn", "warned"),
    "stop-container": ("stop", "stopped"),
    "remove-container": ("remove", "removed"),
    "start-container": ("start", "started"),
    "release-gpu": ("count as free the GPU of", "counts as free the GPU of"),
    "remove-image": ("remove image", "removed image"),
    "untag-image": ("untag", "untagged"),
    "prune-build-cache": ("shrink the build cache of", "shrank the build cache of"),
    "remove-network": ("remove network", "removed network"),
    "remove-volume": ("remove volume", "removed volume"),
    "revoke-grant": ("revoke", "revoked"),
    "keep-container": ("keep", "kept"),
    "drop-keep": ("keep no longer", "keeps no longer"),
}


def plan_lines(result: Result) -> list[str]:
    """Say what would be done and what comes next, and how to go on."""
    lines = [*_report_lines(result.data["modes"]), *gap_lines(result), *action_lines(result)]
    lines += _coming(result.data["coming"], result.data["modes"])
    lines += [*_trips(result.data["trips"]), *finding_lines(result.findings)]
    lines += [_counted(result, "to do"), _examined(result.data["examined"]), *_mode_lines(result)]
    if result.data["saved"]:
        lines.append(f"saved; make it so with: ds01ctl cleanup apply {result.data['saved']}")
    elif any(one.outcome == "planned" for one in result.actions):
        lines.append("nothing was changed yet; make it so with: ds01ctl cleanup apply")
    return lines


def apply_lines(result: Result) -> list[str]:
    """Say what was done, and what was not, with the reason."""
    lines = [*gap_lines(result), *action_lines(result), *_trips(result.data["trips"])]
    lines += [*finding_lines(result.findings), _counted(result, "done")]
    return [*lines, _examined(result.data["examined"]), *_mode_lines(result)]


def change_lines(result: Result) -> list[str]:
    """Say what came of a command on one thing."""
    lines = [*gap_lines(result), *(line for one in result.actions for line in _single(one))]
    lines += [clean(text, _WHOLE) for text in result.data.get("notes", ())]
    if not result.actions:
        lines.append("nothing to do: it is so already")
    if any(one.outcome == "planned" for one in result.actions):
        lines.append("nothing was changed yet; run it without --dry-run")
    return lines


def undo_lines(result: Result) -> list[str]:
    """Say what came of `undo`; without a container, what could be undone."""
    if result.actions:
        return change_lines(result)
    rows = [("CONTAINER", "USER", "STOPPED", "REMOVED", "WHY")]
    for row in result.data["held"]:
        until = local(row["removed_at"]) if row["removed_at"] else "never"
        texts = (row["name"], row["user"] or "-", local(row["stopped_at"]), until, row["reason"])
        rows.append(tuple(clean(text, _WHOLE) for text in texts))  # type: ignore[arg-type]  # five texts
    lines = gap_lines(result)
    if len(rows) == 1 and _lacks(result, "docker", "state"):
        return [*lines, "what can be undone is not known"]
    if len(rows) == 1:
        return [*lines, "nothing can be undone: no container that cleanup stopped is held now"]
    return [*lines, *columns(rows, 40), "start one again with: ds01ctl cleanup undo CONTAINER"]


def history_lines(result: Result) -> list[str]:
    """List what was done, a line each."""
    shown = result.data["rows"]
    rows = [("TIME", "WHAT", "NAME", "USER", "OUTCOME", "WHY")]
    for row in shown:
        what = _deed(row["kind"], done=False) + (f" {row['stage']}" if row["stage"] else "")
        why = row["error"] or row["reason"]
        if row["outcome"] == "done" and (refused := _refused(row)):
            why += f"; not told by {'; '.join(refused)}"
        texts = (local(row["time"]), what, row["name"], row["user"] or "-", row["outcome"], why)
        rows.append(tuple(clean(text, _WHOLE) for text in texts))  # type: ignore[arg-type]  # six texts
    since = local(result.data["since"])
    if not shown and _lacks(result, "state"):
        return [*gap_lines(result), "what cleanup has done is not known"]
    if not shown:
        return [*gap_lines(result), f"cleanup has done nothing since {since}"]
    freed = sum(row["freed_bytes"] or 0 for row in shown if row["outcome"] == "done")
    return [*gap_lines(result), *columns(rows, 40), f"{_plural(len(shown), 'row')} since {since}"
            f"{f'; {memory(freed)} freed' if freed else ''}"]  # fmt: skip


def _refused(row: Mapping[str, Any]) -> list[str]:
    """Give why channels did not take a warning; that nobody has set one up is no news."""
    return [one for one in row["channel_errors"] if one != f"mail: {NO_MAIL}"]


def _lacks(result: Result, *sources: str) -> bool:
    """Tell whether something could not be read: then nothing found is not nothing there."""
    return any(gap.source in sources and gap.kind != "absent" for gap in result.gaps)


# --- changes ----------------------------------------------------------------------------------


def action_lines(result: Result) -> list[str]:
    """Tell each change in a line or more, the longest due first."""
    rows = result.data["changes"]
    return [line for row in rows for line in _change_lines(row)]


def _change_lines(row: Mapping[str, Any]) -> list[str]:
    kind, outcome, error = row["kind"], row["outcome"], row["error"]
    head = f"{_verb(kind, outcome, error)} {_object(row)}: {clean(row['reason'], _WHOLE)}"
    lines = [head]
    if outcome in {"planned", "failed"} and kind != "warn":
        lines += [f"    {clean(text, _WHOLE)}" for text in row["evidence"]]
    if row["channels"]:
        lines.append(f"    told by {clean(', '.join(row['channels']), _WHOLE)}")
        lines += [f"    not by {clean(one, _WHOLE)}" for one in _refused(row)]
    if error and not _is_told_only(error):
        lines.append(f"    because: {clean(error, _WHOLE)}")
    return lines


def _object(row: Mapping[str, Any]) -> str:
    name = clean(row["name"] or row["target"])
    user = f" ({clean(row['user'])})" if row["user"] else ""
    if row["kind"] != "warn":
        return f"{name}{user}"
    who = clean(row["user"] or "nobody")
    return f"{who} about {name} (warning {row['stage']} of 2)"


def _verb(kind: str, outcome: str, error: str | None) -> str:
    if outcome == "done" or (error or "").startswith(DONE_UNWRITTEN):
        return _deed(kind, done=True)
    words = {"planned": "would", "failed": "could not"}
    if outcome == "skipped":
        return f"{'would' if _is_told_only(error) else 'did not'} {_deed(kind, done=False)}"
    return f"{words[outcome]} {_deed(kind, done=False)}"


def _deed(kind: str, *, done: bool) -> str:
    plain, past = _DEED.get(kind, (kind, kind))
    return past if done else plain


def _is_told_only(error: str | None) -> bool:
    return (error or "").startswith(REPORT_MODE)


def _single(action: Action) -> list[str]:
    verb = _verb(action.kind, action.outcome, action.error)
    lines = [f"{verb} {clean(action.target, _WHOLE)}: {clean(action.reason, _WHOLE)}"]
    if action.error:
        lines.append(f"    because: {clean(action.error, _WHOLE)}")
    return lines


# --- what comes next --------------------------------------------------------------------------


def _report_lines(modes: Mapping[str, str]) -> list[str]:
    """Say before all else for which parts nothing of what follows will be done."""
    told = sorted(part for part, mode in modes.items() if mode == "report" and part != "volumes")
    if not told:
        return []
    # volumes are never removed by a run: of them no mode says anything
    parts = "" if len(told) == len(modes.keys() - {"volumes"}) else f" of {', '.join(told)}"
    return [f"report mode: nothing{parts} will be done, it is only told (cleanup.mode)"]


def _coming(rows: Sequence[Mapping[str, Any]], modes: Mapping[str, str]) -> list[str]:
    """Tell what is near, the next first, in the host's time zone."""
    if not rows:
        return []
    table = [("NEXT", "IN", "WHAT", "CONTAINER", "USER", "WHY")]
    for row in rows:
        when = (local(row["at"]), span_text(row["in_s"])) if row["at"] else ("not known", "")
        what = row["what"]
        if modes.get(row["part"]) == "report":
            what += " (only told)"
        texts = (*when, what, row["name"], row["user"] or "-", row["why"])
        table.append(tuple(clean(text, _WHOLE) for text in texts))  # type: ignore[arg-type]  # six texts
    return columns(table, 48)


def span_text(seconds: float | None) -> str:
    """Show seconds by their two largest units: ``1h 20m``."""
    if seconds is None:
        return "?"
    left = max(int(seconds), 0)
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
        elif parts:
            break
    return " ".join(parts[:2]) or "0s"


def local(moment: object) -> str:
    """Show a time in the host's time zone; a text is one of ISO 8601."""
    if not isinstance(moment, datetime):
        moment = parse_time(str(moment))
    return f"{moment.astimezone():%Y-%m-%d %H:%M %Z}"


# --- the rest ---------------------------------------------------------------------------------


def _trips(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    return [f"breaker {row['breaker']}: {clean(row['text'], _WHOLE)}" for row in rows]


def finding_lines(findings: Iterable[Finding], *, whole: bool = False) -> list[str]:
    """Tell the findings; not whole: of the many of one kind a few, and how many more."""
    lines: list[str] = []
    told: Counter[str] = Counter()
    for one in findings:
        told[one.kind] += 1
        if whole or told[one.kind] <= _FEW:
            user = f" {clean(one.user)}" if one.user else ""
            first, *more = one.evidence
            lines.append(f"{one.severity} {one.kind}{user}: {clean(first, _WHOLE)}")
            lines += [f"    {clean(text, _WHOLE)}" for text in more]
    for kind, count in told.items():
        if not whole and count > _FEW:
            lines.append(f"and {count - _FEW} more {kind}: --json has all")
    return lines


def _counted(result: Result, words: str) -> str:
    counts = Counter(action.outcome for action in result.actions)
    made = counts["planned"] + counts["done"]
    parts = [f"{made or 'nothing'} {'to do' if counts['planned'] else words}"]
    parts += [f"{counts['failed']} failed"] if counts["failed"] else []
    told_only = sum(1 for action in result.actions if _is_told_only(action.error))
    parts += [f"{told_only} only reported"] if told_only else []
    left = counts["skipped"] - told_only
    parts += [f"{left} left alone"] if left else []
    return ", ".join(parts)


def _examined(seen: Mapping[str, Any]) -> str:
    parts = [f"{_plural(seen['containers'], 'container')} ({seen['running']} running,"
             f" {seen['sampled']} sampled)"]  # fmt: skip
    if seen["not_judged"]:
        parts.append(f"{seen['not_judged']} without a GPU, so not judged")
    parts += [_plural(seen["images"], "image")] if seen["images"] is not None else []
    parts += (
        [_plural(seen["departed_users"], "user who has left", "users who have left")]
        if seen["departed_users"] is not None
        else []
    )
    return f"examined {', '.join(parts)}"


def _plural(number: int, one: str, more: str | None = None) -> str:
    return f"{number} {one if number == 1 else more or f'{one}s'}"


def _mode_lines(result: Result) -> list[str]:
    if not any(_is_told_only(action.error) for action in result.actions):
        return []
    return ["report only: to have it done, write cleanup: {mode: enforce} in the policy"]
