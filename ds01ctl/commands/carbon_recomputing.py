"""What `carbon recompute` does: the carbon of past hours anew, from the energy that is stored."""

from __future__ import annotations

import os
from collections import defaultdict
from contextlib import ExitStack
from fractions import Fraction
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ds01ctl.commands import carbon_factors, carbon_recording, carbon_times, gathering
from ds01ctl.commands.carbon_memory import JOB
from ds01ctl.core.carbon_text import UG_PER_G
from ds01ctl.core.energy_booking import Rates, shares_of_carbon
from ds01ctl.core.energy_books import Factor
from ds01ctl.core.energy_projects import user_of
from ds01ctl.core.intensity import of_year, wanted_of
from ds01ctl.core.plan import Action, Result
from ds01ctl.core.split import largest_remainder
from ds01ctl.errors import Ds01Error, UsageError
from ds01ctl.lock import job_lock
from ds01ctl.state import State

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from ds01ctl.core.carbon_report import Period
    from ds01ctl.core.energy_books import Hour
    from ds01ctl.core.policy import Policy
    from ds01ctl.paths import Paths

_AT_ONCE = 24
"""Hours computed and written together: a year needs no more memory, nor keeps others out."""


class Asked(NamedTuple):
    """The options of the command."""

    since: str
    until: str | None = None
    g_per_kwh: float | None = None
    pue: float | None = None
    zone: str | None = None
    config: Path | None = None


class _Changed(NamedTuple):
    """What came of it."""

    hours: int
    before_ug: Mapping[str, int]
    after_ug: Mapping[str, int]
    factors: tuple[Factor, ...]
    """Those that hold now, each once."""
    left: int = 0
    """Hours that stay as they were, as nobody knows by what they were computed."""


def recompute(asked: Asked, *, dry_run: bool) -> Result:
    """Compute anew; dry_run: only say what would change. Raises Ds01Error."""
    paths, now = gathering.host_paths(), gathering.utcnow()
    asked = _checked(asked)
    period = carbon_times.period_of(asked.since, asked.until, now)
    loaded = gathering.load_policy(paths, asked.config)
    with ExitStack() as held:
        if not dry_run:
            held.enter_context(job_lock(paths, JOB))
        state = held.enter_context(_opened(paths, dry_run=dry_run))
        stored = carbon_times.stored_part(state, period, now)
        found = _recompute(state, stored, asked, loaded.policy, now, is_written=not dry_run)
    gaps = loaded.gaps
    if found.hours and not dry_run:
        log = str(loaded.policy.value("events.path"))
        gaps = (*gaps, *carbon_recording.append([_event(period, found)], log, paths))
    return Result(
        "carbon recompute",
        os.uname().nodename,
        now,
        gaps,
        actions=_actions(period, found, dry_run=dry_run),
        data=_data(period, found),
        failed_gaps=gathering.is_failure(gaps),
    )


def _checked(asked: Asked) -> Asked:
    for name, value in (("--intensity", asked.g_per_kwh), ("--pue", asked.pue)):
        if value is not None and not isfinite(value):
            raise UsageError(f"{name} is {value:g}", "give a number, such as 310 g/kWh or 1.25")
    if asked.g_per_kwh is not None and asked.zone is not None:
        raise UsageError("--intensity and --zone at once", "take one of them")
    if asked.zone is not None:
        return asked._replace(zone=carbon_factors.known_zone(asked.zone))
    if asked.g_per_kwh is None and asked.pue is None:
        hint = "give --intensity, --pue, or --zone for the table's values of the zone"
        raise UsageError("nothing to compute anew with", hint)
    return asked


def _opened(paths: Paths, *, dry_run: bool) -> State:
    state = State.open_for_reading(paths) if dry_run else None
    if state is None and not dry_run and paths.state_db.exists():
        state = State.open_for_recording(paths)
    if state is None:
        raise Ds01Error("no energy is stored yet", "ds01ctl carbon sample, which the timer runs")
    return state


def _recompute(
    state: State, period: Period, asked: Asked, policy: Policy, now: datetime, *, is_written: bool
) -> _Changed:
    before: dict[str, int] = defaultdict(int)
    after: dict[str, int] = defaultdict(int)
    used: dict[Factor, None] = {}
    hours = left = 0
    for first in range(period.first, period.end, _AT_ONCE):
        end = min(first + _AT_ONCE, period.end)
        rows = state.energy_hours(first, end)
        old = state.energy_factors(first, end)
        wanted = {hour: _factor(hour, old.get(hour), asked, policy, now) for hour in _hours(rows)}
        factors = {hour: one for hour, one in wanted.items() if one is not None}
        rows = [row for row in rows if row[0] in factors]
        is_anew = _has_intensity(asked)
        changed = _carbon(rows, factors) if is_anew else _with_pue(rows, old, factors)
        hours += len(factors)
        left += len(wanted) - len(factors)
        if not rows:
            continue
        used.update(dict.fromkeys(factors.values()))
        for hour, party, row in rows:
            before[user_of(party)] += row.carbon_ug
            after[user_of(party)] += changed[hour, party]
        if is_written:
            # a day at a time: others wait to write. What is done twice comes out the same
            with state.transaction():
                _write(state, rows, changed, factors)
    return _Changed(hours, before, after, tuple(used), left)


