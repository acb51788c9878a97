"""`quota plan`, `apply` and `check` on a real kernel: only what differs, nothing of others."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from ds01ctl.core.disk_quota import Limits
from tests.uml.inside.places import MIB
from tests.uml.inside.quota_world import (
    ALICE,
    BOB,
    CARL,
    HOME,
    POLICY,
    RULES,
    SCRATCH,
    begin,
    changed,
    events,
    fill,
    findings,
    limits,
    put,
    record,
    said,
    series,
    told,
)

if TYPE_CHECKING:
    from tests.uml.inside.quota_world import Run

NOBODYS = 54_321
ALL = {("alice", "/home"), ("bob", "/home"), ("carl", "/home"), ("alice", "/scratch"),
       ("bob", "/scratch")}  # fmt: skip


@pytest.fixture(autouse=True)
def _begin() -> None:
    begin()


def test_only_what_differs_is_set(ds01ctl: Run) -> None:
    """Plan changes nothing; the second apply neither; a grace that runs keeps its end."""
    fill("/scratch/a", ALICE, 5 * MIB)
    put("/home", BOB, HOME)
    put("/home", NOBODYS, Limits(MIB, 2 * MIB))
    planned = told(ds01ctl, "plan")
    assert changed(planned) == ALL - {("bob", "/home")}
    assert {one["outcome"] for one in planned["actions"]} == {"planned"}
    assert limits("/home", ALICE) == Limits()
    assert events("quota.disk_limit") == []

    first = told(ds01ctl, "apply", "--yes")
    assert changed(first) == changed(planned)
    assert {one["outcome"] for one in first["actions"]} == {"done"}
    assert findings(first, "quota-not-in-policy") == [
        (f"#{NOBODYS}", "soft 1 MiB, hard 2 MiB: not in the policy, left alone")
    ]
    assert (limits("/home", ALICE), limits("/scratch", BOB)) == (HOME, SCRATCH)
    assert limits("/home", CARL) == Limits(100 * MIB, 110 * MIB)
    assert limits("/scratch", CARL) == Limits()
    end = record("/scratch", ALICE).bytes_grace_end
    assert end > time.time()

    time.sleep(2.1)
    second = told(ds01ctl, "apply", "--yes")
    assert second["actions"] == []
    assert record("/scratch", ALICE).bytes_grace_end == end
    made = events("quota.disk_limit")
    assert {(one["user"], one["details"]["mount"]) for one in made} == changed(first)
    assert all(one["details"]["outcome"] == "done" for one in made)


def test_a_hard_limit_below_use_waits(ds01ctl: Run) -> None:
    """In every run, not only in that which sets the soft one; --force does not wait."""
    held = fill("/home/a", ALICE, 10 * MIB)
    first = told(ds01ctl, "apply", "--yes", "--user", "alice")
    assert limits("/home", ALICE) == Limits(HOME.soft_bytes, 0)
    assert limits("/home", BOB) == Limits()
    (waiting,) = findings(first, "quota-hard-limit-waits")
    assert waiting[0] == "alice"
    assert "10 MiB in use" in waiting[1]
    again = told(ds01ctl, "apply", "--yes")
    assert [one for one, _ in findings(again, "quota-hard-limit-waits")] == ["alice"]
    assert series("ds01_quota_waiting") == {"": 1.0}
    assert "quota-hard-limit-waits alice" in said(ds01ctl, "check")
    said(ds01ctl, "apply", "--yes", "--force")
    assert limits("/home", ALICE) == HOME
    # what is lowered waits at the old one
    put("/home", ALICE, Limits(20 * MIB, 22 * MIB))
    said(ds01ctl, "apply", "--yes")
    assert limits("/home", ALICE) == Limits(HOME.soft_bytes, 22 * MIB)
    held.unlink()
    said(ds01ctl, "apply", "--yes")
    assert limits("/home", ALICE) == HOME


def test_report_mode_sets_nothing(ds01ctl: Run) -> None:
    POLICY.write_text(RULES.replace("mode: enforce", "mode: report, grace_d: 3"))
    done = told(ds01ctl, "apply", "--yes")
    assert changed(done) == ALL
    assert {one["outcome"] for one in done["actions"]} == {"skipped"}
    assert limits("/home", ALICE) == Limits()
    assert events("quota.disk_limit") == events("quota.grace") == []
    assert "only reported" in said(ds01ctl, "plan", "--exit-code", status=4)


def test_filters_and_the_grace(ds01ctl: Run) -> None:
    """One user's run leaves the others', and the grace of all, as they are."""
    POLICY.write_text(RULES.replace("mode: enforce", "mode: enforce, grace_d: 3"))
    assert changed(told(ds01ctl, "apply", "--yes", "--user", "bob")) == {
        ("bob", "/home"), ("bob", "/scratch"),
    }  # fmt: skip
    assert changed(told(ds01ctl, "plan", "--group", "staff")) == {("carl", "/home")}
    assert "no user nobody9" in said(ds01ctl, "plan", "--user", "nobody9", status=2)
    done = told(ds01ctl, "apply", "--yes")
    assert [one["kind"] for one in done["actions"]].count("set-grace") == 2
    assert len(events("quota.grace")) == 2
    assert told(ds01ctl, "apply", "--yes")["actions"] == []
