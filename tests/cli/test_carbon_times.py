"""Which hours a report is on, around the days on which clocks are set."""

from __future__ import annotations

import time
from datetime import datetime, timezone

import pytest

from ds01ctl.commands.carbon_factors import month_of
from ds01ctl.commands.carbon_times import buckets, hour_of, period_of, periods_of, time_of
from ds01ctl.core.carbon_report import Period


@pytest.fixture(params=["Europe/Berlin"])
def zone(request, monkeypatch):
    """The zone of the host."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


def local(hour: int) -> str:
    return f"{time_of(hour).astimezone():%Y-%m-%d %H:%M}"


@pytest.mark.parametrize(
    ("now", "today", "month"),
    [
        ("2026-10-28 12:00", "2026-10-28 00:00", "2026-10-01 00:00"),
        # the days on which summer ends and begins
        ("2026-10-25 12:00", "2026-10-25 00:00", "2026-10-01 00:00"),
        ("2026-03-29 12:00", "2026-03-29 00:00", "2026-03-01 00:00"),
        ("2026-03-30 12:00", "2026-03-30 00:00", "2026-03-01 00:00"),
        ("2026-10-31 23:30", "2026-11-01 00:00", "2026-11-01 00:00"),
    ],
)
@pytest.mark.usefixtures("zone")
def test_today_and_this_month(now, today, month) -> None:
    found = [local(one.first) for one in periods_of(None, None, utc(now))]
    assert found == [today, month]
    first = periods_of(None, None, utc(now))[1].first
    # as budgets have it
    assert month_of(first) != month_of(first - 1)


@pytest.mark.parametrize("zone", ["Africa/Cairo"], indirect=True)
@pytest.mark.usefixtures("zone")
def test_a_day_without_a_midnight() -> None:
    found = periods_of(None, None, utc("2026-04-24 12:00"))
    assert [local(one.first) for one in found] == ["2026-04-24 01:00", "2026-04-01 00:00"]


@pytest.mark.parametrize("until", ["2026-11-01", "2026-10-26", "2026-10-25T12:00"])
@pytest.mark.usefixtures("zone")
def test_the_month_of_an_end(until) -> None:
    assert local(period_of(None, until, utc("2026-11-03 12:00")).first) == "2026-10-01 00:00"


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Asia/Kolkata", "Africa/Cairo"], indirect=True)
@pytest.mark.usefixtures("zone")
def test_every_hour_is_in_the_bucket_of_its_day() -> None:
    first, end = (hour_of(utc(text)) for text in ("2026-03-01 00:00", "2026-12-01 00:00"))
    period = Period("period", first, end)
    found = buckets(period, period)
    hours = [hour for one in found for hour in range(one.first, one.end)]
    assert hours == list(range(first, end))
    assert all(
        local(hour).startswith(one.name) for one in found for hour in range(one.first, one.end)
    )
    assert len({one.name for one in found}) == len(found)


@pytest.mark.usefixtures("zone")
def test_an_hour_that_is_there_twice_is_one_bucket() -> None:
    first, end = (hour_of(utc(text)) for text in ("2026-10-24 22:00", "2026-10-25 04:00"))
    period = Period("period", first, end)
    found = [(one.name[-5:], one.end - one.first) for one in buckets(period, period)]
    assert found == [("00:00", 1), ("01:00", 1), ("02:00", 2), ("03:00", 1), ("04:00", 1)]
