"""How long ago an image was used, and whether that is long enough for it to go.

Docker keeps its last 256 events. Where more happened between two looks, a container that came and
went between them may have used any image, or one may have been pulled or loaded again, and nobody
can tell which. What was seen is not forgotten for that, and stays the order in which images go;
but an image whose last known use is older than such a moment must be older still. Containers that
are there at a look are always seen, so with looks a few minutes apart it takes one of as few, each
time, to be missed all along. (Where looks are far apart, ``image_uses`` counts all as used.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ds01ctl.core.image_rules import Rules


class Ages(NamedTuple):
    """What the ages of one engine's images are compared with."""

    rules: Rules
    now_s: float
    lost_at: float | None
    """When the engine last had more events than it keeps, in seconds since 1970."""

    def young(self, last_s: float | None) -> tuple[str, str] | None:
        """Say why an image is too young to go: what such images are called, and the reason.

        last_s: its last known use, or when it was first seen; None: it never was. None: it is old
        enough.
        """
        age_h = 0.0 if last_s is None else max(0.0, (self.now_s - last_s) / 3600)
        ago = f"used or first seen {age_h:.1f} h ago"
        if age_h < self.rules.min_age_h:
            return "used or first seen lately", f"{ago} ({self.rules.told('images.min_age_h')})"
        if self.lost_at is None or (last_s is not None and last_s >= self.lost_at):
            return None
        limit_h = self.rules.min_age_unseen_h
        if limit_h is not None and age_h >= limit_h:
            return None
        why = f"{ago}, as far as was seen ({self.rules.told('images.min_age_unseen_h')})"
        return "perhaps used unseen", why
