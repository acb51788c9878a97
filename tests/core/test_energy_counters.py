"""What counters counted: wraps, resets, gaps, and readings that do not decide it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ds01ctl.core.energy_counters import MOST_WATTS, SKIPPED, deltas, model
from ds01ctl.core.energy_model import Counter, Delta

J = 1_000_000
LARGE = 262_143_328_850
"""The range of most of Intel's packages, uJ."""
SMALL = 65_532_610_987
"""That of AMD's, and of many servers."""
BOOT, NEXT_BOOT = "b1", "b2"


def cpu(joules: float | None, at_s: float, **changes: object) -> Counter:
    uj = None if joules is None else round(joules * J)
    one = Counter("rapl:package-0", "cpu", BOOT, at_s, uj, LARGE, 400.0)
    return one._replace(**changes)  # type: ignore[arg-type]


def dram(joules: float | None, at_s: float, **changes: object) -> Counter:
    one = cpu(joules, at_s, name="rapl:dram-0", component="dram", max_watts=100.0)
    return one._replace(**changes)  # type: ignore[arg-type]


def gpu(joules: float | None, at_s: float, **changes: object) -> Counter:
    uj = None if joules is None else round(joules * J)
    one = Counter("gpu:GPU-1", "gpu", "b1/10", at_s, uj, None, 400.0)
    return one._replace(**changes)  # type: ignore[arg-type]


def gpu_power(watts: float | None, at_s: float, **changes: object) -> Counter:
    one = Counter("gpu:GPU-1", "gpu", BOOT, at_s, None, None, 400.0, watts, has_counter=False)
    return one._replace(**changes)  # type: ignore[arg-type]


class Row(NamedTuple):
    """Readings in their order, and what the last of them must give."""

    readings: tuple[Counter, ...]
    joules: float
    basis: str
    reason: str
    skipped: Mapping[str, int] = {}


