"""Carry out what was decided: each thing is written down before, looked at again, and ended."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ds01ctl.commands import cleanup_imaging, cleanup_notices, cleanup_telling, cleanup_users
from ds01ctl.commands.cleanup_did import Did, of_act, of_done
from ds01ctl.commands.cleanup_rechecking import Rechecks
from ds01ctl.errors import Ds01Error
from ds01ctl.state import StateError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ds01ctl.act.containers import Done
    from ds01ctl.commands.cleanup_book import Book
    from ds01ctl.commands.cleanup_looking import Look
    from ds01ctl.core.cleanup_model import Change
    from ds01ctl.paths import Paths

AT_ONCE = 8
"""Stops whose grace runs at one time; all of them are looked at again right before."""
RUN_S = 280.0
"""After which systemd ends the job (jobs): no stop is begun that might not end before."""
BEFORE_S = 40.0
"""What a run may take until its first look, and after its last stop."""


def carry_out(seen: Look, book: Book, paths: Paths) -> Iterator[Did]:
    """Warn, stop, remove and release, in this order; what fails does not stop the others.

    Raises StateError where something could not be written down: then nothing more is done.
    """
    due = [one for one in seen.plan.changes if one.skip is None]

    def of(*kinds: str) -> list[Change]:
        return [one for one in due if one.kind in kinds]

    if warnings := of("warn"):
        yield from cleanup_telling.warn(warnings, seen, book, paths)
        book.check()
    yield from _stop_all(of("stop-container"), seen, book, paths)
    cleanup_notices.held(seen, book, paths)
    if removals := of("remove-container"):
        yield from _remove(removals, seen, book, paths)
    for one in of("release-gpu"):
        # nothing but our own books
        yield _written(one, book, lambda: Did(one, "done"))  # noqa: B023 -- called at once
        book.check()
    yield from cleanup_imaging.carry_out(due, seen, book, paths)
    for one in of("revoke-grant"):
        yield _written(one, book, lambda: _revoked(one))  # noqa: B023 -- called at once
        book.check()


def _stop_all(stops: Sequence[Change], seen: Look, book: Book, paths: Paths) -> Iterator[Did]:
    """Stop a few at a time, as long as the time of the run lasts; the first ones always."""
    for first in range(0, len(stops), AT_ONCE):
        some = stops[first : first + AT_ONCE]
        since_s = time.clock_gettime(time.CLOCK_BOOTTIME) - seen.clock.boottime_s
        if first and is_too_late(some, since_s):
            left = "left for the next run: those before it took all the time that a run has"
            yield from (Did(one, "skipped", left) for one in stops[first:])
            return
        yield from _stop(some, seen, book, paths)


def is_too_late(stops: Sequence[Change], since_s: float) -> bool:
    """Tell whether systemd might end the run while it waits for these; since_s: since the look."""
    from ds01ctl.act.engine import ANSWER_S

    longest = max(one.grace_s for one in stops)
    return since_s + longest + ANSWER_S + BEFORE_S > RUN_S


def _stop(stops: Sequence[Change], seen: Look, book: Book, paths: Paths) -> Iterator[Did]:
    """Stop a few at once, each looked at again in the moment before."""
    from ds01ctl.act import containers

    rechecks = Rechecks(stops, seen, paths)
    by_id = {one.target: one for one in stops}
    asked = [
        containers.Stop(
            one.engine,
            one.target,
            one.identity.get("started_at"),
            one.grace_s,
            rechecks.of(one),
        )
        for one in stops
    ]
    came: list[Did] = []
    dids: list[Did] = []
    unwritten: StateError | None = None

    def end(stop: containers.Stop, became: Done | Ds01Error) -> None:
        came.append(of_done(by_id[stop.id], became))
        dids.append(book.end(came[-1]))

    try:
        containers.stop_all(asked, begin=lambda stop: book.begin([by_id[stop.id]]), end=end)
    except StateError as error:
        # of the next one; those that were under way have ended, and their owners are to know
        unwritten = error
    cleanup_telling.stopped([one for one in came if one.outcome == "done"], seen, paths)
    yield from dids
    if unwritten is not None:
        raise unwritten
    book.check()


def _remove(removals: Sequence[Change], seen: Look, book: Book, paths: Paths) -> Iterator[Did]:
    rechecks = Rechecks(removals, seen, paths)
    dids: list[Did] = []
    try:
        for did in _removed(removals, rechecks, book):
            dids.append(did)
            yield did
    finally:
        # their owners are to know, also where the store then fails
        cleanup_notices.removed(dids, seen, paths)


def _removed(removals: Sequence[Change], rechecks: Rechecks, book: Book) -> Iterator[Did]:
    from ds01ctl.act import containers
    from ds01ctl.observe import container_sizes

    for one in removals:
        freed = container_sizes.of_one(one.engine, one.target)
        recheck = rechecks.of(one)

        def removed(one: Change = one, recheck: Callable[[], str | None] = recheck) -> Done:
            return containers.remove(
                one.engine,
                one.target,
                state=one.identity["state"],
                finished_at=one.identity.get("finished_at"),
                recheck=recheck,
            )

        did = _written(one, book, lambda one=one, act=removed, freed=freed:  # type: ignore[misc]
                       of_act(one, act)._replace(freed_bytes=freed))  # fmt: skip
        yield did
        book.check()


def _written(change: Change, book: Book, act: Callable[[], Did]) -> Did:
    """Do one thing between its two entries in the book."""
    book.begin([change])
    return book.end(act())


def _revoked(change: Change) -> Did:
    try:
        outcome = cleanup_users.revoke(change)
    except Ds01Error as error:
        return Did(change, "failed", error.message)
    return Did(change, "done") if outcome == "done" else Did(change, "skipped", "it is gone")
