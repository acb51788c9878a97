"""Count for how long GPUs are free because an idle container was stopped."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from ds01ctl.core.idle import STOPPED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ds01ctl.commands.cleanup_looking import Look

MOST_S = 86400.0
"""Of one stop: nobody would have kept a GPU idle for ever."""


class Reclaiming:
    """The stops that still count: equivalents and seconds so far, by the container's full id.

    Counted is time that was watched, from look to look, while the container is there and stopped.
    """

    def __init__(self, told: Any) -> None:
        self.rows: dict[str, list[float]] = {}
        for id_, row in told.items() if isinstance(told, dict) else ():
            if isinstance(row, list) and len(row) == 2:
                self.rows[str(id_)] = [float(row[0]), float(row[1])]

    def begin(self, id_: str, equivalents: float | None) -> None:
        """Begin with a container that was stopped just now."""
        if equivalents:
            self.rows[id_] = [equivalents, 0.0]

    def count(self, seen: Look) -> float:
        """Count up to this look; gives the GPU seconds that it adds."""
        added = 0.0
        for id_, (equivalents, counted) in list(self.rows.items()):
            now, watch = seen.container(id_), seen.watches.get(id_)
            if now is None and seen.snapshot.lacks("docker"):
                continue
            if now is None or watch is None or now.state not in STOPPED or counted >= MOST_S:
                del self.rows[id_]
                continue
            free_s = min(watch.stopped_s, MOST_S)
            added += max(0.0, free_s - counted) * equivalents
            self.rows[id_] = [equivalents, max(free_s, counted)]
        return added


def equivalents(seen: Look, id_: str) -> float | None:
    """Count the GPU equivalents that a container holds; None: that is not known."""
    from ds01ctl.core.allocation import allocated_gpus
    from ds01ctl.core.gpu_access import GpuAccess, units

    workload = seen.workload(id_)
    if workload is None:
        return None
    given = allocated_gpus(workload, seen.snapshot)
    used = {use.mig_uuid or use.gpu_uuid for use in workload.uses}
    uuids = (given[0] if given else frozenset()) | used
    return units(GpuAccess(("held",), frozenset(uuids), ()), seen.snapshot.gpus)


# --- by day -----------------------------------------------------------------------------------

DAYS = "gpu_days"
"""The mark that has the GPU seconds of each day, in UTC."""
_MOST_DAYS = 400


def by_day(days: Mapping[str, float], now: datetime, more: float) -> dict[str, float]:
    """Add GPU seconds to those of today; the newest days are kept."""
    today = f"{now:%Y-%m-%d}"
    every = {**days, today: days.get(today, 0.0) + more} if more else dict(days)
    return {day: every[day] for day in sorted(every)[-_MOST_DAYS:]}


def hours_since(days: Mapping[str, float], since: datetime) -> float:
    """Sum up the GPU hours of the days from a time on, its own day included."""
    first = f"{since.astimezone(timezone.utc):%Y-%m-%d}"
    return sum(seconds for day, seconds in days.items() if day >= first) / 3600
