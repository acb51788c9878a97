"""The one JSON document that every command prints with ``--json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ds01ctl.core.plan import Finding, Result

SCHEMA = "ds01ctl/v1"
_ROWS = 200
"""So many of a long list are printed at a time."""


def of_result(result: Result) -> dict[str, Any]:
    """Build the document of a command that ran."""
    return {
        "schema": SCHEMA,
        "command": result.command,
        "host": result.host,
        "time": result.time,
        "status": result.status,
        "gaps": [
            {"source": gap.source, "kind": gap.kind, "reason": gap.reason} for gap in result.gaps
        ],
        "findings": [_finding(finding, result.time) for finding in result.findings],
        "actions": [
            {
                "kind": action.kind,
                "target": action.target,
                "reason": action.reason,
                "outcome": action.outcome,
                "error": action.error,
            }
            for action in result.actions
        ],
        "data": result.data,
        "error": None,
    }


def of_error(
    command: str, host: str, time: datetime, error: Mapping[str, Any], data: Mapping[str, Any]
) -> dict[str, Any]:
    """Build the document of a command that could not run; error: message, hint, exit_code."""
    return {
        "schema": SCHEMA,
        "command": command,
        "host": host,
        "time": time,
        "status": "error",
        "gaps": [],
        "findings": [],
        "actions": [],
        "data": data,
        "error": error,
    }


def _finding(finding: Finding, now: datetime) -> dict[str, Any]:
    began = finding.since or finding.first_seen
    return {
        "kind": finding.kind,
        "severity": finding.severity,
        "user": finding.user,
        "subject": finding.subject,
        "evidence": finding.evidence,
        "first_seen": finding.first_seen,
        "age_s": max(int((now - began).total_seconds()), 0) if began else None,
        "new": finding.new,
    }


def dumps(document: Mapping[str, Any]) -> str:
    """Print a document: ASCII only, so that no value can reach a terminal as an escape."""
    return "".join(pieces(document))


def pieces(document: Mapping[str, Any], depth: int = 2) -> Iterator[str]:
    """Print a document piece by piece: as a whole, one of 10,000 rows takes much memory at once.

    depth: so many levels of objects are gone through; all that is deeper is one piece.
    """
    before = "{"
    for key, value in document.items():
        yield f"{before}{_encoded(key)}:"
        yield from _pieces_of(value, depth - 1)
        before = ","
    yield "{}" if before == "{" else "}"


def _pieces_of(value: object, depth: int) -> Iterator[str]:
    if depth and isinstance(value, dict) and all(isinstance(key, str) for key in value):
        yield from pieces(value, depth)
    elif isinstance(value, (list, tuple)) and len(value) > _ROWS:
        for at in range(0, len(value), _ROWS):
            # without the brackets of each part
            yield ("," if at else "[") + _encoded(value[at : at + _ROWS])[1:-1]
        yield "]"
    else:
        yield _encoded(value)


def _encoded(value: object) -> str:
    # indented output would take the encoder written in Python: ten times the CPU
    return json.dumps(value, default=_plain, separators=(",", ":"))


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} has no place in a document")
