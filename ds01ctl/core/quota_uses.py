"""How much of each limit is used, as `quota` warns of it, and what a user is told."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from ds01ctl.core import quota_rows
from ds01ctl.core.quota_warnings import Use
from ds01ctl.core.sizes import size

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping

    from ds01ctl.core.disk_quota import DiskQuota
    from ds01ctl.core.held import Held
    from ds01ctl.core.quota_model import Place
    from ds01ctl.core.quota_warnings import Key

BYTES, INODES = "disk-bytes", "disk-inodes"
_SAID_AT = 100
"""Percent of a limit of GPUs or containers above which a user is told on a terminal."""
_CALENDAR_END_S = 253_402_300_800
"""The year 10000."""


def of_records(
    records: Mapping[Place, DiskQuota],
    names: Mapping[Place, str],
    now: datetime,
    lax: Container[Place] = (),
) -> Iterator[Use]:
    """List the uses of disk limits; names: the login to be told of each place.

    lax: where limits are noted and do not hold.
    """
    now_s = now.timestamp()
    for place, record in records.items():
        if (login := names.get(place)) is not None:
            for use in _of_record(place, record, login, now_s):
                yield use._replace(standing="ok", grace_end=None) if place in lax else use


def _of_record(place: Place, record: DiskQuota, login: str, now_s: float) -> Iterator[Use]:
    """List the uses of one record: of bytes and of files, each with how it alone stands."""
    whose = "" if place.kind == "user" else f" by project {place.id}"
    soft, hard, soft_inodes, hard_inodes = record.limits
    named = (place.mount, place.kind, str(place.id))
    if most := soft or hard:
        standing = quota_rows.standing_of_bytes(record, now_s)
        yield Use((BYTES, *named), login, f"disk space on {place.mount}{whose}", record.used_bytes,
                  most, standing, _time(record.bytes_grace_end), hard)  # fmt: skip
    if most := soft_inodes or hard_inodes:
        standing = quota_rows.standing_of_inodes(record, now_s)
        yield Use((INODES, *named), login, f"number of files on {place.mount}{whose}",
                  record.used_inodes, most, standing, _time(record.inodes_grace_end),
                  hard_inodes)  # fmt: skip


def _time(epoch_s: int) -> datetime | None:
    """Read a time of the kernel's; None: there is none, or it is beyond the calendar."""
    return datetime.fromtimestamp(epoch_s, timezone.utc) if 0 < epoch_s < _CALENDAR_END_S else None


def of_held(rows: Iterable[Held]) -> Iterator[Use]:
    """List the uses of the limits of GPUs and containers."""
    for one in rows:
        if one.limit is not None:
            what = "GPUs" if one.kind == "gpu" else "containers"
            yield Use((one.kind, one.user), one.user, what, one.used, one.limit)


def is_of_disk(key: Key) -> bool:
    """Tell whether a use is one of disk space or files."""
    return key[0] in {BYTES, INODES}


def is_for_terminal(use: Use) -> bool:
    """Tell whether a user is told on a terminal: holding just what one may hold is no news."""
    return is_of_disk(use.key) or use.percent > _SAID_AT


def amounts(use: Use) -> tuple[str, str]:
    """Write what is used, and the limit."""
    return _amount(use, use.used), _amount(use, use.limit)


def _amount(use: Use, number: float) -> str:
    return size(int(number)) if use.key[0] == BYTES else f"{number:g}"


def message(use: Use, until: datetime | None = None) -> str:
    """Say to a user what he uses, and whether he can write on.

    until: when the grace ends, in the time zone that it is told in.
    """
    used, limit = amounts(use)
    text = f"You use {used} of {limit} of your {use.what} ({use.percent:.0f} %)."
    if not is_of_disk(use.key):
        return text
    if use.standing == "ok":
        return f"{text} Delete what you no longer need."
    if use.standing == "over-soft":
        return f"{text} You can go on writing {_bounds(use, until)}; then every write is refused."
    return f"{text} Every write is refused until you delete something."


def _bounds(use: Use, until: datetime | None) -> str:
    """Say until when, and up to where, one may write past a soft limit."""
    grace = f"until {until:%a %Y-%m-%d %H:%M %Z}" if until else "until your grace is over"
    return f"{grace}, up to {_amount(use, use.hard)}" if use.hard else grace
