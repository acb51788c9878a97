"""Energy, mass and where a figure comes from, in words; and kilowatt-hours from joules."""

from __future__ import annotations

from math import floor, log10
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ds01ctl.core.intensity import Intensity

UJ_PER_KWH = 3_600_000_000_000
UG_PER_G = 1_000_000
_DIGITS = 3
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86400
NO_PUE = "carbon.pue is not configured: 1.0 is used, which leaves out cooling and losses"


def kwh(uj: int) -> float:
    """Convert microjoules to kilowatt-hours: 3.6 MJ each."""
    return uj / UJ_PER_KWH


def carbon_ug(uj: int, g_per_kwh: float, pue: float = 1.0) -> int:
    """Convert microjoules to micrograms of CO2 equivalent: energy x PUE x intensity, rounded.

    Exact in the energy, however much it is; half a microgram goes to the even one.
    """
    # as fractions are multiplied, without what loading `fractions` costs every run
    (g, per_g), (p, per_p) = g_per_kwh.as_integer_ratio(), pue.as_integer_ratio()
    divisor = UJ_PER_KWH * per_g * per_p
    whole, rest = divmod(uj * g * p * UG_PER_G, divisor)
    return whole + (2 * rest > divisor or (2 * rest == divisor and whole % 2 == 1))


def energy(watt_hours: float) -> str:
    """Write energy with three digits: ``812 Wh``, ``1.23 kWh``, ``4.56 MWh``."""
    return _scaled(watt_hours, ("Wh", "kWh", "MWh", "GWh"))


def mass(grams: float) -> str:
    """Write a mass with three digits: ``812 g``, ``1.23 kg``, ``4.56 t``."""
    return _scaled(grams, ("g", "kg", "t", "kt"))


def age(seconds: float) -> str:
    """Write an age in its largest unit: ``40 s``, ``12 min``, ``3 h``, ``2 days``."""
    if seconds < _MINUTE_S:
        return f"{seconds:.0f} s"
    if seconds < _HOUR_S:
        return f"{seconds // _MINUTE_S:.0f} min"
    if seconds < 2 * _DAY_S:
        return f"{seconds // _HOUR_S:.0f} h"
    return f"{seconds // _DAY_S:.0f} days"


def provenance(intensity: Intensity) -> str:
    """Say in one line what the intensity is and whence: value, zone, year or age, source."""
    what = f"{intensity.g_per_kwh:.4g} g CO2e/kWh"
    if intensity.level == "configured":
        zone = f" for {intensity.zone}" if intensity.zone else ""
        return f"{what}{zone}, configured ({intensity.source})"
    when = str(intensity.year) if intensity.year else f"{age(intensity.age_s or 0.0)} old"
    stale = ", stale" if intensity.is_stale else ""
    kind = "yearly average" if intensity.year else f"{intensity.level} {intensity.kind}"
    return f"{what}, {intensity.zone}, {when}{stale}, {kind}, {intensity.source}"


def _scaled(value: float, units: Sequence[str]) -> str:
    # rounded first, so that 999.6 becomes 1.00 of the next unit and not 1000 of this one
    value, unit = _rounded(value), 0
    while abs(value) >= 1000 and unit < len(units) - 1:
        value, unit = _rounded(value / 1000), unit + 1
    decimals = max(_DIGITS - 1 - _power(value), 0) if value else 0
    return f"{value:.{min(decimals, 6)}f} {units[unit]}"


def _rounded(value: float) -> float:
    return round(value, _DIGITS - 1 - _power(value)) if value else 0.0


def _power(value: float) -> int:
    return floor(log10(abs(value)))
