"""What `quota set --grace` does: give the graces that run another end."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.commands.quota_amounts import grace_s
from ds01ctl.core import quota
from ds01ctl.core.plan import Action
from ds01ctl.errors import Ds01Error

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ds01ctl.commands.quota_looking import Reading
    from ds01ctl.core.disk_quota import Limits
    from ds01ctl.core.quota_model import Place
    from ds01ctl.paths import Paths


class GraceEnd(NamedTuple):
    """A grace that is to end at another time."""

    place: Place
    name: str
    of_bytes: bool
    of_inodes: bool


def ends(seen: Reading, places: Mapping[Place, str], limits: Limits | None) -> list[GraceEnd]:
    """Find who is over a soft limit; limits: those that are set first, None: as they are."""
    records = quota.records_of(seen.file_systems)
    found = []
    for place, name in places.items():
        if (record := records.get(place)) is None:
            continue
        most = limits or record.limits
        of_bytes = 0 < most.soft_bytes < record.used_bytes
        of_inodes = 0 < most.soft_inodes < record.used_inodes
        if of_bytes or of_inodes:
            found.append(GraceEnd(place, name, of_bytes, of_inodes))
    return found


def planned(graces: Iterable[GraceEnd]) -> list[Action]:
    """Tell of ends that are not moved yet."""
    return [_action(one) for one in graces]


def extend(
    graces: Iterable[GraceEnd], grace: str | None, seen: Reading, paths: Paths
) -> list[Action]:
    """Move the ends; what fails does not stop the others."""
    if grace is None:
        return []
    end = int(seen.taken_at.timestamp()) + grace_s(grace)
    sources = {one.mount: one.source for one in seen.file_systems}
    return [_extended(one, end, sources[one.place.mount], paths) for one in graces]


def _extended(one: GraceEnd, end: int, source: str, paths: Paths) -> Action:
    from ds01ctl.act import quotas

    mount, kind, id_ = one.place
    try:
        quotas.set_grace_end(
            paths.under(mount), source, kind, id_,
            bytes_end=end if one.of_bytes else None,
            inodes_end=end if one.of_inodes else None,
        )  # fmt: skip
    except Ds01Error as error:
        return _action(one)._replace(outcome="failed", error=error.message)
    return _action(one)._replace(outcome="done")


def _action(one: GraceEnd) -> Action:
    return Action("extend-grace", f"{one.name} on {one.place.mount}", "as asked")
