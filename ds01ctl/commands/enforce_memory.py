"""What `enforce` remembers between recorded runs: containers, what it wrote, counters."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from ds01ctl.core.model import Gap
from ds01ctl.core.scopes import Held
from ds01ctl.state import State, StateError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ds01ctl.observe.container_facts import KnownFacts
    from ds01ctl.paths import Paths

JOB = "enforce"
HELD, USAGE, ADMINS, GONE = "held", "slice-usage", "admins", "gone"
"""Kinds of rows of the store's inventory."""
ADMINS_KEPT = timedelta(days=7)
"""A directory that is down makes a group look empty: nobody becomes a student by that."""


class Memory(NamedTuple):
    """What earlier recorded runs left."""

    facts: Mapping[str, KnownFacts] = {}
    held: Mapping[str, Held] = {}
    """What was written into containers' control groups, by container id."""
    usage: Mapping[str, Mapping[str, Any]] = {}
    """Counters of the last look, by slice."""
    admins: frozenset[str] = frozenset()
    """Members that the admin group had within a week."""
    gone: frozenset[int] = frozenset()
    """Uids that were nobody's at the last recorded look."""
    is_first: bool = True
    """Nothing was ever recorded: what the counters say is not new."""
    gaps: tuple[Gap, ...] = ()


def recall(paths: Paths, now: datetime) -> Memory:
    """Read what was remembered, without writing; a store that can't be read is a gap."""
    try:
        state = State.open_for_reading(paths)
        if state is None:
            return Memory()
        with state:
            return _recalled(state, now)
    except StateError as error:
        return Memory(gaps=(gap_of(error),))


def upgrade(paths: Paths) -> None:
    """Bring an older store up to date, so that it can be read; what is wrong with it is seen then.

    Otherwise the first run after an upgrade would know of nothing that was held.
    """
    with suppress(StateError):
        State.open_for_recording(paths).close()


def gap_of(error: StateError) -> Gap:
    """Make a gap of a store that cannot be used."""
    told = f"{error.message}; {error.hint}" if error.hint else error.message
    return Gap("state", error.kind, told)


def _recalled(state: State, now: datetime) -> Memory:
    from ds01ctl.observe.container_facts import from_json

    known = state.container_facts().items()
    rows = state.known_inventory()
    held = {name: one for (kind, name), row in rows.items() if kind == HELD and (one := _held(row))}
    usage = {name: dict(json.loads(row)) for (kind, name), row in rows.items() if kind == USAGE}
    return Memory(
        {name: facts for name, text in known if (facts := from_json(text))},
        held,
        usage,
        frozenset(
            name for (kind, name), row in rows.items() if kind == ADMINS and _is_fresh(row, now)
        ),
        frozenset(int(name) for kind, name in rows if kind == GONE and name.isdecimal()),
        is_first=JOB not in state.last_runs(),
    )


def _is_fresh(row: str, now: datetime) -> bool:
    """Tell whether somebody was seen among the admins a short while ago."""
    try:
        return abs(now - datetime.fromisoformat(json.loads(row))) < ADMINS_KEPT
    except (ValueError, TypeError):
        return False


def _held(row: str) -> Held | None:
    try:
        said = json.loads(row)
        return Held(str(said["started_at"]), dict(said["values"]), dict(said["before"]))
    except (ValueError, TypeError, KeyError):
        return None


def held_row(held: Held) -> str:
    """Write down what was written into a container's control group."""
    return json.dumps(held._asdict())


def remember_admins(state: State, members: Iterable[str], now: datetime) -> None:
    """Note who is an admin, each with the time at which that was last seen, within a week."""
    rows = state.known_inventory().items()
    still = {name: row for (kind, name), row in rows if kind == ADMINS and _is_fresh(row, now)}
    seen = dict.fromkeys(members, json.dumps(now.isoformat()))
    state.replace_inventory(ADMINS, {**still, **seen})
