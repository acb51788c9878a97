"""Decide about containers that have run too long, restarts included."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.core import cleanup_limits as limits
from ds01ctl.core.cleanup_case import Case, Decided
from ds01ctl.core.cleanup_idle import stop_grace_s
from ds01ctl.core.cleanup_stages import RUNTIME, due, due_in_report, given
from ds01ctl.core.cleanup_text import ending_of, loss, past_warnings, span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ds01ctl.core.cleanup_model import Change, ChangeKind, Notice, Warned
    from ds01ctl.core.policy import Setting


def decide_runtime(case: Case) -> Decided:
    """Decide about one running container that nothing spares."""
    setting = limits.limit(case.workload, case.policy, limits.RUNTIME)
    if case.container.state != "running" or setting.origin is None or setting.value is None:
        return Decided()
    applies = case.workload.has_gpu or case.policy.value("cleanup.runtime_without_gpu")
    if not applies or not case.is_same_run:
        return Decided()
    if case.is_left_running:
        return Decided(notices=tuple(_left_running(case, setting)))
    change = _change(case, setting)
    return Decided((change,) if change else ())


def _change(case: Case, setting: Setting) -> Change | None:
    counted, limit_s = case.watch.ran_s, float(setting.value) * 3600
    first, second = given(case.watch.warned, "runtime", counted, case.warned_since)
    if case.why_not("runtime"):
        found = due_in_report(RUNTIME, counted, limit_s)
    else:
        found = due(RUNTIME, counted, limit_s, first, second)
    if found is None:
        return None
    reason = f"has run for {span(counted)}; {limits.told(setting)}"
    is_warning = found.what == "warn"
    kind: ChangeKind = "warn" if is_warning else "stop-container"
    change = case.change(kind, "runtime", reason, tuple(_evidence(case, first, second)))
    return change._replace(
        stage=found.stage if is_warning else 0,
        grace_s=0 if is_warning else stop_grace_s(case),
        ending=ending_of(case, "runtime", found, limit_s),
        overdue_s=found.overdue_s,
    )


def _left_running(case: Case, setting: Setting) -> Iterator[Notice]:
    if case.watch.ran_s >= float(setting.value) * 3600:
        yield case.left_running(f"has run for {span(case.watch.ran_s)}; {limits.told(setting)}")


def _evidence(case: Case, first: Warned | None, second: Warned | None) -> Iterator[str]:
    watch = case.watch
    if watch.first_started_at:
        yield f"first started {watch.first_started_at:%Y-%m-%d %H:%MZ}"
    if watch.started_at and watch.started_at != watch.first_started_at:
        before = span(watch.ran_s - watch.run_s)
        yield f"restarted {watch.started_at:%Y-%m-%d %H:%MZ}; earlier runs count: {before}"
    yield from loss(case)
    yield from past_warnings(first, second)
