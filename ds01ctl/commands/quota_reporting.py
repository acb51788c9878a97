"""What `quota report` tells: who uses how much of what, against which limit, and where it goes."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, NamedTuple

from ds01ctl.commands import gathering, quota_history, quota_looking, quota_running
from ds01ctl.core import quota, quota_rows, volume_owner
from ds01ctl.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from ds01ctl.commands.quota_layers import LayersReading
    from ds01ctl.commands.quota_looking import Reading
    from ds01ctl.core.disk_quota import Accounting, QuotaFileSystem
    from ds01ctl.core.held import Held
    from ds01ctl.core.model import Gap
    from ds01ctl.core.plan import Result
    from ds01ctl.core.quota_rows import Owner, UsageRow
    from ds01ctl.paths import Paths


class Question(NamedTuple):
    """What the admin wants to see."""

    user: str | None = None
    by: str = "user"
    kind: str = "disk"
    sort: str = "tight"
    top: int | None = None
    path: str | None = None
    config: Path | None = None
    layers: bool = True
    """Ask Docker for the writable layers of containers."""


def report(asked: Question) -> Result:
    """Read everything once and lay it out."""
    if asked.user is not None and asked.by != "user":
        raise UsageError(f"one user is shown by user, not --by {asked.by}", "leave out one of both")
    paths, now = gathering.host_paths(), gathering.utcnow()
    data: dict[str, Any] = {"by": asked.by, "rows": [], "file_systems": [], "held": []}
    gaps: tuple[Gap, ...] = ()
    if asked.kind in {"disk", "all"}:
        more = (asked.path,) if asked.path else ()
        seen = quota_looking.read(
            quota_looking.Wish(config=asked.config, paths=more), paths, now, remembered=False
        )
        layers = _layers(asked, seen, paths)
        data |= _disk(asked, seen, layers, paths)
        # a host without Docker lacks nothing
        gaps = (*seen.gaps, *(one for one in layers.reading.gaps if one.kind != "absent"))
    if asked.kind != "disk":
        held, more_gaps = _held(asked, paths)
        data["held"] = held
        gaps = tuple(dict.fromkeys((*gaps, *more_gaps)))
    return quota_running.made("quota report", now, gaps, (), data)


def _disk(asked: Question, seen: Reading, layers: _Layers, paths: Paths) -> dict[str, Any]:
    shown = _file_systems(asked, seen)
    records = quota.records_of(shown)
    few = quota_history.asked_places(asked.by, asked.user, shown, seen)
    noted = quota_history.samples(paths, seen.taken_at, few)
    limits = {
        place: one.limits.soft_bytes or one.limits.hard_bytes for place, one in records.items()
    }
    forecasts = quota_history.forecasts(noted, limits, seen.taken_at) if noted else {}
    now_s = seen.taken_at.timestamp()
    names = {"user": seen.users.users, "project": seen.projects}
    rows = quota_rows.rows_of(records, names, now_s, forecasts)  # type: ignore[arg-type]  # two kinds
    told: list[dict[str, Any]] = []
    if asked.by == "user":
        told = _users(asked, rows, seen, layers)
    elif asked.by == "project":
        told = [place_row(one) for one in _sorted(asked.sort, _of_projects(rows))]
    elif asked.by == "filesystem":
        told = [_file_system_row(one, rows, noted, seen) for one in shown]
    file_systems = [_accounting_row(one) for one in shown]
    found = {"rows": told[: asked.top], "file_systems": file_systems, "total_rows": len(told)}
    if asked.by == "user":
        found["unowned_layers"] = _unowned(asked, layers)
    return found


def _file_systems(asked: Question, seen: Reading) -> tuple[QuotaFileSystem, ...]:
    if asked.path is None:
        return seen.file_systems
    found = tuple(
        one for one in seen.file_systems if asked.path in one.holds or asked.path == one.mount
    )
    if not found:
        known = ", ".join(one.mount for one in seen.file_systems) or "none could be read"
        raise UsageError(f"--path {asked.path}: lies on no file system that was read", known)
    return found


def _of_projects(rows: Iterable[UsageRow]) -> list[UsageRow]:
    return [row for row in rows if row.place.kind == "project" and row.place.id != 0]


# --- container layers -------------------------------------------------------------------------


class _Layers(NamedTuple):
    reading: LayersReading
    is_counted: bool = False
    """The rows have the files that containers write as their owner's uid."""


def _layers(asked: Question, seen: Reading, paths: Paths) -> _Layers:
    """Read them where rows of users are shown, of the file systems that are asked about."""
    from ds01ctl.commands import quota_layers

    if not asked.layers or asked.by != "user":
        return _Layers(quota_layers.NOT_ASKED)
    reading = quota_layers.read(seen.policy, paths, seen.taken_at)
    if not reading.by_login:
        return _Layers(reading)
    there = quota_layers.data_root_on(_file_systems(asked, seen), seen.policy, paths)
    if asked.path is not None and there is None:
        return _Layers(quota_layers.NONE_HERE)
    return _Layers(reading, there is not None and there.accounting["user"].is_on)


def _unowned(asked: Question, layers: _Layers) -> dict[str, Any] | None:
    """Tell what the platform's own containers and those of nobody take; None: not known."""
    found = layers.reading.by_login.get(None)
    if asked.user is not None or (found is None and layers.reading.gaps):
        return None
    return {"bytes": found.size_bytes if found else 0,
            "containers": list(found.containers) if found else []}  # fmt: skip


# --- users ------------------------------------------------------------------------------------


