"""For which part of an interval each party had a GPU: from when somebody came and went.

Where an end is not known, as of a container that was there at the last look and is gone now, the
middle of what is possible is taken: in the mean over many that is right.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from ds01ctl.core.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ds01ctl.core.gpu_shares import GpuPast, GpuRecord, Scene
    from ds01ctl.core.model import GpuUse


class Stay(NamedTuple):
    """Somebody had it between two times, microseconds since 1970."""

    party: str
    from_us: int
    to_us: int


class Seen(NamedTuple):
    """What two looks tell of those who were given something."""

    now: Iterable[str]
    before: Iterable[str] | None
    """None: not known."""
    since_us: Mapping[str, int]
    """When those of now got it, by party; no entry: not known."""
    until_us: Mapping[str, int]
    """When those of before lost it, likewise."""


def of_processes(
    listed: Iterable[GpuUse],
    pids: Mapping[int, str],
    record: GpuRecord | None,
    past: GpuPast | None,
    scene: Scene,
    by_pid: Mapping[int, str],
) -> list[Stay]:
    """Say from when to when processes were on it, also those that have ended since."""
    start, end = scene.from_us, scene.to_us
    found = [Stay(pids[use.pid], scene.began_us.get(use.pid, start), end) for use in listed]
    middle = (start + end) // 2
    known = past.pids if past else {}
    for pid, party in {**known, **by_pid}.items():
        if pid in pids:
            continue
        last = record.by_pid[pid].last_us if record and pid in by_pid else middle
        found.append(Stay(party, start if pid in known else (start + last) // 2, last))
    return found


def holders(uuid: str, of_gpu: str, past: GpuPast | None, scene: Scene) -> set[str]:
    """Name everybody to whom it was given at any time of the interval."""
    both = seen(uuid, of_gpu, past, scene)
    return {*both.now, *(both.before or ())}


def seen(uuid: str, of_gpu: str, past: GpuPast | None, scene: Scene) -> Seen:
    """Say to whom it was given; who was given all of a GPU has each of its MIG devices."""
    uuids = (of_gpu, uuid)
    before = past.holders if past else None
    return Seen(
        {party for one in uuids for party in scene.holders.get(one, ())},
        None if before is None else {party for one in uuids for party in before.get(one, ())},
        {party: at for (one, party), at in scene.since_us.items() if one in uuids},
        {party: at for (one, party), at in scene.until_us.items() if one in uuids},
    )


def parts(
    given: Iterable[Stay], there: Iterable[Stay], holders: Iterable[str], scene: Scene
) -> dict[str, float]:
    """Share out every moment among those who had it then, equally; the rest of 1 is nobody's.

    given: to whom it was given; there: who was on it, and counts where it is given to nobody.
    Where the clock was set back, everybody had it all the time.
    """
    if scene.to_us > scene.from_us:
        return _shared_out(given, there, scene.from_us, scene.to_us)
    return dict.fromkeys({*holders, *(stay.party for stay in there)}, 1.0)


def of_given(seen: Seen, there: Sequence[Stay], from_us: int, to_us: int) -> list[Stay]:
    """Say from when to when each party was given it.

    there: the stays of processes, which tell the time where it is not known otherwise.
    """
    now, before = set(seen.now), set(seen.before or ())
    new_us = from_us if seen.before is None else (from_us + to_us) // 2
    # what came after the last look tells nothing of what was there then
    ended = [stay for stay in there if stay.from_us <= from_us and stay.to_us < to_us]
    found = []
    for party in sorted(now):
        here = (stay.from_us for stay in there if stay.party == party and stay.to_us >= to_us)
        first = from_us if party in before else min(here, default=new_us)
        since = seen.since_us.get(party, first)
        found.append(Stay(party, since, to_us))
        if party in before and since > from_us:
            # it has another one than before
            found.append(_until(party, seen, ended, from_us, since))
    # a GPU that one had at a time is not had by two for a moment
    is_alone = len(before) == 1
    until = min([to_us, *(stay.from_us for stay in found if is_alone and stay.from_us > from_us)])
    gone = sorted(before - now)
    return found + [_until(party, seen, ended, from_us, until) for party in gone]


def _shared_out(
    given: Iterable[Stay], there: Iterable[Stay], from_us: int, to_us: int
) -> dict[str, float]:
    first, second = (_clipped(stays, from_us, to_us) for stays in (given, there))
    edges = sorted({at for stay in (*first, *second) for at in stay[1:]})
    lengths: dict[str, float] = {}
    for start, end in pairwise(edges):
        owners = _at(first, start) or _at(second, start)
        for party in owners:
            lengths[party] = lengths.get(party, 0.0) + (end - start) / len(owners)
    return {party: length / (to_us - from_us) for party, length in sorted(lengths.items())}


def _until(party: str, seen: Seen, ended: Iterable[Stay], from_us: int, most_us: int) -> Stay:
    ends = [stay.to_us for stay in ended if stay.party == party]
    guess = min(max(ends), most_us) if ends else (from_us + most_us) // 2
    return Stay(party, from_us, seen.until_us.get(party, guess))


def _clipped(stays: Iterable[Stay], from_us: int, to_us: int) -> list[Stay]:
    clipped = (Stay(s.party, max(s.from_us, from_us), min(s.to_us, to_us)) for s in stays)
    return [stay for stay in clipped if stay.from_us < stay.to_us]


def _at(stays: Iterable[Stay], at_us: int) -> set[str]:
    return {stay.party for stay in stays if stay.from_us <= at_us < stay.to_us}
