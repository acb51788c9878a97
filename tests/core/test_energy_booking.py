"""What an interval adds to the books; whatever happens, the sums are equal, exactly."""

from __future__ import annotations

from collections import Counter as Tally

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ds01ctl.core.carbon_text import carbon_ug
from ds01ctl.core.energy_booking import Earlier, Rates, added, book, holders, hours_of, merged
from ds01ctl.core.energy_books import GpuHour, Totals
from ds01ctl.core.energy_interval import account
from ds01ctl.core.energy_model import (
    Activity,
    Counter,
    Delta,
    GpuShare,
    Interval,
    Portion,
    SplitPolicy,
    Work,
)

RATES = Rates(329.65, 1.5)
PARTIES = st.sampled_from(("alice", "bob", "_system", "_unattributed"))
PORTIONS = st.lists(
    st.builds(
        Portion,
        PARTIES,
        st.sampled_from(("cpu", "dram", "gpu", "other")),
        st.sampled_from(("measured", "modelled")),
        st.just("cpu-time"),
        st.integers(0, 10**15),
        st.sampled_from(("", "GPU-1", "GPU-2")),
        st.booleans(),
        st.sampled_from(("", "carol")),
    ),
    max_size=12,
)


def interval(portions: list[Portion]) -> Interval:
    deltas = tuple(
        Delta(str(i), one.component, one.uj, 0, 60, one.basis, "measured")
        for i, one in enumerate(portions)
    )
    return Interval(0, 60, deltas, tuple(portions), {"several-wraps": 1})


