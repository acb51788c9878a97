"""How much each process used each GPU since the last run, as the NVML child read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ds01ctl.core.model import Gap, Gpu, GpuUse
    from ds01ctl.observe.nvml import NvmlReading

_MPS = "M"


class GpuActivity(NamedTuple):
    """What is known of one run's interval, and of what nothing is known."""

    by_pid: Mapping[tuple[int, str], float | None] = {}
    """By pid and GPU uuid, of every use that NVML lists: percent, the highest of a GPU's parts;
    0: the driver recorded nothing; None: not known."""
    last_seen: Mapping[str, int] = {}
    """By GPU uuid: the driver's time up to which it is known, microseconds since 1970; for the
    next run. A GPU of which nothing was recorded has no entry: keep the old one."""
    failed: Mapping[str, str] = {}
    """By GPU uuid: why the use by its processes is not known."""
    blind: frozenset[str] = frozenset()
    """GPUs whose processes are not known: any container that may use them may be using them."""
    gpus: tuple[Gpu, ...] = ()
    """As they were then: to tell which of them a container may use."""
    problem: str = ""
    """Why nothing at all is known; empty: NVML answered."""
    is_absent: bool = False
    """The problem is that this host has no NVIDIA driver: nobody uses a GPU."""


def of(reading: NvmlReading) -> GpuActivity:
    """Make the activity of a reading that was begun with ``nvml.start(last_seen)``."""
    if not reading.gpus:
        return _nothing([gap for gap in reading.gaps if gap.source == "nvml"])
    failed = {gpu.uuid: why for gpu in reading.gpus if (why := _problem(gpu, reading))}
    return GpuActivity(
        by_pid=_by_pid(reading, failed),
        last_seen={uuid: one.newest for uuid, one in reading.activity.items() if one.newest},
        failed=failed,
        blind=frozenset(gpu.uuid for gpu in reading.gpus if not gpu.processes_known),
        gpus=reading.gpus,
    )


def _nothing(gaps: list[Gap]) -> GpuActivity:
    is_absent = bool(gaps) and all(gap.kind == "absent" for gap in gaps)
    return GpuActivity(problem=gaps[0].reason if gaps else "NVML shows no GPU", is_absent=is_absent)


def _problem(gpu: Gpu, reading: NvmlReading) -> str:
    """Say why the activity on a GPU is not known; nothing if it is."""
    activity = reading.activity.get(gpu.uuid)
    if activity is None:
        return gpu.error or "not read to the end"
    return activity.problem


def _by_pid(reading: NvmlReading, failed: Mapping[str, str]) -> dict[tuple[int, str], float | None]:
    found: dict[tuple[int, str], float | None] = {}
    for key, percent in _uses(reading, failed):
        earlier = found.get(key, 0.0)
        # one process may be there twice, in two instances
        found[key] = None if earlier is None or percent is None else max(earlier, percent)
    return found


def _uses(
    reading: NvmlReading, failed: Mapping[str, str]
) -> Iterator[tuple[tuple[int, str], float | None]]:
    for use in reading.uses:
        yield (use.pid, use.gpu_uuid), _percent(use, reading, failed)


def _percent(use: GpuUse, reading: NvmlReading, failed: Mapping[str, str]) -> float | None:
    if use.gpu_uuid in failed or use.mig_uuid is not None or use.gpu_instance is not None:
        return None
    percent = reading.activity[use.gpu_uuid].percent.get(use.pid, 0.0)
    # what an MPS server does for its clients may be written down as its own
    return None if use.type == _MPS and not percent else percent
