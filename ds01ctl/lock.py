"""One running instance per job."""

from __future__ import annotations

import errno
import os
import shlex
import sys
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from ds01ctl.errors import Ds01Error, LockedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ds01ctl.paths import Paths

COMMAND_LENGTH = 200


@contextmanager
def job_lock(paths: Paths, job: str) -> Iterator[None]:
    """Hold a job's lock (fcntl(2), F_SETLK) for as long as the block runs.

    Raises LockedError with the holder's pid, start and command; Ds01Error where no lock can be
    made. What a dead process left in the file does not matter.
    """
    path = paths.lock(job)
    try:
        fd = _open(path)
    except OSError as error:
        raise _cannot_lock(path, error) from None
    try:
        _take(fd, job)
        os.pwrite(fd, _card(), 0)
        yield
    finally:
        # never unlinked: another instance may have the same file open and lock it next
        os.close(fd)


def _open(path: Path) -> int:
    with suppress(FileExistsError):
        path.parent.mkdir(parents=True)
        path.parent.chmod(0o755)
    # nobody else may open it: a read lock of anyone's would keep us out
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _take(fd: int, job: str) -> None:
    """Lock, for this process only: a flock(2) would live on in a forked child that hangs."""
    import fcntl

    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        message = f"{job}: another instance is running: {_holder(fd)}"
        raise LockedError(message, "wait until it is done") from None
    os.ftruncate(fd, 0)


def _card() -> bytes:
    """Say who we are: pid, start, command, a line each."""
    now = datetime.now(timezone.utc)
    command = shlex.join(sys.argv)[:COMMAND_LENGTH]
    text = command if command.isprintable() else ascii(command)
    return f"{os.getpid()}\n{now:%Y-%m-%dT%H:%M:%SZ}\n{text}\n".encode(errors="replace")


def _holder(fd: int) -> str:
    pid, _, rest = os.pread(fd, 4096, 0).decode(errors="replace").partition("\n")
    since, _, command = rest.partition("\n")
    if not command:
        return "it has only just begun"
    return f"pid {pid} since {since} ({command.strip()})"


def _cannot_lock(path: Path, error: OSError) -> Ds01Error:
    hint = None
    if isinstance(error, PermissionError):
        hint = "run it as root"
    elif error.errno == errno.ELOOP:
        hint = f"remove {path}: it is a symbolic link"
    return Ds01Error(f"cannot lock {path}: {error.strerror}", hint)
