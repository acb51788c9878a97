"""Exemptions: every form of a date, and never another person's."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest

from ds01ctl.config.read import load_policy
from ds01ctl.core.quantity import FOREVER
from ds01ctl.paths import Paths
from tests.config.sample import EXEMPTIONS, load, problems_of, write

if TYPE_CHECKING:
    from pathlib import Path

    from ds01ctl.core.policy import Policy

UTC = timezone.utc
BERLIN_SUMMER = timezone(timedelta(hours=2))


def exempt(tmp_path: Path, expires_on: str) -> Policy:
    row = (
        f"exemptions:\n- {{username: a, exempt_from: [max_runtime_h], expires_on: {expires_on}}}\n"
    )
    path = write(tmp_path, "", lifecycle_exemptions_yaml=row)
    return load_policy(path, Paths(tmp_path), BERLIN_SUMMER)


DATES = [
    ("null", None),
    ("", None),
    ("2026-06-30", datetime(2026, 6, 30, 22, tzinfo=UTC)),
    ("'2026-06-30'", datetime(2026, 6, 30, 22, tzinfo=UTC)),
    ("2026-6-3", datetime(2026, 6, 3, 22, tzinfo=UTC)),
    ("2026-06-30 12:00:00", datetime(2026, 6, 30, 10, tzinfo=UTC)),
    ("2026-06-30T12:00:00", datetime(2026, 6, 30, 10, tzinfo=UTC)),
    ("'2026-06-30T12:00:00'", datetime(2026, 6, 30, 10, tzinfo=UTC)),
    ("'2026-06-30 12:00'", datetime(2026, 6, 30, 10, tzinfo=UTC)),
    ("2026-06-30T23:59:59Z", datetime(2026, 6, 30, 23, 59, 59, tzinfo=UTC)),
    ("'2026-06-30T23:59:59Z'", datetime(2026, 6, 30, 23, 59, 59, tzinfo=UTC)),
    ("2026-06-30 12:00:00 +05:30", datetime(2026, 6, 30, 6, 30, tzinfo=UTC)),
    ("2026-06-30T12:00:00-0500", datetime(2026, 6, 30, 17, tzinfo=UTC)),
    ("2026-06-30t12:00:00.25 -5", datetime(2026, 6, 30, 17, 0, 0, 250000, tzinfo=UTC)),
    ("2026-06-30T12:00:00.123456789Z", datetime(2026, 6, 30, 12, 0, 0, 123456, tzinfo=UTC)),
    ("9999-12-31", FOREVER),
]


@pytest.mark.parametrize(("written", "expected"), DATES)
def test_date(tmp_path: Path, written: str, expected: datetime | None) -> None:
    (row,) = exempt(tmp_path, written).exemptions
    assert row.expires_at == expected


def test_a_date_is_over_at_the_midnight_at_its_end(tmp_path: Path) -> None:
    policy = exempt(tmp_path, "2026-06-30")
    last = datetime(2026, 6, 30, 23, 59, 59, tzinfo=BERLIN_SUMMER)
    assert policy.exemption("a", "max_runtime_h", last)
    assert not policy.exemption("a", "max_runtime_h", last + timedelta(seconds=1))


@pytest.mark.parametrize(
    "written", ["soon", "2026-13-01", "30.6.2026", "[2026-06-30]", "2026", "1d"]
)
def test_a_date_that_is_none_stops_the_run(tmp_path: Path, written: str) -> None:
    row = f"exemptions:\n- username: a\n  exempt_from: [max_runtime_h]\n  expires_on: {written}\n"
    (problem,) = problems_of(tmp_path, "", lifecycle_exemptions_yaml=row)
    assert (problem.line, problem.key) == (4, "exemptions[0].expires_on")


ROWS = [
    ("exempt_from: [max_runtime_h]", "has no username"),
    ("username: a", "exempt_from: expected a list"),
    ("{username: a, exempt_from: max_runtime_h}", "exempt_from: expected a list"),
    ("{username: a, exempt_from: [max_runtim_h]}", "did you mean max_runtime_h?"),
    ("{username: a, exempt_from: [max_runtime_h], expire_on: null}", "did you mean expires_on?"),
    ("{username: '', exempt_from: [max_runtime_h]}", "is not a login"),
    ("{username: [a], exempt_from: [max_runtime_h]}", "is not a login"),
    ("just text", "expected keys"),
]


@pytest.mark.parametrize(("row", "said"), ROWS)
def test_a_row_that_is_wrong(tmp_path: Path, row: str, said: str) -> None:
    text = f"exemptions:\n- {row}\n"
    assert any(
        said in str(one) for one in problems_of(tmp_path, "", lifecycle_exemptions_yaml=text)
    )


def test_rows_with_harmless_oddities_count(tmp_path: Path) -> None:
    text = (
        "exemptions:\n"
        "- {username: 204999, exempt_from: [max_runtime], category: favour, expires_on: null}\n"
        "- {username: b, exempt_from: [idle_timeout_h]}\n"
    )
    policy = load(tmp_path, "defaults: {max_cpus: 4}", lifecycle_exemptions_yaml=text)
    now = datetime(2030, 1, 1, tzinfo=UTC)
    assert policy.exemption("204999", "max_runtime_h", now)
    assert policy.exemption("b", "idle_timeout_h", now)
    assert len(policy.warnings) == 2


@pytest.mark.parametrize("text", ["", "exemptions:\n", "exemptions: []\n", "# nobody\n"])
def test_nobody_is_exempt(tmp_path: Path, text: str) -> None:
    assert load(tmp_path, "", lifecycle_exemptions_yaml=text).exemptions == ()


def test_a_row_that_says_the_same_again_is_told(tmp_path: Path) -> None:
    row = "- {username: a, exempt_from: [max_runtime_h, idle_timeout_h], expires_on: 2026-06-30}\n"
    turned = row.replace("max_runtime_h, idle_timeout_h", "idle_timeout_h, max_runtime_h")
    later = row.replace("06-30", "07-31")
    text = f"exemptions:\n{row}{later}{turned}"
    policy = load(tmp_path, "defaults: {max_cpus: 4}", lifecycle_exemptions_yaml=text)
    (warning,) = policy.warnings
    assert (warning.line, warning.message) == (4, "a: says the same as line 2")


NOW = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("login", "what", "is_exempt"),
    [
        ("204999@uni.example", "max_runtime_h", True),
        ("204999", "max_runtime_h", True),
        ("204999@uni.example", "idle_timeout_h", False),
        ("20499", "max_runtime_h", False),
        ("", "max_runtime_h", False),
    ],
)
def test_who_is_exempt(tmp_path: Path, login: str, what: str, is_exempt: bool) -> None:
    policy = load(tmp_path, "", lifecycle_exemptions_yaml=EXEMPTIONS)
    assert (policy.exemption(login, what, NOW) is not None) is is_exempt
    assert policy.exemption(login, what, datetime(2026, 7, 1, tzinfo=UTC)) is None


def test_an_exemption_never_goes_to_another_person(tmp_path: Path) -> None:
    policy = load(
        tmp_path,
        "groups: {a: {members: [a_b]}}\nbare_metal_access: {exempt_users: [c.d@x]}\n",
        lifecycle_exemptions_yaml=(
            "exemptions:\n- {username: a.b@x, exempt_from: [max_runtime_h], expires_on: null}\n"
        ),
        user_overrides_yaml="c-d: {}\n",
    )
    assert policy.exemption("a.b@x", "max_runtime_h", NOW)
    assert not policy.exemption("a_b", "max_runtime_h", NOW)
    assert policy.bare_metal_exempt("c.d@x")
    assert not policy.bare_metal_exempt("c-d")
    assert not policy.bare_metal_exempt("c_d")


def test_two_domains_are_two_people(tmp_path: Path) -> None:
    policy = load(tmp_path, "bare_metal_access: {exempt_users: [eve@staff]}\n")
    assert policy.bare_metal_exempt("eve@staff")
    assert policy.bare_metal_exempt("eve")
    assert not policy.bare_metal_exempt("eve@students")


def test_the_longest_of_several_holds(tmp_path: Path) -> None:
    text = "exemptions:\n" + "".join(
        f"- {{username: a, exempt_from: [max_runtime_h], expires_on: {date}}}\n"
        for date in ("2026-05-02", "2026-08-01", "2026-01-01")
    )
    policy = load(tmp_path, "", lifecycle_exemptions_yaml=text)
    found = policy.exemption("a", "max_runtime_h", NOW)
    assert found is not None
    assert found.origin.line == 3
    assert len(policy.exemptions_of("a")) == 3
