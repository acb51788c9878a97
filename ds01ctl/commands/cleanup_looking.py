"""Look once for `cleanup`: the containers, what they do, what is remembered of them; and decide."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

from ds01ctl import __version__
from ds01ctl.commands import cleanup_keepers, cleanup_leftovers, cleanup_memory, gathering
from ds01ctl.commands.cleanup_settling import Settled, settle
from ds01ctl.core import cleanup as core
from ds01ctl.core import cleanup_limits, idle
from ds01ctl.core.cleanup_holding import begun_anew
from ds01ctl.core.cleanup_model import PARTS, Part, Plan
from ds01ctl.core.inventory import inventory

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ds01ctl.commands.cleanup_leftovers import Leftovers
    from ds01ctl.commands.cleanup_memory import Memory
    from ds01ctl.core.cleanup_coming import Coming
    from ds01ctl.core.cleanup_model import Clock, Keep, Sample, Watch
    from ds01ctl.core.model import Container, Gap, Snapshot
    from ds01ctl.core.policy import Policy
    from ds01ctl.core.workload import Workload
    from ds01ctl.observe.container_facts import KnownFacts
    from ds01ctl.observe.gpu_activity import GpuActivity
    from ds01ctl.paths import Paths

CONTAINER_PARTS: frozenset[Part] = frozenset({"idle", "runtime", "stopped", "created", "gpu-holds"})
_SOURCES = frozenset({"docker", "nvml", "processes", "users"})


class Wish(NamedTuple):
    """What the admin asked for."""

    users: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    limit: int | None = None
    config: Path | None = None

    @property
    def parts(self) -> frozenset[Part]:
        """Give the parts that are asked for; images and the like are nobody's own."""
        asked = frozenset(cast("tuple[Part, ...]", self.only) or PARTS)
        return asked - cleanup_leftovers.IMAGE_PARTS if self.users else asked


class Look(NamedTuple):
    """One look at the host, and what follows from it."""

    wish: Wish
    snapshot: Snapshot
    policy: Policy
    workloads: tuple[Workload, ...]
    clock: Clock
    memory: Memory
    """As it was before."""
    watches: Mapping[str, Watch]
    """With this look in them; also of containers that are not there now."""
    samples: Mapping[str, Sample]
    keeps: Mapping[str, Keep]
    plan: Plan
    gaps: tuple[Gap, ...]
    facts: Mapping[str, KnownFacts]
    activity: GpuActivity | None
    leftovers: Leftovers
    """Images and the like, and departed users, as far as they were asked for."""
    settled: tuple[Settled, ...] = ()
    """What came of things that a run which was killed had begun."""
    addresses: Mapping[str, tuple[str, ...]] = {}
    world: core.World | None = None
    """What was decided upon."""

    def container(self, id_: str) -> Container | None:
        """Find a container of this look."""
        return next((one for one in self.snapshot.containers if one.id == id_), None)

    def workload(self, id_: str) -> Workload | None:
        """Find the workload of a container of this look."""
        return next((w for w in self.workloads if w.container and w.container.id == id_), None)

    @property
    def has_containers(self) -> bool:
        """Tell whether the run is for containers, too, and so writes what it saw of them."""
        return bool(self.wish.parts & (CONTAINER_PARTS | {"users"}))

    @property
    def is_whole(self) -> bool:
        """Tell whether everybody's containers were looked at for all that may be due to them."""
        return not self.wish.users and self.wish.limit is None


def look(wish: Wish, paths: Paths, *, sizes: bool = False, unfinished: bool = False) -> Look:
    """Look once, with what earlier runs remember, and decide. Writes nothing.

    sizes: of volumes, too. unfinished: at what a run that was killed had begun with images, too.
    """
    from ds01ctl.commands import remembering
    from ds01ctl.observe import cleanup_signals

    memory = cleanup_memory.recall(paths)
    past = remembering.recall(paths)
    seen_nvml = {gpu: int(at) for gpu, at in memory.numbers("nvml_seen").items()}
    gathered = gathering.gather(
        paths, wish.config, past.facts, past.sources, last_seen=seen_nvml
    )  # fmt: skip
    snapshot, policy = gathered.snapshot, gathered.loaded.policy
    workloads = inventory(snapshot, policy, snapshot.taken_at)
    clock = cleanup_signals.read_clock(paths)
    samples = _samples(gathered, paths, clock)
    settled, known = settle(memory, snapshot)
    watches = {**known, **_advanced(known, snapshot, workloads, samples, policy, clock)}
    kept = cleanup_keepers.read(workloads, policy, paths, clock)
    watches = {**watches, **_unwarned(watches, kept.keeps, clock)}
    gaps = tuple(dict.fromkeys((*snapshot.gaps, *memory.gaps, *kept.gaps)))
    seen = Look(wish, snapshot, policy, workloads, clock, memory, watches, samples, kept.keeps,
                Plan(), gaps, gathered.facts, gathered.activity, cleanup_leftovers.NOTHING,
                settled, gathered.addresses)  # fmt: skip
    return _decided(seen, kept.plan, paths, sizes=sizes, unfinished=unfinished)


def _unwarned(
    watches: Mapping[str, Watch], keeps: Mapping[str, Keep], clock: Clock
) -> dict[str, Watch]:
    """Forget what those who are kept now were warned of: when the keep ends, they are told anew.

    A file that kept is not there afterwards, so that nothing else would tell of it.
    """
    holding = (k for k in keeps.values() if k.problem or k.until is None or clock.now < k.until)
    ids = {one.id for one in holding} & watches.keys()
    return {id_: watches[id_]._replace(warned=()) for id_ in ids}


