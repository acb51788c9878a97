"""The machine that limits are written for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from ds01ctl.observe.hardware import device
from ds01ctl.paths import Paths

if TYPE_CHECKING:
    from pathlib import Path

UNMOUNTED = "its file system is in /etc/fstab, and not mounted now"


@pytest.mark.parametrize(
    ("listed", "is_unmounted"), [("/data", True), ("/link", True), ("/other", False)]
)
def test_a_file_system_that_is_not_mounted(tmp_path: Path, listed: str, is_unmounted: bool) -> None:
    """Else the disk below the mount point would be limited in its place."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/fstab").write_text(f"# all\nUUID=7 {listed} xfs defaults 0 2\n")
    (tmp_path / "data/sets").mkdir(parents=True)
    (tmp_path / "link").symlink_to("data")
    path = f"{listed}/sets" if is_unmounted else "/data/sets"
    assert (device(path, Paths(tmp_path)) == UNMOUNTED) is is_unmounted


def test_a_mount_point_that_the_table_names_by_a_link(tmp_path: Path) -> None:
    """What is mounted there is not on the disk below."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/fstab").write_text("proc /link proc defaults 0 0\n")
    (tmp_path / "link").symlink_to("/proc")
    assert os.path.ismount("/proc")
    assert device("/link", Paths(tmp_path)) != UNMOUNTED
