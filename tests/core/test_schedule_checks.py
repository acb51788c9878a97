"""Schedules as tables: what is judged wrong, and what is not."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from ds01ctl.core.schedule_checks import (
    Calendar,
    Schedule,
    overlaps,
    problems,
    row_problems,
    schedules,
    split_zone,
)
from ds01ctl.core.unit_text import UnitFile
from ds01ctl.jobs import Job

DAY = datetime(2026, 3, 2)  # noqa: DTZ001 -- the clock on the wall


def job(name: str, schedule: str = "*-*-* 05:10:00", **others: object) -> Job:
    row = Job(name, "a reason", ("x",), schedule, timeout_s=300, exposure=1.0)
    return row._replace(**others)


def daily(*hours: float, days: int = 3) -> Calendar:
    walls = tuple(DAY + timedelta(days=day, hours=hour) for day in range(days) for hour in hours)
    return Calendar(None, walls, tuple(wall.replace(tzinfo=timezone.utc) for wall in walls))


def schedule(expression: str = "x", **others: object) -> Schedule:
    return Schedule("ds01-a", "a.timer:3", expression, key="jobs.a.schedule")._replace(**others)


def kinds(expression: str, calendar: Calendar, delay_s: int = 0) -> list[str]:
    one = schedule(expression, delay_s=delay_s)
    return [problem.kind for problem in problems([one], {expression: calendar})]


@pytest.mark.parametrize(
    ("expression", "split"),
    [
        ("05:10 Europe/Berlin", ("05:10", "Europe/Berlin")),
        ("*-*-* 05:10 UTC", ("*-*-* 05:10", "UTC")),
        ("daily UTC", ("daily", "UTC")),
        ("Mon 05:10 Etc/GMT+5", ("Mon 05:10", "Etc/GMT+5")),
        ("UTC", ("UTC", "")),
        ("05:10", ("05:10", "")),
        ("daily", ("daily", "")),
        ("Mon", ("Mon", "")),
        ("Sat Sunday", ("Sat Sunday", "")),
        ("*-*-1/2", ("*-*-1/2", "")),
        ("*-*-* *:0/7", ("*-*-* *:0/7", "")),
    ],
)
def test_the_zone_is_the_last_word(expression: str, split: tuple[str, str]) -> None:
    assert split_zone(expression) == split


@pytest.mark.parametrize(
    ("expression", "better"),
    [
        ("*:0/7", "*:0..59/7"),
        ("*:3/7", "*:3..59/7"),
        ("*:1/59", "*:1"),
        ("*:0/7:00", "*:0..59/7:00"),
        ("*:*:0/11", "*:*:0..59/11"),
        ("0/13:15", "0..23/13:15"),
        ("*-*-* *:0/7 UTC", "*-*-* *:0..59/7 UTC"),
        ("*:5,0/7", "*:5,0..59/7"),
        ("*:0/5", None),
        ("*:3/10", None),
        ("0/6:00", None),
        ("0/5:00", "0..23/5:00"),
        ("*:0..59/7", None),
        ("*:0..30/7", None),
        ("*-*-1/9", None),
    ],
)
def test_steps_that_miss_midnight_are_spelt_out(expression: str, better: str | None) -> None:
    often = Calendar(None, tuple(DAY + timedelta(minutes=7 * n) for n in range(99)))
    found = problems([schedule(expression)], {expression: often})
    assert [one.kind for one in found] == (["step-at-midnight"] if better else [])
    assert all(one.severity == "error" and f"{better!a}" in one.fix for one in found)


@pytest.mark.parametrize(
    ("calendar", "delay_s", "kind"),
    [
        (daily(5.2), 600, []),
        (daily(3), 3600, []),
        (daily(0), 0, ["runs-at-midnight"]),
        (daily(23.9), 600, ["runs-at-midnight"]),
        (daily(23.9), 300, []),
        (daily(2.5), 0, ["clock-change"]),
        (daily(1), 0, ["clock-change"]),
        (daily(0.9), 300, []),
        (daily(0.9), 900, ["clock-change"]),
        (daily(2.99), 0, ["clock-change"]),
        (daily(23), 3 * 3600, ["runs-at-midnight", "clock-change"]),
        (daily(*range(24)), 0, []),
        (daily(*range(0, 24, 2)), 0, ["runs-at-midnight", "clock-change"]),
        (Calendar("no such thing"), 0, ["bad-schedule"]),
        (Calendar(), 0, ["never-fires"]),
    ],
)
def test_the_hours_that_are_not_safe(calendar: Calendar, delay_s: int, kind: list[str]) -> None:
    assert kinds("x", calendar, delay_s) == kind


@pytest.mark.parametrize(
    ("timeout_s", "kind"), [(3599, []), (3600, ["crowded"]), (9999, ["crowded"])]
)
def test_a_run_ends_before_the_next_begins(timeout_s: int, kind: list[str]) -> None:
    found = problems([schedule("x", timeout_s=timeout_s)], {"x": daily(5, 6, 9)})
    assert [one.kind for one in found] == kind


def test_utc_knows_no_clock_change() -> None:
    assert kinds("*-*-* 02:30 UTC", daily(2.5)) == []
    assert kinds("*-*-* 02:30 Europe/Berlin", daily(2.5)) == ["clock-change"]


def test_an_error_names_the_key_of_the_policy() -> None:
    (one,) = problems([schedule("foo")], {"foo": Calendar("'foo' is none")})
    assert (one.severity, one.message) == ("error", "a.timer:3: 'foo' is none")
    assert one.fix.startswith("set jobs.a.schedule in the policy")
    (one,) = problems([schedule("foo", key=None)], {"foo": Calendar()})
    assert one.fix == "change OnCalendar= to a time that is yet to come"


@pytest.mark.parametrize(
    ("first", "second", "found"),
    [
        (job("a"), job("b", "B"), []),
        (job("a", random_delay_s=3600), job("b", "B"), [("info", "overlap")]),
        (job("a", timeout_s=3601), job("b", "B"), [("info", "overlap")]),
        (job("a", timeout_s=3600), job("b", "B"), []),
        (job("a", timeout_s=3601, lock="l"), job("b", "B", lock="l"), [("warning", "overlap")]),
        (job("a", timeout_s=3601), job("b", "B", lock="a"), [("warning", "overlap")]),
        (job("a", timeout_s=3601), job("b", "B", enabled=False), []),
        (job("a", "30s"), job("b", "B"), []),
        (job("a", "30s", lock="l"), job("b", "60s", lock="l"), [("info", "shared-lock")]),
        (job("a", "30s", lock="b"), job("b", "B"), [("info", "shared-lock")]),
    ],
)
def test_overlaps(first: Job, second: Job, found: list[tuple[str, str]]) -> None:
    calendars = {"*-*-* 05:10:00": daily(5), "B": daily(6)}
    rows = [
        Schedule(
            one.unit, one.name, one.schedule, one.random_delay_s, one.timeout_s,
            one.lock or one.name, f"jobs.{one.name}.schedule",
        )
        for one in (first, second)
        if one.every_s is None
    ]  # fmt: skip
    told = overlaps(rows, calendars, [first, second])
    assert [(one.severity, one.kind) for one in told] == found


def test_an_overlap_says_when_it_is_the_first_time() -> None:
    weekly = Calendar(None, (), (datetime(2026, 3, 8, 5, 2, tzinfo=timezone.utc),))
    rows = [schedule("D", timeout_s=300), schedule("W", unit="ds01-b", timeout_s=60)]
    jobs = [job("a", "D"), job("b", "W")]
    (told,) = overlaps(rows, {"D": daily(5, days=9), "W": weekly}, jobs)
    assert "first on Sun 2026-03-08 at 05:02 UTC" in told.what


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (job("a", timeout_s=0), "no timeout"),
        (job("a", "30s", timeout_s=30), "may take 30 s"),
        (job("A b"), "the name"),
        (job("a", ""), "neither a time span nor"),
        (job("a", "05:10\nX"), "neither a time span nor"),
        (job("a", why=""), "why it is there"),
    ],
)
def test_a_bad_row_is_an_error(row: Job, said: str) -> None:
    (told,) = row_problems([row])
    assert told.severity == "error"
    assert said in told.what


def test_two_jobs_of_one_name() -> None:
    (told,) = row_problems([job("a"), job("a")])
    assert "two jobs have this name" in told.what


def test_schedules_are_read_from_the_timers() -> None:
    text = "[Timer]\nOnCalendar=Mon 5:00\nOnCalendar=\nOnCalendar=6:00\nRandomizedDelaySec=10min\n"
    files = [UnitFile("ds01-a.timer", text, "/x/ds01-a.timer"), UnitFile("b.service", text, "b")]
    found = schedules(files, [job("a")])
    assert [(one.where, one.expression, one.delay_s) for one in found] == [
        ("/x/ds01-a.timer:2", "Mon 5:00", 600),
        ("/x/ds01-a.timer:4", "6:00", 600),
    ]
    assert {(one.key, one.timeout_s, one.lock) for one in found} == {("jobs.a.schedule", 300, "a")}
