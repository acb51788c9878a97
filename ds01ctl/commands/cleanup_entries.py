"""What the book of a run has of a change, and what a watch has of a stop."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ds01ctl.cleanupstate import Logged
from ds01ctl.commands import gathering
from ds01ctl.commands.cleanup_memory import at_text
from ds01ctl.core.cleanup_model import DONE_UNWRITTEN

if TYPE_CHECKING:
    from ds01ctl.commands.cleanup_did import Did
    from ds01ctl.core.cleanup_model import Change, Watch
    from ds01ctl.state import StateError


def key_of(change: Change) -> tuple[str, str, str]:
    """Give what tells one thing to do from all others of a run."""
    return change.kind, change.engine, change.target


def logged(change: Change, outcome: str, more: dict[str, Any]) -> Logged:
    """Make a row of the book; more: what it has besides what `said_of` gives."""
    at = at_text(gathering.utcnow())
    row = json.dumps(said_of(change) | more)
    return Logged(0, at, change.kind, change.part, change.target, change.user, outcome, row)


def said_of(change: Change) -> dict[str, Any]:
    """Give what a row has of a change."""
    return {
        "name": change.name,
        "engine": change.engine,
        "reason": change.reason,
        "evidence": list(change.evidence),
        "identity": dict(change.identity),
        "stage": change.stage,
    }


def told_of(did: Did) -> dict[str, Any]:
    """Give what a row has of what came of it."""
    return {
        "channels": list(did.channels),
        "channel_errors": list(did.channel_errors),
        "freed_bytes": did.freed_bytes,
    }


def stopped(watch: Watch, change: Change) -> Watch:
    """Note that a stop was ours, and the hold that its owner is told of with it."""
    watch = watch._replace(stopped_by_us=change.reason)
    hold = change.ending.hold if change.ending else None
    if hold is None:
        return watch
    return watch._replace(promised_s=hold.total_seconds(), is_hold_told=True)


def unwritten(did: Did, error: StateError) -> Did:
    """Tell of one that was done that it was, though the store has nothing of it."""
    if did.outcome != "done":
        return did
    again = "; it is given again" if did.change.kind == "warn" else ""
    told = f"{DONE_UNWRITTEN} it could not be noted down: {error.message}{again}"
    return did._replace(outcome="failed", error=told)
