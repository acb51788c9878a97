"""What is remembered of a container from look to look."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ds01ctl.core.cleanup_model import KEPT_INTERVALS, Clock, Reading, Sample, Warned
from ds01ctl.core.cleanup_text import span
from ds01ctl.core.idle import Thresholds, advance
from ds01ctl.core.run_time import elapsed_s
from tests.core.cleanup_traces import EXITED, gpu_container, policy
from tests.core.cleanup_worlds import Look, Machine, busy, idle
from tests.core.worlds import HOUR_AGO, NOON, A, managed, replace

LIMITS = Thresholds(5, 2, 1 << 20, 10 << 20, 0)
CLOCK = Clock(NOON, "boot-1", 9000.0)


def later(seconds: float, wall: float | None = None, boot: str = "boot-1") -> Clock:
    by_wall = seconds if wall is None else wall
    return Clock(NOON + timedelta(seconds=by_wall), boot, 9000.0 + seconds)


@pytest.mark.parametrize(
    ("now", "seconds"),
    [
        (later(300), 300),
        (later(300, 3900), 300),
        (later(300, 200), 200),
        (later(300, -3300), 0),
        (later(0), 0),
        (later(300, boot="boot-2"), 0),
    ],
)
def test_time_passes_by_both_clocks(now: Clock, seconds: float) -> None:
    assert elapsed_s(CLOCK, now) == seconds


def test_first_sight() -> None:
    watch = advance(None, gpu_container(), None, LIMITS, CLOCK)
    assert (watch.id, watch.state, watch.looked) == (A, "running", CLOCK)
    assert (watch.first_started_at, watch.ran_s, watch.run_s) == (HOUR_AGO, 3600, 3600)
    assert (watch.stopped_s, watch.created_s, watch.idle_s, watch.streak) == (0, 0, 0, 0)
    assert watch.had_gpu
    assert not advance(None, managed(), None, LIMITS, CLOCK).had_gpu


@pytest.mark.parametrize(
    ("boottime_s", "age_s", "ran_s"),
    [(9000, None, 3600), (600, None, 600), (9000, 100, 100), (9000, 99999, 3600)],
)
def test_no_container_is_older_than_its_first_process(
    boottime_s: float, age_s: float | None, ran_s: float
) -> None:
    clock = CLOCK._replace(boottime_s=boottime_s)
    sample = Sample(A, HOUR_AGO, clock, {}, age_s=age_s)
    assert advance(None, gpu_container(), sample, LIMITS, clock).ran_s == ran_s


def test_a_start_in_the_future_is_no_age() -> None:
    ahead = gpu_container(started_at=NOON + timedelta(hours=5))
    assert advance(None, ahead, None, LIMITS, CLOCK).ran_s == 0


def test_stopped_at_first_sight_has_run_from_start_to_end() -> None:
    ended = managed(**{**EXITED, "finished_at": NOON - timedelta(minutes=20)})
    watch = advance(None, ended, None, LIMITS, CLOCK)
    assert (watch.ran_s, watch.stopped_s) == (40 * 60, 0)


def test_a_start_takes_back_what_was_done_about_the_stop() -> None:
    machine = Machine(policy(), managed(**EXITED)).run(idle(2))
    machine.watches[A] = machine.watches[A]._replace(stopped_by_us="idle", gpu_released=True)
    machine.run(idle())
    assert (machine.watches[A].stopped_by_us, machine.watches[A].gpu_released) == ("idle", True)
    machine.run(idle(1, do="start"))
    assert (machine.watches[A].stopped_by_us, machine.watches[A].gpu_released) == ("", False)


@pytest.mark.parametrize(("stopped_by_us", "left"), [("has run for 72 h", 0), ("", 2)])
def test_who_starts_it_again_after_our_stop_is_warned_anew(stopped_by_us: str, left: int) -> None:
    """Whoever restarts it himself has had his warnings of the run time."""
    machine = Machine(policy(), gpu_container()).run(busy(3))
    warned = tuple(Warned("runtime", stage, NOON, 600, ("mail a",)) for stage in (1, 2))
    machine.watches[A] = machine.watches[A]._replace(warned=warned, stopped_by_us=stopped_by_us)
    machine.run(busy(1, do="restart"))
    assert len(machine.watches[A].warned) == left


def test_the_last_intervals_are_kept() -> None:
    watch = Machine(policy(), gpu_container()).run(busy(40)).watches[A]
    assert len(watch.intervals) == KEPT_INTERVALS
    assert watch.intervals[-1].at == NOON + timedelta(minutes=200)
    assert watch.intervals[-1].seconds == 300


def test_two_looks_at_once_are_one() -> None:
    machine = Machine(policy(), gpu_container()).run(idle(3))
    before = machine.watches[A]
    machine.run([Look(minutes=0), Look(minutes=0.01)])
    after = machine.watches[A]
    assert (after.streak, after.idle_s, after.last) == (before.streak, before.idle_s, before.last)


def test_a_sample_of_another_run_is_none() -> None:
    """It was restarted between the list of containers and the look at its signals."""
    readings = {"cpu": Reading("known", 1.0), "gpu": Reading("known", 0)}
    first = Sample(A, HOUR_AGO, CLOCK, readings)  # type: ignore[arg-type]  # names of signals
    watch = advance(None, gpu_container(), first, LIMITS, CLOCK)
    other = replace(first, started_at=NOON, at=later(300))
    watch = advance(watch, gpu_container(), other, LIMITS, later(300))
    assert (watch.last, watch.streak) == (first, 0)
    assert watch.intervals[-1].verdict == "unknown"


def test_a_restart_loop_is_one_account() -> None:
    machine = Machine(policy(), gpu_container(started_at=NOON, created_at=NOON))
    machine.run((busy(1) + busy(1, do="restart")) * 6)
    watch = machine.watches[A]
    # in each ten minutes half a minute between two runs
    assert watch.ran_s == 6 * (600 - 30)
    assert watch.run_s == 30
    assert watch.first_started_at == NOON


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (-5, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (1859, "30 min"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (90061, "1 d 1 h"),
        (86400, "1 d"),
    ],
)
def test_span(seconds: float, text: str) -> None:
    assert span(seconds) == text
