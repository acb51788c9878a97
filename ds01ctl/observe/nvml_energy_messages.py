"""What the NVML child tells the parent of energy, and of who worked for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.core.record import NamedTuple

if TYPE_CHECKING:
    from ds01ctl.observe.boottime import Instant


class GpuPower(NamedTuple):
    """One GPU's counter and power; None: not told."""

    uuid: str
    at: Instant
    """When its counter was read; without one, its power."""
    energy_mj: int | None
    """Since its driver was loaded."""
    power_mw: int | None
    limit_mw: int | None
    persistence: bool | None
    has_counter: bool
    """False: this card has none. It is one from before Volta, or a part of a card."""
    problem: str = ""
    """Why a counter that is there could not be read."""