TABLE = {
    "first sight": Row((cpu(9999, 1000),), 0, "measured", "first"),
    "plain": Row((cpu(1000, 1000), cpu(4000, 1060)), 3000, "measured", "measured"),
    "nothing used": Row((cpu(1000, 1000), cpu(1000, 1060)), 0, "measured", "measured"),
    "read twice at once": Row((cpu(1000, 1000), cpu(1000, 1000)), 0, "measured", "measured"),
    # carbontracker reads both of these as 0 W
    "one wrap of 262 kJ": Row(
        (cpu(262_000, 1000), cpu(100, 1060)), 143.32885 + 100, "measured", "wrap"
    ),
    "one wrap of 65.5 kJ": Row(
        (cpu(65_000, 1000, range_uj=SMALL), cpu(10_000, 1060, range_uj=SMALL)),
        532.610987 + 10_000,
        "measured",
        "wrap",
    ),
    "wrap to exactly 0": Row((cpu(262_000, 1000), cpu(0, 1060)), 143.32885, "measured", "wrap"),
    "from 0 to the range": Row(
        (cpu(0, 1000), cpu(LARGE / J, 2000)), LARGE / J, "measured", "measured"
    ),
    # 180 s at 400 W are more than the range; yet one more turn would take 494 W
    "two turns do not fit": Row(
        (cpu(0, 1000, range_uj=SMALL), cpu(20_000, 1180, range_uj=SMALL)),
        20_000,
        "measured",
        "measured",
    ),
    # CodeCarbon makes 162,153 J of it: it takes the boot for a wrap
    "boot: 10 J, no phantom": Row(
        (cpu(100_000, 90_000), cpu(10, 30, epoch=NEXT_BOOT)), 10, "measured", "reset"
    ),
    "boot, and the counter is further than it was": Row(
        (cpu(100, 90_000), cpu(5_000, 60, epoch=NEXT_BOOT)), 5_000, "measured", "reset"
    ),
    "boot by kexec: the counter went on": Row(
        (cpu(100_000, 90_000), cpu(100_100, 30, epoch=NEXT_BOOT)),
        0,
        "modelled",
        "implausible",
        {"implausible": 1},
    ),
    "boot, and nobody looked for hours": Row(
        (cpu(0, 1000), cpu(6_000, 1060), cpu(9_000, 7200, epoch=NEXT_BOOT)),
        # 100 W in 7200 s are 720 kJ: of 9, 271.1, 533.3 and 795.4 kJ the last is nearest
        9_000 + 3 * LARGE / J,
        "modelled",
        "several-wraps",
        {"several-wraps": 1},
    ),
    # the same readings within a boot: a wrap would take 2.7 kW
    "began at 0 within a boot": Row(
        (cpu(97_000, 940), cpu(100_000, 1000), cpu(10, 1060)),
        3_000,
        "modelled",
        "implausible",
        {"implausible": 1},
    ),
    # CodeCarbon makes 0 J of it
    "failed read, 400 J": Row(
        (cpu(1000, 1000), cpu(None, 1010), cpu(1400, 1020)), 400, "measured", "bridged"
    ),
    "failed reads, then a wrap": Row(
        (cpu(262_000, 1000), cpu(None, 1060), cpu(None, 1120), cpu(1000, 1180)),
        1143.32885,
        "measured",
        "wrap",
    ),
    "negative reading is none": Row(
        (cpu(1000, 1000), cpu(-5, 1010), cpu(1400, 1020)), 400, "measured", "bridged"
    ),
    "several wraps: nearest to the last power": Row(
        (
            cpu(0, 1000, range_uj=SMALL),
            cpu(18_000, 1060, range_uj=SMALL),
            cpu(20_000, 1660, range_uj=SMALL),
        ),
        # 300 W in 600 s are 180 kJ: of 2, 67.5, 133.1 and 198.6 kJ the last is nearest
        2_000 + 3 * SMALL / J,
        "modelled",
        "several-wraps",
        {"several-wraps": 1},
    ),
    "several wraps: never more than can be drawn": Row(
        (
            cpu(0, 0, range_uj=SMALL),
            cpu(24_000, 60, range_uj=SMALL),
            cpu(34_000, 360, range_uj=SMALL),
        ),
        # 400 W in 300 s are 120 kJ: of 10, 75.5 and 141.1 kJ the last is nearest, and too much
        10_000 + SMALL / J,
        "modelled",
        "several-wraps",
        {"several-wraps": 1},
    ),
    "several wraps, power unknown: the least": Row(
        (cpu(0, 1000, range_uj=SMALL), cpu(20_000, 1600, range_uj=SMALL)),
        20_000,
        "modelled",
        "several-wraps",
        {"several-wraps": 1},
    ),
    "limit unknown: 1000 W may be drawn": Row(
        (cpu(0, 1000, range_uj=SMALL, max_watts=0), cpu(9_000, 1090, range_uj=SMALL, max_watts=0)),
        9_000,
        "modelled",
        "several-wraps",
        {"several-wraps": 1},
    ),
    "limit unknown, each minute: decided": Row(
        (cpu(0, 1000, range_uj=SMALL, max_watts=0), cpu(9_000, 1060, range_uj=SMALL, max_watts=0)),
        9_000,
        "measured",
        "measured",
    ),
    # CodeCarbon makes 0 J of it
    "less, and the range is not known": Row(
        (cpu(0, 0, range_uj=None), cpu(6_000, 60, range_uj=None), cpu(10, 120, range_uj=None)),
        6_000,
        "modelled",
        "unknown-range",
        {"unknown-range": 1},
    ),
    "absurdly much": Row(
        (cpu(0, 0), cpu(6_000, 60), cpu(200_000, 120)),
        6_000,
        "modelled",
        "implausible",
        {"implausible": 1},
    ),
    "absurdly much, nothing known": Row(
        (cpu(0, 0), cpu(200_000, 60)), 0, "modelled", "implausible", {"implausible": 1}
    ),
    # a limit that was read may be no limit: turbo, or a firmware's that is not in force
    "above its limit, and the only answer": Row(
        (cpu(0, 0), cpu(60 * 500, 60)), 60 * 500, "measured", "measured", {"above-limit": 1}
    ),
    "twice above its limit": Row(
        (cpu(0, 0), cpu(60 * 500, 60), cpu(120 * 500, 120)),
        60 * 500,
        "measured",
        "measured",
        {"above-limit": 1},
    ),
    "above its limit, and it may have gone round": Row(
        (
            cpu(0, 0, range_uj=SMALL),
            cpu(1_000, 60, range_uj=SMALL),
            cpu(46_000, 120, range_uj=SMALL),
            cpu(40_000, 180, range_uj=SMALL),
        ),
        45_000,
        "modelled",
        "implausible",
        {"implausible": 1},
    ),
    "memory of 280 W, no limit known": Row(
        (dram(0, 0, range_uj=SMALL, max_watts=0), dram(60 * 280, 60, range_uj=SMALL, max_watts=0)),
        60 * 280,
        "measured",
        "measured",
    ),
    "5 % above the limit is on average only": Row(
        (cpu(0, 0), cpu(60 * 420, 60)), 60 * 420, "measured", "measured"
    ),
    "time goes back: a store put back": Row(
        (cpu(0, 0), cpu(6_000, 60), cpu(5_000, 30)),
        0,
        "modelled",
        "implausible",
        {"implausible": 1},
    ),
    "another range": Row(
        (cpu(262_000, 0), cpu(100, 60, range_uj=SMALL)),
        0,
        "modelled",
        "implausible",
        {"implausible": 1},
    ),
    "suspended: the counter went on": Row(
        (cpu(0, 1000, awake_s=1000.0), cpu(3_000, 30_000, awake_s=1060.0)),
        3_000,
        "measured",
        "measured",
    ),
    "suspended, not told: several are possible": Row(
        (cpu(0, 1000), cpu(3_000, 30_000)), 3_000, "modelled", "several-wraps", {"several-wraps": 1}
    ),
    "suspended: began at 0, or wrapped": Row(
        (
            cpu(255_000, 940, awake_s=940.0),
            cpu(261_000, 1000, awake_s=1000.0),
            cpu(1000, 9000, awake_s=1060.0),
        ),
        6_000,
        "modelled",
        "suspended",
        {"suspended": 1},
    ),
    "GPU": Row((gpu(5e6, 1000), gpu(5e6 + 9000, 1060)), 9000, "measured", "measured"),
    "limit lowered meanwhile": Row(
        (gpu(0, 1000), gpu(23_000, 1060, max_watts=200.0)), 23_000, "measured", "measured"
    ),
    "GPU, a month later": Row((gpu(0, 0), gpu(2.6e8, 2.6e6)), 2.6e8, "measured", "measured"),
    "GPU vanished and back": Row(
        (gpu(1000, 1000), cpu(0, 1060), gpu(9000, 1120)), 8000, "measured", "bridged"
    ),
    "driver reloaded": Row(
        (gpu(5e6, 1000), gpu(700, 1060, epoch="b1/1040")), 700, "measured", "reset"
    ),
    "driver reloaded, further than it was": Row(
        (gpu(50, 1000), gpu(700, 1060, epoch="b1/1040")), 700, "measured", "reset"
    ),
    "driver reloaded, unnoticed": Row((gpu(5e6, 1000), gpu(700, 1060)), 700, "measured", "reset"),
    "driver reloaded, and more than it can draw since": Row(
        (gpu(5e6, 1000), gpu(90_000, 1060)), 0, "modelled", "implausible", {"implausible": 1}
    ),
    "driver's start not told this time": Row(
        (gpu(50, 1000), gpu(700, 1060, epoch="b1")), 650, "measured", "measured"
    ),
    "driver's start told in another way": Row(
        (gpu(5e6, 1000), gpu(5e6 + 900, 1060, epoch="b1/11")), 900, "measured", "measured"
    ),
    "GPU after a boot": Row(
        (gpu(5e6, 90_000), gpu(3000, 60, epoch="b2/20")), 3000, "measured", "reset"
    ),
    "power alone: the mean of both ends": Row(
        (gpu_power(100, 1000), gpu_power(300, 1060)), 12_000, "modelled", "power"
    ),
    "power, first sight": Row((gpu_power(100, 1000),), 0, "measured", "first"),
    "power, one failed": Row(
        (gpu_power(100, 1000), gpu_power(None, 1060), gpu_power(200, 1120)),
        18_000,
        "modelled",
        "power",
    ),
    "power, not a number": Row(
        (gpu_power(100, 1000), gpu_power(float("nan"), 1060), gpu_power(100, 1120)),
        12_000,
        "modelled",
        "power",
    ),
    "power, absurd": Row(
        (gpu_power(100, 1000), gpu_power(70_000, 1060), gpu_power(100, 1120)),
        12_000,
        "modelled",
        "power",
    ),
    "power, nobody looked for an hour": Row(
        (gpu_power(100, 1000), gpu_power(100, 4600)),
        360_000,
        "modelled",
        "power-gap",
        {"power-gap": 1},
    ),
    "power after a boot": Row(
        (gpu_power(100, 90_000), gpu_power(100, 60, epoch=NEXT_BOOT)), 0, "measured", "first"
    ),
    "counter no longer told": Row(
        (gpu(0, 1000), gpu(6000, 1060), gpu_power(100, 1120)), 6000, "modelled", "power"
    ),
    "counter told at last": Row(
        (gpu_power(100, 1000), gpu(9e5, 1060, epoch=BOOT)), 6000, "modelled", "power"
    ),
}


