"""Tell users what is no warning: until when a container is held, that it was removed, or stopped.

Nothing waits for it that anybody has read this.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from ds01ctl.commands import cleanup_telling, gathering
from ds01ctl.core import cleanup_words as words
from ds01ctl.core.cleanup_model import Change

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ds01ctl.commands.cleanup_book import Book
    from ds01ctl.commands.cleanup_did import Did
    from ds01ctl.commands.cleanup_looking import Look
    from ds01ctl.commands.cleanup_settling import Settled
    from ds01ctl.paths import Paths


def held(seen: Look, book: Book, paths: Paths) -> None:
    """Tell, once a stop, when what does not run is removed; and remember what was told."""
    from ds01ctl.core.cleanup_holding import untold

    found = list(untold(seen.world, seen.policy)) if seen.world else []
    if not found:
        return
    notices = [
        one.change._replace(
            text=words.held(
                one.change.name,
                one.change.target,
                one.removed_at.astimezone(),
                was_started=one.was_started,
            )
        )
        for one in found
    ]
    book.held({one.change.target: one.hold_s for one in found})
    cleanup_telling.delivered(notices, seen, paths)


def removed(dids: Iterable[Did], seen: Look, paths: Paths) -> None:
    """Tell users that their containers were removed."""
    notices = list(_removed(dids, seen))
    if notices:
        cleanup_telling.delivered(notices, seen, paths)


def _removed(dids: Iterable[Did], seen: Look) -> Iterator[Change]:
    now = gathering.utcnow().astimezone()
    for did in dids:
        change, watch = did.change, seen.watches.get(did.change.target)
        if did.outcome == "done" and watch is not None:
            held_for = timedelta(seconds=watch.not_running_s)
            was_started = change.identity.get("finished_at") is not None
            text = words.removed(change.name, now, held_for, was_started=was_started)
            yield change._replace(text=text)


def settled(found: Iterable[Settled], seen: Look, paths: Paths) -> None:
    """Tell of stops that a run had begun and could tell nobody of: it was killed meanwhile."""
    now = gathering.utcnow().astimezone()
    notices = []
    for one in found:
        row, said = one.row, one.said
        if row.kind != "stop-container" or one.outcome != "done":
            continue
        name, reason = str(said.get("name") or row.target[:12]), str(said.get("reason") or "?")
        text = words.stopped_before(name, row.target, now, reason)
        engine, part = str(said.get("engine")), row.part
        notices.append(
            Change("stop-container", part, row.target, name, engine, row.user, reason, text=text)  # type: ignore[arg-type]  # as it was written
        )
    if notices:
        cleanup_telling.delivered(notices, seen, paths)
