"""Whose is the energy of one GPU: its board is counted once, however many share it.

Who has processes on it pays for what it does, and by the policy somebody or nobody pays for what it
draws while it does nothing.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from ds01ctl.core.energy_model import UNATTRIBUTED, GpuShare, Portion
from ds01ctl.core.gpu_holding import holding
from ds01ctl.core.record import NamedTuple
from ds01ctl.core.split import largest_remainder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from ds01ctl.core.energy_model import Delta, SplitBy, SplitPolicy

    Weights = Mapping[str, float]
    Value = Callable[[GpuShare], float | None]

PREFIX = "gpu:"


class _Way(NamedTuple):
    split_by: SplitBy
    weights: Weights


_NOBODY = _Way("none", {UNATTRIBUTED: 1})


def split_gpu(
    delta: Delta, shares: Sequence[GpuShare] | None, policy: SplitPolicy
) -> tuple[Portion, ...]:
    """Share out what one GPU used; the sum is what it used, exactly.

    shares: everybody who holds it or has processes on it; None: that is not known.
    """
    if not shares:
        return _portions(delta, delta.uj, _NOBODY)
    if _is_idle(shares):
        return _of_idle(delta, delta.uj, shares, policy, is_waste=True)
    idle_uj = 0 if policy.idle == "usage" else idle_uj_of(delta, policy)
    active = _portions(delta, delta.uj - idle_uj, _of_active(shares))
    return (*active, *_of_idle(delta, idle_uj, shares, policy, is_waste=False))


def _is_idle(shares: Sequence[GpuShare]) -> bool:
    """Say whether it is known that nothing ran on it in all of the time."""
    return all(_sm(share) == 0 for share in shares)


def idle_uj_of(delta: Delta, policy: SplitPolicy) -> int:
    """Say how much of it would have been drawn without any work; 0: cannot be told apart."""
    watts = policy.idle_watts.get(delta.component, 0.0)
    return min(delta.uj, max(0, round(watts * (delta.to_s - delta.from_s) * 1e6)))


def active_weights(shares: Sequence[GpuShare]) -> Weights:
    """Weigh what each party does on a GPU, where something is done."""
    return _of_active(shares).weights


def _of_active(shares: Sequence[GpuShare]) -> _Way:
    if any(share.mig_slices > 0 for share in shares):
        return _of_instances(shares)
    users = [share for share in shares if _is_user(share)] or shares
    parties = sorted({share.party for share in users})
    if len(parties) == 1:
        return _Way("exclusive", {parties[0]: 1})
    for split_by, value in _BY_USE:
        weights = _weights(users, value)
        if weights:
            return _Way(split_by, weights)
    return _Way("equal", dict.fromkeys(parties, 1))


def _of_instances(shares: Sequence[GpuShare]) -> _Way:
    """Weigh by compute slices times activity, or by slices: NVML knows no SM use of instances.

    Where nothing is known to have run, nothing did, whatever is known of the others.
    """
    active = _weights(shares, _active_slices)
    users = [share for share in shares if _sm(share) != 0]
    return _Way("mig", active or _weights(users, _slices) or _weights(shares, _slices))


def _of_idle(
    delta: Delta, uj: int, shares: Sequence[GpuShare], policy: SplitPolicy, *, is_waste: bool
) -> tuple[Portion, ...]:
    """Charge idle energy to the holders if that is the policy, and note whose waste it is."""
    way = _Way("allocation", holding(shares))
    if policy.idle == "allocation":
        return _portions(delta, uj, way, is_waste=is_waste)
    if not is_waste:
        return _portions(delta, uj, _Way("idle", {UNATTRIBUTED: 1}))
    wasted = _portions(delta, uj, way, is_waste=True)
    return tuple(one._replace(party=UNATTRIBUTED, split_by="idle") for one in wasted)


def _portions(delta: Delta, uj: int, way: _Way, *, is_waste: bool = False) -> tuple[Portion, ...]:
    device = delta.name.removeprefix(PREFIX)
    parts = largest_remainder(uj, way.weights) or {UNATTRIBUTED: uj}
    return tuple(
        Portion(
            party,
            delta.component,
            delta.basis,
            way.split_by,
            part,
            device,
            is_waste and party != UNATTRIBUTED,
            party if is_waste and party != UNATTRIBUTED else "",
        )
        for party, part in parts.items()
        if part
    )


def _weights(shares: Iterable[GpuShare], value: Value) -> dict[str, float]:
    """Add up each party's values; nothing where one of them is not known, or all are 0."""
    found: dict[str, float] = {}
    for share in shares:
        known = value(share)
        if known is None:
            return {}
        found[share.party] = found.get(share.party, 0) + known
    return found if any(found.values()) else {}


def _is_user(share: GpuShare) -> bool:
    """Say whether it has, or may have, processes there."""
    return _sm(share) != 0 or bool(_memory(share))


def _sm(share: GpuShare) -> float | None:
    value = share.sm_percent
    return value if value is not None and isfinite(value) and value >= 0 else None


def _memory(share: GpuShare) -> int | None:
    value = share.memory_bytes
    return value if value is not None and value >= 0 else None


def _slices(share: GpuShare) -> float:
    return share.mig_slices if isfinite(share.mig_slices) else 0.0


def _active_slices(share: GpuShare) -> float | None:
    sm = _sm(share)
    return None if sm is None else sm * max(0.0, _slices(share))


_BY_USE: tuple[tuple[SplitBy, Value], ...] = (("sm-use", _sm), ("memory", _memory))
