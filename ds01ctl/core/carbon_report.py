"""Make a report of stored hours: who used what, by how much it may be wrong, and how it went on."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from ds01ctl.core.carbon_text import UG_PER_G, kwh
from ds01ctl.core.energy_books import Hour, Used
from ds01ctl.core.energy_model import OWN, SYSTEM, UNATTRIBUTED
from ds01ctl.core.energy_projects import NO_PROJECT, OTHERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ds01ctl.core.energy_books import Factor

MODEL_BOUND = 0.3
"""What was modelled may be off by so much of it: a bound that we assume, not one we measured."""
_STEP_UJ = 1000
"""NVML counts in millijoules, and RAPL in 15 or 61 microjoules."""
_PER_HOUR = 60
"""Readings."""
SPECIAL = (SYSTEM, OWN, UNATTRIBUTED)
"""Nobody's."""
_AT_THE_END = (OTHERS, NO_PROJECT, *SPECIAL)
"""Of a list, in this order."""


class Period(NamedTuple):
    """A time that is reported on, in whole hours."""

    name: str
    first: int
    """Hour since 1970."""
    end: int
    """The first hour after it."""


class Sum(NamedTuple):
    """All of a row."""

    hour: Hour
    series: Mapping[str, int]
    """Microjoules by bucket."""
    hours: int
    """In which it used anything."""
    with_pue_uj: int
    """By the PUE of each hour."""


class Part(NamedTuple):
    """What a row used in one part of the time."""

    name: str
    bucket: str
    used: Used


def summed(parts: Iterable[Part]) -> dict[str, Sum]:
    """Add up by name."""
    fields: dict[str, list[int]] = defaultdict(lambda: [0] * len(Hour._fields))
    series: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    counts: dict[str, int] = defaultdict(int)
    with_pue: dict[str, int] = defaultdict(int)
    for name, bucket, used in parts:
        own = fields[name]
        for index, value in enumerate(used.hour):
            own[index] += value
        series[name][bucket] += used.hour.uj
        counts[name] += used.hours
        with_pue[name] += used.with_pue_uj
    return {
        name: Sum(Hour(*own), series[name], counts[name], with_pue[name])
        for name, own in fields.items()
    }


def not_counted(whole: Hour) -> list[str]:
    """Name the components that every machine of ours has, and of which nothing was counted."""
    return [name for name in ("cpu", "dram", "gpu") if not getattr(whole, f"{name}_uj")]


def uncertainty_uj(one: Sum) -> int:
    """Say by how much a sum may be off: the bound of what was modelled, and the counters' step."""
    return round(one.hour.modelled_uj * MODEL_BOUND) + one.hours * _PER_HOUR * _STEP_UJ


class Extras(NamedTuple):
    """What else is told of energy, where it is configured."""

    water_l_per_kwh: float | None = None
    price_per_kwh: float | None = None


def row(
    name: str, one: Sum, whole_uj: int, buckets: Sequence[str], extras: Extras
) -> dict[str, Any]:
    """Give one row as data."""
    hour = one.hour
    energy = kwh(hour.uj)
    water, price = extras.water_l_per_kwh, extras.price_per_kwh
    return {
        "name": name,
        "energy_kwh": energy,
        "cpu_kwh": kwh(hour.cpu_uj),
        "dram_kwh": kwh(hour.dram_uj),
        "gpu_kwh": kwh(hour.gpu_uj),
        "other_kwh": kwh(hour.other_uj),
        "share": hour.uj / whole_uj if whole_uj else None,
        "carbon_g": hour.carbon_ug / UG_PER_G,
        "embodied_g": hour.embodied_ug / UG_PER_G,
        "waste_kwh": kwh(hour.waste_uj),
        "modelled_kwh": kwh(hour.modelled_uj),
        "uncertainty_kwh": kwh(uncertainty_uj(one)),
        "water_l": None if water is None else energy * water,
        "cost": None if price is None else kwh(one.with_pue_uj) * price,
        "series_kwh": [kwh(one.series.get(bucket, 0)) for bucket in buckets],
    }


def in_order(sums: Mapping[str, Sum], *, by_name: bool) -> list[str]:
    """Put the largest first, or all by name; who is nobody comes last."""
    place = {name: index for index, name in enumerate(_AT_THE_END)}
    if by_name:
        return sorted(sums, key=lambda name: (place.get(name, -1), name))
    return sorted(sums, key=lambda name: (place.get(name, -1), -sums[name].hour.uj, name))


def factor_rows(factors: Mapping[int, Factor]) -> list[dict[str, Any]]:
    """Say by what the hours were computed: one row for each source, with the range of values."""
    groups: dict[tuple[Any, ...], list[float]] = defaultdict(list)
    for _, one in sorted(factors.items()):
        year = one.year_or_at if "T" not in one.year_or_at else one.year_or_at[:10]
        groups[one.zone, one.source, year, one.pue, one.idle].append(one.g_per_kwh)
    return [
        {
            "zone": zone or None,
            "source": source,
            "year_or_day": year or None,
            "pue": pue,
            "idle": idle,
            "hours": len(values),
            "g_per_kwh_min": min(values),
            "g_per_kwh_mean": sum(values) / len(values),
            "g_per_kwh_max": max(values),
        }
        for (zone, source, year, pue, idle), values in groups.items()
    ]


def modelled(factors: Mapping[int, Factor], *, of_gpus: bool) -> list[str]:
    """Name everything that was modelled in any of the hours; of_gpus: of GPUs alone."""
    found = {what for one in factors.values() for what in one.modelled.split(", ") if what}
    return sorted(what for what in found if not of_gpus or what.startswith("gpu "))
