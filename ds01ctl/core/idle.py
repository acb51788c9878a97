"""Follow one container from look to look: its idleness, its run time, how long it is stopped.

Elapsed time is the smaller of what the wall's clock and the clock since boot say, so no step of a
clock makes anything older. Nothing is concluded from what was not looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.core.cleanup_model import KEPT_INTERVALS, Interval, Sample, Warned, Watch
from ds01ctl.core.gpu_access import gpu_access
from ds01ctl.core.idle_verdict import Thresholds as Thresholds
from ds01ctl.core.idle_verdict import judge, remembered
from ds01ctl.core.run_time import elapsed_s, run_time

if TYPE_CHECKING:
    from ds01ctl.core.cleanup_model import Clock
    from ds01ctl.core.model import Container

MAX_GAP_S = 1800.0
"""Past so long without a sample, the next one is a first one again."""
MAX_UNSEEN_S = 7200.0
"""A hold grows by no more than this from look to look: after an outage none ends at once."""
MIN_INTERVAL_S = 1.0
"""Two looks in a shorter time are one."""
STOPPED = frozenset({"exited", "dead"})


class _Idleness(NamedTuple):
    """What is remembered of the idleness of a run."""

    last: Sample | None = None
    streak: int = 0
    idle_s: float = 0.0
    warned: tuple[Warned, ...] = ()
    intervals: tuple[Interval, ...] = ()


def advance(
    watch: Watch | None,
    container: Container,
    sample: Sample | None,
    limits: Thresholds,
    clock: Clock,
) -> Watch:
    """Add one look to what is remembered of a container; watch: None at its first sight.

    sample: None where a running container could not be sampled, which makes the interval unknown.
    """
    before = watch or Watch(container.id, container.engine, container.name, "", None, None, clock)
    is_new_run = container.started_at != before.started_at
    ran = run_time(watch, container, clock, _age_s(container, sample))
    idleness = _idleness(before, container, sample, limits, clock)
    stopped_s, created_s = _stopped_s(watch, container, clock), _created_s(watch, container, clock)
    return before._replace(
        engine=container.engine,
        name=container.name,
        state=container.state,
        started_at=container.started_at,
        finished_at=container.finished_at,
        looked=clock,
        first_started_at=ran.first_started_at,
        ran_s=ran.all_s,
        run_s=ran.this_s,
        stopped_s=stopped_s,
        created_s=created_s,
        hold_from_s=min(before.hold_from_s, stopped_s + created_s),
        promised_s=0.0 if is_new_run else before.promised_s,
        is_hold_told=before.is_hold_told and not is_new_run,
        stopped_by_us="" if is_new_run else before.stopped_by_us,
        gpu_released=False if is_new_run else before.gpu_released,
        had_gpu=before.had_gpu or _has_gpu(container, sample),
        last=idleness.last,
        streak=idleness.streak,
        idle_s=idleness.idle_s,
        warned=_still_warned(idleness.warned)
        if is_new_run and before.stopped_by_us
        else idleness.warned,
        intervals=idleness.intervals[-KEPT_INTERVALS:],
    )


def _still_warned(warned: tuple[Warned, ...]) -> tuple[Warned, ...]:
    """Forget the warnings of the run time, too: the stop that they were for has been."""
    return tuple(one for one in warned if one.part not in {"idle", "runtime"})


def _age_s(container: Container, sample: Sample | None) -> float | None:
    return sample.age_s if sample and sample.started_at == container.started_at else None


def _has_gpu(container: Container, sample: Sample | None) -> bool:
    reading = sample.readings.get("gpu") if sample else None
    if reading is not None and reading.state == "known" and reading.value > 0:
        return True
    return bool(container.config and gpu_access(container.config, ()).forms)


# --- holds ------------------------------------------------------------------------------------


def _stopped_s(watch: Watch | None, container: Container, clock: Clock) -> float:
    """Count the present stop only: one who starts it again has the whole hold anew."""
    if container.state not in STOPPED:
        return 0.0
    if watch is None or watch.state not in STOPPED or not _is_same_stop(watch, container):
        return 0.0
    return watch.stopped_s + min(elapsed_s(watch.looked, clock), MAX_UNSEEN_S)


def _is_same_stop(watch: Watch, container: Container) -> bool:
    return (watch.started_at, watch.finished_at) == (container.started_at, container.finished_at)


def _created_s(watch: Watch | None, container: Container, clock: Clock) -> float:
    if container.state != "created" or watch is None or watch.state != "created":
        return 0.0
    return watch.created_s + min(elapsed_s(watch.looked, clock), MAX_UNSEEN_S)


# --- idleness ---------------------------------------------------------------------------------


def _idleness(
    watch: Watch, container: Container, sample: Sample | None, limits: Thresholds, clock: Clock
) -> _Idleness:
    """Tell what is remembered after this look."""
    old = _Idleness(watch.last, watch.streak, watch.idle_s, watch.warned, watch.intervals)
    if container.state == "unknown":
        return old._replace(streak=0)
    if container.state != "running" or container.started_at is None:
        return _begun_anew(old, None)
    if sample is None or (sample.id, sample.started_at) != (container.id, container.started_at):
        if watch.started_at != container.started_at:
            return _begun_anew(old, None)
        return _unknown(old, watch, clock, ("no sample could be taken of this run",))
    if why := _proves_nothing(watch, sample, limits):
        interval = Interval(sample.at.now, 0.0, "baseline", (why,))
        return _begun_anew(old, sample, interval)
    return _judged(old, sample, limits)


def _begun_anew(old: _Idleness, sample: Sample | None, *intervals: Interval) -> _Idleness:
    """Forget idleness, and that it was warned of; what is known of the run time stays."""
    warned = tuple(one for one in old.warned if one.part != "idle")
    return _Idleness(sample, 0, 0.0, warned, (*old.intervals, *intervals))


def _unknown(old: _Idleness, watch: Watch, clock: Clock, evidence: tuple[str, ...]) -> _Idleness:
    seconds = elapsed_s(watch.looked, clock)
    interval = Interval(clock.now, seconds, "unknown", evidence)
    return old._replace(streak=0, intervals=(*old.intervals, interval))


def _proves_nothing(watch: Watch, sample: Sample, limits: Thresholds) -> str | None:
    """Say why a sample is but the first one of something new."""
    last = watch.last
    if last is None or (last.id, last.started_at) != (sample.id, sample.started_at):
        return "first sample of this run"
    if last.at.boot_id != sample.at.boot_id:
        return "first sample since the machine started"
    gap = sample.at.boottime_s - last.at.boottime_s
    if gap > MAX_GAP_S:
        return f"first sample after {gap / 60:.0f} min without one"
    if limits.grace_s is None:
        return "never idle: grace_period_m is null"
    if watch.run_s < limits.grace_s:
        return f"in its start grace: {watch.run_s / 60:.0f} of {limits.grace_s / 60:g} min"
    return None


def _judged(old: _Idleness, sample: Sample, limits: Thresholds) -> _Idleness:
    if old.last is None:
        return old
    seconds = sample.at.boottime_s - old.last.at.boottime_s
    if seconds < MIN_INTERVAL_S:
        return old
    verdict, evidence = judge(old.last, sample, limits, seconds)
    counted = elapsed_s(old.last.at, sample.at)
    interval = Interval(sample.at.now, counted, verdict, evidence)
    last = remembered(old.last, sample)
    if verdict == "active":
        return _begun_anew(old, last, interval)
    intervals = (*old.intervals, interval)
    if verdict == "unknown":
        return old._replace(last=last, streak=0, intervals=intervals)
    return old._replace(
        last=last, streak=old.streak + 1, idle_s=old.idle_s + counted, intervals=intervals
    )
