"""What `carbon intensity` does: show the chain, and ask the provider for the job."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from ds01ctl.commands import carbon_memory, gathering
from ds01ctl.commands.own_run import own_run
from ds01ctl.core import intensity as chain
from ds01ctl.core.carbon_text import provenance
from ds01ctl.core.intensity import Figure, Intensity, Wanted
from ds01ctl.core.model import Gap
from ds01ctl.core.plan import Result
from ds01ctl.errors import ExitCode
from ds01ctl.lock import job_lock
from ds01ctl.state import State, StateError, gap_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ds01ctl.core.policy import Policy
    from ds01ctl.observe.grid import GridReading
    from ds01ctl.paths import Paths

JOB = "carbon-intensity"
_TRIED, _FAILURES, _RETRY = "intensity tried", "intensity failures", "intensity retry"
NO_PROVIDER = "carbon.provider is not configured: nobody is asked"


class _Tries(NamedTuple):
    """How asking went lately."""

    at: datetime | None = None
    failures: int = 0
    retry_after_s: float | None = None


class _Fetched(NamedTuple):
    gaps: tuple[Gap, ...] = ()
    notes: tuple[str, ...] = ()
    is_asked: bool = False


def intensity(config: Path | None, *, fetch: bool) -> Result:
    """Show which intensity counts; fetch: ask the provider first, and remember what it says."""
    paths, now = gathering.host_paths(), gathering.utcnow()
    loaded = gathering.load_policy(paths, config)
    wanted = chain.wanted_of(loaded.policy.value)
    fetched = _fetch(loaded.policy, wanted, paths, now) if fetch else _Fetched()
    cache, tries, gaps = _known(paths, now)
    gaps = (*loaded.gaps, *fetched.gaps, *gaps)
    data = {
        **_data(wanted, cache, now),
        "asked": fetched.is_asked,
        "tried_at": tries.at,
        "failures": tries.failures,
        "provider_notes": list(fetched.notes),
    }
    return Result(
        "carbon intensity",
        os.uname().nodename,
        now,
        gaps,
        data=data,
        failed_gaps=gathering.is_failure(gaps),
    )


def _known(paths: Paths, now: datetime) -> tuple[tuple[Figure, ...], _Tries, tuple[Gap, ...]]:
    try:
        state = State.open_for_reading(paths)
        if state is None:
            return (), _Tries(), ()
        with state:
            return carbon_memory.figures(state, now), _tries(state.energy_marks()), ()
    except StateError as error:
        return (), _Tries(), (gap_of(error),)


# --- asking -------------------------------------------------------------------------------------


def _fetch(policy: Policy, wanted: Wanted, paths: Paths, now: datetime) -> _Fetched:
    """Ask, unless it failed so lately that it is to be left alone. Raises StateError."""
    if wanted.provider is None or wanted.provider_zone is None:
        return _Fetched(notes=(NO_PROVIDER,))
    began = time.monotonic()
    with job_lock(paths, JOB), State.open_for_recording(paths) as state:
        tries = _tries(state.energy_marks())
        if not chain.is_due(tries.at, tries.failures, now, tries.retry_after_s):
            wait_s = chain.wait_s(tries.failures, tries.retry_after_s)
            note = f"it failed {tries.failures} times: it is asked {wait_s / 60:.0f} min after that"
            return _Fetched(notes=(note,))
        reading = _read(policy, wanted, paths, now)
        with state.transaction():
            _remember(state, reading, tries, now)
        failed = gathering.is_failure(reading.gaps)
        _note(state, began, failed=failed)
    return _Fetched(reading.gaps, reading.notes, is_asked=True)


def _read(policy: Policy, wanted: Wanted, paths: Paths, now: datetime) -> GridReading:
    from ds01ctl.observe import grid, grid_token
    from ds01ctl.unitfiles.units import HANDED_NOTHING

    file = policy.value("carbon.token_file")
    token = grid_token.read(file, paths, os.environ, HANDED_NOTHING)
    if token.gaps:
        return grid.GridReading(gaps=token.gaps)
    asked = grid.Asked(
        wanted.provider or "",
        wanted.provider_zone or "",
        token.text,
        policy.value("carbon.provider_url"),
    )
    reading = grid.read(asked, now)
    told = grid_token.exposed(file, paths)
    return reading._replace(notes=(*reading.notes, told)) if told else reading


def _remember(state: State, reading: GridReading, tries: _Tries, now: datetime) -> None:
    failures = 0 if reading.figure else tries.failures + 1
    retry = reading.retry_after_s
    marks = {
        _TRIED: now.isoformat(),
        _FAILURES: str(failures),
        _RETRY: None if retry is None or not failures else str(retry),
    }
    state.put_energy_marks(marks)
    if one := reading.figure:
        row = (one.provider, one.zone, int(one.at.timestamp()), one.g_per_kwh, one.kind)
        state.add_intensity(row, int(now.timestamp() - chain.KEEP_S))


def _note(state: State, began: float, *, failed: bool) -> None:
    with state.transaction():
        if not failed:
            state.note_success(JOB, gathering.utcnow())
        state.note_run(JOB, own_run(began, ExitCode.PARTIAL if failed else ExitCode.OK))


def _tries(marks: Mapping[str, str]) -> _Tries:
    at, retry = None, None
    with suppress(ValueError, KeyError):
        at = datetime.fromisoformat(marks[_TRIED])
    with suppress(ValueError, KeyError):
        retry = float(marks[_RETRY])
    failures = marks.get(_FAILURES, "0")
    return _Tries(at, int(failures) if failures.isdecimal() else 0, retry)


# --- showing ------------------------------------------------------------------------------------


def _data(wanted: Wanted, cache: tuple[Figure, ...], now: datetime) -> dict[str, Any]:
    chosen = chain.choose(wanted, cache, now)
    marginal = chain.marginal(wanted, cache, now)
    return {
        "chosen": row(chosen),
        "chain": [row(one) for one in _chain(wanted, cache, now)],
        "zone": wanted.zone,
        "provider": wanted.provider,
        "provider_zone": wanted.provider_zone,
        "notes": list(chosen.notes),
        "marginal": None if marginal is None else {
            "g_per_kwh": marginal.g_per_kwh, "at": marginal.at, "provider": marginal.provider,
        },
    }  # fmt: skip


def _chain(wanted: Wanted, cache: tuple[Figure, ...], now: datetime) -> list[Intensity]:
    """List what counts, and what would if each of those before it were not there."""
    steps = (
        (wanted, cache),
        (wanted._replace(configured=None), cache),
        (wanted._replace(configured=None, provider=None), ()),
        (wanted._replace(configured=None, provider=None, zone=None), ()),
    )
    found = [chain.choose(one, known, now) for one, known in steps]
    return list({(one.level, one.g_per_kwh): one for one in found}.values())


def row(one: Intensity) -> dict[str, Any]:
    """Give an intensity as data."""
    return {
        **one._asdict(),
        "zone": one.zone or None,
        "notes": list(one.notes),
        "words": provenance(one),
    }
