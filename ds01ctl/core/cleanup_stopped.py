"""Decide about containers that do not run: stopped ones after their hold, and never started ones.

What counts is time that was watched: a lost store, a reboot or a stepped clock prolong a hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.core import cleanup_limits as limits
from ds01ctl.core.cleanup_case import Case, Decided
from ds01ctl.core.cleanup_text import span
from ds01ctl.core.idle import STOPPED

if TYPE_CHECKING:
    from ds01ctl.core.cleanup_model import Part

_CREATED = "policies.created_container_timeout_m"


class Hold(NamedTuple):
    """How long a container that does not run is left."""

    seconds: float
    told: str
    """Where that is written, or that it was promised."""


def part_of(case: Case) -> Part | None:
    """Tell by which part a container would be removed; None: it runs, or is none of theirs."""
    container = case.container
    if container.state == "created" or (
        container.state in STOPPED and container.finished_at is None
    ):
        return "created"
    return "stopped" if container.state in STOPPED else None


def hold_of(case: Case, part: Part) -> Hold | None:
    """Give the hold that holds, which is never shorter than its owner was told; None: for ever."""
    if part == "created":
        setting, unit = case.policy.limit(case.account, _CREATED), 60
    else:
        setting, unit = limits.limit(case.workload, case.policy, limits.HOLD), 3600
    if setting.origin is None or setting.value is None:
        return None
    seconds, promised = float(setting.value) * unit, case.watch.promised_s
    if promised > seconds:
        return Hold(promised, f"{span(promised)} were promised; {limits.told(setting)}")
    return Hold(seconds, limits.told(setting))


def decide_stopped(case: Case) -> Decided:
    """Decide about one container that was stopped and that nothing spares."""
    finished = case.container.finished_at
    if part_of(case) != "stopped" or finished is None or not case.is_same_run:
        return Decided()
    hold, held = hold_of(case, "stopped"), case.held_s("stopped")
    if hold is None or not _is_over(held, hold.seconds):
        return Decided()
    seen = span(case.watch.stopped_s)
    evidence = [f"finished {finished:%Y-%m-%d %H:%M:%SZ}", f"seen stopped for {seen}"]
    if case.watch.stopped_by_us:
        evidence.append(f"stopped by cleanup: {case.watch.stopped_by_us}")
    evidence.append("its volumes stay")
    reason = f"stopped for {span(held)}; {hold.told}"
    change = case.change("remove-container", "stopped", reason, evidence)
    return Decided((change._replace(overdue_s=held - hold.seconds),))


def decide_created(case: Case) -> Decided:
    """Decide about one container that never was started and that nothing spares.

    It has to be old by its Created too: one that is being made and started is left alone.
    """
    container = case.container
    if part_of(case) != "created" or not case.is_same_run or container.created_at is None:
        return Decided()
    hold = hold_of(case, "created")
    age = (case.clock.now - container.created_at).total_seconds()
    counted = min(case.held_s("created"), age)
    if hold is None or not _is_over(counted, hold.seconds):
        return Decided()
    evidence = (
        f"created {container.created_at:%Y-%m-%d %H:%M:%SZ}, never started",
        f"seen so for {span(case.watch.not_running_s)}",
        "its volumes stay",
    )
    reason = f"created {span(age)} ago and never started; {hold.told}"
    change = case.change("remove-container", "created", reason, evidence)
    return Decided((change._replace(overdue_s=counted - hold.seconds),))


def _is_over(counted_s: float, limit_s: float) -> bool:
    # at its first sight nothing goes, though its hold be none at all
    return counted_s > 0 and counted_s >= limit_s
