"""How much the processes of one GPU used it of late, in the child.

The driver keeps a record of its samples, and gives for each process that used anything the mean
since a moment. Source: nvml.h, nvmlDeviceGetProcessUtilization.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

from ds01ctl.observe.nvml_call import GONE, CallFailed
from ds01ctl.observe.nvml_messages import Activity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ds01ctl.observe.nvml_call import Nvml
    from ds01ctl.observe.nvml_messages import GpuReading

_FUNCTION = "nvmlDeviceGetProcessUtilization"
_TRIES = 6
_MOST_ROOM = 1 << 16
_SUCCESS, _NOT_FOUND, _INSUFFICIENT_SIZE = 0, 6, 7
_FULL_PERCENT = 100
_LATELY_US = 60_000_000
"""A mean since long ago says little of a process that has only just begun to work."""


class _Sample(ctypes.Structure):
    """nvmlProcessUtilizationSample_t."""

    _fields_ = (
        ("pid", ctypes.c_uint),
        ("timestamp", ctypes.c_ulonglong),
        ("sm", ctypes.c_uint),
        ("memory", ctypes.c_uint),
        ("encoder", ctypes.c_uint),
        ("decoder", ctypes.c_uint),
    )


def read_activity(nvml: Nvml, handle: Any, reading: GpuReading, since: int, now: int) -> Activity:
    """Read what each process of a GPU used since a time of the driver's; both in microseconds.

    Raises CallFailed if the GPU is gone; any other refusal is told as a problem.
    """
    if reading.gpu.mig_mode:
        return Activity(problem="the driver does not tell it for MIG instances")
    try:
        samples = [row for at in _moments(since, now) for row in fetch(nvml, handle, at)]
    except CallFailed as failure:
        if failure.error in GONE:
            raise
        return Activity(problem=str(failure))
    listed = {use.pid for use in reading.uses}
    # there may be rows that nobody filled (nvtop #110)
    found = _by_pid(row for row in samples if row.pid in listed)
    if not found.percent and listed and reading.gpu.utilization_percent:
        busy = f"busy by {reading.gpu.utilization_percent} %, but nobody is said to use it"
        return found._replace(problem=busy)
    return found


def _moments(since: int, now: int) -> Iterator[int]:
    """Give the moments to ask since: the driver's own, and one that is ours and adds to it.

    Where the clock was set back, the driver has nothing to tell since a time to come.
    """
    since = since if 0 < since <= now else 0
    yield since
    if now - _LATELY_US > since:
        yield now - _LATELY_US


def fetch(nvml: Nvml, handle: Any, since: int) -> list[_Sample]:
    """Ask first how much room is needed, as nvml.h says. Raises CallFailed."""
    if not nvml.has(_FUNCTION):
        raise CallFailed(_FUNCTION, "FUNCTION_NOT_FOUND")
    room, rows = 0, None
    for _ in range(_TRIES):
        count = ctypes.c_uint(room)
        args = (handle, rows, ctypes.byref(count), ctypes.c_ulonglong(since))
        code = nvml.raw(_FUNCTION, *args)
        if code == _NOT_FOUND:
            return []
        if code == _SUCCESS:
            some: list[_Sample] = list(rows[: min(count.value, room)]) if rows else []
            return [row for row in some if row.timestamp > since]
        if code != _INSUFFICIENT_SIZE:
            raise CallFailed(_FUNCTION, nvml.error_name(code))
        room = min(max(count.value, room) + 16, _MOST_ROOM)  # it may grow until we ask again
        rows = (_Sample * room)()
    raise CallFailed(_FUNCTION, "INSUFFICIENT_SIZE")


def _by_pid(samples: Iterable[_Sample]) -> Activity:
    """Keep of each process the most."""
    percent: dict[int, float | None] = {}
    newest = 0
    for row in samples:
        newest = max(newest, row.timestamp)
        percent[row.pid] = _more(percent.get(row.pid, 0.0), row)
    return Activity(percent, newest)


def _more(known: float | None, row: _Sample) -> float | None:
    """Give the higher of two uses; None where nothing but nonsense speaks of any."""
    # who has only video encoded or decoded uses the GPU as well
    said = (row.sm, row.encoder, row.decoder)
    sensible = float(max((one for one in said if one <= _FULL_PERCENT), default=0))
    most = max(known or 0.0, sensible)
    is_sensible = known is not None and max(said) <= _FULL_PERCENT
    return most if is_sensible or most > 0 else None
