"""Totals read back from our own metrics file: never less than what was shown, never nonsense."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ds01ctl.core.prom_recovery import LARGEST, MICRO, Series, parse, series
from ds01ctl.report.prometheus import Family, Sample, render

ENERGY = "ds01_energy_joules_total"
GRAMS = "ds01_carbon_grams_total"


def energy(user: str, component: str = "gpu") -> Series:
    return series(ENERGY, {"user": user, "component": component, "basis": "measured"})


def prom(totals: dict[Series, float]) -> str:
    """What the job writes of these totals, with the gauges that stand beside them."""
    names = {one.name for one in totals}
    families = [
        Family(
            name,
            "counter",
            "By user; of the last run.",
            tuple(Sample(dict(s.labels), v) for s, v in totals.items() if s.name == name),
        )
        for name in names
    ]
    gauge = Family("ds01_facility_pue_ratio", "gauge", "Of the site.", (Sample({}, 1.25),))
    return render([*families, gauge])


FILE = prom({energy("ann"): 12, energy("bob"): 5, series(GRAMS, {"user": "ann"}): 3})


def test_totals_are_read_in_millionths() -> None:
    shown, problems = parse(FILE)
    assert shown == {
        energy("ann"): 12 * MICRO,
        energy("bob"): 5 * MICRO,
        series(GRAMS, {"user": "ann"}): 3 * MICRO,
    }
    assert problems == ()


def test_gauges_are_not_totals() -> None:
    assert parse(prom({})) == ({}, ())


def test_no_file() -> None:
    assert parse("") == ({}, ())


HEAD = f"# HELP {ENERGY} By user.\n# TYPE {ENERGY} counter\n"
LINE = f'{ENERGY}{{user="ann"}} 12\n'
ODD = {
    "negative": (f"{HEAD}{ENERGY} -1\n", "line 3: ds01_energy_joules_total is -1"),
    "no number": (f"{HEAD}{ENERGY} NaN\n", "line 3: ds01_energy_joules_total is NaN"),
    "infinite": (f"{HEAD}{ENERGY} +Inf\n", "line 3: ds01_energy_joules_total is +Inf"),
    "hexadecimal": (f"{HEAD}{ENERGY} 0x10\n", "line 3: ds01_energy_joules_total is 0x10"),
    "underscores": (f"{HEAD}{ENERGY} 1_000\n", "line 3: ds01_energy_joules_total is 1_000"),
    "other digits": (f"{HEAD}{ENERGY} ١٢\n", "line 3: ds01_energy_joules_total is ١٢"),
    "too large to store": (f"{HEAD}{ENERGY} 9300000000000\n", "line 3: ds01_energy_joules_total"),
    "huge": (f"{HEAD}{ENERGY} 1e99\n", "line 3: ds01_energy_joules_total is 1e99"),
    "long": (f"{HEAD}{ENERGY} {'9' * 9000}\n", "line 3: ds01_energy_joules_total is 999"),
    "a time behind it": (f"{HEAD}{ENERGY} 1 1700000000\n", "line 3: not a series"),
    "no value": (f'{HEAD}{ENERGY}{{user="ann"}}\n', "line 3: not a series"),
    "half a line": (HEAD + LINE[:-1], "line 3: it ends in the middle of a line"),
    "half a label": (f'{HEAD}{ENERGY}{{user="an\n', "line 3: not a series"),
    "label twice": (
        f'{HEAD}{ENERGY}{{user="a",user="b"}} 1\n',
        "line 3: ds01_energy_joules_total has a label twice",
    ),
    "no type": (LINE, "line 1: ds01_energy_joules_total is not of the family above it"),
    "type of another": (
        f"# TYPE x_total counter\n{LINE}",
        "line 2: ds01_energy_joules_total is not of the family above it",
    ),
    "NULs, as after a crash": ("\0" * 40 + "\n", "line 1: not a series"),
    "a web page": ("<!DOCTYPE html>\n", "line 1: not a series"),
    "empty line": ("\n", "line 1: not a series"),
}


@pytest.mark.parametrize(("text", "problem"), ODD.values(), ids=ODD)
def test_what_is_odd_is_told_and_not_taken(text: str, problem: str) -> None:
    shown, problems = parse(text)
    assert shown == {}
    assert problems[0].startswith(problem)
    assert len(problems[0]) < 200


def test_one_odd_line_does_not_spoil_the_others() -> None:
    lines = FILE.splitlines(keepends=True)
    odd = next(i for i, line in enumerate(lines) if 'user="ann"' in line and ENERGY in line)
    shown, problems = parse("".join([*lines[:odd], "garbage\n", *lines[odd + 1 :]]))
    assert set(shown) == {energy("bob"), series(GRAMS, {"user": "ann"})}
    assert problems == (f"line {odd + 1}: not a series",)


def test_a_series_that_is_there_twice_is_not_known() -> None:
    shown, problems = parse(f"{HEAD}{LINE}{LINE.replace('12', '99')}")
    assert shown == {}
    assert problems == ("line 4: ds01_energy_joules_total is there twice with the same labels",)
    _, problems = parse(f"{HEAD}{LINE}{HEAD}")
    assert problems == ("line 5: a second TYPE of ds01_energy_joules_total",)


def test_the_largest_that_the_store_takes() -> None:
    found, _ = parse(f"{HEAD}{ENERGY} {LARGEST // MICRO}\n")
    assert found[Series(ENERGY)] <= LARGEST


@pytest.mark.parametrize("value", [0, 7, 1.5, 1e16 / MICRO, 12.000001, 9_000_000_000_000])
def test_numbers_as_we_write_them(value: float) -> None:
    found, problems = parse(prom({energy("ann"): value}))
    assert problems == ()
    assert found[energy("ann")] == pytest.approx(value * MICRO, rel=1e-15)


@settings(max_examples=300, derandomize=True, database=None, deadline=None)
@given(st.dictionaries(st.text(max_size=4), st.integers(0, LARGEST), max_size=4))
def test_what_we_write_is_what_we_read(users: dict[str, int]) -> None:
    """Any name, any total: less than a joule of each is lost."""
    named = {user.encode(errors="replace").decode(): uj for user, uj in users.items()}
    shown, problems = parse(prom({energy(user): uj // MICRO for user, uj in named.items()}))
    assert problems == ()
    assert shown == {energy(user): uj // MICRO * MICRO for user, uj in named.items()}


@settings(max_examples=500, derandomize=True, database=None, deadline=None)
@given(st.integers(0, len(FILE)), st.integers(0, len(FILE)), st.text(max_size=3))
def test_no_damage_makes_it_fail_or_negative(start: int, end: int, put: str) -> None:
    shown, _ = parse(FILE[: min(start, end)] + put + FILE[max(start, end) :])
    assert all(0 <= micro <= LARGEST for micro in shown.values())
