"""Find out whose containers and GPU processes they are, and keep it: judging costs a lot.

A container that nothing changed about is judged again once an hour, as names are looked up, or when
the settings by which it was judged change.
"""

from __future__ import annotations

import os
import zlib
from typing import TYPE_CHECKING

from ds01ctl.commands import carbon_people, gathering
from ds01ctl.core.cgroup_path import classify, is_within
from ds01ctl.core.energy_memory import Judged
from ds01ctl.core.energy_model import UNATTRIBUTED
from ds01ctl.core.energy_owners import HeldTimes, Parties, held_times, of_groups, of_projects
from ds01ctl.core.energy_parties import container_id
from ds01ctl.core.energy_projects import in_project, project_in
from ds01ctl.core.model import Snapshot
from ds01ctl.core.owner import People
from ds01ctl.core.record import NamedTuple
from ds01ctl.core.workload import platform_label

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ds01ctl.core.energy_memory import Memory
    from ds01ctl.core.model import Container, Gap, Gpu, Process
    from ds01ctl.core.policy import Policy
    from ds01ctl.core.workload import Workload
    from ds01ctl.observe.containers import ContainersReading
    from ds01ctl.observe.nvml import NvmlReading
    from ds01ctl.observe.processes import Spot
    from ds01ctl.paths import Paths

_SETTINGS = (
    "platform.slice",
    "enforcement.aggregate_limits",
    "enforcement.min_uid",
    "monitoring.infrastructure_containers",
    "access_control.admin_users",
    "users.home_dirs",
)


class Owners(NamedTuple):
    """Whose everything is; a party is a user, or a user's project."""

    party_of: Mapping[str, str]
    """By control group."""
    party_of_pid: Mapping[int, str]
    """Of processes on GPUs."""
    began_us: Mapping[int, int]
    """When these began, microseconds since 1970."""
    holders: Mapping[str, set[str]]
    """By UUID of a GPU or a MIG device: who was given it."""
    held: HeldTimes
    judged: Mapping[str, Judged]
    mark: int
    names: Mapping[int, str]
    names_at_us: int
    gaps: tuple[Gap, ...]


def find(
    engines: ContainersReading,
    nvml: NvmlReading,
    groups: Sequence[str],
    memory: Memory | None,
    policy: Policy,
    now_us: int,
    paths: Paths,
) -> Owners:
    """Judge what is new as `detect` does, and take the rest from memory."""
    from ds01ctl.observe import processes

    mark = _mark(policy, nvml.gpus)
    is_fresh = memory is not None and memory.mark == mark
    is_fresh = is_fresh and carbon_people.are_fresh(memory, now_us)
    known = _known(engines.containers, memory if is_fresh else None)
    pids = {use.pid for use in nvml.uses}
    spots = processes.spots(pids, paths=paths) if known else {}
    placed = _placed(spots, {c.id: c for c in engines.containers if c.id in known})
    # who is in no container that is known has to be judged
    read = processes.read(pids - placed.keys(), paths=paths)
    snapshot = Snapshot(
        taken_at=gathering.utcnow(),
        host="",
        boot_id="",
        euid=os.geteuid(),
        gpus=nvml.gpus,
        uses=tuple(use for use in nvml.uses if use.pid not in placed),
        processes=read.processes,
        unreadable=read.unreadable,
        engines=engines.engines,
        containers=tuple(c for c in engines.containers if _counts(c) and c.id not in known),
        gaps=(*engines.gaps, *read.gaps),
    )
    asked = (snapshot, groups, memory, policy, now_us, paths)
    snapshot, names_at_us = carbon_people.named(*asked, is_fresh=is_fresh)
    parties = Parties(People(snapshot, policy.roster, str(policy.value("platform.slice"))), policy)
    workloads = _inventory(snapshot, policy)
    new = {
        one.container.id: _judge(one, snapshot, parties, policy)
        for one in workloads
        if one.container
    }
    now = {**known, **new}
    listed = _listed(groups, engines.containers, now, memory)
    party_of = of_groups(
        (*groups, *listed), {path: one.party for path, one in listed.items()}, parties
    )
    party_of = of_projects(party_of, {path: one.project for path, one in listed.items()})
    of_containers = _of_containers(engines.containers, now, party_of)
    party_of_pid = {pid: of_containers[name] for pid, name in placed.items()}
    party_of_pid.update(_of_workloads(workloads, of_containers, snapshot, parties))
    return Owners(
        party_of,
        party_of_pid,
        _began_us(spots) | _began_us(read.processes),
        _holders(now, of_containers),
        held_times(engines.containers, now, memory.judged if memory else {}, of_containers),
        _to_keep(now, new, engines, memory, snapshot),
        mark,
        snapshot.users,
        names_at_us,
        snapshot.gaps,
    )


def _began_us(processes: Mapping[int, Process] | Mapping[int, Spot]) -> dict[int, int]:
    return {pid: int(one.started_at.timestamp() * 1e6) for pid, one in processes.items()}


