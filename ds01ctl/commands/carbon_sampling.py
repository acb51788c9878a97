"""What `carbon sample` does: read, count, share out, and remember it all in one transaction."""

from __future__ import annotations

import os
import time
from itertools import chain
from typing import TYPE_CHECKING, Any

from ds01ctl.commands import (
    carbon_factors,
    carbon_hours,
    carbon_memory,
    carbon_reading,
    gathering,
)
from ds01ctl.commands.carbon_memory import JOB, Kept
from ds01ctl.commands.shown import Shown
from ds01ctl.core.embodied import charge
from ds01ctl.core.energy_booking import Booking, book, holders, hours_of
from ds01ctl.core.energy_interval import Accounted, account
from ds01ctl.core.energy_nesting import without_doubtful, without_twins
from ds01ctl.core.energy_projects import project_of, user_of
from ds01ctl.core.plan import Result
from ds01ctl.core.record import NamedTuple
from ds01ctl.lock import job_lock
from ds01ctl.state import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from pathlib import Path

    from ds01ctl.commands.carbon_factors import Factors
    from ds01ctl.commands.carbon_reading import CarbonReading
    from ds01ctl.core.energy_model import Delta, GpuShare, Portion
    from ds01ctl.core.intensity import Figure
    from ds01ctl.core.model import Gap
    from ds01ctl.core.plan import Finding
    from ds01ctl.paths import Paths

_UJ_PER_J = 1e6


class Sampled(NamedTuple):
    """One run: what was read, and what came of it."""

    now: datetime
    reading: CarbonReading
    kept: Kept
    accounted: Accounted
    factors: Factors
    booking: Booking
    past: Mapping[int, Factors] = {}
    """Of its hours that are over."""


def shown(config: Path | None, *, dry_run: bool, as_json: bool) -> Shown:
    """Run `carbon sample`; see sample()."""
    result = sample(config, dry_run=dry_run)

    def render() -> None:
        from ds01ctl.report.carbon_sample_text import sample_lines

        print("\n".join(sample_lines(result, whole=dry_run)))

    return Shown(result, render, as_json)


def sample(config: Path | None, *, dry_run: bool) -> Result:
    """Count the energy since the last run; dry_run: only show it."""
    paths = gathering.host_paths()
    return _shown(config, paths) if dry_run else _stored(config, paths)


def _shown(config: Path | None, paths: Paths) -> Result:
    """Look without a lock, and without writing."""
    state = State.open_for_reading(paths)
    if state is None:
        return _result(sampled(config, paths, Kept(is_new=True), ()))
    with state:
        found = sampled(config, paths, *_recalled(state))
    return _result(found)


def _stored(config: Path | None, paths: Paths) -> Result:
    from ds01ctl.commands import carbon_recording
    from ds01ctl.observe import own_place

    # a root without /proc is found before anything is made in it
    own_place.boot_id(paths)
    began = time.monotonic()
    with job_lock(paths, JOB), State.open_for_recording(paths) as state:
        found = sampled(config, paths, *_recalled(state))
        recorded = carbon_recording.record(state, found, paths, began)
    data = {"stored": True, "recovered": list(recorded.raised), "metrics": recorded.metrics}
    return _result(found, recorded.gaps, recorded.findings, data)


def _recalled(state: State) -> tuple[Kept, tuple[Figure, ...]]:
    now = gathering.utcnow()
    return carbon_memory.recall(state, now), carbon_memory.figures(state, now)