@settings(max_examples=500, deadline=None)
@given(PORTIONS, st.floats(0, 1e6), st.floats(1e9, 2e9), st.floats(0, 3000))
def test_sums_are_equal(portions, seconds, end_s, g_per_kwh) -> None:
    whole, hours = interval(portions), hours_of(end_s, seconds)
    found = book(whole, Rates(g_per_kwh, 1.5), {"alice": 7}, hours, lambda hour: hour // 700)
    uj = sum(one.uj for one in portions)
    assert sum(found.totals.energy.values()) == sum(found.totals.node.values()) == uj
    assert sum(row.uj for row in found.hours.values()) == uj
    for field, component in (("cpu_uj", "cpu"), ("gpu_uj", "gpu")):
        of_rows = sum(getattr(row, field) for row in found.hours.values())
        assert of_rows == sum(one.uj for one in portions if one.component == component)
    on_gpus = sum(one.uj for one in portions if one.device)
    assert sum(found.totals.gpus.values()) == on_gpus
    assert sum(one.uj for one in found.gpu_hours.values()) == on_gpus
    wasted = sum(one.uj for one in portions if one.is_waste)
    assert sum(row.waste_uj for row in found.hours.values()) == wasted
    # by the hour, so that each may be rounded once
    ug = sum(row.carbon_ug for row in found.hours.values())
    assert abs(ug - carbon_ug(uj, g_per_kwh, 1.5)) <= len(hours)
    assert sum(found.months.values()) == ug
    assert found.totals.carbon.get(("alice", "embodied"), 0) == 7
    assert all(value >= 0 for row in found.hours.values() for value in row)


@pytest.mark.parametrize(
    ("end_s", "seconds", "expected"),
    [
        (7200 + 60, 60, {2: 1.0}),
        (7200 + 30, 60, {1: 30.0, 2: 30.0}),
        (7200, 60, {1: 60.0}),
        (3 * 3600 + 1, 2 * 3600, {1: 3599.0, 2: 3600.0, 3: 1.0}),
        (7200, 0, {2: 1.0}),
        (7200, -5, {2: 1.0}),
    ],
)
def test_hours(end_s, seconds, expected) -> None:
    assert hours_of(end_s, seconds) == expected


def test_years_away_are_spread_over_weeks_only() -> None:
    assert len(hours_of(1e9, 1e9)) <= 24 * 35 + 1


def test_waste_is_its_holders_whoever_is_charged() -> None:
    one = Portion("_unattributed", "gpu", "measured", "idle", 50, "GPU-1", True, "alice")
    found = book(interval([one]), RATES, {}, {5: 1.0}, lambda _: 1)
    assert found.hours[5, "alice"].waste_uj == 50
    assert found.hours[5, "alice"].uj == 0
    assert found.hours[5, "_unattributed"].uj == 50
    assert found.gpu_hours[5, "GPU-1", "alice"] == GpuHour(0, 50)


def test_what_was_modelled_on_a_gpu_is_known_of_it() -> None:
    parts = [
        Portion("alice", "gpu", basis, "exclusive", uj, "GPU-1")
        for basis, uj in (("measured", 5), ("modelled", 7))
    ]
    found = book(interval(parts), RATES, {}, {5: 1.0}, lambda _: 1)
    assert found.gpu_hours[5, "GPU-1", "alice"] == GpuHour(12, 0, 7)


@settings(max_examples=200, deadline=None)
@given(PORTIONS, st.lists(st.floats(61, 4e6), min_size=1, max_size=3), st.floats(1e9, 2e9))
def test_energy_of_a_longer_time_is_in_its_own_hours(portions, lengths, end_s) -> None:
    timed = [
        one._replace(seconds=lengths[i % len(lengths)] if i % 2 else 0.0)
        for i, one in enumerate(portions)
    ]
    earlier = Earlier(
        {seconds: hours_of(end_s, seconds) for seconds in lengths},
        {int(end_s // 3600) - 1: Rates(100, 1)},
    )
    found = book(interval(timed), RATES, {}, hours_of(end_s, 60), lambda hour: hour, earlier)
    uj = sum(one.uj for one in portions)
    assert sum(row.uj for row in found.hours.values()) == uj
    assert sum(found.totals.energy.values()) == sum(found.totals.node.values()) == uj
    on_gpus = sum(one.uj for one in portions if one.device)
    assert sum(one.uj for one in found.gpu_hours.values()) == on_gpus
    assert sum(found.totals.carbon.values()) == sum(found.months.values())
    assert all(value >= 0 for row in found.hours.values() for value in row)


def test_a_counter_that_was_away_is_booked_when_its_energy_was_used() -> None:
    # 9,060 s at 300 W up to a quarter past hour 103, at 100 g/kWh until then and 300 now
    last = {"gpu:G": Counter("gpu:G", "gpu", "b", 0.0, 0, max_watts=400, missed=150)}
    now = [Counter("gpu:G", "gpu", "b", 9060.0, 300_000_000 * 9060, max_watts=400)]
    done = Activity(60_000_000, 0)
    work = Work(60, {"alice": done}, done, {"G": (GpuShare("alice", 90.0, 0),)})
    whole = account(last, now, work, SplitPolicy(), {}, at_s=9060.0).interval
    (portion,) = whole.portions
    assert portion.seconds == 9060
    end_s = 103 * 3600 + 900
    earlier = Earlier(
        {9060.0: hours_of(end_s, 9060)}, dict.fromkeys((100, 101, 102), Rates(100, 1))
    )
    found = book(whole, Rates(300, 1), {}, hours_of(end_s, 60), lambda hour: hour, earlier)
    used = {hour: round(row.gpu_uj / 1e6) for (hour, _), row in found.hours.items()}
    assert used == {100: 300 * 960, 101: 300 * 3600, 102: 300 * 3600, 103: 300 * 900}
    assert found.months[101, "alice"] == 30_000_000
    assert found.months[103, "alice"] == 22_500_000


def test_an_interval_of_its_own_length_is_no_longer_one() -> None:
    last = {"rapl:p": Counter("rapl:p", "cpu", "b", 0.0, 0, 2**40, 400)}
    now = [Counter("rapl:p", "cpu", "b", 60.4, 300_000_000, 2**40, 400)]
    work = Work(60, {}, Activity(1, 1))
    whole = account(last, now, work, SplitPolicy(), {}, at_s=60.4).interval
    assert [one.seconds for one in whole.portions] == [0]


def test_a_login_that_is_no_utf_8_can_be_stored() -> None:
    one = Portion("al\udcffce", "cpu", "measured", "cpu-time", 5)
    found = book(interval([one]), RATES, {"al\udcffce": 3}, {5: 1.0}, lambda _: 1)
    assert set(found.hours) == {(5, "al?ce")}
    assert set(found.totals.energy) == {("al?ce", "cpu", "measured")}


def test_totals_are_added_and_the_others_stay() -> None:
    old = Totals({("a", "cpu", "measured"): 5, ("b", "cpu", "measured"): 1}, counts={"modelled": 1})
    new = Totals({("a", "cpu", "measured"): 2}, counts={"modelled": 1})
    found = merged(old, added(old, new))
    assert Tally(found.energy.values()) == Tally([7, 1])
    assert found.counts == {"modelled": 2}


def test_holders_of_a_gpu() -> None:
    gpus = {
        "GPU-1": (GpuShare("alice", is_holder=True), GpuShare("bob")),
        "GPU-2": (GpuShare("alice", is_holder=True), GpuShare("bob", is_holder=True)),
        "GPU-3": (
            GpuShare("alice", mig_slices=3, is_holder=True),
            GpuShare("_unattributed", 0.0, mig_slices=4),
        ),
        "GPU-4": (),
        "GPU-5": (
            GpuShare("alice", is_holder=True, held=0.25),
            GpuShare("bob", is_holder=True, held=0.5),
        ),
    }
    assert holders(gpus) == {
        "GPU-1": {"alice": 1},
        "GPU-2": {"alice": 0.5, "bob": 0.5},
        "GPU-3": {"alice": pytest.approx(3 / 7)},
        "GPU-4": {},
        "GPU-5": {"alice": 0.25, "bob": 0.5},
    }