def _samples(gathered: gathering.Gathered, paths: Paths, clock: Clock) -> dict[str, Sample]:
    from ds01ctl.observe import cleanup_signals, gpu_activity

    snapshot, policy = gathered.snapshot, gathered.loaded.policy
    own = users_engines(snapshot)
    return cleanup_signals.read(
        [one for one in snapshot.containers if one.engine not in own],
        snapshot.uses,
        gathered.activity or gpu_activity.GpuActivity(problem="not asked"),
        paths,
        clock,
        jupyter_ports=tuple(policy.value("cleanup.jupyter_ports") or ()),
        deadline_s=float(policy.value("docker.timeout_s")),
        addresses=gathered.addresses,
    )


def users_engines(snapshot: Snapshot) -> frozenset[str]:
    """Name the engines that users run themselves, which are never touched."""
    return frozenset(one.host for one in snapshot.engines if one.is_users_own)


def _advanced(
    known: Mapping[str, Watch],
    snapshot: Snapshot,
    workloads: tuple[Workload, ...],
    samples: Mapping[str, Sample],
    policy: Policy,
    clock: Clock,
) -> dict[str, Watch]:
    """Add this look to what is remembered of each container that an engine of root's told."""
    own = users_engines(snapshot)
    found = {}
    for one in workloads:
        container = one.container
        if container is None or container.engine in own or not container.id:
            continue
        limits = core.thresholds(policy, cleanup_limits.account(one))
        before, sample = known.get(container.id), samples.get(container.id)
        found[container.id] = idle.advance(before, container, sample, limits, clock)
    listed = {one.id for one in snapshot.containers}
    return {id_: watch for id_, watch in found.items() if id_ in listed}


def _decided(seen: Look, keep_plan: Plan, paths: Paths, **how: bool) -> Look:
    """Decide about containers, then about what else was asked for."""
    wish, memory = seen.wish, seen.memory
    world = core.World(
        seen.snapshot,
        seen.workloads,
        seen.watches,
        seen.keeps,
        seen.clock,
        admins=cleanup_keepers.admins(seen.policy, paths, seen.clock),
        sources_down=sources_down(seen.snapshot, seen.gaps),
        version_since=memory.version_since(__version__),
        previous=memory.clock,
        only=wish.parts & CONTAINER_PARTS,
        users=chosen(seen, paths),
        limit=wish.limit,
        nobody=cleanup_keepers.nobodys(seen.policy, seen.snapshot, paths),
    )
    held = begun_anew(
        world,
        seen.policy,
        are_keeps_known=not keep_plan.trips,
        departed=_departed(seen),
    )
    seen = seen._replace(watches={**seen.watches, **held})
    world = world._replace(watches=seen.watches)
    plan = core.proposed(world, seen.policy) if world.only else Plan()
    left = cleanup_leftovers.look(seen, world, paths, **how)
    # together: a number, and what is too much, are of the whole run
    whole = plan._replace(changes=(*plan.changes, *left.plan.changes))
    plan = _joined(core.bounded(whole, world, seen.policy), keep_plan, left.plan)
    gaps = tuple(dict.fromkeys((*seen.gaps, *left.gaps)))
    return seen._replace(plan=plan, leftovers=left, gaps=gaps, world=world)


def _departed(seen: Look) -> frozenset[int]:
    """Give the uids of users who have left; mostly there are none, and nothing is imported."""
    mark = seen.memory.mark("departed")
    if not mark:
        return frozenset()
    from ds01ctl.commands import cleanup_users

    return cleanup_users.gone_uids(mark, seen.policy, seen.clock.now)


def _joined(*plans: Plan) -> Plan:
    from ds01ctl.core.breakers import held_back

    trips = tuple(dict.fromkeys(trip for plan in plans for trip in plan.trips))
    notices = tuple(dict.fromkeys(one for plan in plans for one in plan.notices))
    # a keep file that can't be read holds back what the others planned
    return Plan(held_back(plans[0].changes, plans[1].trips), notices, trips)


def coming_of(seen: Look) -> tuple[Coming, ...]:
    """Tell what comes next to whom, the next first."""
    from ds01ctl.core.cleanup_coming import coming

    return coming(seen.world, seen.policy) if seen.world else ()


def chosen(seen: Look, paths: Paths) -> frozenset[str] | None:
    """Resolve --user to logins; None: everybody's. Raises UsageError for nobody known here."""
    from ds01ctl.config.nearest import nearest
    from ds01ctl.errors import UsageError

    owners = {one.owner.login for one in seen.workloads if one.owner.login}
    known = {*owners, *seen.policy.roster, *seen.snapshot.users.values(), *seen.snapshot.uids}
    if strange := set(seen.wish.users) - known:
        # who has nothing here may have an account all the same
        asked = cleanup_keepers.ask_names(strange, seen.policy, seen.snapshot, paths)
        known |= strange if asked.gaps else set(asked.uids)
    for login in seen.wish.users:
        if login not in known:
            near = nearest(login, known)
            hint = f"did you mean {near}?" if near else "give a login"
            raise UsageError(f"no user {login} is known here", hint)
    return frozenset(seen.wish.users) or None


def sources_down(snapshot: Snapshot, gaps: tuple[Gap, ...]) -> frozenset[str]:
    """Name the sources that did not answer, beside what the snapshot itself says."""
    down = {gap.source for gap in gaps if gap.kind != "absent" and gap.source in _SOURCES}
    if not snapshot.lacks("docker"):
        # a user's own engine is no source of ours
        down.discard("docker")
    if snapshot.gpus:
        # a single GPU that is lost makes its own containers' signals fail, and no others'
        down.discard("nvml")
    if any(gap.source == "state" for gap in gaps):
        down.add("state")
    return frozenset(down)