def run(readings: tuple[Counter, ...]) -> tuple[list[Delta], dict[str, int]]:
    """Take readings in one after the other; the skipped ones are those of the last run."""
    last: dict[str, Counter] = {}
    found: list[Delta] = []
    skipped: Mapping[str, int] = {}
    for reading in readings:
        counted = deltas(last, [reading])
        last, skipped = dict(counted.last), dict(counted.skipped)
        found += counted.deltas
    return found, skipped


@pytest.mark.parametrize("row", TABLE.values(), ids=TABLE)
def test_table(row: Row) -> None:
    """Each row is exact, or says that it is an estimate."""
    found, skipped = run(row.readings)
    last = found[-1]
    assert (last.uj, last.basis, last.reason) == (round(row.joules * J), row.basis, row.reason)
    assert skipped == row.skipped
    assert set(skipped) <= set(SKIPPED)
    assert last.to_s == row.readings[-1].at_s
    assert last.from_s <= last.to_s


@pytest.mark.parametrize("row", TABLE.values(), ids=TABLE)
def test_after_any_row_a_plain_interval_is_exact(row: Row) -> None:
    """Nothing that happened once makes what comes after it wrong."""
    end = row.readings[-1]
    if not end.has_counter or end.uj is None:
        return
    later = end._replace(uj=end.uj + 600 * J, at_s=end.at_s + 60)
    if end.awake_s is not None:
        later = later._replace(awake_s=end.awake_s + 60)
    if end.range_uj and later.uj and later.uj > end.range_uj:
        later = later._replace(uj=later.uj - end.range_uj)
    found, skipped = run((*row.readings, later))
    assert (found[-1].uj, found[-1].basis, skipped) == (600 * J, "measured", {})


