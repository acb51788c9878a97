"""The rules of `detect`: from a workload, an owner or a GPU to findings with their evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ds01ctl.core.allocation import allocated_gpus, over_quota
from ds01ctl.core.cgroup_path import is_below
from ds01ctl.core.finding import about_gpu, about_workload
from ds01ctl.core.lost_access import LOST, cannot_be_seen, of_lost_access
from ds01ctl.core.plan import Finding
from ds01ctl.core.subjects import gpu_name, short

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from ds01ctl.core.model import Gpu, GpuUse, Process, Snapshot
    from ds01ctl.core.plan import Severity
    from ds01ctl.core.policy import Policy
    from ds01ctl.core.workload import Workload

KINDS = (
    "unmanaged-container",
    "host-gpu-process",
    "gpu-mismatch",
    "over-gpu-quota",
    "outside-slice",
    "privileged-gpu-container",
    LOST,
    "ghost-gpu-memory",
    "zombie-gpu-process",
    "unattributed",
    "gpu-unhealthy",
    "mig-without-instances",
)
"""Every kind of finding, in the order of the documentation."""

_OF_ENGINES = {"unmanaged-container", "outside-slice", "privileged-gpu-container"}
_OF_BOTH = {"gpu-mismatch", "over-gpu-quota", "unattributed", LOST}


def blind_kinds(snapshot: Snapshot) -> frozenset[str]:
    """Name the kinds of finding that can't be seen at all now: none found is not none there."""
    no_gpus = snapshot.lacks("nvml") and not snapshot.gpus
    no_engines = not any(engine.answered for engine in snapshot.engines)
    of_gpus = set(KINDS) - _OF_ENGINES
    blind = of_gpus if no_gpus else set()
    if cannot_be_seen(snapshot):
        blind = blind | {LOST}
    return frozenset(blind | (_OF_ENGINES | _OF_BOTH if no_engines else set()))


_QUIET = {"infrastructure", "system"}


def of_workload(workload: Workload, snapshot: Snapshot, policy: Policy) -> Iterator[Finding]:
    """Find what is wrong with one workload.

    Infrastructure and the system's own are left alone, but where they are ill themselves.
    """
    for process in workload.processes:
        if process.state in {"Z", "X"}:
            yield _zombie(process, workload, snapshot)
    yield from of_lost_access(workload, snapshot)
    if workload.verdict in _QUIET:
        return
    if workload.verdict == "unmanaged":
        yield _unmanaged(workload, snapshot)
    # where a gap is the reason, the gap tells
    if workload.uses and workload.owner.login is None and workload.verdict != "unknown":
        yield about_workload("unattributed", "warning", workload, snapshot, (workload.why,))
    if workload.container:
        yield from _of_container(workload, snapshot, policy)


def _unmanaged(workload: Workload, snapshot: Snapshot) -> Finding:
    kind = "host-gpu-process" if workload.kind == "host-process" else "unmanaged-container"
    severity: Severity = "warning" if workload.has_gpu else "info"
    evidence = (workload.why, *workload.evidence, *_gpu_evidence(workload, snapshot))
    return about_workload(kind, severity, workload, snapshot, evidence)


def _gpu_evidence(workload: Workload, snapshot: Snapshot) -> Iterator[str]:
    if workload.access:
        yield from workload.access.evidence
    elif workload.container:
        yield "its GPU access is not known: it could not be inspected"
    if workload.uses:
        yield "uses " + ", ".join(sorted({gpu_name(use, snapshot) for use in workload.uses}))


def _of_container(workload: Workload, snapshot: Snapshot, policy: Policy) -> Iterator[Finding]:
    container = workload.container
    if container is None:
        return
    if container.config and container.config.privileged and container.is_live and snapshot.gpus:
        text = "privileged: every GPU and every device node of the host is open to it"
        yield about_workload("privileged-gpu-container", "warning", workload, snapshot, (text,))
    yield from _mismatch(workload, snapshot)
    yield from _outside(workload, snapshot, policy)


def _outside(workload: Workload, snapshot: Snapshot, policy: Policy) -> Iterator[Finding]:
    """Compare the real cgroup, whatever inspect says, with the slice that carries the limits."""
    container = workload.container
    slice_name = str(policy.value("platform.slice"))
    in_force = policy.files and policy.value("enforcement.aggregate_limits")
    if not in_force or not container or not container.cgroup or workload.verdict == "exempt":
        return
    if is_below(container.cgroup, slice_name):
        return
    text = f"its real cgroup is {short(container.cgroup)}, not below {slice_name}"
    bound = f"the limits of {workload.owner.login or 'its owner'} do not bind it"
    severity: Severity = "warning" if workload.has_gpu else "info"
    yield about_workload("outside-slice", severity, workload, snapshot, (text, bound))


def _mismatch(workload: Workload, snapshot: Snapshot) -> Iterator[Finding]:
    """Compare what it uses with what it was given, where both are known."""
    allocated = allocated_gpus(workload, snapshot)
    if allocated is None:
        return
    given, source = allocated
    strange = [use for use in workload.uses if not _is_given(use, given, snapshot)]
    if strange:
        names = ", ".join(sorted({gpu_name(use, snapshot) for use in strange}))
        evidence = (f"uses {names}, was given {_names(given, snapshot)} ({source})",)
        yield about_workload("gpu-mismatch", "warning", workload, snapshot, evidence)


