"""Decide about containers: whom to warn, what to stop, what to remove, which GPUs to release."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.core import cleanup_protect as protect
from ds01ctl.core.breakers import Facts, held_back, limited, tripped
from ds01ctl.core.cleanup_case import Case, Decided
from ds01ctl.core.cleanup_demand import demand
from ds01ctl.core.cleanup_holds import decide_hold, gone
from ds01ctl.core.cleanup_idle import decide_idle
from ds01ctl.core.cleanup_limits import account, lacks_entry, unnamed
from ds01ctl.core.cleanup_model import PARTS, Notice, Part, Plan
from ds01ctl.core.cleanup_runtime import decide_runtime
from ds01ctl.core.cleanup_stopped import decide_created, decide_stopped
from ds01ctl.core.idle import Thresholds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from ds01ctl.core.cleanup_demand import Demand
    from ds01ctl.core.cleanup_model import Change, Clock, Keep, Watch
    from ds01ctl.core.model import Container, Snapshot
    from ds01ctl.core.policy import Policy
    from ds01ctl.core.workload import Workload

_STRIKES = frozenset({"stop-container", "remove-container"})


class World(NamedTuple):
    """What one run saw and remembers."""

    snapshot: Snapshot
    workloads: Sequence[Workload]
    """core.inventory.inventory of the snapshot."""
    watches: Mapping[str, Watch]
    """By full id, with this look in them (idle.advance); one of no container is of a gone one."""
    keeps: Mapping[str, Keep]
    """By full id (cleanup_keeps.settled); expired ones may be among them."""
    clock: Clock
    admins: frozenset[str] = frozenset()
    """Logins."""
    sources_down: frozenset[str] = frozenset()
    """Beside the snapshot's gaps: state, and nvml where GPUs were seen before."""
    version_since: datetime | None = None
    """When this version first ran here; None: not on record, which counts as just now."""
    previous: Clock | None = None
    """At the run before."""
    only: frozenset[Part] = frozenset(PARTS)
    users: frozenset[str] | None = None
    """None: everybody's."""
    limit: int | None = None
    """At most so many stops and removals."""
    nobody: frozenset[str] = frozenset()
    """Names of exemptions that the name service surely does not know."""


def bounded(plan: Plan, world: World, policy: Policy) -> Plan:
    """Hold back what is too much; to be done once with all that a run is to do."""
    changes = limited(_once_each(plan.changes), world.limit)
    trips = tripped(changes, facts_of(world), policy)
    return plan._replace(changes=_in_order(held_back(changes, trips)), trips=trips)


def proposed(world: World, policy: Policy) -> Plan:
    """Say what is due to containers, before it is asked whether that is too much at once."""
    now = demand(world.snapshot, world.workloads)
    found = Decided()
    for workload in world.workloads:
        if workload.container is not None and _is_asked(workload, world):
            found += _of_container(workload, workload.container, world, policy, now)
    released = tuple(gone(world, policy)) if "gpu-holds" in world.only else ()
    told = (*found.notices, *protect.misspelt(policy, world), *_types(world, policy))
    return Plan((*found.changes, *released), _sorted(told))


def _is_asked(workload: Workload, world: World) -> bool:
    return world.users is None or workload.owner.login in world.users


def facts_of(world: World) -> Facts:
    """Give what the breakers look at."""
    snapshot = world.snapshot
    silent = {name for name in ("docker", "users") if snapshot.lacks(name)}
    failed = {gap.source for gap in snapshot.gaps if gap.kind != "absent"} - {"docker"}
    # of one GPU that is lost, its own containers' signals tell
    gaps = silent | (failed - {"nvml"} if snapshot.gpus else failed)
    containers = snapshot.containers
    return Facts(
        world.clock,
        running=sum(one.state == "running" for one in containers),
        existing=len(containers),
        sources_down=world.sources_down | gaps,
        previous=world.previous,
        version_since=world.version_since,
    )


# --- one container ----------------------------------------------------------------------------


