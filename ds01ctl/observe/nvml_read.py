"""One pass over NVML, in the child: GPU by GPU, so that a bad one does not hide the others.

Every GPU is told as soon as it is read: when the driver hangs, the parent has those before it.
Source: the NVML API reference.
"""

from __future__ import annotations

import sys
from time import time
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ds01ctl.core.model import Driver, Gap, Gpu, MigDevice
from ds01ctl.core.record import NamedTuple
from ds01ctl.observe.nvml_call import GONE, CallFailed, Nvml
from ds01ctl.observe.nvml_messages import Announced, GpuReading, Refused, unread
from ds01ctl.observe.nvml_processes import Instance, read_processes

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from ds01ctl.core.model import GapKind
    from ds01ctl.observe.child import Reporter

_COMPUTE_MODES = ("Default", "Exclusive_Thread", "Prohibited", "Exclusive_Process")
_EXPLAINED = {
    "GPU_IS_LOST": "the GPU has fallen off the bus (look for Xid in the kernel log)",
    "RESET_REQUIRED": "the GPU needs a reset: end its processes, then nvidia-smi --gpu-reset",
}


class _Later(ModuleType):
    """Stand for ctypes.util, of which nvidia-ml-py imports a function that it never calls.

    The module loads shutil, subprocess and tempfile: 10 ms, more than all calls of NVML.
    """

    @staticmethod
    def find_library(name: str) -> str | None:
        """Load the module after all, and ask it."""
        sys.modules.pop("ctypes.util", None)
        from ctypes.util import find_library

        return find_library(name)


class _Memory(NamedTuple):
    """In bytes."""

    total: int | None = None
    used: int | None = None
    is_net: bool = True
    """What the driver reserves for itself does not count as used."""


def read_all(reporter: Reporter, last_seen: Mapping[str, int] | None = None) -> None:
    """Tell the driver, then every GPU with its processes, and what these did if that is wanted.

    NVML is not shut down: the process ends, and a shutdown may hang like any other call.
    """
    nvml = start(reporter)
    try:
        nvml.need("nvmlInit")
        count = nvml.need("nvmlDeviceGetCount")
        version = nvml.text("nvmlSystemGetDriverVersion")
        driver = Driver(version, nvml.text("nvmlSystemGetNVMLVersion"))
    except CallFailed as failure:
        reporter.tell(Refused(failure.function, failure.error))
        return
    reporter.tell(Announced(driver, count))
    for index in range(count):
        _read_gpu(nvml.on(index), reporter, index, last_seen)


def read_uses(reporter: Reporter, gpu_uuids: Collection[str]) -> None:
    """Tell only the processes of these GPUs."""
    nvml = start(reporter)
    try:
        nvml.need("nvmlInit")
        count = nvml.need("nvmlDeviceGetCount")
    except CallFailed as failure:
        reporter.tell(Refused(failure.function, failure.error))
        return
    for index in range(count):
        _read_uses_of(nvml.on(index), reporter, index, gpu_uuids)


def start(reporter: Reporter) -> Nvml:
    """Load nvidia-ml-py; only in a child, which ends after it."""
    reporter.doing("import of nvidia-ml-py")
    sys.modules.setdefault("ctypes.util", _Later("ctypes.util"))
    import pynvml

    return Nvml(pynvml, reporter)


def _read_uses_of(nvml: Nvml, reporter: Reporter, index: int, gpu_uuids: Collection[str]) -> None:
    try:
        handle, gpu = _identify(nvml, index)
        if gpu.uuid in gpu_uuids:
            mig = nvml.ask("nvmlDeviceGetMigMode", handle)
            reporter.tell(_read_inside(nvml, handle, gpu._replace(mig_mode=bool(mig and mig[0]))))
    except CallFailed:
        return  # nothing can be confirmed of this GPU; the others may still answer


