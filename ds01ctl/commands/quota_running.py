"""What `quota plan`, `apply`, `check` and `undo` do once their options are read."""

from __future__ import annotations

import os
import time
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from ds01ctl.commands import asking, gathering, quota_looking
from ds01ctl.commands.quota_memory import JOB, upgrade
from ds01ctl.core.disk_quota import limits_row
from ds01ctl.core.plan import Action, Finding, Result
from ds01ctl.core.quota_model import REPORT_ONLY, Change, GraceChange, Notice
from ds01ctl.core.storage import limits_text
from ds01ctl.errors import Ds01Error
from ds01ctl.lock import job_lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime
    from pathlib import Path

    from ds01ctl.act import quotas
    from ds01ctl.commands.quota_looking import Look, Wish
    from ds01ctl.core.model import Gap
    from ds01ctl.core.plan import Severity
    from ds01ctl.paths import Paths

    PutLimits = Callable[..., bool]

_UNNOTED = "it could not be noted down, and so never be undone"


class Done(NamedTuple):
    """A change that was tried."""

    change: Change
    error: str | None = None


def plan(wish: Wish) -> Result:
    """Look, and say what would be set."""
    seen = quota_looking.look(wish, gathering.host_paths(), gathering.utcnow())
    return result("quota plan", seen, _all_planned(seen))


def check(wish: Wish) -> Result:
    """Look, and tell of every limit that is not as the policy says."""
    seen = quota_looking.look(wish, gathering.host_paths(), gathering.utcnow())
    drifted = [_drift(one) for one in seen.plan.changes]
    drifted += [_grace_drift(one) for one in seen.plan.graces]
    told = result("quota check", seen, ())
    return told._replace(findings=_dated((*drifted, *told.findings), told.time))


def is_pending(told: Result) -> bool:
    """Tell whether anything would be set, or is only reported."""
    return any(one.outcome == "planned" or one.error == REPORT_ONLY for one in told.actions)


def is_amiss(told: Result) -> bool:
    """Tell whether a limit of the policy does not hold; those of others are left alone for good."""
    return any(one.severity != "info" for one in told.findings)


def apply(wish: Wish, *, yes: bool, as_json: bool) -> Result:
    """Set what differs. Raises UsageError where nobody can be asked."""
    from ds01ctl.commands import quota_recording
    from ds01ctl.commands.quota_graces import of_look

    began = time.monotonic()
    paths = gathering.host_paths()
    asking.need_yes(yes=yes, as_json=as_json)

    def looked() -> Look:
        return quota_looking.look(wish, paths, gathering.utcnow())

    upgrade(paths)
    shown = None if yes else asked("quota apply", looked)
    with job_lock(paths, JOB):
        seen = looked()
        if shown is not None and _made(shown) != _made(seen):
            what = "the host has moved since you were shown what would be done; nothing was changed"
            raise Ds01Error(what, "look again: ds01ctl quota plan")
        changes, at = seen.plan.changes, seen.reading.taken_at
        gaps = quota_recording.intend(changes, paths, at, "quota apply", (), of_look(seen))
        done = [] if gaps else carry_out(changes, paths)
        graces = tuple(_set_grace(one, paths, unnoted=bool(gaps)) for one in seen.plan.graces)
        ran = quota_recording.Ran(done, graces, began, wish.config)
        more, warned = quota_recording.record(seen, ran, paths)
    told = result("quota apply", seen, (*outcomes(changes, done, unnoted=bool(gaps)), *graces))
    gaps = tuple(dict.fromkeys((*told.gaps, *gaps, *more)))
    data = {**told.data, "warned": list(warned)}
    return told._replace(gaps=gaps, data=data, failed_gaps=gathering.is_failure(gaps))


def carry_out(changes: Iterable[Change], paths: Paths) -> list[Done]:
    """Set the limits, each checked right before; what fails does not stop the others."""
    done: list[Done] = []
    made = (one for one in changes if one.skip is None)
    for (mount, source), theirs in groupby(made, lambda one: (one.place.mount, one.source)):
        done += _on_one(paths.under(mount), source, list(theirs))
    return done


def _on_one(point: Path, source: str, changes: list[Change]) -> list[Done]:
    """Set the limits of one file system, which is opened once."""
    from ds01ctl.act import quotas

    done: list[Done] = []
    try:
        with quotas.held(point, source) as held:
            done.extend(Done(one, _error_of(quotas.put_limits, held, one)) for one in changes)
    except Ds01Error as error:
        # it could not be opened, or went away in the middle
        done += [Done(one, error.message) for one in changes[len(done) :]]
    return done


def _error_of(put: PutLimits, held: quotas.Held, change: Change) -> str | None:
    (_, kind, id_), is_spared = change.place, not change.is_forced
    try:
        put(held, kind, id_, change.after, expected=change.before, spare=is_spared)
    except Ds01Error as error:
        return error.message
    return None


def _set_grace(change: GraceChange, paths: Paths, *, unnoted: bool) -> Action:
    from ds01ctl.act import quotas

    if change.skip is not None or unnoted:
        return _grace_action(change, "skipped", change.skip or _UNNOTED)
    point = paths.under(change.mount)
    try:
        quotas.set_grace(
            point, change.source, change.kind, bytes_s=change.after_s, inodes_s=change.after_s
        )
    except Ds01Error as error:
        return _grace_action(change, "failed", error.message)
    return _grace_action(change, "done", None)


# --- asking -----------------------------------------------------------------------------------


