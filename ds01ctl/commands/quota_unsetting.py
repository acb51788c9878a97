"""What `quota unset` does: a limit out of the policy; what is left of it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.commands.quota_setting import Planned, carried
from ds01ctl.commands.quota_targets import OWN_RULES, changes_of, others_of, places_of, policy_file
from ds01ctl.core import quota, storage
from ds01ctl.core.disk_quota import NO_LIMITS
from ds01ctl.core.quota_model import Wanted, same
from ds01ctl.errors import UsageError

if TYPE_CHECKING:
    from datetime import date

    from ds01ctl.commands.quota_looking import Reading
    from ds01ctl.commands.quota_targets import Asked
    from ds01ctl.config.edit import Edit
    from ds01ctl.core.disk_quota import Limits
    from ds01ctl.core.plan import Result
    from ds01ctl.core.quota_model import Place
    from ds01ctl.core.storage import StorageLimit
    from ds01ctl.paths import Paths


def unset(asked: Asked) -> Result:
    """Take a limit of a user, group or project out of the policy, and out of the kernel."""
    return carried("quota unset", asked, _planned_unset)


def _planned_unset(asked: Asked, seen: Reading, paths: Paths) -> Planned:
    path, places = places_of(asked, seen, paths)
    edit = _unset_edit(asked, seen, path)
    today = seen.taken_at.astimezone().date()
    wanted = []
    for place, name in places.items():
        row = _without(asked, seen, name, path, today)
        limits, why = (row.limits, str(row.origin)) if row else _before_us(place, seen)
        wanted.append(Wanted(place, name, path, limits, why))
    wanted += others_of(seen, places, path)
    return Planned((edit,), changes_of(seen, wanted, force=False))


def _before_us(place: Place, seen: Reading) -> tuple[Limits, str]:
    """Give what was there before ours, as the next `apply` would."""
    known = seen.memory.known.get(place)
    record = quota.records_of(seen.file_systems).get(place)
    if known and record and same(record.limits, known.set):
        return known.before, "nothing else is given: as it was before ds01ctl"
    return NO_LIMITS, "nothing else is given"


def _unset_edit(asked: Asked, seen: Reading, path: str) -> Edit:
    from ds01ctl.config import edit

    policy, target = policy_file(seen), asked.target
    if target.user:
        name = storage.override_name(seen.policy, target.user)
        found = edit.unset_storage(policy, name, path)
    elif target.project:
        found = edit.unset_project(policy, target.project)
    else:
        found = edit.unset_group_storage(policy, str(target.group), path)
    if found is None:
        hint = "ds01ctl explain USER tells where a limit comes from"
        raise UsageError(f"{target.words} has no limit of their own on {path}", hint)
    return found


def _without(asked: Asked, seen: Reading, name: str, path: str, today: date) -> StorageLimit | None:
    """Say what holds when the target's own limit is gone."""
    if asked.target.project:
        return None
    for row in storage.ranked(seen.policy, name).get(path, ()):
        is_own = row.origin.rule in OWN_RULES
        is_groups = row.origin.rule == f"group {asked.target.group}"
        if not row.is_over(today) and not (is_own if asked.target.user else is_groups):
            return row
    return None
