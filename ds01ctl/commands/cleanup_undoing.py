"""What `cleanup undo` does: start again what was stopped and is held, or list what is."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from ds01ctl.commands import cleanup_events, cleanup_looking, gathering
from ds01ctl.commands.cleanup_book import Book
from ds01ctl.commands.cleanup_did import Did, action, host, of_act, planned
from ds01ctl.commands.cleanup_finding import Named, find, need_engines
from ds01ctl.commands.cleanup_looking import Wish
from ds01ctl.commands.cleanup_memory import LOCK
from ds01ctl.commands.quota_memory import upgrade
from ds01ctl.core.cleanup_coming import cases, of_case
from ds01ctl.core.cleanup_keeps import holds
from ds01ctl.core.cleanup_model import Change, Part
from ds01ctl.core.cleanup_stopped import hold_of
from ds01ctl.core.plan import Result
from ds01ctl.core.timestamp import format_time
from ds01ctl.errors import UsageError
from ds01ctl.lock import job_lock
from ds01ctl.state import State

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ds01ctl.commands.cleanup_looking import Look
    from ds01ctl.core.cleanup_model import Keep, Watch
    from ds01ctl.core.model import Container, Gap
    from ds01ctl.paths import Paths

_PARTS: tuple[Part, ...] = ("stopped",)
_LIVE = frozenset({"running", "paused", "restarting"})
_LEFT = " has left ("
"""In the reason of a stop for the part users (core.departed_changes)."""
_NOTES_LEFT = (
    "its owner has left: it is stopped again, unwarned, once it is seen idle; unless it is kept:",
    "  ds01ctl cleanup keep {name} --for 2d",
)
_NOTES = (
    "it has its start grace and its warnings anew",
    "to keep it running: ds01ctl cleanup keep {name} --for 2d",
)


class Held(NamedTuple):
    """A container that cleanup stopped, and that is still there."""

    container: Container
    watch: Watch


def undo(container: str | None, config: Path | None, *, dry_run: bool) -> Result:
    """List what can be undone, or start one again. Raises UsageError for what can't be."""
    paths = gathering.host_paths()
    upgrade(paths)
    if container is None or dry_run:
        seen = cleanup_looking.look(Wish(only=_PARTS, config=config), paths)
        if container is None:
            return _result(seen, [], seen.gaps)
        return _result(seen, [planned(_change(_wanted(container, seen), seen))], seen.gaps)
    with job_lock(paths, LOCK):
        seen = cleanup_looking.look(Wish(only=_PARTS, config=config), paths)
        change = _change(_wanted(container, seen), seen)
        did, gaps = _start(change, seen, paths)
    texts = _NOTES_LEFT if change.part == "users" else _NOTES
    notes = [text.format(name=change.name) for text in texts] if did.outcome == "done" else []
    return _result(seen, [did], (*seen.gaps, *gaps), notes)


def held(seen: Look) -> Iterator[Held]:
    """Find what cleanup stopped and is still there, stopped."""
    for one in seen.snapshot.containers:
        watch = seen.watches.get(one.id)
        if watch is not None and watch.stopped_by_us and one.state == "exited":
            yield Held(one, watch)


def _wanted(container: str, seen: Look) -> Held:
    need_engines(seen.snapshot)
    found = {one.container.id: one for one in held(seen)}
    there = [Named(one.id, one.name) for one in seen.snapshot.containers]
    names = [Named(one.container.id, one.container.name) for one in found.values()]
    hint = "ds01ctl cleanup undo lists what can be undone; ds01ctl cleanup history what was done"
    try:
        return found[find(container, names, hint=hint).id]
    except UsageError:
        # one that is there, but not ours to start, is told so
        one = find(container, there, hint=hint)
        state = next(c.state for c in seen.snapshot.containers if c.id == one.id)
        if state in _LIVE:
            raise UsageError(f"{one.name} is {state} already", hint) from None
        what = f"{one.name} is {state}, and was not stopped by cleanup"
        raise UsageError(what, f"start it with: docker start {one.name}") from None


def _change(one: Held, seen: Look) -> Change:
    container = one.container
    finished = format_time(container.finished_at) if container.finished_at else ""
    workload = seen.workload(container.id)
    part = _part_of(one.watch)
    return Change(
        "start-container",
        part,
        container.id,
        container.name,
        container.engine,
        workload.owner.login if workload else None,
        f"cleanup stopped it: {one.watch.stopped_by_us}",
        identity={"state": container.state, "finished_at": finished},
    )


def _part_of(watch: Watch) -> Part:
    if _LEFT in watch.stopped_by_us:
        return "users"
    return "idle" if watch.stopped_by_us.startswith("idle") else "runtime"


def _start(change: Change, seen: Look, paths: Paths) -> tuple[Did, tuple[Gap, ...]]:
    """Start it between two entries in the book. Raises StateError: then it was not started."""
    from ds01ctl.act import containers

    with State.open_for_recording(paths) as state:
        book = Book(state, seen)
        book.look()
        book.begin([change])
        did = of_act(
            change,
            lambda: containers.start(
                change.engine, change.target, finished_at=change.identity["finished_at"]
            ),
        )
        did = book.end(did)
    events = list(cleanup_events.of_dids([did], "ds01ctl cleanup undo"))
    return did, cleanup_events.append(events, seen.policy, paths)


def _result(
    seen: Look, dids: list[Did], gaps: tuple[Gap, ...], notes: list[str] | None = None
) -> Result:
    return Result(
        "cleanup undo",
        host(),
        seen.clock.now,
        tuple(dict.fromkeys(gaps)),
        (),
        tuple(action(one)._replace(target=one.change.name) for one in dids),
        {"held": [_row(one, seen) for one in held(seen)], "notes": notes or []},
        failed_gaps=gathering.is_failure(gaps),
    )


def _row(one: Held, seen: Look) -> dict[str, Any]:
    workload = seen.workload(one.container.id)
    return {
        "id": one.container.id,
        "name": one.container.name,
        "user": workload.owner.login if workload else None,
        "stopped_at": one.container.finished_at,
        "removed_at": _removed_at(one, seen),
        "reason": one.watch.stopped_by_us,
    }


def _after_keep(one: Held, keep: Keep, seen: Look) -> datetime | None:
    """Say when its hold ends that begins when its keep does."""
    if keep.until is None or keep.problem or seen.world is None:
        return None
    free = seen.world._replace(keeps={})
    for case in cases(free, seen.policy):
        hold = hold_of(case, "stopped") if case.container.id == one.container.id else None
        if hold is not None and not case.why_not("stopped"):
            return keep.until + timedelta(seconds=hold.seconds)
    return None


def _removed_at(one: Held, seen: Look) -> datetime | None:
    """Say when it is removed, if nobody does anything; None: never, or it is not known.

    One that is exempt has no case; of one that is only told of, nothing comes. The hold of one that
    is kept begins when the keep ends.
    """
    if seen.world is None:
        return None
    keep = seen.keeps.get(one.container.id)
    if holds(keep, seen.clock.now):
        return _after_keep(one, keep, seen) if keep else None
    mine = [
        case
        for case in cases(seen.world, seen.policy)
        if case.container.id == one.container.id and not case.why_not("stopped")
    ]
    found = [
        c for case in mine for c in of_case(case, seen.world, seen.policy) if c.part == "stopped"
    ]
    due = [c for c in seen.plan.changes if c.target == one.container.id]
    if due and mine:
        return seen.clock.now
    return seen.clock.now + timedelta(seconds=found[0].in_s) if found else None
