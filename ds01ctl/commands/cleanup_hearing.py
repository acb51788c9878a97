"""Ask engines what they hold and what happened in them, and bring the uses of images up to now."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.commands import gathering
from ds01ctl.commands.cleanup_memory import Memory

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from ds01ctl.cleanupstate import ImageKey
    from ds01ctl.core.policy import Policy
    from ds01ctl.observe.engine_images import ImagesReading
    from ds01ctl.observe.engine_images_talk import Wanted
    from ds01ctl.paths import Paths
    from ds01ctl.state import State

EVENTS_AT = "events_at"
"""The mark that says until when the engines' events are known."""


class Heard(NamedTuple):
    """What engines told, and what follows for the uses."""

    reading: ImagesReading
    uses: Mapping[ImageKey, tuple[int, int]]
    are_lost_ignored: bool
    """The policy says that uses which an engine had no room for do not count."""


def hear(memory: Memory, policy: Policy, paths: Paths, wanted: Collection[Wanted]) -> Heard:
    """Ask all engines of root's, for the events since they were last asked."""
    from ds01ctl.core import image_uses
    from ds01ctl.observe import engine_images

    hosts, now = gathering.hosts_of_engines(policy, paths), gathering.utcnow()
    reading = engine_images.read(
        hosts.hosts,
        paths=paths,
        deadline_s=float(policy.value("docker.timeout_s")),
        now=now,
        since=_since(memory),
        wanted=wanted,
        named_by_admin=hosts.named_by_admin,
    )
    ignored = bool(policy.value("cleanup.images.ignore_lost_events"))
    here = image_uses.Here(
        reading.images, reading.holders, reading.events, reading.networks, reading.volumes,
        reading.listed, () if ignored else reading.lost,
    )  # fmt: skip
    return Heard(reading, image_uses.fold(memory.uses, here, now), ignored)


def _since(memory: Memory) -> datetime | None:
    told = memory.mark(EVENTS_AT)
    try:
        return datetime.fromisoformat(told) if told else None
    except (TypeError, ValueError):
        return None


def put_uses(
    state: State,
    before: Mapping[ImageKey, tuple[int, int]],
    uses: Mapping[ImageKey, tuple[int, int]],
) -> None:
    """Write what has changed of the uses. Raises StateError."""
    now = {key: tuple(use) for key, use in uses.items()}
    new = {key: use for key, use in now.items() if before.get(key) != use}
    state.put_image_uses(new, [key for key in before if key not in now])  # type: ignore[arg-type]  # pairs of numbers


def told_events(reading: ImagesReading) -> bool:
    """Tell whether every engine that is here told its events."""
    return reading.complete("events") >= reading.listed.keys()


def meanwhile(state: State, policy: Policy, paths: Paths) -> Heard:
    """Remember the uses since the last look, before what we do ourselves pushes them out.

    An engine keeps few events, and each removal of an image is some. Raises StateError.
    """
    import json

    from ds01ctl.observe import engine_images

    memory = Memory({}, {}, state.image_uses(), state.marks())
    at = gathering.utcnow()
    heard = hear(memory, policy, paths, engine_images.USES)
    with state.transaction():
        put_uses(state, memory.uses, heard.uses)
        if told_events(heard.reading):
            state.put_marks({EVENTS_AT: json.dumps(at.isoformat())})
    return heard
