"""Remove images and tags that nothing uses, one at a time, and prune the build cache.

Nothing is forced. While an engine creates a container, it does not yet keep that container's image
from being removed (Docker 20.10: measured, it is gone in half of all such races). So the tag of an
image is first replaced by one of our own: the image is held. It is removed a while later, when a
container that was being created meanwhile is known; if there is one, the tag is put back.
"""

from __future__ import annotations

import time
from contextlib import closing, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from ds01ctl.act.engine import ANSWER_S, Done, GoneError, RefusedError, opened, time_of
from ds01ctl.act.engine_answers import UNKNOWN, UnansweredError, UnknownError
from ds01ctl.act.image_facts import held_back, is_image_id, look, too_young, used, used_since
from ds01ctl.act.leftovers import prune_build_cache, remove_network, remove_volume
from ds01ctl.act.making_sure import ended, looked_again
from ds01ctl.errors import Ds01Error

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence
    from datetime import datetime

    from ds01ctl.act.engine import Client, Recheck, When

    Begin = Callable[["Removal"], None]
    Ended = tuple["Removal", Done | Ds01Error]

__all__ = [
    "AT_ONCE",
    "HELD",
    "Done",
    "Removal",
    "prune_build_cache",
    "put_back",
    "remove_image",
    "remove_images",
    "remove_network",
    "remove_volume",
    "untag",
]

SETTLE_S = 2.0
"""How long an image is held: longer than an engine needs to create a container."""
HELD = "ds01-cleanup/removing"
"""The repository of the tags of images that are held; such a tag is the id."""
AT_ONCE = 16
"""Images held at once: so many have to be put back if we are killed."""
_LOOK = "look with docker image inspect; the next run looks again"


class Removal(NamedTuple):
    """One image to remove."""

    id: str
    """``sha256:`` and 64 digits."""
    tags: tuple[str, ...] = ()
    """All that it has: one at most; of several, all but one are untagged before."""
    touched_before: When = None
    """Refuse it if it was built or tagged later."""
    recheck: Recheck | None = None
    """Asked before it is held, and again right before it is removed."""
    seen_at: datetime | None = None
    """Refuse it if it was used later: when it was decided that nobody does."""


def remove_image(
    engine: str,
    image_id: str,
    *,
    expected_tags: Iterable[str],
    touched_before: When = None,
    recheck: Recheck | None = None,
    seen_at: datetime | None = None,
    settle_s: float = SETTLE_S,
) -> Done:
    """Remove one image that no container uses; see remove_images. Raises Ds01Error."""
    removal = Removal(image_id, tuple(expected_tags), touched_before, recheck, seen_at)
    ((_, became),) = remove_images(engine, [removal], settle_s=settle_s)
    if isinstance(became, Ds01Error):
        raise became
    return became


def remove_images(
    engine: str,
    removals: Sequence[Removal],
    *,
    begin: Begin = lambda _: None,
    settle_s: float = SETTLE_S,
) -> Generator[Ended, None, None]:
    """Remove images that no container in any state uses, in this order: children before parents.

    ``begin`` is called before anything is done to one; what became of it is given right after.
    What is held when this is closed, or when a signal raises an exception, is put back; what is
    held when we are killed is for put_back. Untagged parents stay: each image is a decision of its
    own. Raises Ds01Error where the engine does not answer; nothing was begun then of those that it
    gave nothing of.
    """
    with opened(engine) as client:
        for first in range(0, len(removals), AT_ONCE):
            batch = removals[first : first + AT_ONCE]
            # what is held is put back when we are closed, not when it is collected
            with closing(_remove_batch(client, batch, begin, settle_s)) as became:
                yield from became


def _remove_batch(
    client: Client, batch: Sequence[Removal], begin: Begin, settle_s: float
) -> Generator[Ended, None, None]:
    held: dict[str, Removal] = {}
    try:
        # they are listed again before each is removed
        containers = client.containers()
        for one in batch:
            begin(one)
            # before it is tried: what fails half-way has to be put back as well
            held[one.id] = one
            if done := _tried(partial(_hold, client, one, containers)):
                yield _given_up(client, held, one, done)
        if not held:
            return
        time.sleep(settle_s)
        for one in tuple(held.values()):
            if done := _tried(partial(_drop, client, one)):
                yield _given_up(client, held, one, done)
    finally:
        for one in held.values():
            with suppress(Ds01Error):
                _put_back(client, one.id, one.tags)


def _tried(act: Callable[[], Done | None]) -> Done | Ds01Error | None:
    try:
        return act()
    except Ds01Error as error:
        return error


def _given_up(
    client: Client, held: dict[str, Removal], one: Removal, done: Done | Ds01Error
) -> Ended:
    """Put an image back that is not removed; where that fails too, that is what is told."""
    if isinstance(done, Ds01Error) or done.outcome == "refused":
        try:
            _put_back(client, one.id, one.tags)
        except GoneError:
            # the engine had it removed in that moment: what is told of that stands
            pass
        except Ds01Error as error:
            # it may have to be put back yet
            done = UnknownError(error.message, UNKNOWN)
    held.pop(one.id, None)
    return one, done


