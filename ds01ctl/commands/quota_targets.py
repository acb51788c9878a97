"""Whom and what `quota set` and `unset` are about: the kernel's records, the policy's rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.commands import quota_looking
from ds01ctl.core import quota, storage
from ds01ctl.core.disk_quota import NO_LIMITS, Limits
from ds01ctl.core.people import Roll
from ds01ctl.core.quota_model import Change, Place, Wanted, World
from ds01ctl.errors import Ds01Error, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from ds01ctl.commands.quota_looking import Reading
    from ds01ctl.core.people import Person
    from ds01ctl.paths import Paths


USUAL_PATH = "/home"
"""Where a limit is set for somebody of whom the policy says nothing yet."""
ALLOCATED = {"gpus": "max_gpu_equivalents", "containers": "max_containers_per_user"}
"""Options for what is not on a disk, and the policy's keys."""


OWN_RULES = frozenset({"user override", "inline override"})
"""Rules by which a limit is a user's own, not their group's."""


class Target(NamedTuple):
    """Whose limit."""

    user: str | None = None
    group: str | None = None
    project: str | None = None

    @property
    def words(self) -> str:
        """Name it as a message does."""
        return self.user or (f"group {self.group}" if self.group else f"project {self.project}")


class Asked(NamedTuple):
    """The options of `set` and `unset`."""

    target: Target
    amounts: Mapping[str, str] = {}
    """By storage.FIELDS; a sign in front makes it relative."""
    path: str | None = None
    until: date | None = None
    grace: str | None = None
    allocated: Mapping[str, str] = {}
    """By ALLOCATED."""
    raise_only: bool = False
    force: bool = False
    dry_run: bool = False
    config: Path | None = None


def check_target(target: Target) -> None:
    """Raise UsageError where not just one is named."""
    if sum(one is not None for one in target) != 1:
        raise UsageError(
            "name one user, --group or --project", "ds01ctl quota set alice --soft 100G"
        )


def whole_path(path: str | None) -> str | None:
    """Take --path as the policy takes it. Raises UsageError."""
    from ds01ctl.config.disk import folder

    try:
        return None if path is None else folder(path)
    except ValueError:
        hint = "give a whole path that begins with a /, without .. in it"
        raise UsageError(f"--path {path}: is not the path of a folder", hint) from None


def places_of(asked: Asked, seen: Reading, paths: Paths) -> tuple[str, dict[Place, str]]:
    """Say at which path, and in which records of the kernel, with the name of each."""
    path = _path_of(asked, seen)
    mount = quota_looking.mounts_of(seen.file_systems).get(path)
    mount = mount or next((one.mount for one in seen.file_systems if one.mount == path), None)
    if mount is None:
        raise Ds01Error(quota_looking.why_unread(path, seen), "see: ds01ctl doctor")
    kind = "project" if asked.target.project else "user"
    one = next(one for one in seen.file_systems if one.mount == mount)
    accounting = one.accounting.get(kind)  # type: ignore[call-overload]  # one of the two
    if accounting is None or not accounting.is_on:
        why = accounting.reason if accounting else "not supported"
        raise Ds01Error(f"no {kind} quota can be set on {mount}: {why}", "see: ds01ctl doctor")
    if asked.target.project:
        return path, {
            Place(mount, "project", _project_id(asked.target.project, seen)): asked.target.project
        }
    return path, {
        Place(mount, "user", one.uid): one.login for one in _people(asked, seen, path, paths)
    }


def _path_of(asked: Asked, seen: Reading) -> str:
    """Take the path as the policy has it, for the kernel has one limit a file system.

    Under another path on the same one, what is set now would not be what `apply` then takes.
    """
    target, named = asked.target, _named(asked.target, seen)
    if asked.path is None:
        return _only(named, target) or USUAL_PATH
    if asked.path in named:
        return asked.path
    mounts = quota_looking.mounts_of(seen.file_systems)
    beside = [one for one in named if mounts.get(one) == mounts.get(asked.path, "")]
    if target.project and named and not beside:
        what = f"project {target.project} is {named[0]}, which is not on the file system of"
        raise UsageError(f"{what} {asked.path}", "leave out --path")
    return _only(beside, target) or asked.path


def _only(found: Sequence[str], target: Target) -> str | None:
    if len(found) > 1:
        raise UsageError(
            f"which one? {target.words} has limits on {', '.join(found)}", "give --path"
        )
    return found[0] if found else None


