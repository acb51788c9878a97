"""`quota undo`, `dump` and `restore`: what was is back, what moved since is left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ds01ctl import quotactl
from ds01ctl.core.disk_quota import Limits
from tests.uml.inside.conftest import call
from tests.uml.inside.places import BOTH, MIB, XFS
from tests.uml.inside.quota_world import (
    ALICE,
    BOB,
    CARL,
    HOME,
    OVERRIDES,
    POLICY,
    RULES,
    SCRATCH,
    begin,
    changed,
    events,
    fill,
    know,
    limits,
    put,
    said,
    told,
)

if TYPE_CHECKING:
    from tests.uml.inside.quota_world import Run

DUMP = "/run/tmp/dump.json"
OWN = Limits(30 * MIB, 40 * MIB, 5, 7)


@pytest.fixture(autouse=True)
def _begin() -> None:
    begin()


def test_undo_goes_back_step_by_step(ds01ctl: Run) -> None:
    put("/home", BOB, OWN)
    said(ds01ctl, "apply", "--yes")
    said(ds01ctl, "set", "alice", "--soft", "20M", "--path", "/home")
    put("/scratch", BOB, Limits(0, 50 * MIB))
    assert "would" in said(ds01ctl, "undo", "--dry-run")
    assert limits("/home", ALICE) == Limits(20 * MIB, 22 * MIB)
    said(ds01ctl, "undo", "--yes")
    assert (OVERRIDES.exists(), limits("/home", ALICE)) == (False, HOME)
    # of the apply before it, all but what somebody changed since
    done = told(ds01ctl, "undo", "--yes")
    assert "bob on /scratch: was changed since, and is left as it is" in done["data"]["notes"]
    assert limits("/home", ALICE) == limits("/scratch", ALICE) == limits("/home", CARL) == Limits()
    assert (limits("/home", BOB), limits("/scratch", BOB)) == (OWN, Limits(0, 50 * MIB))
    assert "nothing to undo" in said(ds01ctl, "undo", "--yes", status=2)
    assert {one["source"] for one in events("quota.disk_limit")} == {
        "ds01ctl quota", "ds01ctl quota set", "ds01ctl quota undo",
    }  # fmt: skip


def test_what_is_undone_is_still_ours(ds01ctl: Run) -> None:
    """Else it would stay for ever when the policy gives it up."""
    said(ds01ctl, "apply", "--yes")
    said(ds01ctl, "set", "alice", "--soft", "20M", "--path", "/home")
    said(ds01ctl, "undo", "--yes")
    POLICY.write_text("quota: {mode: enforce}\ngroups: {staff: {}}\n")
    said(ds01ctl, "apply", "--yes")
    assert limits("/home", ALICE) == Limits()


def test_a_file_that_moved_since_is_left(ds01ctl: Run) -> None:
    said(ds01ctl, "set", "alice", "--soft", "20M", "--path", "/home")
    OVERRIDES.write_text(OVERRIDES.read_text() + "bob: {max_cpus: 3}\n")
    text = OVERRIDES.read_text()
    done = told(ds01ctl, "undo", "--yes")
    assert f"{OVERRIDES}: was changed since; take the line out by hand" in done["data"]["notes"]
    assert (OVERRIDES.read_text(), limits("/home", ALICE)) == (text, Limits())


def test_a_hard_limit_put_back_below_use_is_told(ds01ctl: Run) -> None:
    said(ds01ctl, "apply", "--yes")
    said(ds01ctl, "set", "alice", "--soft", "20M", "--path", "/home")
    fill("/home/a", ALICE, 15 * MIB)
    told_it = said(ds01ctl, "undo", "--dry-run")
    assert "alice on /home uses more than the hard limit that is put back" in told_it


def test_dump_and_restore_are_exact(ds01ctl: Run) -> None:
    """Whoever had none has none again; what was restored stays, though no policy wants it."""
    POLICY.write_text("quota: {mode: enforce}\ngroups: {staff: {storage: {/home: 9M}}}\n")
    wanted = {
        ("/home", ALICE, "user"): OWN,
        ("/scratch", 2**31 + 7, "user"): Limits(0, 3 * MIB),
        ("/scratch", 4_000, "project"): Limits(0, 0, 0, 9),
        ("/home", CARL, "user"): Limits(9 * MIB, 10 * MIB),
    }
    for (mount, id_, kind), limit in wanted.items():
        put(mount, id_, limit, kind)  # type: ignore[arg-type]  # one of the two
    assert "4 limits saved" in said(ds01ctl, "dump", "--out", DUMP)
    assert (Path(DUMP).stat().st_mode & 0o777) == 0o600
    for mount, id_, kind in wanted:
        put(mount, id_, Limits(MIB, 2 * MIB), kind)  # type: ignore[arg-type]
    put("/home", BOB, Limits(MIB, 2 * MIB))
    shown = told(ds01ctl, "restore", DUMP, "--dry-run")
    assert limits("/home", BOB) == Limits(MIB, 2 * MIB)
    done = told(ds01ctl, "restore", DUMP, "--yes")
    assert changed(done) == changed(shown)
    assert len(done["actions"]) == 5
    for (mount, id_, kind), limit in wanted.items():
        assert limits(mount, id_, kind) == limit  # type: ignore[arg-type]
    assert limits("/home", BOB) == Limits()
    said(ds01ctl, "apply", "--yes", "--user", "alice")
    assert limits("/home", ALICE) == OWN
    assert told(ds01ctl, "restore", DUMP, "--yes")["actions"] == []
    said(ds01ctl, "undo", "--yes")
    assert limits("/home", BOB) == Limits(MIB, 2 * MIB)


def test_limits_of_groups_are_restored(ds01ctl: Run) -> None:
    """No policy of ours gives them, but a dump has all that the kernel has; undo has them, too."""
    wanted = {("/home", 4_100): OWN, ("/scratch", 2**31 + 9): Limits(0, 3 * MIB)}
    for (mount, gid), limit in wanted.items():
        put(mount, gid, limit, "group")
    # who has the same number is not meant
    put("/home", 4_100, SCRATCH)
    assert "3 limits saved" in said(ds01ctl, "dump", "--out", DUMP)
    for mount, gid in wanted:
        put(mount, gid, Limits(MIB, 2 * MIB), "group")
    put("/scratch", 4_200, Limits(MIB, 2 * MIB), "group")
    shown = told(ds01ctl, "restore", DUMP, "--dry-run")
    assert {(one["mount"], one["kind"], one["id"]) for one in shown["data"]["changes"]} == {
        *((mount, "group", gid) for mount, gid in wanted), ("/scratch", "group", 4_200),
    }  # fmt: skip
    assert limits("/scratch", 4_200, "group") == Limits(MIB, 2 * MIB)
    done = told(ds01ctl, "restore", DUMP, "--yes")
    assert {one["outcome"] for one in done["actions"]} == {"done"}
    for (mount, gid), limit in wanted.items():
        assert limits(mount, gid, "group") == limit
    assert (limits("/scratch", 4_200, "group"), limits("/home", 4_100)) == (Limits(), SCRATCH)
    assert told(ds01ctl, "restore", DUMP, "--yes")["actions"] == []
    # the policy's own job lets them be
    said(ds01ctl, "apply", "--yes")
    assert limits("/home", 4_100, "group") == OWN
    said(ds01ctl, "undo", "--yes")
    said(ds01ctl, "undo", "--yes")
    for mount, gid in (*wanted, ("/scratch", 4_200)):
        assert limits(mount, gid, "group") == Limits(MIB, 2 * MIB)


def test_groups_that_are_not_counted_now_are_told(ds01ctl: Run) -> None:
    """And the others are restored all the same."""
    put(XFS.mount, 4_100, OWN, "group")
    put(XFS.mount, ALICE, OWN)
    said(ds01ctl, "dump", "--out", DUMP)
    put(XFS.mount, ALICE, Limits())
    remount("uquota,pquota")
    try:
        done = told(ds01ctl, "restore", DUMP, "--yes")
        assert limits(XFS.mount, ALICE) == OWN
    finally:
        remount("uquota,gquota,pquota")
    assert done["data"]["notes"] == [
        "/home: is not there, or its group quotas are off; its limits were not restored"
    ]
    assert changed(done) == {("alice", XFS.mount)}


def remount(options: str) -> None:
    """Mount the XFS anew: only a first mount turns quotas on or off."""
    for argv in (
        ("umount", XFS.mount),
        ("mount", "-t", "xfs", "-o", options, XFS.device, XFS.mount),
    ):
        done = call(*argv)
        assert done.status == 0, done.stderr


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[:-20],
        lambda _: "[" * 100_000,
        lambda _: "[1]",
        lambda text: text.replace("/v1", "/v9"),
        lambda text: text.replace('"soft_bytes": 8388608', '"soft_bytes": -1'),
        lambda text: text.replace('"soft_bytes": 8388608', '"soft_bytes": 99999999'),
        lambda text: text.replace('"id": 2101', '"id": "alice"'),
        lambda text: text.replace('"kind": "user"', '"kind": "galaxy"'),
    ],
)
def test_what_is_no_dump(ds01ctl: Run, spoil, tmp_path: Path) -> None:
    row = {"mount": "/home", "kind": "user", "id": ALICE, "name": "alice", **HOME._asdict()}
    whole = {"format": "ds01ctl-quota-dump/v1", "complete": [["/home", "user"]], "limits": [row]}
    path = tmp_path / "dump"
    path.write_text(spoil(json.dumps(whole)))
    told_it = said(ds01ctl, "restore", str(path), "--yes", status=1)
    assert str(path) in told_it
    assert len(told_it) < 500
    assert limits("/home", ALICE) == Limits()


def test_a_mount_that_is_gone_is_told(ds01ctl: Run) -> None:
    put("/scratch", ALICE, SCRATCH)
    said(ds01ctl, "dump", "--out", DUMP)
    text = Path(DUMP).read_text()
    Path(DUMP).write_text(text.replace('"/scratch"', '"/gone"'))
    (note,) = told(ds01ctl, "restore", DUMP, "--yes")["data"]["notes"]
    assert note.startswith("/gone: is not there")
    assert limits("/scratch", ALICE) == SCRATCH


def test_graces_of_all_are_put_back(ds01ctl: Run) -> None:
    """By undo, and by restore."""
    device = next(one.device for one in BOTH if one.mount == "/home")
    with quotactl.opened("/home", device) as handle:
        quotactl.set_info(handle, "user", bytes_s=86_400, inodes_s=172_800)
        said(ds01ctl, "dump", "--out", DUMP)
        POLICY.write_text(RULES.replace("mode: enforce", "mode: enforce, grace_d: 3"))
        said(ds01ctl, "apply", "--yes")
        assert quotactl.get_info(handle, "user") == (259_200, 259_200)
        said(ds01ctl, "undo", "--yes")
        assert quotactl.get_info(handle, "user") == (86_400, 172_800)
        said(ds01ctl, "apply", "--yes")
        done = told(ds01ctl, "restore", DUMP, "--yes")
        assert "set-grace" in {one["kind"] for one in done["actions"]}
        assert quotactl.get_info(handle, "user") == (86_400, 172_800)
        said(ds01ctl, "undo", "--yes")
        assert quotactl.get_info(handle, "user") == (259_200, 259_200)


def test_a_number_that_is_somebody_elses_now_is_left(ds01ctl: Run) -> None:
    put("/home", ALICE, OWN)
    said(ds01ctl, "dump", "--out", DUMP)
    put("/home", ALICE, Limits())
    know({"eve": ALICE, "bob": BOB, "carl": CARL})
    done = told(ds01ctl, "restore", DUMP, "--yes")
    assert (done["actions"], limits("/home", ALICE)) == ([], Limits())
    assert any("was alice then, and is eve now" in one for one in done["data"]["notes"])
