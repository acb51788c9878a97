"""Rows of `quota report`: what each id uses, against what, and how it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ds01ctl.core.disk_quota import DiskQuota, QuotaKind
    from ds01ctl.core.layers import Layers
    from ds01ctl.core.quota_model import Place

Standing = Literal["ok", "over-soft", "grace-over", "at-hard"]
STANDINGS: tuple[Standing, ...] = ("at-hard", "grace-over", "over-soft", "ok")
"""The worst first."""
_BLOCK, _MIB = 4096, 1 << 20


class Forecast(NamedTuple):
    """Where the use of an id is going; None: not known, or it does not grow."""

    bytes_per_day: float | None = None
    days_until_full: float | None = None


NO_FORECAST = Forecast()


class UsageRow(NamedTuple):
    """One id on one file system."""

    place: Place
    name: str | None
    """Login or project; None: nobody has the id."""
    record: DiskQuota
    standing: Standing
    share: float | None
    """The used part of the soft limit, else of the hard one; of bytes or inodes the worse."""
    forecast: Forecast = NO_FORECAST

    @property
    def shown_name(self) -> str:
        """Give the name, else the number as `ls -n` has it, with the sign of a number."""
        return self.name if self.name is not None else f"#{self.place.id}"


def share(record: DiskQuota) -> float | None:
    """Give the used part of the limits, 1.0 is all; None without a limit, as of id 0."""
    if record.id == 0:
        return None
    soft, hard, soft_inodes, hard_inodes = record.limits
    of_bytes = record.used_bytes / (soft or hard) if soft or hard else None
    if not (soft_inodes or hard_inodes):
        return of_bytes
    of_inodes = record.used_inodes / (soft_inodes or hard_inodes)
    return of_inodes if of_bytes is None else max(of_bytes, of_inodes)


def standing(record: DiskQuota, now_s: float) -> Standing:
    """Judge one record: the worse of bytes and inodes; of id 0 they are the others' defaults."""
    of_bytes, of_inodes = standing_of_bytes(record, now_s), standing_of_inodes(record, now_s)
    return of_bytes if of_bytes == of_inodes else min(of_bytes, of_inodes, key=STANDINGS.index)


def standing_of_bytes(record: DiskQuota, now_s: float) -> Standing:
    """Judge what one record uses of its bytes."""
    if record.id == 0:
        return "ok"
    soft, hard, _, _ = record.limits
    return _standing(record.used_bytes, soft, hard, record.bytes_grace_end, now_s, _BLOCK)


def standing_of_inodes(record: DiskQuota, now_s: float) -> Standing:
    """Judge what one record uses of its inodes."""
    if record.id == 0:
        return "ok"
    _, _, soft, hard = record.limits
    return _standing(record.used_inodes, soft, hard, record.inodes_grace_end, now_s, 1)


def room_needed(hard: int, step: int) -> int:
    """Say how much must be left below a hard limit for writes to succeed at all.

    Of bytes (step: a block) one MiB, or a hundredth of a small limit: a program that is refused a
    write of that size is at its limit, though a few blocks are left.
    """
    return step if step == 1 else max(min(_MIB, hard // 100), step)


def _standing(used: int, soft: int, hard: int, grace_end: int, now_s: float, step: int) -> Standing:
    """step: what no longer fits is at the limit, though a little is left of it."""
    if hard and used + room_needed(hard, step) > hard:
        return "at-hard"
    if soft and used > soft:
        # on XFS the timer of a fresh overrun is 0 until the blocks are flushed
        return "grace-over" if grace_end and grace_end <= now_s else "over-soft"
    return "ok"


class Owner(NamedTuple):
    """All rows of one name, over all file systems and kinds."""

    name: str
    is_known: bool
    """False: an id that nobody has, or whose name was not told."""
    rows: tuple[UsageRow, ...]
    """The tightest first; none for who has container layers only."""
    layers_bytes: int | None = None
    """What the layers of their containers take; None: not known."""
    uncounted_bytes: int = 0
    """The part of it that no row has: the files are root's there."""

    @property
    def used_bytes(self) -> int:
        """Sum what is used; a file counts for its user and for its project, so the user's only."""
        rows = self.rows
        if len(rows) > 1:
            rows = tuple(one for one in rows if one.place.kind == "user") or rows
        return sum([one.record.used_bytes for one in rows]) + self.uncounted_bytes

    @property
    def standing(self) -> Standing:
        """Give the worst standing."""
        if len(self.rows) == 1:
            return self.rows[0].standing
        return min((one.standing for one in self.rows), key=STANDINGS.index, default="ok")

    @property
    def share(self) -> float | None:
        """Give the used part of the tightest limit; None without any."""
        return self.rows[0].share if self.rows else None


def rows_of(
    records: Mapping[Place, DiskQuota],
    names: Mapping[QuotaKind, Mapping[int, str]],
    now_s: float,
    forecasts: Mapping[Place, Forecast],
) -> list[UsageRow]:
    """Make a row of every record; names by kind and id."""
    return [
        UsageRow(
            place,
            names[place.kind].get(place.id),
            record,
            standing(record, now_s),
            share(record),
            forecasts.get(place, NO_FORECAST),
        )
        for place, record in records.items()
    ]


def owners(rows: Iterable[UsageRow], owner_of: Callable[[str], str | None]) -> list[Owner]:
    """Gather the rows of each user: their own ids, and the projects of their Docker volumes.

    owner_of: whose volumes are in a project of that name; None: it is none of volumes.
    """
    found: dict[tuple[bool, str], list[UsageRow]] = {}
    for row in rows:
        name: str | None = row.shown_name
        if row.place.kind == "project":
            name = owner_of(row.name) if row.name is not None else None
        if name is None:
            continue
        # somebody may be called #7, who is not the uid 7 that nobody has
        found.setdefault((row.name is not None, name), []).append(row)
    return [
        Owner(
            name,
            is_known,
            tuple(sorted(theirs, key=_tightness) if len(theirs) > 1 else theirs),
        )
        for (is_known, name), theirs in found.items()
    ]


def with_layers(
    owners: Iterable[Owner],
    by_login: Mapping[str | None, Layers],
    *,
    is_complete: bool,
    is_counted: bool,
) -> list[Owner]:
    """Add what each one's container layers take; who has nothing else gets a row.

    is_complete: who has none is known to have none. is_counted: the kernel counts what containers
    write as the owner's uid among the rows here.
    """
    left = {
        (one.is_named, login if one.is_named else f"#{login}"): one
        for login, one in by_login.items()
        if login is not None
    }
    found = []
    for owner in owners:
        layers = left.pop((owner.is_known, owner.name), None)
        none = 0 if is_complete else None
        if layers:
            found.append(_with(owner, layers, is_counted=is_counted))
        elif owner.layers_bytes != none:
            found.append(owner._replace(layers_bytes=none))
        else:
            found.append(owner)
    return found + [
        _with(Owner(name, known, ()), one, is_counted=is_counted)
        for (known, name), one in left.items()
    ]


def _with(owner: Owner, layers: Layers, *, is_counted: bool) -> Owner:
    counted = layers.own_bytes if is_counted else 0
    return owner._replace(
        layers_bytes=layers.size_bytes, uncounted_bytes=layers.size_bytes - counted
    )


def _tightness(row: UsageRow) -> tuple[int, float, int]:
    of_limit = row.share
    return (
        STANDINGS.index(row.standing),
        -(of_limit if of_limit is not None else -1.0),
        -row.record.used_bytes,
    )
