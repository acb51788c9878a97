"""Write files so that a reader never sees half of one."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def write_atomic(
    path: Path,
    text: str,
    *,
    mode: int = 0o644,
    owner: tuple[int, int] | None = None,
    check: Callable[[], None] | None = None,
) -> None:
    """Write beside, fsync, set the mode, rename, fsync the directory.

    A crash leaves the old file or the new one. Raises OSError; the temporary file is then gone.
    Surrogates in the text are the bytes of a file that was no UTF-8. owner: uid and gid.
    check: asked right before the rename; what it raises stops that.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    # in a folder of a group it may be another's, who would stay owner of what we write
    part.unlink(missing_ok=True)
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
            file.flush()
            if owner is not None and owner != (os.geteuid(), os.getegid()):
                os.fchown(file.fileno(), *owner)
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        if check is not None:
            check()
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
