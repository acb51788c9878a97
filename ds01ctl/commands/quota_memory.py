"""What `quota` remembers between runs: what it set, whom it warned, what can be undone."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from ds01ctl.core.disk_quota import Limits
from ds01ctl.core.quota_model import Known, Place
from ds01ctl.core.quota_warnings import Warned
from ds01ctl.state import State, StateError
from ds01ctl.state import gap_of as gap_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ds01ctl.core.disk_quota import QuotaKind
    from ds01ctl.core.model import Gap
    from ds01ctl.paths import Paths

JOB = "quota"
SET, WARNED = "quota-set", "quota-warned"
"""Kinds of rows of the store's inventory."""
UNDO_KEPT = 20
"""Changing runs that can be undone."""


class Memory(NamedTuple):
    """What earlier runs left."""

    known: Mapping[Place, Known] = {}
    warned: Mapping[tuple[str, ...], Warned] = {}
    gaps: tuple[Gap, ...] = ()


class GraceSet(NamedTuple):
    """Other graces for all ids of one kind on one file system; seconds, of bytes and of inodes."""

    mount: str
    source: str
    kind: QuotaKind
    before: tuple[int, int]
    after: tuple[int, int]


class Undo(NamedTuple):
    """A run that changed something, and what was there before it."""

    at: datetime
    command: str
    places: tuple[tuple[Place, str, Limits, Limits], ...]
    """Place, name, limits before and after."""
    edits: tuple[tuple[str, str | None, str], ...] = ()
    """Policy file, its text before (None: not there) and after."""
    graces: tuple[GraceSet, ...] = ()
    deadlines: tuple[str, ...] = ()
    """Whose running grace was given another end, and where; it is not put back."""


def recall(paths: Paths) -> Memory:
    """Read what was remembered, without writing; a store that can't be read is a gap."""
    try:
        state = State.open_for_reading(paths)
        if state is None:
            return Memory()
        with state:
            return recalled(state)
    except StateError as error:
        return Memory(gaps=(gap_of(error),))


def recalled(state: State) -> Memory:
    """Read what an open store remembers."""
    rows = state.known_inventory()
    return Memory(
        {place: one for found in _all(rows, SET, _known) for place, one in found.items()},
        dict(_all(rows, WARNED, _warned)),
    )


def newest_undo(paths: Paths) -> Undo | None:
    """Read the newest run that can be undone; only `undo` does. Raises StateError."""
    state = State.open_for_reading(paths)
    if state is None:
        return None
    with state:
        row = state.newest_undo()
    return None if row is None else _undo(row)


def upgrade(paths: Paths) -> None:
    """Bring an older store up to date before it is read: else nothing of ours would be known."""
    with suppress(StateError):
        State.open_for_recording(paths).close()


def _all(rows: Mapping[tuple[str, str], str], wanted: str, read: Any) -> Iterable[Any]:
    """Read the rows of one kind; one that makes no sense is passed over."""
    for (kind, name), row in rows.items():
        if kind == wanted:
            with suppress(ValueError, TypeError, KeyError):
                yield read(json.loads(name), json.loads(row))


def _known(name: Any, row: Any) -> dict[Place, Known]:
    """Read all ids of one kind on one file system: what was set, and what was before, of each."""
    mount, kind = name
    return {Place(str(mount), kind, int(id_)): _pair(*said) for id_, said in row.items()}


@lru_cache(maxsize=1024)
def _pair(*said: int) -> Known:
    """Read limits of which thousands have the same."""
    return Known(Limits(*said[:4]), Limits(*said[4:]))


def _warned(name: Any, row: Any) -> tuple[tuple[str, ...], Warned]:
    told = bool(row.get("told", True))
    at = datetime.fromisoformat(row["at"])
    return tuple(map(str, name)), Warned(int(row["level"]), at, told)


def _place(row: Any) -> Place:
    mount, kind, id_ = row
    return Place(str(mount), kind, int(id_))


def _undo(row: str) -> Undo:
    try:
        said = json.loads(row)
        places = tuple(
            (_place(place), str(name), Limits(*before), Limits(*after))
            for place, name, before, after in said["places"]
        )
        edits = tuple((str(path), old, str(new)) for path, old, new in said["edits"])
        graces = tuple(map(_grace, said["graces"]))
        deadlines = tuple(map(str, said["deadlines"]))
        at = datetime.fromisoformat(said["at"])
        return Undo(at, str(said["command"]), places, edits, graces, deadlines)
    except (ValueError, TypeError, KeyError) as error:
        what = f"what the newest run changed makes no sense in the store ({type(error).__name__})"
        raise StateError(what) from None


def _grace(row: Any) -> GraceSet:
    mount, source, kind, (bytes_s, inodes_s), (bytes_after, inodes_after) = row
    before, after = (int(bytes_s), int(inodes_s)), (int(bytes_after), int(inodes_after))
    return GraceSet(str(mount), str(source), kind, before, after)


# --- writing ----------------------------------------------------------------------------------


def remember_set(state: State, known: Mapping[Place, Known]) -> None:
    """Replace what is known of our limits."""
    found: dict[tuple[str, str], dict[int, list[int]]] = {}
    for place, one in known.items():
        found.setdefault((place.mount, place.kind), {})[place.id] = [*one.set, *one.before]
    rows = {json.dumps(name): json.dumps(ids) for name, ids in found.items()}
    state.replace_inventory(SET, rows)


def remember_warned(state: State, warned: Mapping[tuple[str, ...], Warned]) -> None:
    """Replace what is known of warnings."""
    rows = {
        json.dumps(key): json.dumps(one._asdict() | {"at": one.at.isoformat()})
        for key, one in warned.items()
    }
    state.replace_inventory(WARNED, rows)


def remember_undo(state: State, undo: Undo) -> None:
    """Add a run to what can be undone, as the newest."""
    state.add_undo(_undo_row(undo), UNDO_KEPT)


def _undo_row(undo: Undo) -> str:
    return json.dumps(undo._asdict() | {"at": undo.at.isoformat()})
