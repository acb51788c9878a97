"""Write what `cleanup` remembers of a container as JSON text, and read it.

By hand and short: hundreds of watches with their last intervals are read and written every five
minutes, and the codec of snapshots would take longer over that than all the rest takes.
"""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from ds01ctl.core.cleanup_model import Clock, Interval, Reading, Sample, Warned, Watch

if TYPE_CHECKING:
    from collections.abc import Iterable


def watch_text(watch: Watch) -> str:
    """Write a watch as JSON text."""
    row = watch._asdict() | {
        "started_at": _text(watch.started_at),
        "finished_at": _text(watch.finished_at),
        "first_started_at": _text(watch.first_started_at),
        "looked": clock_row(watch.looked),
        "last": _sample_row(watch.last) if watch.last else None,
        "warned": [one._replace(at=_seconds(one.at)) for one in watch.warned],  # type: ignore[arg-type]  # as JSON has it
        "intervals": [one._replace(at=_seconds(one.at)) for one in watch.intervals],  # type: ignore[arg-type]  # as above
    }
    return json.dumps(row, separators=(",", ":"))


def read_watch(text: str) -> Watch | None:
    """Read what `watch_text` wrote; None where it makes no sense: then nothing is known."""
    try:
        row: dict[str, Any] = json.loads(text)
        known = {name: row[name] for name in Watch._fields if name in row}
        return Watch(**known)._replace(
            started_at=_time(row["started_at"]),
            finished_at=_time(row["finished_at"]),
            first_started_at=_time(row["first_started_at"]),
            looked=_clock(row["looked"]),
            last=_sample(row["last"]) if row["last"] else None,
            idle_s=float(row["idle_s"]),
            ran_s=float(row["ran_s"]),
            stopped_s=float(row["stopped_s"]),
            created_s=float(row["created_s"]),
            hold_from_s=float(row.get("hold_from_s", 0)),
            promised_s=float(row.get("promised_s", 0)),
            is_hold_told=bool(row.get("is_hold_told")),
            warned=tuple(_warned(*one) for one in row["warned"]),
            intervals=tuple(_interval(*one) for one in row["intervals"]),
        )
    except (ValueError, TypeError, KeyError, OverflowError):
        return None


def read_clock(row: Any) -> Clock | None:
    """Read what `clock_row` gave; None where it makes no sense."""
    try:
        return _clock(row)
    except (ValueError, TypeError):
        return None


def clock_row(clock: Clock) -> list[Any]:
    """Give a clock as JSON has it."""
    return [_text(clock.now), clock.boot_id, clock.boottime_s]


def _clock(row: Any) -> Clock:
    now, boot_id, boottime_s = row
    return Clock(datetime.fromisoformat(now), str(boot_id), float(boottime_s))


def _sample_row(sample: Sample) -> dict[str, Any]:
    return {
        "id": sample.id,
        "started_at": _text(sample.started_at),
        "at": clock_row(sample.at),
        "readings": dict(sample.readings),
        "gpu_memory_bytes": sample.gpu_memory_bytes,
    }


def _sample(row: Any) -> Sample:
    readings = {
        name: Reading(state, float(value), str(detail))
        for name, (state, value, detail) in row["readings"].items()
    }
    started_at = datetime.fromisoformat(row["started_at"])
    return Sample(row["id"], started_at, _clock(row["at"]), readings, row["gpu_memory_bytes"])


def _interval(at: float, seconds: float, verdict: Any, evidence: list[str], *_: Any) -> Interval:
    return Interval(_at(at), float(seconds), verdict, tuple(evidence))


def _warned(
    part: Any,
    stage: int,
    at: float,
    counted_s: float,
    channels: list[str],
    errors: Iterable[str] = (),
    *_: Any,
) -> Warned:
    return Warned(part, int(stage), _at(at), float(counted_s), tuple(channels), tuple(errors))


def _seconds(moment: datetime) -> float:
    return moment.timestamp()


def _at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
