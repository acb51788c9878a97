"""What file systems and ids used before: remembered, for trends and forecasts."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from ds01ctl.core import forecast, volume_owner
from ds01ctl.core.quota_rows import NO_FORECAST, Forecast
from ds01ctl.state import State, StateError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ds01ctl.commands.quota_looking import Reading
    from ds01ctl.core.disk_quota import QuotaFileSystem
    from ds01ctl.core.quota_model import Place
    from ds01ctl.paths import Paths

KEPT = forecast.WINDOW
_CHANGED, _AGAIN = timedelta(hours=6), timedelta(hours=24)
"""What changes is noted so often, and what does not once a day."""
_DAY_S = 86400
FILE_SYSTEM = "filesystem"

Key = tuple[str, str, int]
Samples = dict[Key, list[tuple[int, int]]]


def samples(paths: Paths, now: datetime, only: Iterable[Key] | None = None) -> Samples:
    """Read what was noted; nothing where there is no store, or it can't be read.

    only: of these places; None: of all whose use has changed.
    """
    try:
        state = State.open_for_reading(paths)
        if state is None:
            return {}
        with state:
            return state.disk_usage(int((now - KEPT).timestamp()), int(now.timestamp()), only=only)
    except StateError:
        return {}


def asked_places(
    by: str, user: str | None, shown: Iterable[QuotaFileSystem], seen: Reading
) -> list[Key] | None:
    """Give the places that a report needs where they are few; None: it needs all."""
    if by == "filesystem":
        return [(one.mount, FILE_SYSTEM, 0) for one in shown]
    if user is None:
        return None
    users = seen.users.users
    ids = [("user", uid) for uid, name in users.items() if name == user]
    if user.startswith("#") and user[1:].isdecimal():
        ids.append(("user", int(user[1:])))
    volumes = ((id_, volume_owner.owner_of(name, users)) for id_, name in seen.projects.items())
    ids += [("project", id_) for id_, owner in volumes if owner == user]
    return [(one.mount, *id_) for one in shown for id_ in ids]


def note(state: State, seen: Reading) -> None:
    """Note what is used now, where it is news; inside a transaction."""
    now_s = int(seen.taken_at.timestamp())
    newest = state.newest_disk_usage(now_s)
    new = {
        key: used for key, used in used_now(seen).items() if _is_news(newest.get(key), used, now_s)
    }
    state.note_disk_usage(new, now_s)
    state.keep_disk_usage(*kept(state.disk_usage_days(), now_s))


def kept(days: Iterable[int], now_s: int) -> tuple[int, int | None]:
    """Say from when on, and until when, samples are kept; epoch seconds, None: all that follow.

    days: those since the epoch on which something was noted. It is they that are counted, not the
    time that has passed: so a clock that is ahead for some runs, or behind, takes a day or two, and
    never all. What a clock that was ahead noted goes, unless it is most of what there is: then it
    is now that the clock is behind.
    """
    past = sorted(day for day in days if day * _DAY_S <= now_s)
    future = sum(1 for day in days if day * _DAY_S > now_s)
    oldest = past[-KEPT.days - 1 :][:1]
    return (oldest[0] * _DAY_S if oldest else 0), (now_s if future <= len(past) else None)


def used_now(seen: Reading) -> dict[Key, int]:
    """Give the bytes used by every id, and of every file system."""
    found: dict[Key, int] = {}
    for one in seen.file_systems:
        if one.size_bytes is not None and one.free_bytes is not None:
            found[one.mount, FILE_SYSTEM, 0] = one.size_bytes - one.free_bytes
        for kind, records in one.records.items():
            found.update({(one.mount, kind, record.id): record.used_bytes for record in records})
    return found


def _is_news(noted: tuple[int, int] | None, used: int, now_s: int) -> bool:
    if noted is None:
        return used > 0
    at, last = noted
    return now_s - at >= (_CHANGED if used != last else _AGAIN).total_seconds()


def forecasts(noted: Samples, limits: Mapping[Place, int], now: datetime) -> dict[Place, Forecast]:
    """Say of each place how fast it grows, and when its limit of bytes is reached.

    Only of those whose use has changed in the time that is looked back on.
    """
    return {
        place: of_samples(history, limit, now)
        for place, limit in limits.items()
        if (history := noted.get(place)) and any(used != history[0][1] for _, used in history)
    }


def of_samples(history: Sequence[tuple[int, int]], limit: int, now: datetime) -> Forecast:
    """Make a forecast of one history; limit: 0 is none."""
    dated = [(datetime.fromtimestamp(at, timezone.utc), used) for at, used in history]
    speed = forecast.trend_bytes_per_day(dated, now)
    if speed is None:
        return NO_FORECAST
    return Forecast(speed, forecast.days_at(speed, limit - history[-1][1]) if limit else None)
