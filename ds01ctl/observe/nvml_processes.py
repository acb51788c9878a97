"""The process lists of NVML, in the child: fetched whole, decoded for the driver at hand, merged.

nvidia-ml-py's own list functions are not used: they make two calls a list, give up when the
list grew between the two, and decode drivers 535.43 to 535.86 wrongly (nvitop #75, gpustat #107).
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

from ds01ctl.core.model import GpuUse, MigDevice
from ds01ctl.core.record import NamedTuple
from ds01ctl.observe.nvml_call import GONE, NOT_OFFERED, CallFailed
from ds01ctl.observe.procfs import is_pid

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ds01ctl.observe.nvml_call import Nvml

_LISTS = {
    "C": "nvmlDeviceGetComputeRunningProcesses",
    "G": "nvmlDeviceGetGraphicsRunningProcesses",
    "M": "nvmlDeviceGetMPSComputeRunningProcesses",
}
_FIRST_ROOM = 64
_MOST_ROOM = 1 << 16
_TRIES = 6
_SUCCESS, _INSUFFICIENT_SIZE = 0, 7
_NO_INSTANCE = 0xFFFFFFFF
_NO_MEMORY = 0xFFFFFFFFFFFFFFFF


class _Info(ctypes.Structure):
    """nvmlProcessInfo_v2_t, which the _v2 and _v3 functions fill."""

    _fields_ = (
        ("pid", ctypes.c_uint),
        ("memory", ctypes.c_ulonglong),
        ("gpu_instance", ctypes.c_uint),
        ("compute_instance", ctypes.c_uint),
    )


class _Info535(ctypes.Structure):
    """The same of drivers 535.43 to 535.86, which was taken back later."""

    _fields_ = (*_Info._fields_, ("protected_memory", ctypes.c_ulonglong))


class Listed(NamedTuple):
    """One row of one list."""

    type: str
    pid: int
    memory_bytes: int | None
    gpu_instance: int | None
    compute_instance: int | None


class Instance(NamedTuple):
    """A MIG instance with NVML's handle for it."""

    handle: Any
    device: MigDevice


class Processes(NamedTuple):
    """The processes of one GPU, and the lists that are missing."""

    uses: tuple[GpuUse, ...]
    failures: tuple[CallFailed, ...]
    impossible: tuple[int, ...]
    """Pids that no process can have: the rows are not what we take them for."""


def read_processes(
    nvml: Nvml, handle: Any, gpu_uuid: str, instances: Sequence[Instance], *, whole_needed: bool
) -> Processes:
    """Read who uses a GPU; on a MIG GPU, per instance. Raises CallFailed if the GPU is gone.

    The list of a whole MIG GPU wants privileges: where the instances are known, it may fail.
    """
    rows: list[Listed] = []
    failures: list[CallFailed] = []
    for instance in instances:
        found, failed = _read_lists(nvml, instance.handle)
        rows += [_placed(row, instance.device) for row in found]
        failures += failed
    found, failed = _read_lists(nvml, handle)
    if whole_needed:
        failures += failed
    rows += _unseen(found, rows)
    devices = [instance.device for instance in instances]
    return Processes(
        _merge((row for row in rows if is_pid(row.pid)), gpu_uuid, devices),
        tuple(failures),
        tuple(sorted({row.pid for row in rows if not is_pid(row.pid)})),
    )


def _read_lists(nvml: Nvml, handle: Any) -> tuple[list[Listed], list[CallFailed]]:
    rows: list[Listed] = []
    failures = []
    for kind, function in _LISTS.items():
        try:
            rows += _fetch(nvml, kind, function, handle)
        except CallFailed as failure:
            if failure.error in GONE:
                raise
            # graphics and MPS may just not be there; without compute nothing is known
            if kind == "C" or failure.error not in NOT_OFFERED:
                failures.append(failure)
    return rows, failures


def _fetch(nvml: Nvml, kind: str, function: str, handle: Any) -> list[Listed]:
    name, info = _variant(nvml, function)
    room = _FIRST_ROOM
    for _ in range(_TRIES):
        count, rows = ctypes.c_uint(room), (info * room)()
        code = nvml.raw(name, handle, ctypes.byref(count), rows)
        if code == _SUCCESS:
            return [_listed(kind, row) for row in rows[: count.value]]
        if code != _INSUFFICIENT_SIZE:
            raise CallFailed(name, nvml.error_name(code))
        room = min(count.value * 2 + 5, _MOST_ROOM)  # it may grow until we ask again
    raise CallFailed(name, "INSUFFICIENT_SIZE")


def _variant(nvml: Nvml, function: str) -> tuple[str, type[_Info | _Info535]]:
    """Choose the newest function and the struct it fills, by the symbols that there are.

    The test is nvitop's: 535.43 to 535.86 have the confidential computing calls, and not yet
    the list that later took over the larger struct.
    """
    if nvml.has(f"{function}_v3"):
        larger = nvml.has("nvmlDeviceGetConfComputeMemSizeInfo") and not nvml.has(
            "nvmlDeviceGetRunningProcessDetailList"
        )
        return f"{function}_v3", _Info535 if larger else _Info
    if nvml.has(f"{function}_v2"):
        return f"{function}_v2", _Info
    raise CallFailed(f"{function}_v2", "FUNCTION_NOT_FOUND")


def _listed(kind: str, row: Any) -> Listed:
    return Listed(
        kind,
        row.pid,
        None if row.memory == _NO_MEMORY else row.memory,
        None if row.gpu_instance == _NO_INSTANCE else row.gpu_instance,
        None if row.compute_instance == _NO_INSTANCE else row.compute_instance,
    )


def _placed(row: Listed, device: MigDevice) -> Listed:
    return row._replace(gpu_instance=device.gpu_instance, compute_instance=device.compute_instance)


def _unseen(whole: Iterable[Listed], seen: Iterable[Listed]) -> list[Listed]:
    """Keep of the whole GPU's list what no instance listed; without both ids, by pid alone."""
    pids = {row.pid for row in seen}
    return [row for row in whole if row.compute_instance is not None or row.pid not in pids]


def _merge(
    rows: Iterable[Listed], gpu_uuid: str, devices: Iterable[MigDevice]
) -> tuple[GpuUse, ...]:
    """Make one use of the rows of one process in one place."""
    places: dict[tuple[int, int | None, int | None], list[Listed]] = {}
    for row in rows:
        places.setdefault((row.pid, row.gpu_instance, row.compute_instance), []).append(row)
    uuids: dict[tuple[int | None, int | None], str] = {
        (device.gpu_instance, device.compute_instance): device.uuid for device in devices
    }
    return tuple(
        GpuUse(
            pid=pid,
            gpu_uuid=gpu_uuid,
            type=_type({row.type for row in same}),
            # each list has the whole memory of the process, not a part of it
            memory_bytes=max(
                (m for row in same if (m := row.memory_bytes) is not None), default=None
            ),
            mig_uuid=uuids.get((gi, ci)),
            gpu_instance=gi,
            compute_instance=ci,
        )
        for (pid, gi, ci), same in sorted(places.items(), key=_by_place)
    )


def _by_place(place: tuple[tuple[int, int | None, int | None], object]) -> tuple[int, int, int]:
    pid, gi, ci = place[0]
    return pid, -1 if gi is None else gi, -1 if ci is None else ci


def _type(kinds: set[str]) -> str:
    return "M" if "M" in kinds else "C+G" if len(kinds) > 1 else kinds.pop()
