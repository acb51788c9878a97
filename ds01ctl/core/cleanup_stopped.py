"""Decide about containers that do not run: stopped ones after their hold, and never started ones.

What counts is time that was watched: a lost store, a reboot or a stepped clock prolong a hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.core import cleanup_limits as limits
from ds01ctl.core.cleanup_case import Case, Decided
from ds01ctl.core.cleanup_text import span
from ds01ctl.core.idle import STOPPED

if TYPE_CHECKING:
    from ds01ctl.core.policy import Setting

_CREATED = "policies.created_container_timeout_m"


def decide_stopped(case: Case) -> Decided:
    """Decide about one container that was stopped and that nothing spares."""
    finished = case.container.finished_at
    if case.container.state not in STOPPED or finished is None or not case.is_same_run:
        return Decided()
    hold = limits.limit(case.workload, case.policy, limits.HOLD)
    seconds = _seconds(hold, 3600)
    held = case.watch.stopped_s
    if seconds is None or not _is_over(held, seconds):
        return Decided()
    evidence = [f"finished {finished:%Y-%m-%d %H:%M:%SZ}", f"seen stopped for {span(held)}"]
    if case.watch.stopped_by_us:
        evidence.append(f"stopped by cleanup: {case.watch.stopped_by_us}")
    evidence.append("its volumes stay")
    reason = f"stopped for {span(held)}; {limits.told(hold)}"
    change = case.change("remove-container", "stopped", reason, evidence)
    return Decided((change._replace(overdue_s=held - seconds),))


def decide_created(case: Case) -> Decided:
    """Decide about one container that never was started and that nothing spares.

    It has to be old by its Created too: one that is being made and started is left alone.
    """
    container = case.container
    never = container.state in STOPPED and container.finished_at is None
    if (container.state != "created" and not never) or not case.is_same_run:
        return Decided()
    timeout = case.policy.limit(case.account, _CREATED)
    seconds = _seconds(timeout, 60)
    if seconds is None or container.created_at is None:
        return Decided()
    seen = case.watch.stopped_s if never else case.watch.created_s
    age = (case.clock.now - container.created_at).total_seconds()
    if not _is_over(min(seen, age), seconds):
        return Decided()
    evidence = (
        f"created {container.created_at:%Y-%m-%d %H:%M:%SZ}, never started",
        f"seen so for {span(seen)}",
        "its volumes stay",
    )
    reason = f"created {span(age)} ago and never started; {limits.told(timeout)}"
    change = case.change("remove-container", "created", reason, evidence)
    return Decided((change._replace(overdue_s=min(seen, age) - seconds),))


def _seconds(setting: Setting, unit: int) -> float | None:
    """Give a limit in seconds; None: there is none, whether by null or by nothing."""
    if setting.origin is None or setting.value is None:
        return None
    return float(setting.value) * unit


def _is_over(counted_s: float, limit_s: float) -> bool:
    # at its first sight nothing goes, though its hold be none at all
    return counted_s > 0 and counted_s >= limit_s
