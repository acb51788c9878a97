"""What each user holds of the GPUs and of the containers that the policy gives, and the limit."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from ds01ctl.core.gpu_access import GpuAccess, units
from ds01ctl.core.owner import TRACE
from ds01ctl.core.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from ds01ctl.core.model import Container, Gap, Snapshot
    from ds01ctl.core.owner import Owner
    from ds01ctl.core.policy import Policy, Setting
    from ds01ctl.core.workload import Workload

HeldKind = Literal["gpu", "containers"]
KINDS: tuple[HeldKind, ...] = ("gpu", "containers")
# sevenths of a GPU do not add up to the last bit
_ROUNDING = 1e-9
_SOURCES: dict[HeldKind, frozenset[str]] = {
    "gpu": frozenset({"nvml", "docker", "processes", "users"}),
    "containers": frozenset({"docker", "users"}),
}


class Held(NamedTuple):
    """What a user holds of one kind, and what the policy gives."""

    user: str
    kind: HeldKind
    used: float
    """GPU-equivalents, a MIG device by its share of compute; or the number of containers."""
    limit: float | None
    """None: no limit."""
    origin: str | None
    """Where the limit was written, a null one too; None: nowhere."""
    containers: tuple[str, ...]
    evidence: tuple[str, ...]

    @property
    def is_over(self) -> bool:
        """Tell whether it is more than the limit."""
        return self.limit is not None and self.used > self.limit + _ROUNDING


def rows(
    inventory: Sequence[Workload], snapshot: Snapshot, policy: Policy, now: datetime
) -> tuple[Held, ...]:
    """Count what every user holds, all kinds of containers counted; none for who holds nothing.

    What could not be read is not in it: `unknown_kinds` tells where rows may be missing or low.
    """
    found: list[Held] = []
    for user, theirs in sorted(_by_user(inventory, snapshot).items()):
        found += _gpus(user, theirs, snapshot, policy, now)
        found += _containers(user, theirs, policy)
    return tuple(found)


def unknown_kinds(gaps: Iterable[Gap]) -> frozenset[HeldKind]:
    """Tell of which kinds users may hold more than the rows say: a silent engine is no empty one.

    Even a source that is "absent" counts: Docker's socket is, too, while Docker is stopped.
    """
    silent = {gap.source for gap in gaps}
    return frozenset(kind for kind in KINDS if silent & _SOURCES[kind])


def is_accountable(owner: Owner, snapshot: Snapshot) -> bool:
    """Tell whether an owner is known well enough to be counted against a limit.

    A label alone accuses nobody, nor does a uid whose name, and so whose group, is not known.
    """
    is_nameless = owner.uid not in snapshot.users and snapshot.lacks("users")
    return owner.confidence != "guess" and owner.weight >= TRACE and not is_nameless


def _by_user(inventory: Iterable[Workload], snapshot: Snapshot) -> dict[str, list[Workload]]:
    """Sort containers by who answers for them; the platform's own services are nobody's."""
    by_user: dict[str, list[Workload]] = {}
    for workload in inventory:
        owner = workload.owner
        counts = workload.container and workload.verdict != "infrastructure"
        if counts and owner.login and is_accountable(owner, snapshot):
            by_user.setdefault(owner.login, []).append(workload)
    return by_user


# --- GPUs -------------------------------------------------------------------------------------


def _gpus(
    user: str, theirs: Sequence[Workload], snapshot: Snapshot, policy: Policy, now: datetime
) -> Iterator[Held]:
    """Count each unit once, however many containers share it; nothing where that is not known."""
    if not snapshot.gpus:
        return
    holding = [w for w in theirs if w.has_gpu and w.container and holds_gpu(w, policy, now)]
    held_by = [(w, uuids) for w in holding if (uuids := _held_uuids(w))]
    uuids = frozenset().union(*(uuids for _, uuids in held_by))
    used = units(GpuAccess(("held",), uuids, ()), snapshot.gpus)
    if not used:
        return
    names = tuple(w.container.name for w, _ in held_by if w.container)
    limit = _strictest(
        policy.limit(user, "max_gpu_equivalents"), policy.limit(user, "aggregate.gpu_limit")
    )
    most = None if limit is None or limit.value is None else float(limit.value)
    said = f"holds {used:g} GPU-equivalents in {_counted(names)}"
    yield Held(user, "gpu", used, most, _origin(limit), names, (said, *_told(limit)))


def _held_uuids(workload: Workload) -> frozenset[str]:
    """Collect the distinct units a container was given or uses: at least these.

    Privileged opens every GPU and holds none but those that are asked for or used.
    """
    access = workload.access
    used = {use.mig_uuid or use.gpu_uuid for use in workload.uses}
    if access is None:
        return frozenset(used)
    asked = access.explicit_uuids
    return (access.known_uuids if asked is None else asked) | used


def holds_gpu(workload: Workload, policy: Policy, now: datetime) -> bool:
    """Tell whether a container keeps its GPU: while it lives, and the hold time after it stops."""
    container = workload.container
    if container is None:
        return False
    if container.is_live:
        return True
    if workload.verdict != "managed" or container.state != "exited":
        return False
    return _is_held(
        container, policy.limit(workload.owner.login or "", "gpu_hold_after_stop_h"), now
    )


def _is_held(container: Container, hold: Setting, now: datetime) -> bool:
    if hold.origin is None or container.finished_at is None:
        return False
    return hold.value is None or now - container.finished_at < timedelta(hours=float(hold.value))


# --- containers -------------------------------------------------------------------------------


def _containers(user: str, theirs: Sequence[Workload], policy: Policy) -> Iterator[Held]:
    live = [w.container for w in theirs if w.container and w.container.is_live]
    if not live:
        return
    names = tuple(container.name for container in live)
    limit = _strictest(policy.limit(user, "max_containers_per_user"))
    most = None if limit is None or limit.value is None else int(limit.value)
    evidence = (f"runs {_counted(names)}", *_told(limit))
    yield Held(user, "containers", len(names), most, _origin(limit), names, evidence)


# --- limits -----------------------------------------------------------------------------------


def _strictest(*limits: Setting) -> Setting | None:
    """Pick the strictest of the limits that are set; null is unlimited, and holds if all are."""
    written = [limit for limit in limits if limit.origin is not None]
    finite = [limit for limit in written if limit.value is not None]
    unlimited = written[0] if written else None
    return min(finite, key=lambda limit: float(limit.value), default=unlimited)


def _origin(limit: Setting | None) -> str | None:
    return str(limit.origin) if limit else None


def _told(limit: Setting | None) -> tuple[str, ...]:
    if limit is None:
        return ()
    value = "null" if limit.value is None else limit.value
    return (f"{limit.key} is {value} ({limit.origin})",)


def _counted(names: Sequence[str]) -> str:
    plural = "" if len(names) == 1 else "s"
    return f"{len(names)} container{plural}: {', '.join(names)}"
