"""Ask engines what they hold and what happened in them, and bring the uses of images up to now."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

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

_EVENTS_AT = "events_at"
"""The mark that says until when the engines' events are known."""
_LOST_AT = "events_lost_at"
"""The mark that says, by engine, when it last had more events than it keeps: seconds since 1970."""


class Heard(NamedTuple):
    """What engines told, and what follows for the uses."""

    reading: ImagesReading
    uses: Mapping[ImageKey, tuple[int, int]]
    lost_at: Mapping[str, float]
    """By engine: when it last had more events than it keeps, in seconds since 1970."""


def hear(memory: Memory, policy: Policy, paths: Paths, wanted: Collection[Wanted]) -> Heard:
    """Ask all engines of root's, for the events since they were last asked."""
    from ds01ctl.core import image_uses
    from ds01ctl.core.idle import MAX_GAP_S
    from ds01ctl.observe import engine_images

    hosts, now, since = (
        gathering.hosts_of_engines(policy, paths),
        gathering.utcnow(),
        _since(memory),
    )
    reading = engine_images.read(
        hosts.hosts,
        paths=paths,
        deadline_s=float(policy.value("docker.timeout_s")),
        now=now,
        since=since,
        wanted=wanted,
        named_by_admin=hosts.named_by_admin,
    )
    if not memory.uses:
        # what is seen for the first time counts as used now at any rate
        reading = reading._replace(lost=frozenset())
    # a loss between two looks hides what lives for minutes only; one without looks hides anything
    is_long = since is None or (now - since).total_seconds() > MAX_GAP_S
    here = image_uses.Here(
        reading.images, reading.holders, reading.events, reading.networks, reading.volumes,
        reading.listed, reading.lost if is_long else (),
    )  # fmt: skip
    return Heard(reading, image_uses.fold(memory.uses, here, now), _lost_at(memory, reading, now))


def _lost_at(memory: Memory, reading: ImagesReading, now: datetime) -> Mapping[str, float]:
    known, now_s = memory.numbers(_LOST_AT), int(now.timestamp())
    return known | {engine: max(now_s, known.get(engine, 0)) for engine in reading.lost}


def _since(memory: Memory) -> datetime | None:
    told = memory.mark(_EVENTS_AT)
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


def marks_of(state: State, reading: ImagesReading, at: datetime) -> dict[str, Any]:
    """Give the marks of a look: until when events are known, and which engine had lost some.

    To be called in the transaction that writes them: another job may have written them meanwhile.
    """
    marks: dict[str, Any] = {}
    if reading.complete("events") >= reading.listed.keys():
        marks[_EVENTS_AT] = at.isoformat()
    if reading.lost:
        marks[_LOST_AT] = _lost_at(Memory({}, {}, {}, state.marks()), reading, at)
    return marks


def meanwhile(state: State, policy: Policy, paths: Paths) -> Heard:
    """Remember the uses since the last look, before what we do ourselves pushes them out.

    An engine keeps few events, and each removal of an image is some. Raises StateError.
    """
    import json

    from ds01ctl.observe import engine_images

    # the marks first: uses that are newer than they say are only asked for twice
    marks = state.marks()
    memory = Memory({}, {}, state.image_uses(), marks)
    at = gathering.utcnow()
    heard = hear(memory, policy, paths, engine_images.USES)
    with state.transaction():
        put_uses(state, memory.uses, heard.uses)
        new = marks_of(state, heard.reading, at)
        state.put_marks({name: json.dumps(value) for name, value in new.items()})
    return heard
