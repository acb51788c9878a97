"""What an engine tells of an image, and of the containers that use one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from ds01ctl.act.engine import Done, time_of
from ds01ctl.core.timestamp import format_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from ds01ctl.act.engine import Client

_LATEST = ":latest"
_USES = frozenset({"pull", "load", "import", "tag", "save", "push", "create"})


class ImageFacts(NamedTuple):
    """What an inspect tells of an image."""

    id: str
    tags: frozenset[str]
    names: frozenset[str]
    """All that a container may call it."""
    touched_at: datetime | None
    """The later one of when it was built and when it was last tagged."""


def is_image_id(text: str) -> bool:
    """Tell a full id from a name."""
    return re.fullmatch(r"sha256:[0-9a-f]{64}", text) is not None


def look(client: Client, image: str) -> ImageFacts | None:
    """Inspect an image by its id or a reference; None: there is none. Raises Ds01Error."""
    told = client.inspect("image", image)
    if told is None:
        return None
    image_id = str(told.get("Id"))
    tags, digests = (
        frozenset(str(each) for each in told.get(key) or () if "<none>" not in str(each))
        for key in ("RepoTags", "RepoDigests")
    )
    short = {tag.removesuffix(_LATEST) for tag in tags if tag.endswith(_LATEST)}
    metadata = told.get("Metadata")
    tagged = metadata.get("LastTagTime") if isinstance(metadata, dict) else None
    times = [at for at in (time_of(told.get("Created")), time_of(tagged)) if at]
    return ImageFacts(image_id, tags, tags | digests | short | {image_id}, max(times, default=None))


def user_of(image: ImageFacts, containers: Iterable[dict[str, Any]]) -> str | None:
    """Name a container, in whatever state, that uses an image."""
    for each in containers:
        if each.get("ImageID") == image.id or each.get("Image") in image.names:
            return str(each.get("Id"))[:12]
    return None


def held_back(
    image: ImageFacts | None,
    image_id: str,
    tags: frozenset[str],
    containers: Sequence[dict[str, Any]],
) -> Done | None:
    """Say why an image is not to be removed: it is not as it was, or it is used."""
    if image is None or image.id != image_id:
        return Done("already", "it is gone")
    if image.tags != tags:
        return Done("refused", f"its tags are {_listed(image.tags)}, not {_listed(tags)}")
    return used(image, containers)


def used(image: ImageFacts, containers: Sequence[dict[str, Any]]) -> Done | None:
    """Refuse an image that a container uses."""
    user = user_of(image, containers)
    return Done("refused", f"container {user} uses it") if user else None


def too_young(image: ImageFacts, touched_before: datetime | None) -> Done | None:
    """Refuse an image that was built or tagged since."""
    if touched_before is None or image.touched_at is None or image.touched_at < touched_before:
        return None
    return Done("refused", f"it was built or tagged at {format_time(image.touched_at)}")


def used_since(client: Client, image: ImageFacts, since: datetime | None) -> Done | None:
    """Refuse an image that somebody used since then. Raises Ds01Error.

    Of one that is there already, a pull or a load changes nothing that an inspect tells.
    """
    for event in client.events(since, _USES) if since else ():
        meant = _meant(event.get("Actor"))
        if any(one in image.names or _is_begin(one, image.id) for one in meant):
            return Done("refused", f"it was used since it was looked at: {event.get('Action')}")
    return None


def _meant(actor: object) -> set[str]:
    """Say by what names an event calls an image; of a container's, that which it is made from."""
    told = actor if isinstance(actor, dict) else {}
    attributes = told.get("Attributes")
    more = attributes if isinstance(attributes, dict) else {}
    return {str(one) for one in (told.get("ID"), more.get("image")) if one}


def _is_begin(text: str, image_id: str) -> bool:
    """Tell an id that was cut short, as people write it."""
    digits = text.removeprefix("sha256:")
    return len(digits) > 3 and image_id.removeprefix("sha256:").startswith(digits)


def _listed(tags: frozenset[str]) -> str:
    return ", ".join(sorted(tags)) or "none"
