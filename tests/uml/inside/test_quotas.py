"""Reading and setting quotas as the commands do, on real file systems."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ds01ctl import quotactl
from ds01ctl.act import quotas as act
from ds01ctl.core.disk_quota import KINDS, Accounting, Limits, QuotaFileSystem
from ds01ctl.errors import Ds01Error
from ds01ctl.observe import quotas as observe
from ds01ctl.paths import Paths
from tests.uml.inside.conftest import as_user
from tests.uml.inside.places import BOTH, EXT4, KIB, MIB, XFS, Holder, Where, holder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ds01ctl.core.disk_quota import DiskQuota, QuotaKind

GIB = 1024 * MIB
SOFT = Limits(soft_bytes=MIB, hard_bytes=8 * MIB)
ROWS = [pytest.param(where, kind, id=f"{where.type}-{kind}") for where in BOTH for kind in KINDS]


def read_one(folder: str) -> QuotaFileSystem:
    reading = observe.read(Paths(), [folder])
    assert reading.gaps == ()
    return reading.file_systems[0]


def mount(*argv: str) -> None:
    subprocess.run(["mount", *argv], check=True)


def set_(one: Holder, limits: Limits, expected: Limits | None = None) -> bool:
    place = one.where.mount, one.where.device, one.kind, one.id
    return act.set_limits(*place, limits, expected=expected)


# --- reading ------------------------------------------------------------------------------------


def test_each_file_system_once() -> None:
    for folder in ("/home/alice", "/scratch/data"):
        Path(folder).mkdir(exist_ok=True)
    link = Path("/data")
    if not link.is_symlink():
        link.symlink_to("scratch/data")
    folders = ["/home", "/scratch", "/home/alice", "/data", "/none", "/home"]
    reading = observe.read(Paths(), folders)
    assert [(one.mount, one.source, one.type, one.holds) for one in reading.file_systems] == [
        ("/home", "/dev/ubda", "xfs", ("/home", "/home/alice")),
        ("/scratch", "/dev/ubdb", "ext4", ("/scratch", "/data")),
    ]
    assert [(gap.kind, gap.reason) for gap in reading.gaps] == [("absent", "/none: no such folder")]


@pytest.mark.parametrize("where", BOTH, ids=lambda where: where.type)
def test_what_is_on(where: Where) -> None:
    one = holder(where, "project")
    set_(one, SOFT)
    seen = read_one(where.mount)
    assert seen.accounting["project"].is_on
    assert seen.accounting["project"].is_enforced
    assert seen.accounting["user"].bytes_grace_s is not None
    assert one.quota in seen.records["project"]
    assert [x.id for x in seen.records["user"]] == sorted(x.id for x in seen.records["user"])
    assert seen.size_bytes is not None
    assert seen.free_bytes is not None
    assert 0 < seen.free_bytes < seen.size_bytes
    assert seen.block_bytes == (4096 if where is XFS else 1024)


@pytest.mark.parametrize(
    ("folder", "user", "project"),
    [
        ("/plain", "made without the quota feature; unmounted: tune2fs -O quota -Q usrquota "
         "/dev/ubdc", "tune2fs -O quota,project -Q prjquota /dev/ubdc"),
        ("/plainxfs", "XFS is mounted without uquota: add uquota in /etc/fstab", "without pquota"),
        ("/run/tmp", "tmpfs is memory", "tmpfs is memory"),
        ("/etc", "overlay has no quotas", "overlay has no quotas"),
        ("/proc", "proc has no quotas that ds01ctl knows", "proc has no quotas"),
    ],
)  # fmt: skip
def test_what_is_not_on(folder: str, user: str, project: str) -> None:
    seen = read_one(folder)
    for kind, words in (("user", user), ("project", project)):
        told = seen.accounting[kind]
        assert not told.is_on
        assert words in (told.reason or "")
        assert seen.records[kind] == ()


@pytest.fixture
def only_counted() -> Iterator[None]:
    """Both mounted so that usage is counted, and limits do not hold."""
    for where, options in ((XFS, "uqnoenforce,pqnoenforce"), (EXT4, "noinit_itable")):
        subprocess.run(["umount", where.mount], check=True)
        mount("-o", options, where.device, where.mount)
    yield
    for where, options in ((XFS, "uquota,gquota,pquota"), (EXT4, "usrquota,grpquota,prjquota")):
        subprocess.run(["umount", where.mount], check=True)
        mount("-o", options, where.device, where.mount)


def test_what_is_only_counted(only_counted: None) -> None:
    xfs, ext4 = read_one("/home"), read_one("/scratch")
    told = [one.accounting[kind] for one in (xfs, ext4) for kind in KINDS]
    assert {(one.is_on, one.is_enforced) for one in told} == {(True, False)}
    reasons = [one.reason or "" for one in told]
    assert ["uqnoenforce" in reasons[0], "pqnoenforce" in reasons[1]] == [True, True]
    assert ["usrquota" in reasons[2], "quotaon -P /scratch" in reasons[3]] == [True, True]
    # and the command that is named does it
    subprocess.run(["quotaon", "-P", "/scratch"], check=True)
    subprocess.run(["quotaon", "-u", "/scratch"], check=True)
    assert all(read_one("/scratch").accounting[kind].is_enforced for kind in KINDS)


def test_who_is_not_root_is_told_their_own() -> None:
    one = holder(XFS, "user")
    readings = []
    assert as_user(one.uid, lambda: readings.append(observe.read(Paths(), ["/home"]))) == 0
    (reading,) = readings
    assert [gap.kind for gap in reading.gaps] == ["denied", "denied"]
    assert reading.file_systems[0].records == {"user": (one.quota,), "project": ()}
    told = reading.file_systems[0].accounting
    assert [told[kind].is_on and not told[kind].is_complete for kind in KINDS] == [True, True]


@pytest.fixture
def moved(tmp_path: Path) -> Paths:
    """A root elsewhere: its /home is the guest's, and its mountinfo is written by hand."""
    (tmp_path / "home").mkdir()
    (tmp_path / "proc/self").mkdir(parents=True)
    mount("--bind", "/home", str(tmp_path / "home"))
    rows = (
        ("/", "ext4", "/dev/sda1"), ("/home", "xfs", "/dev/ubda"), ("/nfs", "nfs4", "server:/x"),
        ("/fuse", "fuse.sshfs", "me@there:"), ("/auto", "autofs", "systemd-1"),
    )  # fmt: skip
    lines = [
        f"{n} 1 8:{n} / {point} rw - {kind} {source} rw\n"
        for n, (point, kind, source) in enumerate(rows)
    ]
    (tmp_path / "proc/self/mountinfo").write_text("".join(lines))
    return Paths(tmp_path)


