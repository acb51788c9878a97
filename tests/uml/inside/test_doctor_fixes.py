"""What `doctor` says would turn quotas on does so, word by word."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from ds01ctl.core import doctor_quota
from ds01ctl.core.doctor_row import Row
from ds01ctl.core.host_facts import Unread, Volume
from ds01ctl.observe import host_disk
from ds01ctl.paths import Paths

BOTH = {"user": "held", "project": "held"}


def sh(line: str, status: int = 0) -> None:
    done = subprocess.run(line, shell=True, capture_output=True, text=True, check=False)
    assert done.returncode == status, f"{line}\n{done.stdout}{done.stderr}"


def volume(point: str) -> Volume:
    found = host_disk.read(Paths(), (point,)).volumes
    assert not isinstance(found, Unread)
    return next(one for one in found if one.mount == point)


def rows(point: str) -> dict[str, Row]:
    facts = host_disk.read(Paths(), ("/home", point))
    assert not isinstance(facts.volumes, Unread)
    return {row.check: row for row in doctor_quota.rows(facts.volumes, facts.kernel)}


def wrong(point: str) -> set[str]:
    return {
        check
        for check, row in rows(point).items()
        if row.state != "ok" and check.endswith(f" {point}")
    }


def fix(point: str, check: str) -> str:
    return str(rows(point)[f"{check} on {point}"].fix)


def write_fstab(said: str) -> None:
    """Put the line that a fix names into /etc/fstab."""
    match = re.search(r"in /etc/fstab: ([^;]*)", said)
    assert match
    Path("/etc/fstab").write_text(match[1] + "\n")


def commands(said: str) -> str:
    """The commands of a fix up to the line of fstab."""
    match = re.search(r"(umount [^;]*)", said)
    assert match
    return match[1].removesuffix(", or reboot")


@pytest.fixture(autouse=True)
def _afterwards() -> None:
    """Each test begins with the file systems as they were left, and no /etc/fstab."""
    Path("/etc/fstab").write_text("")


@pytest.mark.parametrize("point", ["/home", "/scratch"])
def test_where_all_is_on(point: str) -> None:
    """Nothing is told to be mended but that fstab lacks it, where it shows."""
    assert volume(point).quota == BOTH
    assert wrong(point) == set()


def test_ext4_without_features() -> None:
    """The line alone would leave it unmounted: first tune2fs."""
    point = "/plain"
    assert wrong(point) == {"quotas on /plain", "ext4 features on /plain"}
    said = fix(point, "quotas")
    write_fstab(said)
    sh("umount /plain")
    sh("mount /plain", status=32)
    sh("mount -t ext4 /dev/ubdc /plain")
    Path("/plain/data").write_bytes(b"x" * 5000)
    sh(commands(said))
    sh("mount /plain")
    assert volume(point).quota == BOTH
    assert wrong(point) == set()
    assert Path("/plain/data").stat().st_size == 5000


def test_ext4_that_only_counts() -> None:
    """Quotaon without an unmount; a remount shows the option, and holds nobody."""
    point = "/plain"
    sh("umount /plain; mount -t ext4 /dev/ubdc /plain")
    assert volume(point).quota == {"user": "counted", "project": "counted"}
    sh("mount -o remount,usrquota,prjquota /plain")
    assert "usrquota" in volume(point).options
    assert wrong(point) == {"user quotas on /plain", "project quotas on /plain"}
    for kind in ("user", "project"):
        sh(fix(point, f"{kind} quotas").partition(" (no unmount")[0])
    assert volume(point).quota == BOTH
    sh("umount /plain; mount -t ext4 /dev/ubdc /plain; quotaon -uP /plain")
    assert wrong(point) == {"user quotas on /plain", "project quotas on /plain"}
    assert rows(point)["user quotas on /plain"].found == "on, until it is unmounted"
    write_fstab(fix(point, "user quotas"))
    assert wrong(point) == {"project quotas on /plain"}


def test_ext4_as_a_root_file_system_is_mounted() -> None:
    """Read-only first, then written by a remount with the options of fstab: that does it."""
    sh("umount /plain; mount -t ext4 -o ro /dev/ubdc /plain")
    sh("mount -o remount,rw,usrquota,prjquota /plain")
    assert volume("/plain").quota == BOTH


def test_xfs_without_quotas() -> None:
    point = "/plainxfs"
    assert wrong(point) == {"quotas on /plainxfs"}
    sh("mount -o remount,uquota,prjquota /plainxfs")
    assert volume(point).quota == {"user": "off", "project": "off"}
    said = fix(point, "quotas")
    write_fstab(said)
    sh(commands(said))
    assert volume(point).quota == BOTH
    assert wrong(point) == set()


def test_xfs_that_only_counts() -> None:
    point = "/plainxfs"
    sh("umount /plainxfs; mount -t xfs -o uqnoenforce,pqnoenforce /dev/ubdd /plainxfs")
    assert volume(point).quota == {"user": "counted", "project": "counted"}
    for kind in ("user", "project"):
        sh(fix(point, f"{kind} quotas").partition(" (no unmount")[0])
    assert volume(point).quota == BOTH


def test_quota_files_of_old() -> None:
    """Made as quotacheck makes them; the way to the features takes them away."""
    point = "/plain"
    sh("umount /plain; tune2fs -O ^project,^quota /dev/ubdc")
    sh("mount -t ext4 -o usrquota /dev/ubdc /plain; quotacheck -cum /plain; quotaon -u /plain")
    found = rows(point)["old quota files on /plain"]
    assert found.found == "aquota.user"
    assert volume(point).quota == {"user": "held", "project": "off"}
    sh("quotaoff -ug /plain")
    said = fix(point, "ext4 features")
    sh(said.removesuffix(" && mount /plain"))
    sh("mount -t ext4 -o usrquota,prjquota /dev/ubdc /plain")
    sh(str(rows(point)["old quota files on /plain"].fix))
    assert wrong(point) == set()
