"""Which keeps hold: admins' all, of a user's own files the oldest, and those that are broken."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from ds01ctl.core.cleanup_keeps import settled, used_up
from ds01ctl.core.cleanup_model import Keep
from ds01ctl.core.inventory import inventory
from tests.core.cleanup_traces import policy
from tests.core.worlds import NOON, container, managed, world

if TYPE_CHECKING:
    from collections.abc import Sequence

A, B, C, D = (one * 64 for one in "abcd")
LATER = NOON + timedelta(hours=1)


def file(container: str, hours: float = 1, problem: str = "", **more: object) -> Keep:
    path = f"/home/alice/{container[0]}/.keep-alive"
    until = NOON + timedelta(hours=hours)
    return Keep(container, until, path, problem=problem, **more)  # type: ignore[arg-type]


def admins(container: str, hours: float | None = None) -> Keep:
    return Keep(container, None if hours is None else NOON + timedelta(hours=hours), "labadmin")


@pytest.mark.parametrize(
    ("by_admins", "by_files", "kept", "told"),
    [
        ([], [], "", 0),
        ([], [file(A)], "a", 0),
        ([], [file(A, 3), file(B, 2), file(C, 1)], "bc", 1),
        ([], [file(A, 3), file(B, 2), file(C, -1)], "abc", 0),
        ([], [file(A, 3), file(B, 2), file(C, 1, "is a symlink")], "abc", 0),
        ([admins(A)], [file(A, 1), file(B, 2), file(C, 3)], "abc", 0),
        # a folder or link of that name costs no more than a file
        ([], [file(one, 1, "no plain file", since=NOON) for one in (A, B, C)], "ab", 1),
        ([admins(A, -1)], [file(A, 1)], "a", 0),
        ([admins(A)], [], "a", 0),
        ([], [file(A, 1), file(A, 9), file(B), file(C, 5)], "bc", 1),
        ([], [file(D, 1), file(A, 1), file(B, 2)], "abd", 0),
    ],
)
def test_settled(by_admins: Sequence[Keep], by_files: Sequence[Keep], kept: str, told: int) -> None:
    """Two files of alice's hold at one time; d is bob's."""
    snapshot = world(*(managed("alice", one) for one in (A, B, C)), managed("bob", D))
    rules = policy()
    found = settled(by_admins, by_files, inventory(snapshot, rules, NOON), rules, NOON)
    assert "".join(sorted(one[0] for one in found.keeps)) == kept
    assert [one.kind for one in found.notices] == ["keep-cap"] * told


def test_who_is_over_the_number_is_told_why() -> None:
    snapshot = world(managed("alice", A), managed("alice", B))
    rules = policy("cleanup: {keep_alive_max_per_user: 1}\n")
    files = [file(A, since=LATER), file(B, since=NOON)]
    found = settled([], files, inventory(snapshot, rules, NOON), rules, NOON)
    assert list(found.keeps) == [B]
    (notice,) = found.notices
    assert (notice.user, notice.container) == ("alice", A)
    assert "c-aaaa is not kept: older files keep" in notice.text
    assert notice.evidence[0] == "file /home/alice/a/.keep-alive"
    assert "cleanup.keep_alive_max_per_user is 1 (resource-limits.yaml:" in notice.evidence[1]


@pytest.mark.parametrize(("number", "kept"), [("null", 3), ("0", 0), ("3", 3)])
def test_the_number(number: str, kept: int) -> None:
    snapshot = world(*(managed("alice", one) for one in (A, B, C)))
    rules = policy(f"cleanup: {{keep_alive_max_per_user: {number}}}\n")
    files = [file(one) for one in (A, B, C)]
    assert len(settled([], files, inventory(snapshot, rules, NOON), rules, NOON).keeps) == kept


def test_those_whom_nobody_can_tell_are_not_one_person() -> None:
    snapshot = world(*(container(one) for one in (A, B, C)))
    rules = policy()
    files = [file(one) for one in (A, B, C)]
    found = settled([], files, inventory(snapshot, rules, NOON), rules, NOON)
    assert (sorted(found.keeps), found.notices) == ([A, B, C], ())


def test_an_admins_keep_that_has_ended_stays_known() -> None:
    """Warnings from before its end count for nothing."""
    rules = policy()
    found = settled([admins(A, -1)], [], (), rules, NOON)
    assert found.keeps == {A: admins(A, -1)}


@pytest.mark.parametrize(
    ("by_admins", "by_files", "full"),
    [
        ([], [file(A), file(B)], "c"),
        ([], [file(A)], ""),
        ([], [file(A), file(B, -1)], ""),
        ([admins(A)], [file(B)], ""),
        ([], [file(A, 3), file(B, 2), file(C, 1)], "a"),
    ],
)
def test_whom_no_further_file_keeps(
    by_admins: Sequence[Keep], by_files: Sequence[Keep], full: str
) -> None:
    """Two files of alice's hold at one time, and bob, whose d is, has none."""
    snapshot = world(*(managed("alice", one) for one in (A, B, C)), managed("bob", D))
    rules = policy()
    workloads = inventory(snapshot, rules, NOON)
    found = settled(by_admins, by_files, workloads, rules, NOON)
    told = used_up(found.keeps, workloads, rules, NOON)
    assert "".join(sorted(one[0] for one in told)) == full
    assert set(told.values()) <= {2}
