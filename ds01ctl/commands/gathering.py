"""Gather: ask every source once, in the order that costs least, and keep what is missing as gaps.

NVML is asked in a child from the start; the policy, the engines and the state store are read
meanwhile.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from ds01ctl.core.cgroup_path import classify
from ds01ctl.core.model import Gap, Gpu, GpuUse, Snapshot
from ds01ctl.core.owner import logins_to_ask, paths_to_ask, uids_to_ask
from ds01ctl.core.policy import Policy, builtin_policy
from ds01ctl.core.record import NamedTuple
from ds01ctl.errors import Ds01Error

if TYPE_CHECKING:
    from ds01ctl.core.model import Container
    from ds01ctl.observe.container_facts import KnownFacts
    from ds01ctl.observe.containers import ContainersReading
    from ds01ctl.observe.engine_hosts import EngineHosts
    from ds01ctl.observe.gpu_activity import GpuActivity
    from ds01ctl.observe.nvml import NvmlReading
    from ds01ctl.observe.processes import ProcessesReading
    from ds01ctl.paths import Paths


def host_paths() -> Paths:
    """Find the host's root: ``/``, or what DS01_ROOT says."""
    from ds01ctl.paths import Paths

    root = os.environ.get("DS01_ROOT")
    return Paths(Path(root).absolute()) if root else Paths()


def utcnow() -> datetime:
    """Read the clock."""
    return datetime.now(timezone.utc)


class Loaded(NamedTuple):
    """The policy in force, and a gap where there is no policy file."""

    policy: Policy
    gaps: tuple[Gap, ...]


def load_policy(paths: Paths, explicit: Path | None) -> Loaded:
    """Read the policy. No file at the usual places is a gap; an unreadable one is an error."""
    from ds01ctl.config import read

    path = read.find_policy(paths, explicit, os.environ)
    if path is not None:
        return Loaded(read.load_policy(path, paths), ())
    reason = "no policy file; built-in settings are used (ds01ctl config init writes one)"
    return Loaded(builtin_policy(), (Gap("policy", "absent", reason),))


class Gathered(NamedTuple):
    """A snapshot, and what of it may be remembered about containers."""

    snapshot: Snapshot
    loaded: Loaded
    facts: Mapping[str, KnownFacts]
    addresses: Mapping[str, tuple[str, ...]] = {}
    """By container id: its own IP addresses, of running ones in the host's own engines."""
    activity: GpuActivity | None = None
    """What the processes on GPUs did; None: it was not asked for."""


def gather(
    paths: Paths,
    explicit: Path | None,
    known: Mapping[str, KnownFacts],
    seen_before: Collection[str] = (),
    *,
    last_seen: Mapping[str, int] | None = None,
) -> Gathered:
    """Look at the host once. Raises Ds01Error for a bad policy or a foreign PID namespace.

    last_seen: as of nvml.start().
    """
    from ds01ctl.observe import nvml, own_place, processes

    if problem := own_place.own_namespace_problem(paths):
        raise Ds01Error(problem, "run ds01ctl on the host itself, outside any container")
    with nvml.start(last_seen) as child:
        loaded = load_policy(paths, explicit)
        policy = loaded.policy
        engines = read_engines(policy, paths, known)
        gpu = nvml.collect(child, deadline_s=float(policy.value("nvml.timeout_s")), paths=paths)
    seen = processes.read({use.pid for use in gpu.uses}, paths=paths)
    late, late_gaps = _late_containers(seen, engines, policy, paths)
    snapshot = Snapshot(
        taken_at=utcnow(),
        host=os.uname().nodename,
        boot_id=own_place.boot_id(paths),
        euid=os.geteuid(),
        driver=gpu.driver,
        gpus=gpu.gpus,
        uses=gpu.uses,
        dead=_dead(seen.gone, gpu, policy),
        processes=seen.processes,
        unreadable=seen.unreadable,
        engines=engines.engines,
        containers=(*engines.containers, *late),
        gaps=(*loaded.gaps, *gpu.gaps, *engines.gaps, *late_gaps, *seen.gaps),
    )
    snapshot = _with_holders(_without_dead(snapshot), policy, paths)
    snapshot = with_people(_with_reach(snapshot, paths), policy, paths)
    # that a user's own engine is gone is nothing to be missed
    missed = [name for name in seen_before if name != "docker" or snapshot.lacks("docker")]
    # nor that the admin took the policy away
    missed = [name for name in missed if name != "policy"]
    gaps = required(snapshot.gaps, policy, missed)
    gathered = Gathered(snapshot._replace(gaps=gaps), loaded, engines.facts, engines.addresses)
    if last_seen is None:
        return gathered
    from ds01ctl.observe import gpu_activity

    return gathered._replace(activity=gpu_activity.of(gpu))


