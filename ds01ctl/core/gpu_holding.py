"""Who keeps a GPU from others, and for which part of an interval: they pay for what idles."""

from __future__ import annotations

from math import fsum, isfinite
from typing import TYPE_CHECKING

from ds01ctl.core.energy_model import UNATTRIBUTED

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ds01ctl.core.energy_model import GpuShare

_ROUNDING = 1e-9
"""Thirds of an interval do not add up to the last bit."""


def holding(shares: Sequence[GpuShare]) -> dict[str, float]:
    """Say which part of a GPU each party keeps; what nobody keeps is UNATTRIBUTED's.

    shares: everybody in one GPU. Parts add up to 1, and of a GPU with MIG to its slices.
    """
    if any(share.mig_slices > 0 for share in shares):
        return _of_instances(shares)
    parts: dict[str, float] = {}
    for share in holders(shares):
        parts[share.party] = max(parts.get(share.party, 0.0), held(share))
    whole = fsum(parts.values())
    if whole > 1:
        return {party: part / whole for party, part in parts.items()}
    return _with_rest(parts, 1 - whole)


def holders(shares: Sequence[GpuShare]) -> Sequence[GpuShare]:
    """Give those who were given it; where it was given to nobody, who is on it keeps it."""
    return [share for share in shares if share.is_holder] or shares


def held(share: GpuShare) -> float:
    """Give the part of the time, 0 to 1."""
    return min(1.0, max(0.0, share.held)) if isfinite(share.held) else 1.0


def _of_instances(shares: Iterable[GpuShare]) -> dict[str, float]:
    """Weigh by slices, whoever is in them: an instance that is given to one is no other's."""
    parts: dict[str, float] = {}
    rest = []
    for share in shares:
        slices = max(0.0, share.mig_slices) if isfinite(share.mig_slices) else 0.0
        parts[share.party] = parts.get(share.party, 0.0) + slices * held(share)
        rest.append(slices * (1 - held(share)))
    return _with_rest(parts, fsum(rest))


def _with_rest(parts: dict[str, float], rest: float) -> dict[str, float]:
    if rest > _ROUNDING:
        parts[UNATTRIBUTED] = parts.get(UNATTRIBUTED, 0.0) + rest
    return parts