def test_a_moved_root(moved: Paths) -> None:
    one = holder(XFS, "user")
    reading = observe.read(moved, ["/home", f"/home/{one.folder.name}", "/none"])
    (seen,) = reading.file_systems
    assert (seen.mount, seen.holds) == ("/home", ("/home", f"/home/{one.folder.name}"))
    assert one.quota in seen.records["user"]
    assert len(reading.gaps) == 1


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        ("/nfs/home", "nfs4: quotas are set on the server"),
        ("/fuse", "fuse.sshfs: a program answers for it"),
        ("/auto/x", "nothing is mounted there yet"),
        ("/linked/x", "nfs4: quotas are set on the server"),
    ],
)
def test_what_may_hang_is_not_touched(moved: Paths, folder: str, words: str) -> None:
    """It is not even there in this root, and is not missed; nor is what a link leads to."""
    (moved.root / "linked").symlink_to("/nfs/home")
    reading = observe.read(moved, [folder])
    assert reading.gaps == ()
    (seen,) = reading.file_systems
    assert not seen.accounting["user"].is_on
    assert words in (seen.accounting["user"].reason or "")
    assert seen.holds == (folder,)


def test_a_mount_that_is_gone(moved: Paths) -> None:
    """The mounts tell of one that is not there any more: a gap, and nothing is made up."""
    with (moved.proc / "self/mountinfo").open("a") as file:
        file.write("9 1 8:9 / /gone rw - xfs /dev/sdx rw\n")
    reading = observe.read(moved, ["/gone"])
    assert (reading.file_systems, reading.gaps[0].kind) == ((), "absent")


