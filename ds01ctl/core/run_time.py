"""How long a container has run: all its runs together, without the time in between.

A restart begins a new StartedAt and no new account: a restart loop gains nothing by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime

    from ds01ctl.core.cleanup_model import Clock, Watch
    from ds01ctl.core.model import Container


class RunTime(NamedTuple):
    """How long a container has run."""

    first_started_at: datetime | None
    this_s: float
    """The present run, or the last one."""
    all_s: float


def elapsed_s(before: Clock, now: Clock) -> float:
    """Tell how much time has surely passed: by both clocks; none from one boot to another."""
    if before.boot_id != now.boot_id:
        return 0.0
    by_wall = (now.now - before.now).total_seconds()
    return max(0.0, min(by_wall, now.boottime_s - before.boottime_s))


def run_time(
    watch: Watch | None, container: Container, clock: Clock, process_age_s: float | None
) -> RunTime:
    """Add what a container has run since the last look."""
    started = container.started_at
    if watch is None or started is None:
        first = watch.first_started_at if watch else started
        this, every = (watch.run_s, watch.ran_s) if watch else (0.0, 0.0)
        if watch is None and started is not None:
            this = every = _length(None, container, clock, process_age_s)
        return RunTime(first, this, every)
    first = watch.first_started_at or started
    if watch.started_at == started:
        more = _more(watch, container, clock)
        more -= _too_much(watch.run_s + more, process_age_s)
        return RunTime(first, watch.run_s + more, watch.ran_s + more)
    this = _length(watch, container, clock, process_age_s)
    return RunTime(first, this, watch.ran_s + _rest(watch, container, clock) + this)


def _more(watch: Watch, container: Container, clock: Clock) -> float:
    """Add to a run that goes on, or that has ended since the last look."""
    if watch.state != "running":
        return 0.0
    if container.state == "running":
        return elapsed_s(watch.looked, clock)
    return _since_look(watch, container.finished_at, clock)


def _too_much(this_s: float, process_age_s: float | None) -> float:
    """Find what an earlier look counted too much: the wall's clock was ahead, and all it had."""
    return 0.0 if process_age_s is None else max(0.0, this_s - process_age_s)


def _rest(watch: Watch, container: Container, clock: Clock) -> float:
    """Count how long the run before went on after the last look, with restarts in between.

    FinishedAt of a container that runs is the end of the run before.
    """
    if watch.state != "running" or container.state != "running":
        return 0.0
    return _since_look(watch, container.finished_at, clock)


def _since_look(watch: Watch, end: datetime | None, clock: Clock) -> float:
    """Measure from the last look to an end, from both sides: the clock may have been set between.

    The smaller holds, and no more than has surely passed.
    """
    if end is None:
        return 0.0
    from_look = (end - watch.looked.now).total_seconds()
    until_now = max(0.0, (clock.now - end).total_seconds())
    return max(0.0, min(from_look, elapsed_s(watch.looked, clock) - until_now))


def _length(
    watch: Watch | None, container: Container, clock: Clock, process_age_s: float | None
) -> float:
    """Measure a run that was not there at the last look, by no more than the time since."""
    started = container.started_at
    if started is None:
        return 0.0
    runs = container.state in {"running", "paused"}
    end = clock.now if runs else container.finished_at or started
    bounds = [(end - started).total_seconds()]
    if runs:
        bounds.append(clock.boottime_s)
        if process_age_s is not None:
            bounds.append(process_age_s)
    if watch is not None and watch.looked.boot_id == clock.boot_id:
        bounds.append(elapsed_s(watch.looked, clock))
    return max(0.0, min(bounds))
