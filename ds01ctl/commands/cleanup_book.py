"""Write down what a run is about to do, before it does it, and what came of it, right after.

A run may be killed anywhere. What is begun and not ended is settled by the next run, which looks
(cleanup_settling). What cannot be written down is not done.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ds01ctl import __version__
from ds01ctl.cleanupstate import Logged
from ds01ctl.commands import cleanup_hearing, gathering
from ds01ctl.commands.cleanup_did import recorded
from ds01ctl.commands.cleanup_entries import key_of, logged, said_of, stopped, told_of, unwritten
from ds01ctl.commands.cleanup_history import is_noted
from ds01ctl.commands.cleanup_memory import Memory, at_text
from ds01ctl.commands.cleanup_reclaiming import DAYS, Reclaiming, by_day, equivalents
from ds01ctl.commands.cleanup_rows import clock_row, watch_text
from ds01ctl.core.cleanup_model import Warned
from ds01ctl.state import StateError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ds01ctl.commands.cleanup_did import Did
    from ds01ctl.commands.cleanup_looking import Look
    from ds01ctl.commands.cleanup_settling import Settled
    from ds01ctl.core.cleanup_model import Change, Trip
    from ds01ctl.paths import Paths
    from ds01ctl.state import State


class Book:
    """The open store of one run; all but ``end`` raises StateError where it can't be written."""

    def __init__(self, state: State, seen: Look) -> None:
        self._state = state
        self._seen = seen
        self._watches = dict(seen.watches)
        self._texts = dict(seen.memory.texts)
        self._seqs: dict[tuple[str, str, str], int] = {}
        self.totals = seen.memory.numbers("totals")
        self._reclaiming = Reclaiming(seen.memory.mark("reclaiming"))
        self._days: dict[str, float] = {}
        self._more: dict[str, float] = {}
        self._broken: StateError | None = None

    # --- the look ---

    def look(self) -> None:
        """Remember what was seen, and what became of what a killed run had begun.

        Of containers only in a run that is for them: another may be at work on those.
        """
        seen = self._seen
        if seen.has_containers:
            more = self._reclaiming.count(seen)
            self._count("gpu-seconds", more)
            self._days = by_day(seen.memory.numbers(DAYS), seen.clock.now, more)
        mine = seen.settled if seen.has_containers else ()
        with self._state.transaction():
            for one in (*mine, *seen.leftovers.settled):
                self._settle(one)
            if seen.has_containers:
                self._put_watches()
            if seen.leftovers.reading is not None:
                cleanup_hearing.put_uses(self._state, seen.memory.uses, seen.leftovers.uses)
            self._put_totals()
            self._state.put_marks(self._marks())

    def _settle(self, one: Settled) -> None:
        self._state.settle_log(one.row.seq, one.outcome, json.dumps(one.said))
        self._count(f"{one.row.kind}|{one.row.part}" if one.outcome == "done" else "")

    def _put_watches(self) -> None:
        """Write what has changed; forget containers that an engine, which answered, has no more."""
        new = {id_: watch_text(watch) for id_, watch in self._watches.items()}
        there = {one.id for one in self._seen.snapshot.containers}
        silent = {one.host for one in self._seen.snapshot.engines if not one.answered}
        gone = {
            id_
            for id_, watch in self._watches.items()
            if id_ not in there and watch.engine not in silent and not self._is_unknown
        }
        changed = {
            id_: text
            for id_, text in new.items()
            if id_ not in gone and self._texts.get(id_) != text
        }
        senseless = self._texts.keys() - new.keys()
        self._state.put_watches(changed, [*gone, *(senseless if not self._is_unknown else ())])
        self._texts |= changed

    @property
    def _is_unknown(self) -> bool:
        """Tell whether it may be that containers are there which were not told."""
        return self._seen.snapshot.lacks("docker") or not self._seen.snapshot.engines

    def meanwhile(self, paths: Paths) -> cleanup_hearing.Heard:
        """Remember what was used since the look, in the middle of much that we do ourselves."""
        return cleanup_hearing.meanwhile(self._state, self._seen.policy, paths)

    def _marks(self) -> dict[str, str]:
        seen, memory = self._seen, self._seen.memory
        marks: dict[str, Any] = {}
        if seen.has_containers:
            marks = {"clock": clock_row(seen.clock), DAYS: self._days}
        if memory.version_since(__version__) is None:
            marks["version"] = [__version__, seen.clock.now.isoformat()]
        if seen.has_containers and seen.activity is not None and seen.activity.last_seen:
            marks["nvml_seen"] = memory.numbers("nvml_seen") | dict(seen.activity.last_seen)
        reading = seen.leftovers.reading
        if reading is not None:
            marks |= cleanup_hearing.marks_of(self._state, reading, seen.clock.now)
        if seen.leftovers.people_mark is not None:
            marks["departed"] = seen.leftovers.people_mark
            marks["departed_at"] = seen.clock.now.isoformat()
        return {name: json.dumps(value) for name, value in marks.items()}

    # --- deeds ---

    def warned(self, dids: Sequence[Did]) -> list[Did]:
        """Remember warnings right after they were delivered; before anything else is done.

        Raises nothing, as ``end``: one that could not be noted down is given again.
        """
        try:
            self._warned(dids)
        except StateError as error:
            self._broken = error
            return [unwritten(did, error) for did in dids]
        return list(dids)

    def _warned(self, dids: Sequence[Did]) -> None:
        now = gathering.utcnow()
        rows = []
        for did in dids:
            change = did.change
            if did.outcome == "done" or not is_noted(change, self._state, now):
                rows.append(logged(change, did.outcome, {"error": did.error, **told_of(did)}))
            watch = self._watches.get(change.target)
            if did.outcome == "done" and watch is not None:
                counted = watch.idle_s if change.part == "idle" else watch.ran_s
                one = Warned(
                    change.part, change.stage, now, counted, did.channels, did.channel_errors
                )
                self._watches[change.target] = watch._replace(warned=(*watch.warned, one))
                self._count(f"warn|{change.part}|{change.stage}")
        with self._state.transaction():
            self._state.add_log(rows)
            self._put([did.change.target for did in dids])
            self._put_totals()

    def held(self, promised: Mapping[str, float]) -> None:
        """Remember of which holds, in seconds by full id, the owners are told."""
        for id_, hold_s in promised.items():
            if watch := self._watches.get(id_):
                self._watches[id_] = watch._replace(
                    promised_s=max(watch.promised_s, hold_s), is_hold_told=True
                )
        with self._state.transaction():
            self._put(promised)

    def begin(self, changes: Sequence[Change]) -> None:
        """Write that these are about to be done."""
        rows = [logged(one, "begun", self._equivalents(one)) for one in changes]
        if not rows:
            return
        with self._state.transaction():
            last = self._state.add_log(rows)
        for back, one in enumerate(reversed(changes)):
            self._seqs[key_of(one)] = last - back

    def end(self, did: Did) -> Did:
        """Write what came of one; raises nothing, for it must be told whatever the store does.

        Gives it as it is to be told. ``check`` raises then, before anything more is done.
        """
        try:
            self._end(did)
        except StateError as error:
            self._broken = error
            return unwritten(did, error)
        return did

    def check(self) -> None:
        """Raise the StateError of what could not be written."""
        if self._broken is not None:
            raise self._broken

    def _end(self, did: Did) -> None:
        """Write what came of one, and all that follows from it, in one."""
        change = did.change
        said = said_of(change) | self._equivalents(change)
        said |= {"error": did.error, "note": did.note, **told_of(did)}
        watch = self._watches.get(change.target)
        if did.outcome == "done":
            self._count(f"{change.kind}|{change.part}")
            self._count(f"freed|{change.part}", did.freed_bytes or 0)
            if watch is not None and change.kind == "stop-container":
                self._watches[change.target] = stopped(watch, change)
                if change.part == "idle":
                    self._reclaiming.begin(change.target, said.get("gpu_equivalents"))
            elif watch is not None and change.kind == "start-container":
                # whoever had it started again is to be warned anew before the next stop
                self._watches[change.target] = watch._replace(stopped_by_us="", warned=())
            elif watch is not None and change.kind == "release-gpu":
                self._watches[change.target] = watch._replace(gpu_released=True)
        elif did.outcome == "failed" and not did.is_unknown:
            self._count(f"failed|{change.part}")
        with self._state.transaction():
            self._state.settle_log(self._seqs[key_of(change)], recorded(did), json.dumps(said))
            self._put([change.target])
            self._put_totals()

    def trips(self, trips: Iterable[Trip]) -> tuple[Trip, ...]:
        """Note the breakers that tripped; gives those that had not in the run before."""
        before = self._seen.memory.mark("trips")
        known = before if isinstance(before, dict) else {}
        asked = self._seen.wish.parts
        now = {one.breaker: one for one in trips}
        news = tuple(one for name, one in now.items() if not asked & set(known.get(name, ())))
        # what trips for parts that nobody asked for in this run trips still
        left = {name: sorted(set(parts) - asked) for name, parts in known.items()}
        for name, one in now.items():
            left[name] = sorted({*left.get(name, ()), *(set(one.parts) & asked)})
        left = {name: parts for name, parts in left.items() if parts}
        at = at_text(gathering.utcnow())
        rows = [
            Logged(0, at, "trip", one.parts[0] if one.parts else "", one.breaker, None, "done",
                   json.dumps({"name": one.breaker, "reason": one.text}))
            for one in news
        ]  # fmt: skip
        with self._state.transaction():
            self._state.add_log(rows)
            self._state.put_marks({"trips": json.dumps(left)})
        return news

    # --- writing ---

    def _put(self, targets: Iterable[str]) -> None:
        """Write the watches of some containers; those of gone ones are not kept."""
        there = {one.id for one in self._seen.snapshot.containers}
        rows = {
            id_: watch_text(self._watches[id_])
            for id_ in targets
            if id_ in self._watches and id_ in there
        }
        self._state.put_watches(rows)

    def _put_totals(self) -> None:
        """Add to the totals as they are now: the job of images may have added to them."""
        totals = Memory({}, {}, {}, self._state.marks()).numbers("totals")
        for name, more in self._more.items():
            totals[name] = totals.get(name, 0) + more
        self._more.clear()
        self.totals = totals
        marks = {"totals": json.dumps(totals)}
        if self._seen.has_containers:
            marks["reclaiming"] = json.dumps(self._reclaiming.rows)
        self._state.put_marks(marks)

    def _count(self, name: str, more: float = 1) -> None:
        if name and more:
            self._more[name] = self._more.get(name, 0) + more

    def _equivalents(self, change: Change) -> dict[str, Any]:
        if change.kind != "stop-container":
            return {}
        return {"gpu_equivalents": equivalents(self._seen, change.target)}