def read_engines(
    policy: Policy, paths: Paths, known: Mapping[str, KnownFacts]
) -> ContainersReading:
    """List the containers of every engine that the policy names, or that is there."""
    from ds01ctl.observe import containers

    hosts = hosts_of_engines(policy, paths)
    return containers.read(
        hosts.hosts,
        deadline_s=float(policy.value("docker.timeout_s")),
        paths=paths,
        known=known,
        named_by_admin=hosts.named_by_admin,
    )


def hosts_of_engines(policy: Policy, paths: Paths) -> EngineHosts:
    """Find out which engines to ask: the policy's, else the environment's, else the usual one."""
    from ds01ctl.observe import engine_hosts

    setting = policy.setting("docker.hosts")
    is_built_in = setting.origin is None or not setting.origin.file
    listed = () if is_built_in else tuple(setting.value or ())
    return engine_hosts.engine_hosts(listed, os.environ, paths)


def _late_containers(
    seen: ProcessesReading, engines: ContainersReading, policy: Policy, paths: Paths
) -> tuple[list[Container], list[Gap]]:
    """Look up containers that GPU processes are in, but that started after the list was made.

    One deadline for all of them: a user can make up as many ids as he likes.
    """
    from ds01ctl.observe import containers
    from ds01ctl.observe.engine_api import EngineError

    have = {container.id for container in engines.containers}
    places = (classify(process.cgroup) for process in seen.processes.values() if process.cgroup)
    wanted = {
        (place.id, place.uid)
        for place in places
        if place.home == "container" and place.id and place.id not in have
    }
    ends = time.monotonic() + float(policy.value("docker.timeout_s"))
    found: list[Container] = []
    gaps: list[Gap] = []
    # the host's own first, which run nothing below a user's slice
    for name, uid in sorted(wanted, key=lambda one: (one[1] is not None, one[0] or "")):
        for engine in engines.engines:
            if not engine.answered or (engine.uid or None) != uid:
                continue
            try:
                late = containers.find(engine.host, name or "", deadline=ends, paths=paths)
            except EngineError as error:
                gaps.append(Gap("docker", error.kind, error.message))
                continue
            found += [late] if late else []
    return found, list(dict.fromkeys(gaps))


def _dead(gone: Iterable[int], gpu: NvmlReading, policy: Policy) -> tuple[GpuUse, ...]:
    """Tell pids that exited during the scan from those that NVML goes on listing."""
    from ds01ctl.observe import nvml

    missing = set(gone)
    suspects = tuple(use for use in gpu.uses if use.pid in missing)
    if not suspects:
        return ()
    return nvml.recheck(suspects, deadline_s=float(policy.value("nvml.timeout_s")))


def _without_dead(snapshot: Snapshot) -> Snapshot:
    dead = {(use.pid, use.gpu_uuid) for use in snapshot.dead}
    uses = tuple(use for use in snapshot.uses if (use.pid, use.gpu_uuid) not in dead)
    return snapshot._replace(uses=uses)


