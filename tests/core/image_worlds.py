"""Engines of images in memory: layers, names, a disk; and what an engine refuses."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import datetime, timezone

from ds01ctl.core.cleanup_model import Change
from ds01ctl.core.image_model import DiskUse, Holder, Image
from ds01ctl.core.image_rules import Rules
from ds01ctl.core.images import Decision, World, by_image, still_due

ENGINE = "unix:///run/docker.sock"
NOW = datetime(2026, 11, 26, 12, tzinfo=timezone.utc)
NOW_S = int(NOW.timestamp())
HOUR, DAY = 3600, 86400
GIB = 1 << 30
SHA = "sha256:{:064x}".format


def image(number: int, *tags: str, **fields: object) -> Image:
    """Make an image of 1 GiB that was built so many seconds after 2020."""
    built = datetime.fromtimestamp(1577836800 + number, timezone.utc)
    usual = Image(ENGINE, SHA(number), tags, created_at=built, size_bytes=GIB, shared_bytes=0)
    return usual._replace(**fields)  # type: ignore[arg-type]  # as a test says


def container(name: str, image_id: str = "", reference: str = "", state: str = "exited") -> Holder:
    """Make a container of an image."""
    return Holder(ENGINE, name * 8, name, state, image_id, reference)


def disk(used_gib: float, total_gib: float = 100) -> DiskUse:
    """Make a disk."""
    used = int(used_gib * GIB)
    return DiskUse("/var/lib/docker/overlay2", used, int(total_gib * GIB) - used)


def unused_for(
    days: dict[int, float], seen_d: float = 30
) -> dict[tuple[str, str], tuple[int, int]]:
    """Remember images, by number, as last used so many days ago and first seen long ago."""
    return {
        (ENGINE, SHA(number)): (NOW_S - int(d * DAY), NOW_S - int(max(d, seen_d) * DAY))
        for number, d in days.items()
    }


class MemoryEngine:
    """Has images of layers, some shared, on a disk of its own."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = random.Random(seed)
        self.layers: dict[str, list[int]] = {}
        self.sizes: dict[int, int] = {}
        self.images: dict[str, Image] = {}
        self.uses: dict[tuple[str, str], tuple[int, int]] = {}
        self.holders: list[Holder] = []
        self.knows_shared = rng.random() < 0.5
        self.removed: list[str] = []
        self.freed: list[int] = []
        for number in range(1, rng.randint(5, 40)):
            self._build(number)
        self._run_containers()
        self.other = rng.randint(0, 20) * GIB
        self.total = int((self.other + self.layers_bytes()) / rng.uniform(0.7, 0.99))

    def _build(self, number: int) -> None:
        rng, id_ = self.rng, SHA(number)
        parent = rng.choice(list(self.images)) if self.images and rng.random() < 0.5 else ""
        is_pulled = rng.random() < 0.4
        new = [len(self.sizes) + step for step in range(rng.randint(0, 2))]
        self.sizes |= {layer: rng.randint(1, 5 * GIB) for layer in new}
        self.layers[id_] = [*self.layers.get(parent, ()), *new]
        names = [f"{name}:{number}" for name in (f"repo{rng.randint(1, 6)}", "other", "keep/x")]
        tags = rng.sample(names, k=rng.choice([0, 1, 1, 1, 2]))
        labels = {"ds01.keep": rng.choice(["yes", "false"])} if rng.random() < 0.1 else {}
        self.images[id_] = image(number, *tags, parent="" if is_pulled else parent, labels=labels)
        for key in (id_, *tags):
            first = NOW_S - rng.randint(20 * HOUR, 200 * HOUR)
            self.uses[ENGINE, key] = (rng.randint(first, min(NOW_S, first + 99 * HOUR)), first)

    def _run_containers(self) -> None:
        for id_ in self.rng.sample(list(self.images), k=min(4, len(self.images))):
            tags = self.images[id_].tags
            by_name = tags and self.rng.random() < 0.5
            state = self.rng.choice(["running", "exited", "created", "dead"])
            named = ("", tags[0]) if by_name else (id_, "")
            self.holders.append(container(f"c{len(self.holders)}", *named, state))

    def layers_bytes(self) -> int:
        """Add up the layers of which there is an image."""
        return sum(
            self.sizes[layer] for layer in {one for id_ in self.images for one in self.layers[id_]}
        )

    def disk(self) -> DiskUse:
        """Measure."""
        used = self.other + self.layers_bytes()
        return DiskUse("/d", used, self.total - used)

    def world(self) -> World:
        """See all of it."""
        seen = [self._seen(id_) for id_ in self.images]
        return World(seen, self.holders, self.uses, {ENGINE: self.disk()}, {ENGINE})

    def _seen(self, id_: str) -> Image:
        others = {one for other in self.images if other != id_ for one in self.layers[other]}
        size = sum(self.sizes[layer] for layer in self.layers[id_])
        shared = sum(self.sizes[layer] for layer in set(self.layers[id_]) & others)
        known = shared if self.knows_shared else None
        return self.images[id_]._replace(size_bytes=size, shared_bytes=known)

    def do(self, change: Change) -> None:
        """Do as an engine does; an AssertionError is a refusal."""
        one = self.images[change.identity["image_id"]]
        if change.kind == "untag-image":
            left = tuple(tag for tag in one.tags if tag != change.target)
            assert len(left) == len(one.tags) - 1
            self.images[one.id] = one._replace(tags=left)
            return
        assert ",".join(one.tags) == change.identity["tags"]
        assert not any(other.parent == one.id for other in self.images.values())
        before = self.disk().used_bytes
        del self.images[one.id]
        self.removed.append(one.id)
        self.freed.append(before - self.disk().used_bytes)


