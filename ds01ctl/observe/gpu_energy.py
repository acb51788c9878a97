"""What the GPUs used, and who used them: one child reads it, as any call of NVML may hang.

A GPU's counter goes on while its driver is loaded. So it belongs to a boot and to a load of the
module, which the inode of /sys/module/nvidia tells: sysfs never gives one twice in a boot, while
its times, and those of /proc, are only those at which somebody looked first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.core.energy_model import Counter
from ds01ctl.core.gpu_shares import GpuRecord
from ds01ctl.core.model import Gap
from ds01ctl.core.record import NamedTuple
from ds01ctl.observe import boottime, nvml
from ds01ctl.observe.child import Child
from ds01ctl.observe.nvml_energy_messages import GpuPower
from ds01ctl.observe.own_place import boot_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ds01ctl.core.model import GapKind
    from ds01ctl.observe.boottime import Clock
    from ds01ctl.observe.child import Reporter
    from ds01ctl.observe.nvml import NvmlReading
    from ds01ctl.paths import Paths

_MODULE = "/sys/module/nvidia"


class GpuEnergyReading(NamedTuple):
    """The GPUs' counters, what is on them, and what their processes did."""

    counters: tuple[Counter, ...]
    nvml: NvmlReading
    """As for everybody else; its gaps are in ours."""
    records: Mapping[str, GpuRecord]
    """By UUID: the driver's record of what processes did; none for a GPU that was not reached."""
    without_persistence: tuple[str, ...]
    """GPUs whose driver lets go of them when nobody uses them: their counters may begin anew."""
    gaps: tuple[Gap, ...]


def start(last_seen: Mapping[str, int], *, clock: Clock = boottime.now) -> Child:
    """Begin to read in a child process; collect() gives what it found.

    last_seen: by UUID the driver's time (microseconds since 1970) up to which its record is known.
    """
    return Child(lambda reporter: _read_all(reporter, last_seen, clock))


def collect(child: Child, *, deadline_s: float, paths: Paths) -> GpuEnergyReading:
    """Give what the child read until the deadline (seconds since its start), and end it.

    Raises Ds01Error only where there is no /proc.
    """
    answer = child.collect(deadline_s)
    said = nvml.interpret(answer, paths)
    powers = [one for one in answer.values if isinstance(one, GpuPower)]
    records = {one.uuid: one for one in answer.values if isinstance(one, GpuRecord)}
    epoch = _epoch(paths)
    gaps = tuple(_gap(one) for one in powers if one.problem)
    return GpuEnergyReading(
        tuple(_counter(one, epoch) for one in powers),
        said,
        records,
        tuple(one.uuid for one in powers if one.persistence is False),
        (*said.gaps, *gaps),
    )


def _gap(one: GpuPower) -> Gap:
    kind: GapKind = "denied" if one.problem.endswith("NO_PERMISSION") else "failed"
    if kind == "failed" and not one.has_counter:
        # nothing is wrong with it
        kind = "absent"
    return Gap("nvml", kind, f"energy of {one.uuid}: {one.problem}")


def _epoch(paths: Paths) -> str:
    boot = boot_id(paths)
    try:
        return f"{boot}/{paths.under(_MODULE).stat().st_ino}"
    except OSError:
        # built in, or not to be seen from here: the counter tells a reload by going down
        return boot


def _counter(one: GpuPower, epoch: str) -> Counter:
    return Counter(
        f"gpu:{one.uuid}",
        "gpu",
        epoch,
        one.at.at_s,
        None if one.energy_mj is None else one.energy_mj * 1000,
        max_watts=(one.limit_mw or 0) / 1000,
        power_watts=None if one.power_mw is None else one.power_mw / 1000,
        has_counter=one.has_counter,
        awake_s=one.at.awake_s,
    )


# the child's modules load ctypes and nvidia-ml-py; the parent must not pay for them


def _read_all(reporter: Reporter, last_seen: Mapping[str, int], clock: Clock) -> None:
    from ds01ctl.observe import nvml_energy

    nvml_energy.read_all(reporter, last_seen, clock)
