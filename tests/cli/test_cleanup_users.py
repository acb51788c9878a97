"""Departed users on a host of our own: accounts, homes, grants, slices and lists in files."""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from ds01ctl.commands import cleanup_users
from ds01ctl.commands.cleanup_users import Known, Look
from ds01ctl.commands.gathering import load_policy
from ds01ctl.config.read import PolicyError
from ds01ctl.core.cleanup_model import Clock, Interval, Watch
from ds01ctl.core.dropin_text import FILE, FOLDER
from ds01ctl.core.model import Container, Gap
from ds01ctl.core.owner import KERNEL, Owner
from ds01ctl.core.workload import Workload
from ds01ctl.errors import Ds01Error
from ds01ctl.observe import grants, home_folders
from ds01ctl.paths import Paths
from tests.core.worlds import A, container, replace
from tests.core.worlds import world as snapshot

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=timezone.utc)
CAROL = 51005
POLICY = """\
cleanup: {rules: {users: enforce}}
users: {timeout_s: 10}
"""
PASSWD = "root:x:0:0::/root:/bin/sh\nalice:x:51001:51001::/home/alice:/bin/sh\n"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make others' homes")


def clock(days: float = 0) -> Clock:
    return Clock(NOON + timedelta(days=days), "b", 1e6 + days * 86400)


def idle(one: Container) -> dict[str, Watch]:
    last = Interval(NOON, 300.0, "idle", ())
    watch = Watch(one.id, one.engine, one.name, one.state, one.started_at, None, clock())
    return {one.id: watch._replace(intervals=(last,))}


