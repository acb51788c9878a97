"""What the NVML child tells the parent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.core.model import Driver, Gap, Gpu, GpuUse
from ds01ctl.core.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Refused(NamedTuple):
    """NVML did not start, or could not say how many GPUs there are."""

    function: str
    error: str
    """NVML's name for it, without NVML_ERROR_."""


class Announced(NamedTuple):
    """NVML started, and says how many GPUs it will speak of."""

    driver: Driver
    gpu_count: int


class Activity(NamedTuple):
    """How much each process used one GPU since a moment that the caller named."""

    percent: Mapping[int, float | None] = {}
    """By pid, of those that the driver recorded; None: what it said makes no sense."""
    newest: int = 0
    """The driver's time of the newest record, microseconds since 1970; 0: there is none."""
    problem: str = ""
    """Why nothing is known; empty: a process that is not in percent used nothing."""


class GpuReading(NamedTuple):
    """One GPU, read to the end or as far as it let us; a later one replaces an earlier one."""

    gpu: Gpu
    uses: tuple[GpuUse, ...] = ()
    gaps: tuple[Gap, ...] = ()
    activity: Activity | None = None
    """None: not asked for, or the reading ended before."""


def unread(index: int) -> Gpu:
    """Stand in for a GPU of which only the index is known: neither an idle nor an ill one."""
    return Gpu(index, f"index:{index}", health="unknown", processes_known=False)
