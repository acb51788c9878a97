"""Carry out what was decided about images, build cache and networks."""

from __future__ import annotations

import time
from collections import deque
from contextlib import closing
from typing import TYPE_CHECKING

from ds01ctl.commands import stepping
from ds01ctl.commands.cleanup_did import Did, of_act, of_done
from ds01ctl.core import images
from ds01ctl.core.image_ages import Ages
from ds01ctl.core.image_families import Families
from ds01ctl.core.image_names import reference
from ds01ctl.core.image_rules import rules as rules_of
from ds01ctl.errors import Ds01Error
from ds01ctl.state import StateError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ds01ctl.act.containers import Done
    from ds01ctl.act.images import Removal
    from ds01ctl.commands.cleanup_book import Book
    from ds01ctl.commands.cleanup_hearing import Heard
    from ds01ctl.commands.cleanup_looking import Look
    from ds01ctl.core.cleanup_model import Change
    from ds01ctl.core.image_model import DiskUse
    from ds01ctl.paths import Paths

_HEAR_AFTER = 32
"""Deeds; each is four events or five of the 256 that an engine keeps."""
_HEAR_AFTER_S = 60
_USED = "it was used since it was looked at, or may have been"
_OF_IMAGES = frozenset({"untag-image", "remove-image"})


def carry_out(due: Sequence[Change], seen: Look, book: Book, paths: Paths) -> Iterator[Did]:
    """Remove images, the longest unused first, then shrink the cache, then remove networks."""
    yield from put_back(seen, book)
    yield from _images([one for one in due if one.kind in _OF_IMAGES], seen, book, paths)
    for one in due:
        if one.kind in {"prune-build-cache", "remove-network"}:
            yield _single(one, book, seen)
        book.check()


def put_back(seen: Look, book: Book) -> Iterator[Did]:
    """Give images their tags back that a run which was killed held while it removed them.

    Where that fails it stays begun, for the next run.
    """
    from ds01ctl.act import images as act

    for one in seen.leftovers.settled:
        identity = one.said.get("identity")
        if (
            one.row.kind != "remove-image"
            or one.outcome == "done"
            or not isinstance(identity, dict)
        ):
            continue
        tags = [tag for tag in str(identity.get("tags", "")).split(",") if tag]
        try:
            act.put_back(str(one.said.get("engine")), one.row.target, tags=tags)
        except Ds01Error as error:
            change = _change_of(one.row.target, one.said, identity)
            book.begin([change])
            yield book.end(of_done(change, error)._replace(is_unknown=True))
            book.check()


def _change_of(target: str, said: Mapping[str, object], identity: Mapping[str, str]) -> Change:
    from ds01ctl.core.cleanup_model import Change

    name, engine = str(said.get("name") or target), str(said.get("engine") or "")
    reason = "its tag was to be put back, which a run that was killed had taken"
    change = Change("remove-image", "images", target, name, engine, None, reason)
    return change._replace(identity=identity)


def _images(changes: Sequence[Change], seen: Look, book: Book, paths: Paths) -> Iterator[Did]:
    """Remove images, while the disk is as full as the plan says that it must be.

    Each waits a while before it is removed: those that are due at any rate wait together.
    """
    from ds01ctl.act.images import AT_ONCE

    reserve = [one for one in seen.leftovers.reserve if one.skip is None] if changes else []
    planned = {id(one) for one in changes}
    enough: set[str] = set()
    lost = _Lost(seen)
    since_heard, heard_at = 0, time.monotonic()
    left = deque(images.by_image([*changes, *reserve]))
    while left:
        group = left[0]
        engine, is_planned = group[0].engine, id(group[0]) in planned
        if engine in enough and not is_planned:
            left.popleft()
            continue
        disk = _disk(group[0], seen, paths)
        why = images.still_due(group[0], disk)
        if why is not None:
            if is_planned:
                yield from (Did(one, "skipped", why) for one in group)
            # another engine's disk may be too full still
            enough.add(engine)
            left.popleft()
            continue
        count = images.due_together(left, disk, AT_ONCE)
        some = [left.popleft() for _ in range(count)]
        if len(group) > 1:
            yield from _image(group, book, seen)
        else:
            yield from _together([one for (one,) in some], seen, book, paths)
        book.check()
        since_heard += sum(map(len, some))
        if since_heard >= _HEAR_AFTER or time.monotonic() - heard_at > _HEAR_AFTER_S:
            heard, since_heard, heard_at = book.meanwhile(paths), 0, time.monotonic()
            groups, left = [*left], deque()
            for one in groups:
                if not (_used_since(one, heard, seen) or lost.has(one, heard)):
                    left.append(one)
                elif id(one[0]) in planned:
                    yield from (Did(change, "skipped", _USED) for change in one)


