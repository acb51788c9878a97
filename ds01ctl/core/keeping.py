"""What the state store need not keep: rows about what has been silent for weeks."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

KEPT = timedelta(days=28)
"""A source is missed for a week; what rests on it is kept four."""
_OF_ENGINES = frozenset({"unmanaged-container", "outside-slice"})


class Stored(NamedTuple):
    """What of the store can grow old; times are texts as they are stored."""

    sources: Mapping[str, datetime]
    """When each answered last."""
    inventory: Mapping[tuple[str, str], str]
    """JSON text by kind and identity."""
    findings: Iterable[tuple[str, ...]]
    runs: Mapping[str, datetime]
    """When each job's last run ended."""


class Stale(NamedTuple):
    """What may go, by table."""

    sources: tuple[str, ...] = ()
    inventory: tuple[tuple[str, str], ...] = ()
    findings: tuple[tuple[str, ...], ...] = ()
    runs: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return any(self)

    @property
    def counts(self) -> dict[str, int]:
        """Count the rows by table."""
        return {name: len(rows) for name, rows in self._asdict().items()}


def stale(stored: Stored, jobs: Iterable[str], now: datetime) -> Stale:
    """Pick what may go: sources silent for long, what rests on them alone, jobs that are no more.

    A thing whose source still answers is never old, however long it is there.
    """
    known = set(jobs)
    silent = {name for name, at in stored.sources.items() if now - at > KEPT}
    return Stale(
        tuple(sorted(silent)),
        tuple(sorted(key for key, row in stored.inventory.items() if _rests_on(row, silent))),
        tuple(sorted(key for key in stored.findings if _engine_of(key) in silent)),
        tuple(
            sorted(job for job, at in stored.runs.items() if job not in known and now - at > KEPT)
        ),
    )


def _rests_on(row: str, silent: set[str]) -> bool:
    try:
        said: Any = json.loads(row)
        sources = set(said["sources"])
    except (ValueError, TypeError, KeyError):
        return False
    return bool(sources) and sources <= silent


def _engine_of(key: tuple[str, ...]) -> str | None:
    """Name the engine that a finding about a container rests on."""
    if len(key) > 2 and (key[1] == "container" or key[0] in _OF_ENGINES) and "://" in key[2]:
        return f"engine:{key[2]}"
    return None