def test_a_failed_read_gives_nothing_and_is_told_nowhere_as_0() -> None:
    counted = deltas({}, [cpu(1000, 0)])
    counted = deltas(counted.last, [cpu(None, 60)])
    assert counted.deltas == ()
    assert counted.last["rapl:package-0"] == cpu(1000, 0, missed=1)


@pytest.mark.parametrize("joules", [-1.0, 300_000.0])
def test_a_reading_that_cannot_be_one_is_counted(joules: float) -> None:
    last = deltas({}, [cpu(1000, 0)]).last
    counted = deltas(last, [cpu(joules, 60)])
    assert (counted.deltas, dict(counted.skipped)) == ((), {"implausible": 1})


def test_the_same_counter_twice_counts_once() -> None:
    """As of intel-rapl-mmio, or of a GPU for each of its instances."""
    last = deltas({}, [gpu(1000, 0), gpu(1000, 0)]).last
    counted = deltas(last, [gpu(3000, 60), gpu(3000, 60), gpu(3000, 60)])
    assert [one.uj for one in counted.deltas] == [2000 * J]
    assert counted.skipped == {"duplicate": 2}


def test_the_order_of_zones_does_not_matter() -> None:
    """A zone is its name and die: folders are numbered anew at each boot."""
    zones = [cpu(100, 0), cpu(50_000, 0, name="rapl:package-1"), gpu(7, 0)]
    last = deltas({}, zones).last
    later = [z._replace(uj=z.uj + 100 * J, at_s=60.0) for z in zones if z.uj is not None]
    assert deltas(last, later).deltas == deltas(last, later[::-1]).deltas
    assert {one.uj for one in deltas(last, later).deltas} == {100 * J}


