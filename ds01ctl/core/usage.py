"""What a person's work uses, and how much of it was slowed down or killed since the last look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

COUNTERS = ("throttled_us", "oom_kills", "forks_refused")
"""Counters of the kernel that are added up over the lives of a slice."""

_SUMMED = frozenset({"forks_refused"})
"""Added up over the groups below, which come and go."""


class Usage(NamedTuple):
    """One reading of one control group; None is unknown."""

    inode: int
    """Another one is another group of the same name, whose counters begin at 0."""
    cpu_us: int | None = None
    throttled_us: int | None = None
    memory_bytes: int | None = None
    """Page cache included."""
    swap_bytes: int | None = None
    tasks: int | None = None
    oom_kills: int | None = None
    forks_refused: int | None = None
    cpu_pressure: float | None = None
    """PSI: % of the last 10 s in which some task waited."""
    memory_pressure: float | None = None
    io_pressure: float | None = None


class Count(NamedTuple):
    """A counter that outlives its slice."""

    total: int
    """Since we first looked."""
    delta: int
    """Since the last recorded look."""


def counters(text: str) -> dict[str, int]:
    """Read lines of ``name number``."""
    words = text.split()
    try:
        return dict(zip(words[::2], map(int, words[1::2]), strict=True))
    except ValueError:
        # not what the kernel writes: each line for itself
        pairs = (line.split() for line in text.splitlines())
        return {p[0]: int(p[1]) for p in pairs if len(p) == 2 and p[1].isdecimal()}


def pressure(text: str | None) -> float | None:
    """Read avg10 of the line ``some`` of a pressure file."""
    _, found, rest = (text or "").partition("some avg10=")
    try:
        return float(rest.partition(" ")[0]) if found else None
    except ValueError:
        return None


def count(
    usage: Usage, before: Mapping[str, Any] | None, boot_id: str, *, is_first: bool
) -> dict[str, Count]:
    """Compare the counters with the last recorded look, as `remembered` wrote it.

    A slice that was made anew, after a log-out or a boot, begins at 0; so does a counter that is
    less than it was. At the very first look of all, what the counters say is the start.
    """
    said = before or {}
    is_same = said.get("inode") == usage.inode and said.get("boot") == boot_id
    found = {}
    for name in COUNTERS:
        now = getattr(usage, name)
        if now is None:
            continue
        last = said.get(name)
        raw, total = (last["raw"], last["total"]) if last else (0, 0)
        if is_first and not last:
            found[name] = Count(0, 0)
            continue
        delta = now - raw if is_same and now >= raw else now
        if name in _SUMMED and is_same and now < raw:
            # a part of the sum has ended: what is left was counted before
            delta = 0
        found[name] = Count(total + delta, delta)
    return found


def remembered(usage: Usage, counts: Mapping[str, Count], boot_id: str) -> dict[str, Any]:
    """Write down what the next look compares with."""
    row: dict[str, Any] = {"inode": usage.inode, "boot": boot_id}
    for name, one in counts.items():
        row[name] = {"raw": getattr(usage, name), "total": one.total}
    return row