def _is_given(use: GpuUse, given: frozenset[str], snapshot: Snapshot) -> bool:
    """Tell whether a use is of something given; one in an instance that is not known may be."""
    if use.gpu_uuid in given or use.mig_uuid in given:
        return True
    gpu = next((gpu for gpu in snapshot.gpus if gpu.uuid == use.gpu_uuid), None)
    inside = {device.uuid for device in gpu.mig_devices} if gpu else set()
    return use.mig_uuid is None and bool(inside & given)


def _names(uuids: frozenset[str], snapshot: Snapshot) -> str:
    by_uuid = {gpu.uuid: f"GPU {gpu.index}" for gpu in snapshot.gpus}
    return ", ".join(sorted(by_uuid.get(uuid, uuid) for uuid in uuids)) or "no GPU"


def _zombie(process: Process, workload: Workload, snapshot: Snapshot) -> Finding:
    text = f"pid {process.pid} is dead (state {process.state}) but its GPU memory is not free"
    cure = f"its parent, pid {process.ppid}, has not reaped it"
    return about_workload(
        "zombie-gpu-process", "warning", workload, snapshot, (text, cure), process
    )


def of_owners(
    inventory: Sequence[Workload], snapshot: Snapshot, policy: Policy, now: datetime
) -> Iterator[Finding]:
    """Find the users who hold more than the policy gives them."""
    for excess in over_quota(inventory, snapshot, policy, now):
        subject = {
            "type": "user",
            "user": excess.user,
            "resource": excess.resource,
            "held": excess.held,
            "limit": excess.limit,
            "containers": list(excess.containers),
        }
        key = ("over-gpu-quota", excess.user, excess.resource)
        yield Finding("over-gpu-quota", "warning", excess.user, subject, excess.evidence, key)


def of_gpus(snapshot: Snapshot, policy: Policy) -> Iterator[Finding]:
    """Find what is wrong with the GPUs themselves."""
    if snapshot.driver.error not in {None, "LIBRARY_NOT_FOUND", "NO_PERMISSION"}:
        yield _driver(snapshot)
    for gpu in snapshot.gpus:
        if gpu.health not in {"ok", "unknown"}:
            evidence = (f"GPU {gpu.index} {gpu.health}: {gpu.error or 'no reason given'}",)
            yield about_gpu("gpu-unhealthy", "critical", gpu, evidence)
        elif gpu.health == "ok" and gpu.mig_mode and not gpu.mig_devices:
            text = f"GPU {gpu.index} has MIG on and no instance: no CUDA program can use it"
            yield about_gpu("mig-without-instances", "warning", gpu, (text,))
        yield from _ghost(gpu, snapshot, policy)
        yield from _dead(gpu, snapshot)


def _driver(snapshot: Snapshot) -> Finding:
    error = str(snapshot.driver.error)
    text = f"NVML: {error}"
    if error == "LIB_RM_VERSION_MISMATCH":
        text += ": the driver was upgraded and its old kernel module still runs; reboot"
    subject = {"type": "driver", "error": error, "version": snapshot.driver.version}
    return Finding("gpu-unhealthy", "critical", None, subject, (text,), ("gpu-unhealthy", error))


def _ghost(gpu: Gpu, snapshot: Snapshot, policy: Policy) -> Iterator[Finding]:
    """Find memory that no process explains; where a process's share is unknown nothing is said."""
    missing = unexplained_bytes(gpu, snapshot)
    if missing is None or missing < int(policy.value("detect.ghost_memory_mib")) << 20:
        return
    holders = snapshot.device_holders.get(gpu.uuid)
    evidence = [f"GPU {gpu.index} has {missing >> 20} MiB in use that no process explains"]
    if holders is None:
        evidence.append("who has its device node open was not visible; run as root to see")
    elif holders:
        evidence += [f"open by pid {pid}{_who(pid, snapshot)}" for pid in holders]
    else:
        evidence.append("nobody has its device node open: the driver holds it; reset the GPU")
    extra: dict[str, Any] = {"unexplained_bytes": missing, "holders": list(holders or ())}
    yield about_gpu("ghost-gpu-memory", "warning", gpu, evidence, extra)


def unexplained_bytes(gpu: Gpu, snapshot: Snapshot) -> int | None:
    """Compute used memory that no listed process accounts for; None where that can't be known."""
    if gpu.memory_used_bytes is None or not gpu.processes_known or gpu.mig_mode:
        return None
    if not gpu.memory_is_net:
        return None
    explained = 0
    for use in (*snapshot.uses, *snapshot.dead):
        if use.gpu_uuid == gpu.uuid:
            if use.memory_bytes is None:
                return None
            explained += use.memory_bytes
    return max(gpu.memory_used_bytes - explained, 0)


def _dead(gpu: Gpu, snapshot: Snapshot) -> Iterator[Finding]:
    for use in snapshot.dead:
        if use.gpu_uuid == gpu.uuid:
            size = (
                "an unknown amount" if use.memory_bytes is None else f"{use.memory_bytes >> 20} MiB"
            )
            text = f"pid {use.pid} holds {size} on GPU {gpu.index}, and no such process exists"
            extra: dict[str, Any] = {
                "pid": use.pid,
                "unexplained_bytes": use.memory_bytes,
                "holders": [],
            }
            yield about_gpu("ghost-gpu-memory", "warning", gpu, [text], extra, str(use.pid))


def _who(pid: int, snapshot: Snapshot) -> str:
    process = snapshot.processes.get(pid)
    if process is None:
        return ""
    return f" ({process.comm}, {snapshot.users.get(process.uid, process.uid)})"
