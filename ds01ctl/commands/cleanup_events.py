"""The events of `cleanup`: what it did to what, and what kept it from doing so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ds01ctl.commands import gathering
from ds01ctl.core.cleanup_model import DONE_UNWRITTEN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ds01ctl.commands.cleanup_did import Did
    from ds01ctl.commands.cleanup_settling import Settled
    from ds01ctl.core.cleanup_model import Trip
    from ds01ctl.core.model import Gap
    from ds01ctl.core.policy import Policy
    from ds01ctl.paths import Paths
    from ds01ctl.report.events import Event

SOURCE = "ds01ctl cleanup"
_TYPES = {
    ("warn", "idle"): "maintenance.alert_idle",
    ("warn", "runtime"): "maintenance.alert_runtime",
    ("stop-container", "idle"): "maintenance.idle_kill",
    ("stop-container", "runtime"): "maintenance.runtime_kill",
    ("release-gpu", "gpu-holds"): "gpu.release",
    ("start-container", "idle"): "maintenance.undo",
    ("start-container", "runtime"): "maintenance.undo",
    ("start-container", "users"): "maintenance.undo",
    ("revoke-grant", "users"): "access.revoke",
}
"""As the platform has called them; all else is maintenance.cleanup."""
_VERBS = {
    "warn": "warned of",
    "stop-container": "stopped",
    "remove-container": "removed",
    "start-container": "started again",
    "release-gpu": "released the GPU of",
    "remove-image": "removed image",
    "untag-image": "untagged",
    "prune-build-cache": "shrank",
    "remove-network": "removed network",
    "remove-volume": "removed volume",
    "revoke-grant": "revoked",
}


def append(events: list[Event], policy: Policy, paths: Paths) -> tuple[Gap, ...]:
    """Write events to the log and the journal; a gap for each that did not take them."""
    from ds01ctl.report import events as sink

    log = paths.under(str(policy.value("events.path")))
    return sink.append(events, log, paths.journal_socket, gathering.utcnow())


def of_dids(dids: list[Did], command: str = SOURCE) -> Iterator[Event]:
    """Make the events of what was done, or could not be; what was left alone makes none."""
    for did in dids:
        change = did.change
        if did.outcome not in {"done", "failed"}:
            continue
        details = {
            "change": change.kind,
            "part": change.part,
            "target": change.target,
            "name": change.name,
            "engine": change.engine,
            "reason": change.reason,
            "evidence": list(change.evidence),
            "outcome": did.outcome,
            "error": did.error,
            "stage": change.stage,
            "channels": list(did.channels),
            "channel_errors": list(did.channel_errors),
            "freed_bytes": did.freed_bytes,
        }
        yield _event(change.kind, change.part, change.user, details, command)


def of_settled(one: Settled) -> Event:
    """Make the event of what a run had done that was killed before it could tell."""
    row = one.row
    details = {
        "change": row.kind,
        "part": row.part,
        "target": row.target,
        **{name: one.said.get(name) for name in ("name", "engine", "reason", "evidence")},
        "outcome": one.outcome,
        "error": one.error,
        "began": row.at,
        "settled": True,
    }
    return _event(row.kind, row.part, row.user, details, SOURCE)


def of_trip(trip: Trip) -> Event:
    """Make the event of a circuit breaker."""
    from ds01ctl.report.events import Event

    details = {"breaker": trip.breaker, "parts": list(trip.parts), "reason": trip.text}
    message = f"breaker {trip.breaker}: {trip.text}; nothing of it was stopped or removed"
    return Event("maintenance.breaker", None, SOURCE, details, message, 4)


def _event(kind: str, part: str, user: str | None, details: dict[str, Any], source: str) -> Event:
    from ds01ctl.report.events import Event

    type_ = _TYPES.get((kind, part), "maintenance.cleanup")
    name, failed = details["name"] or details["target"], details["outcome"] == "failed"
    what = f"{_VERBS.get(kind, kind)} {name}"
    message = f"{what}: {details['reason']}"
    if failed and str(details["error"]).startswith(DONE_UNWRITTEN):
        message = f"{message}; {details['error']}"
    elif failed:
        message = f"not {message} FAILED: {details['error']}"
    priority = 4 if failed else 6 if kind == "warn" else 5
    return Event(type_, user, source, details, message, priority)
