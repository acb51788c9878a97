"""Decide which stopped containers give up their GPU: in the books, and nowhere else.

No process is ended and no GPU is reset for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.core.allocation import allocated_gpus
from ds01ctl.core.cleanup_case import Case, Decided, report_only
from ds01ctl.core.cleanup_limits import told
from ds01ctl.core.cleanup_model import Change
from ds01ctl.core.cleanup_text import span
from ds01ctl.core.idle import STOPPED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ds01ctl.core.cleanup import World
    from ds01ctl.core.model import Snapshot
    from ds01ctl.core.policy import Policy

_HOLD = "gpu_hold_after_stop_h"


def decide_hold(case: Case, snapshot: Snapshot) -> Decided:
    """Decide about the GPU of one stopped container that nothing spares."""
    watch = case.watch
    is_holding = case.container.state in STOPPED and case.workload.has_gpu and case.is_same_run
    hold = case.policy.limit(case.account, _HOLD)
    if not is_holding or watch.gpu_released or hold.origin is None or hold.value is None:
        return Decided()
    seconds = float(hold.value) * 3600
    if watch.stopped_s <= 0 or watch.stopped_s < seconds:
        return Decided()
    reason = f"stopped for {span(watch.stopped_s)}; {told(hold)}"
    change = case.change("release-gpu", "gpu-holds", reason, tuple(_which(case, snapshot)))
    return Decided((change._replace(overdue_s=watch.stopped_s - seconds),))


def _which(case: Case, snapshot: Snapshot) -> Iterator[str]:
    given = allocated_gpus(case.workload, snapshot)
    if given and given[0]:
        yield f"{', '.join(sorted(given[0]))} by {given[1]}"
    else:
        yield "which GPU it had is not known"
    yield f"seen stopped for {span(case.watch.stopped_s)}"
    yield "no process is ended"


def gone(world: World, policy: Policy) -> Iterator[Change]:
    """Release the GPUs of containers that were stopped and are gone, as far as that is known.

    Only an engine that answered can say that something is not there.
    """
    if world.snapshot.lacks("docker") or world.users is not None:
        return
    answered = {one.host for one in world.snapshot.engines if one.answered}
    there = {one.id for one in world.snapshot.containers}
    for watch in sorted(world.watches.values(), key=lambda one: one.id):
        is_gone = watch.id not in there and watch.engine in answered
        if is_gone and watch.had_gpu and not watch.gpu_released and watch.state in STOPPED:
            yield Change(
                "release-gpu",
                "gpu-holds",
                watch.id,
                watch.name,
                watch.engine,
                None,
                "the container is gone",
                (f"its engine {watch.engine} no longer lists it", "no process is ended"),
                skip=report_only(policy, "gpu-holds"),
            )
