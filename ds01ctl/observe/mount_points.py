"""Find what a folder of the host lies on without touching a file system that may hang."""

from __future__ import annotations

import errno
import os
import posixpath
from typing import TYPE_CHECKING

from ds01ctl.observe import host_files
from ds01ctl.observe.host_disk import Mount, holder, is_remote

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from ds01ctl.paths import Paths

_MOST_LINKS = 40
_ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}


def mount_of(folder: str, mounts: Sequence[Mount], paths: Paths) -> Mount | None:
    """Find the mount that a folder lies on, links followed; None where there is no such folder.

    The first remote file system on the way ends it: whether the folder is there, its server knows.
    Links lead where they do on the host, also under a moved root.
    """
    done, ahead, links = "/", _parts(folder), 0
    while ahead:
        here = posixpath.normpath(posixpath.join(done, ahead.pop()))
        mount = holder(here, mounts)
        if mount is not None and is_remote(mount.type):
            return mount
        target = _target(here, paths)
        if target is None or links > _MOST_LINKS:
            return None
        if not target:
            done = here
            continue
        links += 1
        ahead += _parts(target)
        done = "/" if target.startswith("/") else done
    return holder(done, mounts)


def _parts(path: str) -> list[str]:
    """Split a path, its last part first."""
    return [part for part in reversed(path.split("/")) if part]


def _target(path: str, paths: Paths) -> str | None:
    """Read a link; empty where it is none, None where there is nothing."""
    try:
        return str(paths.under(path).readlink())
    except OSError as error:
        # EINVAL: not a link. What may not be looked at is taken for none
        return None if error.errno in _ABSENT else ""


def is_unmounted(path: str, paths: Paths, points: Collection[str] = ()) -> bool:
    """Tell whether a path would lead to the disk below a file system that is not there now.

    points: where something is known to be mounted; nothing is looked at there, for it may hang.
    """
    for line in (host_files.line(paths.under("/etc/fstab")) or "").splitlines():
        fields = line.split()
        if len(fields) < 2 or line.startswith("#"):
            continue
        mount = fields[1].rstrip("/")
        is_below = mount and f"{path}/".startswith(f"{mount}/")
        if not is_below or mount in points:
            continue
        # the table may name a link
        if not os.path.ismount(os.path.realpath(paths.under(mount))):
            return True
    return False
