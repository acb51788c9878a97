"""Change /etc/projects and /etc/projid under a lock of ours; each is written beside and renamed."""

from __future__ import annotations

import errno
import os
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from ds01ctl.core.projects import PROJECTS, PROJID, Texts
from ds01ctl.errors import Ds01Error, LockedError
from ds01ctl.files import write_atomic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ds01ctl.paths import Paths

    T = TypeVar("T")

LOCK = "projects"
_PATIENCE_S = 10.0
_PAUSE_S = 0.02
_TRIES = 5
_LARGEST = 16 << 20


class _File(NamedTuple):
    path: Path
    """Where it lies, links followed: a link to it stays one."""
    text: str
    mark: tuple[int, int, int, int] | None
    """Device, inode, size and time of change of what was read; None: there is no file."""
    mode: int = 0o644
    owner: tuple[int, int] | None = None


class _Moved(Exception):  # noqa: N818 -- caught right here
    """Somebody else has changed a file since it was read."""


def change(paths: Paths, edit: Callable[[Texts], tuple[Texts, T]]) -> T:
    """Read both files, have them edited, and write what differs.

    edit may be called again: where an editor or a script saves at the same moment, all is read
    anew. Raises Ds01Error, and LockedError where another run of ours holds the lock for too long;
    the files are then as they were.
    """
    with _locked(paths):
        for _ in range(_TRIES):
            files = [_read(paths.under(name)) for name in (PROJECTS, PROJID)]
            before = Texts(*(file.text for file in files))
            after, answer = edit(before)
            try:
                # killed in between, it leaves a name without a tree: a run after that goes on
                turns = [(files[1], after.projid), (files[0], after.projects)]
                is_more = len(after.projid) > len(before.projid)
                for file, text in turns if is_more else reversed(turns):
                    _write(file, text)
            except _Moved:
                continue
            return answer
    hint = "run it again when whoever writes them is done"
    raise Ds01Error(f"{PROJECTS} or {PROJID} changes all the time", hint)


def _read(path: Path) -> _File:
    real = Path(os.path.realpath(path))
    try:
        fd = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return _File(real, "", None)
    except OSError as error:
        raise _cannot("read", path, error) from None
    try:
        with os.fdopen(fd, "rb") as file:
            status = os.fstat(fd)
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise _cannot("read", path, error) from None
    if len(content) > _LARGEST:
        raise Ds01Error(f"{path}: is above {_LARGEST >> 20} MiB", "look at what is in it")
    text = content.decode("utf-8", "surrogateescape")
    return _File(real, text, _mark(status), status.st_mode & 0o7777, (status.st_uid, status.st_gid))


def _mark(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _write(file: _File, text: str) -> None:
    """Write a file anew; nothing is done where nothing differs. Raises Ds01Error, _Moved."""
    if text == file.text:
        return

    def check() -> None:
        now = None
        with suppress(FileNotFoundError):
            now = _mark(file.path.stat())
        if now != file.mark:
            raise _Moved

    try:
        write_atomic(file.path, text, mode=file.mode, owner=file.owner, check=check)
    except OSError as error:
        raise _cannot("write", file.path, error) from None


@contextmanager
def _locked(paths: Paths) -> Iterator[None]:
    """Hold our lock (fcntl(2), F_SETLK), and wait for it a while: nobody holds it for long."""
    path = paths.lock(LOCK)
    try:
        with suppress(FileExistsError):
            path.parent.mkdir(parents=True)
            path.parent.chmod(0o755)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _cannot("lock", path, error) from None
    try:
        _take(fd)
        yield
    finally:
        # never unlinked: another instance may have the same file open and lock it next
        os.close(fd)


def _take(fd: int) -> None:
    import fcntl

    ends = time.monotonic() + _PATIENCE_S
    while True:
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            if time.monotonic() > ends:
                message = f"{PROJECTS}: another run of ds01ctl holds it since {_PATIENCE_S:.0f} s"
                raise LockedError(message, "wait until it is done") from None
            time.sleep(_PAUSE_S)
        else:
            return


def _cannot(what: str, path: Path, error: OSError) -> Ds01Error:
    hints = {
        errno.ENOSPC: "make room on the disk, and run it again; the file is as it was",
        errno.EDQUOT: "make room on the disk, and run it again; the file is as it was",
        errno.EROFS: "it is read-only here; in a unit, list it in ReadWritePaths=",
        errno.ELOOP: f"look at the links: ls -l {path}",
        errno.EACCES: "run it as root",
        errno.EPERM: f"run it as root; if it is: lsattr {path} tells whether it may be changed",
    }
    message = f"cannot {what} {path}: {error.strerror or error}"
    return Ds01Error(message, hints.get(error.errno or 0))
