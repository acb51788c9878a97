"""Mounts, free space and energy counters, in a moved root."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ds01ctl.core.host_facts import DiskFacts, Unread, Volume
from ds01ctl.observe import host_disk
from ds01ctl.paths import Paths

MOUNTS = r"""22 27 0:21 / /proc rw,relatime - proc proc rw,hidepid=invisible
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,errors=remount-ro
30 27 254:1 / /home rw,noatime - xfs /dev/vdb rw,attr2,usrquota,prjquota
31 27 0:50 / /mnt/with\040blank rw - tmpfs tmpfs rw
32 27 0:51 / /scratch rw - nfs4 server:/scratch rw,vers=4.2
33 27 254:9 / /var/lib/docker rw - ext4 /dev/vdc rw
34 27 254:10 / /var/lib/docker rw - xfs /dev/vdd rw,prjquota
a line of another kind
"""
FOLDERS = ("/home", "/var/lib/docker", "/scratch")


def write(root: Path, path: str, text: str = "") -> Path:
    file = root / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def volumes(found: DiskFacts) -> dict[str, Volume]:
    assert not isinstance(found.volumes, Unread)
    return {volume.mount: volume for volume in found.volumes}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path, "/proc/self/mountinfo", MOUNTS)
    write(tmp_path, "/etc/fstab", "# /dev/old /home xfs x 0 0\nUUID=7 /home xfs  noatime 0 2\n")
    for folder in ("home", "var/lib/docker", "var/log", "var/lib/ds01"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


def test_volumes(root: Path) -> None:
    """Each file system once, with what lies on it; the last mount at a place counts."""
    found = host_disk.read(Paths(root), FOLDERS)
    seen = volumes(found)
    assert set(seen) == {"/home", "/var/lib/docker", "/scratch", "/"}
    assert (seen["/home"].type, seen["/home"].fstab) == ("xfs", "UUID=7 /home xfs noatime 0 2")
    assert {"usrquota", "noatime"} <= set(seen["/home"].options)
    assert (seen["/var/lib/docker"].source, seen["/"].wants_quota) == ("/dev/vdd", False)
    assert seen["/"].holds == ("/var/log", "/var/lib/ds01")
    assert seen["/home"].space_percent is not None
    assert 0 <= seen["/home"].space_percent <= 100
    assert found.hidepid == "invisible"


def test_a_network_file_system_is_never_touched(root: Path) -> None:
    """Its folder does not even exist below this root, and still it is named."""
    remote = volumes(host_disk.read(Paths(root), FOLDERS))["/scratch"]
    assert remote.is_remote
    assert remote.space_percent is None


def test_a_folder_that_is_not_there(root: Path) -> None:
    """No folder, no row: /data is on the root file system by its path only."""
    assert "/data" not in volumes(host_disk.read(Paths(root), ("/data",)))["/"].holds


def test_no_mountinfo(tmp_path: Path) -> None:
    found = host_disk.read(Paths(tmp_path), FOLDERS)
    assert isinstance(found.volumes, Unread)


@pytest.mark.parametrize(
    ("path", "point"),
    [
        ("/home/alice", "/home"),
        ("/homes", "/"),
        ("/mnt/with blank/x", "/mnt/with blank"),
        ("/", "/"),
        ("/proc/1", "/proc"),
    ],
)
def test_holder(path: str, point: str) -> None:
    mount = host_disk.holder(path, host_disk.parse(MOUNTS))
    assert mount is not None
    assert mount.point == point


def test_the_machine_itself() -> None:
    """The real mountinfo, the real statvfs."""
    root = volumes(host_disk.read(Paths(), ("/",)))
    assert all(one.space_percent is None or 0 <= one.space_percent <= 100 for one in root.values())


def test_rapl(root: Path) -> None:
    """Zones and those inside them; a counter that may not be read is there, and unread."""
    for zone, name in (("intel-rapl:0", "package-0"), ("intel-rapl:0:1", "dram")):
        write(root, f"/sys/class/powercap/{zone}/name", f"{name}\n")
        write(root, f"/sys/class/powercap/{zone}/energy_uj", "12345\n").chmod(0o400)
    write(root, "/sys/class/powercap/intel-rapl/enabled", "1\n")
    write(root, "/sys/class/powercap/dtpm/x", "")
    rapl = host_disk.read(Paths(root), ()).rapl
    assert [(zone.name, zone.mode) for zone in rapl] == [("package-0", 0o400), ("dram", 0o400)]
    if os.geteuid() == 0:
        assert all(zone.is_read for zone in rapl)
