"""Why nothing is in sight for a container by a rule: no limit, no GPU, at work, not known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.core import cleanup_limits as limits
from ds01ctl.core.cleanup_idle import is_judged
from ds01ctl.core.idle import STOPPED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ds01ctl.core.cleanup_case import Case
    from ds01ctl.core.cleanup_model import Part
    from ds01ctl.core.policy import Setting

_CREATED = "policies.created_container_timeout_m"


def why_none(case: Case) -> Iterator[tuple[Part, str]]:
    """Say for each rule that is for a container in this state what keeps it from having a date."""
    state = case.container.state
    if state == "running":
        yield "idle", f"idle: {_why_not_idle(case)}"
        yield "runtime", f"runtime: {_why_no_runtime(case)}"
    elif state in STOPPED and case.container.finished_at is not None:
        hold = limits.limit(case.workload, case.policy, limits.HOLD)
        yield "stopped", f"stopped: {_unset(hold) or 'what was counted is of another stop'}"
    elif state == "created" or state in STOPPED:
        timeout = case.policy.limit(case.account, _CREATED)
        yield "created", f"created: {_unset(timeout) or 'what was counted is of another state'}"
    else:
        yield "idle", f"it is {state}, and no rule changes that"


def _why_not_idle(case: Case) -> str:
    unset = _unset(limits.limit(case.workload, case.policy, limits.IDLE))
    last = case.watch.intervals[-1] if case.watch.intervals else None
    if unset or not is_judged(case):
        return unset or _no_gpu(case, "cleanup.idle_without_gpu")
    if last is None or last.verdict == "baseline":
        return "; ".join(last.evidence) if last else "it was not sampled yet"
    if last.verdict == "unknown":
        return f"whether it is idle is not known: {'; '.join(last.evidence)}"
    return "it is at work" if last.verdict == "active" else "what was counted is of another run"


def _why_no_runtime(case: Case) -> str:
    unset = _unset(limits.limit(case.workload, case.policy, limits.RUNTIME))
    if unset:
        return unset
    if not case.workload.has_gpu and not case.policy.value("cleanup.runtime_without_gpu"):
        return _no_gpu(case, "cleanup.runtime_without_gpu")
    return "what was counted is of another run"


def _unset(setting: Setting) -> str:
    if setting.origin is None:
        return f"no limit is set ({setting.key})"
    return f"no limit: {limits.told(setting)}" if setting.value is None else ""


def _no_gpu(case: Case, key: str) -> str:
    setting = case.policy.setting(key)
    has = "it has no GPU" if case.workload.access is not None else "whether it has a GPU is unknown"
    value = str(setting.value).lower()
    return f"{has}, and {key} is {value} ({setting.origin or 'built-in'})"
