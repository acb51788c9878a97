"""What `carbon` keeps of energy: hours of parties and GPUs, factors, and totals.

Energy is in microjoules, carbon in micrograms, hours since 1970 in UTC: all whole numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.core.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Hour(NamedTuple):
    """What one party used in one hour."""

    cpu_uj: int = 0
    dram_uj: int = 0
    gpu_uj: int = 0
    other_uj: int = 0
    modelled_uj: int = 0
    """Of the four."""
    waste_uj: int = 0
    """Of GPUs that it held, idle: by the policy another party may be charged for it."""
    carbon_ug: int = 0
    """Operational."""
    embodied_ug: int = 0

    @property
    def uj(self) -> int:
        """Add up the components."""
        return self.cpu_uj + self.dram_uj + self.gpu_uj + self.other_uj


class GpuHour(NamedTuple):
    """What one party used of one GPU in one hour."""

    uj: int = 0
    waste_uj: int = 0
    modelled_uj: int = 0
    """Of ``uj``."""


class Used(NamedTuple):
    """What was used in several hours."""

    hours: int
    """In which anything was used."""
    hour: Hour
    """All of it."""
    with_pue_uj: int
    """The energy times the PUE of each hour: what the whole house drew for it."""


class Factor(NamedTuple):
    """By what the energy of an hour became carbon, and how it was shared out."""

    zone: str
    g_per_kwh: float
    source: str
    year_or_at: str
    """A year, the time of a provider's figure, or empty for a configured one."""
    pue: float
    idle: str
    modelled: str = ""
    """What was modelled, for people; empty: nothing."""


class Totals(NamedTuple):
    """Everything that was ever counted: what the counters of the metrics show."""

    energy: Mapping[tuple[str, str, str], int] = {}
    """Microjoules by party, component and basis."""
    node: Mapping[tuple[str, str], int] = {}
    """Microjoules by component and basis."""
    gpus: Mapping[tuple[str, str], int] = {}
    """Microjoules by party and GPU."""
    carbon: Mapping[tuple[str, str], int] = {}
    """Micrograms by party and scope."""
    counts: Mapping[str, int] = {}
    """Intervals by mark: ``modelled``, ``skipped:REASON``."""
