"""`quota set` and `unset` on a real kernel: file and kernel agree, also after the next `apply`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ds01ctl.core.disk_quota import Limits
from tests.uml.inside.places import MIB
from tests.uml.inside.quota_world import (
    ALICE,
    BOB,
    HOME,
    OVERRIDES,
    begin,
    events,
    fill,
    limits,
    record,
    said,
    told,
)

if TYPE_CHECKING:
    from tests.uml.inside.quota_world import Run


@pytest.fixture(autouse=True)
def _begin() -> None:
    begin()


def test_a_users_own_limit(ds01ctl: Run) -> None:
    """Soft alone brings the hard one; it survives the next apply, and comments stay."""
    OVERRIDES.write_text("# ours\nbob:  # an old one\n  max_cpus: 4\n")
    before = OVERRIDES.read_text()
    shown = told(ds01ctl, "set", "alice", "--soft", "20M", "--path", "/home/", "--dry-run")
    assert {one["outcome"] for one in shown["actions"]} == {"planned"}
    assert "+alice:" in shown["data"]["diff"]
    assert (OVERRIDES.read_text(), limits("/home", ALICE)) == (before, Limits())

    done = told(ds01ctl, "set", "alice", "--soft", "20M", "--path", "/home")
    assert {one["outcome"] for one in done["actions"]} == {"done"}
    assert limits("/home", ALICE) == Limits(20 * MIB, 22 * MIB)
    assert OVERRIDES.read_text().startswith(before)
    (event,) = events("quota.disk_limit")
    assert (event["user"], event["source"]) == ("alice", "ds01ctl quota set")

    Path("/home/alice/data").mkdir(parents=True)
    # another folder there is the same file system, which has one limit
    said(ds01ctl, "set", "alice", "--soft", "+10M", "--path", "/home/alice/data")
    assert limits("/home", ALICE) == Limits(30 * MIB, 33 * MIB)
    assert OVERRIDES.read_text().count("/home") == 1
    told_only = said(ds01ctl, "set", "alice", "--soft", "-25M", "--path", "/home", "--raise-only")
    assert "nothing is raised" in told_only
    assert limits("/home", ALICE) == Limits(30 * MIB, 33 * MIB)
    said(ds01ctl, "apply", "--yes")
    assert limits("/home", ALICE) == Limits(30 * MIB, 33 * MIB)
    assert limits("/home", BOB) == HOME

    said(ds01ctl, "unset", "alice", "--path", "/home")
    assert limits("/home", ALICE) == HOME
    assert OVERRIDES.read_text() == before
    assert "has no limit of their own" in said(ds01ctl, "unset", "bob", "--path", "/home", status=2)


def test_raise_only_pins_nobody_to_the_groups_limit(ds01ctl: Run) -> None:
    """Nor limits somebody who has no limit."""
    raise_it = ("set", "alice", "--soft", "5M", "--path", "/home", "--raise-only")
    assert told(ds01ctl, *raise_it)["actions"] == []
    said(ds01ctl, "apply", "--yes")
    assert told(ds01ctl, *raise_it)["actions"] == []
    assert not OVERRIDES.exists()
    assert limits("/home", ALICE) == HOME


def test_until(ds01ctl: Run) -> None:
    said(ds01ctl, "set", "alice", "--soft", "20M", "--path", "/home", "--until", "2020-01-01",
         status=2)  # fmt: skip
    said(ds01ctl, "set", "alice", "--soft", "20M", "--path", "/home", "--until", "2199-12-24")
    assert "until: 2199-12-24" in OVERRIDES.read_text()
    OVERRIDES.write_text(OVERRIDES.read_text().replace("2199-12-24", "2020-12-24"))
    said(ds01ctl, "apply", "--yes")
    assert limits("/home", ALICE) == HOME
    for more in (("--gpus", "2"), ("--grace", "3d")):
        said(ds01ctl, "set", "alice", *more, "--until", "2199-12-24", status=2)


def test_below_what_is_in_use(ds01ctl: Run) -> None:
    fill("/home/a", ALICE, 10 * MIB)
    refused = said(ds01ctl, "set", "alice", "--soft", "5M", "--path", "/home", status=1)
    assert "every write would fail at once" in refused
    assert not OVERRIDES.exists()
    assert limits("/home", ALICE) == Limits()
    said(ds01ctl, "set", "alice", "--soft", "5M", "--hard", "20M", "--path", "/home")
    assert limits("/home", ALICE) == Limits(5 * MIB, 20 * MIB)
    # with more time; and none is given where none is needed any more
    done = told(ds01ctl, "set", "alice", "--grace", "2d", "--path", "/home")
    assert [one["outcome"] for one in done["actions"]] == ["done"]
    assert abs(record("/home", ALICE).bytes_grace_end - time.time() - 2 * 86400) < 60
    assert [one["user"] for one in events("quota.grace")] == ["alice"]
    done = told(ds01ctl, "set", "alice", "--soft", "50M", "--grace", "2d", "--path", "/home")
    assert {one["kind"] for one in done["actions"]} == {"edit-policy", "set-disk-quota"}
    assert record("/home", ALICE).bytes_grace_end == 0
    said(ds01ctl, "set", "alice", "--soft", "5M", "--path", "/home", "--force")
    assert limits("/home", ALICE).soft_bytes == 5 * MIB
    assert limits("/home", ALICE).hard_bytes < 6 * MIB
