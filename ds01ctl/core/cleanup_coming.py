"""What comes next to each container, and when, if nobody does anything until then."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.core import cleanup_limits as limits
from ds01ctl.core import cleanup_protect as protect
from ds01ctl.core.cleanup import why_unowned
from ds01ctl.core.cleanup_case import Case
from ds01ctl.core.cleanup_demand import demand
from ds01ctl.core.cleanup_idle import is_judged, timeout_of, window
from ds01ctl.core.cleanup_stages import IDLE, RUNTIME, due, given
from ds01ctl.core.cleanup_stopped import hold_of, part_of
from ds01ctl.core.cleanup_text import span
from ds01ctl.core.idle import STOPPED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ds01ctl.core.cleanup import World
    from ds01ctl.core.cleanup_model import Part
    from ds01ctl.core.cleanup_stages import Stages
    from ds01ctl.core.policy import Policy, Setting

NEAR_S = 86400.0
"""What is farther off is not told in a plan."""
_STOPPING: frozenset[Part] = frozenset({"idle", "runtime"})
_FAR = 1e9
"""Seconds by which everything is due."""


class Coming(NamedTuple):
    """One thing that is not due yet."""

    id: str
    name: str
    user: str | None
    part: Part
    what: str
    """``first warning``, ``last warning``, ``stop``, ``remove``, ``release its GPU``."""
    in_s: float
    """From this look on."""
    counted_s: float
    limit_s: float
    why: str
    """How far it is, and where the limit is written."""


def coming(world: World, policy: Policy) -> tuple[Coming, ...]:
    """Tell what is near, the next first."""
    found = [one for case in cases(world, policy) for one in of_case(case, world, policy)]
    near = (one for one in found if one.in_s <= NEAR_S)
    return tuple(sorted(near, key=lambda one: (one.in_s, one.name, one.part)))


def cases(world: World, policy: Policy) -> Iterator[Case]:
    """Give every container that the rules are for, as this run knows it."""
    now = demand(world.snapshot, world.workloads)
    for workload in world.workloads:
        container = workload.container
        is_asked = world.users is None or workload.owner.login in world.users
        watch = world.watches.get(container.id) if container else None
        if container is None or watch is None or not is_asked:
            continue
        if protect.spared(workload, container, world, policy) is None:
            why = why_unowned(workload, policy)
            yield Case(container, workload, watch, policy, world.clock, now, None, why)


def of_case(case: Case, world: World, policy: Policy) -> Iterator[Coming]:
    """Tell what comes next of one container, by each rule that is asked for and that holds."""
    for part, rule in _RULES.items():
        if part not in world.only or (part in _STOPPING and case.is_left_running):
            continue
        if protect.exempt(case.workload, part, policy, world.clock.now):
            continue
        keep = world.keeps.get(case.container.id)
        since = protect.warned_since(case.workload, part, keep, policy, world.clock.now)
        found = rule(case._replace(warned_since=since))
        if found is not None and found.in_s > 0:
            yield found._replace(why=f"{found.why}; only told: {case.skip}") if case.skip else found


def next_stage(
    stages: Stages, part: Part, case: Case, counted_s: float, limit_s: float
) -> tuple[str, float]:
    """Name the next warning, or the stop, and at how much counted time it is due."""
    first, second = given(case.watch.warned, part, counted_s, case.warned_since)
    one = due(stages, _FAR, limit_s, first, second)
    if one is None:
        return "stop", limit_s
    words = {1: "first warning", 2: "last warning"}
    return words.get(one.stage, "stop") if one.what == "warn" else "stop", _FAR - one.overdue_s


def _idle(case: Case) -> Coming | None:
    setting = limits.limit(case.workload, case.policy, limits.IDLE)
    watch = case.watch
    last = watch.intervals[-1] if watch.intervals else None
    if case.container.state != "running" or setting.value is None or not is_judged(case):
        return None
    if setting.origin is None or last is None or last.verdict != "idle":
        return None
    timeout = timeout_of(case, setting)
    timeout_s = timeout.seconds
    what, at = next_stage(IDLE, "idle", case, watch.idle_s, timeout_s)
    why = f"idle for {span(watch.idle_s)} of {span(timeout_s)}; {limits.told(setting)}"
    why += f"; {timeout.demand}" if timeout.demand else ""
    if watch.streak < window(case):
        why += f"; {watch.streak} of {window(case)} idle samples in a row"
    return _coming(case, "idle", what, at - watch.idle_s, watch.idle_s, timeout_s, why)


def _runtime(case: Case) -> Coming | None:
    setting = limits.limit(case.workload, case.policy, limits.RUNTIME)
    applies = case.workload.has_gpu or case.policy.value("cleanup.runtime_without_gpu")
    if case.container.state != "running" or not applies or not _is_set(setting):
        return None
    limit_s, ran_s = float(setting.value) * 3600, case.watch.ran_s
    what, at = next_stage(RUNTIME, "runtime", case, ran_s, limit_s)
    why = f"has run for {span(ran_s)} of {span(limit_s)}; {limits.told(setting)}"
    return _coming(case, "runtime", what, at - ran_s, ran_s, limit_s, why)


def _stopped(case: Case) -> Coming | None:
    return _of_hold(case, "stopped", "remove")


def _created(case: Case) -> Coming | None:
    return _of_hold(case, "created", "remove")


def _gpu(case: Case) -> Coming | None:
    hold = case.policy.limit(case.account, "gpu_hold_after_stop_h")
    holds = case.container.state in STOPPED and case.workload.has_gpu
    if not holds or case.watch.gpu_released or not _is_set(hold):
        return None
    limit_s, counted_s = float(hold.value) * 3600, case.watch.stopped_s
    why = f"seen stopped for {span(counted_s)} of {span(limit_s)}; {limits.told(hold)}"
    left_s = limit_s - counted_s
    return _coming(case, "gpu-holds", "release its GPU", left_s, counted_s, limit_s, why)


def _of_hold(case: Case, part: Part, what: str) -> Coming | None:
    hold = hold_of(case, part)
    if part_of(case) != part or hold is None:
        return None
    counted_s = case.held_s(part)
    state = "never started, seen so" if part == "created" else "seen stopped"
    why = f"{state} for {span(counted_s)} of {span(hold.seconds)}; {hold.told}"
    return _coming(case, part, what, hold.seconds - counted_s, counted_s, hold.seconds, why)


def _coming(
    case: Case, part: Part, what: str, in_s: float, counted_s: float, limit_s: float, why: str
) -> Coming:
    container, login = case.container, case.workload.owner.login
    return Coming(container.id, container.name, login, part, what, in_s, counted_s, limit_s, why)


def _is_set(setting: Setting) -> bool:
    return setting.origin is not None and setting.value is not None


_RULES: dict[Part, Callable[[Case], Coming | None]] = {
    "idle": _idle,
    "runtime": _runtime,
    "stopped": _stopped,
    "created": _created,
    "gpu-holds": _gpu,
}
