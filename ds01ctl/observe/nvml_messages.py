"""What the NVML child tells the parent."""

from __future__ import annotations

from typing import NamedTuple

from ds01ctl.core.model import Driver, Gap, Gpu, GpuUse


class Refused(NamedTuple):
    """NVML did not start, or could not say how many GPUs there are."""

    function: str
    error: str
    """NVML's name for it, without NVML_ERROR_."""


class Announced(NamedTuple):
    """NVML started, and says how many GPUs it will speak of."""

    driver: Driver
    gpu_count: int


class GpuReading(NamedTuple):
    """One GPU, read to the end or as far as it let us; a later one replaces an earlier one."""

    gpu: Gpu
    uses: tuple[GpuUse, ...] = ()
    gaps: tuple[Gap, ...] = ()


def unread(index: int) -> Gpu:
    """Stand in for a GPU of which only the index is known: neither an idle nor an ill one."""
    return Gpu(index, f"index:{index}", health="unknown", processes_known=False)
