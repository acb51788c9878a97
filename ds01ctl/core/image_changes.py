"""The changes that remove one image: a tag at a time, and the image itself with its last name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.core.cleanup_model import Change
from ds01ctl.core.image_names import reference, repository

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ds01ctl.core.image_model import Image


def changes_of(
    image: Image, reason: str, evidence: Sequence[str], condition: Mapping[str, str]
) -> list[Change]:
    """Untag until one name is left, then remove the image by its id.

    By its id an engine removes only what has names of one repository, and one tag at most: it
    refuses where somebody tagged the image anew meanwhile. ``identity["tags"]`` has the tags that
    must be left then, with commas between.
    """
    going, last = _names(image)
    identity = {"image_id": image.id, **condition}
    common = Change(
        kind="untag-image",
        part="images",
        target=image.id,
        name=shown(image),
        engine=image.engine,
        user=None,
        reason=reason,
        evidence=tuple(evidence),
        identity=identity,
    )
    untags = [common._replace(target=name, name=name) for name in going]
    left = {"tags": last or ""}
    return [*untags, common._replace(kind="remove-image", identity=identity | left)]


def shown(image: Image) -> str:
    """Call an image by its first name, else by its short id."""
    return image.references[0] if image.references else image.id.removeprefix("sha256:")[:12]


def _names(image: Image) -> tuple[list[str], str | None]:
    """Part the names: what is untagged, and the tag that goes with the image."""
    if len(image.references) < 2:
        return [], next(iter(image.tags), None)
    *others, (tags, _) = _by_repository(image)
    # with the last tag of a repository its digests go too
    going = [name for tagged, digests in others for name in tagged or digests]
    return [*going, *tags[:-1]], tags[-1] if tags else None


def _by_repository(image: Image) -> Iterator[tuple[list[str], list[str]]]:
    names = sorted({repository(reference(name)) for name in image.references})
    for name in names:
        tags = [tag for tag in image.tags if repository(reference(tag)) == name]
        digests = [one for one in image.digests if repository(reference(one)) == name]
        yield sorted(tags), sorted(digests)
