"""See what engines hold besides containers, and what happened in them since the last look.

A few lists for each engine, asked at once, whatever the number of images: no inspect. Only root's
engines are asked: a user's own is the user's own affair.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.core.model import Gap
from ds01ctl.observe import engine_api, image_disk
from ds01ctl.observe import engine_images_json as read_json
from ds01ctl.observe.engine_answer import Answer
from ds01ctl.observe.engine_hosts import expand
from ds01ctl.observe.engine_images_talk import CONTAINERS, IMAGES, SHARED, ImagesTalk, Wanted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from datetime import datetime
    from typing import TypeVar

    from ds01ctl.core.image_model import (
        CacheRecord,
        DiskUse,
        EngineEvent,
        Holder,
        Image,
        Network,
        Volume,
    )
    from ds01ctl.paths import Paths

    T = TypeVar("T")

EVERYTHING: frozenset[Wanted] = frozenset(("events", "images", "networks", "volumes", "cache"))
"""All but the sizes of volumes: an engine walks through every one to tell them."""
USES: frozenset[Wanted] = frozenset(("events",))
"""What the job of every five minutes needs, so that no use goes unseen: two short requests."""


class ImagesReading(NamedTuple):
    """What root's engines told. Each list has what could be read, of whichever engine."""

    images: tuple[Image, ...] = ()
    holders: tuple[Holder, ...] = ()
    """All containers, in any state."""
    events: tuple[EngineEvent, ...] = ()
    networks: tuple[Network, ...] = ()
    volumes: tuple[Volume, ...] = ()
    cache: tuple[CacheRecord, ...] = ()
    disks: Mapping[str, DiskUse] = {}
    """By engine."""
    listed: Mapping[str, frozenset[str]] = {}
    """By engine: of which kinds it told all: containers, images, events, networks, volumes, cache.
    An engine that gave no answer has no kinds."""
    lost: frozenset[str] = frozenset()
    """Engines in which more may have happened since the last look than they told."""
    requests: int = 0
    gaps: tuple[Gap, ...] = ()

    def complete(self, *kinds: str) -> frozenset[str]:
        """Name the engines that told all of several kinds."""
        return frozenset(engine for engine, told in self.listed.items() if told >= set(kinds))


def read(
    hosts: Sequence[str],
    *,
    paths: Paths,
    deadline_s: float,
    now: datetime,
    since: datetime | None = None,
    wanted: Collection[Wanted] = EVERYTHING,
    named_by_admin: bool = False,
) -> ImagesReading:
    """Ask all engines of root's at once. Nothing is raised: what fails leaves a gap.

    since: the time of the last look, for the events from then until now; None: as many as an
    engine still has.
    """
    talks = [ImagesTalk(host, wanted, since, now) for host in expand(hosts) if not host.uid]
    at = {talk.host.address: talk for talk in talks}
    engine_api.ask(
        [request for talk in talks for request in talk.opening()],
        lambda request, answer: at[request.host].hear(request, answer),
        deadline=time.monotonic() + deadline_s,
        late=f"no answer in {deadline_s:g} s (docker.timeout_s)",
    )
    whole = _joined([_told(talk, paths, named_by_admin) for talk in _each_once(talks)])
    if not talks:
        none = Gap("docker", "absent", "no engine of root's is named or here")
        return whole._replace(gaps=(none,))
    return whole._replace(requests=sum(len(talk.answers) for talk in talks))


def measure_disk(disk: DiskUse, paths: Paths) -> DiskUse | None:
    """Measure a disk again, between two removals; None: it can't be read any more."""
    told = image_disk.measure((disk.path,), paths)
    return None if isinstance(told, Gap) else told


def _each_once(talks: Sequence[ImagesTalk]) -> list[ImagesTalk]:
    """Leave out an engine that a second address leads to, as far as engines tell who they are."""
    found: dict[str, ImagesTalk] = {}
    for talk in talks:
        info = talk.value("/info")
        told = info.get("ID") if isinstance(info, dict) else None
        found.setdefault(told if isinstance(told, str) and told else talk.host.address, talk)
    return list(found.values())


def _joined(parts: Sequence[ImagesReading]) -> ImagesReading:
    return ImagesReading(
        images=tuple(one for part in parts for one in part.images),
        holders=tuple(one for part in parts for one in part.holders),
        events=tuple(one for part in parts for one in part.events),
        networks=tuple(one for part in parts for one in part.networks),
        volumes=tuple(one for part in parts for one in part.volumes),
        cache=tuple(one for part in parts for one in part.cache),
        disks={engine: disk for part in parts for engine, disk in part.disks.items()},
        listed={engine: told for part in parts for engine, told in part.listed.items()},
        lost=frozenset(engine for part in parts for engine in part.lost),
        gaps=tuple(dict.fromkeys(gap for part in parts for gap in part.gaps)),
    )


