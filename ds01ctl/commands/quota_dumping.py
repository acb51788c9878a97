"""What `quota dump`, `restore` and `undo` do: limits out to a file, and back into the kernel."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ds01ctl.commands import (
    asking,
    gathering,
    quota_back,
    quota_dump_file,
    quota_graces,
    quota_looking,
    quota_recording,
    quota_running,
)
from ds01ctl.commands.quota_memory import JOB, gap_of, newest_undo, upgrade
from ds01ctl.core import quota
from ds01ctl.core.disk_quota import ALL_KINDS, NO_LIMITS
from ds01ctl.core.plan import Action
from ds01ctl.errors import Ds01Error, UsageError
from ds01ctl.lock import job_lock
from ds01ctl.state import StateError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ds01ctl.commands.quota_back import Plan
    from ds01ctl.commands.quota_looking import Reading
    from ds01ctl.commands.quota_memory import Undo
    from ds01ctl.core.model import Gap
    from ds01ctl.core.plan import Result
    from ds01ctl.paths import Paths


# --- dump -------------------------------------------------------------------------------------


def dump(out: Path | None, config: Path | None) -> Result:
    """Write every limit that the kernel has; out: to a file, else the document has it all."""
    paths, now = gathering.host_paths(), gathering.utcnow()
    seen = quota_looking.read(quota_looking.Wish(config=config, kinds=ALL_KINDS), paths, now)
    rows = [
        {"mount": place.mount, "kind": place.kind, "id": place.id, "name": seen.name_of(place),
         **record.limits._asdict()}
        for place, record in sorted(quota.records_of(seen.file_systems).items())
        if record.limits != NO_LIMITS
    ]  # fmt: skip
    counted = [
        (one, kind, state)
        for one in seen.file_systems
        for kind, state in one.accounting.items()
        if state.is_on
    ]
    data = {
        "format": quota_dump_file.FORMAT,
        # a file system that could not be read whole must not be restored to "no limits"
        "complete": [[one.mount, kind] for one, kind, state in counted if state.is_complete],
        "file_systems": [
            {"mount": one.mount, "source": one.source, "kind": kind,
             "bytes_grace_s": state.bytes_grace_s, "inodes_grace_s": state.inodes_grace_s}
            for one, kind, state in counted
        ],
        "limits": rows,
        "saved": str(out) if out else None,
    }  # fmt: skip
    if out is not None:
        quota_dump_file.save(out, data)
    return quota_running.made("quota dump", now, seen.gaps, (), data)


# --- restore and undo -------------------------------------------------------------------------


def restore(path: Path, config: Path | None, *, yes: bool, dry_run: bool, as_json: bool) -> Result:
    """Set every limit as a dump has it; whoever had none then has none after."""
    dumped = quota_dump_file.load(path)
    # a number may have been given to somebody who uses nothing yet
    uids = tuple(place.id for place in dumped.names if place.kind == "user")

    def looked(paths: Paths) -> tuple[Reading, Plan]:
        wish = quota_looking.Wish(config=config, uids=uids, kinds=ALL_KINDS)
        seen = quota_looking.read(wish, paths, gathering.utcnow())
        return seen, quota_back.restored(dumped, seen, f"as in {path}")

    return _run("quota restore", looked, yes=yes, dry_run=dry_run, as_json=as_json)


def undo(config: Path | None, *, yes: bool, dry_run: bool, as_json: bool) -> Result:
    """Put back what the newest changing run has changed; what has moved since is left alone."""

    def looked(paths: Paths) -> tuple[Reading, Plan]:
        last = _newest(paths)
        mounts = dict.fromkeys(one[0].mount for one in last.places)
        mounts |= dict.fromkeys(one.mount for one in last.graces)
        wish = quota_looking.Wish(config=config, paths=tuple(mounts), kinds=ALL_KINDS)
        seen = quota_looking.read(wish, paths, gathering.utcnow())
        return seen, quota_back.undone(last, seen)

    return _run("quota undo", looked, yes=yes, dry_run=dry_run, as_json=as_json)


def _newest(paths: Paths) -> Undo:
    try:
        last = newest_undo(paths)
    except StateError as error:
        what = f"what could be undone is not known: {gap_of(error).reason}"
        raise Ds01Error(what, "see: ds01ctl state") from None
    if last is None:
        raise UsageError("there is nothing to undo", "quota set and quota apply note what was")
    return last


def _run(
    command: str,
    looked: Callable[[Paths], tuple[Reading, Plan]],
    *,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> Result:
    paths = gathering.host_paths()
    if dry_run:
        return _told(command, *looked(paths))
    asking.need_yes(yes=yes, as_json=as_json)
    upgrade(paths)
    shown = None
    if not yes:
        seen, shown = looked(paths)
        quota_running.confirm(_told(command, seen, shown))
    with job_lock(paths, JOB):
        seen, plan = looked(paths)
        if shown is not None and shown != plan:
            what = "the host has moved since you were shown what would be done; nothing was changed"
            raise Ds01Error(what, f"look again: ds01ctl {command} --dry-run")
        came = _carried_out(command, seen, plan, paths)
    return _told(command, seen, plan, came)


class _Came(NamedTuple):
    """What came of it."""

    done: list[quota_running.Done]
    graces: list[Action]
    gaps: tuple[Gap, ...]


def _carried_out(command: str, seen: Reading, plan: Plan, paths: Paths) -> _Came:
    is_undo = command == "quota undo"
    gaps: tuple[Gap, ...] = ()
    if not is_undo:
        gaps = quota_recording.intend(
            plan.changes, paths, seen.taken_at, command, graces=plan.graces
        )
    if gaps:
        raise Ds01Error(f"nothing was changed, for it could not be noted: {gaps[0].reason}")
    for path, back, there in plan.edits:
        _put_back(Path(path), back, there)
    # before the limits: a timer that begins then runs as long as it did before
    graces = quota_graces.set_all(plan.graces, plan.reason, paths)
    done = quota_running.carry_out(plan.changes, paths)
    if is_undo:
        made = [one.change for one in done if not one.error]
        failed = len(made) < len(done) or any(one.error for one in graces)
        is_whole = plan.is_whole and not failed
        gaps = quota_recording.forget_newest(paths, made, is_whole=is_whole)
    gaps = (*gaps, *quota_recording.tell(seen, done, paths, command, graces))
    return _Came(done, graces, gaps)


def _put_back(path: Path, text: str | None, there: str) -> None:
    from ds01ctl.config.edit import Edit

    if text is not None:
        Edit(path, there, text).write()
        return
    if quota_back.text_of(path) != there:
        raise Ds01Error(f"{path}: was changed by someone else meanwhile", "look again")
    try:
        path.unlink()
    except OSError as error:
        raise Ds01Error(f"{path}: cannot be removed: {error.strerror}") from None


def _told(command: str, seen: Reading, plan: Plan, came: _Came | None = None) -> Result:
    outcome: Any = "planned" if came is None else "done"
    actions = [
        Action("edit-policy", path, "as it was before" if back else "removed: it was not there",
               outcome)
        for path, back, _ in plan.edits
    ]  # fmt: skip
    if came is None:
        actions += (quota_graces.action(one, plan.reason, "planned") for one in plan.graces)
        actions += quota_running.planned(plan.changes)
    else:
        actions += (*came.graces, *quota_running.outcomes(plan.changes, came.done))
    rows = [quota_running.change_row(one) for one in plan.changes]
    data = {"changes": rows, "notes": list(plan.notes)}
    gaps = (*(gap for gap in seen.gaps if gap.kind != "absent"), *(came.gaps if came else ()))
    return quota_running.made(command, seen.taken_at, gaps, actions, data)
