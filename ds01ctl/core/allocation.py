"""What GPUs a container was given, and who holds more than the policy gives."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.core.gpu_access import GpuAccess, units
from ds01ctl.core.owner import TRACE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from ds01ctl.core.model import Container, Snapshot
    from ds01ctl.core.owner import Owner
    from ds01ctl.core.policy import Policy, Setting
    from ds01ctl.core.workload import Workload

_GPU_LABELS = (
    "ds01.gpu.uuids",
    "ds01.gpu.uuid",
    "ds01.gpu_slot",
    "ds01.gpu.slots",
    "ds01.gpu.allocated",
)
# ds01.gpu.allocated is a time by its schema and a slot in practice: tell them by shape
_TIMESTAMP = r"\d{4}-\d\d-\d\d[T ]"


class Excess(NamedTuple):
    """A user who holds more than the policy gives."""

    user: str
    resource: str
    """gpu_equivalents or containers."""
    held: float
    limit: float
    containers: tuple[str, ...]
    evidence: tuple[str, ...]


def allocated_gpus(workload: Workload, snapshot: Snapshot) -> tuple[frozenset[str], str] | None:
    """Tell which GPUs a container was given, and by what; None where that is not known.

    The platform's labels count for containers that it made; for all others what the engine was
    asked for. Both MIG devices and the GPUs they lie on are named by UUID.
    """
    container = workload.container
    if container is None or not snapshot.gpus:
        return None
    if workload.verdict == "managed":
        for label in _GPU_LABELS:
            value = container.labels.get(label, "")
            if value and not re.match(_TIMESTAMP, value) and (found := _resolve(value, snapshot)):
                return found, f"label {label}"
    access = workload.access
    if access is None or access.gpu_uuids is None:
        return None
    # what privileged adds is a finding of its own: it was given what was asked for
    given = access.explicit_uuids or access.gpu_uuids
    return given, "its configuration"


def _resolve(value: str, snapshot: Snapshot) -> frozenset[str]:
    """Resolve a list of UUIDs, indices or ``GPU:instance`` slots; empty if any is not known."""
    found = set()
    for token in (part.strip() for part in value.split(",")):
        uuid = _resolve_one(token, snapshot)
        if uuid is None:
            return frozenset()
        found.add(uuid)
    return frozenset(found)


def _resolve_one(token: str, snapshot: Snapshot) -> str | None:
    index, colon, instance = token.partition(":")
    for gpu in snapshot.gpus:
        mig = {device.uuid: device for device in gpu.mig_devices}
        if token in {gpu.uuid, str(gpu.index)}:
            return gpu.uuid
        if token in mig:
            return token
        # the number is a label's: any text at all
        if colon and index == str(gpu.index) and re.fullmatch(r"[0-9]{1,3}", instance):
            position = int(instance)
            if position < len(gpu.mig_devices):
                return gpu.mig_devices[position].uuid
            return gpu.uuid if not gpu.mig_mode else None
    return None


def over_quota(
    inventory: Sequence[Workload], snapshot: Snapshot, policy: Policy, now: datetime
) -> Iterator[Excess]:
    """Find users above their limits, all kinds of containers counted; a guess accuses nobody."""
    by_user: dict[str, list[Workload]] = {}
    for workload in inventory:
        owner = workload.owner
        counts = workload.container and workload.verdict != "infrastructure"
        if counts and owner.login and is_accountable(owner, snapshot):
            by_user.setdefault(owner.login, []).append(workload)
    for user, theirs in sorted(by_user.items()):
        yield from _too_many_gpus(user, theirs, snapshot, policy, now)
        yield from _too_many_containers(user, theirs, policy)


def is_accountable(owner: Owner, snapshot: Snapshot) -> bool:
    """Tell whether an owner is known well enough to be counted against a limit.

    A label alone accuses nobody, nor does a uid whose name, and so whose group, is not known.
    """
    is_nameless = owner.uid not in snapshot.users and snapshot.lacks("users")
    return owner.confidence != "guess" and owner.weight >= TRACE and not is_nameless


def _too_many_gpus(
    user: str, theirs: Sequence[Workload], snapshot: Snapshot, policy: Policy, now: datetime
) -> Iterator[Excess]:
    limit = _lowest(
        policy.limit(user, "max_gpu_equivalents"), policy.limit(user, "aggregate.gpu_limit")
    )
    if limit is None or not snapshot.gpus:
        return
    holding = [w for w in theirs if w.has_gpu and w.container and holds_gpu(w, policy, now)]
    held_by = [(w, uuids) for w in holding if (uuids := _held_uuids(w))]
    uuids = frozenset().union(*(uuids for _, uuids in held_by))
    held = units(GpuAccess(("held",), uuids, ()), snapshot.gpus)
    if held is None or held <= float(limit.value) + 1e-9:
        return
    names = tuple(w.container.name for w, _ in held_by if w.container)
    evidence = (
        f"holds {held:g} GPU-equivalents in {_counted(names)}",
        f"{limit.key} is {limit.value} ({limit.origin})",
    )
    yield Excess(user, "gpu_equivalents", held, float(limit.value), names, evidence)


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


def _too_many_containers(user: str, theirs: Sequence[Workload], policy: Policy) -> Iterator[Excess]:
    limit = _lowest(policy.limit(user, "max_containers_per_user"))
    live = [w.container for w in theirs if w.container and w.container.is_live]
    if limit is None or len(live) <= int(limit.value):
        return
    names = tuple(container.name for container in live)
    evidence = (
        f"runs {_counted(names)}",
        f"{limit.key} is {limit.value} ({limit.origin})",
    )
    yield Excess(user, "containers", len(names), int(limit.value), names, evidence)


def _counted(names: Sequence[str]) -> str:
    plural = "" if len(names) == 1 else "s"
    return f"{len(names)} container{plural}: {', '.join(names)}"


def _lowest(*limits: Setting) -> Setting | None:
    """Pick the strictest of the limits that are set; null is unlimited."""
    set_ones = [limit for limit in limits if limit.origin is not None and limit.value is not None]
    return min(set_ones, key=lambda limit: float(limit.value), default=None)
