"""The guest is what its description says."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.uml.inside.conftest import as_user, call

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.uml.inside.conftest import Done


@pytest.mark.parametrize(
    ("point", "kind", "option"),
    [
        ("/home", "xfs", "prjquota"),
        ("/scratch", "ext4", "prjquota"),
        ("/plain", "ext4", "rw"),
        ("/plainxfs", "xfs", "noquota"),
    ],
)
def test_disks_are_mounted(point: str, kind: str, option: str) -> None:
    line = next(x.split() for x in Path("/proc/mounts").read_text().splitlines() if point in x)
    assert (line[1], line[2]) == (point, kind)
    assert option in line[3].split(",")


@pytest.mark.parametrize("folder", ["/etc", "/var/lib", "/run", "/home", "/scratch"])
def test_folders_are_writable(folder: str) -> None:
    path = Path(folder, "written-in-the-guest")
    path.write_text("x")
    assert path.read_text() == "x"


def test_another_user_can_be_taken() -> None:
    assert as_user(1000, lambda: Path("/etc/not-mine").write_text("x")) == errno.EACCES
    assert as_user(1000, lambda: Path("/etc").stat()) == 0


def test_the_program_runs(ds01ctl: Callable[..., Done]) -> None:
    assert ds01ctl("--version").status == 0


def test_quota_tools_see_both(tmp_path: Path) -> None:
    told = call("repquota", "-anv")
    assert {"/dev/ubda", "/dev/ubdb"} <= set(told.stdout.split()), told
