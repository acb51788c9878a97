"""Fake counters that move as a trace says, read as the program reads them: late and in turn.

Each reading of a kind has a moment of its own, as on a real host: NVML, RAPL and the cgroups are
read up to 0.3 s apart, and the timer is up to a second late. Counters are what hardware gives: RAPL
in steps of 15 or 61 uJ that go around, NVML in mJ and renewed ten times a second, the use of a
process as a whole percent, a cgroup that is gone with all that it had counted.

What the program's core makes of such readings is used here, and nothing else of it.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.core.energy_model import Counter, Work
from ds01ctl.core.energy_parties import GroupUse, Usage, done, paced
from ds01ctl.core.gpu_shares import GpuPast, GpuRecord, Scene, Worked, past_of, shares
from ds01ctl.core.model import Gpu, GpuUse, MigDevice
from tests.energy import trace as tr

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ds01ctl.core.energy_model import GpuShare
    from tests.energy.trace import Job, Trace

UNIT_UJ = {65_532_610_987: 15.258, 262_143_328_850: 61.035}
"""Steps of both kinds of RAPL by their max_energy_range_uj."""
REFRESH_S = 0.1
PERIOD_S = 60.0
_LATE_S = 1.0
_APART_S = 0.3
_SLICE = "/ds01.slice"


class Faults(NamedTuple):
    """What of the world is worse than the plain case."""

    unreadable: float = 0.0
    """How often a counter cannot be read."""
    outside: float = 0.2
    """Part of the users whose containers have no slice of the user's above them."""
    is_mean_of_busy: bool = False
    """The driver's mean is of the samples in which a process was busy, not of all in its life."""


PLAIN = Faults()


class Reading(NamedTuple):
    """What one run of the program gets to know."""

    at_s: float
    counters: tuple[Counter, ...]
    work: Work


class _Looked(NamedTuple):
    """What a look leaves for the next one."""

    gpu_at: float
    usage: Usage | None
    pasts: dict[int, GpuPast]