def _mark(policy: Policy, gpus: Iterable[Gpu]) -> int:
    """Sum up all that judging rests on besides the containers themselves."""
    settings = [policy.value(name) for name in _SETTINGS]
    devices = [(gpu.uuid, [one.uuid for one in gpu.mig_devices]) for gpu in gpus]
    people = (sorted(policy.roster), sorted(policy.groups), "projects")
    return zlib.crc32(repr((settings, devices, people)).encode("utf-8", "replace"))


def _counts(container: Container) -> bool:
    """Tell whether it may use anything, or hold a GPU: the platform keeps those for a while."""
    is_kept = container.state == "exited" and platform_label(container.labels) is not None
    return container.is_live or is_kept


def _state(container: Container) -> int:
    times = (container.started_at, container.finished_at)
    said = f"{container.engine} {container.state} {times[0]} {times[1]}"
    return zlib.crc32(said.encode("utf-8", "replace"))


def _known(containers: Iterable[Container], memory: Memory | None) -> dict[str, Judged]:
    judged = memory.judged if memory else {}
    return {
        one.id: judged[one.id]
        for one in containers
        if one.id in judged and judged[one.id].state == _state(one)
    }


def _placed(spots: Mapping[int, Spot], containers: Mapping[str, Container]) -> dict[int, str]:
    """Find the processes that are in containers which are known, by pid."""
    found = {}
    # most are in the very group of a container
    of_group = {one.cgroup: name for name, one in containers.items() if one.cgroup}
    for pid, spot in spots.items():
        name = of_group.get(spot.cgroup) or classify(spot.cgroup).id
        if name is None or name not in containers:
            continue
        own = containers[name].cgroup
        # a user may name a group of his own as another's container: compare paths
        if own and is_within(spot.cgroup, own):
            found[pid] = name
    return found


def _inventory(snapshot: Snapshot, policy: Policy) -> tuple[Workload, ...]:
    if not snapshot.containers and not snapshot.uses:
        return ()
    from ds01ctl.core.inventory import inventory

    return inventory(snapshot, policy, snapshot.taken_at)


def _judge(one: Workload, snapshot: Snapshot, parties: Parties, policy: Policy) -> Judged:
    assert one.container is not None
    party = parties.of_workload(one, snapshot)
    given = tuple(sorted(_given(one, snapshot, policy)))
    return Judged(_state(one.container), party, given, project_in(one.container.labels))


def _given(one: Workload, snapshot: Snapshot, policy: Policy) -> frozenset[str]:
    """Find what it was given; to watch all GPUs, or to be privileged, is not to hold them."""
    from ds01ctl.core.allocation import allocated_gpus
    from ds01ctl.core.held import holds_gpu

    forms = set(one.access.forms) if one.access else set()
    if one.verdict == "infrastructure" or forms <= {"privileged"}:
        return frozenset()
    if not holds_gpu(one, policy, snapshot.taken_at):
        return frozenset()
    given = allocated_gpus(one, snapshot)
    return given[0] if given else frozenset()


def _listed(
    groups: Sequence[str],
    containers: Iterable[Container],
    judged: Mapping[str, Judged],
    memory: Memory | None,
) -> dict[str, Judged]:
    """Say what is known of each container's group; of one that no engine tells now, what was."""
    listed = {one.cgroup: judged[one.id] for one in containers if one.id in judged and one.cgroup}
    before = memory.judged if memory else {}
    for path in groups:
        name = container_id(path)
        if name is not None and path not in listed and name in before:
            listed[path] = before[name]
    return listed


def _of_containers(
    containers: Iterable[Container], judged: Mapping[str, Judged], party_of: Mapping[str, str]
) -> dict[str, str]:
    """Name the party of each container, for all that it does the same."""
    return {
        one.id: party_of.get(one.cgroup or "")
        or in_project(judged[one.id].party or UNATTRIBUTED, judged[one.id].project)
        for one in containers
        if one.id in judged
    }


def _of_workloads(
    workloads: Iterable[Workload],
    of_containers: Mapping[str, str],
    snapshot: Snapshot,
    parties: Parties,
) -> Iterator[tuple[int, str]]:
    for one in workloads:
        if not one.uses:
            continue
        known = of_containers.get(one.container.id) if one.container else None
        party = known or parties.of_workload(one, snapshot) or UNATTRIBUTED
        yield from ((use.pid, party) for use in one.uses)


def _holders(judged: Mapping[str, Judged], of_containers: Mapping[str, str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, one in judged.items():
        for uuid in one.gpus:
            found.setdefault(uuid, set()).add(of_containers[name])
    return found


def _to_keep(
    now: Mapping[str, Judged],
    new: Mapping[str, Judged],
    engines: ContainersReading,
    memory: Memory | None,
    snapshot: Snapshot,
) -> dict[str, Judged]:
    """Keep what will hold: not what names are missing for, nor what a stopped one holds yet."""
    live = {one.id for one in engines.containers if one.is_live}
    unsure = snapshot.lacks("users") or snapshot.lacks("processes")
    kept = {
        name: one
        for name, one in now.items()
        if name not in new or not (unsure or (one.gpus and name not in live))
    }
    is_silent = any(not one.answered for one in engines.engines)
    return {**memory.judged, **kept} if is_silent and memory else kept
