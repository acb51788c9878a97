"""What one reading of `carbon` leaves for the next, as JSON for the store."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ds01ctl.core.energy_parties import AT_BOOT, GroupUse, Usage
from ds01ctl.core.gpu_shares import GpuPast
from ds01ctl.core.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

_FORMAT = 2
"""Raise it when the fields change: what was kept before is then not understood."""


class Judged(NamedTuple):
    """What was found out about a container; it holds while nothing about it changes."""

    state: int
    """A sum of its engine, its state and when it started: it holds for these."""
    party: str | None
    """None: nobody is known to answer for it."""
    gpus: tuple[str, ...] = ()
    """GPUs and MIG devices that it holds, by UUID."""
    project: str = ""
    """As its label says; empty: none."""


class Memory(NamedTuple):
    """What was seen last."""

    boot_id: str
    at_us: int
    """When, microseconds since 1970: the clock of the driver's record."""
    usage: Usage
    gpus: Mapping[str, GpuPast]
    """By UUID."""
    names: Mapping[int, str] = {}
    """Login by uid, so that a directory that is away changes nobody's name."""
    names_at_us: int = 0
    """When all of them were looked up."""
    judged: Mapping[str, Judged] = {}
    """By container id."""
    mark: int = 0
    """Of the settings by which they were judged."""

    def usage_since(self, boot_id: str) -> Usage:
        """Give what had been used when the time began that a reading in this boot is about."""
        return self.usage if self.boot_id == boot_id else AT_BOOT

    def gpus_since(self, boot_id: str) -> dict[str, GpuPast]:
        """Give who was on the GPUs then, likewise: at the start of a host nobody is."""
        if self.boot_id == boot_id:
            return dict(self.gpus)
        return {uuid: GpuPast(seen_us=one.seen_us, holders={}) for uuid, one in self.gpus.items()}

    def from_us(self, boot_id: str, now_us: int, up_s: float) -> int:
        """Give when that time began, microseconds since 1970; up_s: since the boot."""
        is_same = self.boot_id == boot_id
        return self.at_us if is_same else max(self.at_us, now_us - round(up_s * 1e6))


def to_json(memory: Memory) -> str:
    """Write it as one line."""
    usage = memory.usage
    groups = {path: [*use, usage.parties.get(path)] for path, use in usage.groups.items()}
    written = [
        _FORMAT,
        memory.boot_id,
        memory.at_us,
        usage.total,
        groups,
        memory.gpus,
        memory.names,
        memory.names_at_us,
        memory.judged,
        memory.mark,
    ]
    return json.dumps(written, separators=(",", ":"))


def from_json(text: str) -> Memory | None:
    """Read what to_json wrote; None for anything else: the next interval's work is not known."""
    try:
        version, *fields = json.loads(text)
        return _memory(*fields) if version == _FORMAT else None
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None


def _memory(
    boot_id: str,
    at_us: int,
    total: list[Any] | None,
    groups: dict[str, list[Any]],
    gpus: dict[str, list[Any]],
    names: dict[str, str],
    names_at_us: int,
    judged: dict[str, list[Any]],
    mark: int,
) -> Memory:
    usage = Usage(
        {path: GroupUse(*row[:-1]) for path, row in groups.items()},
        None if total is None else GroupUse(*total),
        {path: row[-1] for path, row in groups.items() if row[-1] is not None},
    )
    pasts = {uuid: _past(*row) for uuid, row in gpus.items()}
    logins = {int(uid): name for uid, name in names.items()}
    containers = {name: _judged(*row) for name, row in judged.items()}
    whole = (int(names_at_us), containers, int(mark))
    return Memory(str(boot_id), int(at_us), usage, pasts, logins, *whole)


def _judged(state: int, party: str | None, gpus: list[str], project: str = "") -> Judged:
    return Judged(state, party, tuple(gpus), str(project))


def _past(
    pids: dict[str, str],
    memory: dict[str, int],
    seen_us: int,
    holders: dict[str, list[str]] | None,
    instances: dict[str, str],
) -> GpuPast:
    return GpuPast(
        {int(pid): party for pid, party in pids.items()},
        memory,
        int(seen_us),
        None if holders is None else {uuid: tuple(one) for uuid, one in holders.items()},
        {int(pid): uuid for pid, uuid in instances.items()},
    )
