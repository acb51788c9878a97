"""Tell of each volume what an admin must know before removing it by name.

No change ever comes from here: that no container uses a volume now does not mean that nobody
wants what is in it.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.core.cleanup_model import Notice
from ds01ctl.core.image_uses import volume_key
from ds01ctl.core.sizes import size
from ds01ctl.core.timestamp import format_time

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from ds01ctl.core.image_model import Holder, Volume
    from ds01ctl.core.volume_owner import Owner

_ANONYMOUS = re.compile(r"[0-9a-f]{64}", re.ASCII)
_OWNER_LABEL = "ds01.user"


class VolumeRow(NamedTuple):
    """One volume in the report."""

    engine: str
    name: str
    driver: str
    is_anonymous: bool
    """Made with a container, not by a name: whoever made it may not know that it is there."""
    is_dangling: bool | None
    """No container in any state mounts it now; None: not known."""
    size_bytes: int | None
    user: str | None
    owner: str
    """The owner's login, or why there is none."""
    containers: tuple[str, ...]
    """``NAME (STATE)`` of those that mount it, in any state."""
    last_mounted_at: datetime | None
    """The last use that is known; None: not since first_seen_at."""
    first_seen_at: datetime | None
    created_at: datetime | None


def rows(
    volumes: Sequence[Volume],
    holders: Sequence[Holder],
    uses: Mapping[tuple[str, str], tuple[int, int]],
    complete: Collection[str],
    owners: Mapping[tuple[str, str], Owner | str] = {},
) -> tuple[VolumeRow, ...]:
    """Make a row for each volume, the dangling and the largest first.

    complete: engines that told all their containers. owners: by engine and name, as
    ``volume_owner.judge`` has it, where somebody looked whose files are in it.
    """
    mounted: dict[tuple[str, str], list[str]] = {}
    for holder in holders:
        for name in holder.volumes:
            told = f"{holder.name} ({holder.state})"
            mounted.setdefault((holder.engine, name), []).append(told)
    found = [_row(one, mounted, uses, complete, owners) for one in volumes]
    return tuple(sorted(found, key=_order))


def notices(rows: Sequence[VolumeRow]) -> tuple[Notice, ...]:
    """Tell of those that no container mounts."""
    return tuple(_notice(row) for row in rows if row.is_dangling)


def _row(
    volume: Volume,
    mounted: Mapping[tuple[str, str], Sequence[str]],
    uses: Mapping[tuple[str, str], tuple[int, int]],
    complete: Collection[str],
    owners: Mapping[tuple[str, str], Owner | str],
) -> VolumeRow:
    key = volume.engine, volume.name
    used_at, first_seen = uses.get((volume.engine, volume_key(volume.name)), (0, 0))
    containers = tuple(sorted(mounted.get(key, ())))
    owner = owners.get(key, _by_label(volume))
    return VolumeRow(
        engine=volume.engine,
        name=volume.name,
        driver=volume.driver,
        is_anonymous=_ANONYMOUS.fullmatch(volume.name) is not None,
        is_dangling=not containers if volume.engine in complete else None,
        size_bytes=volume.size_bytes,
        user=None if isinstance(owner, str) else owner.login,
        owner=owner if isinstance(owner, str) else owner.login,
        containers=containers,
        last_mounted_at=_time(used_at) if containers or used_at > first_seen else None,
        first_seen_at=_time(first_seen),
        created_at=volume.created_at,
    )


def _by_label(volume: Volume) -> str:
    label = volume.labels.get(_OWNER_LABEL)
    if label is None:
        return "its files were not looked at, and it has no label ds01.user"
    return f"its label says {label}; its files were not looked at"


def _time(at: int) -> datetime | None:
    return datetime.fromtimestamp(at, timezone.utc) if at else None


def _order(row: VolumeRow) -> tuple[bool, int, str, str]:
    return row.is_dangling is not True, -(row.size_bytes or 0), row.engine, row.name


def _notice(row: VolumeRow) -> Notice:
    what = "anonymous volume" if row.is_anonymous else "volume"
    held = "" if row.size_bytes is None else f", {size(row.size_bytes)}"
    text = f"{what} {row.name}{held}: no container mounts it"
    return Notice("volume", row.user, None, text, (_mounted(row), f"owner: {row.owner}"))


def _mounted(row: VolumeRow) -> str:
    if row.last_mounted_at:
        return f"last seen mounted {format_time(row.last_mounted_at)}"
    if row.first_seen_at:
        return f"not seen mounted since it was first seen {format_time(row.first_seen_at)}"
    return "not known when it was mounted"
