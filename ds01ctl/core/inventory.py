"""Join GPU processes, control groups and containers into one inventory of workloads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.core.cgroup_path import Place, classify, is_within
from ds01ctl.core.judge import Judge
from ds01ctl.core.owner import People
from ds01ctl.core.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from ds01ctl.core.model import Container, GpuUse, Process, Snapshot
    from ds01ctl.core.policy import Policy
    from ds01ctl.core.workload import Workload


def inventory(snapshot: Snapshot, policy: Policy, now: datetime) -> tuple[Workload, ...]:
    """Build the inventory: every container, and every host process that uses a GPU."""
    uses: dict[int, list[GpuUse]] = {}
    for use in snapshot.uses:
        uses.setdefault(use.pid, []).append(use)
    pids = _sort(uses, snapshot)
    people = People(snapshot, policy.roster, str(policy.value("platform.slice")))
    judge = Judge(snapshot, policy, people, now, uses)
    return (
        *(
            judge.of_container(one, pids.by_container.get((one.engine, one.id), ()))
            for one in snapshot.containers
        ),
        *(judge.of_stranger(inside) for inside in pids.strangers.values()),
        *(judge.of_process(pid) for pid in pids.loose),
    )


class _Pids(NamedTuple):
    """GPU processes by where they live."""

    by_container: dict[tuple[str, str], list[int]]
    strangers: dict[tuple[str, str | None, int | None], list[int]]
    """In containers that no engine knows, by runtime, id and user."""
    loose: list[int]
    """On the host, or where that can't be told. One that has exited is nowhere."""


def _sort(pids: Iterable[int], snapshot: Snapshot) -> _Pids:
    known: dict[str, list[Container]] = {}
    for one in snapshot.containers:
        known.setdefault(one.id, []).append(one)
    # None for the host's own engines
    uid_of = {engine.host: engine.uid or None for engine in snapshot.engines}
    homes = _Pids({}, {}, [])
    for pid in pids:
        place, container = _home(snapshot.processes.get(pid), known, uid_of)
        if container:
            homes.by_container.setdefault((container.engine, container.id), []).append(pid)
        elif place and place.home == "container":
            homes.strangers.setdefault((place.runtime, place.id, place.uid), []).append(pid)
        elif pid in snapshot.processes or pid in snapshot.unreadable:
            homes.loose.append(pid)
    return homes


def _home(
    process: Process | None,
    known: Mapping[str, Sequence[Container]],
    uid_of: Mapping[str, int | None],
) -> tuple[Place | None, Container | None]:
    """Find a process's place and its container."""
    if process is None or process.cgroup is None:
        return None, None
    place = classify(process.cgroup)
    if place.home == "host" or place.id is None:
        return place, None
    for container in known.get(place.id, ()):
        # a user may create a cgroup named like another's container below his own: compare paths
        if container.cgroup is not None and is_within(process.cgroup, container.cgroup):
            return place, container
        # its own is not known: only where no user could have made up the path
        own = place.uid == uid_of.get(container.engine)
        if container.cgroup is None and container.is_live and own:
            return place, container
    return place, None
