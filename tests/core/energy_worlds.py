"""Random worlds of `carbon`: everything about them is a matter of dice."""

from __future__ import annotations

import math
import random

from ds01ctl.core.energy_model import (
    SYSTEM,
    UNATTRIBUTED,
    Activity,
    Component,
    Counter,
    GpuShare,
    SplitPolicy,
    Work,
)

RANGES = (65_532_610_987, 262_143_328_850, None)


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
