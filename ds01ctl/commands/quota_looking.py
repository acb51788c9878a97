"""Look once for `quota`: the kernel's records, who is who, the policy, and what is remembered."""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.commands import enforce_people, gathering, quota_folders
from ds01ctl.commands.quota_memory import Memory, recall
from ds01ctl.core import people, quota, storage
from ds01ctl.core.disk_quota import KINDS
from ds01ctl.core.quota_model import Notice, Place, Plan, Wanted, World
from ds01ctl.errors import Ds01Error

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from ds01ctl.core.disk_quota import QuotaFileSystem, QuotaKind
    from ds01ctl.core.model import Gap
    from ds01ctl.core.people import Roll
    from ds01ctl.core.policy import Policy
    from ds01ctl.observe.users import UsersReading
    from ds01ctl.paths import Paths

USUAL = ("/home", "/scratch", "/data", "/var/lib/docker/volumes")
"""Folders that are looked at, too, where they are there."""


class Wish(NamedTuple):
    """What the admin asked for."""

    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    force: bool = False
    config: Path | None = None
    paths: tuple[str, ...] = ()
    """More folders to look at."""
    uids: tuple[int, ...] = ()
    """More ids to look up the names of."""
    kinds: tuple[QuotaKind, ...] = KINDS
    moved: bool = False
    """Folders may lie on other file systems than before."""


class Reading(NamedTuple):
    """What the kernel and the name service told."""

    taken_at: datetime
    policy: Policy
    file_systems: tuple[QuotaFileSystem, ...]
    users: UsersReading
    projects: Mapping[int, str]
    """Names by project id, as /etc/projid has them."""
    owners: Mapping[str, str]
    """Logins by project, as the registry has them."""
    trees: Mapping[str, tuple[str, ...]]
    """Paths by project, as /etc/projects has them."""
    projects_known: bool
    """False: the registry could not be read, which is not an empty one."""
    memory: Memory
    gaps: tuple[Gap, ...]

    @property
    def project_ids(self) -> dict[str, int]:
        """Give the ids of the projects that are ours: ids of others are never limited."""
        ours = storage.project_ids(self.policy)
        return {name: number for number, name in self.projects.items() if number in ours}

    def name_of(self, place: Place) -> str | None:
        """Give the login or the project's name; None: nobody has the id, or it was not told."""
        if place.kind == "user":
            return self.users.users.get(place.id)
        return self.projects.get(place.id) if place.kind == "project" else None


class Look(NamedTuple):
    """One look, and what was decided."""

    reading: Reading
    world: World
    plan: Plan


def read(wish: Wish, paths: Paths, now: datetime, *, remembered: bool = True) -> Reading:
    """Read the quotas where the policy limits, or people write, and the names of all who do.

    remembered: what earlier runs left, too; only who decides or puts back needs it.
    """
    from ds01ctl.observe import project_registry, quotas

    loaded = gathering.load_policy(paths, wish.config)
    memory = recall(paths) if remembered else Memory()
    policy = loaded.policy
    named = (*storage.folders_of(policy), *wish.paths)
    names, owners, trees, unread = project_registry.names(paths)
    usual = dict.fromkeys((*_usual(policy, memory), *(some[0] for some in trees.values() if some)))
    found = quotas.read(paths, (*named, *usual), kinds=wish.kinds)
    # of these nobody said that they are there
    quiet = {f"{one}: no such folder" for one in usual.keys() - set(named)}
    missed = [one for one in found.gaps if one.kind != "absent" or one.reason not in quiet]
    users = _people(policy, paths, found.file_systems, (*wish.users, *owners.values()), wish.uids)
    before = quota_folders.recall(paths) if remembered and not wish.moved else {}
    file_systems, moved = quota_folders.without_moved(found.file_systems, before)
    gaps = (*loaded.gaps, *memory.gaps, *missed, *moved, *users.gaps, *unread)
    return Reading(
        now,
        policy.knowing(users.users.values()),
        file_systems,
        users,
        names,
        owners,
        trees,
        not unread,
        memory,
        gathering.required(gaps, policy, ()),
    )


def look(wish: Wish, paths: Paths, now: datetime) -> Look:
    """Read, and decide what to set. Raises Ds01Error where nobody can tell whom to spare."""
    seen = read(wish, paths, now)
    if not seen.policy.files and seen.memory.known:
        # a policy that was lost must not lift every limit
        raise Ds01Error(
            "no policy file: nothing is decided, and nothing taken back",
            "put it back, or name one with --config FILE",
        )
    roll = roll_of(seen, paths)
    today = now.astimezone().date()
    given = wants(seen, roll.people, today)
    world = World(
        seen.file_systems,
        roll,
        given.found,
        seen.memory.known,
        wish.force,
        seen.policy.value("quota.mode") == "enforce",
        enforce_people.chosen_people(wish.users, wish.groups, roll, seen.policy),
        *_grace(seen.policy),
        given.unresolved,
        given.unresolved_kinds,
    )
    plan = quota.decide(world)
    return Look(seen, world, plan._replace(notices=(*given.lost, *plan.notices)))


