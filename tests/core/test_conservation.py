"""10,000 random worlds: what parties are charged is what was counted, to the microjoule."""

from __future__ import annotations

import math
from collections import Counter as Tally

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ds01ctl.core.energy_interval import Accounted, account
from ds01ctl.core.energy_model import (
    COMPONENTS,
    SYSTEM,
    UNATTRIBUTED,
    Counter,
    Work,
)
from ds01ctl.core.pending import dump, load
from ds01ctl.core.split import largest_remainder
from tests.core.energy_worlds import World

WORLDS = 10_000
# the same worlds in every run: a test must not depend on chance
REPEATABLE = settings(
    max_examples=WORLDS,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def check(one: Accounted, allowed: set[str]) -> None:
    """Compare what was charged with what was counted, for each component, basis and GPU."""
    counted: Tally[tuple[str, str, str]] = Tally()
    charged: Tally[tuple[str, str, str]] = Tally()
    for delta in one.interval.deltas:
        assert isinstance(delta.uj, int)
        assert delta.uj >= 0
        assert delta.component in COMPONENTS
        device = delta.name[4:] if delta.component == "gpu" else ""
        counted[delta.component, device, delta.basis] += delta.uj
    for portion in one.interval.portions:
        assert isinstance(portion.uj, int)
        assert portion.uj > 0
        assert portion.party in allowed
        assert portion.is_waste == bool(portion.holder)
        charged[portion.component, portion.device, portion.basis] += portion.uj
    assert +counted == charged


def live(world: World) -> list[Accounted]:
    """Live through some runs of a world; what was kept goes through the store's form."""
    last: dict[str, Counter] = {}
    pending: dict[str, Work] = {}
    found = []
    for _ in range(world.dice.choice((2, 2, 3))):
        seconds = world.pass_time()
        one = account(
            last, world.counters(), world.work(seconds), world.policy, pending, at_s=world.at_s
        )
        last, pending = dict(one.last), load(dump(one.pending))
        found.append(one)
    return found


@REPEATABLE
@given(st.integers(0, 2**64))
def test_every_microjoule_is_somebodys(seed: int) -> None:
    """Nothing is lost, added, negative or no number, however odd the world is."""
    world = World(seed)
    allowed = {*world.users, SYSTEM, UNATTRIBUTED}
    for one in live(world):
        check(one, allowed)


@settings(REPEATABLE, max_examples=200)
@given(st.integers(0, 2**64))
def test_the_same_world_is_split_the_same_way(seed: int) -> None:
    """Neither the order of what is read, nor that of a hash, decides about a remainder."""
    once, again = live(World(seed)), live(World(seed))
    assert [one.interval for one in once] == [one.interval for one in again]
    names = World(seed).users
    weights = {name: World(seed + i).dice.choice((0, 1, 2.5)) for i, name in enumerate(names)}
    turned = dict(reversed(weights.items()))
    assert largest_remainder(seed, weights) == largest_remainder(seed, turned)


@settings(REPEATABLE, max_examples=300)
@given(
    st.integers(0, 2**62),
    st.dictionaries(st.text(max_size=2), st.integers(0, 2**50) | st.floats(0, 1e300), max_size=6),
)
def test_parts_add_up_and_are_fair(total: int, weights: dict[str, float]) -> None:
    """No part is a whole unit away from its exact share."""
    parts = largest_remainder(total, weights)
    assert sum(parts.values()) == (total if parts else 0)
    assert bool(parts) == any(weights.values())
    largest = max(weights.values(), default=0) or 1
    exact_sum = math.fsum(w / largest for w in weights.values())
    for name, part in parts.items():
        exact = total * (weights[name] / largest / exact_sum)
        assert abs(part - exact) <= 1 + total * 1e-14
