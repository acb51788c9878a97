"""The weekly report of `cleanup`: what it freed, stopped and removed, and what waits for an admin.

Names and reasons are users' text: they are made printable here.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from ds01ctl.core.sizes import size
from ds01ctl.report.local_time import local_time
from ds01ctl.report.text import clean, columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from ds01ctl.core.plan import Result

_MOST = 20
"""Lines of one kind; the rest is counted."""
_LONGEST = 300
_FREES = ("remove-container", "remove-image", "untag-image", "prune-build-cache", "remove-network")
_WORDS = {
    "idle": "idle",
    "runtime": "ran too long",
    "stopped": "stopped, hold over",
    "created": "never started",
    "users": "of departed users",
    "images": "unused images",
    "cache": "build cache",
    "networks": "unused networks",
}


class VolumeLine(NamedTuple):
    """A volume that no container has; it is never removed by a timer."""

    name: str
    owner: str | None
    size_bytes: int | None
    last_mounted: datetime | None = None


class Week(NamedTuple):
    """What there is to report; since and until are aware."""

    host: str
    since: datetime
    until: datetime
    stopped: Mapping[str, int] = {}
    """Containers by part."""
    removed: Mapping[str, int] = {}
    """Containers, images and networks by part."""
    freed_bytes: Mapping[str, int] = {}
    """By part."""
    freed_is_whole: bool = True
    """False: of something that was removed the size is not known."""
    gpu_hours: float | None = None
    """GPU time of idle containers that is free; None: not known."""
    warned: int = 0
    undelivered: int = 0
    failed: tuple[str, ...] = ()
    trips: Mapping[str, int] = {}
    """How often a circuit breaker tripped anew, by its name."""
    volumes: Sequence[VolumeLine] = ()
    departed: Sequence[tuple[str, Sequence[str]]] = ()
    """A text for each person, and a line for each thing."""
    mode: str = "enforce"
    unread: Sequence[str] = ()
    """What could not be read: the report is not whole."""


def of_rows(rows: Sequence[Mapping[str, Any]], host: str, since: datetime, until: datetime) -> Week:
    """Sum up the rows of the log (`cleanup history`): only what is done counts."""
    done = [row for row in rows if row["outcome"] == "done"]
    gone = [row for row in done if row["kind"] in _FREES]
    freed: Counter[str] = Counter()
    for row in gone:
        freed[row["part"]] += row["freed_bytes"] or 0
    warnings = [row for row in rows if row["kind"] == "warn"]
    return Week(
        host, since, until,
        Counter(row["part"] for row in done if row["kind"] == "stop-container"),
        Counter(row["part"] for row in gone),
        {part: count for part, count in freed.items() if count},
        all(row["freed_bytes"] is not None for row in gone),
        warned=sum(1 for row in warnings if row["outcome"] == "done"),
        undelivered=len({row["target"] for row in warnings if row["outcome"] == "skipped"}),
        failed=tuple(
            f"{row['kind']} {row['name']}: {row['error']}"
            for row in rows
            if row["outcome"] == "failed" and row["kind"] != "warn"
        ),
        trips=Counter(row["target"] for row in rows if row["kind"] == "trip"),
    )  # fmt: skip


def data_of(week: Week) -> dict[str, Any]:
    """Give the report as the data of a result, for scripts."""
    rest = {"stopped": dict(week.stopped), "removed": dict(week.removed)}
    rest |= {"freed_bytes": dict(week.freed_bytes), "trips": dict(week.trips)}
    people = [{"text": text, "left": list(things)} for text, things in week.departed]
    volumes = [one._asdict() for one in week.volumes]
    lists = {"failed": list(week.failed), "unread": list(week.unread)}
    return week._asdict() | rest | lists | {"volumes": volumes, "departed": people}


def report_lines(result: Result) -> list[str]:
    """Show a result whose data is data_of()."""
    data = dict(result.data)
    data["departed"] = [(one["text"], one["left"]) for one in data["departed"]]
    data["volumes"] = [VolumeLine(**one) for one in data["volumes"]]
    return lines(Week(**{name: data[name] for name in Week._fields if name in data}))


def subject(week: Week) -> str:
    """Give the mail's subject: ``[gpu01] cleanup: 4 stopped, 12 removed, 110 GiB freed``."""
    stopped, removed = sum(week.stopped.values()), sum(week.removed.values())
    freed = size(sum(week.freed_bytes.values()))
    return f"[{clean(week.host, 60)}] cleanup: {stopped} stopped, {removed} removed, {freed} freed"


