"""Judge by Docker's own events whether each stop and removal in generated lives was justified.

Nothing of ds01ctl's is used: the limits are written here again, and whoever did what is told by
the generator's record (tests/host/guest/lives.py). What it did not do itself, `cleanup` did.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

ROUNDING_S = 0.2
"""Between the moments at which Docker does something, says so and writes it into its fields."""
AT_ONCE_S = 60.0
"""Between the entry in the book and Docker's event, on a slow machine."""


class Limits(NamedTuple):
    """When something may be done, in seconds."""

    idle_s: float
    runtime_s: float
    hold_s: float
    created_s: float


class Event(NamedTuple):
    """Something that Docker told of a container."""

    at: float
    """Seconds since 1970."""
    id: str
    what: str
    attributes: Mapping[str, str]


class Deed(NamedTuple):
    """What `cleanup` tells that it has done."""

    at: float
    id: str
    kind: str
    part: str
    stage: int


class Judge:
    """The record of the lives beside what the audit log tells."""

    def __init__(
        self, record: Mapping[str, Any], history: Iterable[Mapping[str, Any]], limits: Limits
    ) -> None:
        self._limits = limits
        self._told = record["events"]
        self._events = [_event(one) for one in self._told if one["Type"] == "container"]
        self._own = record["own"]
        self._deeds = [_deed(row) for row in history if row["outcome"] == "done"]
        self.ends: Counter[str] = Counter()
        """What was seen, and how often."""

    def faults(self) -> list[str]:
        """Say what was not justified, was not told, or is told and did not happen."""
        self.ends.clear()
        self._count_survivors()
        return [*self._volumes(), *self._unjustified(), *self._untold()]

    # --- what happened ---

    def strikes(self) -> Iterator[tuple[str, Event]]:
        """Find what Docker was asked to do by somebody other than the generator."""
        for one in self._events:
            kind = _kind(one)
            if kind and not self._is_own(one):
                yield kind, one

    def _is_own(self, event: Event) -> bool:
        # a removal that was refused may have been so because of ours
        return any(
            row["id"] == event.id
            and (row["what"] in {"stop", "restart"} or _has_removed(row))
            and row["begin"] - ROUNDING_S <= event.at <= row["end"] + ROUNDING_S
            for row in self._own
        )

    def _volumes(self) -> Iterator[str]:
        gone = [one for one in self._told if (one["Type"], one["Action"]) == ("volume", "destroy")]
        return (f"volume {one['Actor']['ID']} was removed" for one in gone)

    def _unjustified(self) -> Iterator[str]:
        for kind, one in self.strikes():
            part = next((d.part for d in self._deeds if _is_of(d, kind, one)), "")
            past = [other for other in self._events if other.id == one.id and other.at < one.at]
            why = self._stop(past, one, part) if kind == "stop" else self._removal(past, one)
            if why:
                yield f"{kind} of {one.attributes['name']} ({one.id[:12]}): {why}"
            else:
                self.ends[f"{kind} {part}"] += 1

    def _stop(self, past: Sequence[Event], kill: Event, part: str) -> str:
        last = _last(past, "start", "die", "pause", "unpause")
        started = _last(past, "start")
        if last is None or started is None or last.what not in {"start", "unpause"}:
            return f"it was {last.what if last else 'created'}"
        if part == "idle" and kill.at - started.at < self._limits.idle_s - ROUNDING_S:
            return f"it had run for {kill.at - started.at:.1f} s"
        if part == "idle" and kill.attributes["life"] == "busy":
            return "it was busy"
        if part == "runtime" and _ran_s(past, kill.at) < self._limits.runtime_s - ROUNDING_S:
            return f"all its runs were {_ran_s(past, kill.at):.1f} s"
        stages = {d.stage for d in self._deeds if (d.id, d.kind, d.part) == (kill.id, "warn", part)}
        if stages != {1, 2}:
            return f"of the two warnings were given: {sorted(stages)}"
        return self._spared(kill)

    def _removal(self, past: Sequence[Event], destroy: Event) -> str:
        last = _last(past, "create", "start", "die", "pause", "unpause")
        if last is None or last.what not in {"create", "die"}:
            return f"it was {last.what if last else 'not there'}"
        limit_s = self._limits.created_s if last.what == "create" else self._limits.hold_s
        since = max(last.at, self._kept_until(destroy.id))
        if destroy.at - since < limit_s - ROUNDING_S:
            return f"{last.what} was {destroy.at - since:.1f} s before"
        return self._spared(destroy)

    def _spared(self, event: Event) -> str:
        if event.attributes.get("ds01.protected"):
            return "it is protected"
        kept = [r for r in self._own if r["id"] == event.id and r["what"] in {"keep", "unkeep"}]
        before = [row["what"] for row in kept if row["begin"] < event.at]
        return "it is kept" if before[-1:] == ["keep"] else ""

    def _kept_until(self, id_: str) -> float:
        ends = [r["begin"] for r in self._own if (r["id"], r["what"]) == (id_, "unkeep")]
        return max(ends, default=0.0)

    def _count_survivors(self) -> None:
        """See who was left in peace for more than twice the time in which others were stopped."""
        for row in self._own:
            past = [one for one in self._events if one.id == row["id"] and one.at < row["begin"]]
            last, started = _last(past, "start", "die", "pause"), _last(past, "start")
            if not _has_removed(row) or last is None or last.what == "die":
                continue
            if started and row["begin"] - started.at > 2 * self._limits.idle_s:
                self.ends[f"{started.attributes['life']} survived"] += 1

    # --- what is told ---

    def _untold(self) -> Iterator[str]:
        """See that each deed has its entry, and each entry its deed."""
        for kind, one in self.strikes():
            if sum(_is_of(deed, kind, one) for deed in self._deeds) != 1:
                yield f"{kind} of {one.attributes['name']} ({one.id[:12]}) is not told once"
        for deed in self._deeds:
            kind = deed.kind.partition("-")[0].replace("remove", "removal")
            # one that comes while the generator does the same is nobody's alone
            if kind != "warn" and not any(
                _kind(one) == kind and _is_of(deed, kind, one) for one in self._events
            ):
                yield f"{deed.kind} of {deed.id[:12]} is told, and was not seen"


def _has_removed(row: Mapping[str, Any]) -> bool:
    return row["what"] == "remove" and row["error"] is None


def _event(told: Mapping[str, Any]) -> Event:
    actor = told["Actor"]
    return Event(told["timeNano"] / 1e9, actor["ID"], told["Action"], actor["Attributes"])


def _deed(row: Mapping[str, Any]) -> Deed:
    at = datetime.fromisoformat(row["time"]).timestamp()
    return Deed(at, row["target"], row["kind"], row["part"], row["stage"])


def _kind(event: Event) -> str:
    if event.what == "kill" and event.attributes.get("signal") == "15":
        return "stop"
    return "removal" if event.what == "destroy" else ""


def _is_of(deed: Deed, kind: str, event: Event) -> bool:
    named = {"stop": "stop-container", "removal": "remove-container"}[kind]
    is_then = deed.at <= event.at <= deed.at + AT_ONCE_S
    return (deed.id, deed.kind) == (event.id, named) and is_then


def _last(events: Iterable[Event], *what: str) -> Event | None:
    return next((one for one in reversed(list(events)) if one.what in what), None)


def _ran_s(events: Iterable[Event], end: float) -> float:
    """Add up all runs until then."""
    total, began = 0.0, None
    for one in events:
        if one.what == "start":
            began = one.at
        elif one.what == "die" and began is not None:
            total, began = total + one.at - began, None
    return total + (end - began if began is not None else 0.0)