def _of_container(
    workload: Workload, container: Container, world: World, policy: Policy, now: Demand | None
) -> Decided:
    if spared := protect.spared(workload, container, world, policy):
        return Decided(notices=(spared.notice,) if spared.notice else ())
    watch = world.watches.get(container.id)
    notices = (
        protect.state_notice(workload, container),
        protect.label_notice(workload, container, world, policy),
    )
    found = Decided(notices=tuple(one for one in notices if one))
    if watch is None:
        return found
    unowned = why_unowned(workload, policy)
    case = Case(container, workload, watch, policy, world.clock, now, None, unowned)
    for part, rule in _rules(world.snapshot).items():
        if part in world.only and not protect.exempt(workload, part, policy, world.clock.now):
            since = protect.warned_since(
                workload, part, world.keeps.get(container.id), policy, world.clock.now
            )
            found += rule(case._replace(warned_since=since))
    return found


def _rules(snapshot: Snapshot) -> dict[Part, Callable[[Case], Decided]]:
    return {
        "idle": decide_idle,
        "runtime": decide_runtime,
        "stopped": decide_stopped,
        "created": decide_created,
        "gpu-holds": lambda case: decide_hold(case, snapshot),
    }


def why_unowned(workload: Workload, policy: Policy) -> str | None:
    """Say why a container is only told of: nobody can tell whose it is.

    Acted on is what nobody owns, never what somebody owns whose name is not known in this run.
    """
    if account(workload):
        return None
    setting = policy.setting("cleanup.unowned")
    if setting.value != "act":
        return f"its owner is not known: {setting.key} is {setting.value} ({setting.origin})"
    if unnamed(workload, policy):
        what = "; ".join(workload.owner.evidence)
        return f"its owner could not be looked up, and may be somebody: {what}"
    return None


def _types(world: World, policy: Policy) -> Iterator[Notice]:
    """Tell once of each container type that is there and has no entry."""
    names = {lacks_entry(one, policy) for one in world.workloads if one.container is not None}
    for name in sorted(one for one in names if one):
        text = f"container type {name} has no entry in container_types: it counts as unknown"
        yield Notice("type-without-entry", None, None, text)


def thresholds(policy: Policy, login: str) -> Thresholds:
    """Give below which use a user's containers may be idle; login: cleanup_limits.account."""

    def number(key: str) -> float | None:
        value = policy.limit(login, f"policies.{key}").value
        return None if value is None else float(value)

    block_io = policy.value("cleanup.block_io_idle_threshold")
    grace_m = number("grace_period_m")
    return Thresholds(
        gpu_percent=number("gpu_idle_threshold"),
        cpu_percent=number("cpu_idle_threshold"),
        network_bytes=number("network_idle_threshold"),
        block_io_bytes=None if block_io is None else float(block_io),
        grace_s=None if grace_m is None else grace_m * 60,
    )


# --- all of them ------------------------------------------------------------------------------


def _once_each(changes: Iterable[Change]) -> tuple[Change, ...]:
    """Do one thing to a container: stop it for the first reason, and then not warn of it."""
    kept: dict[str, Change] = {}
    rest: list[Change] = []
    for change in changes:
        if change.kind not in _STRIKES:
            rest.append(change)
        elif change.target not in kept or (kept[change.target].skip and not change.skip):
            kept[change.target] = change
    struck = {target for target, change in kept.items() if change.skip is None}
    return (*kept.values(), *(one for one in rest if one.target not in struck))


def _in_order(changes: Iterable[Change]) -> tuple[Change, ...]:
    """Put warnings first, then what is due the longest; what is no container's stays in order."""
    kinds = {"warn": 0, "stop-container": 1, "remove-container": 2, "release-gpu": 3}

    def place(one: Change) -> tuple[int, float, str]:
        kind = kinds.get(one.kind)
        return (4, 0.0, "") if kind is None else (kind, -one.overdue_s, one.target)

    return tuple(sorted(changes, key=place))


def _sorted(notices: Iterable[Notice]) -> tuple[Notice, ...]:
    return tuple(sorted(notices, key=lambda one: (one.kind, one.container or "", one.text)))
