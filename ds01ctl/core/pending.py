"""What was done while a counter could not be read, so that its bridged energy is split by it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ds01ctl.core.energy_model import Activity, GpuShare, Work
from ds01ctl.core.gpu_holding import holders, holding

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ds01ctl.core.energy_model import Counter, Delta

_LONGEST = 10_000
"""Runs, of a week: a counter that is away for longer is taken for gone."""
_AFRESH = frozenset({"first", "reset"})
"""Reasons of deltas that are not of the time before."""


def remember(
    pending: Mapping[str, Work], last: Mapping[str, Counter], work: Work
) -> dict[str, Work]:
    """Add an interval's work for each counter that was not read in it; the others' is done with.

    last: what `ds01ctl.core.energy_counters.deltas` gave to keep.
    """
    return {
        name: joined(pending.get(name), _part(counter, work))
        for name, counter in last.items()
        if 0 < counter.missed <= _LONGEST
    }


def work_of(delta: Delta, work: Work, pending: Mapping[str, Work]) -> Work:
    """Say what was done in the time of a delta."""
    earlier = pending.get(delta.name)
    return work if earlier is None or delta.reason in _AFRESH else joined(earlier, work)


def joined(earlier: Work | None, later: Work) -> Work:
    """Put two intervals' work together; where one is not known, the other stands for both."""
    if earlier is None:
        return later
    if earlier.by_project or later.by_project:
        one, two = (work._replace(by_project=None) for work in (earlier, later))
        fine = joined(earlier.by_project or one, later.by_project or two)
        return joined(one, two)._replace(by_project=fine)
    gpus = {uuid: _joined_shares(earlier, later, uuid) for uuid in {*earlier.gpus, *later.gpus}}
    seconds = earlier.seconds + later.seconds
    if earlier.total is None or later.total is None:
        known = later if earlier.total is None else earlier
        return Work(seconds, known.parties, known.total, gpus)
    lengths = (earlier.seconds, later.seconds)
    parties = {
        party: _joined_activity(
            earlier.parties.get(party, _NOTHING), later.parties.get(party, _NOTHING), lengths
        )
        for party in {*earlier.parties, *later.parties}
    }
    total = _joined_activity(earlier.total, later.total, lengths)
    return Work(seconds, parties, total, gpus)


def dump(pending: Mapping[str, Work]) -> str:
    """Write it as JSON for the store."""
    return json.dumps({name: _to_json(work) for name, work in sorted(pending.items())})


def load(text: str) -> dict[str, Work]:
    """Read what `dump` wrote. Raises ValueError when it is something else."""
    try:
        data = json.loads(text)
        return {str(name): _from_json(*row) for name, row in data.items()}
    except (TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not what was written: {error}") from None


_NOTHING = Activity()
_Lengths = tuple[float, float]


def _part(counter: Counter, work: Work) -> Work:
    fine = _part(counter, work.by_project) if work.by_project else None
    if counter.component != "gpu":
        return work._replace(gpus={}, by_project=fine)
    uuid = counter.name.partition(":")[2]
    known = {uuid: work.gpus[uuid]} if uuid in work.gpus else {}
    return Work(work.seconds, gpus=known, by_project=fine)


def _joined_activity(earlier: Activity, later: Activity, lengths: _Lengths) -> Activity:
    memory = _mean(earlier.memory_bytes, later.memory_bytes, lengths)
    return Activity(earlier.cpu_us + later.cpu_us, round(memory))


def _joined_shares(earlier: Work, later: Work, uuid: str) -> tuple[GpuShare, ...]:
    if uuid not in earlier.gpus or uuid not in later.gpus:
        return earlier.gpus.get(uuid) or later.gpus.get(uuid) or ()
    before, after = (_by_party(_resolved(work.gpus[uuid])) for work in (earlier, later))
    lengths = (earlier.seconds, later.seconds)
    return tuple(
        _joined_share(before.get(p, _away(p)), after.get(p, _away(p)), lengths)
        for p in sorted({*before, *after})
    )


def _joined_share(one: GpuShare, two: GpuShare, lengths: _Lengths) -> GpuShare:
    memory = _mean_if_known(one.memory_bytes, two.memory_bytes, lengths)
    # slices are brought to all of the time by themselves
    slices = one.mig_slices * lengths[0], two.mig_slices * lengths[1]
    return GpuShare(
        one.party,
        _mean_if_known(one.sm_percent, two.sm_percent, lengths),
        None if memory is None else round(memory),
        _mean(one.mig_slices, two.mig_slices, lengths),
        one.is_holder or two.is_holder,
        _mean(one.held, two.held, slices if any(slices) else lengths),
    )


def _resolved(shares: tuple[GpuShare, ...]) -> tuple[GpuShare, ...]:
    """Say of one interval alone who held the GPU, so that another one does not decide it."""
    if any(share.mig_slices > 0 for share in shares):
        return shares
    keepers = {share.party for share in holders(shares)}
    parts = holding(shares)
    return tuple(
        share._replace(is_holder=share.party in keepers, held=parts[share.party])
        if share.party in keepers
        else share._replace(held=0.0)
        for share in shares
    )


def _by_party(shares: tuple[GpuShare, ...]) -> dict[str, GpuShare]:
    """Make one share of all that a party has in a GPU."""
    found: dict[str, GpuShare] = {}
    for share in shares:
        known = found.get(share.party)
        found[share.party] = share if known is None else _summed(known, share)
    return found


def _summed(one: GpuShare, two: GpuShare) -> GpuShare:
    is_known = one.memory_bytes is not None and two.memory_bytes is not None
    slices = one.mig_slices + two.mig_slices
    return GpuShare(
        one.party,
        _summed_sm(one, two),
        (one.memory_bytes or 0) + (two.memory_bytes or 0) if is_known else None,
        slices,
        one.is_holder or two.is_holder,
        _mean(one.held, two.held, (one.mig_slices, two.mig_slices)),
    )


def _summed_sm(one: GpuShare, two: GpuShare) -> float | None:
    """Add SM use; of instances take the mean by slices, so that slices times use stay the same."""
    if one.sm_percent is None or two.sm_percent is None:
        return None
    if one.mig_slices > 0 and two.mig_slices > 0:
        return _mean(one.sm_percent, two.sm_percent, (one.mig_slices, two.mig_slices))
    return one.sm_percent + two.sm_percent


def _away(party: str) -> GpuShare:
    return GpuShare(party, 0.0, 0, held=0.0)


def _mean(one: float, two: float, lengths: _Lengths) -> float:
    all_of_it = sum(lengths)
    return (one * lengths[0] + two * lengths[1]) / all_of_it if all_of_it > 0 else two


def _mean_if_known(one: float | None, two: float | None, lengths: _Lengths) -> float | None:
    return None if one is None or two is None else _mean(one, two, lengths)


def _to_json(work: Work) -> list[Any]:
    fine = [_to_json(work.by_project)] if work.by_project else []
    return [work.seconds, work.parties, work.total, work.gpus, *fine]


def _from_json(seconds: float, parties: Any, total: Any, gpus: Any, fine: Any = None) -> Work:
    return Work(
        float(seconds),
        {party: Activity(*map(int, row)) for party, row in parties.items()},
        None if total is None else Activity(*map(int, total)),
        {uuid: tuple(GpuShare(*row) for row in rows) for uuid, rows in gpus.items()},
        _from_json(*fine) if fine else None,
    )
