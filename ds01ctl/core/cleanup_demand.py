"""How many of the GPUs are really given out: distinct units, over those that can be used."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.core.allocation import allocated_gpus
from ds01ctl.core.gpu_access import GpuAccess, units

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ds01ctl.core.model import Gpu, Snapshot
    from ds01ctl.core.policy import Policy, Setting
    from ds01ctl.core.workload import Workload

# sevenths of a GPU do not add up to the last bit
_ROUNDING = 1e-9
_SPARED = frozenset({"infrastructure", "system"})


class Demand(NamedTuple):
    """GPUs given out, in GPU equivalents."""

    used: float
    usable: float

    def __str__(self) -> str:
        """Say it."""
        return f"{self.used:.3g} of {self.usable:.3g} GPU equivalents are given out"


def demand(snapshot: Snapshot, workloads: Iterable[Workload]) -> Demand | None:
    """Count what live containers were given, and what anybody uses; None where that is unknown.

    What cannot be told of one container is not counted: demand is at least this.
    """
    if snapshot.lacks("nvml") or snapshot.lacks("docker"):
        return None
    usable = [gpu for gpu in snapshot.gpus if _is_usable(gpu)]
    most = units(_held(_names(usable)), snapshot.gpus)
    taken = frozenset().union(*(_taken(one, snapshot) for one in workloads)) & _names(usable)
    used = units(_held(taken), snapshot.gpus)
    return Demand(used, most) if most and used is not None else None


def _is_usable(gpu: Gpu) -> bool:
    """Tell a GPU on which a program can start: MIG without instances is none."""
    return gpu.health == "ok" and bool(gpu.mig_devices or not gpu.mig_mode)


def _names(gpus: Iterable[Gpu]) -> frozenset[str]:
    return frozenset(name for gpu in gpus for name in _parts(gpu))


def _parts(gpu: Gpu) -> Iterator[str]:
    if gpu.mig_devices:
        yield from (device.uuid for device in gpu.mig_devices)
    else:
        yield gpu.uuid


def _held(uuids: frozenset[str]) -> GpuAccess:
    return GpuAccess(("held",), uuids, ())


def _taken(workload: Workload, snapshot: Snapshot) -> frozenset[str]:
    if workload.verdict in _SPARED:
        return frozenset()
    used = frozenset(use.mig_uuid or use.gpu_uuid for use in workload.uses)
    container = workload.container
    if container is None or not container.is_live:
        return used
    given = allocated_gpus(workload, snapshot)
    return used | (given[0] if given else frozenset())


def reduction(
    policy: Policy, login: str, now: Demand | None
) -> tuple[float, tuple[Setting, Setting]] | None:
    """Give the factor on the idle timeout while demand is high, and the settings that say so."""
    threshold = policy.limit(login, "policies.high_demand_threshold")
    factor = policy.limit(login, "policies.high_demand_idle_reduction")
    if now is None or threshold.value is None or factor.value is None:
        return None
    if now.used / now.usable < float(threshold.value) - _ROUNDING:
        return None
    return float(factor.value), (threshold, factor)