def _with_holders(snapshot: Snapshot, policy: Policy, paths: Paths) -> Snapshot:
    """Find who has the device node of a GPU open whose memory nobody explains; root only."""
    from ds01ctl.core.findings import unexplained_bytes
    from ds01ctl.observe import own_place, processes

    least = int(policy.value("detect.ghost_memory_mib")) << 20
    haunted: dict[int, Gpu] = {
        gpu.minor: gpu
        for gpu in snapshot.gpus
        if gpu.minor is not None and (unexplained_bytes(gpu, snapshot) or 0) >= least
    }
    if not haunted or snapshot.euid != 0:
        return snapshot
    holders = own_place.device_holders(frozenset(haunted), paths)
    pids = {pid for some in holders.values() for pid in some} - set(snapshot.processes)
    more = processes.read(pids, paths=paths).processes
    return snapshot._replace(
        device_holders={haunted[minor].uuid: pids for minor, pids in holders.items()},
        processes={**snapshot.processes, **more},
    )


def _with_reach(snapshot: Snapshot, paths: Paths) -> Snapshot:
    """Find which containers are refused their GPUs since systemd loaded its units; root only."""
    from ds01ctl.core.lost_access import suspects
    from ds01ctl.observe import gpu_reach

    if snapshot.euid != 0:
        return snapshot
    snapshot = snapshot._replace(units_loaded_at=gpu_reach.units_loaded_at(paths))
    return snapshot._replace(gpu_denied=gpu_reach.denied(suspects(snapshot), paths))


def with_people(snapshot: Snapshot, policy: Policy, paths: Paths) -> Snapshot:
    """Name the uids, and find whose the folders are that containers mount."""
    from ds01ctl.observe import grants, users

    home_dirs = tuple(str(home) for home in policy.value("users.home_dirs"))
    uids, logins, folders = uids_of(snapshot), set[str](), set[str]()
    for container in snapshot.containers:
        uids |= uids_to_ask(container)
        logins |= logins_to_ask(container)
        folders |= paths_to_ask(container, home_dirs)
    moved = {str(paths.under(folder)): folder for folder in folders}
    people = users.read(
        uids,
        logins,
        moved,
        deadline_s=float(policy.value("users.timeout_s")),
        home_dirs=[str(paths.under(home)) for home in home_dirs],
    )
    leave = grants.read(str(policy.value("bare_metal_access.state_dir")), paths)
    return snapshot._replace(
        users=people.users,
        uids=people.uids,
        path_owners={moved[path]: uid for path, uid in people.path_owners.items()},
        grants=leave.grants,
        gaps=(*snapshot.gaps, *people.gaps, *leave.gaps),
    )


def uids_of(snapshot: Snapshot) -> set[int]:
    """Collect every uid that a snapshot has something to do with."""
    uids = {process.uid for process in snapshot.processes.values()}
    uids |= {p.loginuid for p in snapshot.processes.values() if p.loginuid is not None}
    for process in snapshot.processes.values():
        uids |= {outside for inside, outside, _ in process.uid_map if inside == 0}
        place = classify(process.cgroup) if process.cgroup else None
        if place and place.uid is not None:
            uids.add(place.uid)
    return uids


def required(gaps: Iterable[Gap], policy: Policy, seen_before: Collection[str]) -> tuple[Gap, ...]:
    """Turn "absent" into "failed" where the policy requires a source, or an earlier run had it."""
    must = set(policy.value("require") or ())
    judged = []
    for gap in gaps:
        if gap.kind == "absent" and gap.source in must:
            judged.append(
                gap._replace(kind="failed", reason=f"{gap.reason}; the policy requires it")
            )
        elif gap.kind == "absent" and gap.source in seen_before:
            reason = f"{gap.reason}; it answered in an earlier run"
            judged.append(gap._replace(kind="failed", reason=reason))
        else:
            judged.append(gap)
    return tuple(judged)


def is_failure(gaps: Iterable[Gap]) -> bool:
    """Tell whether any gap makes the run a partial one."""
    return any(gap.kind != "absent" for gap in gaps)
