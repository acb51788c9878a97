"""What `cleanup plan` and `apply` do once their options are read."""

from __future__ import annotations

import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

from ds01ctl.commands import (
    asking,
    cleanup_leftovers,
    cleanup_looking,
    cleanup_memory,
    cleanup_saved,
    gathering,
)
from ds01ctl.commands.cleanup_did import Did, action, host, planned, row
from ds01ctl.commands.cleanup_memory import LOCK, LOCK_OF_IMAGES
from ds01ctl.commands.quota_memory import gap_of, upgrade
from ds01ctl.core.cleanup_findings import finding_of
from ds01ctl.core.cleanup_model import REPORT_MODE
from ds01ctl.core.plan import Result
from ds01ctl.errors import Ds01Error, LockedError
from ds01ctl.lock import job_lock
from ds01ctl.state import State, StateError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from ds01ctl.commands.cleanup_book import Book
    from ds01ctl.commands.cleanup_looking import Look, Wish
    from ds01ctl.core.model import Gap
    from ds01ctl.paths import Paths

_NOT_USERS = frozenset({"infrastructure", "system"})


def plan(wish: Wish, out: Path | None) -> Result:
    """Look, and say what would be done, and what comes next; out: save it."""
    paths = gathering.host_paths()
    seen = cleanup_looking.look(wish, paths)
    if out is not None:
        cleanup_saved.save(out, seen, wish)
    dids = [planned(one) for one in seen.plan.changes]
    result = _result("cleanup plan", seen, dids, seen.gaps)
    return result._replace(data={**result.data, "saved": str(out) if out else None})


def is_pending(result: Result) -> bool:
    """Tell whether anything would be done, or is only reported."""
    return any(
        one.outcome == "planned" or (one.error or "").startswith(REPORT_MODE)
        for one in result.actions
    )


def apply(wish: Wish, saved: Path | None, *, yes: bool, as_json: bool) -> Result:
    """Sample, warn, stop, remove, remember. Raises UsageError where nobody can be asked."""
    began = time.monotonic()
    paths = gathering.host_paths()
    asking.need_yes(yes=yes, as_json=as_json)
    file = cleanup_saved.load(saved, wish) if saved else None
    meant = file.wish if file else wish
    upgrade(paths)
    shown = None if yes else _asked(meant, paths)
    with ExitStack() as locks:
        for name in _locks(meant):
            locks.enter_context(job_lock(paths, name))
        seen = cleanup_looking.look(meant, paths, unfinished=_takes_over(meant, paths, locks))
        if file:
            cleanup_saved.check_unmoved(file, seen)
        _check_still(shown, seen)
        if file or shown:
            # what goes beyond the plan was in no file, and nobody was asked
            seen = seen._replace(leftovers=seen.leftovers.as_planned())
        return _carry_out(cleanup_leftovers.asked_today(seen, paths), paths, began)


def _locks(wish: Wish) -> Iterator[str]:
    """Name the locks of what is asked for, always in this order."""
    if wish.parts & (cleanup_looking.CONTAINER_PARTS | {"users"}):
        yield LOCK
    if wish.parts & cleanup_leftovers.IMAGE_PARTS:
        yield LOCK_OF_IMAGES


def _takes_over(wish: Wish, paths: Paths, locks: ExitStack) -> bool:
    """Tell whether a run was killed while it held images, and have their lock, too, if so.

    Their job runs once a day, and somebody may want an image by its name before.
    """
    if wish.parts & cleanup_leftovers.IMAGE_PARTS or not cleanup_memory.has_begun(
        paths, "remove-image"
    ):
        return False
    with suppress(LockedError):
        locks.enter_context(job_lock(paths, LOCK_OF_IMAGES))
        return True
    # it is not killed, but at work
    return False


def _asked(wish: Wish, paths: Paths) -> Look:
    """Show what will be done, and go on only on a yes; outside the lock, for it may take hours."""
    from ds01ctl.report.cleanup_text import action_lines

    seen = cleanup_looking.look(wish, paths)
    dids = [planned(one) for one in seen.plan.changes]
    if any(one.outcome == "planned" for one in dids):
        asking.confirm(action_lines(_result("cleanup apply", seen, dids, seen.gaps)))
    return seen


def _check_still(shown: Look | None, now: Look) -> None:
    """Raise Ds01Error where what was shown is not what would be done now."""
    if shown is None:
        return
    before, after = (
        [cleanup_saved.essence(one) for one in some.plan.changes if one.skip is None]
        for some in (shown, now)
    )
    if before != after:
        what = "the host has moved since you were shown what would be done; nothing was changed"
        raise Ds01Error(what, "look again: ds01ctl cleanup plan")


# --- doing it ---------------------------------------------------------------------------------