def _named(target: Target, seen: Reading) -> list[str]:
    """List the paths that the policy has for the target."""
    policy = seen.policy
    if target.project:
        given = [one.path for one in storage.projects_of(policy) if one.name == target.project]
        # of a project of several trees one stands for all: they have one limit a file system
        return given or list(seen.trees.get(target.project, ())[:1])
    if target.user:
        if target.user not in seen.users.uids:
            raise UsageError(f"no user {target.user} is known here", "give a login")
        return list(storage.ranked(policy, target.user))
    layer = policy.groups.get(str(target.group), {})
    return [one.path for one in layer["storage"].value] if "storage" in layer else []


def _project_id(name: str, seen: Reading) -> int:
    ids = seen.project_ids
    if name in ids:
        return ids[name]
    if name in seen.projects.values():
        hint = "quota.project_ids in the policy is the range of ours; set others with setquota -P"
        raise UsageError(f"project {name} has an id that is not ours: it is left alone", hint)
    hint = f"ds01ctl quota project create {name} PATH registers it"
    raise UsageError(f"project {name} is not in /etc/projid", hint)


def _people(asked: Asked, seen: Reading, path: str, paths: Paths) -> list[Person]:
    """Name the one user, or everybody of the group who has no limit of their own there."""
    roll = quota_looking.roll_of(seen, paths)
    if asked.target.user:
        from ds01ctl.commands.enforce_people import chosen_people

        chosen_people((asked.target.user,), (), roll, seen.policy)
        return [roll.by_login()[asked.target.user]]
    group = str(asked.target.group)
    if group not in seen.policy.groups:
        known = ", ".join(seen.policy.groups) or "none"
        raise UsageError(f"there is no group {group}", f"groups of the policy: {known}")
    today = seen.taken_at.astimezone().date()
    return [
        one for one in roll.people
        if one.group == group and not _has_own(seen, one.login, path, today)
    ]  # fmt: skip


def _has_own(seen: Reading, login: str, path: str, today: date) -> bool:
    row = storage.limits_of(seen.policy, login, today).get(path)
    return row is not None and row.origin.rule in OWN_RULES


def base_of(asked: Asked, seen: Reading, path: str, places: Mapping[Place, str]) -> Limits:
    """Give what holds now: the policy's wish, else the kernel's limit of the one target."""
    today = seen.taken_at.astimezone().date()
    if asked.target.user:
        row = storage.limits_of(seen.policy, asked.target.user, today).get(path)
        if row is not None:
            return row.limits
    if asked.target.group:
        layer = seen.policy.groups.get(asked.target.group, {})
        rows = layer["storage"].value if "storage" in layer else ()
        return next((one.limits for one in rows if one.path == path), NO_LIMITS)
    for wish in storage.projects_of(seen.policy):
        if wish.name == asked.target.project:
            return wish.limits
    records = quota.records_of(seen.file_systems)
    return next((records[place].limits for place in places if place in records), NO_LIMITS)


def policy_file(seen: Reading) -> Path:
    """Name the file that wishes are written to, or beside. Raises Ds01Error without one."""
    if not seen.policy.files:
        hint = "ds01ctl config init writes one; without it the next apply would not know of this"
        raise Ds01Error("there is no policy file to write the wish into", hint)
    return Path(seen.policy.files[0])


def others_of(seen: Reading, places: Mapping[Place, str], path: str) -> list[Wanted]:
    """Give what the same users have at other paths of the file system: the larger holds."""
    mounts = quota_looking.mounts_of(seen.file_systems)
    today = seen.taken_at.astimezone().date()
    return [
        Wanted(place, login, other, row.limits, str(row.origin))
        for place, login in places.items()
        if place.kind == "user"
        for other, row in storage.limits_of(seen.policy, login, today).items()
        if other != path and mounts.get(other) == place.mount
    ]


def changes_of(seen: Reading, wanted: Sequence[Wanted], *, force: bool) -> tuple[Change, ...]:
    """Compare with the kernel, in the same way as `apply`."""
    places = {one.place for one in wanted}
    nobody = Roll((), ())
    world = World(seen.file_systems, nobody, tuple(wanted), {}, force=force, enforces=True)
    return tuple(one for one in quota.decide(world).changes if one.place in places)
