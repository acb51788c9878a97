"""Find out, from what is there now, what became of what an earlier run had begun.

It was killed meanwhile, or the engine gave it no answer.
"""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ds01ctl.core.timestamp import parse_time

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ds01ctl.cleanupstate import Logged
    from ds01ctl.commands.cleanup_memory import Memory
    from ds01ctl.core.cleanup_model import Watch
    from ds01ctl.core.model import Container, Snapshot
    from ds01ctl.observe.engine_images import ImagesReading

_KILLED = "the run was killed before it came to it"
_UNSURE = "what came of it is not known: the run was killed meanwhile, or the engine did not answer"


class Settled(NamedTuple):
    """A row that was begun, and what came of it."""

    row: Logged
    outcome: Literal["done", "failed", "skipped"]
    said: Mapping[str, Any]
    """The rest of the row, with what came of it."""

    @property
    def error(self) -> str | None:
        """Say why it is not known to be done."""
        error = self.said.get("error")
        return None if error is None else str(error)


def settle(memory: Memory, snapshot: Snapshot) -> tuple[tuple[Settled, ...], dict[str, Watch]]:
    """Settle what was begun about containers; gives the watches with it, too.

    Nothing is concluded from an engine that does not answer: then it stays as begun. Images are
    settled where they are read (cleanup_leftovers).
    """
    watches = dict(memory.watches)
    answered = {one.host for one in snapshot.engines if one.answered}
    there = {one.id: one for one in snapshot.containers}
    found = []
    for row in memory.begun:
        said = read_row(row)
        if row.kind == "revoke-grant":
            found.append(_as(row, said, _UNSURE))
            continue
        if str(said.get("engine")) not in answered or not row.kind.endswith("-container"):
            continue
        one = _settled(row, said, there.get(row.target))
        found.append(one)
        if watch := _watch_after(one, watches.get(row.target)):
            watches[row.target] = watch
    return tuple(found), watches


def read_row(row: Logged) -> dict[str, Any]:
    """Read the rest of a row; what makes no sense is nothing."""
    with suppress(ValueError):
        said = json.loads(row.row)
        return said if isinstance(said, dict) else {}
    return {}


def _settled(row: Logged, said: dict[str, Any], container: Container | None) -> Settled:
    identity = said.get("identity")
    started = _time(identity.get("started_at")) if isinstance(identity, dict) else None
    if row.kind == "remove-container":
        gone = container is None or container.state == "removing"
        return _as(row, said, None if gone else _not_done(said))
    if row.kind == "start-container":
        runs = container is not None and container.is_live
        return _as(row, said, None if runs else _not_done(said))
    if container is None:
        # with --rm it goes when it ends; or somebody removed it: it does not run, at any rate
        return _as(row, said, None)
    if container.started_at == started and container.state == "running":
        return _as(row, said, _not_done(said))
    finished = container.finished_at
    is_ours = finished is not None and finished >= datetime.fromisoformat(row.at)
    return _as(row, said, None if is_ours else _UNSURE)


def _not_done(said: Mapping[str, Any]) -> str:
    """Say why it was not done: the engine that did not answer, or else the end of that run."""
    error = said.get("error")
    return f"it was not done after all; then: {error}" if error else _KILLED


def _as(row: Logged, said: dict[str, Any], error: str | None) -> Settled:
    outcome: Literal["done", "failed"] = "failed" if error else "done"
    return Settled(row, outcome, {**said, "error": error, "settled": True})


def _watch_after(one: Settled, watch: Watch | None) -> Watch | None:
    """Note that a stop was ours, or that it was undone: what the killed run did not come to."""
    if watch is None or one.outcome != "done":
        return None
    if one.row.kind == "stop-container":
        return watch._replace(stopped_by_us=str(one.said.get("reason") or "it was due"))
    if one.row.kind == "start-container":
        return watch._replace(warned=())
    return None


def _time(text: object) -> datetime | None:
    with suppress(ValueError, TypeError):
        return parse_time(str(text)) if text else None
    return None


# --- images, networks, volumes ----------------------------------------------------------------

_LISTS = {
    "remove-image": "images",
    "untag-image": "images",
    "remove-network": "networks",
    "remove-volume": "volumes",
}


def of_leftover(row: Logged, reading: ImagesReading) -> Settled | None:
    """Settle what was begun about something else than a container; None: not in this run."""
    said = read_row(row)
    kind = _LISTS.get(row.kind)
    if row.kind == "prune-build-cache":
        return _as(row, said, _UNSURE)
    if kind is None:
        return None
    engine = str(said.get("engine"))
    if kind not in reading.listed.get(engine, ()):
        return None
    is_there = row.target in _targets(row.kind, engine, reading)
    return _as(row, said, _not_done(said) if is_there else None)


def _targets(kind: str, engine: str, reading: ImagesReading) -> set[str]:
    if kind == "remove-network":
        return {one.id for one in reading.networks if one.engine == engine}
    if kind == "remove-volume":
        return {one.name for one in reading.volumes if one.engine == engine}
    images = [one for one in reading.images if one.engine == engine]
    if kind == "untag-image":
        return {name for one in images for name in one.references}
    return {one.id for one in images}
