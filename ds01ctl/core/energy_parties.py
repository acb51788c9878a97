"""Who used the processors and the memory: control groups made parties, once and for all of it.

A group counts what is below it, too, also of what has ended since. So of each group only what is in
none of those below counts as its own; what a common parent has in excess is what departed groups
used up to their end. Those that were never seen are among them: so who departed is charged no more
than what they can have used, going by how much they did before.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ds01ctl.core.energy_model import SYSTEM, UNATTRIBUTED, Activity
from ds01ctl.core.energy_projects import user_of
from ds01ctl.core.record import NamedTuple
from ds01ctl.core.split import largest_remainder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

USERS = "/user.slice"
"""The parent of everybody's slice of log-ins."""
_ID_LENGTH = 64
_MOST_CORES = 1e6
"""More is no memory of ours."""
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
    cores: float | None = None
    """Kept by us: processors in use in the mean of the time before; None: not known."""


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
    used = max(0, now.total.cpu_us - earlier.total.cpu_us)
    cpu = _cpu(earlier, now, seconds, used)
    memory = _memory(earlier, now)
    parties = {p: Activity(cpu.get(p, 0), memory.get(p, 0)) for p in sorted({*cpu, *memory})}
    parties.pop(SYSTEM, None)
    total = Activity(used, _mean(earlier.total.memory_bytes, now.total.memory_bytes))
    return Done(seconds, parties, total)


def paced(earlier: Usage | None, now: Usage) -> Usage:
    """Note how many processors each group had in use since an earlier look, as `done` takes it."""
    if earlier is None or earlier.total is None or now.total is None:
        return now
    seconds = now.total.at_s - earlier.total.at_s
    groups = {
        path: one._replace(cores=_cores(earlier.groups.get(path), one, seconds))
        for path, one in now.groups.items()
    }
    return now._replace(groups=groups)


def _cores(earlier: GroupUse | None, now: GroupUse, seconds: float) -> float | None:
    if seconds <= 0:
        return None
    # one that was made meanwhile was there for half of the time, in the mean
    length = seconds if _is_same(earlier, now) else seconds / 2
    return round(_since(earlier, now, seconds) / length / 1e6, 4)


def _cpu(earlier: Usage, now: Usage, seconds: float, used_us: int) -> dict[str, int]:
    own = {path: _since(earlier.groups.get(path), use, seconds) for path, use in now.groups.items()}
    counted = dict(own)
    for path, parent in parents(now.groups, now.groups):
        own[parent] -= counted[path]
    departed = _departed(earlier, now)
    found: dict[str, int] = {}
    for path, cpu_us in own.items():
        if cpu_us > 0:
            most = {p: _most_us(n, seconds) for p, n in departed.get(path, {}).items()}
            for party, part in _whose(cpu_us, now.parties.get(path), most):
                found[party] = found.get(party, 0) + part
    # what is left is the host's, but for what these may have used: their parent counts both
    lost = departed.get("", {})
    doubt = sum(_most_us(n, seconds) or 0 for party, n in lost.items() if party != SYSTEM)
    if (doubt := min(doubt, used_us - sum(found.values()))) > 0:
        found[UNATTRIBUTED] = found.get(UNATTRIBUTED, 0) + doubt
    return found


def _most_us(cores: float | None, seconds: float) -> int | None:
    is_known = cores is not None and 0 <= cores <= _MOST_CORES
    return round(cores * seconds * 1e6) if cores is not None and is_known else None


def _whose(
    cpu_us: int, party: str | None, most: Mapping[str, int | None]
) -> Iterator[tuple[str, int]]:
    """Say whose a group's own use is; all parts of it.

    most: what each party can have used of it whose groups below are gone; None: not known.
    """
    if party is not None:
        others = [us for name, us in most.items() if user_of(name) != user_of(party)]
        nobodys = cpu_us if None in others else min(cpu_us, sum(us or 0 for us in others))
        theirs = cpu_us - nobodys
        for name, part in _of_projects(theirs, party, most).items():
            yield name, part
            theirs -= part
            cpu_us -= part
    else:
        # of several the sum is known, the parts are not; of none, it was there too short to be seen
        party, us = next(iter(most.items())) if len(most) == 1 else (UNATTRIBUTED, 0)
        theirs = min(cpu_us, us or 0)
    yield from ((name, us) for name, us in ((party, theirs), (UNATTRIBUTED, cpu_us - theirs)) if us)


def _of_projects(cpu_us: int, party: str, most: Mapping[str, int | None]) -> dict[str, int]:
    """Give a user's projects what they can have used of what is his own."""
    mine = {
        name: cpu_us if us is None else min(us, cpu_us)
        for name, us in most.items()
        if name != party and user_of(name) == user_of(party)
    }
    return largest_remainder(min(cpu_us, sum(mine.values())), mine)


def _since(earlier: GroupUse | None, now: GroupUse, seconds: float) -> int:
    """Count one group's use, brought to the length of the common interval."""
    if earlier is None or not _is_same(earlier, now):
        return now.cpu_us
    length = now.at_s - earlier.at_s
    used = now.cpu_us - earlier.cpu_us
    return round(used * seconds / length) if length > 0 else used


def _is_same(earlier: GroupUse | None, now: GroupUse) -> bool:
    """Say whether it is the same group, and was not made since then."""
    return earlier is not None and earlier.inode == now.inode and now.cpu_us >= earlier.cpu_us


def parents(paths: Iterable[str], among: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Find the nearest group above each, of those that have one."""
    for path in paths:
        above = path.rpartition("/")[0]
        while above and above not in among:
            above = above.rpartition("/")[0]
        if above:
            yield path, above


def _departed(earlier: Usage, now: Usage) -> dict[str, dict[str, float | None]]:
    """Say whose groups are gone, or were made anew, and how many processors they had in use.

    By the nearest group above that is left; of those without one by the empty text.
    """
    gone = [
        path
        for path, use in earlier.groups.items()
        if path in earlier.parties
        and (path not in now.groups or now.groups[path].inode != use.inode)
    ]
    above = dict(parents(gone, now.groups))
    found: dict[str, dict[str, float | None]] = {}
    for path in gone:
        cores = found.setdefault(above.get(path, ""), {})
        party = earlier.parties[path]
        more, known = earlier.groups[path].cores, cores.get(party, 0.0)
        cores[party] = None if more is None or known is None else known + more
    return found


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