def _told(talk: ImagesTalk, paths: Paths, named_by_admin: bool) -> ImagesReading:  # noqa: FBT001 -- handed on
    """Read all that one engine told."""
    lists = _Lists(talk)
    usage = talk.value(talk.usage)
    events = lists.of("events", talk.value(talk.events), read_json.event)
    shared = _shared(talk.value(SHARED))
    images = lists.of("images", talk.value(IMAGES), read_json.image)
    sizes = _volumes(read_json.disk_usage(usage, "Volumes", "VolumeUsage"), talk)
    disk = _disk(talk, paths)
    reading = ImagesReading(
        images=tuple(one._replace(shared_bytes=shared.get(one.id)) for one in images),
        holders=tuple(lists.of("containers", talk.value(CONTAINERS), read_json.holder)),
        events=tuple(events),
        networks=tuple(lists.of("networks", talk.value("/networks"), read_json.network)),
        volumes=tuple(
            one._replace(size_bytes=sizes.get(one.name))
            for one in lists.of("volumes", _named(talk.value("/volumes")), read_json.volume)
        ),
        cache=tuple(
            lists.of(
                "cache",
                read_json.disk_usage(usage, "BuildCache", "BuildCacheUsage"),
                read_json.cache_record,
            )
        ),
        disks={} if disk is None or isinstance(disk, Gap) else {talk.host.address: disk},
        lost=frozenset([talk.host.address] if talk.has_lost_events else ()),
    )
    gaps = (*_gaps(talk, named_by_admin=named_by_admin), *lists.gaps)
    gaps = (*gaps, disk) if isinstance(disk, Gap) else gaps
    return reading._replace(listed={talk.host.address: frozenset(lists.whole)}, gaps=gaps)


class _Lists:
    """Reads the lists of one engine, and notes with which of them nothing is wrong."""

    def __init__(self, talk: ImagesTalk) -> None:
        self._engine = talk.host.address
        self.whole: set[str] = set()
        self.gaps: list[Gap] = []

    def of(self, kind: str, value: object, make: Callable[[str, object], T | None]) -> list[T]:
        """Read one list; what has no identity is left out, and the list is not whole then."""
        if value is None:
            return []
        if not isinstance(value, list):
            self.gaps.append(
                Gap("docker", "failed", f"{self._engine}: {kind}: the answer is no list")
            )
            return []
        made = [make(self._engine, entry) for entry in value]
        found = [one for one in made if one is not None]
        if missing := len(made) - len(found):
            reason = f"{self._engine}: {missing} of {len(made)} {kind} without identity"
            self.gaps.append(Gap("docker", "failed", reason))
        else:
            self.whole.add(kind)
        return found


def _named(value: object) -> object:
    """Take the list out of the answer about volumes; an engine without volumes writes null."""
    return (value.get("Volumes") or []) if isinstance(value, dict) else value


def _shared(value: object) -> dict[str, int | None]:
    entries = value if isinstance(value, list) else []
    made = [read_json.image("", entry) for entry in entries]
    return {one.id: one.shared_bytes for one in made if one is not None}


def _volumes(entries: Sequence[object] | None, talk: ImagesTalk) -> dict[str, int | None]:
    made = [read_json.volume(talk.host.address, entry) for entry in entries or ()]
    return {one.name: one.size_bytes for one in made if one is not None}


def _disk(talk: ImagesTalk, paths: Paths) -> DiskUse | Gap | None:
    info = talk.value("/info")
    if info is None:
        return None
    told = image_disk.measure(image_disk.place(info, paths), paths)
    if isinstance(told, Gap):
        return told._replace(reason=f"{talk.host.address}: {told.reason}")
    return told


def _gaps(talk: ImagesTalk, *, named_by_admin: bool) -> Iterator[Gap]:
    for path, answer in talk.answers.items():
        # without what images share an estimate is coarser, no more
        if isinstance(answer, Answer) or path == SHARED:
            continue
        if talk.host.found and answer.trouble in {"absent", "refused"}:
            # a socket left behind is no promise of an engine
            yield Gap("docker", "absent", f"{talk.host.address}: nobody listens")
            continue
        kind = "failed" if named_by_admin and answer.kind == "absent" else answer.kind
        hint = f" ({answer.hint})" if answer.hint else ""
        yield Gap("docker", kind, f"{answer.message}{hint}")
