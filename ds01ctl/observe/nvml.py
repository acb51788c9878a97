"""What NVML says of the GPUs and the processes on them: asked in a child, which may hang."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.core.model import Driver, Gap, Gpu, GpuUse
from ds01ctl.core.record import NamedTuple
from ds01ctl.observe.child import Child
from ds01ctl.observe.nvml_messages import Activity, Announced, GpuReading, Refused, unread

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ds01ctl.core.model import GapKind
    from ds01ctl.observe.child import Answer, Reporter
    from ds01ctl.paths import Paths

_EXPLAINED = {
    "LIB_RM_VERSION_MISMATCH": (
        "the NVIDIA driver was upgraded without a reboot: its library and its kernel module"
        " differ; reboot, or reload the nvidia modules"
    ),
    "DRIVER_NOT_LOADED": (
        "the NVIDIA kernel driver is not loaded; try `modprobe nvidia`, then `dmesg`"
    ),
    "NO_PERMISSION": "not permitted; are /dev/nvidiactl and /dev/nvidia* open to this user?",
}


class NvmlReading(NamedTuple):
    """The driver, the GPUs, who uses them, and what could not be read."""

    driver: Driver
    gpus: tuple[Gpu, ...]
    uses: tuple[GpuUse, ...]
    gaps: tuple[Gap, ...]
    activity: Mapping[str, Activity] = {}
    """By the uuid of a GPU: what its processes did, where start() was asked to read it."""


def start(last_seen: Mapping[str, int] | None = None) -> Child:
    """Begin to read NVML in a child process; collect() gives what it found.

    last_seen: by the uuid of a GPU the driver's time (microseconds since 1970) after which the
    activity of its processes is wanted, 0 or no entry: all that it keeps; None: none is wanted.
    """
    return Child(lambda reporter: _read_all(reporter, last_seen))


def collect(child: Child, *, deadline_s: float, paths: Paths) -> NvmlReading:
    """Give what the child read until the deadline (seconds since its start), and end it."""
    return interpret(child.collect(deadline_s), paths)


def recheck(uses: Iterable[GpuUse], *, deadline_s: float) -> tuple[GpuUse, ...]:
    """Give those of the uses that NVML, asked again, still lists; none where it cannot say.

    It tells a process that exited during the scan from one that is dead but holds its memory.
    """
    asked = tuple(uses)
    if not asked:
        return ()
    gpu_uuids = {use.gpu_uuid for use in asked}
    with Child(lambda reporter: _read_uses(reporter, gpu_uuids)) as child:
        values = child.collect(deadline_s).values
    readings = (value for value in values if isinstance(value, GpuReading))
    listed = {(use.pid, use.gpu_uuid) for reading in readings for use in reading.uses}
    return tuple(use for use in asked if (use.pid, use.gpu_uuid) in listed)


def interpret(answer: Answer, paths: Paths) -> NvmlReading:
    """Make a reading of all that a child told, and a gap of all that it did not."""
    driver, count, gaps = Driver(), 0, list[Gap]()
    readings: dict[int, GpuReading] = {}
    for value in answer.values:
        if isinstance(value, Refused):
            driver = Driver(error=value.error)
            gaps.append(_refusal(value, paths))
        elif isinstance(value, Announced):
            driver, count = value
            gaps += _without_gpus(count)
        elif isinstance(value, GpuReading):
            readings[value.gpu.index] = value
    if not answer.finished:
        gaps.append(_unfinished(answer))
        readings = {index: GpuReading(unread(index)) for index in range(count)} | readings
    in_order = [readings[index] for index in sorted(readings)]
    return NvmlReading(
        driver,
        tuple(reading.gpu for reading in in_order),
        tuple(use for reading in in_order for use in reading.uses),
        (*gaps, *(gap for reading in in_order for gap in reading.gaps)),
        {reading.gpu.uuid: reading.activity for reading in in_order if reading.activity},
    )


# the child's modules load ctypes and nvidia-ml-py; the parent must not pay for them


def _read_all(reporter: Reporter, last_seen: Mapping[str, int] | None) -> None:
    from ds01ctl.observe import nvml_read

    nvml_read.read_all(reporter, last_seen)


def _read_uses(reporter: Reporter, gpu_uuids: set[str]) -> None:
    from ds01ctl.observe import nvml_read

    nvml_read.read_uses(reporter, gpu_uuids)


def _unfinished(answer: Answer) -> Gap:
    return Gap("nvml", "failed", f"{answer.doing or 'start of the child'}: {answer.problem}")


def _without_gpus(count: int) -> list[Gap]:
    """Treat zero visible GPUs as a failed reading: a driver is loaded for something."""
    if count:
        return []
    return [Gap("nvml", "failed", "the NVIDIA driver answers, but shows no GPU")]


def _refusal(refused: Refused, paths: Paths) -> Gap:
    """Say why NVML did not start."""
    if refused.error == "LIBRARY_NOT_FOUND":
        return _no_library(paths)
    kind: GapKind = "denied" if refused.error == "NO_PERMISSION" else "failed"
    why = f"; {_EXPLAINED[refused.error]}" if refused.error in _EXPLAINED else ""
    return Gap("nvml", kind, f"{refused.function}: {refused.error}{why}")


def _no_library(paths: Paths) -> Gap:
    device = next(paths.dev.glob("nvidia*"), None)
    if device is None:
        return Gap("nvml", "absent", "no NVIDIA driver: no libnvidia-ml.so.1 and no /dev/nvidia*")
    return Gap(
        "nvml",
        "failed",
        f"libnvidia-ml.so.1 was not found, although /dev/{device.name} is there;"
        " the driver's libraries are missing or cannot be loaded",
    )
