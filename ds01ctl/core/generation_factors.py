"""What a kilowatt-hour of each kind of power station stands for, over its whole life.

Medians of IPCC AR5 WG III (2014), Annex III, table A.III.2, in g CO2e/kWh. That table has no oil,
lignite, peat and waste: those rows say what they are taken from.
"""

from __future__ import annotations

from typing import NamedTuple

_AR5 = "IPCC AR5 WG III (2014), Annex III, table A.III.2, median: "
_ASSUMED = "assumed; IPCC AR5 has no value: "


class Factor(NamedTuple):
    """One type of generation, by ENTSO-E's code of it (code list PsrType)."""

    code: str
    name: str
    g_per_kwh: float | None
    """None: it only gives back what was generated before, and is left out of the mix."""
    source: str


FACTORS: dict[str, Factor] = {
    row.code: row
    for row in (
        Factor("B01", "Biomass", 230, f"{_AR5}biomass, dedicated"),
        Factor("B02", "Fossil Brown coal/Lignite", 820, f"{_AR5}coal; lignite is rather above"),
        Factor("B03", "Fossil Coal-derived gas", 820, f"{_ASSUMED}as coal"),
        Factor("B04", "Fossil Gas", 490, f"{_AR5}gas, combined cycle"),
        Factor("B05", "Fossil Hard coal", 820, f"{_AR5}coal, pulverised"),
        Factor("B06", "Fossil Oil", 840, "IPCC SRREN (2011), Annex II, table A.II.4, median: oil"),
        Factor("B07", "Fossil Oil shale", 820, f"{_ASSUMED}as coal"),
        Factor("B08", "Fossil Peat", 820, f"{_ASSUMED}as coal"),
        Factor("B09", "Geothermal", 38, f"{_AR5}geothermal"),
        Factor("B10", "Hydro Pumped Storage", None, "stored before, and counted then"),
        Factor("B11", "Hydro Run-of-river and pondage", 24, f"{_AR5}hydropower"),
        Factor("B12", "Hydro Water Reservoir", 24, f"{_AR5}hydropower"),
        Factor("B13", "Marine", 17, f"{_AR5}ocean"),
        Factor("B14", "Nuclear", 12, f"{_AR5}nuclear"),
        Factor("B15", "Other renewable", 230, f"{_ASSUMED}as biomass, the highest of them"),
        Factor("B16", "Solar", 48, f"{_AR5}solar, utility"),
        Factor("B17", "Waste", 230, f"{_ASSUMED}as biomass; the fossil part of it is above"),
        Factor("B18", "Wind Offshore", 12, f"{_AR5}wind, offshore"),
        Factor("B19", "Wind Onshore", 11, f"{_AR5}wind, onshore"),
        Factor("B20", "Other", 717, f"{_ASSUMED}mean of coal, gas and oil (820, 490, 840)"),
        Factor("B25", "Energy storage", None, "stored before, and counted then"),
    )
}
