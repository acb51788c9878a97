"""Decide which disk limits to set: the policy against the kernel, and only what differs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.core.disk_quota import NO_LIMITS, DiskQuota, Limits
from ds01ctl.core.quota_model import (
    REPORT_ONLY,
    Change,
    GraceChange,
    Notice,
    Place,
    Plan,
    Wanted,
    World,
    nothing_of,
    same,
)
from ds01ctl.core.sizes import size
from ds01ctl.core.storage import limits_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ds01ctl.core.disk_quota import QuotaFileSystem

Records = dict[Place, DiskQuota]


def decide(world: World) -> Plan:
    """Plan the changes, in the order of file systems and ids."""
    records = records_of(world.file_systems)
    chosen, notices = _one_a_place(world.wanted)
    on, off = _that_can_be(chosen, records, world)
    changes = [*_sets(on, records, world), *_taken_back(chosen, records, world)]
    notices += [*off, *_waiting(on, records, world), *_of_others(chosen, records, world)]
    ordered = tuple(sorted(changes, key=lambda one: one.place))
    return Plan(ordered, tuple(notices), tuple(_graces(on, world)))


def records_of(file_systems: Iterable[QuotaFileSystem]) -> Records:
    """Give the kernel's records by their place."""
    return {
        Place(one.mount, kind, record.id): record
        for one in file_systems
        for kind, records in one.records.items()
        for record in records
    }


def _one_a_place(wanted: Iterable[Wanted]) -> tuple[dict[Place, Wanted], list[Notice]]:
    """Of two paths on one file system the larger limit holds: the kernel has but one."""
    chosen: dict[Place, Wanted] = {}
    clashes: dict[tuple[str, str, str], Notice] = {}
    for one in wanted:
        if one.place.id == 0:
            # on XFS those of id 0 are everybody's defaults
            continue
        other = chosen.setdefault(one.place, one)
        if other is one:
            continue
        chosen[one.place] = _larger(other, one)
        pair = sorted((other.path, one.path))
        text = (
            f"{pair[0]} and {pair[1]} lie on one file system, {one.place.mount}, which has one"
            " limit a user: the larger one holds, of bytes and of files each"
        )
        clashes[one.place.mount, pair[0], pair[1]] = Notice(
            "two-paths", None, one.place.mount, text
        )
    return chosen, list(clashes.values())


def _larger(one: Wanted, other: Wanted) -> Wanted:
    """Take of two limits the larger in each part; 0 is none, and so the most."""
    pairs = zip(one.limits, other.limits, strict=True)
    limits = Limits(*(0 if not a or not b else max(a, b) for a, b in pairs))
    nearest = next((x for x in (one, other) if x.limits == limits), None)
    if nearest is not None:
        return nearest
    return one._replace(limits=limits, origin=f"{one.origin} and {other.origin}")


def _that_can_be(
    chosen: Mapping[Place, Wanted], records: Records, world: World
) -> tuple[list[Wanted], list[Notice]]:
    """Sort out what the kernel would not hold, or did not tell; one notice a file system and kind.

    Where not all records could be read, one that is missing may use and have anything.
    """
    mounts = world.by_mount()
    on, off = [], {}
    for place, one in chosen.items():
        accounting = mounts[place.mount].accounting.get(place.kind)
        if accounting and accounting.is_on and not accounting.is_complete and place not in records:
            text = f"not every {place.kind} quota on {place.mount} could be read: those are left"
            off[place.mount, f"unread {place.kind}"] = Notice("unread", None, place.mount, text)
            continue
        if accounting and accounting.is_on:
            on.append(one)
        if accounting is None or not (accounting.is_on and accounting.is_enforced):
            why = (accounting and accounting.reason) or "usage is counted, and limits do not hold"
            text = f"no {place.kind} limit holds on {place.mount}: {why}; see: ds01ctl doctor"
            off[place.mount, place.kind] = Notice("not-enforced", None, place.mount, text)
    return on, list(off.values())


def _sets(wanted: Iterable[Wanted], records: Records, world: World) -> Iterator[Change]:
    mounts = world.by_mount()
    for one in wanted:
        if not _is_chosen(one.name, one.place, world):
            continue
        record = records.get(one.place) or nothing_of(one.place.id)
        after = one.limits if world.force else held_back(one.limits, record)
        if not same(after, record.limits):
            source = mounts[one.place.mount].source
            yield _change(one, source, record, after, world)


def _change(one: Wanted, source: str, record: DiskQuota, after: Limits, world: World) -> Change:
    waits = "" if after == one.limits else "; the hard limit waits, more is in use"
    skip = None if world.enforces else REPORT_ONLY
    reason = f"{one.origin}{waits}"
    return Change(one.place, source, one.name, record.limits, after, reason, "set",
                  one.limits, skip, world.force)  # fmt: skip


