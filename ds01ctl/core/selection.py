"""Choose and describe what a `detect` command was asked to show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ds01ctl.core.findings import KINDS, subject_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from ds01ctl.core.detect import Verdicts
    from ds01ctl.core.model import Gpu, Snapshot
    from ds01ctl.core.plan import Finding
    from ds01ctl.core.workloads import Workload


def findings(
    found: Iterable[Finding], user: str | None, kinds: Collection[str], gpu_uuid: str | None
) -> tuple[Finding, ...]:
    """Keep the findings of a user, of some kinds, on a GPU."""
    return tuple(
        finding
        for finding in found
        if (user is None or finding.user == user)
        and (not kinds or finding.kind in kinds)
        and (gpu_uuid is None or gpu_uuid in _gpus_of(finding))
    )


def _gpus_of(finding: Finding) -> set[str]:
    subject = finding.subject
    used = {str(use["uuid"]) for use in subject.get("gpus", ())}
    own = {str(subject["uuid"])} if subject.get("uuid") else set()
    return used | own | set(subject.get("gpu_uuids") or ())


def workloads(
    inventory: Iterable[Workload],
    user: str | None,
    kinds: Collection[str],
    gpu_uuid: str | None,
    *,
    show_all: bool,
) -> tuple[Workload, ...]:
    """Keep the workloads of a user, of some kinds, on a GPU; all, or those with a GPU."""
    return tuple(
        one
        for one in inventory
        if (show_all or (one.has_gpu and one.verdict not in {"infrastructure", "system"}))
        and (user is None or one.owner.login == user)
        and (not kinds or one.kind in kinds)
        and (gpu_uuid is None or gpu_uuid in _gpus_of_workload(one))
    )


def _gpus_of_workload(workload: Workload) -> set[str]:
    used = {use.gpu_uuid for use in workload.uses}
    access = workload.access
    return used | set(access.gpu_uuids or ()) if access else used


def gpu_uuid(name: str, snapshot: Snapshot) -> str | None:
    """Resolve an index, a UUID or the beginning of one that only one GPU has."""
    exact = [gpu.uuid for gpu in snapshot.gpus if name in {str(gpu.index), gpu.uuid}]
    begun = [gpu.uuid for gpu in snapshot.gpus if gpu.uuid.lower().startswith(name.lower())]
    return exact[0] if exact else (begun[0] if len(begun) == 1 else None)


def overview(verdicts: Verdicts, snapshot: Snapshot) -> dict[str, Any]:
    """Say what was looked at: a run that examined nothing says so."""
    counts = dict.fromkeys(KINDS, 0)
    for finding in verdicts.findings:
        counts[finding.kind] += 1
    return {
        "examined": {
            "gpus": len(snapshot.gpus) if not snapshot.lacks("nvml") or snapshot.gpus else None,
            "gpu_processes": len({use.pid for use in snapshot.uses})
            if not snapshot.lacks("nvml") or snapshot.gpus
            else None,
            "containers": len(snapshot.containers)
            if any(engine.answered for engine in snapshot.engines)
            else None,
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
    began = workload.since
    return {
        "kind": workload.kind,
        "verdict": workload.verdict,
        "why": workload.why,
        "user": workload.owner.login,
        "evidence": [*workload.evidence, *workload.owner.evidence],
        "memory_bytes": sum(known) if len(known) == len(sizes) else None,
        "age_s": max(int((snapshot.taken_at - began).total_seconds()), 0) if began else None,
        "subject": subject_of(workload, snapshot),
    }


def left_alone(verdicts: Verdicts, snapshot: Snapshot) -> list[dict[str, Any]]:
    """List what is not a finding, and why."""
    quiet = {"managed", "exempt", "infrastructure", "system", "unknown"}
    return [row(one, snapshot) for one in verdicts.workloads if one.verdict in quiet]


def sort_key(line: dict[str, Any], by: str) -> tuple[object, ...]:
    """Sort the rows of the inventory by user, GPU or container name; those without go last."""
    subject = line["subject"]
    indices = sorted(gpu["index"] for gpu in subject["gpus"] if gpu["index"] is not None)
    name = str(subject.get("name") or "~")
    user = str(line["user"] or "~")
    first_gpu = indices[0] if indices else 1 << 30
    if by == "gpu":
        return first_gpu, user, name
    if by == "container":
        return subject["type"], name, user
    return user, first_gpu, name
