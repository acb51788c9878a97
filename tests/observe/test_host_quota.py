"""What quotas need, read of kernels of several distributions and of real superblocks."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from ds01ctl.core.host_facts import Ext4Features, Unread
from ds01ctl.observe import host_disk, host_quota
from ds01ctl.paths import Paths

RELEASE = "6.8.0-45-generic"
CONFIG = """# Linux/x86 6.8.0
CONFIG_QUOTA=y
CONFIG_NFT_QUOTA=m
# CONFIG_QFMT_V1 is not set
CONFIG_QFMT_V2=m
# CONFIG_XFS_QUOTA is not set
"""
OPTIONS = {"CONFIG_QUOTA": "y", "CONFIG_QFMT_V2": "m"}
DEP = """kernel/fs/quota/quota_v2.ko.zst: kernel/fs/quota/quota_tree.ko.zst
kernel/net/netfilter/nft_quota.ko.zst: kernel/net/netfilter/nf_tables.ko.zst
kernel/fs/quota/quota_tree.ko.zst:
"""


def write(root: Path, path: str, data: bytes | str) -> Path:
    file = root / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data if isinstance(data, bytes) else data.encode())
    return file


@pytest.mark.parametrize(
    "path", ["/proc/config.gz", f"/boot/config-{RELEASE}", f"/lib/modules/{RELEASE}/config"]
)
def test_options(tmp_path: Path, path: str) -> None:
    """The configuration is found where a distribution puts it."""
    write(tmp_path, path, gzip.compress(CONFIG.encode()) if path.endswith("gz") else CONFIG)
    assert host_quota.kernel(Paths(tmp_path), RELEASE).options == OPTIONS


def test_no_configuration(tmp_path: Path) -> None:
    """None, and one that is broken, is unknown: not a kernel without quotas."""
    found = host_quota.kernel(Paths(tmp_path), RELEASE)
    assert isinstance(found.options, Unread)
    assert isinstance(found.modules, Unread)
    packed = gzip.compress(CONFIG.encode())
    for broken in (b"no gzip", packed[:40], packed[:20] + b"\xff" * 20 + packed[40:]):
        write(tmp_path, "/proc/config.gz", broken)
        assert isinstance(host_quota.kernel(Paths(tmp_path), RELEASE).options, Unread)
    write(tmp_path, f"/boot/config-{RELEASE}", CONFIG)
    assert host_quota.kernel(Paths(tmp_path), RELEASE).options == OPTIONS


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        (f"/lib/modules/{RELEASE}/modules.dep", DEP, {"quota_v2", "quota_tree"}),
        (f"/lib/modules/{RELEASE}/modules.dep", "kernel/fs/xfs/xfs.ko:\n", set()),
        (f"/lib/modules/{RELEASE}/modules.builtin", "kernel/fs/quota/quota_v2.ko\n", {"quota_v2"}),
        ("/proc/modules", "quota_v2 16384 2 - Live 0x0\nxfs 1 0 - Live 0x0\n", {"quota_v2"}),
    ],
)
def test_modules(tmp_path: Path, path: str, text: str, expected: set[str]) -> None:
    """Loaded, built in, or on the disk; a minimal kernel's package may have left it out."""
    write(tmp_path, path, text)
    found = host_quota.kernel(Paths(tmp_path), RELEASE).modules
    assert found == frozenset(expected)


EXT4 = {
    "plain": ((), Ext4Features(frozenset(), 256)),
    "users": (("-O", "quota", "-E", "quotatype=usrquota"), {"quota", "usrquota"}),
    "all": (
        ("-O", "quota,project", "-E", "quotatype=usrquota:grpquota:prjquota"),
        {"quota", "project", "usrquota", "grpquota", "prjquota"},
    ),
    "project ids, not counted": (("-O", "project"), {"project"}),
    "small inodes": (("-I", "128"), Ext4Features(frozenset(), 128)),
}


@pytest.mark.skipif(shutil.which("mke2fs") is None, reason="needs mke2fs (e2fsprogs)")
@pytest.mark.parametrize(("made", "expected"), EXT4.values(), ids=EXT4.keys())
def test_ext4_features(
    tmp_path: Path, made: tuple[str, ...], expected: Ext4Features | set[str]
) -> None:
    """The bytes of a superblock that mke2fs wrote."""
    disk = write(tmp_path, "/dev/vdb", b"")
    os.truncate(disk, 16 << 20)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", *made, disk], check=True, capture_output=True)
    told = host_quota.ext4_features("/home", "/dev/vdb", Paths(tmp_path))
    whole = (
        expected if isinstance(expected, Ext4Features) else Ext4Features(frozenset(expected), 256)
    )
    assert told == whole


@pytest.mark.parametrize("content", [b"", b"x" * 4096, b"\0" * 2000])
def test_no_superblock(tmp_path: Path, content: bytes) -> None:
    write(tmp_path, "/dev/vdb", content)
    told = host_quota.ext4_features("/home", "/dev/vdb", Paths(tmp_path))
    assert isinstance(told, Unread)
    assert told.kind == "failed"


def test_no_device(tmp_path: Path) -> None:
    told = host_quota.ext4_features("/home", "/dev/root", Paths(tmp_path))
    assert isinstance(told, Unread)
    assert told.kind == "absent"


def test_what_is_read_of_a_host(tmp_path: Path) -> None:
    """Only what should limit is looked into, and what lies on a server never."""
    write(tmp_path, "/proc/self/mountinfo", (
        "27 1 254:0 / / rw - ext4 /dev/vda1 rw\n"
        "30 27 254:1 / /home rw - ext4 /dev/vdb rw,usrquota\n"
        "31 27 0:51 / /scratch rw - nfs4 server:/scratch rw\n"
    ))  # fmt: skip
    write(tmp_path, "/home/aquota.user", "")
    write(tmp_path, f"/boot/config-{os.uname().release}", CONFIG)
    (tmp_path / "var/log").mkdir(parents=True)
    found = host_disk.read(Paths(tmp_path), ("/home", "/scratch"))
    assert not isinstance(found.volumes, Unread)
    volumes = {volume.mount: volume for volume in found.volumes}
    assert volumes["/home"].quota_files == ("aquota.user",)
    assert volumes["/home"].ext4 == Unread("absent", f"{tmp_path}/dev/vdb: not there")
    assert (volumes["/"].ext4, volumes["/scratch"].ext4) == (None, None)
    assert found.kernel
    assert found.kernel.options == OPTIONS
    assert host_disk.read(Paths(tmp_path), ("/scratch",)).kernel is None
