"""Which disk limit holds, and how limits, counts, names and ids are written."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest

from ds01ctl.core import storage
from ds01ctl.core.disk_quota import NO_LIMITS, Limits
from ds01ctl.core.people import Person
from ds01ctl.core.policy import Origin, Policy, Setting, builtin_policy
from ds01ctl.core.storage import StorageLimit, limits_from, limits_of, limits_text, parse_count

if TYPE_CHECKING:
    from collections.abc import Mapping

GIB = 1 << 30
TODAY = date(2026, 11, 23)
HERE = Origin("resource-limits.yaml", 1, "here")


def layer(until: date | None = None, **soft_gib: int) -> Mapping[str, Setting]:
    """Make a layer that limits /home by home=…; 0 is no limit."""
    limits = tuple(
        StorageLimit(f"/{name}", Limits(soft_bytes=gib * GIB), until, HERE)
        for name, gib in soft_gib.items()
    )
    return {"storage": Setting("storage", limits, HERE)}


def policy(*overrides: Mapping[str, Setting]) -> Policy:
    return Policy(
        defaults=layer(home=1, scratch=1, data=1),
        groups={"student": layer(home=2, scratch=2)},
        overrides={"alice": overrides} if overrides else {},
    )


PAST, FUTURE = date(2026, 11, 22), date(2026, 12, 24)
HELD = [
    ((), {"/home": 2, "/scratch": 2, "/data": 1}),
    ((layer(home=3),), {"/home": 3, "/scratch": 2, "/data": 1}),
    ((layer(until=TODAY, home=3),), {"/home": 3, "/scratch": 2, "/data": 1}),
    ((layer(until=PAST, home=3),), {"/home": 2, "/scratch": 2, "/data": 1}),
    ((layer(until=PAST, home=3), layer(home=4)), {"/home": 4, "/scratch": 2, "/data": 1}),
    ((layer(until=FUTURE, home=3), layer(home=4)), {"/home": 3, "/scratch": 2, "/data": 1}),
    ((layer(home=0, data=0),), {"/home": 0, "/scratch": 2, "/data": 0}),
    ((layer(until=PAST, other=3),), {"/home": 2, "/scratch": 2, "/data": 1}),
]


@pytest.mark.parametrize(("overrides", "expected"), HELD)
def test_the_first_layer_that_names_a_path_and_is_not_over_holds(
    overrides: tuple[Mapping[str, Setting], ...], expected: dict[str, int]
) -> None:
    held = limits_of(policy(*overrides), "alice", TODAY)
    assert {path: one.limits.soft_bytes // GIB for path, one in held.items()} == expected


def test_nobody_gets_the_limits_that_somebody_else_shares() -> None:
    """Members of one group are looked up once, but for those with values of their own."""
    host = policy(layer(home=3))
    host = host._replace(groups={**host.groups, "staff": layer(home=9)},
                         members={"carl": Setting("group", "staff", HERE)})  # fmt: skip
    logins = ("bob", "alice", "alice@uni.example", "carl", "dora")
    people = [Person(x, 1001 + i, str(host.group_of(x).value)) for i, x in enumerate(logins)]
    found = {one.login: limits for one, limits in storage.limits_of_all(host, people, TODAY)}
    assert found == {x: tuple(limits_of(host, x, TODAY).values()) for x in logins}
    assert len({id(found["bob"]), id(found["dora"])}) == 1
    assert found["alice"] == found["alice@uni.example"] != found["bob"] != found["carl"]


def test_ranked_lists_what_is_over_too() -> None:
    rows = storage.ranked(policy(layer(until=PAST, home=3)), "alice")["/home"]
    assert [row.limits.soft_bytes // GIB for row in rows] == [3, 2, 1]
    assert [row.is_over(TODAY) for row in rows] == [True, False, False]


def test_folders_are_those_of_all_layers() -> None:
    assert storage.folders_of(policy(layer(other=0))) == ("/data", "/home", "/other", "/scratch")
    assert storage.folders_of(builtin_policy()) == ()


def test_an_override_keeps_the_name_it_has() -> None:
    held = policy(layer(home=3))
    assert storage.override_name(held, "alice@uni.example") == "alice"
    assert storage.override_name(held, "bob@uni.example") == "bob@uni.example"
    assert storage.override_name(builtin_policy(), "x") == "x"


STEP = 1 << 16
LIMITS: list[tuple[dict[str, int | None], tuple[int, ...]]] = [
    ({}, NO_LIMITS),
    ({"soft": 100 * GIB}, (100 * GIB, 110 * GIB, 0, 0)),
    ({"hard": GIB}, (0, GIB, 0, 0)),
    ({"soft": GIB, "hard": GIB}, (GIB, GIB, 0, 0)),
    ({"soft": GIB, "hard": None}, (GIB, 0, 0, 0)),
    ({"soft": None}, NO_LIMITS),
    ({"soft": None, "hard": GIB}, (0, GIB, 0, 0)),
    ({"inodes_soft": 1_000_001}, (0, 0, 1_000_001, 1_100_002)),
    ({"inodes_hard": 5}, (0, 0, 0, 5)),
    ({"soft": 3 * STEP + 1, "hard": 4 * STEP - 1}, (4 * STEP, 4 * STEP, 0, 0)),
    ({"soft": GIB}, (GIB, 18023 * STEP, 0, 0)),
]


@pytest.mark.parametrize(("given", "expected"), LIMITS)
def test_limits_from(given: dict[str, int | None], expected: tuple[int, ...]) -> None:
    limits = limits_from(given)
    assert limits == expected
    assert not limits.soft_bytes % STEP
    assert not limits.hard_bytes % STEP


@pytest.mark.parametrize("names", [storage.SIZES, storage.INODES])
def test_soft_above_hard_is_refused(names: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match=f"{names[0]} is above {names[1]}"):
        limits_from({names[0]: 2 * GIB, names[1]: GIB})


COUNTS = {
    "2M": 2_000_000, "500k": 500_000, "1.5k": 1500, "40000": 40_000, "1 G": 10**9, "1.50K": 1500,
    "7.0": 7, "0": 0,
}  # fmt: skip


@pytest.mark.parametrize("text", COUNTS)
def test_parse_count(text: str) -> None:
    assert parse_count(text) == COUNTS[text]


@pytest.mark.parametrize("text", ["", "-1", "1.5", "1.2345k", "2Mi", "M", "1e5", "9" * 20, "٣"])
def test_what_is_no_count(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse_count(text)


def test_names_of_projects() -> None:
    good = ("vision", "a.b-c_9", "7b", "_x", "a" * 64)
    bad = ("", "7", "123", "-x", ".x", "a b", "a:b", "a/b", "ä", "a" * 65, "x\n", "1\n")
    assert [name for name in (*good, *bad) if storage.is_project_name(name)] == list(good)


def test_range_of_ids() -> None:
    assert storage.parse_ids(" 65537 - 66536 ") == range(65537, 66537)
    assert storage.project_ids(builtin_policy()) == range(2_000_000, 3_000_000)
    assert storage.parse_ids("4294966000-4294967294")[-1] == 2**32 - 2


@pytest.mark.parametrize(
    "text",
    ["", "2000000", "65536-70000", "70000-70998", "80000-70000", "4294966000-4294967295", "a-b"],
)
def test_what_is_no_range_of_ids(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        storage.parse_ids(text)


SHOWN = [
    (NO_LIMITS, "no limit"),
    (limits_from({"soft": 100 * GIB}), "soft 100 GiB, hard 110 GiB"),
    (limits_from({"soft": GIB}), "soft 1 GiB, hard 1.1 GiB"),
    (Limits(0, 3 << 39, 2_000_000, 0), "hard 1.5 TiB, soft 2M inodes"),
    (Limits(soft_inodes=500_000, hard_inodes=1_100_002), "soft 500k inodes, hard 1100002 inodes"),
    (Limits(hard_bytes=STEP), "hard 64 KiB"),
]


@pytest.mark.parametrize(("limits", "text"), SHOWN)
def test_limits_text(limits: Limits, text: str) -> None:
    assert limits_text(limits) == text