def test_no_mountinfo(tmp_path: Path) -> None:
    reading = observe.read(Paths(tmp_path), ["/home"])
    assert (reading.file_systems, reading.gaps[0].kind) == ((), "absent")


# --- setting ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("where", "kind"), ROWS)
def test_limits_are_set_rounded_and_only_once(where: Where, kind: QuotaKind) -> None:
    one = holder(where, kind)
    odd = Limits(10 * MIB + 1, 11 * MIB + 1, 100, 200)
    assert set_(one, odd, Limits())
    block = 4096 if where is XFS else 1024
    kept = Limits(10 * MIB + block, 11 * MIB + block, 100, 200)
    assert one.quota.limits == kept
    assert not set_(one, odd, Limits())
    assert not set_(one, odd, kept)
    assert set_(one, Limits(), kept)
    assert one.quota.limits == Limits()


@pytest.mark.parametrize(("where", "kind"), ROWS)
def test_what_somebody_else_set_meanwhile_stays(where: Where, kind: QuotaKind) -> None:
    one = holder(where, kind)
    theirs = Limits(hard_bytes=GIB)
    set_(one, theirs)
    with pytest.raises(Ds01Error, match="changed by someone else meanwhile"):
        set_(one, SOFT, Limits())
    assert one.quota.limits == theirs


@pytest.mark.parametrize(("where", "kind"), ROWS)
@pytest.mark.parametrize(
    "limits", [Limits(2 * GIB, GIB), Limits(soft_inodes=3, hard_inodes=2)], ids=["bytes", "inodes"]
)
def test_soft_above_hard(where: Where, kind: QuotaKind, limits: Limits) -> None:
    one = holder(where, kind)
    with pytest.raises(Ds01Error, match="the soft limit is above the hard one"):
        set_(one, limits)
    assert one.quota.limits == Limits()


@pytest.mark.parametrize("mounted", ["/plain", "/home"])
def test_another_file_system_is_never_taken_for_it(mounted: str) -> None:
    """Where the disk was unmounted meanwhile, the path lies on the one below."""
    with pytest.raises(Ds01Error, match="not /dev/ubdb that is mounted there any more"):
        act.set_limits(mounted, "/dev/ubdb", "user", 1, SOFT, expected=None)


@pytest.mark.parametrize("where", BOTH, ids=lambda where: where.type)
def test_through_a_mount_that_is_read_only_for_us(where: Where, tmp_path: Path) -> None:
    """A hardened service sees /home read-only; limits can be set all the same."""
    one = holder(where, "user")
    mount("--bind", where.mount, str(tmp_path))
    mount("-o", "remount,ro,bind", str(tmp_path))
    assert act.set_limits(tmp_path, where.device, "user", one.id, SOFT, expected=Limits())
    assert one.quota.limits == SOFT
    subprocess.run(["umount", tmp_path], check=True)


def test_where_they_are_off() -> None:
    with pytest.raises(Ds01Error, match="/plain: quotas of this kind are not on"):
        act.set_limits("/plain", "/dev/ubdc", "user", 1, SOFT, expected=None)


def test_without_privilege() -> None:
    def do() -> None:
        with pytest.raises(Ds01Error, match="/home: not permitted"):
            act.set_limits("/home", "/dev/ubda", "user", 1, SOFT, expected=None)

    assert as_user(1234, do) == 0


