"""`quota set` of groups and projects, and `unset`, on a real kernel."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ds01ctl.core.disk_quota import Limits
from tests.uml.inside.places import MIB, tag
from tests.uml.inside.quota_world import (
    ALICE,
    BOB,
    CARL,
    OVERRIDES,
    POLICY,
    RULES,
    SCRATCH,
    begin,
    fill,
    limits,
    put,
    said,
    told,
)

if TYPE_CHECKING:
    from tests.uml.inside.quota_world import Run

TEAM = 2_000_001
PROJECTS = "  projects:\n    team: {path: /scratch/team, owner: bob, soft: 20M}\n"


@pytest.fixture(autouse=True)
def _begin() -> None:
    begin()


def test_unset_is_what_apply_would_do(ds01ctl: Run) -> None:
    """Where the policy then gives nothing, what was before ours is back."""
    put("/home", CARL, Limits(0, 30 * MIB))
    POLICY.write_text(RULES.replace("{/home: 100M}", "{}"))
    said(ds01ctl, "set", "carl", "--soft", "9M")
    assert limits("/home", CARL).soft_bytes == 9 * MIB
    said(ds01ctl, "unset", "carl")
    assert limits("/home", CARL) == Limits(0, 30 * MIB)
    assert told(ds01ctl, "plan", "--user", "carl")["actions"] == []


def test_a_groups_limit(ds01ctl: Run) -> None:
    """Of those without one of their own; a hard limit below what one uses waits."""
    OVERRIDES.write_text("bob: {storage: {/home: 50M}}\n")
    fill("/home/a", ALICE, 7 * MIB)
    done = told(ds01ctl, "set", "--group", "student", "--soft", "4M", "--path", "/home")
    assert [one["name"] for one in done["data"]["changes"]] == ["alice"]
    assert limits("/home", ALICE) == Limits(4 * MIB, 0)
    assert limits("/home", BOB) == limits("/home", CARL) == Limits()
    text = POLICY.read_text()
    assert "# the policy" in text
    assert "# everybody's" in text
    assert "/home: {soft: 4M, hard: 4544K}" in text
    assert "there is no group" in said(ds01ctl, "set", "--group", "x", "--soft", "4M", status=2)


def test_a_projects_limit(ds01ctl: Run) -> None:
    """Its tree stays where it is, whatever folder of the file system is named."""
    POLICY.write_text(
        RULES.replace("quota: {mode: enforce}\n", "quota:\n  mode: enforce\n" + PROJECTS)
    )
    Path("/etc/projid").write_text(f"# others\nteam:{TEAM}\n")
    folder = Path("/scratch/team")
    folder.mkdir()
    tag(folder, TEAM)
    said(ds01ctl, "apply", "--yes")
    assert limits("/scratch", TEAM, "project") == Limits(20 * MIB, 22 * MIB)
    said(ds01ctl, "set", "--project", "team", "--soft", "+10M", "--path", "/scratch")
    assert limits("/scratch", TEAM, "project") == Limits(30 * MIB, 33 * MIB)
    assert "team: {path: /scratch/team, owner: bob, soft: 30M, hard: 33M}" in POLICY.read_text()
    said(ds01ctl, "set", "--project", "team", "--soft", "1G", "--path", "/home", status=2)
    said(ds01ctl, "set", "--project", "team", "--soft", "1G", "--until", "2199-01-01", status=2)
    assert told(ds01ctl, "plan")["actions"] == []
    assert limits("/scratch", ALICE) == SCRATCH