def _used_since(group: Sequence[Change], heard: Heard, seen: Look) -> bool:
    """Tell whether an image was used since the look, as far as is remembered."""
    looked_s = int(seen.clock.now.timestamp())
    named = {(one.engine, one.target) for one in group}
    for one in group:
        tags = filter(None, one.identity.get("tags", "").split(","))
        named |= {(one.engine, reference(tag)) for tag in tags}
    return any(heard.uses[key][0] >= looked_s for key in named if key in heard.uses)


class _Lost:
    """Who may have been used unseen, and is too young for that, by what was last heard."""

    def __init__(self, seen: Look) -> None:
        self._rules, self._now_s = rules_of(seen.policy), seen.clock.now.timestamp()
        reading = seen.leftovers.reading
        self._used_at: dict[tuple[str, str], int] = {}
        for engine in reading.listed if reading else ():
            there = [one for one in reading.images if one.engine == engine] if reading else []
            used_at = Families(there, seen.leftovers.uses).used_at
            self._used_at |= {(engine, id_): at for id_, at in used_at.items()}

    def has(self, group: Sequence[Change], heard: Heard) -> bool:
        engine, image_id = group[0].engine, group[0].identity.get("image_id", group[0].target)
        ages = Ages(self._rules, self._now_s, heard.lost_at.get(engine))
        return ages.young(self._used_at.get((engine, image_id))) is not None


def _disk(change: Change, seen: Look, paths: Paths) -> DiskUse | None:
    from ds01ctl.observe import engine_images

    reading = seen.leftovers.reading
    disk = reading.disks.get(change.engine) if reading else None
    if disk is None or "used_above_bytes" not in change.identity:
        return disk
    return engine_images.measure_disk(disk, paths)


def _image(group: Sequence[Change], book: Book, seen: Look) -> Iterator[Did]:
    """Take the tags, then the image itself; what is refused ends it, the rest stays as it is."""
    stopped_by: str | None = None
    for one in group:
        if stopped_by is not None:
            yield Did(one, "skipped", f"not after: {stopped_by}")
            continue
        did = _single(one, book, seen)
        if did.outcome != "done":
            stopped_by = did.error
        yield did


def _together(changes: Sequence[Change], seen: Look, book: Book, paths: Paths) -> Iterator[Did]:
    """Remove images of one engine that have one name at most, each looked at right before."""
    from ds01ctl.act import images as act

    left = {one.target: one for one in changes}
    removals = [_removal(one, seen, paths) for one in changes]
    try:
        ended = act.remove_images(
            changes[0].engine, removals, begin=lambda removal: book.begin([left[removal.id]])
        )
        # what is held is put back where nothing can be noted down any more, and at SIGTERM
        with stepping.interrupted_by_signals(), closing(ended):
            for removal, became in ended:
                yield book.end(_with_freed(of_done(left.pop(removal.id), became)))
                book.check()
    except StateError:
        raise
    except Ds01Error as error:
        # the engine did not answer, and nothing was begun
        for one in left.values():
            book.begin([one])
            yield book.end(of_done(one, error))


def _removal(change: Change, seen: Look, paths: Paths) -> Removal:
    from ds01ctl.act.images import Removal

    tags = tuple(tag for tag in change.identity.get("tags", "").split(",") if tag)
    return Removal(
        change.target,
        tags,
        change.identity.get("touched_before"),
        lambda: images.still_due(change, _disk(change, seen, paths)),
        seen.clock.now,
    )


def _with_freed(did: Did) -> Did:
    """Tell what it frees as it was estimated: an engine does not tell."""
    if did.outcome != "done" or did.freed_bytes is not None or did.change.kind != "remove-image":
        return did
    return did._replace(freed_bytes=did.change.frees_bytes)


def _single(change: Change, book: Book, seen: Look) -> Did:
    book.begin([change])
    return book.end(_with_freed(of_act(change, lambda: _act(change, seen))))


def _act(change: Change, seen: Look) -> Done:
    from ds01ctl.act import images as act

    identity = change.identity
    if change.kind == "untag-image":
        return act.untag(
            change.engine,
            change.target,
            expected_id=identity["image_id"],
            touched_before=identity.get("touched_before"),
            seen_at=seen.clock.now,
        )
    if change.kind == "remove-image":
        tags = [tag for tag in identity.get("tags", "").split(",") if tag]
        return act.remove_image(
            change.engine,
            change.target,
            expected_tags=tags,
            touched_before=identity.get("touched_before"),
            seen_at=seen.clock.now,
        )
    if change.kind == "prune-build-cache":
        return act.prune_build_cache(change.engine, int(identity["keep_bytes"]))
    return act.remove_network(change.engine, change.target, created_before=seen.clock.now)
