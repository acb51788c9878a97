"""Write files so that a reader never sees half of one."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# as the kernel has them in linux/posix_acl_xattr.h and posix_acl.h
_ACL_VERSION = 2
_USER_OBJ, _USER, _GROUP_OBJ, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x10, 0x20
_READ, _WRITE = 4, 2


def write_atomic(
    path: Path,
    text: str,
    *,
    mode: int = 0o644,
    owner: tuple[int, int] | None = None,
    reader: int | None = None,
    check: Callable[[], None] | None = None,
) -> None:
    """Write beside, fsync, set the mode, rename, fsync the directory.

    A crash leaves the old file or the new one. Raises OSError; the temporary file is then gone.
    Surrogates in the text are the bytes of a file that was no UTF-8. owner: uid and gid.
    reader: a uid that may read it besides the owner (let_read).
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
            if reader is not None:
                let_read(file.fileno(), reader)
            os.fsync(file.fileno())
        if check is not None:
            check()
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
    _sync_directory(path.parent)


def let_read(fd: int, uid: int) -> None:
    """Let one user read a file, besides its owner, who may write it: by an access list, acl(5).

    It wants no capability, and the file stays its owner's: the user can't change it. Where a file
    system has no access lists, its owner alone can read it.
    """
    import struct

    everybody = 0xFFFFFFFF
    entries = (
        (_USER_OBJ, _READ | _WRITE, everybody),
        (_USER, _READ, uid),
        (_GROUP_OBJ, 0, everybody),
        (_MASK, _READ, everybody),
        (_OTHER, 0, everybody),
    )
    packed = struct.pack("<I", _ACL_VERSION) + b"".join(struct.pack("<HHI", *e) for e in entries)
    os.fchmod(fd, 0o600)
    with suppress(OSError):
        os.setxattr(fd, "system.posix_acl_access", packed)


def _sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
