"""The grams of a month, read back from our own metrics."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from ds01ctl.core.carbon_series import MONTH, month_in
from ds01ctl.report.prometheus import Family, Sample, job_metrics, render

AT = datetime(2026, 11, 1, 0, 0, 10, tzinfo=timezone.utc)


def written(grams: dict[str, float], lasted_s: float = 12.5) -> str:
    samples = tuple(Sample({"user": user}, value) for user, value in grams.items())
    return render(
        (Family(MONTH, "gauge", "Of it.", samples), *job_metrics("carbon", AT, lasted_s, AT))
    )


def test_what_was_written_is_read() -> None:
    found = month_in(written({"alice": 12, 'b"\\ob': 1234567890}))
    assert found is not None
    assert found.ug == {"alice": 12_000_000, 'b"\\ob': 1234567890_000_000}
    # when the run began: its month is that run's
    assert found.at_s == AT.timestamp() - 12.5


@pytest.mark.parametrize(
    "text",
    ["", "rubbish", f'{MONTH}{{user="alice"}} 5\n', written({"alice": 1}).replace("duration", "x")],
)
def test_of_a_month_that_is_not_known_nothing_is(text) -> None:
    assert month_in(text) is None


@pytest.mark.parametrize("value", ["NaN", "-5", "+Inf", "1e99", "0x10"])
def test_a_value_that_we_never_write(value) -> None:
    text = written({"alice": 77, "bob": 1}).replace(" 77", f" {value}")
    found = month_in(text)
    assert found is not None
    assert found.ug == {"bob": 1_000_000}