def _read_gpu(
    nvml: Nvml, reporter: Reporter, index: int, last_seen: Mapping[str, int] | None
) -> None:
    gpu = unread(index)
    try:
        handle, gpu = _identify(nvml, index)
        # should the next call hang, the parent can at least name the GPU
        reporter.tell(GpuReading(gpu))
        reading = _read_inside(nvml, handle, _with_state(nvml, handle, gpu))
        if last_seen is not None:
            # the same here: who uses it is known, whatever comes of the next call
            reporter.tell(reading)
            reading = _with_activity(nvml, handle, reading, last_seen.get(gpu.uuid, 0))
    except CallFailed as failure:
        health = GONE.get(failure.error, "error")
        gpu = gpu._replace(health=health, error=str(failure), processes_known=False)
        reading = GpuReading(gpu, (), (_gap(gpu, failure),))
    reporter.tell(reading)


def _with_activity(nvml: Nvml, handle: Any, reading: GpuReading, since: int) -> GpuReading:
    from ds01ctl.observe.nvml_activity import read_activity

    now = int(time() * 1e6)
    return reading._replace(activity=read_activity(nvml, handle, reading, since, now))


def _identify(nvml: Nvml, index: int) -> tuple[Any, Gpu]:
    """Find a GPU and read which one it is. Raises CallFailed."""
    handle = nvml.need("nvmlDeviceGetHandleByIndex", index)
    uuid = nvml.text("nvmlDeviceGetUUID", handle)
    if uuid is None:  # which container was given it cannot be told
        nvml.worry(CallFailed("nvmlDeviceGetUUID", "NO_DATA"))
    pci = nvml.ask("nvmlDeviceGetPciInfo", handle)
    return handle, unread(index)._replace(uuid=uuid or f"index:{index}", pci_bus_id=_bus_id(pci))


def _bus_id(pci: Any) -> str | None:
    if pci is None:
        return None
    said: str | bytes = pci.busId
    return said.decode("ascii", "replace") if isinstance(said, bytes) else said


def _with_state(nvml: Nvml, handle: Any, gpu: Gpu) -> Gpu:
    memory = _memory(nvml, handle)
    current, pending = nvml.ask("nvmlDeviceGetMigMode", handle) or (None, None)
    rates = nvml.ask("nvmlDeviceGetUtilizationRates", handle)
    return gpu._replace(
        health="ok",
        name=nvml.text("nvmlDeviceGetName", handle),
        minor=nvml.ask("nvmlDeviceGetMinorNumber", handle),
        memory_total_bytes=memory.total,
        memory_used_bytes=memory.used,
        memory_is_net=memory.is_net,
        utilization_percent=rates.gpu if rates else None,
        mig_mode=None if current is None else bool(current),
        mig_mode_pending=None if pending is None else bool(pending),
        persistence_mode=nvml.flag("nvmlDeviceGetPersistenceMode", handle),
        compute_mode=_compute_mode(nvml.ask("nvmlDeviceGetComputeMode", handle)),
    )


def _compute_mode(mode: int | None) -> str | None:
    if mode is None or mode >= len(_COMPUTE_MODES):
        return None
    return _COMPUTE_MODES[mode]


def _memory(nvml: Nvml, handle: Any) -> _Memory:
    """Read the memory; version 1, of drivers before 510, counts what they reserve as used."""
    if info := nvml.ask("nvmlDeviceGetMemoryInfo", handle, version=nvml.pynvml.nvmlMemory_v2):
        return _Memory(info.total, info.used)
    if info := nvml.ask("nvmlDeviceGetMemoryInfo", handle):
        return _Memory(info.total, info.used, is_net=False)
    return _Memory()


