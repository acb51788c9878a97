"""Read the energy of all GPUs, in the child: first the counters, close together, then the rest.

Source: nvml.h. The energy counter is there since Volta; a MIG instance has none of its own.
"""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING, Any

from ds01ctl.core.gpu_shares import GpuRecord, Worked
from ds01ctl.observe import nvml_read
from ds01ctl.observe.nvml_activity import fetch
from ds01ctl.observe.nvml_call import GONE, NOT_OFFERED, CallFailed
from ds01ctl.observe.nvml_energy_messages import GpuPower
from ds01ctl.observe.procfs import is_pid

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ds01ctl.observe.boottime import Clock
    from ds01ctl.observe.child import Reporter
    from ds01ctl.observe.nvml_call import Nvml

_ENERGY = "nvmlDeviceGetTotalEnergyConsumption"
_POWER = "nvmlDeviceGetPowerUsage"
_LIMITS = ("nvmlDeviceGetEnforcedPowerLimit", "nvmlDeviceGetPowerManagementLimit")
_FULL_PERCENT = 100
_AHEAD_US = 5_000_000
"""By so much the driver's clock may be ahead of ours."""


def read_all(reporter: Reporter, last_seen: Mapping[str, int], clock: Clock) -> None:
    """Tell every GPU's power, then what nvml_read tells, then who worked on them.

    The counters come first: what hangs later does not cost them.
    """
    nvml = nvml_read.start(reporter)
    handles = _handles(nvml)
    for index, (uuid, handle) in list(handles.items()):
        try:
            reporter.tell(_power(nvml.on(index), handle, uuid, clock))
        except CallFailed:
            # told of by what follows
            del handles[index]
    nvml_read.read_all(reporter)
    for index, (uuid, handle) in handles.items():
        reporter.tell(_record(nvml.on(index), handle, uuid, last_seen.get(uuid, 0)))


def _handles(nvml: Nvml) -> dict[int, tuple[str, Any]]:
    """Find the GPUs that can be told from others; why others cannot is not for us to say."""
    found = {}
    try:
        nvml.need("nvmlInit")
        count = nvml.need("nvmlDeviceGetCount")
    except CallFailed:
        return {}
    for index in range(count):
        gpu = nvml.on(index)
        try:
            handle = gpu.need("nvmlDeviceGetHandleByIndex", index)
            uuid = gpu.text("nvmlDeviceGetUUID", handle)
        except CallFailed:
            continue
        if uuid:
            found[index] = (uuid, handle)
    return found


def _power(nvml: Nvml, handle: Any, uuid: str, clock: Clock) -> GpuPower:
    """Read one GPU's. Raises CallFailed if it is gone."""
    energy, has_counter, problem = _energy(nvml, handle)
    at = clock()
    power = nvml.ask(_POWER, handle)
    if not has_counter:
        at = clock()
    if power is None and not has_counter:
        problem = str(nvml.trouble or "the card tells neither its energy nor its power")
    limit = next((mw for name in _LIMITS if (mw := nvml.ask(name, handle))), None)
    persistence = nvml.flag("nvmlDeviceGetPersistenceMode", handle)
    return GpuPower(uuid, at, energy, power, limit, persistence, has_counter, problem)


def _energy(nvml: Nvml, handle: Any) -> tuple[int | None, bool, str]:
    """Read the counter; tell if there is one, and why it could not be read."""
    if not nvml.has(_ENERGY):
        return None, False, ""
    try:
        return nvml.need(_ENERGY, handle), True, ""
    except CallFailed as failure:
        if failure.error in GONE:
            raise
        if failure.error in NOT_OFFERED:
            return None, False, ""
        return None, True, str(failure)


def _record(nvml: Nvml, handle: Any, uuid: str, since: int) -> GpuRecord:
    """Read what processes did since then; all that is kept, if that is in a time to come."""
    now = int(time() * 1e6)
    since = since if 0 < since <= now + _AHEAD_US else 0
    try:
        samples = fetch(nvml, handle, since)
    except CallFailed as failure:
        return GpuRecord(uuid, problem=str(failure))
    # there may be rows that nobody filled (nvtop #110)
    rows = [row for row in samples if is_pid(row.pid) and row.timestamp <= now + _AHEAD_US]
    by_pid: dict[int, list[Worked]] = {}
    for row in rows:
        worked = _worked(row)
        if worked is None:
            return GpuRecord(uuid, problem=f"pid {row.pid} is said to use {row.sm} % of it")
        by_pid.setdefault(row.pid, []).append(worked)
    merged = {pid: _merged(all_of_it) for pid, all_of_it in by_pid.items()}
    return GpuRecord(uuid, merged, _newest(rows))


def _worked(row: Any) -> Worked | None:
    # who only encodes or decodes video uses the GPU as well
    percent = row.sm or max(row.encoder, row.decoder)
    return Worked(float(percent), row.timestamp) if percent <= _FULL_PERCENT else None


def _merged(rows: list[Worked]) -> Worked:
    return Worked(sum(one.percent for one in rows) / len(rows), max(one.last_us for one in rows))


def _newest(rows: Iterable[Any]) -> int:
    return max((row.timestamp for row in rows), default=0)
