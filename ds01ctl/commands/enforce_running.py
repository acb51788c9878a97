"""What `enforce plan`, `apply`, `check` and `revert` do once their options are read."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any

from ds01ctl.commands import enforce_saved, enforcing, gathering
from ds01ctl.commands.enforce_memory import JOB
from ds01ctl.commands.enforce_steps import Done, Site, carry_out, in_order
from ds01ctl.core import enforce_findings
from ds01ctl.core.enforce_model import REPORT_ONLY, Plan, in_words
from ds01ctl.core.plan import Action, Result
from ds01ctl.errors import Ds01Error, UsageError
from ds01ctl.lock import job_lock

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
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
    return _result("enforce plan", seen, found, _planned(in_order(seen.plan.changes), seen), data)


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
    from ds01ctl.commands import enforce_recording as recording

    began = time.monotonic()
    paths = gathering.host_paths()
    _need_yes(yes=yes, as_json=as_json)
    plan_file = enforce_saved.load(saved, wish) if saved else None
    with job_lock(paths, JOB):
        seen = enforcing.look(plan_file.wish if plan_file else wish, paths, gathering.utcnow())
        if plan_file:
            enforce_saved.check_unmoved(plan_file, seen)
        if not yes and any(one.skip is None for one in seen.plan.changes):
            changes = in_order(seen.plan.changes)
            _ask(_result("enforce apply", seen, (), _planned(changes, seen), _data(seen)))
            # the answer may have come hours later
            seen = _still(seen, enforcing.look(seen.wish, paths, gathering.utcnow()))
        changes = in_order(seen.plan.changes)
        gaps = recording.intend(seen, changes, paths)
        done = list(carry_out(changes, _site(seen, paths)))
        actions = _actions(changes, done, seen)
        found = list(enforce_findings.of_plan(seen.plan, seen.world))
        gaps = (*gaps, *recording.record(seen, done, paths, began))
    result = _result("enforce apply", seen, found, actions, _data(seen))
    gaps = tuple(dict.fromkeys((*result.gaps, *gaps)))
    return result._replace(gaps=gaps, failed_gaps=gathering.is_failure(gaps))


def revert(wish: Wish, *, yes: bool, dry_run: bool, as_json: bool) -> Result:
    """Take everything of ours back."""
    from ds01ctl.commands import enforce_recording as recording
    from ds01ctl.commands.enforce_reverting import changes_of

    began = time.monotonic()
    paths = gathering.host_paths()
    if not dry_run:
        _need_yes(yes=yes, as_json=as_json)
    with job_lock(paths, JOB):
        seen = enforcing.look(wish._replace(thorough=True), paths, gathering.utcnow())
        changes = in_order(list(changes_of(seen)))
        planned = _result("enforce revert", seen, (), _planned(changes, seen), _data(seen))
        if dry_run or not changes:
            return planned
        if not yes:
            _ask(planned)
        seen = seen._replace(plan=Plan(tuple(changes), (), (), ()))
        done = list(carry_out(changes, _site(seen, paths)))
        gaps = tuple(dict.fromkeys((*seen.gaps, *recording.record(seen, done, paths, began))))
        actions = _actions(changes, done, seen)
    failed = gathering.is_failure(gaps)
    return planned._replace(actions=actions, gaps=gaps, failed_gaps=failed)


def _still(shown: Look, now: Look) -> Look:
    """Give the look of now where it leads to what was shown. Raises Ds01Error where it does not."""
    if shown.plan.changes != now.plan.changes:
        what = "the host has moved while you were asked; nothing was changed"
        raise Ds01Error(what, "look again: ds01ctl enforce plan")
    return now


def _site(seen: Look, paths: Paths) -> Site:
    return Site(paths, seen.world.machine, seen.cgroups, seen.world.force)


def _need_yes(*, yes: bool, as_json: bool) -> None:
    if not yes and (as_json or not sys.stdin.isatty() or not sys.stderr.isatty()):
        raise UsageError("nobody can be asked here", "give --yes, or run it on a terminal")


def _ask(planned: Result) -> None:
    """Show what will be done, and go on only on a yes."""
    import typer

    from ds01ctl.report.enforce_text import action_lines

    print("\n".join(action_lines(planned)), file=sys.stderr, flush=True)
    typer.confirm("Do it?", abort=True, err=True)


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


def _planned(changes: Iterable[Change], seen: Look) -> tuple[Action, ...]:
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