def _hours(rows: list[tuple[int, str, Hour]]) -> list[int]:
    return sorted({hour for hour, _, _ in rows})


def _carbon(
    rows: list[tuple[int, str, Hour]], factors: Mapping[int, Factor]
) -> dict[tuple[int, str], int]:
    energy: dict[int, dict[str, int]] = defaultdict(dict)
    for hour, party, row in rows:
        energy[hour][party] = row.uj
    found = dict.fromkeys(((hour, party) for hour, party, _ in rows), 0)
    for hour, parties in energy.items():
        rates = Rates(factors[hour].g_per_kwh, factors[hour].pue)
        for party, ug in shares_of_carbon(parties, rates).items():
            found[hour, party] = ug
    return found


def _with_pue(
    rows: list[tuple[int, str, Hour]], old: Mapping[int, Factor], factors: Mapping[int, Factor]
) -> dict[tuple[int, str], int]:
    """Multiply by the new PUE in place of the old one; the intensities within the hour stay."""
    grams: dict[int, dict[str, int]] = defaultdict(dict)
    for hour, party, row in rows:
        grams[hour][party] = row.carbon_ug
    found = dict.fromkeys(((hour, party) for hour, party, _ in rows), 0)
    for hour, parties in grams.items():
        ratio = Fraction(factors[hour].pue) / Fraction(old[hour].pue)
        whole = round(sum(parties.values()) * ratio)
        for party, ug in largest_remainder(whole, parties).items():
            found[hour, party] = ug
    return found


def _write(
    state: State,
    rows: list[tuple[int, str, Hour]],
    changed: Mapping[tuple[int, str], int],
    factors: Mapping[int, Factor],
) -> None:
    months: dict[tuple[int, str], int] = defaultdict(int)
    for hour, party, row in rows:
        month = carbon_factors.month_of(hour)
        months[month, user_of(party)] += changed[hour, party] - row.carbon_ug
    state.set_carbon(changed)
    state.put_energy_factors(factors)
    state.add_carbon_months(months)


def _has_intensity(asked: Asked) -> bool:
    return asked.g_per_kwh is not None or asked.zone is not None


def _factor(
    hour: int, old: Factor | None, asked: Asked, policy: Policy, now: datetime
) -> Factor | None:
    """Say what holds for an hour: what is given, the rest as it was; None: that is not known."""
    if not _has_intensity(asked):
        return old and old._replace(pue=float(asked.pue or 1.0))
    pue = asked.pue if asked.pue is not None else _old_pue(old, policy)
    idle, modelled = (old.idle, old.modelled) if old else ("", "")
    day = f"recomputed on {now.astimezone():%Y-%m-%d}"
    if asked.g_per_kwh is not None:
        zone = old.zone if old else wanted_of(policy.value).zone or ""
        return Factor(zone, asked.g_per_kwh, f"given, {day}", "", pue, idle, modelled)
    row = of_year(asked.zone, carbon_factors.month_of(hour) // 100)
    source = f"{carbon_factors.source_of(row)}, {day}"
    return Factor(row.zone, row.g_per_kwh, source, str(row.year), pue, idle, modelled)


def _old_pue(old: Factor | None, policy: Policy) -> float:
    return old.pue if old else float(policy.value("carbon.pue") or 1.0)


# --- telling ------------------------------------------------------------------------------------


def _words(period: Period) -> str:
    first, end = map(carbon_times.time_of, (period.first, period.end))
    return f"{first.astimezone():%Y-%m-%d %H:%M} to {end.astimezone():%Y-%m-%d %H:%M}"


def _actions(period: Period, found: _Changed, *, dry_run: bool) -> tuple[Action, ...]:
    if not found.hours:
        return ()
    grams = [sum(one.values()) / UG_PER_G for one in (found.before_ug, found.after_ug)]
    reason = f"{grams[0]:.6g} g -> {grams[1]:.6g} g CO2e in {found.hours} hours"
    outcome = "planned" if dry_run else "done"
    return (Action("recompute-carbon", _words(period), reason, outcome),)  # type: ignore[arg-type]  # of two words


def _data(period: Period, found: _Changed) -> dict[str, Any]:
    rows = [
        {
            "name": party,
            "before_g": ug / UG_PER_G,
            "after_g": found.after_ug[party] / UG_PER_G,
        }
        for party, ug in sorted(found.before_ug.items())
    ]
    return {
        "since": carbon_times.time_of(period.first),
        "until": carbon_times.time_of(period.end),
        "hours": found.hours,
        "before_g": sum(found.before_ug.values()) / UG_PER_G,
        "after_g": sum(found.after_ug.values()) / UG_PER_G,
        "rows": rows,
        "left": found.left,
        "factors": [one._asdict() for one in found.factors],
    }


def _event(period: Period, found: _Changed) -> Any:
    from ds01ctl.report.events import Event

    data = _data(period, found)
    details = {name: data[name] for name in ("hours", "before_g", "after_g")}
    details |= {name: f"{data[name]:%Y-%m-%dT%H:%M:%SZ}" for name in ("since", "until")}
    (action,) = _actions(period, found, dry_run=False)
    message = f"carbon of {action.target} computed anew: {action.reason}"
    return Event("carbon.recomputed", None, "ds01ctl carbon recompute", details, message, 5)
