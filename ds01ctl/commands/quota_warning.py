"""Warn for `quota`: what is used of limits, whom to tell, and whom earlier runs have told."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.commands import quota_events, quota_memory
from ds01ctl.core import held, quota, quota_uses, quota_warnings, volume_owner
from ds01ctl.core.projects import VOLUMES
from ds01ctl.core.storage import projects_of
from ds01ctl.errors import Ds01Error
from ds01ctl.state import State, StateError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from ds01ctl.commands.quota_events import Told
    from ds01ctl.commands.quota_looking import Reading
    from ds01ctl.core.disk_quota import DiskQuota, QuotaFileSystem, QuotaKind
    from ds01ctl.core.held import Held
    from ds01ctl.core.model import Gap
    from ds01ctl.core.quota_model import Place
    from ds01ctl.core.quota_warnings import Decision, Key, Use, Warned
    from ds01ctl.paths import Paths


class Uses(NamedTuple):
    """What is used of limits now."""

    uses: tuple[Use, ...]
    unknown: frozenset[Key]
    """Keys of earlier warnings whose use could not be read now, or not wholly."""
    held: tuple[Held, ...]


def warn(uses: Uses, seen: Reading, paths: Paths) -> tuple[tuple[Told, ...], tuple[Gap, ...]]:
    """Warn whom it is time to warn, and remember it; gaps of what could not be remembered.

    Noted before they are given: else a full disk has them given each hour anew. Nobody is warned
    where that can't be done, or where nobody knows whom earlier runs have warned.
    """
    if seen.memory.gaps:
        return (), seen.memory.gaps
    decided = _decide(uses, seen)
    # what is but noted waits for more: above its limit he is told
    tried = {one.use.key for one in decided.events if quota_uses.is_for_terminal(one.use)}
    if gaps := _remember(decided.but(tried), paths):
        return (), gaps
    told = tuple(quota_events.warn(decided.events, seen, paths))
    reached = {one.crossing.use.key for one in told if one.outcome == "warned"}
    if reached == tried:
        return told, ()
    return told, _remember(decided.but(reached), paths)


def _decide(uses: Uses, seen: Reading) -> Decision:
    return quota_warnings.decide(
        seen.taken_at,
        uses.uses,
        seen.memory.warned,
        [int(one) for one in seen.policy.value("quota.warn_percent")],
        timedelta(days=float(seen.policy.value("quota.remind_days"))),
        uses.unknown,
    )


def _remember(warned: Mapping[Key, Warned], paths: Paths) -> tuple[Gap, ...]:
    try:
        with State.open_for_recording(paths) as state, state.transaction():
            quota_memory.remember_warned(state, warned)
    except StateError as error:
        return (quota_memory.gap_of(error),)
    return ()


# --- uses -------------------------------------------------------------------------------------


def uses_of(seen: Reading, paths: Paths, config: Path | None) -> Uses:
    """Tell what is used of every limit, and by whom."""
    records = quota.records_of(seen.file_systems)
    names = _told_logins(records, seen)
    lax_kinds = _lax_kinds(seen.file_systems)
    lax = {place for place in records if place[:2] in lax_kinds} if lax_kinds else ()
    rows, silent = _held(paths, config)
    uses = (
        *quota_uses.of_records(records, names, seen.taken_at, lax),
        *quota_uses.of_held(rows),
    )
    unknown = unknown_of(seen, records, {one.key for one in uses})
    silent_keys = {key for key in seen.memory.warned if key[0] in silent}
    return Uses(uses, unknown | silent_keys, rows)


def _lax_kinds(file_systems: Iterable[QuotaFileSystem]) -> set[tuple[str, QuotaKind]]:
    """Name mounts and kinds of which limits are noted and do not hold."""
    return {
        (one.mount, kind)
        for one in file_systems
        for kind, accounting in one.accounting.items()
        if not accounting.is_enforced
    }


def _told_logins(places: Iterable[Place], seen: Reading) -> dict[Place, str]:
    """Name whom to warn of each place: the least uid is looked up once for all of them."""
    least = _least_uid(seen)
    return {place: login for place in places if (login := _told_login(place, seen, least))}


def unknown_of(
    seen: Reading, records: Mapping[Place, DiskQuota], used: Iterable[Key]
) -> frozenset[Key]:
    """Name the earlier warnings of disks whose use, or whose login, could not be read now."""
    used = set(used)
    by_name = {(one.mount, one.kind, str(one.id)): one for one in records}
    complete = {
        (one.mount, kind)
        for one in seen.file_systems
        for kind, accounting in one.accounting.items()
        if accounting.is_complete
    }
    missed = (key for key in seen.memory.warned if quota_uses.is_of_disk(key) and key not in used)
    return frozenset(
        key
        for key in missed
        if (_is_nameless(by_name[key[1:]], seen) if key[1:] in by_name  # type: ignore[index]  # three parts of a disk's key
            else key[1:3] not in complete)
    )  # fmt: skip


def _is_nameless(place: Place, seen: Reading) -> bool:
    """Tell whether nobody could say whom to warn; of an account that is gone nobody is."""
    if place.kind == "user":
        return seen.name_of(place) is None and place.id not in seen.users.gone
    name = seen.name_of(place)
    if name is None:
        return not seen.projects_known
    return told_login(place, seen) is None and name.startswith(VOLUMES)


def told_login(place: Place, seen: Reading) -> str | None:
    """Name whom to warn: the user, or the owner of the project; nobody below the users' uids."""
    return _told_login(place, seen, _least_uid(seen))


def _least_uid(seen: Reading) -> int:
    return int(seen.policy.value("enforcement.min_uid"))


def _told_login(place: Place, seen: Reading, least_uid: int) -> str | None:
    if place.kind == "user":
        return seen.name_of(place) if place.id >= least_uid else None
    name = seen.name_of(place) or ""
    if name.startswith(VOLUMES):
        return volume_owner.owner_of(name, seen.users.users)
    owners = {one.name: one.owner for one in projects_of(seen.policy)}
    return owners.get(name) or seen.owners.get(name)


def _held(paths: Paths, config: Path | None) -> tuple[tuple[Held, ...], frozenset[str]]:
    """Read GPUs and containers; of a source that does not answer `detect` tells, once is enough."""
    from ds01ctl.commands import quota_held

    try:
        found = quota_held.read(paths, config)
    except Ds01Error:
        return (), frozenset(held.KINDS)
    return found.rows, frozenset(held.unknown_kinds(found.gaps))
