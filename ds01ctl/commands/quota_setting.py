"""What `quota set` does: the wish into the policy's files, and the limit into the kernel.

The policy is written first. Where the kernel then fails, the next `quota apply` sets the limit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ds01ctl.commands import gathering, quota_extending, quota_looking, quota_running
from ds01ctl.commands.quota_amounts import (
    check_range,
    count,
    fields_of,
    grace_s,
    new_limits,
    raised,
)
from ds01ctl.commands.quota_memory import JOB, upgrade
from ds01ctl.commands.quota_targets import (
    ALLOCATED,
    USUAL_PATH,
    base_of,
    changes_of,
    check_target,
    others_of,
    places_of,
    policy_file,
    whole_path,
)
from ds01ctl.core import quota, storage
from ds01ctl.core.plan import Action
from ds01ctl.core.quota_model import Wanted, nothing_of
from ds01ctl.core.sizes import size
from ds01ctl.core.storage import limits_text
from ds01ctl.errors import Ds01Error, UsageError
from ds01ctl.lock import job_lock

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ds01ctl.commands.quota_extending import GraceEnd
    from ds01ctl.commands.quota_looking import Reading
    from ds01ctl.commands.quota_targets import Asked
    from ds01ctl.config.edit import Edit
    from ds01ctl.core.disk_quota import Limits
    from ds01ctl.core.model import Gap
    from ds01ctl.core.plan import Result
    from ds01ctl.core.quota_model import Change, Place
    from ds01ctl.paths import Paths

_NO_GRACE = (
    "{} is not over a soft limit: no grace runs that could be extended (quota.grace_d in the policy"
    " is how long everybody's is)"
)


class Planned(NamedTuple):
    """What would be done."""

    edits: tuple[Edit, ...]
    changes: tuple[Change, ...]
    graces: tuple[GraceEnd, ...] = ()
    notes: tuple[str, ...] = ()


class Came(NamedTuple):
    """What came of it."""

    done: list[quota_running.Done]
    graces: list[Action]
    gaps: tuple[Gap, ...]


def set_(asked: Asked) -> Result:
    """Set limits. Raises UsageError for what makes no sense, Ds01Error where it can't be done."""
    if not (asked.amounts or asked.allocated or asked.grace):
        raise UsageError("nothing to set", "give --soft 100G, for example; see --help")
    if asked.until and (asked.target.project or not asked.amounts):
        raise UsageError("--until is for the disk limits of users and groups only")
    if asked.allocated and (asked.raise_only or asked.path):
        raise UsageError("--path and --raise-only are for limits of disk only")
    if asked.grace:
        grace_s(asked.grace)
    return carried("quota set", asked, _planned_set)


def carried(command: str, asked: Asked, planner: Any) -> Result:
    """Plan, and do it unless it is a dry run."""
    check_target(asked.target)
    asked = asked._replace(path=whole_path(asked.path))
    paths, now = gathering.host_paths(), gathering.utcnow()
    users = (asked.target.user,) if asked.target.user else ()
    wish = quota_looking.Wish(users, config=asked.config, paths=(asked.path or USUAL_PATH,))
    if asked.dry_run:
        seen = quota_looking.read(wish, paths, now)
        return _told(command, seen, planner(asked, seen, paths))
    upgrade(paths)
    with job_lock(paths, JOB):
        seen = quota_looking.read(wish, paths, now)
        planned = planner(asked, seen, paths)
        return _told(command, seen, planned, _carried_out(command, asked, seen, planned, paths))


def _carried_out(command: str, asked: Asked, seen: Reading, planned: Planned, paths: Paths) -> Came:
    from ds01ctl.commands import quota_recording

    edits = tuple((str(one.path), one.before, one.after) for one in planned.edits)
    ends = tuple(f"{one.name} on {one.place.mount}" for one in planned.graces)
    gaps = quota_recording.intend(
        planned.changes, paths, seen.taken_at, command, edits, deadlines=ends
    )
    if gaps:
        raise Ds01Error(f"nothing was changed, for it could not be noted down: {gaps[0].reason}")
    try:
        for edit in planned.edits:
            _write(edit, asked, paths)
    except Ds01Error:
        quota_recording.unintend(seen.memory, paths)
        raise
    done = quota_running.carry_out(planned.changes, paths)
    graces = quota_extending.extend(planned.graces, asked.grace, seen, paths)
    user = asked.target.user
    return Came(done, graces, quota_recording.tell(seen, done, paths, command, graces, user))


def _write(edit: Edit, asked: Asked, paths: Paths) -> None:
    """Write, and see that the policy can still be read: else every job would stop at it."""
    edit.write()
    try:
        gathering.load_policy(paths, asked.config)
    except Ds01Error as error:
        edit.take_back()
        raise Ds01Error(f"nothing was changed, for the policy would be wrong: {error.message}",
                        error.hint) from None  # fmt: skip


# --- set --------------------------------------------------------------------------------------


def _planned_set(asked: Asked, seen: Reading, paths: Paths) -> Planned:
    edits: list[Edit] = []
    changes: tuple[Change, ...] = ()
    notes: list[str] = []
    graces: list[GraceEnd] = []
    if asked.amounts or asked.grace:
        path, places = places_of(asked, seen, paths)
        notes += _not_held(seen, places)
        limits: Limits | None = None
        if asked.amounts:
            base = base_of(asked, seen, path, places)
            limits = _limits(asked, seen, base, places)
            if asked.raise_only and limits == base:
                # written down as the user's own it would hide what the group is given later
                notes.append(f"{limits_text(base)} is there already: nothing is raised")
            else:
                edits += _edit(asked, seen, path, _fields(asked, limits))
            why = f"as asked, until {asked.until}" if asked.until else "as asked"
            wanted = [
                Wanted(place, name, path, _at_least(asked, seen, place, limits), why)
                for place, name in places.items()
            ]
            wanted += others_of(seen, places, path)
            # what one target uses was looked at; the hard limits of a group may have to wait
            force = asked.force or asked.target.group is None
            changes = changes_of(seen, wanted, force=force)
        if asked.grace:
            graces = quota_extending.ends(seen, places, limits)
            notes += [] if graces else [_NO_GRACE.format(asked.target.words)]
    edits = _allocated(asked, seen, edits)
    notes += _until_notes(asked, seen)
    return Planned(tuple(edits), changes, tuple(graces), tuple(notes))


