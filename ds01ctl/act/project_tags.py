"""Put the files of a tree into a project, or take them out of it.

What is so already is read, not written: a run after one that was killed goes on where that ended.
"""

from __future__ import annotations

import errno
import stat
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.errors import Ds01Error
from ds01ctl.fsxattr import Tag, get_tag, set_tag
from ds01ctl.treewalk import Walk

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Container, Mapping

    Progress = Callable[[int], None]

_HINTS = {
    errno.EROFS: "it is read-only here; in a unit, list it in ReadWritePaths=",
    errno.EPERM: "run it as root",
    errno.EACCES: "run it as root",
    errno.ELOOP: "a link lies on the way by now: name the path that it leads to",
    errno.ENOTDIR: "a link or a file lies on the way: name the path of the folder itself",
    errno.ESTALE: "run it again",
}
_NO_PROJECTS = {errno.ENOTTY, errno.EOPNOTSUPP, errno.ENOSYS}
_LISTED = 20


class Tagged(NamedTuple):
    """What came of a walk over a tree."""

    changed: int
    """Files and folders that were written."""
    unchanged: int
    """That were so already."""
    foreign: int
    """That are in a project of somebody else's and were left in it; of untag: in any other."""
    untaggable: Mapping[str, int]
    """Symlinks, sockets, fifos, devices: they have a project, but cannot be opened to set it."""
    vanished: int
    mounts: tuple[str, ...]
    """Below the tree: other mounts, which were not entered."""
    linked_outside: int
    """Files that have a hard link outside of the tree, too: that is in the project as well."""
    linked_examples: tuple[str, ...]
    failed: int
    failures: tuple[tuple[str, str], ...]
    """The first that could not be written, and why; paths relative to the tree."""


class _Links:
    """Which files have more names than were met."""

    def __init__(self) -> None:
        self._left: dict[int, int] = {}
        self._paths: dict[int, str] = {}

    def see(self, status: os.stat_result, walk: Walk) -> None:
        inode = status.st_ino
        left = self._left.get(inode, status.st_nlink) - 1
        if left > 0:
            self._left[inode] = left
            if len(self._paths) < _LISTED:
                self._paths.setdefault(inode, walk.path())
        else:
            self._left.pop(inode, None)
            self._paths.pop(inode, None)

    def outside(self) -> tuple[int, tuple[str, ...]]:
        return len(self._left), tuple(sorted(self._paths.values()))


def tag(path: str, project_id: int, ours: range, progress: Progress | None = None) -> Tagged:
    """Put all files of a tree into a project; what is made in it later is in it, too.

    path: absolute, without a link on the way. ours: the ids that may be written over; what is in
    another project is left in it. Raises Ds01Error where nothing can be done at all.
    """
    return _set(path, project_id, ours, progress)


def untag(path: str, project_id: int, progress: Progress | None = None) -> Tagged:
    """Take all files of a tree that are in this project out of it. Raises Ds01Error, like tag."""
    return _set(path, 0, (project_id,), progress)


def _set(path: str, project_id: int, over: Container[int], progress: Progress | None) -> Tagged:
    """over: the ids that are written over, beside none and the wanted one."""
    done = [0, 0]
    foreign = 0
    links = _Links()
    for_file, for_folder = Tag(project_id, False), Tag(project_id, project_id != 0)  # noqa: FBT003 -- named fields

    def visit(fd: int, status: os.stat_result) -> None:
        nonlocal foreign
        # by its owner, it may change right after; that is his own loss
        present = get_tag(fd).project_id
        if present and present != project_id and present not in over:
            foreign += 1
        elif stat.S_ISDIR(status.st_mode):
            done[set_tag(fd, for_folder)] += 1
        else:
            done[set_tag(fd, for_file)] += 1
            if status.st_nlink > 1:
                links.see(status, walk)

    walk = Walk(visit, progress)
    try:
        walk.run(path)
    except OSError as error:
        raise _cannot(path, error) from None
    count, examples = links.outside()
    return Tagged(
        done[True],
        done[False],
        foreign,
        dict(sorted(walk.others.items())),
        walk.changed,
        tuple(walk.mounts),
        count,
        examples,
        walk.failed,
        tuple(walk.failures),
    )


def _cannot(path: str, error: OSError) -> Ds01Error:
    if error.errno in _NO_PROJECTS:
        hint = "XFS has project ids, and ext4 with: tune2fs -O project (unmounted)"
        return Ds01Error(f"{path}: its file system has no project ids", hint)
    number = error.errno or 0
    return Ds01Error(f"{path}: cannot be tagged: {error.strerror or error}", _HINTS.get(number))
