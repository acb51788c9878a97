"""What a folder lies on is found link by link, and nothing remote is looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ds01ctl.observe.host_disk import Mount
from ds01ctl.observe.mount_points import mount_of
from ds01ctl.paths import Paths

if TYPE_CHECKING:
    from pathlib import Path

ROOT, DATA, HOMES, NFS = (
    Mount(point, source, kind, ())
    for point, source, kind in (
        ("/", "/dev/sda1", "ext4"),
        ("/data", "/dev/sdb1", "xfs"),
        ("/data/homes", "/dev/sdc1", "xfs"),
        ("/nfs", "server:/x", "nfs4"),
    )
)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    (tmp_path / "data/homes/alice").mkdir(parents=True)
    (tmp_path / "plain").mkdir()
    (tmp_path / "file").touch()
    for name, target in (
        ("home", "/data/homes"), ("relative", "data/homes"), ("up", "plain/../data"),
        ("twice", "/home/alice"), ("loop", "loop"), ("away", "/nfs/homes"), ("dangling", "/none"),
        ("over", "../../../data"),
    ):  # fmt: skip
        (tmp_path / name).symlink_to(target)
    return Paths(tmp_path)


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("/", ROOT),
        ("/plain", ROOT),
        ("/data", DATA),
        ("/data/", DATA),
        ("/data/homes/alice", HOMES),
        ("/data/homes/../homes", HOMES),
        ("/home", HOMES),
        ("/home/alice", HOMES),
        ("/relative", HOMES),
        ("/twice", HOMES),
        ("/up", DATA),
        # as under a real root, nothing is above it
        ("/over", DATA),
        # neither is there in this root, and nobody asks
        ("/nfs/somewhere", NFS),
        ("/away/alice", NFS),
        ("/none", None),
        ("/dangling", None),
        ("/loop", None),
        ("/file/below", None),
    ],
)
def test_mount_of(paths: Paths, folder: str, expected: Mount | None) -> None:
    assert mount_of(folder, (ROOT, DATA, HOMES, NFS), paths) == expected
