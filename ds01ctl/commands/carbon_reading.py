"""Read all that one sample of `carbon` needs: counters, and who did what since the last one.

One child for NVML, one list of each engine. What cannot be read is a gap, and costs no energy: the
counters' next reading has it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ds01ctl.commands import carbon_owners, gathering
from ds01ctl.core.energy_memory import Memory
from ds01ctl.core.energy_model import OWN, Activity, Work
from ds01ctl.core.energy_parties import Usage, done, paced, worth_reading
from ds01ctl.core.energy_projects import has_projects
from ds01ctl.core.gpu_shares import Scene, past_of, shares
from ds01ctl.core.record import NamedTuple
from ds01ctl.errors import Ds01Error

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from ds01ctl.commands.carbon_owners import Owners
    from ds01ctl.core.energy_model import Counter
    from ds01ctl.core.gpu_shares import GpuPast
    from ds01ctl.core.model import Gap, Gpu
    from ds01ctl.core.policy import Policy
    from ds01ctl.observe.boottime import Clock
    from ds01ctl.observe.container_facts import KnownFacts
    from ds01ctl.observe.containers import ContainersReading
    from ds01ctl.observe.gpu_energy import GpuEnergyReading
    from ds01ctl.paths import Paths

MAX_WATTS = {
    "cpu": "carbon.max_watts.package",
    "dram": "carbon.max_watts.dram",
    "gpu": "carbon.max_watts.gpu",
}
"""What the policy says of the most that a part of each component can draw."""


class CarbonReading(NamedTuple):
    """One sample, not yet accounted."""

    at_s: float
    """CLOCK_BOOTTIME at the end of the interval that ``work`` is about."""
    boot_id: str
    counters: tuple[Counter, ...]
    work: Work
    gaps: tuple[Gap, ...]
    memory: Memory
    """To be kept for the next sample, in the transaction that books this one."""
    facts: Mapping[str, KnownFacts]
    """What is known of containers; the same object as before where nothing changed."""
    loaded: gathering.Loaded
    gpus: tuple[Gpu, ...]
    duplicates: tuple[str, ...] = ()
    """RAPL zones that were left out, as they show another one's counter."""
    doubtful: tuple[str, ...] = ()
    """RAPL zones that may show the counter of one that could not be read."""
    without_persistence: tuple[str, ...] = ()
    """GPUs whose counters may begin anew whenever nobody uses them."""


class _Raw(NamedTuple):
    """What the sources said that need no knowledge of people."""

    loaded: gathering.Loaded
    engines: ContainersReading
    gpu: GpuEnergyReading
    groups: tuple[str, ...]
    """Control groups by path."""
    at_us: int
    """When the GPUs' records end, microseconds since 1970."""


def read(
    paths: Paths,
    explicit: Path | None,
    known: Mapping[str, KnownFacts],
    memory: Memory | None,
    seen_before: Collection[str] = (),
    *,
    own_cpu_us: int = 0,
    clock: Clock | None = None,
) -> CarbonReading:
    """Take one sample. Raises Ds01Error for a bad policy or a foreign PID namespace.

    known: as `detect` remembers containers; memory: of the last sample; own_cpu_us: what ds01ctl
    itself used since then.
    """
    from ds01ctl.observe import boottime, energy_cgroups, own_place, rapl

    clock = clock or boottime.now
    if problem := own_place.own_namespace_problem(paths):
        raise Ds01Error(problem, "run ds01ctl on the host itself, outside any container")
    boot_id = own_place.boot_id(paths)
    raw = _gather(paths, explicit, known, memory, clock)
    policy = raw.loaded.policy
    asked = (raw.engines, raw.gpu.nvml, raw.groups, memory, policy, raw.at_us, paths)
    owners = carbon_owners.find(*asked)
    wanted = worth_reading((*raw.groups, *owners.party_of), owners.party_of)
    # side by side: they are to speak of the same time
    power = rapl.read(paths, psys=bool(policy.value("carbon.psys")), clock=clock)
    cgroups = energy_cgroups.read(paths, wanted, clock=clock)
    party_of = owners.party_of
    parties = {path: party_of[path] for path in cgroups.by_cgroup if path in party_of}
    earlier = memory.usage_since(boot_id) if memory else None
    usage = paced(earlier, Usage(cgroups.by_cgroup, cgroups.total, parties))
    at_s = cgroups.total.at_s if cgroups.total else clock().at_s
    work, pasts = _work(raw, owners, usage, memory, boot_id, at_s)
    gaps = (*raw.loaded.gaps, *raw.gpu.gaps, *owners.gaps, *power.gaps, *cgroups.gaps)
    if own_cpu_us > 0 and work.total is not None:
        work = work._replace(parties={**work.parties, OWN: Activity(own_cpu_us)})
    return CarbonReading(
        at_s,
        boot_id,
        tuple(_limited(one, policy) for one in (*power.counters, *raw.gpu.counters)),
        work,
        gathering.required(gaps, policy, seen_before),
        Memory(
            boot_id,
            raw.at_us,
            usage,
            pasts,
            owners.names,
            owners.names_at_us,
            owners.judged,
            owners.mark,
        ),
        raw.engines.facts,
        raw.loaded,
        raw.gpu.nvml.gpus,
        power.duplicates,
        power.doubtful,
        raw.gpu.without_persistence,
    )


