"""Look for `cleanup` at images, build cache, networks and volumes, and at who has left."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from ds01ctl.core.cleanup_case import report_only
from ds01ctl.core.cleanup_model import Change, Plan

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ds01ctl.cleanupstate import ImageKey
    from ds01ctl.commands.cleanup_looking import Look
    from ds01ctl.commands.cleanup_settling import Settled
    from ds01ctl.core.cleanup import World
    from ds01ctl.core.cleanup_model import Part
    from ds01ctl.core.departed import Departed
    from ds01ctl.core.model import Container, Gap
    from ds01ctl.core.policy import Policy
    from ds01ctl.core.volumes import VolumeRow
    from ds01ctl.core.workload import Workload
    from ds01ctl.observe.engine_images import ImagesReading
    from ds01ctl.paths import Paths

ASKED = "departed_at"
"""The mark that says when it was asked last who has an account."""
ASK_AGAIN = timedelta(hours=20)
_ITSELF = "was made with --rm: a stop removes it, and cleanup.auto_remove is report"
IMAGE_PARTS: frozenset[Part] = frozenset({"images", "cache", "networks", "volumes"})


class Leftovers(NamedTuple):
    """What was found besides containers."""

    plan: Plan = Plan()
    reading: ImagesReading | None = None
    """None: no engine was asked about images."""
    uses: Mapping[ImageKey, tuple[int, int]] = {}
    """To be remembered: last use and first seen."""
    lost_at: Mapping[str, float] = {}
    """By engine: when uses may have gone unseen last."""
    reserve: tuple[Change, ...] = ()
    """Images that go after the planned ones, while the disk is still too full."""
    volumes: tuple[VolumeRow, ...] = ()
    people: tuple[Departed, ...] | None = None
    """Those who have left; None: nobody looked."""
    people_mark: Any = None
    """To be remembered of them; None: nothing new is known."""
    settled: tuple[Settled, ...] = ()
    gaps: tuple[Gap, ...] = ()

    def as_planned(self) -> Leftovers:
        """Do only what was planned, however full the disk is after it."""
        return self._replace(reserve=())


NOTHING = Leftovers()


def look(
    seen: Look, world: World, paths: Paths, *, sizes: bool = False, unfinished: bool = False
) -> Leftovers:
    """Look at what was asked for, and decide about it; breakers and --limit come afterwards.

    sizes: of volumes, too, which costs the engine a walk through each. unfinished: at images, too,
    to settle what was begun with them.
    """
    parts = seen.wish.parts
    found = _images(seen, paths, sizes=sizes, unfinished=unfinished)
    if "users" in parts:
        found = _with_people(found, seen, world, paths)
    plan = found.plan._replace(changes=_modes(found.plan.changes, seen.policy))
    found = found._replace(plan=plan, reserve=_modes(found.reserve, seen.policy))
    # it is beyond any number that was asked for
    return found if seen.wish.limit is None else found.as_planned()


def _modes(changes: Iterable[Change], policy: Policy) -> tuple[Change, ...]:
    return tuple(
        one if one.skip else one._replace(skip=report_only(policy, one.part)) for one in changes
    )


# --- images -----------------------------------------------------------------------------------


def _images(seen: Look, paths: Paths, *, sizes: bool, unfinished: bool) -> Leftovers:
    from ds01ctl.commands import cleanup_hearing
    from ds01ctl.observe import engine_images

    asked = seen.wish.parts & IMAGE_PARTS
    wanted = engine_images.EVERYTHING if asked else engine_images.USES
    wanted = wanted | {"images"} if unfinished else wanted
    wanted = wanted | {"volume-sizes"} if sizes else wanted
    reading, uses, lost_at = cleanup_hearing.hear(seen.memory, seen.policy, paths, wanted)
    found = Leftovers(Plan(), reading, uses, lost_at, gaps=reading.gaps)
    if asked:
        return _decided(found, seen, asked)
    return found._replace(settled=_settled(found, seen)) if unfinished else found


def _decided(found: Leftovers, seen: Look, asked: frozenset[Part]) -> Leftovers:
    from ds01ctl.core import build_cache, images, networks, volumes
    from ds01ctl.core.image_ages import Ages
    from ds01ctl.core.image_rules import rules as rules_of
    from ds01ctl.core.image_telling import events_lost

    reading, now, rules = found.reading, seen.clock.now, rules_of(seen.policy)
    assert reading is not None
    changes: list[Change] = []
    notices = list(found.plan.notices)
    reserve: tuple[Change, ...] = ()
    if "images" in asked:
        complete = reading.complete("images", "containers", "events")
        world = images.World(reading.images, reading.holders, found.uses, reading.disks, complete,
                             _of_infrastructure(found, seen), found.lost_at)  # fmt: skip
        decision = images.decide(world, rules, now)
        changes += decision.changes
        notices += decision.notices
        notices += [
            events_lost(engine, at_s, rules)
            for engine, at_s in sorted(found.lost_at.items())
            if engine in complete and Ages(rules, now.timestamp(), at_s).young(at_s - 1)
        ]
        reserve = decision.reserve
    if "cache" in asked:
        some, told = build_cache.decide(reading.cache, rules)
        changes += some
        notices += told
    if "networks" in asked:
        complete = reading.complete("networks", "containers")
        changes += networks.decide(reading.networks, reading.holders, found.uses, rules, now,
                                   complete)  # fmt: skip
    rows: tuple[VolumeRow, ...] = ()
    if "volumes" in asked:
        rows = volumes.rows(reading.volumes, reading.holders, found.uses,
                            reading.complete("volumes", "containers"))  # fmt: skip
        notices += volumes.notices(rows)
    plan = Plan(tuple(changes), tuple(notices))
    return found._replace(plan=plan, reserve=reserve, volumes=rows,
                          settled=_settled(found, seen))  # fmt: skip


def _of_infrastructure(found: Leftovers, seen: Look) -> set[str]:
    """Name the images that infrastructure is made from, by what made them and by id."""
    theirs = {
        one.container.id: one.container.image
        for one in seen.workloads
        if one.container and one.verdict in {"infrastructure", "system"}
    }
    holders = found.reading.holders if found.reading else ()
    ids = {one.image_id for one in holders if one.id in theirs and one.image_id}
    return {*filter(None, theirs.values()), *ids}


def _settled(found: Leftovers, seen: Look) -> tuple[Settled, ...]:
    """Settle what a run that was killed had begun with images and networks."""
    from ds01ctl.commands.cleanup_settling import of_leftover

    reading = found.reading
    assert reading is not None
    return tuple(
        one
        for row in seen.memory.begun
        if not row.kind.endswith("-container") and (one := of_leftover(row, reading))
    )


# --- people -----------------------------------------------------------------------------------


def asked_today(seen: Look, paths: Paths) -> Look:
    """Ask who has an account, if nobody has for a day, and only have it remembered.

    That somebody has left rests on answers from day to day, whoever asks for the part users.
    """
    told = seen.memory.mark(ASKED)
    with suppress(TypeError, ValueError):
        if timedelta(0) <= seen.clock.now - datetime.fromisoformat(told) < ASK_AGAIN:
            return seen
    is_asked = "users" in seen.wish.parts or not seen.has_containers
    if is_asked or seen.world is None or seen.snapshot.lacks("users"):
        return seen
    mark = _with_people(NOTHING, seen, seen.world, paths).people_mark
    return seen._replace(leftovers=seen.leftovers._replace(people_mark=mark))


def _with_people(found: Leftovers, seen: Look, world: World, paths: Paths) -> Leftovers:
    from ds01ctl.commands import cleanup_users
    from ds01ctl.core import cleanup_limits as limits
    from ds01ctl.core import cleanup_protect as protect

    mine = [one for one in seen.workloads if one.container]
    spared: dict[str, str] = {}
    for one, container in ((one, one.container) for one in mine if one.container):
        if container.state == "running" and _removes_itself(one, seen.policy):
            spared[container.id] = _ITSELF
        if left := protect.spared(one, container, world, seen.policy):
            spared[container.id] = left.why
    spared |= _spared(mine, seen, paths)
    known = cleanup_users.Known(
        seen.snapshot,
        seen.workloads,
        seen.clock,
        seen.memory.mark(cleanup_users.MARK),
        seen.watches,
        seen.keeps,
        {w.container.id: limits.limit(w, seen.policy, limits.HOLD) for w in mine if w.container},
        {w.container.id: _grace(w, seen.policy) for w in mine if w.container},
        spared,
        {},
        world.users,
    )
    told = cleanup_users.look(known, seen.policy, paths)
    plan = told.decision.plan
    is_unknown = any(one.kind == "departed-unknown" for one in plan.notices)
    return found._replace(
        plan=Plan(
            (*found.plan.changes, *plan.changes),
            (*found.plan.notices, *told.notices, *plan.notices),
        ),
        people=told.decision.people,
        people_mark=None if is_unknown else cleanup_users.mark_of(told.decision.memory),
        gaps=(*found.gaps, *told.gaps),
    )


def _spared(workloads: Iterable[Workload], seen: Look, paths: Paths) -> dict[str, str]:
    """Say which containers are not touched though their owner has left, and why."""
    found = {}
    for one in workloads:
        why = _why_stays(one, seen) if one.container else None
        if why is None and one.container and one.container.state == "running":
            why = _of_others(one, one.container, seen.policy, paths)
        if why and one.container:
            found[one.container.id] = why
    return found


def _why_stays(workload: Workload, seen: Look) -> str | None:
    """Say by which exemption it stays; a stopped one does while no stopped one is removed."""
    from ds01ctl.core import cleanup_protect as protect

    state = workload.container.state if workload.container else ""
    parts: tuple[Part, ...] = {"running": ("idle", "runtime"), "exited": ("stopped",)}.get(
        state, ()
    )  # type: ignore[assignment]  # three of the parts
    rows = (protect.exempt(workload, one, seen.policy, seen.clock.now) for one in parts)
    why = next((one for one in rows if one), None)
    return why or (report_only(seen.policy, "stopped") if state == "exited" else None)


def _of_others(
    workload: Workload, container: Container, policy: Policy, paths: Paths
) -> str | None:
    """Say that somebody else may be at work in it: a process is no system's and not the owner's."""
    from ds01ctl.observe import container_uids

    uids = container_uids.of(container, paths)
    if uids is None:
        return "as whom its processes run can't be read"
    first = int(policy.value("enforcement.min_uid"))
    others = sorted(uid for uid in uids if uid >= first and uid != workload.owner.uid)
    return f"uid {others[0]} is at work in it" if others else None


def _removes_itself(workload: Workload, policy: Policy) -> bool:
    config = workload.container.config if workload.container else None
    is_told_only = policy.value("cleanup.auto_remove") != "stop"
    return is_told_only and config is not None and config.auto_remove


def _grace(workload: Any, policy: Policy) -> int:
    from ds01ctl.core import cleanup_limits as limits
    from ds01ctl.core.departed_changes import GRACE_S

    value = limits.limit(workload, policy, limits.GRACE).value
    return GRACE_S if value is None else int(value)
