"""The two file systems that limit, and what to do on them."""

from __future__ import annotations

import ctypes
import itertools
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.fsxattr import Tag, set_tag
from ds01ctl.quotactl import get_quota, opened

if TYPE_CHECKING:
    from ds01ctl.core.disk_quota import DiskQuota, QuotaKind

KIB, MIB = 1024, 1024 * 1024
_IDS = itertools.count(20_001)


class Where(NamedTuple):
    """A file system of the guest."""

    type: str
    mount: str
    device: str


XFS = Where("xfs", "/home", "/dev/ubda")
EXT4 = Where("ext4", "/scratch", "/dev/ubdb")
BOTH = (XFS, EXT4)


class Holder(NamedTuple):
    """A user, or a project with a user in it, who has a folder to write in."""

    where: Where
    kind: QuotaKind
    id: int
    uid: int
    folder: Path

    @property
    def quota(self) -> DiskQuota:
        """What the kernel has of it now; XFS starts a timer only when it writes to the disk."""
        with opened(self.where.mount, self.where.device) as handle:
            sync(self.folder)
            return get_quota(handle, self.kind, self.id)

    def write(self, size: int, name: str = "file") -> None:
        """Append that much to a file in its folder, as whoever calls."""
        with (self.folder / name).open("ab", buffering=0) as file:
            while size > 0:
                size -= file.write(bytes(min(size, 64 * KIB)))


def sync(path: Path) -> None:
    """Write one file system to its disk, syncfs(2)."""
    fd = os.open(path, os.O_RDONLY)
    ctypes.CDLL(None).syncfs(fd)
    os.close(fd)


def holder(where: Where, kind: QuotaKind) -> Holder:
    """Make one with an id of its own, and nothing used but the folder."""
    number = next(_IDS)
    folder = Path(where.mount, f"{kind}-{number}")
    folder.mkdir()
    os.chown(folder, number, number)
    if kind == "project":
        tag(folder, number)
    return Holder(where, kind, number, number, folder)


def tag(path: Path, project: int, *, inherit: bool = True) -> None:
    """Put a folder into a project."""
    fd = os.open(path, os.O_RDONLY)
    try:
        set_tag(fd, Tag(project, inherit))
    finally:
        os.close(fd)
