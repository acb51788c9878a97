"""The values of `carbon`: raw counters, what they amount to, and whose energy it is.

Energy is an integer number of microjoules (uJ) everywhere inside; times of readings are seconds of
CLOCK_BOOTTIME, which is never stepped and goes on while the machine is suspended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ds01ctl.core.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

Component = Literal["cpu", "dram", "gpu", "other"]
COMPONENTS: tuple[Component, ...] = ("cpu", "dram", "gpu", "other")
IdlePolicy = Literal["usage", "allocation", "unattributed"]
"""usage: by what is active; allocation: a GPU's to who holds it; unattributed: nobody's."""
Basis = Literal["measured", "modelled"]
"""modelled: estimated, because the hardware has no counter, or the counter does not decide."""
SplitBy = Literal[
    "exclusive", "sm-use", "memory", "equal", "mig", "cpu-time", "idle", "allocation", "none"
]
SYSTEM = "_system"
"""The host's own services and the kernel."""
UNATTRIBUTED = "_unattributed"
"""Measured, and nobody's by what is known."""
OWN = "_ds01"
"""What ds01ctl itself used, where it is measured."""


class Counter(NamedTuple):
    """One reading of one energy counter; its identity is ``name`` within ``epoch``."""

    name: str
    """``rapl:package-0``, ``rapl:dram-0``, ``gpu:GPU-…``: never an index of a folder."""
    component: Component
    epoch: str
    """The counter starts anew with it: boot id; of a GPU ``boot id/start of the driver``."""
    at_s: float
    """CLOCK_BOOTTIME when it was read."""
    uj: int | None
    """None: it is there, and could not be read this time."""
    range_uj: int | None = None
    """It goes from range_uj to 0; None: it never wraps in practice (NVML, 64 bits)."""
    max_watts: float = 0.0
    """The most this can draw, for plausibility: its power limit; 0: not known."""
    power_watts: float | None = None
    """Drawn now, where there is no counter (``uj`` is None for good)."""
    has_counter: bool = True
    """False: only power is known, and is integrated."""
    awake_s: float | None = None
    """CLOCK_MONOTONIC when it was read, which stands still in suspend; None: take ``at_s``."""
    mean_watts: float | None = None
    """Kept by us: its mean power when it was measured last."""
    missed: int = 0
    """Kept by us: runs since, in which it could not be read."""
    inside_uj: int = 0
    """Kept by us, for psys: energy of the packages and memory within it that was counted since."""


class Counted(NamedTuple):
    """What a run found out from the counters."""

    deltas: tuple[Delta, ...]
    last: Mapping[str, Counter]
    """To be kept for the next run, also of what could not be read now."""
    skipped: Mapping[str, int]
    """Readings that do not decide what was used, by reason."""


class Delta(NamedTuple):
    """What a counter counted since it was read last."""

    name: str
    component: Component
    uj: int
    from_s: float
    to_s: float
    basis: Basis
    reason: str
    """measured, wrap, reset, bridged, several-wraps, unknown-range, power, power-gap, first,
    implausible, model."""


class Activity(NamedTuple):
    """What one party did in an interval, brought to its length."""

    cpu_us: int = 0
    memory_bytes: int = 0
    """Mean of the readings at both ends."""


class GpuShare(NamedTuple):
    """One party's part in one GPU in an interval."""

    party: str
    sm_percent: float | None = None
    """Mean SM use of its processes over the interval; 0: none, or no process; None: not known."""
    memory_bytes: int | None = None
    """Mean over the interval; None: not known."""
    mig_slices: float = 0.0
    """Compute slices of the instances it holds; 0: no MIG. Free ones are UNATTRIBUTED's, SM 0."""
    is_holder: bool = False
    """It was given the GPU, whether it uses it or not."""
    held: float = 1.0
    """Part of the interval in which it held it, 0 to 1; of two that held it at once each has half
    of that time. What is left of 1 was nobody's time. With MIG, slices count their time already."""


class Work(NamedTuple):
    """What everybody did in one interval."""

    seconds: float
    parties: Mapping[str, Activity] = {}
    """Without SYSTEM, which is what is left of the total."""
    total: Activity | None = None
    """Of the whole host; None: not known what was done, so that nobody is charged."""
    gpus: Mapping[str, tuple[GpuShare, ...]] = {}
    """By UUID; one that is absent: not known who was on it; empty: nobody."""
    by_project: Work | None = None
    """The same, by users' projects; None: nobody did anything in one."""


class SplitPolicy(NamedTuple):
    """How energy is to be shared out."""

    idle: IdlePolicy = "usage"
    idle_watts: Mapping[Component, float] = {}
    """Idle power of one package, one memory zone, one GPU; absent: cannot be told apart."""
    dram_model_watts: float = 0.0
    """Of all memory, where no counter counts it; 0: it is left out."""


class Portion(NamedTuple):
    """Energy of one party, by component and how it was found out."""

    party: str
    """A user, a user's project (`ds01ctl.core.energy_projects`), or nobody."""
    component: Component
    basis: Basis
    split_by: SplitBy
    uj: int
    device: str = ""
    """The GPU's UUID; empty for the rest."""
    is_waste: bool = False
    """Of a GPU that was allocated and idle."""
    holder: str = ""
    """Who held it, where it is waste: under most policies another one than the party."""
    seconds: float = 0.0
    """The time up to the interval's end that it is of, where that is longer; 0: the interval's."""


class Interval(NamedTuple):
    """All of one run: what was counted, and whose it is. The sums are equal, exactly."""

    from_s: float
    to_s: float
    deltas: tuple[Delta, ...]
    portions: tuple[Portion, ...]
    skipped: Mapping[str, int] = {}
    """Intervals that could not be decided, by reason."""
