"""Append to `.ds01-alerts` in a folder of a user's own, as a file of that user's.

The user may swap whatever lies there while we look. So no path is resolved twice, and no link
followed but root's own (``/home`` may be one); the file is opened, looked at, and only then
written. Where it may, this thread is the user to the file system meanwhile: the kernel then guards
the rest, and the file is theirs from the first.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager, suppress
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from ds01ctl.errors import Ds01Error

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = ".ds01-alerts"
MOST_BYTES = 64 << 10
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_MOST_LINKS = 8
_WHY = {
    errno.EROFS: "is read-only here (in a unit: ReadWritePaths=)",
    errno.EACCES: "may not be written (in a unit: CAP_SETUID, CAP_SETGID, and setfsuid allowed)",
    errno.ELOOP: "a link lies on the way",
    errno.ENOTDIR: "a link or a file lies on the way",
    errno.ENOENT: "is not there",
    errno.ENXIO: "is no regular file",
}


def append(folder: str, uid: int, text: str, root: Path) -> None:
    """Append a text to the file in a folder of the host; root: where ``/`` is.

    Raises Ds01Error with a plain reason where the folder or file is not this user's, or cannot be
    written. A file that would pass MOST_BYTES is begun anew.
    """
    data = text.encode("utf-8", "replace")[:MOST_BYTES]
    path = f"{folder.rstrip('/')}/{NAME}"
    try:
        with _opened(folder, root) as place:
            status = os.fstat(place)
            if status.st_uid != uid:
                raise Ds01Error(f"{folder}: is the folder of uid {status.st_uid}")
            owner = (uid, status.st_gid)
            with _as_user(*owner):
                if not _appended(place, uid, data, path):
                    _begun(place, owner, data)
    except OSError as error:
        why = _WHY.get(error.errno or 0, (error.strerror or str(error)).lower())
        raise Ds01Error(f"{path}: {why}") from None
    except ValueError:
        # an engine may tell of a path that has no bytes
        raise Ds01Error(f"{path!a}: is no path") from None


# --- the way to the folder --------------------------------------------------------------------


@contextmanager
def _opened(folder: str, root: Path) -> Iterator[int]:
    """Open a folder, one component after the other. Raises OSError."""
    parts = _parts(folder)
    links = 0
    here = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        while parts:
            part = parts.pop()
            if (target := _link_of_root(part, here)) is not None:
                links += 1
                if links > _MOST_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                parts += _parts(target)
                if target.startswith("/"):
                    below = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
                else:
                    continue
            else:
                below = os.open(part, _FOLDER, dir_fd=here)
            os.close(here)
            here = below
        yield here
    finally:
        os.close(here)


def _parts(path: str) -> list[str]:
    """Give the components of a path, the last first. Raises OSError for one that climbs."""
    parts = [part for part in PurePosixPath(path).parts if part != "/"]
    if ".." in parts or "\0" in path:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    return parts[::-1]


def _link_of_root(part: str, here: int) -> str | None:
    """Read a link that only root can have made, in a folder that only root may write."""
    status = os.stat(part, dir_fd=here, follow_symlinks=False)
    if not stat.S_ISLNK(status.st_mode):
        return None
    folder = os.fstat(here)
    if status.st_uid or folder.st_uid or folder.st_mode & _OTHERS_WRITE:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    return os.readlink(part, dir_fd=here)


@contextmanager
def _as_user(uid: int, gid: int) -> Iterator[None]:
    """Have this thread be another to the file system alone; where that is not permitted, go on.

    Without CAP_DAC_OVERRIDE then, which the kernel takes meanwhile. Source: setfsuid(2), which
    tells no error and always the id before; of this thread only, while seteuid(3) is of all.
    """
    import ctypes

    libc = ctypes.CDLL(None)
    own = (libc.setfsuid(ctypes.c_uint32(-1)), libc.setfsgid(ctypes.c_uint32(-1)))
    libc.setfsgid(ctypes.c_uint32(gid))
    libc.setfsuid(ctypes.c_uint32(uid))
    try:
        yield
    finally:
        libc.setfsuid(ctypes.c_uint32(own[0]))
        libc.setfsgid(ctypes.c_uint32(own[1]))


# --- the file ---------------------------------------------------------------------------------


def _appended(place: int, uid: int, data: bytes, path: str) -> bool:
    """Append to the file that lies there; False: there is none, or it is full. Raises OSError."""
    try:
        file = os.open(NAME, os.O_WRONLY | os.O_APPEND | _FLAGS, dir_fd=place)
    except FileNotFoundError:
        return False
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != uid:
            raise Ds01Error(f"{path}: is no regular file of its folder's owner")
        if status.st_nlink != 1:
            # with a hard link somebody could have us write to another file of theirs
            raise Ds01Error(f"{path}: has another name, too (a hard link)")
        if status.st_size + len(data) > MOST_BYTES:
            return False
        _write(file, data)
        return True
    finally:
        os.close(file)


def _begun(place: int, owner: tuple[int, int], data: bytes) -> None:
    """Write a new file beside, give it to its owner, and put it in place. Raises OSError."""
    part = f"{NAME}.{os.getpid()}.part"
    with suppress(FileNotFoundError):
        os.unlink(part, dir_fd=place)
    file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o600, dir_fd=place)
    try:
        try:
            _write(file, data)
            if os.fstat(file).st_uid != owner[0]:
                os.fchown(file, *owner)
            os.fchmod(file, 0o644)
        finally:
            os.close(file)
        os.replace(part, NAME, src_dir_fd=place, dst_dir_fd=place)
    except BaseException:
        with suppress(OSError):
            os.unlink(part, dir_fd=place)
        raise


def _write(file: int, data: bytes) -> None:
    if os.write(file, data) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
