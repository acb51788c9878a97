"""Who worked on a GPU in an interval, and who held it: processes made parties.

The driver's record gives for each process the mean of the samples that it is in, also for one that
has ended since. A process that was there for a part of the interval only counts for that part.
"""

from __future__ import annotations

import re
from math import fsum
from typing import TYPE_CHECKING

from ds01ctl.core import gpu_stays as stays
from ds01ctl.core.energy_model import UNATTRIBUTED, GpuShare
from ds01ctl.core.model import SLICES_OF_A_GPU
from ds01ctl.core.record import NamedTuple

_ROUNDING = 1e-9

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Set

    from ds01ctl.core.model import Gpu, GpuUse, MigDevice


class Worked(NamedTuple):
    """What a process did, by the driver's record since it was looked at last."""

    percent: float
    """Of the GPU, in the mean of the samples that it is in."""
    last_us: int
    """The time of its last sample, microseconds since 1970."""


class GpuRecord(NamedTuple):
    """The driver's record of one GPU."""

    uuid: str
    by_pid: Mapping[int, Worked] = {}
    """Also of processes that have ended. Who is not in it did nothing."""
    newest_us: int = 0
    """Where the next look goes on; 0: nothing was recorded."""
    problem: str = ""
    """Why nothing is known; empty: it is."""


class GpuPast(NamedTuple):
    """What the last look at a GPU left for the next."""

    pids: Mapping[int, str] = {}
    """Party by pid, of the processes that were on it: some end before they are seen again."""
    memory: Mapping[str, int] = {}
    """Bytes by party."""
    seen_us: int = 0
    """The driver's time up to which its record is known."""
    holders: Mapping[str, tuple[str, ...]] | None = None
    """To whom it, or a MIG device of it, was given, by UUID; None: not known."""
    instances: Mapping[int, str] = {}
    """The MIG device, by pid, of the processes that were on one."""


class Scene(NamedTuple):
    """What is known of everybody when one GPU is looked at."""

    party_of_pid: Mapping[int, str]
    began_us: Mapping[int, int]
    """When each process began, microseconds since 1970; no entry: not known."""
    holders: Mapping[str, Set[str]]
    """Parties that were given a GPU, or a MIG device, by its UUID."""
    from_us: int
    to_us: int
    """The interval, by the clock that the driver's record has."""
    since_us: Mapping[tuple[str, str], int] = {}
    """When a holder of now got it, by UUID and party; no entry: not known."""
    until_us: Mapping[tuple[str, str], int] = {}
    """When somebody lost it who held it at the last look, likewise."""


def shares(
    gpu: Gpu,
    uses: Iterable[GpuUse],
    record: GpuRecord | None,
    past: GpuPast | None,
    scene: Scene,
) -> tuple[GpuShare, ...]:
    """Say who had which part in a GPU whose processes are known, sorted by party."""
    listed = [use for use in uses if use.gpu_uuid == gpu.uuid]
    pids = _pids(listed, past, scene)
    if gpu.mig_mode and gpu.mig_devices:
        return _of_instances(gpu, listed, pids, past, scene)
    holders = stays.holders(gpu.uuid, gpu.uuid, past, scene)
    memory = _memory(listed, pids)
    by_pid = _recorded(pids, record, past, scene, holders)
    sm = _sm(gpu, pids, record, past, scene, by_pid)
    there = stays.of_processes(listed, pids, record, past, scene, by_pid)
    given = stays.of_given(
        stays.seen(gpu.uuid, gpu.uuid, past, scene), there, scene.from_us, scene.to_us
    )
    held = stays.parts(given, there, holders, scene)
    before = past.memory if past else None
    parties = sorted({*pids.values(), *holders, *(sm or ()), *(before or ()), *held})
    return tuple(
        GpuShare(
            party,
            None if sm is None else sm.get(party, 0.0),
            _mean(before, party, memory.get(party, 0)),
            is_holder=bool(holders) and (party in holders or party in held),
            held=held.get(party, 0.0),
        )
        for party in parties
    )


def past_of(
    gpu: Gpu,
    uses: Iterable[GpuUse],
    record: GpuRecord | None,
    past: GpuPast | None,
    party_of_pid: Mapping[int, str],
    holders: Mapping[str, Set[str]] | None = None,
) -> GpuPast:
    """Keep what the next look needs; of a GPU whose processes are not known, what was known."""
    seen_us = (record.newest_us if record else 0) or (past.seen_us if past else 0)
    if not gpu.processes_known:
        return (past or GpuPast())._replace(seen_us=seen_us)
    listed = [use for use in uses if use.gpu_uuid == gpu.uuid]
    pids = {use.pid: party_of_pid[use.pid] for use in listed if use.pid in party_of_pid}
    memory = {party: size for party, size in _memory(listed, pids).items() if size is not None}
    instances = {use.pid: use.mig_uuid for use in listed if use.mig_uuid}
    return GpuPast(pids, memory, seen_us, _given(gpu, holders), instances)


def _given(gpu: Gpu, holders: Mapping[str, Set[str]] | None) -> dict[str, tuple[str, ...]] | None:
    uuids = [gpu.uuid, *(device.uuid for device in gpu.mig_devices)]
    if holders is None:
        return None
    return {uuid: tuple(sorted(holders[uuid])) for uuid in uuids if holders.get(uuid)}


