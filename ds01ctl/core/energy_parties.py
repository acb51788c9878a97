"""Who used the processors and the memory: control groups made parties, once and for all of it.

A group counts what is below it, too, also of what has ended since. So of each group only what is in
none of those below counts as its own; what a common parent has in excess is what departed groups
used up to their end.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.core.energy_model import SYSTEM, UNATTRIBUTED, Activity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

USERS = "/user.slice"
"""The parent of everybody's slice of log-ins."""
_ID_LENGTH = 64
_HEX = frozenset("0123456789abcdef")
_USER_SLICE = r"user-(\d{1,10})\.slice"


class GroupUse(NamedTuple):
    """What a control group, or the whole host, has used since it was made."""

    cpu_us: int
    memory_bytes: int | None
    """In use now; None: not counted here."""
    at_s: float
    """CLOCK_BOOTTIME."""
    inode: int = 0
    """It is another group when that is another."""


class Usage(NamedTuple):
    """All groups at one time, and whose they are."""

    groups: Mapping[str, GroupUse]
    """By path. One that belongs to no party is a parent that departed ones have in common."""
    total: GroupUse | None
    """Of the host; None: could not be read."""
    parties: Mapping[str, str] = {}
    """By path."""


AT_BOOT = Usage({}, GroupUse(0, None, 0.0))
"""What everybody had used when the host started."""


class Done(NamedTuple):
    """What was done between two looks."""

    seconds: float
    parties: Mapping[str, Activity]
    """Without SYSTEM, which is what is left."""
    total: Activity | None


NOTHING = Done(0.0, {}, None)


def uid_of(path: str) -> int | None:
    """Read whose slice of log-ins a group is; None for any other group."""
    above, _, name = path.rpartition("/")
    match = re.fullmatch(_USER_SLICE, name) if above == USERS else None
    return int(match[1]) if match else None


def container_id(path: str) -> str | None:
    """Read the id of the container whose own group it is, by whatever engine; None for others."""
    name = path.rpartition("/")[2].removesuffix(".scope")[-_ID_LENGTH:]
    return name if len(name) == _ID_LENGTH and _HEX.issuperset(name) else None


def worth_reading(paths: Iterable[str], parties: Mapping[str, str]) -> tuple[str, ...]:
    """Leave out groups below one of the same party: that counts them already."""
    among = dict.fromkeys(paths)
    above = dict(parents(among, among))
    return tuple(
        path
        for path in among
        if path not in parties or parties.get(above.get(path, "")) != parties[path]
    )


def done(earlier: Usage | None, now: Usage) -> Done:
    """Say what each party did since an earlier look; nothing is known where there was none.

    earlier: of this boot; `AT_BOOT` where the host was started since.
    """
    if earlier is None or earlier.total is None or now.total is None:
        return NOTHING
    seconds = now.total.at_s - earlier.total.at_s
    if seconds <= 0:
        return NOTHING
    cpu = _cpu(earlier, now, seconds)
    memory = _memory(earlier, now)
    parties = {p: Activity(cpu.get(p, 0), memory.get(p, 0)) for p in sorted({*cpu, *memory})}
    parties.pop(SYSTEM, None)
    used = max(0, now.total.cpu_us - earlier.total.cpu_us)
    total = Activity(used, _mean(earlier.total.memory_bytes, now.total.memory_bytes))
    return Done(seconds, parties, total)


def _cpu(earlier: Usage, now: Usage, seconds: float) -> dict[str, int]:
    own = {path: _since(earlier.groups.get(path), use, seconds) for path, use in now.groups.items()}
    counted = dict(own)
    for path, parent in parents(now.groups, now.groups):
        own[parent] -= counted[path]
    departed = _departed(earlier, now)
    found: dict[str, int] = {}
    for path, cpu_us in own.items():
        party = now.parties.get(path) or _only(departed.get(path, frozenset()))
        if cpu_us > 0:
            found[party] = found.get(party, 0) + cpu_us
    return found


def _since(earlier: GroupUse | None, now: GroupUse, seconds: float) -> int:
    """Count one group's use, brought to the length of the common interval."""
    if earlier is None or earlier.inode != now.inode or now.cpu_us < earlier.cpu_us:
        # made since then
        return now.cpu_us
    length = now.at_s - earlier.at_s
    used = now.cpu_us - earlier.cpu_us
    return round(used * seconds / length) if length > 0 else used


def parents(paths: Iterable[str], among: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Find the nearest group above each, of those that have one."""
    for path in paths:
        above = path.rpartition("/")[0]
        while above and above not in among:
            above = above.rpartition("/")[0]
        if above:
            yield path, above


def _departed(earlier: Usage, now: Usage) -> dict[str, frozenset[str]]:
    """Say whose groups are gone, or were made anew, by the nearest group above that is left."""
    gone = [
        path
        for path, use in earlier.groups.items()
        if path in earlier.parties
        and (path not in now.groups or now.groups[path].inode != use.inode)
    ]
    found: dict[str, frozenset[str]] = {}
    for path, parent in parents(gone, now.groups):
        found[parent] = found.get(parent, frozenset()) | {earlier.parties[path]}
    return found


def _only(parties: frozenset[str]) -> str:
    """Name who used it, if that can have been one only; else it is somebody's, and not known whose.

    Nobody departed: it was there too short to be seen.
    """
    return next(iter(parties)) if len(parties) == 1 else UNATTRIBUTED


def _memory(earlier: Usage, now: Usage) -> dict[str, int]:
    """Take the mean of both ends; what a parent keeps of departed groups is the host's."""
    found: dict[str, int] = {}
    before, after = _memory_of(earlier), _memory_of(now)
    for party in {*before, *after}:
        found[party] = (before.get(party, 0) + after.get(party, 0)) // 2
    return found


def _memory_of(usage: Usage) -> dict[str, int]:
    own = {path: use.memory_bytes or 0 for path, use in usage.groups.items()}
    whole = dict(own)
    for path, parent in parents(usage.groups, usage.groups):
        own[parent] -= whole[path]
    found: dict[str, int] = {}
    for path, memory in own.items():
        if (party := usage.parties.get(path)) and memory > 0:
            found[party] = found.get(party, 0) + memory
    return found


def _mean(one: int | None, two: int | None) -> int:
    known = [value for value in (one, two) if value is not None]
    return sum(known) // len(known) if known else 0
