"""10,000 random worlds: what parties are charged is what was counted, to the microjoule."""

from __future__ import annotations

import math
import random
from collections import Counter as Tally

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ds01ctl.core.energy_interval import Accounted, account
from ds01ctl.core.energy_model import (
    COMPONENTS,
    SYSTEM,
    UNATTRIBUTED,
    Activity,
    Component,
    Counter,
    GpuShare,
    SplitPolicy,
    Work,
)
from ds01ctl.core.pending import dump, load
from ds01ctl.core.split import largest_remainder

WORLDS = 10_000
RANGES = (65_532_610_987, 262_143_328_850, None)
# the same worlds in every run: a test must not depend on chance
REPEATABLE = settings(
    max_examples=WORLDS,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


class World:
    """A host whose clocks, counters, people and faults are all a matter of dice."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.users = self._users()
        self.gpus = self.dice.choice((0, 1, 2, 8))
        self.zones = self._zones()
        self.boot, self.at_s = 0, 1000.0
        self.raw = {name: self.dice.randrange(10**10) for name, _, _ in self.zones}
        self.policy = SplitPolicy(
            self.dice.choice(("usage", "allocation", "unattributed")),
            self.dice.choice(({}, {"cpu": 40.0, "dram": 3.0, "gpu": 55.5}, {"gpu": 1e9})),
            self.dice.choice((0.0, 37.25)),
        )

    def _users(self) -> list[str]:
        count = self.dice.choices((0, 1, 3, 12, 300), (4, 6, 12, 8, 1))[0]
        return [f"u{i}" for i in range(count)]

    def _zones(self) -> list[tuple[str, Component, int | None]]:
        found: list[tuple[str, Component, int | None]] = []
        for i in range(self.dice.choice((0, 1, 2))):
            found.append((f"rapl:package-{i}", "cpu", self.dice.choice(RANGES)))
            if self.dice.random() < 0.6:
                found.append((f"rapl:dram-{i}", "dram", self.dice.choice(RANGES)))
        if self.dice.random() < 0.3:
            found.append(("rapl:psys", "other", self.dice.choice(RANGES)))
        return found + [(f"gpu:G{i}", "gpu", None) for i in range(self.gpus)]

    def pass_time(self) -> float:
        """Go on by some seconds, rarely with a boot in between."""
        seconds = self.dice.choice((0.0, 0.5, 10.0, 60.0, 61.3, 900.0, 90_000.0))
        self.at_s += seconds
        if self.dice.random() < 0.05:
            self.boot, self.at_s = self.boot + 1, self.dice.uniform(1, 600)
            self.raw = dict.fromkeys(self.raw, 0)
        for name, component, wraps in self.zones:
            most = {"cpu": 300, "dram": 50, "gpu": 400, "other": 900}[component]
            self.raw[name] += round(self.dice.random() * most * seconds * 1e6)
            if wraps:
                self.raw[name] %= wraps
        return seconds

    def counters(self) -> list[Counter]:
        found = [self._counter(*zone) for zone in self.zones if self.dice.random() > 0.03]
        return found + found[:1] if self.dice.random() < 0.05 else found

    def _counter(self, name: str, component: Component, wraps: int | None) -> Counter:
        uj: int | None = self.raw[name]
        fault = self.dice.random()
        if fault < 0.05:
            uj = None
        elif fault < 0.08:
            uj = self.dice.choice((-1, 0, 10**18, self.dice.randrange(10**12)))
        watts = self.dice.choice((0.0, 5.5, 250.0, None, math.nan, -4.0, 1e12))
        limit = self.dice.choice((0.0, 400.0, math.nan, -1.0))
        has_counter = component != "gpu" or self.dice.random() < 0.9
        return Counter(
            name, component, f"b{self.boot}", self.at_s, uj, wraps, limit, watts, has_counter
        )

    def work(self, seconds: float) -> Work:
        """What was done: by people who come and go between two calls, with containers or not."""
        people = {user: self._activity() for user in self.users if self.dice.random() < 0.7}
        everything = sum(one.cpu_us for one in people.values())
        total = Activity(round(everything * self.dice.uniform(0, 3)), self.dice.randrange(10**12))
        is_known = self.dice.random() > 0.05
        gpus = {f"G{i}": self._shares() for i in range(self.gpus) if self.dice.random() < 0.9}
        return Work(seconds, people, total if is_known else None, gpus)

    def _activity(self) -> Activity:
        return Activity(
            self.dice.choice((0, 1, self.dice.randrange(10**9))),
            self.dice.choice((0, self.dice.randrange(10**11))),
        )

    def _shares(self) -> tuple[GpuShare, ...]:
        parties = [*self.users[:40], UNATTRIBUTED, SYSTEM]
        is_mig = self.dice.random() < 0.2
        is_still = self.dice.random() < 0.3
        return tuple(
            GpuShare(
                self.dice.choice(parties),
                0.0 if is_still else self.dice.choice((None, 0.0, 3.7, 100.0, math.nan, -2.0)),
                self.dice.choice((None, 0, self.dice.randrange(8 * 10**10))),
                float(self.dice.choice((0, 1, 2, 3, 7))) if is_mig else 0.0,
                self.dice.random() < 0.5,
                self.dice.choice((1.0, 1.0, 0.0, 1 / 3, self.dice.random(), math.nan, -1.0, 7.0)),
            )
            for _ in range(self.dice.choice((0, 1, 1, 2, 5)))
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