def over(where: Where, kind: QuotaKind) -> tuple[Holder, DiskQuota]:
    """Have somebody who is over both soft limits, with deadlines of their own."""
    one = holder(where, kind)
    set_(one, Limits(MIB, 16 * MIB, 2, 50))
    for name in ("file", "second", "third"):
        assert as_user(one.uid, lambda name=name: one.write(MIB, name)) == 0
    started = one.quota
    assert started.bytes_grace_end
    assert started.inodes_grace_end
    # of a length that no new grace has; XFS keeps whole steps of four seconds
    ends = (int(time.time()) // 4 * 4 + 4000, int(time.time()) // 4 * 4 + 8000)
    place = where.mount, where.device, kind, one.id
    act.set_grace_end(*place, bytes_end=ends[0], inodes_end=ends[1])
    quota = one.quota
    assert (quota.bytes_grace_end, quota.inodes_grace_end) == ends
    return one, quota


@pytest.mark.parametrize(("where", "kind"), ROWS)
@pytest.mark.parametrize(
    "limits",
    [
        pytest.param(Limits(MIB, 16 * MIB, 2, 50), id="the same"),
        pytest.param(Limits(MIB, 17 * MIB, 2, 50), id="hard raised"),
        pytest.param(Limits(2 * MIB, 17 * MIB, 2, 50), id="soft raised, still over"),
        pytest.param(Limits(MIB, 16 * MIB, 3, 50), id="inodes raised, still over"),
        pytest.param(Limits(512 * KIB, 8 * MIB, 1, 40), id="all lowered"),
    ],
)
def test_a_deadline_stays_while_still_over(where: Where, kind: QuotaKind, limits: Limits) -> None:
    """ext4 would begin the grace anew with every write of limits."""
    one, before = over(where, kind)
    set_(one, limits)
    after = one.quota
    assert after.limits == limits
    ends = (after.bytes_grace_end, after.inodes_grace_end)
    assert ends == (before.bytes_grace_end, before.inodes_grace_end)


@pytest.mark.parametrize(("where", "kind"), ROWS)
def test_a_deadline_goes_with_the_overrun(where: Where, kind: QuotaKind) -> None:
    one, _ = over(where, kind)
    set_(one, Limits(8 * MIB, 16 * MIB, 20, 50))
    assert (one.quota.bytes_grace_end, one.quota.inodes_grace_end) == (0, 0)


@pytest.mark.parametrize(("where", "kind"), ROWS)
def test_moving_a_deadline(where: Where, kind: QuotaKind) -> None:
    one, before = over(where, kind)
    place = where.mount, where.device, kind, one.id
    end = int(time.time()) + 3 * 86_400
    assert act.set_grace_end(*place, bytes_end=end)
    assert 0 <= one.quota.bytes_grace_end - end < 4
    assert one.quota.inodes_grace_end == before.inodes_grace_end
    assert not act.set_grace_end(*place, bytes_end=end)
    # back into the past: the soft limit holds at once
    assert act.set_grace_end(*place, bytes_end=int(time.time()) - 10)
    assert as_user(one.uid, lambda: one.write(64 * KIB)) != 0


def test_no_deadline_where_none_is_over() -> None:
    one = holder(EXT4, "user")
    set_(one, SOFT)
    with pytest.raises(Ds01Error, match="not over its soft limit"):
        act.set_grace_end("/scratch", "/dev/ubdb", "user", one.id, bytes_end=2**31)


@pytest.mark.parametrize(("where", "kind"), ROWS)
def test_setting_the_grace(where: Where, kind: QuotaKind) -> None:
    place = where.mount, where.device, kind
    act.set_grace(*place, bytes_s=864_000, inodes_s=86_400)
    assert not act.set_grace(*place, bytes_s=864_000, inodes_s=86_400)
    assert act.set_grace(*place, bytes_s=604_800)
    told = read_one(where.mount).accounting[kind]
    assert told == Accounting(
        is_on=True, is_enforced=True, bytes_grace_s=604_800, inodes_grace_s=86_400
    )


def test_many_on_one_handle() -> None:
    with act.held("/scratch", "/dev/ubdb") as fs:
        for id_ in range(50_000, 50_100):
            assert act.put_limits(fs, "user", id_, SOFT, expected=Limits())
        assert not act.put_limits(fs, "user", 50_000, SOFT, expected=Limits())
    with quotactl.opened("/scratch", "/dev/ubdb") as handle:
        ids = {one.id for one in quotactl.all_quotas(handle, "user") if one.limits == SOFT}
    assert set(range(50_000, 50_100)) <= ids