@pytest.mark.parametrize("failing", ["rapl:package-0", "rapl:package-1", "gpu:GPU-1"])
def test_one_failure_does_not_touch_the_others(failing: str) -> None:
    zones = [cpu(100, 0), cpu(100, 0, name="rapl:package-1"), gpu(100, 0)]
    last = deltas({}, zones).last
    later = [z._replace(uj=None if z.name == failing else 200 * J, at_s=60.0) for z in zones]
    assert [one.uj for one in deltas(last, later).deltas] == [100 * J, 100 * J]


@settings(max_examples=2000, derandomize=True, database=None, deadline=None)
@given(st.integers(0, 2**64))
def test_faults_neither_lose_nor_add(seed: int) -> None:
    """A day of a counter that wraps, fails, vanishes and jumps out of range, not for too long."""
    dice = random.Random(seed)
    wraps = dice.choice((SMALL, LARGE, None))
    truth, at_s, counted_uj = dice.randrange(10**9), 100.0, 0
    last = dict(deltas({}, [cpu(truth / J, at_s, range_uj=wraps)]).last)
    begin = truth
    for failed in (0, *(dice.choice((0, 0, 1, 1)) for _ in range(10)), 0, 0):
        seconds = dice.uniform(1, 70)
        at_s += seconds
        truth += round(dice.uniform(0, 400) * seconds * J)
        raw = truth % wraps if wraps else truth
        faults: list[list[Counter]] = [[], [cpu(None, at_s)], [cpu(-1, at_s)]]
        is_decidable = last["rapl:package-0"].missed < 1
        now = [cpu(0, at_s, uj=raw, range_uj=wraps)]
        counted = deltas(last, dice.choice(faults) if failed and is_decidable else now)
        last = dict(counted.last)
        assert {one.basis for one in counted.deltas} <= {"measured"}
        counted_uj += sum(one.uj for one in counted.deltas)
    assert counted_uj == truth - begin