def sampled(config: Path | None, paths: Paths, kept: Kept, cache: Iterable[Figure]) -> Sampled:
    """Read the host, and share out what was used since the run that left ``kept``."""
    reading = carbon_reading.read(
        paths, config, kept.facts, kept.memory, kept.sources, own_cpu_us=kept.own_cpu_us
    )
    now = gathering.utcnow()
    factors = carbon_factors.factors_of(reading.loaded.policy, cache, now, paths)
    last, pending = without_twins(kept.counters, kept.pending, reading.duplicates)
    accounted = account(
        last,
        without_doubtful(last, reading.counters, reading.doubtful),
        reading.work,
        factors.split,
        pending,
        at_s=reading.at_s,
    )
    seconds = reading.work.seconds
    hours = hours_of(now.timestamp(), seconds)
    longer = carbon_hours.longer_hours(accounted.interval, now)
    past = carbon_hours.of_past_hours(
        reading.loaded.policy, cache, factors, {*hours, *chain(*longer.values())}, now
    )
    booking = book(
        accounted.interval,
        factors.rates,
        _embodied_ug(reading, factors),
        hours,
        carbon_factors.month_of,
        carbon_hours.earlier(longer, past),
    )
    return Sampled(now, reading, kept, accounted, factors, booking, past)


def _embodied_ug(reading: CarbonReading, factors: Factors) -> dict[str, int]:
    work = reading.work
    charged = charge(factors.embodied, work.seconds, holders(_gpus(reading)))
    if not charged or not work.by_project:
        return charged
    from ds01ctl.core.project_split import of_embodied

    return of_embodied(charged, holders(work.by_project.gpus))


def _gpus(reading: CarbonReading) -> dict[str, tuple[GpuShare, ...]]:
    """Say who is on each GPU that is built in, also where nobody can be seen now."""
    built_in = [one.uuid for one in reading.gpus] or reading.memory.gpus
    return {**dict.fromkeys(built_in, ()), **reading.work.gpus}


# --- telling ------------------------------------------------------------------------------------


def _result(
    found: Sampled,
    more: tuple[Gap, ...] = (),
    findings: tuple[Finding, ...] = (),
    data: dict[str, Any] | None = None,
) -> Result:
    gaps = tuple(dict.fromkeys((*found.reading.gaps, *more)))
    return Result(
        f"{JOB} sample",
        os.uname().nodename,
        found.now,
        gaps,
        findings,
        data={"stored": False, "recovered": [], **_data(found), **(data or {})},
        failed_gaps=gathering.is_failure(gaps),
    )


def _data(found: Sampled) -> dict[str, Any]:
    interval, factors = found.accounted.interval, found.factors
    return {
        "is_first": found.kept.is_new,
        "seconds": round(found.reading.work.seconds, 3),
        "energy_joules": sum(one.uj for one in interval.deltas) / _UJ_PER_J,
        "carbon_grams": sum(one.carbon_ug for one in found.booking.hours.values()) / 1e6,
        "counters": [_counter(one) for one in interval.deltas],
        "portions": [_portion(one) for one in interval.portions],
        "skipped": dict(interval.skipped),
        "problems": list(found.kept.problems),
        "factors": factors_data(factors),
    }


def factors_data(factors: Factors) -> dict[str, Any]:
    """Say by what energy became carbon, and how it was shared out."""
    one = factors.intensity
    return {
        "g_per_kwh": one.g_per_kwh,
        "zone": one.zone or None,
        "level": one.level,
        "source": one.source,
        "year": one.year,
        "at": one.at,
        "age_s": None if one.age_s is None else round(one.age_s),
        "is_stale": one.is_stale,
        "scope": one.scope,
        "licence": one.licence,
        "pue": factors.pue,
        "is_pue_known": factors.is_pue_known,
        "idle": factors.split.idle,
        "dram_model_watts": factors.split.dram_model_watts or None,
        "notes": list(one.notes),
    }


def _counter(one: Delta) -> dict[str, Any]:
    return {
        "name": one.name,
        "component": one.component,
        "joules": one.uj / _UJ_PER_J,
        "seconds": round(one.to_s - one.from_s, 3),
        "basis": one.basis,
        "reason": one.reason,
    }


def _portion(one: Portion) -> dict[str, Any]:
    return {
        "user": user_of(one.party),
        "project": project_of(one.party) or None,
        "component": one.component,
        "device": one.device or None,
        "joules": one.uj / _UJ_PER_J,
        "basis": one.basis,
        "split_by": one.split_by,
        "is_waste": one.is_waste,
        "holder": user_of(one.holder) or None,
    }
