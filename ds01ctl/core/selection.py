"""Choose and describe what a `detect` command was asked to show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ds01ctl.core.detect import natural
from ds01ctl.core.findings import KINDS, blind_kinds
from ds01ctl.core.subjects import subject_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from collections.abc import Set as AbstractSet

    from ds01ctl.core.model import Gpu, Snapshot
    from ds01ctl.core.plan import Finding
    from ds01ctl.core.workload import Workload


def findings(
    found: Iterable[Finding],
    user: str | None,
    kinds: Collection[str],
    gpus: AbstractSet[str] | None,
) -> tuple[Finding, ...]:
    """Keep the findings of a user, of some kinds, on some GPUs or MIG devices (by UUID)."""
    return tuple(
        finding
        for finding in found
        if (user is None or finding.user == user)
        and (not kinds or finding.kind in kinds)
        and (gpus is None or gpus & _gpus_of(finding))
    )


def _gpus_of(finding: Finding) -> set[str]:
    subject = finding.subject
    used = {str(use[key]) for use in subject.get("gpus", ()) for key in ("uuid", "mig_uuid")}
    own = {str(subject["uuid"])} if subject.get("uuid") else set()
    return used | own | set(subject.get("gpu_uuids") or ())


def workloads(
    inventory: Iterable[Workload],
    user: str | None,
    kinds: Collection[str],
    gpus: AbstractSet[str] | None,
    *,
    show_all: bool,
) -> tuple[Workload, ...]:
    """Keep the workloads of a user, of some kinds, on some GPUs; all, or those with a GPU."""
    return tuple(
        one
        for one in inventory
        if (show_all or (one.has_gpu and one.verdict not in {"infrastructure", "system"}))
        and (user is None or one.owner.login == user)
        and (not kinds or one.kind in kinds)
        and (gpus is None or gpus & _gpus_of_workload(one))
    )


def _gpus_of_workload(workload: Workload) -> set[str | None]:
    used = {uuid for use in workload.uses for uuid in (use.gpu_uuid, use.mig_uuid)}
    access = workload.access
    return used | set(access.gpu_uuids or ()) if access else used


def gpu_uuids(name: str, snapshot: Snapshot) -> frozenset[str] | None:
    """Resolve an index, a UUID, the beginning of one, or ``GPU:INSTANCE``; None: no such GPU.

    A GPU stands for its MIG devices as well.
    """
    index, colon, instance = name.partition(":")
    for gpu in snapshot.gpus:
        if colon and index == str(gpu.index):
            inside = {d.uuid for d in gpu.mig_devices if str(d.gpu_instance) == instance}
            return frozenset(inside) or None
    exact = [gpu for gpu in snapshot.gpus if name in {str(gpu.index), gpu.uuid}]
    begun = [gpu for gpu in snapshot.gpus if gpu.uuid.lower().startswith(name.lower())]
    found = exact or (begun if len(begun) == 1 else [])
    return frozenset(u for g in found for u in (g.uuid, *(d.uuid for d in g.mig_devices))) or None


def overview(found: Iterable[Finding], snapshot: Snapshot) -> dict[str, Any]:
    """Count the findings, and say what was looked at: what could not be seen is null, not 0."""
    blind = blind_kinds(snapshot)
    counts: dict[str, int | None] = {kind: None if kind in blind else 0 for kind in KINDS}
    for finding in found:
        counts[finding.kind] = (counts[finding.kind] or 0) + 1
    has_gpus = bool(snapshot.gpus) or not snapshot.lacks("nvml")
    has_engine = any(engine.answered for engine in snapshot.engines)
    pids = {use.pid for use in snapshot.uses}
    return {
        "examined": {
            "gpus": len(snapshot.gpus) if has_gpus else None,
            "gpu_processes": len(pids) if has_gpus else None,
            "containers": len(snapshot.containers) if has_engine else None,
        },
        "counts": counts,
        "driver_version": snapshot.driver.version,
        "gpus": [_gpu(gpu) for gpu in snapshot.gpus],
        "engines": [
            {"host": engine.host, "answered": engine.answered, "version": engine.version}
            for engine in snapshot.engines
        ],
    }


def _gpu(gpu: Gpu) -> dict[str, Any]:
    return {
        "index": gpu.index,
        "uuid": gpu.uuid,
        "name": gpu.name,
        "health": gpu.health,
        "error": gpu.error,
        "memory_total_bytes": gpu.memory_total_bytes,
        "memory_used_bytes": gpu.memory_used_bytes,
        "utilization_percent": gpu.utilization_percent,
        "persistence_mode": gpu.persistence_mode,
        "compute_mode": gpu.compute_mode,
        "processes_known": gpu.processes_known,
        "mig_mode": gpu.mig_mode,
        "mig_mode_pending": gpu.mig_mode_pending,
        "mig_devices": [
            {
                "uuid": device.uuid,
                "profile": device.profile,
                "gpu_instance": device.gpu_instance,
                "compute_instance": device.compute_instance,
                "memory_total_bytes": device.memory_total_bytes,
                "memory_used_bytes": device.memory_used_bytes,
            }
            for device in gpu.mig_devices
        ],
    }


def row(workload: Workload, snapshot: Snapshot) -> dict[str, Any]:
    """Describe one workload of the inventory."""
    sizes = [use.memory_bytes for use in workload.uses]
    known = [size for size in sizes if size is not None]
    # no use that was seen is no use only where all could be seen
    is_known = len(known) == len(sizes) and (bool(sizes) or not snapshot.lacks("nvml"))
    began = workload.since
    return {
        "kind": workload.kind,
        "verdict": workload.verdict,
        "why": workload.why,
        "user": workload.owner.login,
        "evidence": [*workload.evidence, *workload.owner.evidence],
        "memory_bytes": sum(known) if is_known else None,
        "age_s": max(int((snapshot.taken_at - began).total_seconds()), 0) if began else None,
        "subject": subject_of(workload, snapshot),
    }


def left_alone(chosen: Iterable[Workload], snapshot: Snapshot) -> list[dict[str, Any]]:
    """List what is not a finding, and why."""
    return [row(one, snapshot) for one in chosen if one.verdict != "unmanaged"]


def sort_key(line: dict[str, Any], by: str) -> tuple[object, ...]:
    """Sort the rows of the inventory by user, GPU or container name; those without go last."""
    subject = line["subject"]
    indices = sorted(gpu["index"] for gpu in subject["gpus"] if gpu["index"] is not None)
    name = natural(str(subject.get("name") or "~"))
    user = str(line["user"] or "~")
    first_gpu = indices[0] if indices else 1 << 30
    if by == "gpu":
        return first_gpu, user, name
    if by == "container":
        return subject["type"], name, user
    return user, first_gpu, name