def held_back(wanted: Limits, record: DiskQuota) -> Limits:
    """Leave a hard limit where it is as long as more is in use: each write would fail at once.

    The soft limit is set all the same: from then on its grace runs.
    """
    now = record.limits
    return Limits(
        wanted.soft_bytes,
        _held_back(wanted.hard_bytes, now.hard_bytes, record.used_bytes),
        wanted.soft_inodes,
        _held_back(wanted.hard_inodes, now.hard_inodes, record.used_inodes),
    )


def _held_back(wanted: int, now: int, used: int) -> int:
    is_lowered = wanted and (now == 0 or now > wanted)
    return now if is_lowered and used > wanted else wanted


def _graces(wanted: Iterable[Wanted], world: World) -> Iterator[GraceChange]:
    """Set the grace where limits of ours are; one that runs already keeps its end."""
    if world.grace_s is None or world.users is not None:
        return
    mounts = world.by_mount()
    for mount, kind in dict.fromkeys((one.place.mount, one.place.kind) for one in wanted):
        file_system = mounts[mount]
        accounting = file_system.accounting[kind]
        for now in {accounting.bytes_grace_s, accounting.inodes_grace_s} - {world.grace_s, None}:
            skip = None if world.enforces else REPORT_ONLY
            yield GraceChange(
                mount, file_system.source, kind, now or 0, world.grace_s, world.grace_origin, skip
            )
            break


def _is_chosen(name: str, place: Place, world: World) -> bool:
    return world.users is None or (place.kind == "user" and name in world.users)


def _taken_back(chosen: Mapping[Place, Wanted], records: Records, world: World) -> Iterator[Change]:
    """Put back what was there before ours where nobody wants ours any more.

    An id that was changed by somebody meanwhile, whose account is gone, or for which the policy
    has a limit at a path that could not be looked at, is left as it is.
    """
    mounts = world.by_mount()
    names = _logins(world)
    for place, known in world.known.items():
        record = records.get(place)
        if place in chosen or place.mount not in mounts or record is None:
            continue
        if place.kind in world.unresolved_kinds or (place.kind, place.id) in world.unresolved:
            continue
        name = names.get(place.id) if place.kind == "user" else f"#{place.id}"
        if name is None or not _is_chosen(name, place, world):
            continue
        if same(record.limits, known.set) and not same(known.set, known.before):
            reason = "the policy gives no limit here any more: as it was before ds01ctl"
            skip = None if world.enforces else REPORT_ONLY
            if skip is None and not world.force and held_back(known.before, record) != known.before:
                skip = "more is in use than the hard limit that was there: it waits"
            yield Change(place, mounts[place.mount].source, name, record.limits, known.before,
                         reason, "take-back", known.before, skip, world.force)  # fmt: skip


def _logins(world: World) -> dict[int, str]:
    names = {one.uid: one.login for one in world.roll.people}
    return names | {one.uid: one.login for one in world.roll.spared}


def _waiting(wanted: Iterable[Wanted], records: Records, world: World) -> Iterator[Notice]:
    """Tell of hard limits that wait, in every run: the soft one may be set long since."""
    for one in wanted:
        record = records.get(one.place)
        if record is None or world.force or not _is_chosen(one.name, one.place, world):
            continue
        after = held_back(one.limits, record)
        if not same(after, one.limits):
            text = waiting_text(one.limits, after, record)
            yield Notice("hard-limit-waits", one.name, one.place.mount, text)


def waiting_text(wanted: Limits, after: Limits, record: DiskQuota) -> str:
    """Say how far a hard limit is from being set."""
    parts = []
    if after.hard_bytes != wanted.hard_bytes:
        over = record.used_bytes - wanted.hard_bytes
        parts.append(
            f"{size(record.used_bytes)} in use, {size(over)} over the hard limit of"
            f" {size(wanted.hard_bytes)}"
        )
    if after.hard_inodes != wanted.hard_inodes:
        over = record.used_inodes - wanted.hard_inodes
        parts.append(f"{record.used_inodes} files, {over} over {wanted.hard_inodes}")
    return f"{' and '.join(parts)}: it is set when less is in use (at once with --force)"


def _of_others(chosen: Mapping[Place, Wanted], records: Records, world: World) -> Iterator[Notice]:
    """Tell of limits that nobody wants, which we did not set or somebody changed; left alone."""
    names = _logins(world)
    for place, record in records.items():
        is_theirs = record.limits != NO_LIMITS and place not in chosen and place.id != 0
        known = world.known.get(place)
        is_ours = known is not None and same(known.set, record.limits)
        if is_theirs and place.kind == "user" and not is_ours:
            name = names.get(place.id, f"#{place.id}")
            if world.users is None or name in world.users:
                text = f"{limits_text(record.limits)}: not in the policy, left alone"
                yield Notice("not-in-policy", name, place.mount, text)