def lines(week: Week) -> list[str]:
    """Give the report, for a mail or a terminal."""
    return [
        f"cleanup on {clean(week.host, 60)}",
        f"{local_time(week.since)} to {local_time(week.until)}",
        "",
        *_mode(week),
        *_figures(week),
        *_section("Could not be done:", week.failed),
        *_section("Not known:", week.unread),
        *_trips(week),
        *_volumes(week),
        *_departed(week),
    ]


def _mode(week: Week) -> list[str]:
    if week.mode == "enforce":
        return []
    return ["cleanup.mode is report: nothing is stopped or removed until it is enforce.", ""]


def _figures(week: Week) -> list[str]:
    freed = sum(week.freed_bytes.values())
    more = "" if week.freed_is_whole else ", and what is not known of some"
    hours = "not known" if week.gpu_hours is None else f"{week.gpu_hours:.1f} h"
    warned = f"{week.warned} delivered"
    if week.undelivered:
        warned += f", {week.undelivered} reached nobody: those containers run on"
    rows = [
        ("freed", f"{size(freed)}{more}"),
        *_by_part(week.freed_bytes, lambda count: size(count)),
        ("GPU time reclaimed", hours),
        ("containers stopped", str(sum(week.stopped.values()))),
        *_by_part(week.stopped, str),
        ("removed", str(sum(week.removed.values()))),
        *_by_part(week.removed, str),
        ("warnings", warned),
    ]
    return [*columns(rows), ""]


def _by_part(counts: Mapping[str, int], shown: Any) -> Iterator[tuple[str, str]]:
    for part, count in sorted(counts.items(), key=lambda one: (-one[1], one[0])):
        yield f"  {_WORDS.get(part, clean(part, 40))}", shown(count)


def _trips(week: Week) -> list[str]:
    told = [
        f"{name}: {count} time{'' if count == 1 else 's'}"
        for name, count in sorted(week.trips.items())
    ]
    return _section("Circuit breakers kept runs from acting (ds01ctl cleanup history):", told)


def _volumes(week: Week) -> list[str]:
    ordered = sorted(week.volumes, key=lambda one: (-(one.size_bytes or 0), one.name))
    rows = [
        (
            clean(one.name, 64),
            "?" if one.size_bytes is None else size(one.size_bytes),
            clean(one.owner or "?", 40),
            local_time(one.last_mounted) if one.last_mounted else "not known",
        )
        for one in ordered
    ]
    if not rows:
        return []
    table = columns([("volume", "size", "owner", "last mounted"), *rows[:_MOST]])
    head = "Volumes that no container has; none is removed but by name:"
    told = [f"  {line}" for line in table]
    told += [f"  and {len(rows) - _MOST} more"] if len(rows) > _MOST else []
    return [head, *told, "  ds01ctl cleanup remove-volume NAME --confirm NAME", ""]


def _departed(week: Week) -> list[str]:
    if not week.departed:
        return []
    told: list[str] = ["Users who have left:"]
    for text, things in list(week.departed)[:_MOST]:
        told.append(f"  {clean(text, _LONGEST)}")
        told += [f"    {clean(one, _LONGEST)}" for one in list(things)[:_MOST]]
        told += [f"    and {len(things) - _MOST} more"] if len(things) > _MOST else []
    told += [f"  and {len(week.departed) - _MOST} more"] if len(week.departed) > _MOST else []
    return [*told, "  ds01ctl cleanup plan --only users", ""]


def _section(head: str, told: Sequence[str]) -> list[str]:
    if not told:
        return []
    more = [f"  and {len(told) - _MOST} more"] if len(told) > _MOST else []
    return [head, *(f"  {clean(one, _LONGEST)}" for one in told[:_MOST]), *more, ""]
