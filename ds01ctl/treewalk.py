"""Walk a tree that others write to meanwhile, by descriptors alone.

No path is resolved twice, no link followed, no mount entered: whatever is swapped while we look, we
never end up outside of the tree. A folder is seen before what lies in it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Visit = Callable[[int, os.stat_result], None]

_OPENAT2 = 437
"""The same number everywhere. Source: openat2(2), Linux 5.6."""
_NO_XDEV, _NO_SYMLINKS = 0x01, 0x04
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_DEEPEST_OPEN = 100
"""Folders that are kept open at a time: a user can make them any number deep."""
_LISTED = 20
"""Examples that are kept of each kind."""
_KIND_BITS = 0o170000
_EVERY = 500
"""Entries between two calls of progress."""
# it went away, or is something else by now
_CHANGED = {errno.ENOENT, errno.ELOOP, errno.ENOTDIR, errno.ENXIO, errno.ESTALE}


class _Level:
    """A folder that is being walked."""

    __slots__ = ("fd", "folders", "name", "same")

    def __init__(self, fd: int, name: str, same: tuple[int, int], folders: list[str]) -> None:
        self.fd = fd
        """-1: closed, to be opened again from below."""
        self.name = name
        self.same = same
        self.folders = folders
        """Those within that are not walked yet."""


class Walk:
    """One walk: visit gets each folder and regular file, open, with its status.

    What visit raises as OSError is noted as a failure of that entry.
    """

    def __init__(self, visit: Visit, progress: Callable[[int], None] | None = None) -> None:
        self.seen = 0
        """Folders and files that were visited."""
        self.others: Counter[str] = Counter()
        """What cannot be opened, by kind: symlinks, sockets, fifos, devices."""
        self.changed = 0
        """What went away or was replaced meanwhile."""
        self.mounts: list[str] = []
        """Where other file systems begin; not entered."""
        self.failed = 0
        self.failures: list[tuple[str, str]] = []
        """The first paths that failed, and why."""
        self._visit = visit
        self._progress = progress
        self._levels: list[_Level] = []
        self._name = ""
        self._device = 0

    def path(self) -> str:
        """Name what is being visited, relative to the tree; ``.`` is the tree itself."""
        parts = [*(level.name for level in self._levels[1:]), self._name]
        return "/".join(part for part in parts if part) or "."

    def run(self, path: str) -> None:
        """Walk the tree at an absolute path without links. Raises OSError for the tree itself."""
        top = open_folder(path)
        try:
            status = os.fstat(top)
            self._device = status.st_dev
            self._visit(top, status)
        except BaseException:
            os.close(top)
            raise
        try:
            self._enter(top, "", status)
            while self._levels:
                self._step()
        finally:
            for level in self._levels:
                if level.fd >= 0:
                    os.close(level.fd)

    def _step(self) -> None:
        """Enter the next folder of the innermost one, or leave that."""
        level = self._levels[-1]
        if not level.folders:
            self._leave()
            return
        self._name = name = level.folders.pop()
        try:
            fd = _open_within(name, level.fd)
        except OSError as error:
            self._note(error)
            return
        status = os.fstat(fd)
        if status.st_dev != self._device:
            os.close(fd)
            self._note_mount()
            return
        try:
            self._visit(fd, status)
        except OSError as error:
            self._note(error)
        self._enter(fd, name, status)

    def _enter(self, fd: int, name: str, status: os.stat_result) -> None:
        """Visit the files of a folder, and keep its folders for later."""
        self.seen += 1
        level = _Level(fd, name, (status.st_dev, status.st_ino), [])
        self._levels.append(level)
        self._name = ""
        if len(self._levels) > _DEEPEST_OPEN:
            far = self._levels[-_DEEPEST_OPEN - 1]
            if far.fd >= 0:
                os.close(far.fd)
                far.fd = -1
        try:
            self._see_files(level)
        except OSError as error:
            self._name = ""
            self._note(error)

    def _see_files(self, level: _Level) -> None:
        see = self._see_file
        with os.scandir(level.fd) as entries:
            for entry in entries:
                # the kind comes with the name; where it does not, or changes, opening tells
                if entry.is_file(follow_symlinks=False):
                    self._name = entry.name
                    try:
                        see(entry.name, level.fd)
                    except OSError as error:
                        self._note(error)
                elif entry.is_dir(follow_symlinks=False):
                    level.folders.append(entry.name)
                else:
                    self.others[_kind(entry)] += 1

    def _see_file(self, name: str, folder: int) -> None:
        # of the time of a walk, most is spent here
        fd = os.open(name, _FILE, dir_fd=folder)
        try:
            status = os.fstat(fd)
            if status.st_dev != self._device:
                self._note_mount()
            elif status.st_mode & _KIND_BITS == stat.S_IFREG:
                self._visit(fd, status)
                self.seen += 1
                if not self.seen % _EVERY:
                    self._tell()
            else:
                self.changed += 1
        finally:
            os.close(fd)

    def _leave(self) -> None:
        """Close the innermost folder; open the one above again where it was closed.

        Raises OSError where that is another one by now: the rest cannot be found again.
        """
        level = self._levels.pop()
        try:
            if self._levels and self._levels[-1].fd < 0:
                above = self._levels[-1]
                above.fd = os.open("..", _FOLDER, dir_fd=level.fd)
                status = os.fstat(above.fd)
                if (status.st_dev, status.st_ino) != above.same:
                    raise OSError(errno.ESTALE, "was moved while it was walked", self.path())
        finally:
            os.close(level.fd)

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(self.seen)

    def _note(self, error: OSError) -> None:
        if error.errno == errno.EXDEV:
            self._note_mount()
        elif error.errno in _CHANGED:
            self.changed += 1
        else:
            self.failed += 1
            if len(self.failures) < _LISTED:
                self.failures.append((self.path(), error.strerror or str(error)))

    def _note_mount(self) -> None:
        self.mounts.append(self.path())


def open_folder(path: str) -> int:
    """Open an absolute path, folder by folder, without following any link. Raises OSError."""
    fd = os.open("/", _FOLDER)
    try:
        for part in path.split("/"):
            if part not in {"", "."}:
                inner = os.open(part, _FOLDER, dir_fd=fd)
                os.close(fd)
                fd = inner
    except OSError as error:
        os.close(fd)
        # which of them it was is not said by the kernel
        raise OSError(error.errno, error.strerror, path) from None
    return fd


def _open_within(name: str, folder: int) -> int:
    """Open a folder in another; EXDEV where it is a mount, even one of the same file system."""
    how = (ctypes.c_uint64 * 3)(_FOLDER, 0, _NO_XDEV | _NO_SYMLINKS)
    fd: int = _libc().syscall(_OPENAT2, folder, os.fsencode(name), how, ctypes.sizeof(how))
    if fd >= 0:
        return fd
    number = ctypes.get_errno()
    if number in {errno.ENOSYS, errno.EPERM}:
        # an older kernel, or a filter that does not know the call: st_dev has to do
        return os.open(name, _FOLDER, dir_fd=folder)
    raise OSError(number, os.strerror(number), name)


def _libc() -> ctypes.CDLL:
    # loading it costs as much as a thousand calls
    global _loaded
    if _loaded is None:
        _loaded = ctypes.CDLL(None, use_errno=True)
    return _loaded


_loaded: ctypes.CDLL | None = None


def _kind(entry: os.DirEntry[str]) -> str:
    if entry.is_symlink():
        return "symlinks"
    with suppress(OSError):
        mode = entry.stat(follow_symlinks=False).st_mode
        if stat.S_ISSOCK(mode):
            return "sockets"
        if stat.S_ISFIFO(mode):
            return "fifos"
    return "devices"
