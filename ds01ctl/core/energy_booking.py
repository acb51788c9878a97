"""What one interval adds to the books: totals, hours, months. The sums stay equal, exactly.

Carbon is computed once for all of an interval and then shared out by energy, so that the parts add
up to energy x PUE x intensity of the whole.
"""

from __future__ import annotations

from collections import defaultdict
from math import fsum
from typing import TYPE_CHECKING, TypeVar

from ds01ctl.core.carbon_text import carbon_ug
from ds01ctl.core.energy_books import GpuHour, Hour, Totals
from ds01ctl.core.energy_projects import user_of
from ds01ctl.core.gpu_holding import held
from ds01ctl.core.record import NamedTuple
from ds01ctl.core.split import largest_remainder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ds01ctl.core.energy_model import GpuShare, Interval, Portion

HOUR_S = 3600
_MOST_HOURS = 24 * 35
"""An interval that is longer is spread over so many at its end."""
_FIELDS = ("cpu_uj", "dram_uj", "gpu_uj", "other_uj")
_OPERATIONAL, _EMBODIED = "operational", "embodied"
_Key = TypeVar("_Key")


class Rates(NamedTuple):
    """By what energy becomes carbon."""

    g_per_kwh: float
    pue: float


class Earlier(NamedTuple):
    """What holds for energy that is of a longer time than the interval, and for its past hours."""

    hours: Mapping[float, Mapping[int, float]] = {}
    """As `hours_of` gives them, by the seconds that a portion tells."""
    rates: Mapping[int, Rates] = {}
    """By hour."""


NO_EARLIER = Earlier()


class Booking(NamedTuple):
    """What is to be added."""

    totals: Totals
    hours: Mapping[tuple[int, str], Hour]
    """By hour and party: a user, or a user's project."""
    gpu_hours: Mapping[tuple[int, str, str], GpuHour]
    months: Mapping[tuple[int, str], int]
    """Micrograms, operational, by month (such as 202611) and user."""