class Simulator:
    """A host that is looked at every minute."""

    def __init__(self, trace: Trace, seed: int, faults: Faults = PLAIN) -> None:
        self.trace = trace
        self.faults = faults
        self.dice = random.Random(seed)
        self.range_uj = self.dice.choice(tuple(UNIT_UJ))
        self.boot_s = self.dice.uniform(100, 1e6)
        self.slices = [user for user in trace.users if self.dice.random() >= faults.outside]
        self._phase = [self.dice.random() * REFRESH_S for _ in trace.gpus]
        self._offset = self.dice.randrange(1 << 32)

    def readings(self) -> Iterator[Reading]:
        """Look at the host until the trace is over."""
        dice, due = self.dice, 0.0
        looked = _Looked(0.0, None, {})
        while due < self.trace.length - _LATE_S - _APART_S:
            now = due + dice.random() * _LATE_S
            gpu_at, rapl_at, at = (now + dice.random() * _APART_S for _ in range(3))
            counters = (*self._rapl(rapl_at), *self._nvml(gpu_at))
            usage = paced(looked.usage, self._usage(at))
            gpus = {f"G{n}": self._shares(n, looked, gpu_at) for n in range(len(self.trace.gpus))}
            work = self._work(looked.usage, usage, gpus)
            yield Reading(self.boot_s + at, tuple(map(self._maybe, counters)), work)
            looked = _Looked(gpu_at, usage, looked.pasts)
            due += PERIOD_S

    def renewed(self, gpu: int, at: float) -> float:
        """Say when a GPU's counter was renewed last."""
        phase = self._phase[gpu]
        return (at - phase) // REFRESH_S * REFRESH_S + phase

    # --- counters ---

    def _rapl(self, at: float) -> Iterator[Counter]:
        package, dram = self.trace.package_joules(at), self.trace.dram_joules(at)
        for number in range(tr.PACKAGES):
            yield self._counter(f"rapl:package-{number}", "cpu", at, self._rapl_uj(package), 400.0)
            yield self._counter(f"rapl:dram-{number}", "dram", at, self._rapl_uj(dram), 60.0)

    def _rapl_uj(self, joules: float) -> int:
        unit = UNIT_UJ[self.range_uj]
        return int((int(joules * 1e6 / unit) + self._offset) % (1 << 32) * unit)

    def _nvml(self, at: float) -> Iterator[Counter]:
        for gpu in range(len(self.trace.gpus)):
            joules = self.trace.board_joules(gpu, self.renewed(gpu, at))
            uj = int((joules + 1000.0) * 1e3) * 1000
            yield self._counter(f"gpu:G{gpu}", "gpu", at, uj, 400.0)

    def _counter(self, name: str, component: str, at: float, uj: int, watts: float) -> Counter:
        wraps = None if component == "gpu" else self.range_uj
        return Counter(name, component, "boot", self.boot_s + at, uj, wraps, watts)  # type: ignore[arg-type]

    def _maybe(self, counter: Counter) -> Counter:
        is_lost = self.dice.random() < self.faults.unreadable
        return counter._replace(uj=None) if is_lost else counter

    # --- what everybody does ---

    def _work(
        self, earlier: Usage | None, now: Usage, gpus: dict[str, tuple[GpuShare, ...]]
    ) -> Work:
        was_done = done(earlier, now)
        return Work(was_done.seconds, was_done.parties, was_done.total, gpus)

    def _usage(self, at: float) -> Usage:
        """Read the control groups one after the other."""
        parties: dict[str, str] = {}
        groups: dict[str, GroupUse] = {}
        alive = [job for job in self.trace.jobs if job.is_alive(at)]
        for path, party, cores, size in self._groups(alive):
            groups[path] = GroupUse(_us(cores.until(at)), size, self.boot_s + at, hash(path))
            if party:
                parties[path] = party
            at += self.dice.random() * 1e-4
        memory = tr.SYSTEM_BYTES + sum(job.host_bytes for job in alive)
        total = GroupUse(_us(self.trace.core_seconds(at)), memory, self.boot_s + at)
        return Usage(groups, total, parties)

    def _groups(self, alive: Sequence[Job]) -> Iterator[tuple[str, str, tr.Steps, int]]:
        """Give path, party, cores in use and memory of each control group."""
        used: dict[str, int] = {}
        for job in alive:
            used[job.user] = used.get(job.user, 0) + job.host_bytes
            if job.user not in self.slices:
                yield f"{_SLICE}/docker-{job.pid}.scope", job.user, job.cores, job.host_bytes
        for user in self.slices:
            path = f"{_SLICE}/ds01-student-{user}.slice"
            yield path, user, self.trace.user_cores[user], used.get(user, 0)
        yield _SLICE, "", self.trace.all_cores, sum(used.values())

    def _shares(self, number: int, looked: _Looked, now: float) -> tuple[GpuShare, ...]:
        jobs = [job for job in self.trace.by_gpu[number] if job.alive(looked.gpu_at, now)]
        here = [job for job in jobs if job.is_alive(now)]
        users = {job.pid: job.user for job in here}
        gpu = self._gpu(number, here)
        uses = [GpuUse(job.pid, gpu.uuid, "C", job.gpu_bytes, _instance(job)) for job in here]
        record = self._record(gpu.uuid, jobs, looked.gpu_at, now)
        holders = {_instance(job) or gpu.uuid: {job.user} for job in here}
        if not gpu.mig_mode:
            holders = {gpu.uuid: set(users.values())}
        since: dict[tuple[str, str], int] = {}
        for job in here:
            key = (_instance(job) or gpu.uuid, job.user)
            since[key] = min(since.get(key, _clock_us(now)), _clock_us(job.start))
        began = {job.pid: _clock_us(job.start) for job in here}
        scene = Scene(users, began, holders, _clock_us(looked.gpu_at), _clock_us(now), since)
        past = looked.pasts.get(number)
        looked.pasts[number] = past_of(gpu, uses, record, past, users, holders)
        return shares(gpu, uses, record, past, scene)

    def _held(
        self, jobs: Sequence[Job], uuid: str, earlier: float, now: float
    ) -> tuple[dict[tuple[str, str], int], dict[tuple[str, str], int]]:
        """Say since when it was given to whom, and until when, as the engine knows it."""
        since = {
            (_instance(job) or uuid, job.user): _clock_us(job.start)
            for job in jobs
            if job.is_alive(now)
        }
        until = {
            (_instance(job) or uuid, job.user): _clock_us(job.end)
            for job in jobs
            if job.is_alive(earlier) and not job.is_alive(now)
        }
        return since, {key: at for key, at in until.items() if key not in since}

    def _gpu(self, number: int, here: Sequence[Job]) -> Gpu:
        is_mig = self.trace.gpus[number] == "mig"
        devices = tuple(
            MigDevice(f"MIG-{slices:g}", 0, 0, None, int(slices)) for slices in (3, 2, 1) if is_mig
        )
        return Gpu(number, f"G{number}", mig_mode=is_mig, mig_devices=devices)

    def _record(self, uuid: str, jobs: Sequence[Job], earlier: float, now: float) -> GpuRecord:
        """Give what the driver recorded: nothing of who did nothing, whole percents of the rest."""
        found = {}
        for job in jobs:
            seconds = job.alive(earlier, now)
            if self.faults.is_mean_of_busy:
                seconds = job.busy(earlier, now)
            if seconds > 0 and job.busy(earlier, now) > 0:
                percent = int(job.sm.between(earlier, now) / seconds)
                found[job.pid] = Worked(float(percent), _clock_us(min(job.end, now)))
        return GpuRecord(uuid, found, _clock_us(now))


def _instance(job: Job) -> str | None:
    return f"MIG-{job.slices:g}" if job.slices else None


def _us(seconds: float) -> int:
    return round(seconds * 1e6)


def _clock_us(at: float) -> int:
    # no time may be before 1970
    return _us(at + 1e6)