def asked(command: str, looked: Callable[[], Look]) -> Look:
    """Show what will be done, and go on only on a yes; outside the lock, for it may take hours."""
    shown = looked()
    confirm(result(command, shown, _all_planned(shown)))
    return shown


def confirm(told: Result) -> None:
    """Ask about what is planned; nobody is asked about nothing."""
    if any(one.outcome == "planned" for one in told.actions):
        from ds01ctl.report.quota_text import action_lines

        asking.confirm(action_lines(told))


# --- telling ----------------------------------------------------------------------------------


def result(command: str, seen: Look, actions: Sequence[Action]) -> Result:
    """Make the document of a look."""
    return made(command, seen.reading.taken_at, seen.reading.gaps, actions, _data(seen))._replace(
        findings=_dated(map(_finding, seen.plan.notices), seen.reading.taken_at)
    )


def made(
    command: str,
    taken_at: datetime,
    gaps: tuple[Gap, ...],
    actions: Sequence[Action],
    data: dict[str, Any],
) -> Result:
    """Make a document."""
    failed = gathering.is_failure(gaps)
    host = os.uname().nodename
    return Result(command, host, taken_at, gaps, (), tuple(actions), data, failed_gaps=failed)


def planned(changes: Iterable[Change]) -> tuple[Action, ...]:
    """Tell of changes that are not made yet."""
    return tuple(_action(one, "skipped" if one.skip else "planned", one.skip) for one in changes)


def _all_planned(seen: Look) -> tuple[Action, ...]:
    graces = (
        _grace_action(one, "skipped" if one.skip else "planned", one.skip)
        for one in seen.plan.graces
    )
    return (*planned(seen.plan.changes), *graces)


def _made(seen: Look) -> tuple[object, ...]:
    return (seen.plan.changes, seen.plan.graces)


def _grace_action(change: GraceChange, outcome: str, error: str | None) -> Action:
    target = f"the grace of {change.kind}s on {change.mount}"
    reason = f"{_days(change.before_s)} -> {_days(change.after_s)} ({change.origin})"
    return Action("set-grace", target, reason, outcome, error)  # type: ignore[arg-type]  # one of the four words


def _days(seconds: int) -> str:
    return f"{seconds / 86400:g} days" if seconds >= 86400 else f"{seconds} s"


def outcomes(
    changes: Iterable[Change], done: Iterable[Done], *, unnoted: bool = False
) -> tuple[Action, ...]:
    """Tell what came of each change."""
    came = {one.change.place: one for one in done}
    told = []
    for change in changes:
        one = came.get(change.place)
        if one is None:
            why = change.skip or (_UNNOTED if unnoted else None)
            told.append(_action(change, "skipped", why))
        else:
            told.append(_action(change, "failed" if one.error else "done", one.error))
    return tuple(told)


def _action(change: Change, outcome: str, error: str | None) -> Action:
    mount, kind, _ = change.place
    who = change.name if kind == "user" else f"project {change.name}"
    reason = f"{limits_text(change.before)} -> {limits_text(change.after)} ({change.reason})"
    return Action("set-disk-quota", f"{who} on {mount}", reason, outcome, error)  # type: ignore[arg-type]  # one of the four words


def _drift(change: Change) -> Finding:
    subject = {"type": "disk-quota", **change.place._asdict()}
    evidence = (
        f"the kernel has {limits_text(change.before)}",
        f"the policy gives {limits_text(change.wanted)} ({change.reason})",
    )
    user = change.name if change.place.kind == "user" else None
    key = ("quota-drift", *map(str, change.place))
    return Finding("quota-drift", "warning", user, subject, evidence, key)


def _grace_drift(change: GraceChange) -> Finding:
    subject = {"type": "disk-quota", "mount": change.mount, "kind": change.kind}
    evidence = (
        f"the kernel has {_days(change.before_s)}",
        f"the policy gives {_days(change.after_s)} ({change.origin})",
    )
    return Finding("quota-drift", "warning", None, subject, evidence,
                   ("quota-drift", change.mount, change.kind, "grace"))  # fmt: skip


def _finding(notice: Notice) -> Finding:
    kind = f"quota-{notice.kind}"
    key = (kind, notice.mount, notice.user or "", notice.text)
    severity: Severity = "info" if notice.kind == "not-in-policy" else "warning"
    subject = {"type": "disk-quota", "mount": notice.mount}
    return Finding(kind, severity, notice.user, subject, (notice.text,), key)


def _dated(findings: Iterable[Finding], at: datetime) -> tuple[Finding, ...]:
    return tuple(one._replace(first_seen=at) for one in findings)


def _data(seen: Look) -> dict[str, Any]:
    world = seen.world
    return {
        "mode": "enforce" if world.enforces else "report",
        "examined": {
            "users": len(world.roll.people),
            "spared": len(world.roll.spared),
            "file_systems": len(world.file_systems),
            "limits": len(world.wanted),
        },
        "changes": [change_row(one) for one in seen.plan.changes],
        "files": list(seen.reading.policy.files),
    }


def change_row(change: Change) -> dict[str, Any]:
    """Give a change as JSON has it."""
    mount, kind, id_ = change.place
    return {
        "mount": mount,
        "kind": kind,
        "id": id_,
        "name": change.name,
        "rule": change.rule,
        "before": limits_row(change.before),
        "after": limits_row(change.after),
        "wanted": limits_row(change.wanted),
        "reason": change.reason,
    }
