"""Which of a user's projects energy is of; the user's is settled before, and stays as it is.

A portion is shared out again by what the user did in each project, so that the projects, with what
is of none, add up to the portion exactly.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, TypeVar

from ds01ctl.core.energy_projects import MOST, OTHERS, any_project, party_of, project_of, user_of
from ds01ctl.core.gpu_holding import holding
from ds01ctl.core.gpu_split import active_weights
from ds01ctl.core.split import largest_remainder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from ds01ctl.core.energy_model import Activity, GpuShare, Portion

    Weights = Mapping[str, float]

_LEAST = 1000
"""What is less than this part of a user's own is not told apart: readings are not of one time."""
_One = TypeVar("_One")


def by_amount(
    portions: Sequence[Portion],
    parties: Mapping[str, Activity],
    amount: Callable[[Activity], int],
) -> list[Portion]:
    """Share out energy of processors or memory; parties: what was done by project."""
    found: dict[str, dict[str, float]] = {}
    for user, items in _by_user(parties.items(), lambda item: item[0]).items():
        found[user] = {party: amount(activity) for party, activity in items}
    return [part for one in portions for part in _parted(one, found.get(_whose(one), {}))]


def by_gpu(portions: Sequence[Portion], shares: Iterable[GpuShare]) -> tuple[Portion, ...]:
    """Share out energy of one GPU; shares: who was on it by project."""
    by_user = _by_user(shares, lambda share: share.party)
    return tuple(
        part
        for one in portions
        for part in _parted(one, _gpu_weights(one, by_user.get(_whose(one), ())))
    )


def of_embodied(
    charged: Mapping[str, int], held: Mapping[str, Mapping[str, float]]
) -> dict[str, int]:
    """Share out each user's micrograms; held: by GPU the part that each project had of it."""
    items = [item for parts in held.values() for item in parts.items()]
    found: dict[str, int] = {}
    for user, theirs in _by_user(items, lambda item: item[0]).items():
        weights: dict[str, float] = defaultdict(float)
        for party, part in theirs:
            weights[party] += part
        found |= largest_remainder(charged.get(user, 0), _kept(user, weights))
    done = {user_of(party) for party in found}
    return {**{party: ug for party, ug in charged.items() if party not in done}, **found}


def _by_user(items: Iterable[_One], party: Callable[[_One], str]) -> dict[str, list[_One]]:
    """Group what is users' who work in projects; the others have nothing to share out."""
    found: dict[str, list[_One]] = defaultdict(list)
    for item in items:
        found[user_of(party(item))].append(item)
    return {user: some for user, some in found.items() if any_project(map(party, some))}


def _whose(portion: Portion) -> str:
    return portion.holder or portion.party


def _gpu_weights(portion: Portion, shares: Sequence[GpuShare]) -> Weights:
    parties = {share.party for share in shares}
    if len(parties) <= 1:
        # as most have it: all that he does there is of one
        return dict.fromkeys(parties, 1)
    if portion.split_by in {"allocation", "idle"}:
        parts = holding(shares)
        # what nobody held is none of theirs
        return {party: part for party, part in parts.items() if user_of(party) == _whose(portion)}
    return active_weights(shares)


def _parted(portion: Portion, weights: Weights) -> Iterable[Portion]:
    parts = largest_remainder(portion.uj, _kept(_whose(portion), weights)) if weights else {}
    if not parts:
        return (portion,)
    is_own = portion.party == _whose(portion)
    return [
        portion._replace(
            uj=uj,
            party=party if is_own else portion.party,
            holder=party if portion.holder else "",
        )
        for party, uj in parts.items()
        if uj
    ]


def _kept(user: str, weights: Weights) -> Weights:
    """Leave out what is too little, and put together what is too much to tell apart."""
    if len(weights) <= 1:
        return weights
    least = sum(weights.values()) / _LEAST
    largest = sorted(weights, key=lambda party: (-weights[party], party))
    projects = [party for party in largest if project_of(party)]
    apart = [party for party in projects[:MOST] if weights[party] >= least]
    others = sum(weights[party] for party in projects[MOST:])
    rest = {party_of(user, OTHERS): others, user: weights.get(user, 0)}
    enough = {party: weight for party, weight in rest.items() if weight >= least}
    return {**{party: weights[party] for party in apart}, **enough}
