"""How the images of one engine hang together: who was built upon whom, and who was last used.

A parent was used when its child was, for the child's files are its files too. So a parent is never
less recently used than a child, and with ties broken by depth the least recently used comes first
and children come before their parents, both at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.core.image_names import reference

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ds01ctl.core.image_model import Image


class Families:
    """The images of one engine, by id."""

    def __init__(
        self, images: Sequence[Image], uses: Mapping[tuple[str, str], tuple[int, int]]
    ) -> None:
        self.by_id = {image.id: image for image in images}
        times = {image.id: list(_times(image, uses)) for image in images}
        self._first = {
            id_: max((first for _, first in some), default=None) for id_, some in times.items()
        }
        self._depth = {id_: sum(1 for _ in self.ancestors(id_)) for id_ in self.by_id}
        self.used_at = {
            id_: max((used for used, _ in some), default=0) for id_, some in times.items()
        }
        for id_ in sorted(self._depth, key=lambda one: -self._depth[one]):
            parent = self.by_id[id_].parent
            if parent in self.by_id:
                self.used_at[parent] = max(self.used_at[parent], self.used_at[id_])

    def ancestors(self, id_: str) -> Iterator[str]:
        """Walk up from an image, which is not among them."""
        met = {id_}
        # an engine is believed much, but not that an image is its own ancestor
        while (id_ := self.by_id[id_].parent) in self.by_id and id_ not in met:
            met.add(id_)
            yield id_

    def first_seen(self, image: Image) -> int | None:
        """Say when it, or the last of its references, was first seen; None: never before."""
        return self._first[image.id]

    def own_bytes(self, image: Image) -> int | None:
        """Estimate what is freed with it: its layers that no other image has."""
        if image.size_bytes is None:
            return None
        if image.shared_bytes is not None:
            return max(0, image.size_bytes - image.shared_bytes)
        parent = self.by_id.get(image.parent)
        below = parent.size_bytes if parent else 0
        return max(0, image.size_bytes - (below or 0))

    def is_bounded(self, image: Image) -> bool:
        """Tell whether an estimate is an upper bound: what others share was not said."""
        return image.shared_bytes is None and image.parent not in self.by_id

    def by_use(self) -> list[Image]:
        """List all, the least recently used first, children before their parents."""
        return sorted(self.by_id.values(), key=self._order)

    def _order(self, image: Image) -> tuple[int, int, float, str]:
        built = image.created_at.timestamp() if image.created_at else 0.0
        return self.used_at[image.id], -self._depth[image.id], built, image.id


def _times(
    image: Image, uses: Mapping[tuple[str, str], tuple[int, int]]
) -> Iterator[tuple[int, int]]:
    for key in (image.id, *map(reference, image.references)):
        if times := uses.get((image.engine, key)):
            yield times
