"""What `cleanup` finds and does nothing about: its notices, as findings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.core.plan import Finding

if TYPE_CHECKING:
    from datetime import datetime

    from ds01ctl.core.cleanup_model import Notice
    from ds01ctl.core.plan import Severity

_TELLS: tuple[str, ...] = (
    "auto-remove",
    "build-cache",
    "dead",
    "departed-user",
    "events-lost",
    "idle-holding",
    "paused",
    "removing",
    "restarting",
    "volume",
)
"""Notices that tell, and warn of nothing."""
_WARNS: tuple[str, ...] = (
    "archived-problem",
    "departed-unknown",
    "exemption-user",
    "gpu-unknown",
    "idle-unknown",
    "images-disk-unknown",
    "images-hold-disk",
    "keep-cap",
    "keep-problem",
    "owner-contradicted",
    "protected-label",
    "type-without-entry",
    "unknown",
)
KINDS: tuple[str, ...] = tuple(f"cleanup-{kind}" for kind in sorted((*_TELLS, *_WARNS)))
"""The kinds of what `cleanup` finds."""


def finding_of(notice: Notice, now: datetime) -> Finding:
    """Make a finding of a notice."""
    kind = f"cleanup-{notice.kind}"
    severity: Severity = "info" if notice.kind in _TELLS else "warning"
    subject = {"type": "container" if notice.container else "host", "id": notice.container}
    key = (kind, notice.container or "", notice.user or "", notice.text)
    evidence = (notice.text, *notice.evidence)
    return Finding(kind, severity, notice.user, subject, evidence, key, first_seen=now)
