"""Carbon of making the machine, spread over its life and charged by the hours it is allocated.

grams an hour = kg x 1000 / lifetime in hours
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ds01ctl.core.energy_model import UNATTRIBUTED
from ds01ctl.core.record import NamedTuple
from ds01ctl.core.split import largest_remainder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_UG_PER_KG = 1_000_000_000
_S_PER_H = 3600


class Embodied(NamedTuple):
    """What the policy says of the making of the machine."""

    server_kg: float = 0.0
    """Without its GPUs."""
    gpu_kg: float = 0.0
    """Of each."""
    lifetime_h: float = 0.0

    @property
    def is_counted(self) -> bool:
        """Tell whether there is anything to charge."""
        return self.lifetime_h > 0 and (self.server_kg > 0 or self.gpu_kg > 0)


def embodied_of(value: Callable[[str], Any]) -> Embodied:
    """Gather what the policy says, from its look-up of host settings (``Policy.value``)."""
    names = ("server_kg", "gpu_kg", "lifetime_h")
    return Embodied(*(float(value(f"carbon.embodied.{name}") or 0) for name in names))


def ug_of(kg: float, lifetime_h: float, seconds: float) -> int:
    """Give the micrograms of an interval; nothing without a lifetime. Raises ValueError.

    ValueError: the interval is negative.
    """
    if seconds < 0:
        raise ValueError(f"an interval of {seconds:g} s")
    return round(kg * _UG_PER_KG * seconds / (lifetime_h * _S_PER_H)) if lifetime_h > 0 else 0


def charge(
    embodied: Embodied, seconds: float, holders: Mapping[str, Mapping[str, float]]
) -> dict[str, int]:
    """Charge the micrograms of an interval to who held the GPUs, by part of each GPU.

    ``holders``: by GPU the part that each party had allocated, 0 to 1; what nobody had is
    UNATTRIBUTED's. The server goes with its GPUs, in equal parts; without GPUs it is
    UNATTRIBUTED's. The parts add up exactly.
    """
    if not embodied.is_counted:
        return {}
    gpu_ug = ug_of(embodied.gpu_kg, embodied.lifetime_h, seconds)
    server_ug = ug_of(embodied.server_kg, embodied.lifetime_h, seconds)
    charged: dict[str, int] = {}
    shares = largest_remainder(server_ug, dict.fromkeys(holders, 1))
    for gpu, parts in holders.items():
        _add(charged, largest_remainder(gpu_ug + shares.get(gpu, 0), _whole(parts)))
    if not holders:
        _add(charged, {UNATTRIBUTED: server_ug})
    return {party: ug for party, ug in sorted(charged.items()) if ug}


def _whole(parts: Mapping[str, float]) -> dict[str, float]:
    """Add what nobody had, so that the parts are of the whole GPU."""
    held = {party: part for party, part in parts.items() if part > 0}
    free = 1 - sum(held.values())
    if free > 0:
        held[UNATTRIBUTED] = held.get(UNATTRIBUTED, 0.0) + free
    return held


def _add(charged: dict[str, int], more: Mapping[str, int]) -> None:
    for party, ug in more.items():
        charged[party] = charged.get(party, 0) + ug