@settings(max_examples=3000, derandomize=True, database=None, deadline=None)
@given(st.integers(0, 2**64))
def test_nothing_is_more_than_can_be_drawn(seed: int) -> None:
    """Whatever two readings are: no phantom energy, and every estimate is counted."""
    dice = random.Random(seed)
    wraps, limit = dice.choice((SMALL, LARGE, None)), dice.choice((0.0, 65.0, 400.0))
    last: dict[str, Counter] = {}
    at_s, epoch, from_s = 0.0, "b0", 0.0
    for i in range(6):
        if dice.random() < 0.2:
            at_s, epoch, from_s = dice.uniform(0, 200), f"b{i}", 0.0
        at_s += dice.choice((0, 1, 60, 3600, 10**6))
        uj = dice.choice((0, dice.randrange(10**8), dice.randrange(10**12)))
        now = gpu(0, at_s, uj=uj, range_uj=wraps, max_watts=limit, epoch=epoch)
        is_seen = now.range_uj is None or uj <= now.range_uj
        counted = deltas(last, [now])
        last = dict(counted.last)
        for one in counted.deltas:
            assert 0 <= one.uj <= 1.05 * 1000 * (at_s - from_s + 0.2) * J + 1
            is_above = "above-limit" in counted.skipped
            is_estimate = is_above or one.basis == "modelled"
            assert is_estimate or one.uj <= 1.05 * (limit or 1000) * (at_s - from_s + 0.2) * J + 1
            assert (one.basis == "modelled") == bool(counted.skipped.keys() - {"above-limit"})
        from_s = at_s if is_seen else from_s


def psys(joules: float | None, at_s: float) -> Counter:
    return cpu(joules, at_s, name="rapl:psys", component="other", max_watts=600.0)


# each minute: psys 10 kJ, package 6 kJ, memory 1 kJ, so that 3 kJ are left; x: a failed read
NESTED = {
    "all read": ("...", "...", "..."),
    "a package failed": (".x.", "...", "..."),
    "memory failed": ("...", "...", ".x."),
    "psys failed": ("...", ".x.", "..."),
    "psys failed twice": ("....", ".xx.", "...."),
    "one after the other": ("..x..", ".x...", "...x."),
    "all failed": (".x.", ".x.", ".x."),
}


@pytest.mark.parametrize("marks", NESTED.values(), ids=NESTED)
def test_psys_is_what_its_parts_are_not(marks: tuple[str, str, str]) -> None:
    """Nothing is counted twice, and nothing lost, whichever reading fails."""
    last: dict[str, Counter] = {}
    sums = {"cpu": 0, "other": 0, "dram": 0}
    size = len(marks[0])
    for i in range(size + 1):
        ok = [i >= size or mark[i] == "." for mark in marks]
        now = [
            cpu(6000 * i if ok[0] else None, 60 * i),
            psys(10_000 * i if ok[1] else None, 60 * i),
            dram(1000 * i if ok[2] else None, 60 * i),
        ]
        counted = deltas(last, now)
        last = dict(counted.last)
        assert counted.skipped == {}
        for one in counted.deltas:
            sums[one.component] += one.uj
    assert sums == {"cpu": 6000 * size * J, "other": 3000 * size * J, "dram": 1000 * size * J}


def test_psys_less_than_its_parts_is_0_and_told() -> None:
    last = deltas({}, [cpu(0, 0), psys(0, 0)]).last
    counted = deltas(last, [cpu(6000, 60), psys(5000, 60)])
    assert {one.component: one.uj for one in counted.deltas} == {"cpu": 6000 * J, "other": 0}
    assert counted.skipped == {"psys-below-parts": 1}


def test_psys_does_not_wait_for_a_package_that_is_gone() -> None:
    last = dict(deltas({}, [cpu(0, 0), psys(0, 0)]).last)
    found = []
    for i in range(1, 80):
        counted = deltas(last, [psys(1000 * i, 60 * i)])
        last = dict(counted.last)
        found += counted.deltas
    assert sum(one.uj for one in found) == 79_000 * J


def test_a_model_is_counted_and_part_of_psys() -> None:
    last = deltas({}, [psys(0, 0)]).last
    counted = deltas(last, [psys(6000, 60)], (model("dram", 40.0, 0.0, 60.0),))
    assert {(d.component, d.uj, d.basis) for d in counted.deltas} == {
        ("dram", 2400 * J, "modelled"),
        ("other", 3600 * J, "modelled"),
    }


def test_every_component_has_a_limit() -> None:
    assert set(MOST_WATTS) == {"cpu", "dram", "gpu", "other"}
