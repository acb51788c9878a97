"""Decide which images go: the least recently used first, until the disk is at its low mark.

Above the high mark images are removed until the low one is reached; those that nobody used for
``max_unused_d`` go whatever the disk says. What is freed is an estimate, because layers are
shared. So each change of the first sort says how full the disk must be for it to be done
(``used_above_bytes``), the disk is measured again before each image, and behind the planned
changes come those that may be needed if the estimate was too high.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.core.image_ages import Ages
from ds01ctl.core.image_changes import changes_of
from ds01ctl.core.image_families import Families
from ds01ctl.core.image_holds import holds
from ds01ctl.core.image_telling import disk_unknown, evidence, too_little
from ds01ctl.core.timestamp import format_time

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from ds01ctl.core.cleanup_model import Change, Notice
    from ds01ctl.core.image_model import DiskUse, Holder, Image
    from ds01ctl.core.image_rules import Rules

_DAY_S = 86400


class World(NamedTuple):
    """What is known of the images of all engines, at one moment."""

    images: Sequence[Image]
    holders: Sequence[Holder]
    uses: Mapping[tuple[str, str], tuple[int, int]]
    """As ``image_uses.fold`` gave them in this very run."""
    disks: Mapping[str, DiskUse]
    """By engine; one without an entry is not known."""
    complete: Collection[str]
    """Engines of root's that told all their images and all their containers: only there is
    anything removed."""
    infrastructure: Collection[str] = ()
    """Ids and references of images that infrastructure is made from."""
    lost_at: Mapping[str, float] = {}
    """By engine: when it last had more events than it keeps, in seconds since 1970."""


class Decision(NamedTuple):
    """What is to be done, in this order."""

    changes: tuple[Change, ...] = ()
    reserve: tuple[Change, ...] = ()
    """To be done after the changes while ``still_due`` says so: no part of a plan's figures."""
    notices: tuple[Notice, ...] = ()


def decide(world: World, rules: Rules, now: datetime) -> Decision:
    """Decide for each engine by itself."""
    parts = [
        _Engine(engine, world, rules, now).decide()
        for engine in sorted(set(world.complete) & {image.engine for image in world.images})
    ]
    return Decision(
        tuple(change for part in parts for change in part.changes),
        tuple(change for part in parts for change in part.reserve),
        tuple(notice for part in parts for notice in part.notices),
    )


def still_due(change: Change, disk: DiskUse | None) -> str | None:
    """Say why a change is not to be done any more, with the disk as it is now; None: go on.

    To be asked once before each image (``by_image``), not between its tags.
    """
    above = change.identity.get("used_above_bytes")
    if above is None:
        return None
    if disk is None:
        return "how full the disk is can't be read any more"
    if disk.used_bytes > int(above):
        return None
    return f"{disk.path} is at {disk.percent:.1f} %: the low mark is reached"


def by_image(changes: Iterable[Change]) -> list[tuple[Change, ...]]:
    """Put the changes of each image together: they are done all, or none."""
    groups: dict[tuple[str, str], list[Change]] = {}
    for change in changes:
        key = change.engine, change.identity.get("image_id", change.target)
        groups.setdefault(key, []).append(change)
    return [tuple(group) for group in groups.values()]


def due_together(groups: Iterable[tuple[Change, ...]], disk: DiskUse | None, most: int) -> int:
    """Count the images at the beginning that are due though all before them free what they may.

    The first one counts at any rate. Those after it have one change each, as the first, and are of
    its engine and for the same reason. What is freed is estimated too high rather than too low.
    """
    count = frees_bytes = 0
    first: Change | None = None
    for group in groups:
        one = group[0]
        first = first or one
        if count == most or (count and not _goes_with(group, first)):
            break
        above = one.identity.get("used_above_bytes")
        if count and above and (disk is None or disk.used_bytes - frees_bytes <= int(above)):
            break
        count, frees_bytes = count + 1, frees_bytes + (one.frees_bytes or 0)
        if len(group) > 1:
            break
    return count


