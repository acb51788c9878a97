"""The rows of jobs, and how the policy changes them."""

from __future__ import annotations

import pytest

from ds01ctl.core.policy import builtin_policy
from ds01ctl.jobs import FAILURE, JOBS, START, problems_of, scheduled, span_s
from ds01ctl.unitfiles.hardening import NEEDS, WHY

ROWS = pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)


@ROWS
def test_a_row_is_whole(job) -> None:
    assert problems_of(job) == []
    assert set(job.needs) <= set(NEEDS)
    assert set(job.capabilities) <= set(WHY)
    assert job.exposure <= 3.0
    assert all(path.startswith("/") for path in job.writes)


def test_names_are_unique() -> None:
    units = [job.unit for job in (*JOBS, FAILURE, START)]
    assert len(set(units)) == len(units)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("1h 30min", 5400),
        ("1h30m", 5400),
        (" 2 days ", 172800),
        ("90", None),
        ("0s", None),
        ("30 parsecs", None),
        ("30s x", None),
        ("daily", None),
        ("*:0/5", None),
        ("", None),
        ("-5s", None),
        ("\u0663s", None),
    ],
)
def test_time_spans(text: str, seconds: int | None) -> None:
    assert span_s(text) == seconds


def test_the_policy_has_the_last_word() -> None:
    values = {
        "jobs.detect.schedule": "  1min ",
        "jobs.state.schedule": "Mon  *-*-*\n 06:00",
        "jobs.state.enabled": False,
    }
    rows = {job.name: job for job in scheduled(values.get)}
    assert rows["detect"].every_s == 60
    assert (rows["state"].schedule, rows["state"].enabled) == ("Mon *-*-* 06:00", False)
    assert rows["units-check"] in JOBS


def test_a_job_may_be_off_until_the_policy_wants_it() -> None:
    """So that a host without project quotas has no timer that fails every night."""
    of = builtin_policy().value
    off = {job.name for job in scheduled(of) if not job.enabled}
    assert off == {"quota-volumes", "carbon-intensity"}
    wanted = {"jobs.quota-volumes.enabled": True, "jobs.carbon-intensity.enabled": True}
    assert all(job.enabled for job in scheduled(wanted.get))


def test_a_job_without_a_purpose_is_not_enabled_by_itself() -> None:
    def enabled(**values: object) -> bool:
        rows = scheduled({key.replace("__", "."): one for key, one in values.items()}.get)
        return next(job.enabled for job in rows if job.only_with == "carbon.provider")

    assert not enabled()
    assert not enabled(carbon__provider="none")
    assert enabled(carbon__provider="neso")
    assert not enabled(carbon__provider="neso", **{"jobs__carbon-intensity__enabled": False})
    assert enabled(**{"jobs__carbon-intensity__enabled": True})
