"""What each user truly caused on a trace, worked out from its events and from nothing of ours.

*The dynamic part* is physics: what the board and the packages drew above idle because of a job's
own SM use and CPU time. *The idle part* is nobody's by physics; whose it is, is the policy, so the
truth takes the policy by its words, with exact times where the program has only readings:

* ``usage``: a board's, or the packages', idle energy of an accounting period goes to whoever was
  active in it, in proportion to that. Where nobody was, it is nobody's.
* ``allocation``: a board's idle power goes, at every moment, to who holds it then: equally, by
  slices where it is divided; a free part is nobody's. The packages' goes as under ``usage``.
* ``unattributed``: it is nobody's.

*Memory* goes by the integral of what everybody used in the period.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING

from tests.energy import trace as tr

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ds01ctl.core.energy_model import IdlePolicy
    from tests.energy.trace import Job, Trace

Parts = dict[tuple[str, str], float]
"""Joules by user and component."""


def true_joules(trace: Trace, bounds: Sequence[float], idle: IdlePolicy) -> Parts:
    """Give what each user caused between the first and the last of the bounds of periods."""
    found: Parts = defaultdict(float)
    for start, end in pairwise(bounds):
        jobs = [job for job in trace.jobs if job.alive(start, end)]
        for gpu in range(len(trace.gpus)):
            _board(found, [job for job in jobs if job.gpu == gpu], start, end, idle)
        _packages(found, trace, jobs, start, end, idle)
        _memory(found, trace, jobs, start, end)
    return found


def _board(found: Parts, jobs: Sequence[Job], start: float, end: float, idle: IdlePolicy) -> None:
    active = {job: job.watts_per_percent * job.sm.between(start, end) for job in jobs}
    for job, joules in active.items():
        found[job.user, "gpu"] += joules
    if idle == "allocation":
        _add(found, "gpu", _held(jobs, start, end))
    elif idle == "usage":
        used = {job: job.sm.between(start, end) * (job.slices or 1) for job in jobs}
        _share(found, "gpu", tr.GPU_IDLE_W * (end - start), used)


def _held(jobs: Sequence[Job], start: float, end: float) -> dict[Job, float]:
    """Share the idle power among the holders of each moment."""
    found: dict[Job, float] = defaultdict(float)
    edges = sorted({start, end, *(at for job in jobs for at in (job.start, job.end))})
    for begin, until in pairwise(at for at in edges if start <= at <= end):
        holders = [job for job in jobs if job.is_alive((begin + until) / 2)]
        for job in holders:
            part = job.slices / tr.SLICES if job.slices else 1 / len(holders)
            found[job] += tr.GPU_IDLE_W * (until - begin) * part
    return found


def _packages(
    found: Parts, trace: Trace, jobs: Sequence[Job], start: float, end: float, idle: IdlePolicy
) -> None:
    times: dict[Job | None, float] = {job: job.cores.between(start, end) for job in jobs}
    times[None] = trace.system.between(start, end)
    _add(found, "cpu", {job: tr.CORE_W * seconds for job, seconds in times.items()})
    if idle != "unattributed":
        _share(found, "cpu", tr.CPU_IDLE_W * tr.PACKAGES * (end - start), times)


def _memory(found: Parts, trace: Trace, jobs: Sequence[Job], start: float, end: float) -> None:
    joules = tr.PACKAGES * (trace.dram_joules(end) - trace.dram_joules(start))
    used: dict[Job | None, float] = {job: job.host_bytes * job.alive(start, end) for job in jobs}
    used[None] = tr.SYSTEM_BYTES * (end - start)
    _share(found, "dram", joules, used)


def _share(
    found: Parts,
    component: str,
    joules: float,
    weights: Mapping[Job | None, float] | Mapping[Job, float],
) -> None:
    whole = sum(weights.values())
    if whole > 0:
        _add(found, component, {job: joules * w / whole for job, w in weights.items()})


def _add(
    found: Parts, component: str, joules: Mapping[Job, float] | Mapping[Job | None, float]
) -> None:
    for job, value in joules.items():
        if job is not None:
            found[job.user, component] += value


def of_user(parts: Mapping[tuple[str, str], float], components: Iterable[str]) -> dict[str, float]:
    """Add up some components of each user."""
    found: dict[str, float] = defaultdict(float)
    for (user, component), joules in parts.items():
        if component in components:
            found[user] += joules
    return found
