"""Describe what a finding, an event or a row is about: typed, snake_case, units in the key."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ds01ctl.core.model import GpuUse, Process, Snapshot
    from ds01ctl.core.workload import Workload

_LONG_ID = r"([0-9a-f]{12})[0-9a-f]{52}"


def short(text: str) -> str:
    """Cut container ids to the twelve digits that people use."""
    return re.sub(_LONG_ID, r"\1…", text)


def identity(
    workload: Workload, snapshot: Snapshot, process: Process | None = None
) -> tuple[str, ...]:
    """Identify a workload across runs: a restart or a reused pid is another one."""
    container = workload.container
    if process is None and container:
        started = container.started_at.isoformat() if container.started_at else ""
        return "container", container.engine, container.id, started
    if process is None and workload.place and workload.place.home == "container":
        return "container", workload.place.runtime, workload.place.id or "", ""
    process = process or next(iter(workload.processes), None)
    if process is None:
        return "process", snapshot.boot_id, str(workload.uses[0].pid), ""
    return "process", snapshot.boot_id, str(process.pid), str(process.start_ticks)


def subject_of(
    workload: Workload, snapshot: Snapshot, process: Process | None = None
) -> dict[str, Any]:
    """Describe what a finding or an inventory row is about."""
    about = _process_subject if process or workload.kind == "host-process" else _container_subject
    return {
        **about(workload, process or next(iter(workload.processes), None)),
        "owner": {
            "login": workload.owner.login,
            "uid": workload.owner.uid,
            "rule": workload.owner.rule,
            "confidence": workload.owner.confidence,
            "corroborated": workload.owner.corroborated,
        },
        "gpus": [gpu_use(use, snapshot) for use in workload.uses],
    }


def _container_subject(workload: Workload, _process: Process | None) -> dict[str, Any]:
    container, place, access = workload.container, workload.place, workload.access
    started = container and (container.started_at or container.created_at)
    return {
        "type": "container",
        "engine": container.engine if container else None,
        "id": container.id if container else (place.id if place else None),
        "name": container.name if container else None,
        "image": container.image if container else None,
        "state": container.state if container else None,
        "container_kind": workload.kind,
        "runtime": place.runtime if place else None,
        "cgroup": container.cgroup if container else None,
        "inner_id": place.inner_id if place else None,
        "started_at": started,
        "gpu_access": list(access.forms) if access else None,
        "gpu_uuids": sorted(access.gpu_uuids) if access and access.gpu_uuids is not None else None,
        "pids": [process.pid for process in workload.processes],
    }


def _process_subject(workload: Workload, process: Process | None) -> dict[str, Any]:
    place = workload.place
    return {
        "type": "process",
        "pid": process.pid if process else workload.uses[0].pid,
        "start_ticks": process.start_ticks if process else None,
        "uid": process.uid if process else None,
        "name": process.comm if process else None,
        "exe": process.exe if process else None,
        "cmdline": process.cmdline if process else None,
        "cgroup": process.cgroup if process else None,
        "place": place.runtime if place else None,
        "unit": place.id if place else None,
        "container_pid": process.container_pid if process else None,
        "started_at": process.started_at if process else None,
    }


def gpu_use(use: GpuUse, snapshot: Snapshot) -> dict[str, Any]:
    """Describe one process's use of one GPU; memory that is not known is null."""
    index = next((gpu.index for gpu in snapshot.gpus if gpu.uuid == use.gpu_uuid), None)
    return {
        "pid": use.pid,
        "index": index,
        "uuid": use.gpu_uuid,
        "mig_uuid": use.mig_uuid,
        "gpu_instance": use.gpu_instance,
        "compute_instance": use.compute_instance,
        "type": use.type,
        "memory_bytes": use.memory_bytes,
    }


def gpu_name(use: GpuUse, snapshot: Snapshot) -> str:
    """Name a GPU or MIG instance as an admin would: ``GPU 0``, ``GPU 1 MIG 1g.5gb (GI 7)``."""
    gpu = next((gpu for gpu in snapshot.gpus if gpu.uuid == use.gpu_uuid), None)
    name = f"GPU {gpu.index}" if gpu else use.gpu_uuid
    if use.mig_uuid or use.gpu_instance is not None:
        devices = gpu.mig_devices if gpu else ()
        profile = next((d.profile for d in devices if d.uuid == use.mig_uuid and d.profile), "")
        name += f" MIG {profile}".rstrip() + f" (GI {use.gpu_instance})"
    return name
