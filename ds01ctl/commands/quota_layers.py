"""Read for `quota report` how much the writable layers of containers take, and whose they are."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.commands import gathering
from ds01ctl.core.model import Gap, Snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from ds01ctl.core.disk_quota import QuotaFileSystem
    from ds01ctl.core.layers import Layers
    from ds01ctl.core.policy import Policy
    from ds01ctl.core.workload import Workload
    from ds01ctl.paths import Paths

_WALK_S = 30.0
"""Seconds for an engine to walk the layers; docker.timeout_s where that is longer."""


class LayersReading(NamedTuple):
    """Whose layers take how much, and what is not known of it."""

    by_login: Mapping[str | None, Layers]
    """Under None: the platform's own, and those of nobody who can be told."""
    gaps: tuple[Gap, ...]
    """Not empty: there may be more. Without an engine there is one gap, of kind "absent"."""


NOT_ASKED = LayersReading({}, (Gap("docker", "absent", "container layers were not asked for"),))
NONE_HERE = LayersReading({}, ())


def read(policy: Policy, paths: Paths, now: datetime) -> LayersReading:
    """Ask the engines for the sizes, then find the owners as `detect` does. Nothing is raised."""
    from ds01ctl.observe import container_sizes

    hosts = gathering.hosts_of_engines(policy, paths)
    walk_s = max(_WALK_S, float(policy.value("docker.timeout_s")))
    told = container_sizes.read(hosts.hosts, deadline_s=walk_s, named_by_admin=hosts.named_by_admin)
    gaps = gathering.required(told.gaps, policy, ())
    if not any(told.sizes.values()):
        return LayersReading({}, gaps)
    from ds01ctl.core.layers import by_owner

    snapshot = _snapshot(policy, paths, now)
    found = by_owner(_workloads(snapshot, policy, now), told.sizes, snapshot)
    missed = gathering.required(snapshot.gaps, policy, ())
    return LayersReading(found, tuple(dict.fromkeys((*gaps, *missed))))


def data_root_on(
    file_systems: Sequence[QuotaFileSystem], policy: Policy, paths: Paths
) -> QuotaFileSystem | None:
    """Find which of these file systems the layers lie on; None: on none, or that can't be told."""
    from ds01ctl.observe import docker_volumes, host_disk, host_files, mount_points

    text = host_files.text(paths.proc / "self/mountinfo")
    if not isinstance(text, str):
        return None
    root = docker_volumes.data_root(paths, policy)
    found = mount_points.mount_of(root, host_disk.parse(text), paths)
    if found is None:
        return None
    # one that is mounted in several places is one
    keys = {found.point, found.source} if found.source.startswith("/dev/") else {found.point}
    return next((one for one in file_systems if keys & {one.mount, one.source}), None)


def _snapshot(policy: Policy, paths: Paths, now: datetime) -> Snapshot:
    """See every container of the host's engines, running or not, and the people behind them."""
    from ds01ctl.commands import remembering
    from ds01ctl.observe import own_place, processes

    engines = gathering.read_engines(policy, paths, remembering.recall(paths).facts)
    hosts = {one.host for one in engines.engines if not one.is_users_own}
    ours = tuple(one for one in engines.containers if one.engine in hosts)
    seen = processes.read({one.pid for one in ours if one.pid}, paths=paths)
    snapshot = Snapshot(
        now,
        os.uname().nodename,
        own_place.boot_id(paths),
        os.geteuid(),
        processes=seen.processes,
        engines=engines.engines,
        containers=ours,
        gaps=(*engines.gaps, *seen.gaps),
    )
    return gathering.with_people(snapshot, policy, paths)


def _workloads(snapshot: Snapshot, policy: Policy, now: datetime) -> list[Workload]:
    from ds01ctl.core.judge import Judge
    from ds01ctl.core.owner import People

    people = People(snapshot, policy.roster, str(policy.value("platform.slice")))
    judge = Judge(snapshot, policy, people, now, {})
    return [judge.of_container(one, [one.pid] if one.pid else []) for one in snapshot.containers]
