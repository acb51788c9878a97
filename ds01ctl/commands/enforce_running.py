"""What `enforce plan`, `apply`, `check` and `revert` do once their options are read."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from ds01ctl.commands import asking, enforce_saved, enforcing, gathering
from ds01ctl.commands.enforce_memory import JOB, upgrade
from ds01ctl.commands.enforce_steps import Done, Site, carry_out, in_order
from ds01ctl.core import enforce_findings
from ds01ctl.core.enforce_model import REPORT_ONLY, Plan, in_words
from ds01ctl.core.plan import Action, Result
from ds01ctl.errors import Ds01Error
from ds01ctl.lock import job_lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from ds01ctl.commands.enforcing import Look, Wish
    from ds01ctl.core.enforce_model import Change
    from ds01ctl.core.plan import Finding
    from ds01ctl.paths import Paths


def plan(wish: Wish, out: Path | None) -> Result:
    """Look, and say what would be changed; out: save it."""
    from ds01ctl.commands.enforce_engine import engine_findings

    paths = gathering.host_paths()
    seen = enforcing.look(wish, paths, gathering.utcnow())
    if out is not None:
        enforce_saved.save(out, seen, wish)
    found = [*enforce_findings.of_plan(seen.plan, seen.world)]
    found += engine_findings(seen.world.policy, paths)
    data = {**_data(seen), "saved": str(out) if out else None}
    return _result("enforce plan", seen, found, _planned(seen), data)


def is_pending(result: Result) -> bool:
    """Tell whether anything would be changed, or is only reported."""
    return any(one.outcome == "planned" or one.error == REPORT_ONLY for one in result.actions)


def check(wish: Wish) -> Result:
    """Look at every slice, and say where a limit is not as it should be."""
    from ds01ctl.commands.enforce_engine import engine_findings

    paths = gathering.host_paths()
    seen = enforcing.look(wish, paths, gathering.utcnow())
    found = [*enforce_findings.of_drifts(seen.plan, seen.world)]
    found += enforce_findings.of_plan(seen.plan, seen.world)
    found += engine_findings(seen.world.policy, paths)
    return _result("enforce check", seen, found, (), _data(seen))


def apply(wish: Wish, saved: Path | None, *, yes: bool, as_json: bool) -> Result:
    """Make what differs as the policy says. Raises UsageError where nobody can be asked."""
    began = time.monotonic()
    paths = gathering.host_paths()
    asking.need_yes(yes=yes, as_json=as_json)
    plan_file = enforce_saved.load(saved, wish) if saved else None

    def looked() -> Look:
        meant = plan_file.wish if plan_file else wish
        seen = enforcing.look(meant, paths, gathering.utcnow())
        if plan_file:
            enforce_saved.check_unmoved(plan_file, seen)
        return seen

    upgrade(paths)
    shown = None if yes else _asked("enforce apply", looked)
    with job_lock(paths, JOB):
        seen = looked()
        _check_still(shown, seen)
        found = enforce_findings.of_plan(seen.plan, seen.world)
        return _carry_out("enforce apply", seen, found, paths, began)


def revert(wish: Wish, *, yes: bool, dry_run: bool, as_json: bool) -> Result:
    """Take everything of ours back."""
    from ds01ctl.commands.enforce_reverting import changes_of

    began = time.monotonic()
    paths = gathering.host_paths()

    def looked() -> Look:
        seen = enforcing.look(wish._replace(thorough=True), paths, gathering.utcnow())
        return seen._replace(plan=Plan(tuple(changes_of(seen)), (), (), ()))

    if dry_run:
        return _planned_result("enforce revert", looked())
    asking.need_yes(yes=yes, as_json=as_json)
    upgrade(paths)
    shown = None if yes else _asked("enforce revert", looked)
    with job_lock(paths, JOB):
        seen = looked()
        _check_still(shown, seen)
        if not seen.plan.changes:
            return _planned_result("enforce revert", seen)
        return _carry_out("enforce revert", seen, (), paths, began)


def _carry_out(
    command: str, seen: Look, found: Iterable[Finding], paths: Paths, began: float
) -> Result:
    from ds01ctl.commands import enforce_recording as recording

    changes = in_order(seen.plan.changes)
    gaps = recording.intend(seen, changes, paths)
    if gaps:
        changes = [_unremembered(one) for one in changes]
    site = Site(paths, seen.world.machine, seen.cgroups, seen.world.force)
    done = list(carry_out(changes, site))
    gaps = tuple(dict.fromkeys((*seen.gaps, *gaps, *recording.record(seen, done, paths, began))))
    result = _result(command, seen, found, _actions(changes, done, seen), _data(seen))
    return result._replace(gaps=gaps, failed_gaps=gathering.is_failure(gaps))


def _unremembered(change: Change) -> Change:
    """Leave a container alone where nothing could note what it had before."""
    if change.kind != "write-cgroup" or change.skip is not None:
        return change
    return change._replace(skip="it could not be noted down, and so never be taken back")


def _check_still(shown: Look | None, now: Look) -> None:
    """Raise Ds01Error where what was shown is not what would be done now."""
    if shown is not None and shown.plan.changes != now.plan.changes:
        what = "the host has moved since you were shown what would be done; nothing was changed"
        raise Ds01Error(what, "look again: ds01ctl enforce plan")


def _asked(command: str, looked: Callable[[], Look]) -> Look:
    """Show what will be done, and go on only on a yes; nobody is asked about nothing.

    Outside the lock: the answer may come hours later, and the timer goes on.
    """
    shown = looked()
    planned = _planned_result(command, shown)
    if any(one.outcome == "planned" for one in planned.actions):
        from ds01ctl.report.enforce_text import action_lines

        asking.confirm(action_lines(planned))
    return shown


def _result(
    command: str,
    seen: Look,
    findings: Iterable[Finding],
    actions: Sequence[Action],
    data: dict[str, Any],
) -> Result:
    dated = tuple(one._replace(first_seen=seen.snapshot.taken_at) for one in findings)
    return Result(
        command,
        os.uname().nodename,
        seen.snapshot.taken_at,
        seen.gaps,
        dated,
        tuple(actions),
        data,
        failed_gaps=gathering.is_failure(seen.gaps),
    )


def _planned_result(command: str, seen: Look) -> Result:
    return _result(command, seen, (), _planned(seen), _data(seen))


def _planned(seen: Look) -> tuple[Action, ...]:
    changes = in_order(seen.plan.changes)
    return tuple(_action(one, seen, "skipped" if one.skip else "planned") for one in changes)


def _actions(changes: Sequence[Change], done: Iterable[Done], seen: Look) -> tuple[Action, ...]:
    came = {id(one.change): one for one in done}
    told = []
    for change in changes:
        one = came.get(id(change))
        if one is None:
            told.append(_action(change, seen, "skipped"))
        elif one.note is not None:
            told.append(_action(change, seen, "skipped")._replace(error=one.note))
        elif one.error is None:
            told.append(_action(one.made, seen, "done"))
        else:
            told.append(_action(change, seen, "failed")._replace(error=one.error))
    return tuple(told)


def _action(change: Change, seen: Look, outcome: str) -> Action:
    said = ", ".join(in_words(change, seen.world.machine.nodes))
    reason = f"{said} ({change.reason})" if said else change.reason
    return Action(change.kind, change.target, reason, outcome, change.skip)  # type: ignore[arg-type]  # one of the four words


def _data(seen: Look) -> dict[str, Any]:
    world = seen.world
    return {
        "modes": dict(world.modes),
        "examined": {
            "users": len(world.roll.people),
            "spared": len(world.roll.spared),
            "slices": len(world.homes),
            "live_slices": sum(1 for one in world.seen.values() if one.group),
            "containers": len(world.scopes),
        },
        "changes": [enforce_saved.row(one) for one in seen.plan.changes],
        "files": list(world.policy.files),
    }