def _read_inside(nvml: Nvml, handle: Any, gpu: Gpu) -> GpuReading:
    """Read the MIG instances and the processes of a GPU, and say what is missing."""
    slices, instances, complete = _instances(nvml, handle) if gpu.mig_mode else (None, [], False)
    found = read_processes(nvml, handle, gpu.uuid, instances, whole_needed=not complete)
    gpu = gpu._replace(
        mig_devices=tuple(instance.device for instance in instances),
        mig_slices=slices,
        processes_known=not found.failures and not found.impossible,
    )
    gaps = [_gap(gpu, failure) for failure in found.failures]
    gaps += [_impossible(gpu, found.impossible)] if found.impossible else []
    if nvml.trouble:
        gpu = gpu._replace(health="error", error=str(nvml.trouble))
        gaps.append(_gap(gpu, nvml.trouble))
    return GpuReading(gpu, found.uses, tuple(dict.fromkeys(gaps)))


def _instances(nvml: Nvml, handle: Any) -> tuple[int | None, list[Instance], bool]:
    """Find how many MIG instances a GPU can have, these, and whether they are all."""
    found = []
    count = None
    try:
        # as many as it has slices: the smallest instance is of one
        count = nvml.need("nvmlDeviceGetMaxMigDeviceCount", handle)
        for slot in range(count):
            mig = _slot(nvml, handle, slot)
            if mig is not None:
                found.append(Instance(mig, _mig_device(nvml, mig)))
    except CallFailed as failure:
        if failure.error in GONE:
            raise
        nvml.worry(failure)  # "no instances" would be a claim we cannot make
        return count, found, False
    return count, found, True


def _slot(nvml: Nvml, handle: Any, slot: int) -> Any:
    try:
        return nvml.need("nvmlDeviceGetMigDeviceHandleByIndex", handle, slot)
    except CallFailed as failure:
        if failure.error == "NOT_FOUND":  # an empty slot
            return None
        raise


def _mig_device(nvml: Nvml, mig: Any) -> MigDevice:
    """Read one instance. Raises CallFailed where its ids cannot be had."""
    attributes = nvml.ask("nvmlDeviceGetAttributes", mig)
    memory = _memory(nvml, mig)
    name = nvml.text("nvmlDeviceGetName", mig) or ""
    gpu_instance = nvml.need("nvmlDeviceGetGpuInstanceId", mig)
    compute_instance = nvml.need("nvmlDeviceGetComputeInstanceId", mig)
    return MigDevice(
        uuid=nvml.text("nvmlDeviceGetUUID", mig) or f"instance:{gpu_instance}/{compute_instance}",
        gpu_instance=gpu_instance,
        compute_instance=compute_instance,
        profile=name.rpartition(" MIG ")[2] if " MIG " in name else _profile(attributes),
        compute_slices=attributes.computeInstanceSliceCount if attributes else None,
        memory_total_bytes=memory.total,
        memory_used_bytes=memory.used,
    )


def _profile(attributes: Any) -> str | None:
    """Name a profile by its attributes, as nvidia-smi does: ``1g.5gb``, ``1c.2g.10gb``."""
    if attributes is None:
        return None
    slices, part = attributes.gpuInstanceSliceCount, attributes.computeInstanceSliceCount
    memory = f"{slices}g.{round(attributes.memorySizeMB / 1024)}gb"
    return memory if part == slices else f"{part}c.{memory}"


def _impossible(gpu: Gpu, pids: Sequence[int]) -> Gap:
    others = f" (and {len(pids) - 1} others)" if len(pids) > 1 else ""
    why = "the process list is not what this driver library says"
    return Gap("nvml", "failed", f"{_label(gpu)}: pid {pids[0]}{others} cannot exist: {why}")


def _label(gpu: Gpu) -> str:
    who = [gpu.uuid, gpu.pci_bus_id]
    known = ", ".join(name for name in who if name and not name.startswith("index:"))
    return f"GPU {gpu.index} ({known})" if known else f"GPU {gpu.index}"


def _gap(gpu: Gpu, failure: CallFailed) -> Gap:
    """Say of which GPU a reading is missing, and why."""
    why = f"; {_EXPLAINED[failure.error]}" if failure.error in _EXPLAINED else ""
    kind: GapKind = "denied" if failure.error == "NO_PERMISSION" else "failed"
    return Gap("nvml", kind, f"{_label(gpu)}: {failure}{why}")