def _gather(
    paths: Paths,
    explicit: Path | None,
    known: Mapping[str, KnownFacts],
    memory: Memory | None,
    clock: Clock,
) -> _Raw:
    """Ask NVML in a child, and everything else meanwhile."""
    from ds01ctl.observe import energy_cgroups, gpu_energy

    last_seen = {uuid: past.seen_us for uuid, past in memory.gpus.items()} if memory else {}
    with gpu_energy.start(last_seen, clock=clock) as child:
        loaded = gathering.load_policy(paths, explicit)
        policy = loaded.policy
        engines = gathering.read_engines(policy, paths, known)
        groups = energy_cgroups.find(paths, platform_slice=str(policy.value("platform.slice")))
        deadline_s = float(policy.value("nvml.timeout_s"))
        gpu = gpu_energy.collect(child, deadline_s=deadline_s, paths=paths)
    return _Raw(loaded, engines, gpu, groups, time.time_ns() // 1000)


def _limited(counter: Counter, policy: Policy) -> Counter:
    """Let the policy say what a part can draw at most, where it does."""
    key = MAX_WATTS.get(counter.component)
    watts = policy.value(key) if key else None
    return counter if watts is None else counter._replace(max_watts=float(watts))


def _work(
    raw: _Raw, owners: Owners, usage: Usage, memory: Memory | None, boot_id: str, up_s: float
) -> tuple[Work, dict[str, GpuPast]]:
    """Say what was done since the last sample, and keep what the next needs of the GPUs."""
    earlier = memory.usage_since(boot_id) if memory else None
    pasts = memory.gpus_since(boot_id) if memory else {}
    from_us = memory.from_us(boot_id, raw.at_us, up_s) if memory else raw.at_us
    span = (from_us, raw.at_us)
    scene = Scene(owners.party_of_pid, owners.began_us, owners.holders, *span, *owners.held)
    work = _by_project(raw, scene, earlier, usage, pasts)
    for gpu in raw.gpu.nvml.gpus:
        record, past = raw.gpu.records.get(gpu.uuid), pasts.get(gpu.uuid)
        # what could not be seen now stays as it was known
        pasts[gpu.uuid] = past_of(
            gpu, raw.gpu.nvml.uses, record, past, owners.party_of_pid, owners.holders
        )
    return work, pasts


def _by_project(
    raw: _Raw, scene: Scene, earlier: Usage | None, usage: Usage, pasts: Mapping[str, GpuPast]
) -> Work:
    """Say what users did, and beside it the same by their projects, where there are any."""
    fine = _done(raw, scene, earlier, usage, pasts)
    usages = (usage, earlier) if earlier else (usage,)
    if not has_projects(usages, pasts.values(), scene):
        return fine
    from ds01ctl.core import project_views as of

    before = of.usage_of_users(earlier) if earlier else None
    old = {uuid: of.past_of_users(past) for uuid, past in pasts.items()}
    whole = _done(raw, of.scene_of_users(scene), before, of.usage_of_users(usage), old)
    return whole._replace(by_project=fine)


def _done(
    raw: _Raw, scene: Scene, earlier: Usage | None, usage: Usage, pasts: Mapping[str, GpuPast]
) -> Work:
    was_done, gpus = done(earlier, usage), {}
    for gpu in raw.gpu.nvml.gpus:
        if gpu.processes_known:
            record, past = raw.gpu.records.get(gpu.uuid), pasts.get(gpu.uuid)
            gpus[gpu.uuid] = shares(gpu, raw.gpu.nvml.uses, record, past, scene)
    return Work(was_done.seconds, was_done.parties, was_done.total, gpus)