def hours_of(end_s: float, seconds: float) -> dict[int, float]:
    """Say in which hours an interval lies, and for how many seconds in each; end_s: since 1970."""
    begin_s = end_s - min(max(seconds, 0.0), _MOST_HOURS * HOUR_S)
    first, last = int(begin_s // HOUR_S), int(end_s // HOUR_S)
    if first == last:
        return {last: 1.0}
    found = {
        hour: min(end_s, (hour + 1.0) * HOUR_S) - max(begin_s, float(hour) * HOUR_S)
        for hour in range(first, last + 1)
    }
    return {hour: part for hour, part in found.items() if part > 0}


def book(
    interval: Interval,
    rates: Rates,
    embodied_ug: Mapping[str, int],
    hours: Mapping[int, float],
    month_of: Callable[[int], int],
    earlier: Earlier = NO_EARLIER,
) -> Booking:
    """Make the rows of one interval.

    rates: of the hours that ``earlier`` has none for; embodied_ug: micrograms of the interval by
    party; hours: as `hours_of` gives them; month_of: which month an hour is in, which the time
    zone says.
    """
    found: dict[tuple[int, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    interval = interval._replace(portions=tuple(map(_storable, interval.portions)))
    for portion in interval.portions:
        for hour, uj in _spread(portion.uj, earlier.hours.get(portion.seconds, hours)).items():
            _add(found, hour, portion, uj)
    for name, ug in embodied_ug.items():
        party = _valid(name)
        for hour, part in _spread(ug, hours).items():
            found[hour, party]["embodied_ug"] += part
    _weigh(found, rates, earlier.rates)
    rows = {key: Hour(**fields) for key, fields in found.items()}
    return Booking(
        _totals(interval, rows),
        rows,
        _gpu_hours(interval, hours, earlier.hours),
        _months(rows, month_of),
    )


def added(old: Totals, new: Totals) -> Totals:
    """Add totals up; only those that the new ones have."""
    return Totals(
        _sums(old.energy, new.energy),
        _sums(old.node, new.node),
        _sums(old.gpus, new.gpus),
        _sums(old.carbon, new.carbon),
        _sums(old.counts, new.counts),
    )


def merged(old: Totals, new: Totals) -> Totals:
    """Put new totals in the place of old ones."""
    return Totals(
        {**old.energy, **new.energy},
        {**old.node, **new.node},
        {**old.gpus, **new.gpus},
        {**old.carbon, **new.carbon},
        {**old.counts, **new.counts},
    )


def holders(gpus: Mapping[str, tuple[GpuShare, ...]]) -> dict[str, dict[str, float]]:
    """Say for what part of each GPU each party had it allocated, for embodied carbon."""
    found: dict[str, dict[str, float]] = {}
    for uuid, shares in gpus.items():
        given = [one for one in shares if one.is_holder]
        parts: dict[str, float] = found.setdefault(uuid, {})
        times = fsum(held(one) for one in given if one.mig_slices <= 0)
        # free ones are among them
        slices = fsum(one.mig_slices for one in shares)
        for one in given:
            part = one.mig_slices / slices if one.mig_slices > 0 else 1 / max(1.0, times)
            parts[one.party] = parts.get(one.party, 0.0) + part * held(one)
    return found


def _storable(portion: Portion) -> Portion:
    if portion.party.isascii() and portion.holder.isascii():
        return portion
    return portion._replace(party=_valid(portion.party), holder=_valid(portion.holder))


def _valid(name: str) -> str:
    """Make a name that can be stored, and be a label; a login may be no UTF-8."""
    return name if name.isascii() else name.encode(errors="replace").decode()


def _add(
    found: dict[tuple[int, str], dict[str, int]], hour: int, portion: Portion, uj: int
) -> None:
    row = found[hour, portion.party]
    row[f"{portion.component}_uj"] += uj
    if portion.basis == "modelled":
        row["modelled_uj"] += uj
    if portion.is_waste:
        found[hour, portion.holder or portion.party]["waste_uj"] += uj


def _weigh(
    found: Mapping[tuple[int, str], dict[str, int]], rates: Rates, earlier: Mapping[int, Rates]
) -> None:
    """Add the carbon of each row."""
    by_hour: dict[int, dict[str, int]] = defaultdict(dict)
    for (hour, party), row in found.items():
        by_hour[hour][party] = sum(row.get(name, 0) for name in _FIELDS)
    for hour, energy in by_hour.items():
        for party, ug in shares_of_carbon(energy, earlier.get(hour, rates)).items():
            found[hour, party]["carbon_ug"] = ug


def shares_of_carbon(energy_uj: Mapping[str, int], rates: Rates) -> dict[str, int]:
    """Compute the carbon of one hour, and share it out by energy."""
    ug = carbon_ug(sum(energy_uj.values()), rates.g_per_kwh, rates.pue)
    return largest_remainder(ug, energy_uj)


def _totals(interval: Interval, rows: Mapping[tuple[int, str], Hour]) -> Totals:
    energy: dict[tuple[str, str, str], int] = defaultdict(int)
    gpus: dict[tuple[str, str], int] = defaultdict(int)
    for one in interval.portions:
        user = user_of(one.party)
        energy[user, one.component, one.basis] += one.uj
        if one.device:
            gpus[user, one.device] += one.uj
    node: dict[tuple[str, str], int] = defaultdict(int)
    for delta in interval.deltas:
        node[delta.component, delta.basis] += delta.uj
    carbon: dict[tuple[str, str], int] = defaultdict(int)
    for (_, party), row in rows.items():
        user = user_of(party)
        carbon[user, _OPERATIONAL] += row.carbon_ug
        if row.embodied_ug:
            carbon[user, _EMBODIED] += row.embodied_ug
    return Totals(energy, node, gpus, carbon, _counts(interval))


def _counts(interval: Interval) -> dict[str, int]:
    modelled = sum(1 for one in interval.deltas if one.basis == "modelled")
    return {"modelled": modelled, **{f"skipped:{why}": n for why, n in interval.skipped.items()}}


def _gpu_hours(
    interval: Interval, hours: Mapping[int, float], longer: Mapping[float, Mapping[int, float]]
) -> dict[tuple[int, str, str], GpuHour]:
    found: dict[tuple[int, str, str], GpuHour] = defaultdict(GpuHour)
    for one in interval.portions:
        if not one.device:
            continue
        for hour, uj in _spread(one.uj, longer.get(one.seconds, hours)).items():
            key, modelled = (hour, one.device, one.party), uj * (one.basis == "modelled")
            old = found[key]
            found[key] = GpuHour(old.uj + uj, old.waste_uj, old.modelled_uj + modelled)
            if one.is_waste:
                key = (hour, one.device, one.holder or one.party)
                found[key] = found[key]._replace(waste_uj=found[key].waste_uj + uj)
    return found


def _months(
    rows: Mapping[tuple[int, str], Hour], month_of: Callable[[int], int]
) -> dict[tuple[int, str], int]:
    found: dict[tuple[int, str], int] = defaultdict(int)
    months = {hour: month_of(hour) for hour in {hour for hour, _ in rows}}
    for (hour, party), row in rows.items():
        found[months[hour], user_of(party)] += row.carbon_ug
    return found


def _spread(amount: int, hours: Mapping[int, float]) -> dict[int, int]:
    if len(hours) == 1:
        return dict.fromkeys(hours, amount)
    parts = largest_remainder(amount, {str(hour): part for hour, part in hours.items()})
    return {int(hour): part for hour, part in parts.items()}


def _sums(old: Mapping[_Key, int], new: Mapping[_Key, int]) -> dict[_Key, int]:
    return {key: old.get(key, 0) + value for key, value in new.items()}
