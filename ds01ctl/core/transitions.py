"""Tell what changed between two recorded runs, for sources that answered in both.

A source that did not answer keeps its last good rows, so that an engine's silence is never
"everything exited" and its return never "everything discovered".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ds01ctl.core.model import LIVE
from ds01ctl.core.record import NamedTuple
from ds01ctl.core.subjects import identity
from ds01ctl.core.timestamp import format_time

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from ds01ctl.core.model import Snapshot
    from ds01ctl.core.plan import Finding
    from ds01ctl.core.workload import Workload

Identity = tuple[str, ...]
Rows = dict[Identity, dict[str, Any]]
_NOT_TOLD = {"sources", "user", "started_at"}
_PRIORITIES = {"critical": 2, "warning": 4, "info": 6}


class Transition(NamedTuple):
    """One change, as the event log will tell it."""

    type: str
    user: str | None
    details: Mapping[str, Any]
    message: str
    priority: int = 6
    """As in syslog(3)."""


def rows(inventory: Sequence[Workload], snapshot: Snapshot) -> Rows:
    """Make the rows to remember: every container by engine and id, every host process."""
    found: Rows = {}
    for workload in inventory:
        container = workload.container
        if container:
            found["container", container.engine, container.id] = {
                "name": container.name,
                "image": container.image,
                "state": container.state,
                "started_at": container.started_at and format_time(container.started_at),
                "kind": workload.kind,
                "user": workload.owner.login,
                "has_gpu": workload.has_gpu,
                "sources": [f"engine:{container.engine}"],
            }
        elif workload.kind == "host-process" and workload.verdict != "system":
            process = workload.processes[0]
            found[identity(workload, snapshot)] = {
                "pid": process.pid,
                "name": process.comm,
                "user": workload.owner.login,
                "kind": workload.kind,
                "sources": sorted({f"gpu:{use.gpu_uuid}" for use in workload.uses}),
            }
    return found


def answered(snapshot: Snapshot) -> frozenset[str]:
    """Name the sources that answered in full."""
    engines = {f"engine:{engine.host}" for engine in snapshot.engines if engine.answered}
    gpus = {f"gpu:{gpu.uuid}" for gpu in snapshot.gpus if gpu.processes_known}
    whole = {name for name in ("nvml", "docker", "policy") if not snapshot.lacks(name)}
    return frozenset(engines | gpus | whole)


def compare(
    old: Rows, new: Rows, ever_answered: AbstractSet[str], snapshot: Snapshot
) -> tuple[list[Transition], Rows]:
    """Compare two runs' rows; return the changes, and the rows to remember."""
    changes: list[Transition] = []
    keep: Rows = dict(new)
    now_answered = answered(snapshot)
    for key, row in sorted(old.items()):
        if key in new:
            changes.extend(_changed(key, row, new[key]))
        elif _is_gone(key, row, now_answered, snapshot):
            if row.get("state", "running") in LIVE:
                changes.append(_transition("exited", key, row))
        else:
            keep[key] = row
    for key, row in sorted(new.items()):
        if key not in old and set(row["sources"]) <= ever_answered:
            changes.append(_transition("discovered", key, row))
    return changes, keep


def _is_gone(
    key: Identity, row: Mapping[str, Any], now_answered: AbstractSet[str], snapshot: Snapshot
) -> bool:
    """Tell whether what a row stands for is gone, not merely unseen."""
    if key[0] == "container":
        return set(row["sources"]) <= now_answered
    if key[1] != snapshot.boot_id:
        return True
    pid = int(key[2])
    process = snapshot.processes.get(pid)
    if process is not None and str(process.start_ticks) != key[3]:
        return True
    if pid in snapshot.unreadable or process is not None:
        return False
    # a GPU that is no longer listed at all answers through the whole of NVML
    return "nvml" in now_answered or set(row["sources"]) <= now_answered


def _changed(key: Identity, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Transition]:
    if key[0] != "container":
        return
    before, after = old.get("state"), new.get("state")
    if before == after:
        if before in LIVE and _was_restarted(old, new):
            yield _transition("exited", key, old)
            yield _transition("discovered", key, new)
        return
    if before in LIVE and after not in LIVE:
        yield _transition("exited", key, {**new, "previous_state": before})
    else:
        yield _transition("status_changed", key, {**new, "previous_state": before})


def _was_restarted(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    starts = old.get("started_at"), new.get("started_at")
    return None not in starts and starts[0] != starts[1]


def _transition(what: str, key: Identity, row: Mapping[str, Any]) -> Transition:
    user = row.get("user")
    details = {name: value for name, value in row.items() if name not in _NOT_TOLD}
    who = f" of {user}" if user else ""
    if key[0] == "container":
        details |= {"engine": key[1], "container_id": key[2]}
        state = f" ({row['previous_state']} -> {row['state']})" if "previous_state" in row else ""
        message = f"container {row['name']}{who} {what.replace('_', ' ')}{state}"
        return Transition(f"detection.container_{what}", user, details, message)
    details |= {"boot_id": key[1], "start_ticks": key[3]}
    message = f"host GPU process {row['pid']} ({row['name']}){who} {what}"
    return Transition(f"detection.host_gpu_process_{what}", user, details, message)


def confirmed(
    findings: Sequence[Finding], confirmed_before: AbstractSet[Identity]
) -> list[Transition]:
    """Make an event of each finding that is confirmed for the first time."""
    return [
        Transition(
            f"detection.{finding.kind.replace('-', '_')}",
            finding.user,
            _details(finding),
            _message(finding),
            _PRIORITIES[finding.severity],
        )
        for finding in findings
        if not finding.new and finding.key not in confirmed_before
    ]


def _details(finding: Finding) -> dict[str, Any]:
    """Keep what identifies the subject, and as much evidence as an event's line has room for."""
    subject = {name: _cut(value) for name, value in finding.subject.items() if name != "pids"}
    # one that is on many GPUs, or in much evidence, must not blank its own event
    subject["gpus"] = list(subject.get("gpus") or ())[:8]
    evidence = [_cut(text) for text in finding.evidence[:6]]
    return {**subject, "severity": finding.severity, "evidence": evidence}


def _cut(value: Any) -> Any:
    return value[:160] + "…" if isinstance(value, str) and len(value) > 160 else value


def _message(finding: Finding) -> str:
    """Say in one line who and what, and why."""
    subject = finding.subject
    name = subject.get("name") or subject["type"]
    about = {
        "container": f"container {name}",
        "process": f"process {subject.get('pid')} ({name})",
        "gpu": f"GPU {subject.get('index')}",
        "user": "holdings",
    }.get(subject["type"], str(name))
    whose = f" of {finding.user}" if finding.user else ""
    return f"{_cut(about)}{whose}: {_cut(finding.evidence[0])}"
