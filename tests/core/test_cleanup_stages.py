"""What is due after so much counted time: no warning is skipped, and the rest follows each."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ds01ctl.core.cleanup_model import Warned
from ds01ctl.core.cleanup_stages import IDLE, RUNTIME, due, due_in_report, given
from tests.core.worlds import NOON


def warned(stage: int, counted_s: float, part: str = "idle", **more: object) -> Warned:
    row = {"at": NOON, "channels": ("mail a@b",), **more}
    return Warned(part, stage, counted_s=counted_s, **row)  # type: ignore[arg-type]


TABLE = [
    # counted, limit, first and last warning, what is due
    (799, 1000, None, None, None),
    (800, 1000, None, None, ("warn", 1, 200)),
    (5000, 1000, None, None, ("warn", 1, 200)),
    (900, 1000, 800, None, None),
    (949, 1000, 800, None, None),
    (950, 1000, 800, None, ("warn", 2, 50)),
    (5000, 1000, 4900, None, None),
    (5050, 1000, 4900, None, ("warn", 2, 50)),
    (999, 1000, 800, 950, None),
    (1000, 1000, 800, 950, ("stop", 0, 0)),
    (1000, 1000, 850, 999, None),
    (1050, 1000, 850, 999, ("stop", 0, 0)),
    (5100, 1000, 4900, 5060, None),
    (5110, 1000, 4900, 5060, ("stop", 0, 0)),
    # demand is high now, and half the time is left
    (850, 500, 800, None, None),
    (875, 500, 800, None, ("warn", 2, 25)),
    (900, 500, 800, 880, None),
    (905, 500, 800, 880, ("stop", 0, 0)),
    # demand is low again: the whole time holds, and warnings of the shorter one are none
    (905, 1000, 800, 880, None),
    (1000, 1000, 400, 475, ("warn", 1, 200)),
    (1000, 1000, 800, 475, ("warn", 2, 50)),
    (1000, 1000, 793, 941, ("stop", 0, 0)),
]


@pytest.mark.parametrize(("counted", "limit", "first", "last", "expected"), TABLE)
def test_due(
    counted: float,
    limit: float,
    first: float | None,
    last: float | None,
    expected: tuple[str, int, float] | None,
) -> None:
    found = due(
        IDLE,
        counted,
        limit,
        None if first is None else warned(1, first),
        None if last is None else warned(2, last),
    )
    assert (found and (found.what, found.stage, pytest.approx(found.in_s))) == expected


@pytest.mark.parametrize(
    ("counted", "first", "last", "what"),
    [
        (749, None, None, None),
        (750, None, None, "warn"),
        (899, 750, None, None),
        (900, 750, None, "warn"),
        (1000, 750, 900, "stop"),
        (1000, 760, 900, None),
        (1000, 750, 901, None),
    ],
)
def test_due_of_run_time(
    counted: float, first: float | None, last: float | None, what: str | None
) -> None:
    told = [None if c is None else warned(s, c, "runtime") for s, c in ((1, first), (2, last))]
    found = due(RUNTIME, counted, 1000, *told)
    assert (found and found.what) == what


@pytest.mark.parametrize(
    ("counted", "expected"),
    [(799, None), (800, ("warn", 1)), (950, ("warn", 2)), (1000, ("stop", 0))],
)
def test_due_in_report(counted: float, expected: tuple[str, int] | None) -> None:
    found = due_in_report(IDLE, counted, 1000)
    assert (found and (found.what, found.stage)) == expected


BEFORE = NOON - timedelta(hours=1)


@pytest.mark.parametrize(
    ("rows", "first", "last"),
    [
        ([], None, None),
        ([warned(1, 800), warned(2, 950)], 800, 950),
        ([warned(2, 950)], None, None),
        ([warned(1, 800, channels=())], None, None),
        ([warned(1, 800), warned(2, 950, channels=())], 800, None),
        ([warned(1, 800, "runtime"), warned(2, 950, "runtime")], None, None),
        ([warned(1, 800), warned(2, 950), warned(1, 970)], 970, None),
        ([warned(1, 1800)], None, None),
        ([warned(1, 800, at=BEFORE), warned(2, 950)], None, None),
        ([warned(1, 800, at=BEFORE), warned(1, 900), warned(2, 950)], 900, 950),
    ],
)
def test_which_warnings_count(rows: list[Warned], first: float | None, last: float | None) -> None:
    """Delivered, of this part, of this idleness, and since whatever spared it last."""
    since = NOON - timedelta(minutes=30)
    found = given(rows, "idle", 1000, since)
    assert tuple(one and one.counted_s for one in found) == (first, last)
