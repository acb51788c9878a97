"""When images were last used: what is remembered, and what was seen since.

An engine keeps no such time. A run sees the containers of that moment and the events since the
last run, and folds them into what is remembered; so a one-shot job knows nearly what a daemon
would. Networks and volumes are remembered in the same way, under keys of their own.

Stored is one row for each (engine, key): two whole numbers, seconds since 1970. The key is an
image's id, a reference in its full spelling (``core.image_names.reference``), ``network=ID`` or
``volume=NAME``. ``fold`` gives the whole table; rows that are not in it are to be deleted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.core.image_names import is_id, is_ours, reference, short_id, whole_id

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from ds01ctl.core.image_model import EngineEvent, Holder, Image, Network, Volume

    Key = tuple[str, str]

USES = frozenset({"pull", "tag", "import", "load", "push", "save"})
"""Actions upon an image that use it; untag and delete don't."""
_OF_NETWORK = "network="
_OF_VOLUME = "volume="


class Use(NamedTuple):
    """What is remembered of one thing; a pair of numbers for whoever stores it."""

    used_at: int
    """The latest that is known; never before first_seen."""
    first_seen: int


class Here(NamedTuple):
    """What the engines have now."""

    images: Sequence[Image] = ()
    holders: Sequence[Holder] = ()
    events: Sequence[EngineEvent] = ()
    networks: Sequence[Network] = ()
    volumes: Sequence[Volume] = ()
    listed: Mapping[str, Collection[str]] = {}
    """By engine: of what (images, networks, volumes) it told all; only of that anything is
    forgotten."""
    unseen: Collection[str] = ()
    """Engines in which anything may have been used, for long, that nobody saw."""


def network_key(network: str) -> str:
    """Name the row of a network, by its id."""
    return f"{_OF_NETWORK}{network}"


def volume_key(volume: str) -> str:
    """Name the row of a volume, by its name."""
    return f"{_OF_VOLUME}{volume}"


def fold(known: Mapping[Key, tuple[int, int]], here: Here, now: datetime) -> dict[Key, Use]:
    """Bring what is remembered up to now.

    What a container in any state holds is used now. What was never seen before is used now too:
    nobody knows how long it has been there. A time is never made earlier, not even by a clock
    that was stepped back. Where nobody looked for long, everything counts as used now.
    """
    now_s = int(now.timestamp())
    folding = _Folding(known, here.images, now_s)
    for key in _present(here):
        folding.meet(key)
    folding.miss(here.unseen)
    for holder in here.holders:
        folding.hold(holder)
    for event in here.events:
        folding.happen(event)
    return folding.remembered(here)


def _present(here: Here) -> Iterable[Key]:
    for image in here.images:
        yield image.engine, image.id
        yield from ((image.engine, reference(name)) for name in image.references)
    yield from ((one.engine, network_key(one.id)) for one in here.networks)
    yield from ((one.engine, volume_key(one.name)) for one in here.volumes)


class Names:
    """Which image is meant by an id, an id cut short, or a reference, in one engine."""

    def __init__(self, images: Iterable[Image]) -> None:
        self._ids: dict[Key, str] = {}
        self._by_engine: dict[str, list[str]] = {}
        for image in images:
            self._ids[image.engine, image.id] = image.id
            for name in image.references:
                self._ids[image.engine, reference(name)] = image.id
            self._by_engine.setdefault(image.engine, []).append(image.id)
        self._found: dict[Key, str | None] = {}

    def find(self, engine: str, text: str) -> str | None:
        """Find the id; None: no image here is called so."""
        key = engine, text
        if key not in self._found:
            self._found[key] = self._look_up(engine, text)
        return self._found[key]

    def _look_up(self, engine: str, text: str) -> str | None:
        if is_id(text):
            return self._ids.get((engine, whole_id(text)))
        named = self._ids.get((engine, reference(text)))
        digits = short_id(text)
        if named or not digits:
            return named
        begins = whole_id(digits)
        matching = [id_ for id_ in self._by_engine.get(engine, ()) if id_.startswith(begins)]
        return matching[0] if len(matching) == 1 else None


class _Folding:
    """The table while it is brought up to date."""

    def __init__(
        self, known: Mapping[Key, tuple[int, int]], images: Iterable[Image], now_s: int
    ) -> None:
        self._uses = {key: Use(*times) for key, times in known.items()}
        self._names = Names(images)
        self._now = now_s

    def meet(self, key: Key) -> None:
        """Begin to remember what was never seen."""
        self._uses.setdefault(key, Use(self._now, self._now))

    def miss(self, engines: Collection[str]) -> None:
        """Count all images and volumes of some engines as used now; networks go by containers."""
        for key in [key for key in self._uses if key[0] in engines]:
            if not key[1].startswith(_OF_NETWORK):
                self._use(key, self._now)

    def hold(self, holder: Holder) -> None:
        """Count all that a container holds as used now."""
        self._use_image(holder.engine, holder.image_id, self._now)
        self._use_image(holder.engine, holder.image, self._now)
        for network in holder.networks:
            self._use((holder.engine, network_key(network)), self._now, only_known=True)
        for volume in holder.volumes:
            self._use((holder.engine, volume_key(volume)), self._now)

    def happen(self, event: EngineEvent) -> None:
        """Count what an event shows to be used."""
        if event.type == "container":
            self._use_image(event.engine, event.attributes.get("image", ""), event.at)
        elif event.type == "image" and _is_use(event):
            self._use_image(event.engine, event.id, event.at)
            if event.action == "tag":
                # of a pull it is the repository alone, which would read as its tag latest
                self._use_image(event.engine, event.attributes.get("name", ""), event.at)
        elif event.type == "network":
            self._use((event.engine, network_key(event.id)), event.at, only_known=True)
        elif event.type == "volume" and event.action in {"mount", "unmount"}:
            self._use((event.engine, volume_key(event.id)), event.at)

    def remembered(self, here: Here) -> dict[Key, Use]:
        """Give the table, without what is no more."""
        present = set(_present(here))
        return {
            key: use
            for key, use in self._uses.items()
            if key in present or kind_of(key[1]) not in here.listed.get(key[0], ())
        }

    def _use_image(self, engine: str, text: str, at: int) -> None:
        """Count a use by name for the name and for the image that it names now."""
        if not text:
            return
        id_ = self._names.find(engine, text)
        if id_ is not None:
            self._use((engine, id_), at)
        if is_id(text):
            self._use((engine, whole_id(text)), at)
        elif id_ is None or not id_.startswith(whole_id(text)):
            self._use((engine, reference(text)), at)

    def _use(self, key: Key, at: int, *, only_known: bool = False) -> None:
        use = self._uses.get(key)
        if use is not None:
            self._uses[key] = use._replace(used_at=max(use.used_at, at))
        elif not only_known:
            self._uses[key] = Use(at, at)


def _is_use(event: EngineEvent) -> bool:
    return event.action in USES and not is_ours(event.attributes.get("name", ""))


def kind_of(key: str) -> str:
    """Say what a row is about: images, networks or volumes."""
    if key.startswith(_OF_NETWORK):
        return "networks"
    return "volumes" if key.startswith(_OF_VOLUME) else "images"
