"""The factor of an hour of which parts were computed by different ones."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ds01ctl.core.energy_books import Factor
from ds01ctl.core.hour_factor import united

LIVE = Factor("DE", 400.0, "live: Electricity Maps", "2026-11-01T12:00Z", 1.5, "usage")
TABLE = Factor("DE", 300.0, "zone: Ember", "2025", 1.5, "usage", "dram by model")


def test_the_first_one_is_taken_as_it_is() -> None:
    assert united(None, 0, LIVE, 5) == LIVE
    assert united(LIVE, 5, LIVE, 5) is LIVE


def test_each_weighs_as_much_as_its_energy() -> None:
    found = united(LIVE, 3, TABLE, 1)
    assert found.g_per_kwh == pytest.approx(375)
    assert found.pue == 1.5
    assert found.source == "live: Electricity Maps + zone: Ember"
    assert found.year_or_at == "2026-11-01 + 2025"
    assert (found.zone, found.idle, found.modelled) == ("DE", "usage", "dram by model")


def test_what_was_modelled_once_stays_told() -> None:
    old = LIVE._replace(modelled="cpu by implausible, dram by model")
    found = united(old, 3, LIVE._replace(modelled="dram by model, gpu by power"), 1)
    assert found.modelled == "cpu by implausible, dram by model, gpu by power"
    assert united(old, 5, LIVE, 0) == united(old, 0, LIVE, 5) == old


def test_figures_of_one_provider_are_one_source() -> None:
    newer = LIVE._replace(g_per_kwh=200.0, year_or_at="2026-11-01T12:15Z")
    found = united(LIVE, 1, newer, 1)
    assert found == LIVE._replace(g_per_kwh=300.0, year_or_at="2026-11-01T12:15Z")


def test_many_in_one_hour_are_named_once_each() -> None:
    found, both = LIVE, (TABLE, LIVE._replace(year_or_at="2026-11-01T12:30Z"))
    for index in range(60):
        found = united(found, index + 1, both[index % 2], 1)
    assert found.source == "live: Electricity Maps + zone: Ember"
    assert found.year_or_at == "2026-11-01 + 2025"


_PARTS = st.tuples(st.floats(0, 3000), st.floats(1, 3), st.integers(0, 10**13))


@settings(max_examples=200, deadline=None)
@given(st.lists(_PARTS, min_size=1, max_size=8))
def test_the_carbon_of_the_whole_is_that_of_its_parts(parts) -> None:
    hour, energy, carbon = None, 0, 0.0
    for g_per_kwh, pue, uj in parts:
        hour = united(hour, energy, LIVE._replace(g_per_kwh=g_per_kwh, pue=pue), uj)
        energy += uj
        carbon += uj * pue * g_per_kwh
    assert hour is not None
    assert hour.g_per_kwh * hour.pue * energy == pytest.approx(carbon, rel=1e-9)
