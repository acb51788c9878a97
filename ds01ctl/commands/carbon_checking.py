"""What `carbon check` does: say what is measured and how, and whether the timer is in time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ds01ctl.commands import carbon_factors, carbon_memory, carbon_reading, gathering
from ds01ctl.commands.carbon_memory import JOB
from ds01ctl.commands.carbon_reading import MAX_WATTS
from ds01ctl.commands.carbon_sampling import factors_data
from ds01ctl.core.carbon_findings import NO_TIMER, NOT_MEASURED, STALE, TOKEN_EXPOSED, TOO_LONG
from ds01ctl.core.carbon_series import SKIPPED_PREFIX
from ds01ctl.core.energy_counters import most_watts
from ds01ctl.core.plan import Finding, Result
from ds01ctl.jobs import scheduled
from ds01ctl.state import State, StateError, gap_of
from ds01ctl.unitfiles.files import UNIT_DIR

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from ds01ctl.commands.carbon_reading import CarbonReading
    from ds01ctl.core.energy_model import Counter
    from ds01ctl.core.intensity import Figure
    from ds01ctl.core.model import Gap
    from ds01ctl.core.plan import Severity
    from ds01ctl.jobs import Job
    from ds01ctl.paths import Paths

_MARGIN = 1.05
"""As in counting: power limits hold on average only."""
_LATE = 2
"""A run that fails, or is late, leaves an interval of so many periods."""
_MISSED = 5
"""So many periods without a success are told."""


class _Stored(NamedTuple):
    last_success: datetime | None = None
    cache: tuple[Figure, ...] = ()
    skipped: Mapping[str, int] = {}
    gaps: tuple[Gap, ...] = ()


class _Looked(NamedTuple):
    reading: CarbonReading
    job: Job
    timer: dict[str, Any]
    last_success: datetime | None
    now: datetime
    token_file: str | None
    paths: Paths


def check(config: Path | None) -> Result:
    """Read everything once, and store nothing."""
    paths = gathering.host_paths()
    stored = _stored(paths)
    reading = carbon_reading.read(paths, config, {}, None)
    now = gathering.utcnow()
    policy = reading.loaded.policy
    job = next(one for one in scheduled(policy.value) if one.name == JOB)
    token_file = policy.value("carbon.token_file") if policy.value("carbon.provider") else None
    timer = _timer(job, paths)
    looked = _Looked(reading, job, timer, stored.last_success, now, token_file, paths)
    gaps = (*reading.gaps, *stored.gaps)
    factors = carbon_factors.factors_of(policy, stored.cache, now, paths)
    return Result(
        "carbon check",
        os.uname().nodename,
        now,
        gaps,
        tuple(_findings(looked)),
        data={
            **_data(looked),
            "skipped": stored.skipped,
            "factors": factors_data(factors),
        },
        failed_gaps=gathering.is_failure(gaps),
    )


def _stored(paths: Paths) -> _Stored:
    try:
        state = State.open_for_reading(paths)
        if state is None:
            return _Stored()
        with state:
            figures = carbon_memory.figures(state, gathering.utcnow())
            counts = state.energy_totals().counts
            return _Stored(state.last_success(JOB), figures, _skipped(counts))
    except StateError as error:
        return _Stored(gaps=(gap_of(error),))


def _skipped(counts: Mapping[str, int]) -> dict[str, int]:
    """Say how many readings did not decide what was used since counting began, by reason."""
    return {
        name.removeprefix(SKIPPED_PREFIX): count
        for name, count in sorted(counts.items())
        if name.startswith(SKIPPED_PREFIX) and count
    }


def _timer(job: Job, paths: Paths) -> dict[str, Any]:
    from ds01ctl.commands.watching_units import is_enabled

    name = f"{job.unit}.timer"
    return {
        "unit": name,
        "is_installed": paths.under(f"{UNIT_DIR}/{name}").is_file(),
        "is_enabled": is_enabled(name, paths),
        "schedule": job.schedule,
        "every_s": job.every_s,
    }


def _data(looked: _Looked) -> dict[str, Any]:
    reading = looked.reading
    return {
        "timer": looked.timer,
        "last_success": looked.last_success,
        "counters": [_counter(one, looked.job.every_s) for one in reading.counters],
        "duplicates": list(reading.duplicates),
        "without_persistence": list(reading.without_persistence),
        "cpu_time": reading.memory.usage.total is not None,
        "groups": len(reading.memory.usage.groups),
        "parties": len(set(reading.memory.usage.parties.values())),
        "gpus": len(reading.gpus),
    }


def _counter(one: Counter, every_s: int | None) -> dict[str, Any]:
    wrap_s = wrap_time_s(one)
    return {
        "name": one.name,
        "component": one.component,
        "is_read": one.uj is not None or (not one.has_counter and one.power_watts is not None),
        "has_counter": one.has_counter,
        "range_joules": None if one.range_uj is None else one.range_uj / 1e6,
        "max_watts": most_watts(one),
        "is_max_known": one.max_watts > 0,
        "wrap_s": None if wrap_s is None else round(wrap_s, 1),
        "is_in_time": None if wrap_s is None or every_s is None else every_s < wrap_s,
    }


def wrap_time_s(one: Counter) -> float | None:
    """Say after how long a counter may have gone round, at its limit; None: it never does."""
    return one.range_uj / 1e6 / (most_watts(one) * _MARGIN) if one.range_uj else None


# --- findings -----------------------------------------------------------------------------------


def _findings(looked: _Looked) -> list[Finding]:
    found = [*_too_long(looked), *_not_measured(looked), *_exposed(looked)]
    timer = looked.timer
    if not timer["is_installed"] or timer["is_enabled"] is False:
        what = "is not enabled" if timer["is_installed"] else "is not installed"
        evidence = (f"{timer['unit']} {what}: nothing is counted while nobody runs it",)
        found.append(_finding(NO_TIMER, evidence, looked.now, timer["unit"]))
    elif _is_stale(looked):
        evidence = (f"the last run that succeeded was at {looked.last_success}",)
        found.append(_finding(STALE, evidence, looked.now, timer["unit"]))
    return found


def _is_stale(looked: _Looked) -> bool:
    every_s = looked.job.every_s
    if looked.last_success is None or every_s is None:
        return False
    return (looked.now - looked.last_success).total_seconds() > _MISSED * every_s


def _too_long(looked: _Looked) -> list[Finding]:
    every_s = looked.job.every_s
    if every_s is None:
        return []
    return [
        _finding(TOO_LONG, _why_too_long(one, every_s, wrap_s), looked.now, one.name)
        for one in looked.reading.counters
        if (wrap_s := wrap_time_s(one)) is not None and every_s * _LATE > wrap_s
    ]


def _why_too_long(one: Counter, every_s: int, wrap_s: float) -> tuple[str, str]:
    """Say what a period does not leave room for, and which of two settings is to be changed."""
    when = "" if every_s >= wrap_s else ", and one run that is late or fails leaves twice that"
    is_known = one.max_watts > 0
    watts = f"{most_watts(one):.0f} W, which {'is the limit' if is_known else 'is assumed'}"
    at_most = f"set jobs.{JOB}.schedule to at most {wrap_s / _LATE:.0f}s"
    why = (
        f"{one.name} may go round in {wrap_s:.0f} s at {watts}, and is read every {every_s} s"
        f"{when}: what it counted is then estimated"
    )
    # of the whole platform nobody can say it
    if one.component not in MAX_WATTS:
        return why, at_most
    say = f"say in {MAX_WATTS[one.component]} what it can draw at most"
    return why, f"{at_most}; or, if it is less, {say}" if is_known else f"{say}; or {at_most}"


def _not_measured(looked: _Looked) -> list[Finding]:
    found = []
    read = {one.component for one in looked.reading.counters if one.uj is not None}
    if "cpu" not in read:
        evidence = ("no processor's energy can be read", *_reasons(looked, "rapl"))
        found.append(_finding(NOT_MEASURED, evidence, looked.now, "cpu"))
    if "gpu" not in read and looked.reading.gpus:
        evidence = ("no GPU has an energy counter that can be read", *_reasons(looked, "nvml"))
        found.append(_finding(NOT_MEASURED, evidence, looked.now, "gpu"))
    return found


def _exposed(looked: _Looked) -> list[Finding]:
    from ds01ctl.observe import grid_token

    told = grid_token.exposed(looked.token_file, looked.paths)
    about = str(looked.token_file)
    return [_finding(TOKEN_EXPOSED, (told,), looked.now, about)] if told else []


def _reasons(looked: _Looked, source: str) -> tuple[str, ...]:
    return tuple(gap.reason for gap in looked.reading.gaps if gap.source == source)


def _finding(kind: str, evidence: tuple[str, ...], now: datetime, about: str) -> Finding:
    severity: Severity = "warning"
    subject = {"type": "energy-counter", "name": about}
    return Finding(kind, severity, None, subject, evidence, (kind, about), first_seen=now)
