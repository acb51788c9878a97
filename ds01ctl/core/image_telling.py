"""What is told of images: the evidence of a change, and what holds the disk."""

from __future__ import annotations

from datetime import datetime, timezone
from functools import lru_cache
from typing import TYPE_CHECKING

from ds01ctl.core.cleanup_model import Notice
from ds01ctl.core.image_changes import shown
from ds01ctl.core.sizes import size
from ds01ctl.core.timestamp import format_time

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ds01ctl.core.image_families import Families
    from ds01ctl.core.image_holds import Hold
    from ds01ctl.core.image_model import DiskUse, Image
    from ds01ctl.core.image_rules import Rules

_DAY_S = 86400
_MOST = 3
"""The largest images of a group."""


def evidence(image: Image, families: Families, now: datetime) -> tuple[str, ...]:
    """Tell when it was last used, when it was first seen, and what it frees."""
    used = families.used_at[image.id]
    first = families.first_seen(image)
    own = families.own_bytes(image)
    upto = "at most" if families.is_bounded(image) else "about"
    frees = "not known" if own is None else f"{upto} {size(own)} (layers of its own)"
    return (
        f"last used {_ago(used, now)}",
        f"first seen {_ago(first, now)}" if first is not None else "not seen before",
        f"frees {frees}",
    )


@lru_cache(maxsize=1024)
def _ago(at: int, now: datetime) -> str:
    if not at:
        return "never that is known"
    days = max(0.0, (now.timestamp() - at) / _DAY_S)
    return f"{days:.1f} days ago, {format_time(datetime.fromtimestamp(at, timezone.utc))}"


def events_lost(engine: str, at_s: float, rules: Rules) -> Notice:
    """Tell that an engine was so busy that uses of images may have gone unseen."""
    at = format_time(datetime.fromtimestamp(at_s, timezone.utc))
    text = (
        f"{engine}: so much happened before {at} that it does not tell all of it any more; images"
        " that were not seen in use since then go later, if at all"
        f" ({rules.told('images.min_age_unseen_h')})"
    )
    return Notice("events-lost", None, None, text)


def disk_unknown(engine: str) -> Notice:
    """Tell that nothing is removed for the disk's sake, because nobody knows how full it is."""
    text = f"{engine}: how full its disk is can't be read; no image is removed to make room"
    return Notice("images-disk-unknown", None, None, text)


def too_little(
    families: Families,
    held: Mapping[str, Hold],
    disk: DiskUse,
    amounts: tuple[int, int],
    rules: Rules,
) -> Notice:
    """Tell that the low mark will not be reached, and what holds the disk instead.

    amounts: bytes to be freed, and bytes that can be.
    """
    wanted, freed = amounts
    can = f"only about {size(freed)} can be" if freed else "no image may be removed"
    text = (
        f"{disk.path} is {disk.percent:.1f} % full: {size(wanted)} are to be freed for the low"
        f" mark ({rules.told('images.low_percent')}), {can}"
    )
    lines = (*_groups(families, held), _rest(families, disk))
    return Notice("images-hold-disk", None, None, text, lines)


def _groups(families: Families, held: Mapping[str, Hold]) -> list[str]:
    """Tell each group of held images, the largest first, each with its largest images."""
    groups: dict[str, list[Image]] = {}
    for id_, hold in held.items():
        groups.setdefault(hold.group, []).append(families.by_id[id_])
    lines = []
    for name, images in groups.items():
        images.sort(key=lambda image: -(families.own_bytes(image) or 0))
        total = sum(families.own_bytes(image) or 0 for image in images)
        largest = "; ".join(f"{shown(one)}: {held[one.id].why}" for one in images[:_MOST])
        more = f"; and {len(images) - _MOST} more" if len(images) > _MOST else ""
        counted = f"{len(images)} image{'s' if len(images) > 1 else ''}, about {size(total)}"
        lines.append((total, f"{name}: {counted}: {largest}{more}"))
    return [line for _, line in sorted(lines, reverse=True)]


def _rest(families: Families, disk: DiskUse) -> str:
    images = sum(families.own_bytes(image) or 0 for image in families.by_id.values())
    rest = max(0, disk.used_bytes - images)
    # where it is not known what images share, they are counted too large
    bounded = any(families.is_bounded(image) for image in families.by_id.values())
    least = "at least" if bounded else "about"
    return (
        f"no image: {least} {size(rest)} of the {size(disk.used_bytes)} used there are something"
        " else (containers, volumes, build cache, logs, other files)"
    )
