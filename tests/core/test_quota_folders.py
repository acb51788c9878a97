"""Folders that lie on another file system than before: their limits are not set there."""

from __future__ import annotations

from ds01ctl.commands.quota_folders import without_moved
from ds01ctl.core.disk_quota import QuotaFileSystem


def test_what_is_not_mounted_is_noticed() -> None:
    """/home was a file system of its own, and lies on the root's now."""
    root = QuotaFileSystem("/", "/dev/sda1", "xfs", ("/home", "/srv", "/new"), {}, {})
    kept, gaps = without_moved([root], {"/home": "/home", "/srv": "/"})
    assert [one.holds for one in kept] == [("/srv", "/new")]
    assert [gap.kind for gap in gaps] == ["failed"]
    assert "/home: lay on /home when limits were set last, and lies on / now" in gaps[0].reason


def test_as_it_was_nothing_is_said() -> None:
    home = QuotaFileSystem("/home", "/dev/sdb1", "xfs", ("/home",), {}, {})
    assert without_moved([home], {"/home": "/home"}) == ((home,), ())
