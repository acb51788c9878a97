"""Build a finding about a workload or a GPU: subject, key, and the evidence for its owner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ds01ctl.core.plan import Finding
from ds01ctl.core.subjects import identity, subject_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ds01ctl.core.model import Gpu, Process, Snapshot
    from ds01ctl.core.plan import Severity
    from ds01ctl.core.workload import Workload


def about_gpu(
    kind: str,
    severity: Severity,
    gpu: Gpu,
    evidence: Sequence[str],
    extra: dict[str, Any] | None = None,
    *more_key: str,
) -> Finding:
    """Build a finding about a GPU; more_key tells several of one kind apart."""
    subject = {"type": "gpu", "index": gpu.index, "uuid": gpu.uuid, "name": gpu.name}
    return Finding(
        kind,
        severity,
        None,
        {**subject, **(extra or {})},
        tuple(evidence),
        (kind, gpu.uuid, *more_key),
    )


def about_workload(
    kind: str,
    severity: Severity,
    workload: Workload,
    snapshot: Snapshot,
    evidence: Sequence[str],
    process: Process | None = None,
) -> Finding:
    """Build a finding about a container, or a process."""
    owner = f"owner by {workload.owner.rule} ({workload.owner.confidence})"
    named = (
        f"{owner}: {text}" if not index else text
        for index, text in enumerate(workload.owner.evidence)
    )
    return Finding(
        kind,
        severity,
        workload.owner.login,
        subject_of(workload, snapshot, process),
        (*evidence, *named),
        (kind, *identity(workload, snapshot, process)),
        since=process.started_at if process else workload.since,
    )
