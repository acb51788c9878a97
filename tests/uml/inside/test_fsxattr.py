"""Project ids of files and folders on real file systems."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ds01ctl.fsxattr import Tag, get_project_id, get_tag, set_tag
from tests.uml.inside.conftest import call

if TYPE_CHECKING:
    from collections.abc import Iterator

HIGHEST = 2**32 - 2


@contextmanager
def opened(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY)
    try:
        yield fd
    finally:
        os.close(fd)


@pytest.fixture(params=["/home", "/scratch"], ids=["xfs", "ext4"])
def folder(request: pytest.FixtureRequest) -> Path:
    path = Path(request.param, "tagged")
    path.mkdir(exist_ok=True)
    return path


@pytest.mark.parametrize("project", [2_000_000, 2**31 + 5, HIGHEST])
def test_a_folder_passes_its_id_on(folder: Path, project: int) -> None:
    with opened(folder) as fd:
        assert set_tag(fd, Tag(project, is_inherited=True))
        assert get_tag(fd) == Tag(project, is_inherited=True)
        # "already so" is told, and nothing written
        assert not set_tag(fd, Tag(project, is_inherited=True))
    inner = folder / f"inner-{project}"
    inner.mkdir()
    with opened(inner) as fd:
        assert get_tag(fd) == Tag(project, is_inherited=True)
    (inner / "file").write_text("x")
    with opened(inner / "file") as fd:
        assert get_project_id(fd) == project
    assert call("lsattr", "-pd", str(folder)).stdout.split()[0] == str(project)


def test_other_flags_stay(folder: Path) -> None:
    path = folder / "noatime"
    path.write_text("x")
    assert call("chattr", "+A", str(path)).status == 0
    with opened(path) as fd:
        set_tag(fd, Tag(77, is_inherited=False))
        set_tag(fd, Tag(0, is_inherited=False))
    assert "A" in call("lsattr", str(path)).stdout.split()[0]


def test_inheritance_is_taken_away(folder: Path) -> None:
    path = folder / "ends"
    path.mkdir()
    with opened(path) as fd:
        set_tag(fd, Tag(88, is_inherited=True))
        assert set_tag(fd, Tag(88, is_inherited=False))
        assert get_tag(fd) == Tag(88, is_inherited=False)


def test_without_the_feature() -> None:
    path = Path("/plain/file")
    path.write_text("x")
    with opened(path) as fd, pytest.raises(OSError) as caught:
        set_tag(fd, Tag(5, is_inherited=False))
    assert caught.value.errno == errno.EOPNOTSUPP


def test_a_file_system_that_has_none() -> None:
    with opened(Path("/proc")) as fd, pytest.raises(OSError) as caught:
        get_tag(fd)
    assert caught.value.errno == errno.ENOTTY