def _grace(policy: Policy) -> tuple[int | None, str]:
    """Give the grace that somebody wrote down; what is built in overrides nobody's."""
    setting = policy.setting("quota.grace_d")
    if setting.origin is None or not setting.origin.file or setting.value is None:
        return None, ""
    return int(float(setting.value) * 86400), str(setting.origin)


def roll_of(seen: Reading, paths: Paths) -> Roll:
    """Sort everybody into those whom limits are set for, and those who are spared."""
    from ds01ctl.commands import enforce_memory

    remembered = enforce_memory.recall(paths, seen.taken_at).admins
    admins = enforce_people.admins(seen.users, seen.policy, remembered)
    return people.roll(seen.users.users, seen.policy, admins, seen.taken_at)


def _usual(policy: Policy, memory: Memory) -> Iterator[str]:
    """List where people write, and what we have set a limit on: it may be named no more."""
    yield from (str(home) for home in policy.value("users.home_dirs"))
    yield from USUAL
    yield from (place.mount for place in memory.known)


class Wants(NamedTuple):
    """What the policy gives, resolved to records of the kernel, and what could not be."""

    found: tuple[Wanted, ...]
    lost: tuple[Notice, ...] = ()
    unresolved: frozenset[tuple[QuotaKind, int]] = frozenset()
    unresolved_kinds: frozenset[QuotaKind] = frozenset()


def wants(seen: Reading, persons: Iterable[people.Person], today: date) -> Wants:
    """Resolve the policy to places; a path that lies on no file system we saw is told once."""
    mounts = mounts_of(seen.file_systems)
    found: list[Wanted] = []
    lost: dict[str, Notice] = {}
    unresolved: set[tuple[QuotaKind, int]] = set()
    for person, theirs in storage.limits_of_all(seen.policy, persons, today):
        for one in theirs:
            if (mount := mounts.get(one.path)) is None:
                lost[one.path] = _lost(one.path, str(one.origin))
                unresolved.add(("user", person.uid))
                continue
            place = Place(mount, "user", person.uid)
            found.append(Wanted(place, person.login, one.path, one.limits, _why(one)))
    ids = seen.project_ids
    kinds: set[QuotaKind] = set() if seen.projects_known else {"project"}
    for wish in storage.projects_of(seen.policy):
        mount, number = mounts.get(wish.path), ids.get(wish.name)
        if mount is None or number is None:
            lost[wish.path] = _lost(wish.path, str(wish.origin), wish.name if mount else None)
            kinds |= set() if number is not None else {"project"}
            unresolved |= {("project", number)} if number is not None else set()
            continue
        place = Place(mount, "project", number)
        found.append(Wanted(place, wish.name, wish.path, wish.limits, str(wish.origin)))
    return Wants(tuple(found), tuple(lost.values()), frozenset(unresolved), frozenset(kinds))


def mounts_of(file_systems: Sequence[QuotaFileSystem]) -> dict[str, str]:
    """Say where each folder that was asked about lies."""
    return {folder: one.mount for one in file_systems for folder in one.holds}


def why_unread(path: str, seen: Reading) -> str:
    """Say why the quotas of a folder's file system could not be read."""
    reasons = [gap.reason for gap in seen.gaps if gap.source == "quotas"]
    own = next((one for one in reasons if one.startswith(f"{path}:")), None)
    if own is not None:
        return own
    return f"{path}: its quotas could not be read: {(*reasons, 'it is not there')[0]}"


@lru_cache(maxsize=1024)
def _why(limit: storage.StorageLimit) -> str:
    return f"{limit.origin}{f', until {limit.until}' if limit.until else ''}"


def _lost(path: str, origin: str, project: str | None = None) -> Notice:
    if project is not None:
        text = (
            f"project {project} ({origin}) is not registered:"
            f" ds01ctl quota project create {project} {path}"
        )
        return Notice("no-place", None, path, text)
    return Notice(
        "no-place", None, path, f"{path} ({origin}) could not be looked at: see the notes"
    )


def _people(
    policy: Policy,
    paths: Paths,
    file_systems: Iterable[QuotaFileSystem],
    logins: Iterable[str],
    more: Iterable[int],
) -> UsersReading:
    """Look up every id that uses something, and everybody who has an account, each once."""
    from ds01ctl.observe import users

    uids = {one.id for file_system in file_systems for one in file_system.records.get("user", ())}
    return users.read(
        uids.union(more),
        {*policy.roster, *logins, *(one.owner for one in storage.projects_of(policy) if one.owner)},
        (),
        deadline_s=float(policy.value("users.timeout_s")),
        home_dirs=(),
        passwd=paths.under("/etc/passwd"),
        group=paths.under("/etc/group"),
        groups=[str(policy.value("access_control.admin_group"))],
        nsswitch=paths.under("/etc/nsswitch.conf"),
    )