class Site:
    """A host with alice, and what carol has left."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.paths = Paths(root)
        self.write("etc/passwd", PASSWD)
        self.write("etc/nsswitch.conf", "passwd: files\n")
        self.write("etc/ds01/resource-limits.yaml", POLICY)
        (root / "proc").symlink_to("/proc")
        self.home("alice", 51001)
        self.home("carol", CAROL)
        self.grant = self.write(
            "var/lib/ds01/bare-metal-grants/carol.json", json.dumps({"expires_at": None})
        )
        self.write(f"{FOLDER.lstrip('/')}/user-{CAROL}.slice.d/{FILE}", "[Slice]\n")
        self.mark: Any = None
        self.asked = 0.0

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def home(self, name: str, uid: int) -> None:
        path = self.root / "home" / name
        path.mkdir(parents=True)
        os.chown(path, uid, uid)

    def archive(self, text: str) -> None:
        self.write("etc/ds01/groups/archived.members", text)

    def look(self, days: float = 0, **more: Any) -> Look:
        """Look as a run does, which remembers, and as the timer has done every day before."""
        for day in range(int(self.asked) + 1, int(days)):
            self.look_once(day)
        return self.look_once(days, **more)

    def look_once(self, days: float = 0, **more: Any) -> Look:
        """Look as a run does, which remembers."""
        self.asked = days
        policy = load_policy(self.paths, None).policy
        leave = grants.read("/var/lib/ds01/bare-metal-grants", self.paths)
        owner = Owner(str(CAROL), CAROL, "certain", "uid_map", (), KERNEL)
        theirs = Workload("docker", "unmanaged", "", owner, None, container(A))
        seen = replace(snapshot(container(A)), grants=leave.grants, **more)
        mark = json.loads(json.dumps(self.mark))
        known = Known(seen, (theirs,), clock(days), mark, watches=idle(container(A)))
        found = cleanup_users.look(known, policy, self.paths)
        self.mark = cleanup_users.mark_of(found.decision.memory)
        return found


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def acts(found: Look) -> list[str]:
    return [one.kind for one in found.decision.plan.changes if one.skip is None]


def test_two_runs_a_week_apart(site: Site) -> None:
    """The first proves nothing; a week later all that carol has left is one list."""
    assert site.look().decision.people == ()
    assert site.look(3).decision.people == ()
    found = site.look(8)
    [one] = found.decision.people
    assert (one.login, one.uid) == ("carol", CAROL)
    assert acts(found) == ["stop-container", "revoke-grant"]
    assert one.slices == (f"user-{CAROL}.slice",)
    assert [home.path for home in one.homes] == ["/home/carol"]
    assert (site.root / "home/carol").exists()
    [notice] = found.decision.plan.notices
    assert notice.kind == "departed-user"
    json.dumps(site.mark)


def test_two_answers_are_not_a_week(site: Site) -> None:
    """An account may have been there all the time between."""
    site.look_once()
    assert site.look_once(8).decision.people == ()
    assert site.look(15).decision.people != ()


def test_the_grant_is_removed_once(site: Site) -> None:
    site.look()
    [_, change] = site.look(8).decision.plan.changes
    assert cleanup_users.revoke(change) == "done"
    assert not site.grant.exists()
    assert cleanup_users.revoke(change) == "already"


def test_a_grant_that_was_given_anew(site: Site) -> None:
    """Between the plan and the deed."""
    site.look()
    [_, change] = site.look(8).decision.plan.changes
    site.grant.write_text(json.dumps({"expires_at": "2030-01-01T00:00:00Z"}))
    with pytest.raises(Ds01Error, match="was changed meanwhile"):
        cleanup_users.revoke(change)
    assert site.grant.exists()


def test_an_account_again(site: Site) -> None:
    site.look()
    site.write("etc/passwd", f"{PASSWD}dave:x:{CAROL}:{CAROL}::/home/carol:/bin/sh\n")
    found = site.look(8)
    # carol has no account, but what her uid owns is dave's
    assert [(one.login, one.uid) for one in found.decision.people] == [("carol", None)]
    assert acts(found) == ["revoke-grant"]


def test_a_directory_that_says_nothing(site: Site) -> None:
    """With a directory, "no such user" counts only if it has answered for somebody else."""
    site.write("etc/nsswitch.conf", "passwd: files sss\n")
    site.look()
    assert site.look(8).decision.people == ()
    assert site.mark == {}


def test_a_gap_of_the_run(site: Site) -> None:
    """What the snapshot could not look up is not known here, either."""
    site.look()
    before = site.mark
    found = site.look_once(8, gaps=(Gap("users", "failed", "no answer in 3 s"),))
    assert (found.decision.plan.changes, found.decision.people) == ((), ())
    assert found.decision.plan.notices[0].kind == "departed-unknown"
    assert site.mark == before


def test_listed(site: Site) -> None:
    """A week after the first look; a line that makes no sense is told, not guessed."""
    site.archive("# left in 2026\ncarol   # thesis done\nno login\n")
    try:
        assert acts(site.look()) == []
        found = site.look(8)
    except PolicyError:
        pytest.fail("archived.members is no part of the policy")
    [one] = found.decision.people
    assert one.why == "listed in groups/archived.members:2"
    assert acts(found) == ["stop-container", "revoke-grant"]
    assert [notice.kind for notice in found.notices] == ["archived-problem"]
    assert "archived.members:3" in found.notices[0].text


@pytest.mark.parametrize(
    "policy",
    ["", "cleanup: {mode: report}\n", "cleanup: {mode: enforce, rules: {users: report}}\n"],
)
def test_report_mode(site: Site, policy: str) -> None:
    """All is listed, and nothing done."""
    site.write("etc/ds01/resource-limits.yaml", policy)
    site.archive("carol\n")
    site.look()
    found = site.look(8)
    assert len(found.decision.plan.changes) == 2
    assert acts(found) == []
    assert str(found.decision.plan.changes[0].skip).startswith("report mode: cleanup.")


def test_infrastructure_of_theirs(site: Site) -> None:
    site.archive("carol\n")
    policy = load_policy(site.paths, None).policy
    owner = Owner(str(CAROL), CAROL, "certain", "uid_map", (), KERNEL)
    one = Workload("infrastructure", "infrastructure", "its name", owner, None, container(A))
    site.look()
    site.look(8)
    known = Known(snapshot(container(A)), (one,), clock(8), site.mark, watches=idle(container(A)))
    found = cleanup_users.look(known, policy, site.paths)
    assert acts(found) == []


def test_subordinate_uids(site: Site) -> None:
    """A uid that has no name by design is nobody who has left."""
    site.write("etc/subuid", f"alice:{CAROL - 5}:10\n")
    site.look()
    assert [one.uid for one in site.look(8).decision.people] == [None]


def test_spoilt_memory(site: Site) -> None:
    """It begins anew, which makes nobody leave earlier."""
    for mark in ([1], {"uid 51005": "x"}, {"uid 51005": [1, 2, 3]}, {"uid x": ["", [], 1]}, "x"):
        site.mark = mark
        assert site.look_once(8).decision.people == ()


def test_homes(site: Site) -> None:
    """Folders of users; no links, no files, nothing of root's, and no missing folder is a gap."""
    (site.root / "home/link").symlink_to("carol")
    (site.root / "home/file").write_text("")
    (site.root / "home/root").mkdir()
    (site.root / "home/.snapshots").mkdir()
    found = home_folders.read(["/home", "/none"], site.paths, deadline_s=10)
    assert [(home.path, home.uid) for home in found.homes] == [
        ("/home/alice", 51001), ("/home/carol", CAROL),
    ]  # fmt: skip
    assert found.gaps == ()
