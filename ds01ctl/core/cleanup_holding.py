"""The hold of what does not run: when it begins, and who is to know when it ends.

To be removed is the one deed without an undo. So a hold counts only while a removal may be: time
in report mode, kept or exempt is no part of it; and what an owner was told is never cut short.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.core import cleanup_protect as protect
from ds01ctl.core.cleanup import why_unowned
from ds01ctl.core.cleanup_case import Case, report_only
from ds01ctl.core.cleanup_stopped import hold_of, part_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from datetime import datetime

    from ds01ctl.core.cleanup import World
    from ds01ctl.core.cleanup_model import Change, Part, Watch
    from ds01ctl.core.policy import Policy


class Untold(NamedTuple):
    """A container that will be removed, of which its owner has not been told."""

    change: Change
    """For whoever delivers it; nothing is done of it."""
    removed_at: datetime
    """At the earliest; UTC."""
    hold_s: float
    """Of the whole hold: what is told is kept, however the policy changes."""
    was_started: bool


def begun_anew(
    world: World,
    policy: Policy,
    *,
    are_keeps_known: bool = True,
    departed: Collection[int] = (),
) -> dict[str, Watch]:
    """Begin the hold of each container anew that no run may remove now, by its full id.

    are_keeps_known: the admins' file could be read. departed: uids of users who have left.
    """
    found = {}
    for one, part in _cases(world, policy):
        case, owner, watch = one, one.workload.owner, one.watch
        is_departed = owner.uid in departed and owner.confidence != "guess" and part == "stopped"
        if is_departed and one.skip and not report_only(policy, "users"):
            # nobody's by name, but known well enough to be removed by the part users
            case = one._replace(skip=None)
        # with a name again, and never told: the hold ran while nobody could be
        is_back = is_departed and not one.skip and not watch.is_hold_told
        keeps = "" if are_keeps_known else "the admins' keeps can't be read"
        if keeps or is_back or _why_not(case, part, world):
            found[watch.id] = watch._replace(hold_from_s=watch.not_running_s, is_hold_told=False)
    return found


def untold(world: World, policy: Policy) -> Iterator[Untold]:
    """Find whose owner is to be told of a removal: once a stop, and once a keep has ended."""
    for case, part in _cases(world, policy):
        login, hold = case.workload.owner.login, hold_of(case, part)
        is_asked = part in world.only and (world.users is None or login in world.users)
        if not is_asked or not login or case.watch.is_hold_told or hold is None:
            continue
        if _why_not(case, part, world):
            continue
        left_s = hold.seconds - case.held_s(part)
        if left_s > 0:
            change = case.change("remove-container", part, "", ())
            at = world.clock.now + timedelta(seconds=left_s)
            yield Untold(change, at, hold.seconds, was_started=part == "stopped")


def _cases(world: World, policy: Policy) -> Iterator[tuple[Case, Part]]:
    for workload in world.workloads:
        container = workload.container
        watch = world.watches.get(container.id) if container else None
        if container is None or watch is None:
            continue
        unowned = why_unowned(workload, policy)
        case = Case(container, workload, watch, policy, world.clock, skip=unowned)
        # while names can't be asked nobody is known: that says nothing of whether it may be
        is_nameless = unowned and world.snapshot.lacks("users")
        if not is_nameless and (part := part_of(case)):
            yield case, part


def _why_not(case: Case, part: Part, world: World) -> str | None:
    """Say why it may not be removed, however long it has been so; None: it may."""
    policy, workload = case.policy, case.workload
    if spared := protect.spared(workload, case.container, world, policy):
        return spared.why
    if why := protect.exempt(workload, part, policy, world.clock.now):
        return why
    if hold_of(case, part) is None:
        return "no limit holds for it"
    return case.skip or report_only(policy, part)
