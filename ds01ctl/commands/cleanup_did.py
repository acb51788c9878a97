"""What came of one thing that `cleanup` was to do."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ds01ctl.core.plan import Action
from ds01ctl.errors import Ds01Error

if TYPE_CHECKING:
    from collections.abc import Callable

    from ds01ctl.act.engine import Done
    from ds01ctl.core.cleanup_model import Change

Outcome = Literal["planned", "done", "skipped", "failed"]


class Did(NamedTuple):
    """A change, and what came of it."""

    change: Change
    outcome: Outcome
    error: str | None = None
    """Why it was not done, or failed."""
    note: str = ""
    """What else is to be known of one that was done."""
    channels: tuple[str, ...] = ()
    """Of a warning: how it was delivered."""
    freed_bytes: int | None = None
    channel_errors: tuple[str, ...] = ()
    """Of a warning: why other channels did not take it."""
    is_unknown: bool = False
    """Of one that failed: it may be done yet; the next run looks, and settles it."""


def planned(change: Change) -> Did:
    """Tell of a change that is not made yet."""
    return Did(change, "skipped" if change.skip else "planned", change.skip)


def action(did: Did) -> Action:
    """Give it as the contract has actions."""
    reason = f"{did.change.reason}; {did.note}" if did.note else did.change.reason
    return Action(did.change.kind, did.change.target, reason, did.outcome, did.error)


def row(did: Did) -> dict[str, Any]:
    """Give it as JSON has it among the data."""
    change = did.change
    return {
        "kind": change.kind,
        "part": change.part,
        "target": change.target,
        "name": change.name,
        "engine": change.engine,
        "user": change.user,
        "reason": f"{change.reason}; {did.note}" if did.note else change.reason,
        "evidence": list(change.evidence),
        "identity": dict(sorted(change.identity.items())),
        "grace_s": change.grace_s,
        "stage": change.stage,
        "overdue_s": int(change.overdue_s),
        "frees_bytes": change.frees_bytes,
        "freed_bytes": did.freed_bytes,
        "outcome": did.outcome,
        "error": did.error,
        "channels": list(did.channels),
        "channel_errors": list(did.channel_errors),
    }


def recorded(did: Did) -> str:
    """Give what the book has of it: what is not known yet stays begun."""
    return "begun" if did.is_unknown else did.outcome


def host() -> str:
    """Name this host."""
    return os.uname().nodename


def of_act(change: Change, act: Callable[[], Done]) -> Did:
    """Do it, and tell what came of it."""
    try:
        return of_done(change, act())
    except Ds01Error as error:
        return of_done(change, error)


def of_done(change: Change, became: Done | Ds01Error) -> Did:
    """Tell what came of one act; what was so already is not our doing."""
    from ds01ctl.act.engine_answers import UnknownError

    if isinstance(became, Ds01Error):
        told = f"{became.message}; {became.hint}" if became.hint else became.message
        return Did(change, "failed", told, is_unknown=isinstance(became, UnknownError))
    if became.outcome == "done":
        return Did(change, "done", note=became.why, freed_bytes=became.freed_bytes)
    return Did(change, "skipped", became.why or "it is so already")
