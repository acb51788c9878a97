"""Find out for `enforce` who is there, what containers run, and whom the admin asked about."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ds01ctl.commands import gathering
from ds01ctl.config.nearest import nearest
from ds01ctl.core.model import Snapshot
from ds01ctl.errors import Ds01Error, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence, Set
    from datetime import datetime

    from ds01ctl.commands.enforcing import Wish
    from ds01ctl.core.people import Roll
    from ds01ctl.core.policy import Policy
    from ds01ctl.observe.container_facts import KnownFacts
    from ds01ctl.observe.users import UsersReading
    from ds01ctl.paths import Paths


def read(
    policy: Policy,
    paths: Paths,
    now: datetime,
    known: Mapping[str, KnownFacts],
    uids: Set[int],
) -> tuple[Snapshot, UsersReading, Mapping[str, KnownFacts]]:
    """Read the containers that run, and everybody who may have a home here.

    uids: people to look up besides. What must be remembered of containers comes last.
    """
    from ds01ctl.observe import own_place, processes

    engines = gathering.read_engines(policy, paths, known)
    live = tuple(one for one in engines.containers if one.cgroup and one.pid)
    seen = processes.read({one.pid for one in live if one.pid}, paths=paths)
    snapshot = Snapshot(
        now,
        os.uname().nodename,
        own_place.boot_id(paths),
        os.geteuid(),
        processes=seen.processes,
        engines=engines.engines,
        containers=live,
        gaps=(*engines.gaps, *seen.gaps),
    )
    snapshot, reading = _with_people(snapshot, policy, paths, uids)
    return snapshot, reading, engines.facts


def _with_people(
    snapshot: Snapshot, policy: Policy, paths: Paths, uids: Set[int]
) -> tuple[Snapshot, UsersReading]:
    from ds01ctl.observe import users

    home_dirs = tuple(str(home) for home in policy.value("users.home_dirs"))
    logins = set(policy.roster)
    folders: set[str] = set()
    if snapshot.containers:
        from ds01ctl.core.owner import logins_to_ask, paths_to_ask

        for one in snapshot.containers:
            logins |= logins_to_ask(one)
            folders |= paths_to_ask(one, home_dirs)
    moved = {str(paths.under(folder)): folder for folder in folders}
    reading = users.read(
        gathering.uids_of(snapshot) | uids,
        logins,
        moved,
        deadline_s=float(policy.value("users.timeout_s")),
        home_dirs=[str(paths.under(home)) for home in home_dirs],
        passwd=paths.under("/etc/passwd"),
        group=paths.under("/etc/group"),
        groups=[str(policy.value("access_control.admin_group"))],
        owners_of_homes=True,
        nsswitch=paths.under("/etc/nsswitch.conf"),
    )
    snapshot = snapshot._replace(
        users=reading.users,
        uids=reading.uids,
        path_owners={moved[path]: uid for path, uid in reading.path_owners.items()},
        gaps=(*snapshot.gaps, *reading.gaps),
    )
    return snapshot, reading


def admins(reading: UsersReading, policy: Policy, remembered: frozenset[str]) -> frozenset[str]:
    """Name the members of the admin group, and those of the last seven days.

    A directory that is down makes a group look smaller: nobody becomes a student by that.

    Raises Ds01Error where nobody can tell whom to spare.
    """
    group = str(policy.value("access_control.admin_group"))
    if group in reading.groups:
        return members_now(reading, policy) | remembered
    raise Ds01Error(
        f"the members of the group {group} could not be looked up in time: nobody can tell whom"
        " to spare, so nothing was decided",
        "see users.timeout_s and access_control.admin_group in the policy",
    )


def members_now(reading: UsersReading, policy: Policy) -> frozenset[str]:
    """Name the members that the admin group has in this very reading."""
    return reading.groups.get(str(policy.value("access_control.admin_group")), frozenset())


def chosen(wish: Wish, roll: Roll, policy: Policy) -> frozenset[str] | None:
    """Resolve --user and --group of `enforce` to logins; None: everybody."""
    return chosen_people(wish.users, wish.groups, roll, policy)


def chosen_people(
    users: Sequence[str], groups: Sequence[str], roll: Roll, policy: Policy
) -> frozenset[str] | None:
    """Resolve --user and --group to logins; None: everybody.

    Raises UsageError for somebody who is not there, or is never limited.
    """
    if not users and not groups:
        return None
    listed = roll.by_login()
    spared = {one.login: one for one in roll.spared}
    for login in users:
        if login in spared:
            raise UsageError(f"{login} {spared[login].why}: no limits are set on them")
        if login not in listed:
            near = nearest(login, listed)
            meant = f"did you mean {near}? " if near else ""
            hint = f"{meant}give a login; ds01ctl enforce show lists those who are known"
            raise UsageError(f"no user {login} is known here", hint)
    for group in groups:
        if group not in policy.groups and group != policy.value("default_group"):
            known = ", ".join(policy.groups) or "none"
            raise UsageError(f"there is no group {group}", f"groups of the policy: {known}")
    of_groups = {one.login for one in roll.people if one.group in groups}
    return frozenset(of_groups | set(users))