def _pids(listed: Iterable[GpuUse], past: GpuPast | None, scene: Scene) -> dict[int, str]:
    """Name the party of each process; one that ended as we looked is whose it was."""
    known = past.pids if past else {}
    return {
        use.pid: scene.party_of_pid.get(use.pid) or known.get(use.pid, UNATTRIBUTED)
        for use in listed
    }


def _memory(listed: Iterable[GpuUse], pids: Mapping[int, str]) -> dict[str, int | None]:
    """Add up each party's memory; None where that of one of its processes is not told."""
    found: dict[str, int | None] = {}
    for use in listed:
        party = pids.get(use.pid, UNATTRIBUTED)
        known = found.get(party, 0)
        told = known is not None and use.memory_bytes is not None
        found[party] = (known or 0) + (use.memory_bytes or 0) if told else None
    return found


def _mean(before: Mapping[str, int] | None, party: str, now: int | None) -> int | None:
    if now is None or before is None:
        return now
    return (before.get(party, 0) + now) // 2


def _sm(
    gpu: Gpu,
    pids: Mapping[int, str],
    record: GpuRecord | None,
    past: GpuPast | None,
    scene: Scene,
    by_pid: Mapping[int, str],
) -> dict[str, float] | None:
    """Say how much of the GPU each party used in the mean of the interval; None: not known."""
    if record is None or record.problem:
        return None
    if not record.by_pid and pids and gpu.utilization_percent:
        # busy, and nobody is said to use it
        return None
    known = {*(past.pids if past else ()), *pids}
    found: dict[str, float] = {}
    for pid, party in by_pid.items():
        worked = record.by_pid[pid]
        part = _part(pid, worked, scene, is_here=pid in pids, is_known=pid in known)
        found[party] = found.get(party, 0.0) + worked.percent * part
    return found


def _recorded(
    pids: Mapping[int, str],
    record: GpuRecord | None,
    past: GpuPast | None,
    scene: Scene,
    holders: Set[str],
) -> dict[int, str]:
    """Name the party of each process that worked; one that came and went may be of one only."""
    if record is None or record.problem:
        return {}
    known = {**(past.pids if past else {}), **pids}
    there = {*known.values(), *holders}
    stranger = next(iter(there)) if len(there) == 1 else UNATTRIBUTED
    return {pid: known.get(pid) or scene.party_of_pid.get(pid) or stranger for pid in record.by_pid}


def _part(pid: int, worked: Worked, scene: Scene, *, is_here: bool, is_known: bool) -> float:
    """Say for which part of the interval a process was there."""
    length = scene.to_us - scene.from_us
    if length <= 0:
        return 1.0
    ends = scene.to_us if is_here else min(worked.last_us, scene.to_us)
    began = max(scene.began_us.get(pid, scene.from_us), scene.from_us)
    part = min(1.0, max(0.0, (ends - began) / length))
    # it came and went unseen: its beginning may have been anywhere before its end
    return part if is_known else part / 2


# --- MIG ----------------------------------------------------------------------------------------


def _of_instances(
    gpu: Gpu,
    listed: Iterable[GpuUse],
    pids: Mapping[int, str],
    past: GpuPast | None,
    scene: Scene,
) -> tuple[GpuShare, ...]:
    """Share by instances; what those that share one do in it, NVML does not know."""
    uses = list(listed)
    found = []
    for device in gpu.mig_devices:
        inside = [use for use in uses if use.mig_uuid == device.uuid]
        found += _of_instance(gpu, device, inside, pids, _inside(device, past), scene)
    # slices that nobody made an instance of
    free = (gpu.mig_slices or SLICES_OF_A_GPU) - fsum(map(_slices, gpu.mig_devices))
    if free > _ROUNDING:
        found.append(GpuShare(UNATTRIBUTED, 0.0, 0, free))
    return tuple(sorted(found, key=lambda one: (one.party, -one.mig_slices)))


def _inside(device: MigDevice, past: GpuPast | None) -> GpuPast | None:
    """Keep of the past what was in one instance."""
    if past is None:
        return None
    pids = {p: party for p, party in past.pids.items() if past.instances.get(p) == device.uuid}
    return past._replace(pids=pids)


def _of_instance(
    gpu: Gpu,
    device: MigDevice,
    inside: list[GpuUse],
    pids: Mapping[int, str],
    past: GpuPast | None,
    scene: Scene,
) -> list[GpuShare]:
    holders = stays.holders(device.uuid, gpu.uuid, past, scene)
    there = stays.of_processes(inside, pids, None, past, scene, {})
    given = stays.of_given(
        stays.seen(device.uuid, gpu.uuid, past, scene), there, scene.from_us, scene.to_us
    )
    # a process in another one's instance draws as much as the holder's
    had = stays.parts([*given, *there], (), holders, scene)
    memory = _memory(inside, pids)
    users = {stay.party for stay in there}
    whole = _slices(device) / max(1.0, fsum(had.values()))
    found = [
        GpuShare(
            party,
            None if party in users else 0.0,
            memory.get(party, 0),
            whole * part,
            is_holder=party in holders,
        )
        for party, part in sorted(had.items())
    ]
    free = _slices(device) - fsum(one.mig_slices for one in found)
    is_free = free > _ROUNDING
    return [*found, GpuShare(UNATTRIBUTED, 0.0, 0, free)] if is_free else found


def _slices(device: MigDevice) -> float:
    if device.compute_slices:
        return float(device.compute_slices)
    match = re.match(r"(\d+)[cg]\.", device.profile or "")
    return float(match[1]) if match else 1.0