def carry_out(engine: MemoryEngine, decision: Decision) -> None:
    """Do what was decided, measuring before each image."""
    for group in by_image((*decision.changes, *decision.reserve)):
        if still_due(group[0], engine.disk()) is None:
            for change in group:
                engine.do(change)


def ideal(engine: MemoryEngine, rules: Rules) -> list[str]:
    """List what may go in the order of an ideal daemon, from the rules as they are written."""
    images = dict(engine.images)
    used = {id_: max(_times(engine, one, 0)) for id_, one in images.items()}
    born = {id_: max(_times(engine, one, 1)) for id_, one in images.items()}
    # the latest use, and that of whatever was built upon it
    last = {id_: max(born[id_], *(used[one] for one in _family(images, id_))) for id_ in images}
    kept = {id_ for id_, one in images.items() if _is_kept(engine, one, last[id_], rules)}
    for name in {tag.split(":")[0] for one in images.values() for tag in one.tags}:
        of_it = [
            one for one in images.values() if any(tag.split(":")[0] == name for tag in one.tags)
        ]
        newest = sorted(of_it, key=lambda one: one.id)[-rules.keep_per_repository :]
        kept |= {one.id for one in newest} if rules.keep_per_repository else set()
    order: list[str] = []
    while True:
        parents = {one.parent for id_, one in images.items() if id_ not in order}
        leaves = [id_ for id_ in images if id_ not in {*kept, *order, *parents}]
        if not leaves:
            return order
        # a parent was used when a child of it was
        order.append(
            min(leaves, key=lambda id_: (max(used[one] for one in _family(images, id_)), id_))
        )


def _family(images: dict[str, Image], id_: str) -> Iterable[str]:
    children = [one.id for one in images.values() if one.parent == id_]
    return [id_, *(member for child in children for member in _family(images, child))]


def _times(engine: MemoryEngine, one: Image, index: int) -> list[int]:
    return [engine.uses[ENGINE, key][index] for key in (one.id, *one.tags)]


def _is_kept(engine: MemoryEngine, one: Image, last: int, rules: Rules) -> bool:
    held = {text for holder in engine.holders for text in (holder.image_id, holder.image)}
    return (
        not held.isdisjoint({one.id, *one.tags})
        or NOW_S - last < rules.min_age_h * HOUR
        or one.labels.get("ds01.keep", "false") != "false"
        or any(tag.startswith("keep/") for tag in one.tags)
    )
