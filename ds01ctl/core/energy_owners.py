"""Whose energy it is, by the uid, the slice and the owner that `detect` finds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.core.energy_model import SYSTEM, UNATTRIBUTED
from ds01ctl.core.energy_parties import container_id, parents, uid_of
from ds01ctl.core.energy_projects import in_project
from ds01ctl.core.record import NamedTuple
from ds01ctl.core.slice_names import unit_of, user_part

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from ds01ctl.core.energy_memory import Judged
    from ds01ctl.core.model import Container, Snapshot
    from ds01ctl.core.owner import People
    from ds01ctl.core.policy import Policy
    from ds01ctl.core.workload import Workload

_DYNAMIC = range(61184, 65520)
"""systemd's DynamicUser=: services, not people."""
_NOBODY = frozenset({65534, 65535})


class Parties:
    """Names the party of whatever used energy."""

    def __init__(self, people: People, policy: Policy) -> None:
        self._people = people
        self._root = people.slice_name
        self._least_uid = int(policy.value("enforcement.min_uid"))
        stem = self._root.removesuffix(".slice")
        self._of_groups = {unit_of(stem, name) for name in policy.groups} | {self._root}

    def of_uid(self, uid: int) -> str:
        """Name a person, as text the uid that has no name; services are the host's."""
        if uid in _NOBODY:
            return UNATTRIBUTED
        if uid < self._least_uid or uid in _DYNAMIC:
            return SYSTEM
        return self._people.login(uid)

    def of_slice(self, path: str) -> str | None:
        """Name whose slice a group is; None for groups that are nobody's alone."""
        if (uid := uid_of(path)) is not None:
            return self.of_uid(uid)
        unit = path.rpartition("/")[2]
        part = None if unit in self._of_groups else user_part(unit, self._root)
        login = self._people.of_slice(part) if part else None
        return self._of_login(login, self._people.uid(login)) if login else None

    def of_workload(self, workload: Workload, snapshot: Snapshot) -> str | None:
        """Name who answers for a container or a process; None: nobody is known well enough."""
        from ds01ctl.core.held import is_accountable

        if workload.verdict in {"infrastructure", "system"}:
            return SYSTEM
        owner = workload.owner
        if owner.login is None:
            return None
        is_container = workload.container is not None or (
            workload.place is not None and workload.place.home == "container"
        )
        if is_container and not is_accountable(owner, snapshot):
            return None
        return self._of_login(owner.login, owner.uid)

    def _of_login(self, login: str, uid: int | None) -> str:
        party = login if uid is None else self.of_uid(uid)
        return party if party in {SYSTEM, UNATTRIBUTED} else login


def of_groups(
    paths: Iterable[str], containers: Mapping[str, str | None], parties: Parties
) -> dict[str, str]:
    """Name the party of each group; parents of several people's groups have none.

    containers: by path who answers for each; one of whom that is not known is charged to whose
    slice it is in, as systemd put it there.
    """
    among = dict.fromkeys(paths)
    found = {path: party for path in among if (party := parties.of_slice(path))}
    known = {path: party for path in among if (party := containers.get(path))}
    above = dict(parents(among, found))
    for path in among:
        if path in known:
            found[path] = known[path]
        elif path not in found and _is_leaf(path, containers):
            found[path] = found.get(above.get(path, ""), UNATTRIBUTED)
    return found


def of_projects(parties: Mapping[str, str], projects: Mapping[str, str]) -> dict[str, str]:
    """Name the project, too, of containers' groups, and of the same user's groups inside them.

    projects: by path of a container's group; empty: it has none.
    """
    found = dict(parties)
    named = {path: project for path, project in projects.items() if project}
    if not named:
        return found
    above = dict(parents(found, projects))
    for path, user in parties.items():
        own = path if path in projects else above.get(path, "")
        if own in named and parties.get(own) == user:
            found[path] = in_project(user, named[own])
    return found


class HeldTimes(NamedTuple):
    """When GPUs were given and taken back, microseconds since 1970, by UUID and party."""

    since_us: Mapping[tuple[str, str], int]
    """Of those that hold one now: when the first of their containers started."""
    until_us: Mapping[tuple[str, str], int]
    """When the last container ended of those that held one at the last look."""


def held_times(
    containers: Iterable[Container],
    now: Mapping[str, Judged],
    before: Mapping[str, Judged],
    parties: Mapping[str, str],
) -> HeldTimes:
    """Find when GPUs were given and taken back; what no engine tells has no entry.

    now, before: what was found out about containers, by id; parties: who answers for each now.
    """
    since: dict[tuple[str, str], int] = {}
    until: dict[tuple[str, str], int] = {}
    for one in containers:
        held, was = now.get(one.id), before.get(one.id)
        # one whose start is not known may have it for as long as can be
        started_us = _us(one.started_at) or 0
        for uuid in held.gpus if held else ():
            key = (uuid, parties[one.id])
            since[key] = min(since.get(key, started_us), started_us)
        finished_us = _us(one.finished_at)
        if was and finished_us:
            party = parties.get(one.id) or in_project(was.party or UNATTRIBUTED, was.project)
            for uuid in was.gpus:
                until[uuid, party] = max(until.get((uuid, party), 0), finished_us)
    return HeldTimes(since, until)


def _us(at: datetime | None) -> int | None:
    return int(at.timestamp() * 1e6) if at else None


def _is_leaf(path: str, containers: Collection[str]) -> bool:
    """Tell containers, also those that no engine told of, from slices and folders of them."""
    return path in containers or container_id(path) is not None