def _users(
    asked: Question, rows: Iterable[UsageRow], seen: Reading, layers: _Layers
) -> list[dict[str, Any]]:
    owners = quota_rows.with_layers(
        quota_rows.owners(rows, lambda name: volume_owner.owner_of(name, seen.users.users)),
        layers.reading.by_login,
        is_complete=not layers.reading.gaps,
        is_counted=layers.is_counted,
    )
    if asked.user is not None:
        owners = [one for one in owners if one.name == asked.user]
        if not owners and asked.user not in seen.users.uids:
            raise UsageError(
                f"no user {asked.user} is known here, and nobody of that name uses disk"
            )
    return [_owner_row(one, layers) for one in sorted(owners, key=_order(asked.sort))]


def _order(sort: str) -> Any:
    """Give the key that sorts owners; all but the names with the largest first."""
    return {
        "used": lambda one: (-one.used_bytes, one.name),
        "inodes": lambda one: (-sum(row.record.used_inodes for row in one.rows), one.name),
        "name": lambda one: one.name,
        "tight": _by_tightness,
    }[sort]


def _by_tightness(owner: Owner) -> tuple[int, float, int, str]:
    return (
        quota_rows.STANDINGS.index(owner.standing),
        -(owner.share or 0.0),
        -owner.used_bytes,
        owner.name,
    )


def _sorted(sort: str, rows: Iterable[UsageRow]) -> list[UsageRow]:
    alone = [quota_rows.Owner(row.shown_name, row.name is not None, (row,)) for row in rows]
    return [one.rows[0] for one in sorted(alone, key=_order(sort))]


def _owner_row(owner: Owner, layers: _Layers) -> dict[str, Any]:
    login = owner.name if owner.is_known else owner.name.removeprefix("#")
    theirs = layers.reading.by_login.get(login) if owner.layers_bytes else None
    return {
        "user": owner.name,
        "known": owner.is_known,
        "used_bytes": owner.used_bytes,
        "layers_bytes": owner.layers_bytes,
        "layers_containers": list(theirs.containers) if theirs else [],
        "standing": owner.standing,
        "share": owner.share,
        "places": [place_row(row) for row in owner.rows],
    }


def place_row(row: UsageRow) -> dict[str, Any]:
    """Give one record of the kernel as JSON has it."""
    (mount, kind, id_), record = row.place, row.record
    soft_bytes, hard_bytes, soft_inodes, hard_inodes = record.limits
    return {
        "mount": mount,
        "kind": kind,
        "id": id_,
        "name": row.name,
        "used_bytes": record.used_bytes,
        "used_inodes": record.used_inodes,
        "soft_bytes": soft_bytes,
        "hard_bytes": hard_bytes,
        "soft_inodes": soft_inodes,
        "hard_inodes": hard_inodes,
        "bytes_grace_end": _time(record.bytes_grace_end),
        "inodes_grace_end": _time(record.inodes_grace_end),
        "standing": row.standing,
        "share": row.share,
        "bytes_per_day": row.forecast.bytes_per_day,
        "days_until_full": row.forecast.days_until_full,
    }


def _time(epoch_s: int) -> str | None:
    if not epoch_s:
        return None
    return datetime.fromtimestamp(epoch_s, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


# --- file systems -----------------------------------------------------------------------------


def _file_system_row(
    one: QuotaFileSystem, rows: Sequence[UsageRow], noted: quota_history.Samples, seen: Reading
) -> dict[str, Any]:
    here = [row for row in rows if row.place.mount == one.mount]
    users = [row for row in here if row.place.kind == "user"]
    history = noted.get((one.mount, quota_history.FILE_SYSTEM, 0), ())
    expected = quota_history.of_samples(history, one.size_bytes or 0, seen.taken_at)
    return {
        "mount": one.mount,
        "type": one.type,
        "source": one.source,
        "size_bytes": one.size_bytes,
        "free_bytes": one.free_bytes,
        "free_inodes": one.free_inodes,
        "users": sum(1 for row in users if row.record.used_bytes or row.record.used_inodes),
        "users_with_limits": sum(1 for row in users if any(row.record.limits)),
        "over": sum(1 for row in here if row.standing != "ok"),
        "promised_bytes": sum(
            row.record.limits.hard_bytes or row.record.limits.soft_bytes for row in users
        ),
        "bytes_per_day": expected.bytes_per_day,
        "days_until_full": expected.days_until_full,
    }


def _accounting_row(one: QuotaFileSystem) -> dict[str, Any]:
    return {
        "mount": one.mount,
        "type": one.type,
        "source": one.source,
        "holds": list(one.holds),
        "size_bytes": one.size_bytes,
        "free_bytes": one.free_bytes,
        "accounting": {kind: _state(found) for kind, found in one.accounting.items()},
    }


def _state(accounting: Accounting) -> dict[str, Any]:
    return accounting._asdict()


# --- GPUs and containers ----------------------------------------------------------------------


def _held(asked: Question, paths: Paths) -> tuple[list[dict[str, Any]], tuple[Gap, ...]]:
    from ds01ctl.commands import quota_held

    found = quota_held.read(paths, asked.config)
    rows = [one for one in found.rows if asked.kind in {one.kind, "all"}]
    if asked.user is not None:
        rows = [one for one in rows if one.user == asked.user]
    rows.sort(key=_held_order)
    return [_held_row(one) for one in rows][: asked.top], found.gaps


def _held_order(held: Held) -> tuple[float, str, str]:
    part = held.used / held.limit if held.limit else 0.0
    return (-part, held.user, held.kind)


def _held_row(held: Held) -> dict[str, Any]:
    return held._asdict() | {
        "containers": list(held.containers),
        "evidence": list(held.evidence),
        "over": held.is_over,
    }
