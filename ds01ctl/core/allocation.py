"""What GPUs a container was given, and who holds more than the policy gives."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ds01ctl.core import held
from ds01ctl.core.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from ds01ctl.core.model import Snapshot
    from ds01ctl.core.policy import Policy
    from ds01ctl.core.workload import Workload

_GPU_LABELS = (
    "ds01.gpu.uuids",
    "ds01.gpu.uuid",
    "ds01.gpu_slot",
    "ds01.gpu.slots",
    "ds01.gpu.allocated",
)
_RESOURCES = {"gpu": "gpu_equivalents", "containers": "containers"}
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
    for row in held.rows(inventory, snapshot, policy, now):
        if row.limit is not None and row.is_over:
            resource = _RESOURCES[row.kind]
            yield Excess(row.user, resource, row.used, row.limit, row.containers, row.evidence)
