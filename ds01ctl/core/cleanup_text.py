"""What `cleanup` says: spans of time, and what users are to know."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from ds01ctl.core.cleanup_limits import HOLD, limit
from ds01ctl.core.cleanup_protect import exempt
from ds01ctl.core.cleanup_words import Ending

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ds01ctl.core.cleanup_case import Case
    from ds01ctl.core.cleanup_model import Warned
    from ds01ctl.core.cleanup_stages import Due
    from ds01ctl.core.policy import Setting

_STEPS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def span(seconds: float) -> str:
    """Show a time by its two largest units: ``2 h 5 min``, ``45 s``."""
    left = max(0, int(seconds + 0.5))
    for position, (unit, length) in enumerate(_STEPS):
        if left >= length:
            whole, rest = divmod(left, length)
            smaller = _smaller(position, rest)
            return f"{whole} {unit}{smaller}"
    return "0 s"


def _smaller(position: int, rest: int) -> str:
    if not 0 < position + 1 < len(_STEPS) - 1:
        return ""
    unit, length = _STEPS[position + 1]
    return f" {rest // length} {unit}" if rest >= length else ""


def past_warnings(*given: Warned | None) -> Iterator[str]:
    """Say when the user was warned, and how; and which ways it did not go, with the reason."""
    for one in given:
        if one is not None:
            how = ", ".join(one.channels)
            yield f"warned {one.at:%Y-%m-%d %H:%MZ} after {span(one.counted_s)} ({how})"
            yield from (f"not warned by {error}" for error in one.errors)


def loss(case: Case) -> Iterator[str]:
    """Say that a stop can't be undone, where it can't."""
    if case.removes_itself:
        yield "made with --rm: the engine removes it when it stops, and undo can't have it back"


def ending_of(case: Case, part: Literal["idle", "runtime"], due: Due, limit_s: float) -> Ending:
    """Say what a user is to know of a warning, or of a stop; times in UTC, and no folder yet."""
    watch = case.watch
    sample = watch.last
    left = timedelta(seconds=due.in_s)
    hold = None if _is_not_removed(case) else limit(case.workload, case.policy, HOLD)
    return Ending(
        container=case.container.name,
        part=part,
        ends_at=case.clock.now + left,
        limit=timedelta(seconds=limit_s),
        counted=timedelta(seconds=watch.idle_s if part == "idle" else watch.ran_s),
        left=left if due.what == "warn" else None,
        stage=due.stage,
        is_holding=part == "idle" and bool(sample and sample.gpu_memory_bytes),
        is_high_demand=part == "idle" and case.is_demand_high,
        keep_for=_hours(case.policy.limit(case.account, "policies.keepalive_max_duration_h")),
        hold=_hours(hold) if hold else None,
        id=case.container.id,
        removes_itself=case.removes_itself,
    )


def _is_not_removed(case: Case) -> bool:
    """Tell whether it stays once it is stopped: nobody is told a date on which nothing is done."""
    spared = exempt(case.workload, "stopped", case.policy, case.clock.now)
    return bool(spared or case.why_not("stopped"))


def _hours(setting: Setting) -> timedelta | None:
    if setting.origin is None or setting.value is None:
        return None
    return timedelta(hours=float(setting.value))
