"""Tell what the build cache holds, and have the engine shrink it where the policy says so.

Which records go is BuildKit's own affair: it knows what depends on what, and it has a policy of
its own. We say how much may stay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.core.cleanup_model import Change, Notice
from ds01ctl.core.sizes import size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ds01ctl.core.image_model import CacheRecord
    from ds01ctl.core.image_rules import Rules

_GIB = 1 << 30


class CacheRow(NamedTuple):
    """The build cache of one engine, by the type of its records."""

    engine: str
    type: str
    records: int
    size_bytes: int
    """Without what images have as well."""
    in_use_bytes: int
    """Of those, by builds that run now."""


def rows(records: Sequence[CacheRecord]) -> tuple[CacheRow, ...]:
    """Sum the records up, the largest type first."""
    groups: dict[tuple[str, str], list[CacheRecord]] = {}
    for record in records:
        groups.setdefault((record.engine, record.type), []).append(record)
    found = [
        CacheRow(engine, type_, len(some), _own(some), _own([one for one in some if one.in_use]))
        for (engine, type_), some in groups.items()
    ]
    return tuple(sorted(found, key=lambda row: (row.engine, -row.size_bytes, row.type)))


def decide(
    records: Sequence[CacheRecord], rules: Rules
) -> tuple[tuple[Change, ...], tuple[Notice, ...]]:
    """Plan one prune for each engine whose cache is above ``cleanup.cache.keep_gib``; else tell."""
    totals: dict[str, list[CacheRow]] = {}
    for row in rows(records):
        totals.setdefault(row.engine, []).append(row)
    changes, notices = [], []
    for engine, some in sorted(totals.items()):
        total = sum(row.size_bytes for row in some)
        if rules.cache_keep_gib is None:
            text = f"{engine}: the build cache holds {size(total)} that no image has"
            notices.append(Notice("build-cache", None, None, text, _told(some)))
        elif total > rules.cache_keep_gib * _GIB:
            changes.append(_change(engine, some, total, rules))
    return tuple(changes), tuple(notices)


def _own(records: Sequence[CacheRecord]) -> int:
    return sum(record.size_bytes for record in records if not record.shared)


def _told(some: Sequence[CacheRow]) -> tuple[str, ...]:
    return tuple(f"{row.type}: {row.records} records, {size(row.size_bytes)}" for row in some)


def _change(engine: str, some: Sequence[CacheRow], total: int, rules: Rules) -> Change:
    keep = int((rules.cache_keep_gib or 0) * _GIB)
    in_use = sum(row.in_use_bytes for row in some)
    return Change(
        kind="prune-build-cache",
        part="cache",
        target=engine,
        name="build cache",
        engine=engine,
        user=None,
        reason=f"it holds {size(total)} ({rules.told('cache.keep_gib')})",
        evidence=_told(some),
        identity={"keep_bytes": str(keep)},
        frees_bytes=max(0, total - max(keep, in_use)),
    )
