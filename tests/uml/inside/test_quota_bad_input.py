"""`quota` and what is wrong: a clear error, the right exit code, and nothing half-done."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ds01ctl.core.disk_quota import Limits
from tests.uml.inside.conftest import PROGRAM, call
from tests.uml.inside.places import MIB
from tests.uml.inside.quota_world import (
    ALICE,
    BOB,
    EVENTS,
    HOME,
    OVERRIDES,
    POLICY,
    begin,
    fill,
    limits,
    put,
    said,
    told,
)

if TYPE_CHECKING:
    from tests.uml.inside.quota_world import Run

ON_HOME = ("--path", "/home")


@pytest.fixture(autouse=True)
def _begin() -> None:
    begin()


BAD = [
    (("set", "alice", "--soft", "9M", "--hard", "8M", *ON_HOME), 2, "soft is above hard"),
    (("set", "alice", "--soft", "10X", *ON_HOME), 2, "is not an amount"),
    (("set", "alice", "--soft=-5G", *ON_HOME), 2, "would leave nothing of 8 MiB"),
    (("set", "alice", "--soft", "512K", *ON_HOME), 2, "1 MiB at least"),
    (("set", "alice", "--soft", "9999999T", *ON_HOME), 2, "out of range"),
    (("set", "alice", "--inodes-soft", "1.5", *ON_HOME), 2, "is not an amount"),
    (("set", "nobody9", "--soft", "1G", *ON_HOME), 2, "no user nobody9"),
    (("set", "root", "--soft", "1G", *ON_HOME), 2, "below enforcement.min_uid"),
    (("set", "alice", "--soft", "1G"), 2, "which one?"),
    (("set", "alice", "--soft", "1G", "--path", "home"), 2, "is not the path of a folder"),
    (("set", "alice", "--soft", "1G", "--path", "/home/../run"), 2, "is not the path of a folder"),
    (("set", "alice", "--soft", "1G", "--path", "/none"), 1, "/none: no such folder"),
    (("set", "alice", "--soft", "1G", "--path", "/run/tmp"), 1, "tmpfs is memory"),
    (("set", "alice", "--soft", "1G", "--path", "/plain"), 1, "without the quota feature"),
    (("set", "alice", "--soft", "1G", "--path", "/plainxfs"), 1, "mounted without uquota"),
    (("set", "--project", "x", "--soft", "1G", "--path", "/scratch"), 2, "is not in /etc/projid"),
    (("set", "alice", "--group", "staff", "--soft", "1G"), 2, "name one user"),
    (("set", "alice"), 2, "nothing to set"),
    (("apply",), 2, "nobody can be asked"),
    (("restore", "/none", "--yes"), 1, "/none: cannot be read"),
    (("dump", "--out", "/none/x"), 1, "/none/x: cannot be written"),
]


def test_it_is_refused(ds01ctl: Run) -> None:
    POLICY.write_text(POLICY.read_text().replace("users: {", "users: {home_dirs: [/missing], "))
    assert "/missing" in POLICY.read_text()
    for argv, status, words in BAD:
        assert words in said(ds01ctl, *argv, status=status), argv
        assert not OVERRIDES.exists(), argv
    assert limits("/home", ALICE) == Limits()
    failed = told(ds01ctl, *BAD[1][0], status=2)
    assert (failed["command"], failed["status"]) == ("quota set", "error")
    assert not EVENTS.exists()
    said(ds01ctl, "plan")


def test_none_is_no_limit(ds01ctl: Run) -> None:
    said(ds01ctl, "apply", "--yes", "--user", "alice")
    said(ds01ctl, "set", "alice", "--soft", "none", *ON_HOME)
    assert limits("/home", ALICE) == Limits()
    assert told(ds01ctl, "apply", "--yes", "--user", "alice")["actions"] == []
    said(ds01ctl, "set", "alice", "--hard", "1.5G", *ON_HOME)
    assert limits("/home", ALICE) == Limits(0, 1536 * MIB)


def test_who_is_not_root(ds01ctl: Run) -> None:
    """His own use is told; nothing of others is concluded or changed."""
    fill("/home/a", ALICE, MIB)
    fill("/home/b", BOB, MIB)
    put("/home", ALICE, HOME)

    def his(*argv: str) -> tuple[int, str]:
        drop = ("setpriv", f"--reuid={ALICE}", f"--regid={ALICE}", "--clear-groups")
        done = call(*drop, str(PROGRAM), "quota", *argv)
        assert "Traceback" not in done.stderr, done.stderr
        return done.status, done.stdout + done.stderr

    for argv in (("set", "alice", "--soft", "1G", *ON_HOME), ("apply", "--yes")):
        status, output = his(*argv)
        assert (status, "root" in output) == (1, True), output
    status, output = his("report")
    assert status == 3
    assert "alice" in output
    assert "bob" not in output
    status, output = his("plan")
    assert status == 3
    assert "would set alice on /scratch" in output
    assert "bob" not in output
    assert "not every user quota on /home could be read" in output
    assert limits("/home", ALICE) == HOME
