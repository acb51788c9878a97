"""What was decided and what came of it: findings, actions, and the result of a command."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from ds01ctl.core.record import NamedTuple

if TYPE_CHECKING:
    from ds01ctl.core.model import Gap

Severity = Literal["critical", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("critical", "warning", "info")


class Finding(NamedTuple):
    """Something an admin should know, with the evidence for it."""

    kind: str
    severity: Severity
    user: str | None
    subject: Mapping[str, Any]
    """What it is about: typed, snake_case, units in the key."""
    evidence: tuple[str, ...]
    key: tuple[str, ...]
    """Identity across runs; a restart or a reused pid gives another."""
    since: datetime | None = None
    """When the thing itself began: a process's or container's start."""
    first_seen: datetime | None = None
    """When a recording run first saw the finding; this run where none did."""
    new: bool = False
    """Too young, or seen in too few recorded scans, to act upon."""


class Action(NamedTuple):
    """A change that is planned, or was made."""

    kind: str
    target: str
    reason: str
    outcome: Literal["planned", "done", "skipped", "failed"] = "planned"
    error: str | None = None


class Result(NamedTuple):
    """What a command returns; the command line renders it once and maps it to an exit code."""

    command: str
    host: str
    time: datetime
    gaps: tuple[Gap, ...] = ()
    findings: tuple[Finding, ...] = ()
    actions: tuple[Action, ...] = ()
    data: Mapping[str, Any] = {}
    failed_gaps: bool = False
    """A gap counts as a failure: exit 3."""

    @property
    def status(self) -> Literal["ok", "partial"]:
        """Say whether everything that was asked for could be done."""
        failed = any(action.outcome == "failed" for action in self.actions)
        return "partial" if failed or self.failed_gaps else "ok"