def _goes_with(group: tuple[Change, ...], first: Change) -> bool:
    one, key = group[0], "used_above_bytes"
    is_same = one.engine == first.engine and one.identity.get(key) == first.identity.get(key)
    return len(group) == 1 and is_same


class _Engine:
    """The decision for one engine."""

    def __init__(self, engine: str, world: World, rules: Rules, now: datetime) -> None:
        self._engine = engine
        self._rules = rules
        self._now = now
        self._young = format_time(now - timedelta(hours=rules.min_age_h))
        self._disk = world.disks.get(engine)
        images = [image for image in world.images if image.engine == engine]
        holders = [holder for holder in world.holders if holder.engine == engine]
        self._families = Families(images, world.uses)
        ages = Ages(rules, now.timestamp(), world.lost_at.get(engine))
        self._held = holds(self._families, holders, rules, ages, world.infrastructure)

    def decide(self) -> Decision:
        """Take what is long unused, then what the disk needs, and tell what it does not get."""
        free = [image for image in self._families.by_use() if image.id not in self._held]
        # used longest ago first: these are the first ones
        unused = [image for image in free if self._is_unused(image)]
        wanted = self._missing_bytes()
        missing = wanted - self._freed(unused)
        needed, left = self._until(free[len(unused) :], missing)
        changes = [*self._as_unused(unused), *self._as_needed(needed)]
        reserve = self._as_needed(left) if wanted else []
        notices = self._notices([*unused, *needed], wanted)
        return Decision(tuple(changes), tuple(reserve), tuple(notices))

    def _is_unused(self, image: Image) -> bool:
        limit = self._rules.max_unused_d
        unused_s = self._now.timestamp() - self._families.used_at[image.id]
        return limit is not None and unused_s > limit * _DAY_S

    def _missing_bytes(self) -> int:
        """Say how much the disk needs; 0 below the high mark, and where it is not known."""
        if self._disk is None or self._disk.percent < self._rules.high_percent:
            return 0
        return self._disk.used_bytes - self._disk.bytes_at(self._rules.low_percent)

    def _freed(self, images: Iterable[Image]) -> int:
        return sum(self._families.own_bytes(image) or 0 for image in images)

    def _until(self, images: Sequence[Image], missing: int) -> tuple[list[Image], list[Image]]:
        """Part images where enough is freed."""
        for count, image in enumerate(images):
            if missing <= 0:
                return list(images[:count]), list(images[count:])
            missing -= self._families.own_bytes(image) or 0
        return list(images), []

    def _as_unused(self, images: Iterable[Image]) -> list[Change]:
        why = f"not used for longer than {self._rules.told('images.max_unused_d')}"
        return [change for image in images for change in self._changes(image, why, {})]

    def _as_needed(self, images: Iterable[Image]) -> list[Change]:
        if self._disk is None:
            return []
        low = str(self._disk.bytes_at(self._rules.low_percent))
        condition = {"disk_path": self._disk.path, "used_above_bytes": low}
        why = (
            f"{self._disk.path} is {self._disk.percent:.1f} % full"
            f" ({self._rules.told('images.high_percent')}); least recently used first, until"
            f" {self._rules.told('images.low_percent')}"
        )
        return [change for image in images for change in self._changes(image, why, condition)]

    def _changes(self, image: Image, why: str, condition: Mapping[str, str]) -> list[Change]:
        told = evidence(image, self._families, self._now)
        condition = {**condition, "touched_before": self._young}
        found = changes_of(image, why, told, condition)
        # the last one removes the image itself
        found[-1] = found[-1]._replace(frees_bytes=self._families.own_bytes(image))
        return found

    def _notices(self, going: Sequence[Image], wanted: int) -> list[Notice]:
        if self._disk is None:
            return [disk_unknown(self._engine)]
        freed = self._freed(going)
        if wanted <= freed:
            return []
        told = too_little(self._families, self._held, self._disk, (wanted, freed), self._rules)
        return [told._replace(text=f"{self._engine}: {told.text}")]
