"""No two people ever share a slice, whatever they are called."""

from __future__ import annotations

import random
import re

import pytest

from ds01ctl.core.people import Person
from ds01ctl.core.slice_names import cgroup_of, slice_names, user_part

ROOT = "ds01.slice"
# systemd.unit(5), and what Docker takes for a parent
UNIT = re.compile(r"ds01(-[A-Za-z0-9_.\\]+)+\.slice")


def names(
    *people: tuple[str, int, str], groups: tuple[str, ...] = ("student",)
) -> dict[str, str | None]:
    listed = [Person(*one) for one in people]
    found = slice_names(listed, groups, ROOT)
    return {one.login: found[one.uid].unit for one in listed}


@pytest.mark.parametrize(
    ("login", "unit"),
    [
        ("alice", "ds01-student-alice.slice"),
        ("a.b@uni.example", "ds01-student-a_b.slice"),
        ("204999@uni.example", "ds01-student-204999.slice"),
        ("-", "ds01-student-u1001.slice"),
        ("@x", "ds01-student-u1001.slice"),
        ("...", "ds01-student-u1001.slice"),
        ("u1002", "ds01-student-u1001.slice"),
        ("u1001", "ds01-student-u1001.slice"),
        ("a%b$c", "ds01-student-a_b_c.slice"),
        ("a\\x2db", "ds01-student-a_x2db.slice"),
        ("ü", "ds01-student-u1001.slice"),
    ],
)
def test_one_login(login: str, unit: str) -> None:
    assert names((login, 1001, "student")) == {login: unit}


def test_collisions_are_keyed_by_uid() -> None:
    """a.b@x, a_b and a-b all become a_b: none of them gets it."""
    found = names(("a.b@x", 1001, "student"), ("a_b", 1002, "student"), ("a-b", 1003, "student"))
    assert found == {
        "a.b@x": "ds01-student-u1001.slice",
        "a_b": "ds01-student-u1002.slice",
        "a-b": "ds01-student-u1003.slice",
    }
    note = slice_names([Person("a.b@x", 1, "s"), Person("a_b", 2, "s")], ("s",), ROOT)[1].note
    assert note == "a.b@x and a_b all become a_b in a slice's name"


def test_a_user_called_like_a_group() -> None:
    """Slice ds01-a-b is the parent of group a-b: as user b of group a it would bind all of that."""
    found = names(("b", 1001, "a"), ("carol", 1002, "a-b"), groups=("a", "a-b"))
    assert found == {"b": "ds01-a-u1001.slice", "carol": "ds01-a-b-carol.slice"}


@pytest.mark.parametrize("group", ["-a", "a-", "a--b", ""])
def test_a_group_that_cannot_be_named(group: str) -> None:
    """Docker and systemd refuse empty parts: there is no such slice, and it is told."""
    one = slice_names([Person("alice", 1001, group)], (), ROOT)[1001]
    assert one.unit is None
    assert one.note


def test_too_long() -> None:
    one = slice_names([Person("alice", 1001, "g" * 250)], (), ROOT)[1001]
    assert one.unit is None


def test_hostile_names_never_meet() -> None:
    """1,000 crowds of names that resemble each other: valid names, and no two alike."""
    rng = random.Random(5)
    signs = "ab-._@u1 %\\é"
    for _ in range(1000):
        logins = {"".join(rng.choice(signs) for _ in range(rng.randint(1, 5))) for _ in range(12)}
        groups = ["a", "b", "a-b", "u1"]
        people = [Person(one, 1000 + n, rng.choice(groups)) for n, one in enumerate(sorted(logins))]
        found = slice_names(people, groups, ROOT)
        units = [one.unit for one in found.values() if one.unit]
        assert len(set(units)) == len(people)
        assert all(UNIT.fullmatch(unit) for unit in units), units
        taken = {f"ds01-{group}.slice" for group in groups}
        assert not taken & set(units)


def test_places() -> None:
    assert cgroup_of("ds01-student-alice.slice") == (
        "/ds01.slice/ds01-student.slice/ds01-student-alice.slice"
    )
    assert user_part("ds01-data-science-bob.slice", ROOT) == "bob"
    assert user_part("ds01-student.slice", ROOT) is None
    assert user_part("user-1000.slice", ROOT) is None
