"""The metrics of `carbon`: whole units, rounded down, and read back as they were."""

from __future__ import annotations

import subprocess
from datetime import datetime, timezone
from shutil import which

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ds01ctl.core.carbon_series import recovered
from ds01ctl.core.energy_books import Totals
from ds01ctl.core.intensity import Intensity
from ds01ctl.report.carbon_metrics import Now, families
from ds01ctl.report.prometheus import job_metrics, render

J = 1_000_000
NOW = Now(Intensity(329.65, "zone", "DE", "Ember", 2025), 1.5)
NOON = datetime(2026, 11, 26, 12, tzinfo=timezone.utc)
TOTALS = Totals(
    {("alice", "cpu", "measured"): 5 * J + 999_999, ("_system", "dram", "modelled"): 0},
    {("cpu", "measured"): 6 * J},
    {("alice", "GPU-1"): 5_400_000_000},
    {("alice", "operational"): 12 * J + 1, ("alice", "embodied"): J},
    {"modelled": 3, "skipped:several-wraps": 2},
)


def text(totals: Totals, *, kwh: bool = True) -> str:
    return render((*families(totals, NOW, kwh=kwh), *job_metrics("carbon", NOON, 0.1, None)))


def test_whole_units_rounded_down() -> None:
    shown = text(TOTALS)
    assert 'ds01_energy_joules_total{basis="measured",component="cpu",user="alice"} 5\n' in shown
    assert 'ds01_carbon_grams_total{scope="operational",user="alice"} 12\n' in shown
    assert 'ds01_gpu_energy_kwh_total{gpu="GPU-1",user="alice"} 0.001\n' in shown
    assert 'ds01_carbon_skipped_intervals_total{reason="several-wraps"} 2\n' in shown
    # so that increase() sees the first one
    assert 'ds01_carbon_skipped_intervals_total{reason="implausible"} 0\n' in shown
    assert "kwh_total" not in text(TOTALS, kwh=False)


def test_the_age_of_a_figure_is_shown_where_it_has_one() -> None:
    assert "_age_seconds" not in text(TOTALS)
    live = NOW.intensity._replace(level="live", source="NESO", age_s=61.4)
    shown = render(families(TOTALS, NOW._replace(intensity=live), kwh=False))
    assert 'ds01_grid_carbon_intensity_age_seconds{source="NESO",zone="DE"} 61\n' in shown


def test_what_is_known_is_not_raised() -> None:
    found = recovered(text(TOTALS), TOTALS)
    assert (found.raised, found.problems) == ((), ())


def test_what_is_lost_comes_back() -> None:
    found = recovered(text(TOTALS), Totals())
    assert found.totals.energy["alice", "cpu", "measured"] == 5 * J
    assert found.totals.energy["_system", "dram", "modelled"] == 0
    assert found.totals.gpus["alice", "GPU-1"] == 3_600_000_000
    assert found.totals.counts["skipped:several-wraps"] == 2
    # and is shown again as it was
    assert text(found.totals) == text(TOTALS)


def test_the_larger_one_holds_for_each_series() -> None:
    """The same whole unit is no reason to forget the rest of it."""
    users = {("alice", "cpu", "measured"): 5 * J, ("bob", "cpu", "measured"): 5 * J}
    store = Totals(
        {("alice", "cpu", "measured"): 5 * J + 999_999, ("bob", "cpu", "measured"): 5 * J - 1}
    )
    found = recovered(text(Totals(users)), store)
    assert found.totals.energy == {("bob", "cpu", "measured"): 5 * J}
    assert [name for name in found.raised if "bob" in name] == [*found.raised]
    assert recovered(text(Totals(users)), Totals(users)).raised == ()


@pytest.mark.parametrize(
    "line",
    [
        'ds01_energy_joules_total{basis="measured",component="cpu",user="x"} 9e18',
        'ds01_energy_joules_total{basis="guessed",component="cpu",user="x"} 5',
        'ds01_energy_joules_total{component="cpu",user="x"} 5',
        'ds01_energy_joules_total{basis="measured",component="cpu",user="x"} -1',
        'ds01_energy_joules_total{basis="measured",component="cpu",user="x"} NaN',
        "rubbish",
    ],
)
def test_odd_lines_are_told(line) -> None:
    name = "ds01_energy_joules_total"
    shown = f"# HELP {name} x\n# TYPE {name} counter\n{line}\n"
    found = recovered(shown, TOTALS)
    assert len(found.problems) == 1
    assert found.totals == Totals({}, {}, {}, {}, {})


NAMES = st.text(min_size=1, max_size=8)
AMOUNTS = st.integers(0, 2**61)


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(NAMES, AMOUNTS, max_size=5),
    st.dictionaries(NAMES, AMOUNTS, max_size=5),
    st.dictionaries(NAMES, AMOUNTS, max_size=5),
)
def test_no_total_is_ever_less_than_what_was_shown(energy, carbon, gpus) -> None:
    """Whatever names there are, what is written is read, and to the whole unit."""
    valid = {name.encode(errors="replace").decode(): one for name, one in energy.items()}
    totals = Totals(
        {(name, "gpu", "measured"): one for name, one in valid.items()},
        {},
        {(name, "GPU-1"): one for name, one in gpus.items()},
        {(name, "operational"): one for name, one in carbon.items()},
    )
    found = recovered(text(totals), Totals())
    assert found.problems == ()
    assert {k: v // J for k, v in found.totals.energy.items()} == {
        k: v // J for k, v in totals.energy.items()
    }
    assert text(found.totals) == text(totals)


@pytest.mark.skipif(which("promtool") is None, reason="no promtool")
def test_promtool_finds_nothing() -> None:
    now = NOW._replace(month_ug={"alice": J}, budgets_g={"alice": 1000.0})
    shown = render((*families(TOTALS, now, kwh=True), *job_metrics("carbon", NOON, 0.1, NOON)))
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=shown, text=True, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
