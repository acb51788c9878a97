"""What truly happens on a pretended host: who does what, when, and what that draws.

Power is constant between events, so every energy is exact at any moment: nothing here is sampled.
A board draws its idle power and a fixed amount per percent of SM use; a package its idle power and
a fixed amount per busy core; memory its idle power and an amount per busy core.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from functools import cached_property
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Kind = Literal["exclusive", "shared", "mig"]
GPU_IDLE_W = 55.0
GPU_ACTIVE_W = 345.0
"""On top of it, at full use."""
CPU_IDLE_W = 60.0
"""Of one package."""
CORE_W = 4.0
DRAM_IDLE_W = 8.0
"""Of the memory of one package."""
DRAM_CORE_W = 0.2
PACKAGES = 2
GIB = 1 << 30
SYSTEM_BYTES = 24 * GIB
SLICES = 7
DWELLS_S = (5.0, 20.0, 300.0)
_MOST_CORES = 60.0
"""That jobs with a GPU, and those without, keep busy at most: there are no more."""


class Steps:
    """A function of time that is constant between events, and its exact integral."""

    def __init__(self, pieces: Sequence[tuple[float, float, float]]) -> None:
        """Take (from, to, height) that do not overlap, in order."""
        self._starts = [start for start, _, _ in pieces]
        self.pieces = pieces
        areas = ((end - start) * height for start, end, height in pieces)
        self._before = [0.0, *accumulate(areas)]

    def until(self, at: float) -> float:
        """Give the integral up to a time."""
        index = bisect_right(self._starts, at) - 1
        if index < 0:
            return 0.0
        start, end, height = self.pieces[index]
        return self._before[index] + (min(at, end) - start) * height

    def between(self, start: float, end: float) -> float:
        """Give the integral between two times."""
        return self.until(end) - self.until(start)

    @cached_property
    def busy(self) -> Steps:
        """1 where this is not 0."""
        return Steps([(start, end, float(height > 0)) for start, end, height in self.pieces])


def summed(parts: Iterable[tuple[Steps, float]]) -> Steps:
    """Add up functions, each times a factor."""
    changes: dict[float, float] = {}
    for steps, factor in parts:
        for start, end, height in steps.pieces:
            changes[start] = changes.get(start, 0.0) + height * factor
            changes[end] = changes.get(end, 0.0) - height * factor
    edges = sorted(changes)
    heights = accumulate(changes[at] for at in edges)
    spans = zip(pairwise(edges), heights)  # noqa: B905 -- there is one height more
    return Steps([(start, end, height) for (start, end), height in spans])


class Job(NamedTuple):
    """One process that holds (a part of) a GPU, or only computes, in one cgroup of a user."""

    pid: int
    user: str
    start: float
    end: float
    gpu: int | None
    """None: it has no GPU."""
    slices: float
    """Of MIG, 0: none."""
    sm: Steps
    """Percent of its GPU, or of its instance."""
    cores: Steps
    host_bytes: int
    gpu_bytes: int
    watts_per_percent: float

    def alive(self, start: float, end: float) -> float:
        """Say for how many seconds of a span it lives."""
        return max(0.0, min(self.end, end) - max(self.start, start))

    def busy(self, start: float, end: float) -> float:
        """Say for how many seconds of a span it uses its GPU."""
        return self.sm.busy.between(start, end)

    def is_alive(self, at: float) -> bool:
        """Say whether it lives at a time."""
        return self.start <= at < self.end


class Trace:
    """One host for some hours."""

    def __init__(
        self,
        users: tuple[str, ...],
        gpus: tuple[Kind, ...],
        jobs: tuple[Job, ...],
        system: Steps,
        length: float,
    ) -> None:
        self.users = users
        self.gpus = gpus
        self.jobs = jobs
        self.system = system
        """Cores that the host itself keeps busy."""
        self.length = length
        self.by_gpu = [tuple(job for job in jobs if job.gpu == n) for n in range(len(gpus))]
        # what all of them do is asked for at every moment
        self._boards = [summed((j.sm, j.watts_per_percent) for j in on) for on in self.by_gpu]
        self.all_cores = summed((job.cores, 1.0) for job in jobs)
        self.user_cores = {
            user: summed((job.cores, 1.0) for job in jobs if job.user == user) for user in users
        }

    def board_joules(self, gpu: int, at: float) -> float:
        """Give what a board used since the beginning."""
        return GPU_IDLE_W * at + self._boards[gpu].until(at)

    def core_seconds(self, at: float) -> float:
        """Give the CPU time of everybody and the host since the beginning."""
        return self.system.until(at) + self.all_cores.until(at)

    def package_joules(self, at: float) -> float:
        """Give what one package used since the beginning; all are alike."""
        return CPU_IDLE_W * at + CORE_W * self.core_seconds(at) / PACKAGES

    def dram_joules(self, at: float) -> float:
        """Give what the memory of one package used since the beginning."""
        return DRAM_IDLE_W * at + DRAM_CORE_W * self.core_seconds(at) / PACKAGES


class _Maker:
    """Make a trace from dice; the same seed gives the same one."""

    def __init__(self, seed: int, users: int, gpus: Sequence[Kind], length: float) -> None:
        self.dice = random.Random(seed)
        self.users = tuple(f"user{number:02}" for number in range(users))
        self.gpus = tuple(gpus)
        self.length = length
        self.pid = 1000
        self.ways = {gpu: self._ways(kind) for gpu, kind in enumerate(gpus)}
        self.on_gpus = sum(map(len, self.ways.values()))

    def trace(self) -> Trace:
        jobs = [job for gpu, kind in enumerate(self.gpus) for job in self._on_gpu(gpu, kind)]
        for user in self.users:
            jobs += self._queue(
                lambda at, user=user: self._job(at, user, None, 0.0, 1 / len(self.users))
            )
        system = self._bursts(0.0, self.length, 60.0, 1.5, 0.5)
        return Trace(self.users, self.gpus, tuple(jobs), system, self.length)

    def _on_gpu(self, gpu: int, kind: Kind) -> Iterator[Job]:
        ways = self.ways[gpu]
        part = 1.0 if kind == "mig" else 1 / len(ways)
        for slices in ways:
            yield from self._queue(
                lambda at, s=slices: self._job(at, self.dice.choice(self.users), gpu, s, part)
            )

    def _ways(self, kind: Kind) -> tuple[float, ...]:
        """Say by how many a GPU can be used at once, by their slices."""
        if kind == "mig":
            return (3.0, 2.0, 1.0)
        return (0.0,) * (self.dice.choice((2, 3, 4)) if kind == "shared" else 1)

    def _queue(self, job: object) -> Iterator[Job]:
        """Run one job after the other, with pauses, all through the trace."""
        at = self.dice.uniform(-900, 300)
        while at < self.length:
            one: Job = job(at)  # type: ignore[operator]
            yield one
            pause = 0.0 if self.dice.random() < 0.4 else self.dice.uniform(0, 240)
            at = one.end + pause + (600 * self.dice.random() if one.gpu is None else 0)

    def _job(self, at: float, user: str, gpu: int | None, slices: float, part: float) -> Job:
        self.pid += 1
        end = at + self._duration()
        dwell = self.dice.choice(DWELLS_S)
        is_still = self.dice.random() < 0.1
        high = 0.0 if gpu is None or is_still else self.dice.uniform(30, 100) * part
        most = _MOST_CORES * part if gpu is None else _MOST_CORES / self.on_gpus
        cores = self.dice.uniform(0.1, 1) * min(12.0, most)
        on = self._phases(at, end, dwell)
        per_percent = GPU_ACTIVE_W / 100 * (slices / SLICES if slices else 1)
        return Job(
            self.pid,
            user,
            at,
            end,
            gpu,
            slices,
            Steps([(a, b, high * level) for a, b, level in on]),
            Steps(
                [
                    (a, b, 0.05 * cores if is_still else cores * (0.1 + 0.9 * level))
                    for a, b, level in on
                ]
            ),
            self.dice.randrange(1, 60) * GIB,
            self.dice.randrange(1, 10) * GIB,
            per_percent,
        )

    def _duration(self) -> float:
        low, high = self.dice.choices(((15, 60), (60, 600), (600, 3600)), (1, 4, 5))[0]
        return self.dice.uniform(low, high)

    def _phases(self, start: float, end: float, dwell: float) -> list[tuple[float, float, float]]:
        """Make bursts: on and off in turn, each for a time of an exponential distribution."""
        found, at, level = [], start, float(self.dice.random() < 0.5)
        while at < end:
            until = min(end, at + self.dice.expovariate(1 / dwell))
            found.append((at, until, level))
            at, level = until, 1 - level
        return found

    def _bursts(self, start: float, end: float, dwell: float, high: float, low: float) -> Steps:
        phases = self._phases(start, end, dwell)
        return Steps([(a, b, low + high * level) for a, b, level in phases])


def make(seed: int, users: int, gpus: Sequence[Kind], length: float) -> Trace:
    """Make the trace of a seed; length in seconds."""
    return _Maker(seed, users, gpus, length).trace()