def _carry_out(seen: Look, paths: Paths, began: float) -> Result:
    from ds01ctl.commands import cleanup_recording as recording
    from ds01ctl.commands.cleanup_book import Book

    dids: list[Did] = []
    gaps = seen.gaps
    book: Book | None = None
    news: tuple[Any, ...] = ()
    state = None
    try:
        state = State.open_for_recording(paths)
        book = Book(state, seen)
        news = _done(seen, book, paths, dids)
    except StateError as error:
        # neither a warning nor a stop that nobody would remember
        gaps = (*gaps, gap_of(error))
    try:
        dids = _all(seen, dids, gaps)
        totals = book.totals if book else {}
        ran = recording.Ran(dids, news, totals, began)
        gaps = (*gaps, *recording.record(state, seen, ran, gaps, paths))
    finally:
        if state is not None:
            state.close()
    return _result("cleanup apply", seen, dids, tuple(dict.fromkeys(gaps)))


def _done(seen: Look, book: Book, paths: Paths, dids: list[Did]) -> tuple[Any, ...]:
    """Remember the look, then do what is due; dids: what came of it, so far as it came."""
    from ds01ctl.commands import cleanup_acting, cleanup_notices

    book.look()
    if seen.has_containers:
        cleanup_notices.settled(seen.settled, seen, paths)
    news = book.trips(seen.plan.trips)
    dids.extend(cleanup_acting.carry_out(seen, book, paths))
    return news


def _all(seen: Look, dids: Sequence[Did], gaps: Iterable[Gap]) -> list[Did]:
    """Tell of every change of the plan, also of those that nobody came to."""
    came = {(one.change.kind, one.change.engine, one.change.target) for one in dids}
    why = next((gap.reason for gap in gaps if gap.source == "state"), "")
    unwritten = f"it could not be noted down, so it was not done: {why}"
    left = [
        Did(one, "skipped", one.skip or unwritten)
        for one in seen.plan.changes
        if (one.kind, one.engine, one.target) not in came
    ]
    return [*dids, *left]


# --- telling ----------------------------------------------------------------------------------


def _result(command: str, seen: Look, dids: Sequence[Did], gaps: tuple[Gap, ...]) -> Result:
    return Result(
        command,
        host(),
        seen.clock.now,
        gaps,
        tuple(finding_of(one, seen.clock.now) for one in seen.plan.notices),
        tuple(map(action, dids)),
        _data(seen, dids),
        failed_gaps=gathering.is_failure(gaps),
    )


def _data(seen: Look, dids: Sequence[Did]) -> dict[str, Any]:
    from ds01ctl.core.cleanup_case import mode_of

    return {
        "parts": sorted(seen.wish.parts),
        "modes": {part: mode_of(seen.policy, part) for part in sorted(seen.wish.parts)},
        "filters": {"users": sorted(seen.wish.users), "limit": seen.wish.limit},
        "examined": examined(seen),
        "changes": [row(one) for one in dids],
        "coming": [coming_row(one, seen) for one in cleanup_looking.coming_of(seen)],
        "kept": kept_rows(seen),
        "trips": [{**one._asdict(), "parts": list(one.parts)} for one in seen.plan.trips],
        "files": list(seen.policy.files),
        "saved": None,
    }


def examined(seen: Look) -> dict[str, Any]:
    """Count what was looked at: nothing found is not nothing there."""
    containers, left = seen.snapshot.containers, seen.leftovers
    has_images = bool(left.reading and seen.wish.parts & {"images", "cache", "networks", "volumes"})
    return {
        "containers": len(containers),
        "running": sum(1 for one in containers if one.state == "running"),
        "sampled": len(seen.samples),
        "not_judged": _not_judged(seen),
        "known_before": sum(1 for one in containers if one.id in seen.memory.watches),
        "images": len(left.reading.images) if left.reading and has_images else None,
        "departed_users": len(left.people) if left.people is not None else None,
    }


def _not_judged(seen: Look) -> int:
    """Count running containers that neither idle nor run too long, as they have no GPU."""
    value = seen.policy.value
    if value("cleanup.idle_without_gpu") or value("cleanup.runtime_without_gpu"):
        return 0
    if not {"idle", "runtime"} & seen.wish.parts:
        return 0
    running = (w for w in seen.workloads if w.container and w.container.state == "running")
    return sum(1 for one in running if one.verdict not in _NOT_USERS and not one.has_gpu)


def coming_row(one: Any, seen: Look) -> dict[str, Any]:
    """Give what comes next as JSON has it."""
    from datetime import timedelta

    return {
        "id": one.id,
        "name": one.name,
        "user": one.user,
        "part": one.part,
        "what": one.what,
        "at": seen.clock.now + timedelta(seconds=one.in_s),
        "in_s": int(one.in_s),
        "counted_s": int(one.counted_s),
        "limit_s": int(one.limit_s),
        "why": one.why,
    }


def kept_rows(seen: Look) -> list[dict[str, Any]]:
    """Tell of every keep that holds, for whom and until when."""
    names = {one.id: one.name for one in seen.snapshot.containers}
    return [
        {
            "id": one.id,
            "name": names.get(one.id),
            "until": one.until,
            "by": one.by,
            "reason": one.reason,
            "problem": one.problem or None,
        }
        for one in sorted(seen.keeps.values(), key=lambda keep: keep.id)
        if one.problem or one.until is None or seen.clock.now < one.until
    ]
