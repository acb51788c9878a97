"""Counters go on over log-outs, boots and slices that are made anew, and never lose a kill."""

import pytest

from ds01ctl.core.usage import Count, Usage, count, counters, pressure, remembered

BOOT = "b1"


def use(oom_kills: int, inode: int = 7) -> Usage:
    return Usage(inode, oom_kills=oom_kills)


@pytest.mark.parametrize(
    ("looks", "totals"),
    [
        ([use(5)], [0]),
        ([use(5), use(7)], [0, 2]),
        ([use(5), use(7), use(7)], [0, 2, 2]),
        # the slice was made anew: its counter begins at 0
        ([use(5), use(1, inode=8)], [0, 1]),
        ([use(5), use(9, inode=8)], [0, 9]),
        # a counter that fell is another one
        ([use(5), use(2)], [0, 2]),
    ],
)
def test_totals(looks: list[Usage], totals: list[int]) -> None:
    row, seen = None, []
    for number, one in enumerate(looks):
        found = count(one, row, BOOT, is_first=number == 0)
        seen.append(found["oom_kills"].total)
        row = remembered(one, found, BOOT)
    assert seen == totals


def test_another_boot_begins_at_zero() -> None:
    row = remembered(use(5), {"oom_kills": Count(3, 0)}, BOOT)
    assert count(use(6), row, "b2", is_first=False)["oom_kills"] == Count(9, 6)


def test_a_slice_that_is_new_to_us_counts_from_zero() -> None:
    """A log-in between two runs, and a kill in it."""
    assert count(use(1), None, BOOT, is_first=False)["oom_kills"] == Count(1, 1)


def test_unknown_is_not_zero() -> None:
    assert "oom_kills" not in count(Usage(7), None, BOOT, is_first=False)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("some avg10=1.25 avg60=0.00 avg300=0.00 total=5\nfull avg10=9.00 avg60=0", 1.25),
        ("", None),
        (None, None),
        ("some\n", None),
        ("some avg10=x\n", None),
    ],
)
def test_pressure(text: str | None, value: float | None) -> None:
    assert pressure(text) == value


def test_counters() -> None:
    assert counters("a 1\nb x\nc 2 3\nd 4\n") == {"a": 1, "d": 4}
