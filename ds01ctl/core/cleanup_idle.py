"""Decide about idle containers: two warnings, then the stop."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.core import cleanup_limits as limits
from ds01ctl.core.cleanup_case import Case, Decided
from ds01ctl.core.cleanup_demand import reduction
from ds01ctl.core.cleanup_stages import IDLE, due, due_in_report, given
from ds01ctl.core.cleanup_text import ending_of, loss, past_warnings, span
from ds01ctl.core.sizes import size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ds01ctl.core.cleanup_model import Change, Interval, Notice, Warned
    from ds01ctl.core.cleanup_stages import Due
    from ds01ctl.core.policy import Setting


class Timeout(NamedTuple):
    """The idle timeout that holds now."""

    seconds: float
    setting: Setting
    demand: str
    """Why it is shorter than the setting; empty: it is not."""


def decide_idle(case: Case) -> Decided:
    """Decide about one running container that nothing spares."""
    setting = limits.limit(case.workload, case.policy, limits.IDLE)
    if case.container.state != "running" or setting.origin is None or setting.value is None:
        return Decided()
    if not is_judged(case):
        return _if_gpu_is_unknown(case)
    last = case.watch.intervals[-1] if case.watch.intervals else None
    if last is None or not case.is_same_run:
        return Decided()
    if last.verdict != "idle":
        return Decided(notices=tuple(_unknown(case, last)))
    timeout = timeout_of(case, setting)
    if case.is_left_running:
        return Decided(notices=(*_left_running(case, timeout), *_holding(case, last)))
    changes = (_change(case, timeout, last),)
    return Decided(tuple(one for one in changes if one), tuple(_holding(case, last)))


def is_judged(case: Case) -> bool:
    """Tell whether a container is one that may be stopped for idleness at all."""
    return case.workload.has_gpu or bool(case.policy.value("cleanup.idle_without_gpu"))


def _if_gpu_is_unknown(case: Case) -> Decided:
    if case.workload.access is not None:
        return Decided()
    text = f"{case.container.name}: whether it has a GPU is not known; its idleness is not judged"
    return Decided(notices=(case.notice("gpu-unknown", text),))


def _unknown(case: Case, last: Interval) -> Iterator[Notice]:
    if last.verdict == "unknown":
        text = f"{case.container.name}: whether it is idle is not known, so nothing is done"
        yield case.notice("idle-unknown", text, last.evidence)


def _holding(case: Case, last: Interval) -> Iterator[Notice]:
    if _held_bytes(case) and case.watch.streak >= window(case):
        text = (
            f"{case.container.name} has been idle for {span(case.watch.idle_s)}, but {_holds(case)}"
        )
        yield case.notice("idle-holding", text, last.evidence)


def _held_bytes(case: Case) -> int:
    sample = case.watch.last
    return (sample.gpu_memory_bytes or 0) if sample else 0


def _holds(case: Case) -> str:
    return f"holds {size(_held_bytes(case))} of GPU memory"


def window(case: Case) -> int:
    """Give the number of idle samples in a row that a stop needs."""
    value = case.policy.limit(case.account, "policies.idle_detection_window").value
    return max(1, int(value or 1))


def timeout_of(case: Case, setting: Setting) -> Timeout:
    """Give the idle timeout that holds now, which is shorter while demand is high."""
    seconds = float(setting.value) * 3600
    shorter = reduction(case.policy, case.account, case.demand)
    if shorter is None:
        return Timeout(seconds, setting, "")
    factor, (threshold, by) = shorter
    why = f"demand is high: {case.demand}, {limits.told(threshold)}; {limits.told(by)}"
    return Timeout(seconds * factor, setting, why)


def _change(case: Case, timeout: Timeout, last: Interval) -> Change | None:
    counted = case.watch.idle_s
    first, second = given(case.watch.warned, "idle", counted, case.warned_since)
    if case.why_not("idle"):
        found = due_in_report(IDLE, counted, timeout.seconds)
    else:
        found = due(IDLE, counted, timeout.seconds, first, second)
    if found is None or (found.what == "stop" and case.watch.streak < window(case)):
        return None
    evidence = tuple(_evidence(case, timeout, last, first, second))
    return _warning(case, found, timeout, evidence) or _stop(case, found, timeout, evidence)


def _left_running(case: Case, timeout: Timeout) -> Iterator[Notice]:
    if case.watch.idle_s >= timeout.seconds and case.watch.streak >= window(case):
        yield case.left_running(f"is {_reason(case, timeout)}")


def _reason(case: Case, timeout: Timeout) -> str:
    demand = f"; {timeout.demand}" if timeout.demand else ""
    return f"idle for {span(case.watch.idle_s)}; {limits.told(timeout.setting)}{demand}"


def _evidence(
    case: Case, timeout: Timeout, last: Interval, first: Warned | None, second: Warned | None
) -> Iterator[str]:
    yield from last.evidence
    streak = case.watch.streak
    yield f"idle in {streak} check{'' if streak == 1 else 's'} in a row; {window(case)} are needed"
    if _held_bytes(case):
        yield f"idle but holding: it {_holds(case)}"
    if timeout.demand:
        yield f"timeout now {span(timeout.seconds)}: {timeout.demand}"
    yield from loss(case)
    yield from past_warnings(first, second)


def _warning(case: Case, found: Due, timeout: Timeout, evidence: tuple[str, ...]) -> Change | None:
    if found.what != "warn":
        return None
    change = case.change("warn", "idle", _reason(case, timeout), evidence)
    ending = ending_of(case, "idle", found, timeout.seconds)
    return change._replace(stage=found.stage, ending=ending, overdue_s=found.overdue_s)


def _stop(case: Case, found: Due, timeout: Timeout, evidence: tuple[str, ...]) -> Change:
    change = case.change("stop-container", "idle", _reason(case, timeout), evidence)
    return change._replace(
        grace_s=stop_grace_s(case),
        ending=ending_of(case, "idle", found, timeout.seconds),
        overdue_s=found.overdue_s,
    )


def stop_grace_s(case: Case) -> int:
    """Give the seconds between SIGTERM and SIGKILL, by the container's type."""
    value = limits.limit(case.workload, case.policy, limits.GRACE).value
    return math.ceil(float(value or 0))
