"""What the units commands that change files tell, as lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ds01ctl.report.text import clean, printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ds01ctl.core.plan import Action, Result

_DONE = {
    "stop": ("stopped", "stop"),
    "start": ("started", "start"),
    "wait": ("waited for", "wait for"),
    "enable": ("enabled", "enable"),
    "disable": ("disabled", "disable"),
    "reset-failed": ("forgot failures of", "forget failures of"),
    "write-file": ("wrote", "write"),
    "remove-file": ("removed", "remove"),
    "make-folder": ("made", "make"),
    "make-folders": ("made", "make"),
    "remove-folder": ("removed", "remove"),
    "put-back": ("put back", "put back"),
    "leave": ("left", "leave"),
}


def install_lines(result: Result) -> list[str]:
    """Tell what an install did, or would do, and what to look at next."""
    lines = _action_lines(result.actions)
    if not result.actions:
        return ["nothing to do: the units are as they should be"]
    lines += [f"warning: {clean(text)}" for text in result.data["warnings"]]
    if _is_plan(result.actions):
        return [*lines, "nothing was changed yet; run it without --dry-run"]
    if not result.data["live"]:
        return [*lines, "systemd does not run here: the timers start with the next boot"]
    lines.append("no daemon-reload was needed, nor is one; see the timers: ds01ctl units status")
    if any(action.target.endswith("journald.conf.d/ds01.conf") for action in result.actions):
        lines.append(
            "the journal's cap holds from journald's next start: systemctl restart systemd-journald"
        )
    return lines


def uninstall_lines(result: Result) -> list[str]:
    """Tell what an uninstall did, or would do, and what is left."""
    if not result.actions:
        return ["nothing to do: no file of ds01ctl is installed"]
    lines = _action_lines(result.actions)
    if _is_plan(result.actions):
        lines.append("nothing was changed yet; run it without --dry-run")
    lines += [f"left alone: {place} (yours)" for place in result.data["yours"]]
    if result.data["kept"]:
        lines.append(
            f"left alone: {', '.join(result.data['kept'])} (the event log, copies of files)"
        )
    return lines


def diff_lines(result: Result) -> list[str]:
    """Show the difference between the host's files and ours, like diff -u."""
    rows: list[dict[str, Any]] = list(result.data["files"])
    new = [row["file"] for row in rows if row["state"] == "missing"]
    lines = [printable(line) for row in rows if row["file"] not in new for line in row["diff"]]
    lines += [f"not there yet: {place}" for place in new]
    for row in rows:
        if row["state"] in {"edited", "foreign"}:
            what = "was edited" if row["state"] == "edited" else "is not ds01ctl's"
            lines.append(f"{row['file']} {what}: install refuses it, or with --force keeps a copy")
    stale = result.data["not_in_memory"]
    lines += [
        f"{name}: changed since systemd read it; `units install` has it read" for name in stale
    ]
    return lines or ["no difference"]


def generate_lines(result: Result) -> list[str]:
    """Tell which files were written."""
    count = len(result.data["files"])
    if not result.actions:
        return [f"nothing to do: {count} files in {result.data['folder']} are as rendered"]
    return _action_lines(result.actions)


def _is_plan(actions: Iterable[Action]) -> bool:
    return any(action.outcome == "planned" for action in actions)


def _action_lines(actions: Iterable[Action]) -> list[str]:
    return [_action_line(action) for action in actions]


def _action_line(action: Action) -> str:
    done, plain = _DONE[action.kind]
    verb = f"would {plain}" if action.outcome == "planned" else done
    return f"{verb} {clean(action.target, 400)} ({clean(action.reason)})"