def _hold(client: Client, one: Removal, containers: Sequence[dict[str, Any]]) -> Done | None:
    """Replace the only tag of an image by ours; None: it is held. Raises Ds01Error."""
    if not is_image_id(one.id):
        raise Ds01Error(f"not the full id of an image: {one.id[:80]!r}")
    if len(one.tags) > 1:
        return Done("refused", "it has several tags: they are removed one at a time")
    image = look(client, one.id)
    no = held_back(image, one.id, frozenset(one.tags), containers)
    if no is None and image is not None:
        no = too_young(image, time_of(one.touched_before)) or used_since(client, image, one.seen_at)
    no = no or _not_any_more(one.recheck)
    # one that an earlier run held, and whose tag was given to another image, is out of reach
    if no or one.tags in {(), (_ours(one.id),)}:
        return no
    client.ask("tag", one.id, HELD, tag=one.id.removeprefix("sha256:"))
    return _untag(client, one.tags[0], one.id)


def _not_any_more(recheck: Recheck | None) -> Done | None:
    why = recheck() if recheck else None
    return Done("refused", why) if why else None


def _drop(client: Client, one: Removal) -> Done:
    """Remove an image that is held. Raises Ds01Error."""
    ours = frozenset([_ours(one.id)] if one.tags else ())
    # one that was removed before it may have taken minutes: whose it is, is asked anew for each
    no = held_back(look(client, one.id), one.id, ours, client.containers())
    if no := no or _not_any_more(one.recheck):
        return no
    return ended(lambda: _remove(client, one.id), lambda: _dropped(client, one.id))


def _remove(client: Client, name: str) -> list[dict[str, str]]:
    how = {"force": False, "noprune": True, "answer_s": ANSWER_S}
    return client.act("remove_image", name, **how) or []


def _dropped(client: Client, image_id: str) -> Done:
    if look(client, image_id):
        raise Ds01Error(f"{client.address}: image {image_id[:19]} is still there", _LOOK)
    return Done("done")


def put_back(engine: str, image_id: str, *, tags: Iterable[str]) -> Done:
    """Give an image that is still held, by a run that was killed, its tag back. Raises Ds01Error.

    ``already`` says that it is not held, or is gone. A tag that is another image's by now stays so.
    """
    with opened(engine) as client:
        return _put_back(client, image_id, tuple(tags))


def _put_back(client: Client, image_id: str, tags: Sequence[str]) -> Done:
    ours = _ours(image_id)
    image = look(client, image_id) if is_image_id(image_id) else None
    if image is None or ours not in image.tags:
        return Done("already", "it is not held")
    for tag in tags:
        if look(client, tag) is None:
            repository, _, name = tag.rpartition(":")
            client.ask("tag", image_id, repository, tag=name)
    if not image.tags - {ours} and image_id not in {_id_of(client, tag) for tag in tags}:
        # without ours it would be removed
        return Done("refused", f"{', '.join(tags)} is another image now: it stays as {ours}")
    return _untag(client, ours, image_id) or Done("done")


def untag(
    engine: str,
    reference: str,
    *,
    expected_id: str,
    touched_before: When = None,
    recheck: Recheck | None = None,
    seen_at: datetime | None = None,
) -> Done:
    """Take one of several tags from an image that no container uses. Raises Ds01Error.

    ``already`` says that the tag is gone; its last one goes with the image only (remove_image).
    """
    with opened(engine) as client:
        image = look(client, reference)
        if image is None:
            return Done("already", "it is gone")
        if image.id != expected_id:
            return Done("refused", f"it is another image now: {image.id[:19]}")
        if len(image.tags) < 2:
            return Done("refused", "it is the last tag of its image")
        no = used(image, client.containers()) or too_young(image, time_of(touched_before))
        if no := no or used_since(client, image, seen_at) or _not_any_more(recheck):
            return no
        try:
            return _untag(client, reference, expected_id) or Done("done")
        except UnansweredError as silence:
            return looked_again(silence.message, lambda: _untagged(client, reference, expected_id))


def _untagged(client: Client, reference: str, expected_id: str) -> Done:
    if _id_of(client, reference) == expected_id:
        raise Ds01Error(f"{client.address}: {reference} is still there", _LOOK)
    return Done("done")


def _untag(client: Client, reference: str, expected_id: str) -> Done | None:
    """Remove a reference of an image that has others; None: it is done. Raises Ds01Error."""
    # an engine removes by name whatever has it then: so look and remove in one breath
    found = _id_of(client, reference)
    if found != expected_id:
        return Done("refused", f"{reference} is another image now") if found else None
    try:
        told = _remove(client, reference)
    except GoneError:
        return None
    except RefusedError as error:
        return Done("refused", error.message)
    if gone := [each["Deleted"] for each in told if "Deleted" in each]:
        raise Ds01Error(
            f"{client.address}: {reference} became another image in that moment, which is "
            f"removed: {gone[0][:19]}",
            "tell its owner to build or pull it again",
        )
    return None


def _id_of(client: Client, reference: str) -> str | None:
    image = look(client, reference)
    return image.id if image else None


def _ours(image_id: str) -> str:
    return f"{HELD}:{image_id.removeprefix('sha256:')}"
