"""A file is written beside and renamed, and is nobody else's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ds01ctl.files import write_atomic


def part_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.part")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_another_left_ready_is_not_used(tmp_path: Path) -> None:
    """In a folder of a group, anybody of it could guess the name and stay the file's owner."""
    path = tmp_path / "x"
    part_of(path).write_text("theirs")
    os.chown(part_of(path), 12345, 12345)
    with part_of(path).open("r+") as theirs:
        write_atomic(path, "ours")
        theirs.write("theirs again")
    assert (path.read_text(), path.stat().st_uid) == ("ours", os.geteuid())
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_that_lies_there_is_not_followed(tmp_path: Path) -> None:
    path, target = tmp_path / "x", tmp_path / "target"
    target.write_text("keep")
    part_of(path).symlink_to(target)
    write_atomic(path, "ours")
    assert (path.read_text(), target.read_text()) == ("ours", "keep")
    assert not path.is_symlink()