def _not_held(seen: Reading, places: Iterable[Place]) -> list[str]:
    """Say where a limit is set that holds nobody."""
    on = {(one.mount, kind) for one in seen.file_systems
          for kind, state in one.accounting.items() if state.is_enforced}  # fmt: skip
    off = sorted({one[:2] for one in places} - on)
    return [f"no {kind} limit holds on {mount} yet; see: ds01ctl doctor" for mount, kind in off]


def _limits(asked: Asked, seen: Reading, base: Limits, places: Mapping[Place, str]) -> Limits:
    """Work out the new limits."""
    limits = new_limits(asked.amounts, base)
    if asked.raise_only:
        limits = raised(base, limits)
    check_range(limits)
    _check_use(asked, seen, limits, places)
    return limits


def _at_least(asked: Asked, seen: Reading, place: Place, limits: Limits) -> Limits:
    """With --raise-only nobody gets less than the kernel gives now."""
    record = quota.records_of(seen.file_systems).get(place) or nothing_of(place.id)
    return raised(record.limits, limits) if asked.raise_only else limits


def _fields(asked: Asked, limits: Limits) -> dict[str, str | int | None]:
    """Write limits as the policy has them."""
    fields = fields_of(limits, asked.amounts)
    return fields | ({"until": asked.until.isoformat()} if asked.until else {})


def _check_use(asked: Asked, seen: Reading, limits: Limits, places: Mapping[Place, str]) -> None:
    """Raise Ds01Error where the one target could write nothing from then on."""
    if asked.force or asked.target.group:
        return
    records = quota.records_of(seen.file_systems)
    for place in places:
        record = records.get(place) or nothing_of(place.id)
        if quota.held_back(limits, record) != limits:
            hint = "free something first, or give --force; a --hard above it leaves time, the grace"
            what = f"{size(record.used_bytes)} and {record.used_inodes} files in use"
            raise Ds01Error(
                f"{asked.target.words} has {what}: with {limits_text(limits)} every write would"
                " fail at once",
                hint,
            )


def _edit(
    asked: Asked, seen: Reading, path: str, fields: Mapping[str, str | int | None]
) -> list[Edit]:
    from ds01ctl.config import edit

    policy, target = policy_file(seen), asked.target
    if target.user:
        name = storage.override_name(seen.policy, target.user)
        return [edit.set_storage(policy, name, path, fields)]
    if target.group:
        return [edit.set_group_storage(policy, target.group, path, fields)]
    wish = next((x for x in storage.projects_of(seen.policy) if x.name == target.project), None)
    owner = {"owner": wish.owner} if wish and wish.owner else {}
    return [edit.set_project(policy, str(target.project), {"path": path, **owner, **fields})]


def _allocated(asked: Asked, seen: Reading, edits: list[Edit]) -> list[Edit]:
    """Write limits of GPUs and containers; they are the policy's alone, no kernel has them."""
    from ds01ctl.config import edit

    if not asked.allocated:
        return edits
    user = asked.target.user
    if not user:
        raise UsageError("--gpus and --containers are for one user", "for a group edit the policy")
    if user not in seen.users.uids:
        raise UsageError(f"no user {user} is known here", "give a login")
    file, login = policy_file(seen), storage.override_name(seen.policy, user)
    for name, text in asked.allocated.items():
        # one edit of the file makes all of them
        below = edits[0] if edits else None
        edits = [edit.set_override(file, login, ALLOCATED[name], count(name, text), below)]
    return edits


def _until_notes(asked: Asked, seen: Reading) -> list[str]:
    if asked.until is None or seen.policy.value("quota.mode") == "enforce":
        return []
    return [f"quota.mode is report: nothing sets the limit back after {asked.until} by itself"]


# --- telling ----------------------------------------------------------------------------------


def _told(command: str, seen: Reading, planned: Planned, came: Came | None = None) -> Result:
    outcome: Any = "planned" if came is None else "done"
    actions = [
        Action("edit-policy", str(one.path), _first_change(one.diff), outcome)
        for one in planned.edits
    ]
    if came is None:
        actions += quota_running.planned(planned.changes)
        actions += quota_extending.planned(planned.graces)
    else:
        actions += (*quota_running.outcomes(planned.changes, came.done), *came.graces)
    data = {
        "changes": [quota_running.change_row(one) for one in planned.changes],
        "diff": "".join(one.diff for one in planned.edits),
        "notes": list(planned.notes),
    }
    gaps = (*(gap for gap in seen.gaps if gap.kind != "absent"), *(came.gaps if came else ()))
    return quota_running.made(command, seen.taken_at, gaps, actions, data)


def _first_change(diff: str) -> str:
    """Tell a diff in one line: what comes in, else what goes."""
    lines = [
        line for line in diff.splitlines() if line[:1] in "+-" and line[:3] not in {"+++", "---"}
    ]
    new = [line[1:].strip() for line in lines if line.startswith("+")]
    return " ".join(new) if new else "without " + " ".join(line[1:].strip() for line in lines)
