"""The metrics of `carbon`: whole joules and grams, rounded down, so that nothing ever goes back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.core.carbon_series import (
    CARBON,
    ENERGY,
    GPU_KWH,
    MODELLED,
    MONTH,
    NODE,
    SKIPPED,
    SKIPPED_PREFIX,
    UJ_PER_WH,
)
from ds01ctl.core.energy_counters import SKIPPED as REASONS
from ds01ctl.core.prom_recovery import MICRO
from ds01ctl.core.record import NamedTuple
from ds01ctl.report.prometheus import Family, Sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ds01ctl.core.energy_books import Totals
    from ds01ctl.core.intensity import Intensity


class Now(NamedTuple):
    """What holds at the moment."""

    intensity: Intensity
    pue: float
    month_ug: Mapping[str, int] = {}
    """Of this month, by party."""
    budgets_g: Mapping[str, float] = {}
    """Of this month, by user; who has none is not in it."""
    groups: Mapping[str, tuple[int, float]] = {}
    """What groups that have a budget have caused, in micrograms, and that budget, in grams."""


def families(totals: Totals, now: Now, *, kwh: bool) -> Iterator[Family]:
    """Make all families; kwh: also the energy of GPUs in kilowatt-hours."""
    yield from _counters(totals)
    if kwh:
        yield _gpu_kwh(totals)
    yield from _now(now)
    yield from _budgets(now)


def _counters(totals: Totals) -> Iterator[Family]:
    yield Family(
        ENERGY,
        "counter",
        "Energy by whose it is, component, and whether it was measured or modelled; without PUE.",
        tuple(
            Sample({"user": user, "component": component, "basis": basis}, uj // MICRO)
            for (user, component, basis), uj in totals.energy.items()
        ),
    )
    yield Family(
        NODE,
        "counter",
        "Energy of the whole host by component; without PUE.",
        tuple(
            Sample({"component": component, "basis": basis}, uj // MICRO)
            for (component, basis), uj in totals.node.items()
        ),
    )
    yield Family(
        CARBON,
        "counter",
        "CO2 equivalent of the energy, with PUE (operational), and of making the machine.",
        tuple(
            Sample({"user": user, "scope": scope}, ug // MICRO)
            for (user, scope), ug in totals.carbon.items()
        ),
    )
    yield from _counts(totals.counts)


def _counts(counts: Mapping[str, int]) -> Iterator[Family]:
    found = {
        name.removeprefix(SKIPPED_PREFIX): count
        for name, count in counts.items()
        if name.startswith(SKIPPED_PREFIX)
    }
    yield Family(
        SKIPPED,
        "counter",
        "Readings of energy counters that did not decide what was used, by reason.",
        tuple(
            Sample({"reason": why}, n) for why, n in {**dict.fromkeys(REASONS, 0), **found}.items()
        ),
    )
    yield Family(
        MODELLED,
        "counter",
        "Intervals of an energy counter, or a power, whose energy was modelled, not measured.",
        (Sample({}, counts.get("modelled", 0)),),
    )


def _gpu_kwh(totals: Totals) -> Family:
    return Family(
        GPU_KWH,
        "counter",
        "Energy of GPUs by user, in kWh; the same is in ds01_energy_joules_total.",
        tuple(
            Sample({"user": user, "gpu": gpu}, uj // UJ_PER_WH / 1000)
            for (user, gpu), uj in totals.gpus.items()
        ),
    )


def _now(now: Now) -> Iterator[Family]:
    labels = {"zone": now.intensity.zone, "source": source_label(now.intensity)}
    yield Family(
        "ds01_grid_carbon_intensity_grams_per_kwh",
        "gauge",
        "Carbon intensity of the grid that energy is multiplied by now.",
        (Sample(labels, now.intensity.g_per_kwh),),
    )
    age = now.intensity.age_s
    yield Family(
        "ds01_grid_carbon_intensity_age_seconds",
        "gauge",
        "Age of a provider's figure; no series for a configured or a yearly one.",
        () if age is None else (Sample(labels, round(age)),),
    )
    yield Family(
        "ds01_facility_pue_ratio",
        "gauge",
        "Power usage effectiveness that energy is multiplied by for carbon.",
        (Sample({}, now.pue),),
    )


def source_label(intensity: Intensity) -> str:
    """Name the source for a label: ``configured``, ``table``, ``world``, or the provider."""
    if intensity.level in {"live", "cached"}:
        return intensity.source
    return {"zone": "table"}.get(intensity.level, intensity.level)


def _budgets(now: Now) -> Iterator[Family]:
    yield Family(
        MONTH,
        "gauge",
        "CO2 equivalent of this calendar month so far, operational.",
        tuple(Sample({"user": user}, ug // MICRO) for user, ug in now.month_ug.items()),
    )
    yield Family(
        "ds01_carbon_budget_grams",
        "gauge",
        "CO2 equivalent that the policy gives a user for a calendar month.",
        tuple(Sample({"user": user}, grams) for user, grams in now.budgets_g.items()),
    )
    if now.groups:
        yield Family(
            "ds01_carbon_group_month_grams",
            "gauge",
            "CO2 equivalent of this calendar month so far, operational, of a group's members.",
            tuple(Sample({"group": name}, ug // MICRO) for name, (ug, _) in now.groups.items()),
        )
        yield Family(
            "ds01_carbon_group_budget_grams",
            "gauge",
            "CO2 equivalent that the policy gives a group as a whole for a calendar month.",
            tuple(Sample({"group": name}, grams) for name, (_, grams) in now.groups.items()),
        )
