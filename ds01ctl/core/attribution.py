"""Whose energy is it: every microjoule is somebody's, the host's own, or told to be nobody's.

The sum over parties, SYSTEM and UNATTRIBUTED is what was counted, exactly, for every component and
every GPU: `ds01ctl.core.split` leaves nothing over.
"""

from __future__ import annotations

from collections import defaultdict
from operator import attrgetter
from typing import TYPE_CHECKING

from ds01ctl.core.energy_model import SYSTEM, UNATTRIBUTED, Activity, Portion
from ds01ctl.core.gpu_split import PREFIX, idle_uj_of, split_gpu
from ds01ctl.core.pending import work_of
from ds01ctl.core.split import largest_remainder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ds01ctl.core.energy_model import Basis, Component, Delta, SplitBy, SplitPolicy, Work

    Amount = Callable[[Activity], int]

_BY: Mapping[Component, tuple[SplitBy, Amount]] = {
    "cpu": ("cpu-time", attrgetter("cpu_us")),
    "dram": ("memory", attrgetter("memory_bytes")),
}
_APART_S = 5.0
"""Readings of one run are less apart."""


def attribute(
    deltas: Sequence[Delta], work: Work, policy: SplitPolicy, pending: Mapping[str, Work] = {}
) -> tuple[Portion, ...]:
    """Share out what was counted by what was done meanwhile.

    pending: what was done earlier, while a counter could not be read, by its name. Portions of 0
    are left out; the rest is sorted by component and device.
    """
    portions: list[Portion] = []
    for delta in deltas:
        if delta.component == "gpu":
            done, uuid = work_of(delta, work, pending), delta.name.removeprefix(PREFIX)
            parts = split_gpu(delta, done.gpus.get(uuid), policy)
            if done.by_project:
                from ds01ctl.core.project_split import by_gpu  # most hosts have no projects

                parts = by_gpu(parts, done.by_project.gpus.get(uuid, ()))
            portions.extend(_of_time(parts, delta, work))
    for (component, basis, _), group in _groups(deltas, work, pending).items():
        done = work_of(group[0], work, pending)
        portions.extend(_of_time(_split(component, basis, group, done, policy), group[0], work))
    return tuple(sorted(portions, key=attrgetter("component", "device", "basis", "party")))


def _groups(
    deltas: Sequence[Delta], work: Work, pending: Mapping[str, Work]
) -> dict[tuple[Component, Basis, str], list[Delta]]:
    """Put together what is split in the same way: all of a component but what was bridged."""
    groups: dict[tuple[Component, Basis, str], list[Delta]] = defaultdict(list)
    for delta in deltas:
        if delta.component != "gpu":
            is_alone = delta.name in pending or _is_longer(delta, work)
            alone = delta.name if is_alone else ""
            groups[delta.component, delta.basis, alone].append(delta)
    return groups


def _is_longer(delta: Delta, work: Work) -> bool:
    """Say whether a delta is of more than the interval: its counter could not be read before."""
    return delta.to_s - delta.from_s > work.seconds + _APART_S


def _of_time(portions: Sequence[Portion], delta: Delta, work: Work) -> Sequence[Portion]:
    if not _is_longer(delta, work):
        return portions
    return [one._replace(seconds=delta.to_s - delta.from_s) for one in portions]


def _split(
    component: Component, basis: Basis, group: Sequence[Delta], work: Work, policy: SplitPolicy
) -> list[Portion]:
    uj = sum(delta.uj for delta in group)
    by = _BY.get(component)
    if by is None or work.total is None:
        return _portions({UNATTRIBUTED: uj}, component, basis, "none")
    split_by, amount = by
    # by allocation, idle energy of processors and memory goes by use: nobody is given them alone
    is_apart = policy.idle == "unattributed"
    idle_uj = sum(idle_uj_of(delta, policy) for delta in group) if is_apart else 0
    parts = largest_remainder(uj - idle_uj, _weights(work.parties, work.total, amount))
    if not parts:
        return _portions({UNATTRIBUTED: uj}, component, basis, "none")
    shared = _portions(parts, component, basis, split_by)
    if work.by_project:
        from ds01ctl.core.project_split import by_amount

        shared = by_amount(shared, work.by_project.parties, amount)
    return [*shared, *_portions({UNATTRIBUTED: idle_uj}, component, basis, "idle")]


def _weights(
    parties: Mapping[str, Activity], total: Activity, amount: Amount
) -> dict[str, int | float]:
    """Say what each party did; the host itself did what is left of all."""
    weights: dict[str, int | float] = {
        party: max(0, amount(activity)) for party, activity in parties.items()
    }
    rest = amount(total) - sum(weights.values())
    weights[SYSTEM] = max(0, rest) + weights.get(SYSTEM, 0)
    return weights


def _portions(
    parts: Mapping[str, int], component: Component, basis: Basis, split_by: SplitBy
) -> list[Portion]:
    return [Portion(party, component, basis, split_by, uj) for party, uj in parts.items() if uj]
