"""Find out for `enforce` what single containers run, where, and whose limits hold for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.core import people, scopes
from ds01ctl.core.properties import KERNEL_FILES

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from ds01ctl.core.homes import Home
    from ds01ctl.core.model import Snapshot
    from ds01ctl.core.people import Person, Roll
    from ds01ctl.core.policy import Policy
    from ds01ctl.observe.cgroups import Cgroups

_FILES = (*KERNEL_FILES, "cpuset.cpus.effective")
_UNOWNED = "?"


def scopes_of(
    snapshot: Snapshot,
    roll: Roll,
    listed: Iterable[Home],
    policy: Policy,
    cgroups: Cgroups,
    now: datetime,
) -> tuple[scopes.Scope, ...]:
    """Read the control group of every container of the host's engines; users' own are theirs."""
    hosts = {one.host for one in snapshot.engines if not one.is_users_own}
    ours = [one for one in snapshot.containers if one.engine in hosts and one.pid]
    if not ours:
        return ()
    from ds01ctl.core.held import is_accountable
    from ds01ctl.core.judge import Judge
    from ds01ctl.core.owner import People

    names = People(snapshot, policy.roster, str(policy.value("platform.slice")))
    judge = Judge(snapshot, policy, names, now, {})
    workloads = [judge.of_container(one, [one.pid or 0]) for one in ours]
    groups = {one.cgroup: cgroups.group(one.cgroup, _FILES) for one in ours if one.cgroup}
    by_uid: dict[int, list[Home]] = {}
    for home in listed:
        by_uid.setdefault(home.person.uid, []).append(home)
    holders = scopes.Holders(
        lambda owner: is_accountable(owner, snapshot),
        {one.uid: one for one in roll.people},
        {one.uid for one in roll.spared},
        by_uid,
        _stand_in(policy),
        names_known=not snapshot.lacks("users"),
    )
    there = {path: group for path, group in groups.items() if group}
    found = scopes.scopes(workloads, there, holders)
    return tuple(one._replace(in_use_bytes=cgroups.in_use_bytes(one.group.path)) for one in found)


def _stand_in(policy: Policy) -> Person | None:
    if policy.value("enforcement.unowned_containers") != "hold":
        return None
    return people.Person(_UNOWNED, -1, str(policy.value("default_group")))
