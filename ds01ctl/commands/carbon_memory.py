"""What `carbon` remembers between runs: the counters, and what was done since they were read."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from ds01ctl.core import energy_memory, pending
from ds01ctl.core.energy_model import Counter, Work
from ds01ctl.core.intensity import KEEP_S, Figure
from ds01ctl.core.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ds01ctl.commands.carbon_reading import CarbonReading
    from ds01ctl.core.energy_interval import Accounted
    from ds01ctl.observe.container_facts import KnownFacts
    from ds01ctl.state import State

JOB = "carbon"
FORGOTTEN_AFTER = timedelta(days=7)
"""A source that has been silent for so long was removed, and is missed no more."""
_COUNTER, _PENDING, _MEMORY = "counter ", "pending", "memory"
_KEPT_RUNS = 50_000
"""A counter that could not be read in so many runs, five weeks of minutes, is gone for good."""


class Kept(NamedTuple):
    """What the runs before left for the next one."""

    counters: Mapping[str, Counter] = {}
    pending: Mapping[str, Work] = {}
    memory: energy_memory.Memory | None = None
    """What the last reading saw of what was done."""
    facts: Mapping[str, KnownFacts] = {}
    """What is known of containers."""
    sources: frozenset[str] = frozenset()
    """Those that answered lately."""
    own_cpu_us: int = 0
    """What our own jobs have used since the last reading."""
    is_new: bool = False
    """Nothing was ever counted, as far as the store knows."""
    problems: tuple[str, ...] = ()
    """What of it makes no sense; its energy is not known."""


def recall(state: State, now: datetime) -> Kept:
    """Read it. A row that makes no sense is told and left out: its counter begins anew."""
    from ds01ctl.observe.container_facts import from_json

    rows = state.energy_raw()
    counters, problems = _counters(rows)
    works: Mapping[str, Work] = {}
    try:
        works = pending.load(rows.get(_PENDING, "{}"))
    except ValueError as error:
        problems.append(f"what was done while counters could not be read: {error}")
    memory = energy_memory.from_json(rows[_MEMORY]) if _MEMORY in rows else None
    if memory is None and _MEMORY in rows:
        problems.append("what was done until the last run: not what was written")
    known = state.container_facts().items()
    return Kept(
        counters,
        works,
        memory,
        {name: facts for name, text in known if (facts := from_json(text))},
        # that the admin took the policy away is nothing to be missed
        frozenset(state.seen_sources(now - FORGOTTEN_AFTER) - {"policy"}),
        _own_cpu_us(state, memory),
        not rows,
        tuple(problems),
    )


def _counters(rows: Mapping[str, str]) -> tuple[dict[str, Counter], list[str]]:
    counters, problems = {}, []
    for name, text in rows.items():
        if name.startswith(_COUNTER):
            try:
                counter = _counter(text)
                counters[counter.name] = counter
            except (ValueError, TypeError) as error:
                problems.append(f"{name.removeprefix(_COUNTER)}: its last reading: {error}")
    return counters, problems


def _own_cpu_us(state: State, memory: energy_memory.Memory | None) -> int:
    """Add up the last runs that ended since; of a job that ran twice the earlier is not known."""
    if memory is None:
        return 0
    runs = state.last_runs().values()
    return sum(one.cpu_us for one in runs if one.ended_at.timestamp() * 1e6 >= memory.at_us)


def remember(state: State, found: Accounted, reading: CarbonReading, kept: Kept) -> None:
    """Replace it; inside a transaction."""
    from ds01ctl.observe.container_facts import to_json

    counters = {name: one for name, one in found.last.items() if one.missed <= _KEPT_RUNS}
    rows = {f"{_COUNTER}{name}": json.dumps(one) for name, one in counters.items()}
    rows[_PENDING] = pending.dump(found.pending)
    rows[_MEMORY] = energy_memory.to_json(reading.memory)
    state.replace_energy_raw(rows)
    # what holds still is the very object that was recalled
    new = {name: to_json(f) for name, f in reading.facts.items() if kept.facts.get(name) is not f}
    has_all = not any(gap.source == "docker" for gap in reading.gaps)
    state.remember_containers(new, set(reading.facts) if has_all else {*reading.facts, *kept.facts})


def _counter(text: str) -> Counter:
    data = json.loads(text)
    if not isinstance(data, list) or len(data) != len(Counter._fields):
        raise ValueError("not what was written")
    found = Counter(*data)
    _check(found)
    return found


def _check(counter: Counter) -> None:
    numbers = (counter.at_s, counter.max_watts, counter.missed, counter.inside_uj)
    maybe = (counter.uj, counter.range_uj, counter.mean_watts, counter.awake_s)
    texts = (counter.name, counter.component, counter.epoch)
    is_right = (
        all(_is_number(one) for one in numbers)
        and all(one is None or _is_number(one) for one in maybe)
        and all(isinstance(one, str) for one in texts)
    )
    if not is_right:
        raise ValueError("not what was written")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


# --- intensity ----------------------------------------------------------------------------------


def figures(state: State, now: datetime) -> tuple[Figure, ...]:
    """Read what providers said lately."""
    rows = state.intensity_cache(int(now.timestamp() - KEEP_S))
    return tuple(_figures(rows))


def _figures(rows: list[tuple[str, str, int, float, str]]) -> Iterator[Figure]:
    for provider, zone, at, g_per_kwh, kind in rows:
        with suppress(ValueError, OverflowError):
            moment = datetime.fromtimestamp(at, timezone.utc)
            yield Figure(provider, zone, moment, float(g_per_kwh), kind)  # type: ignore[arg-type]  # of two words
