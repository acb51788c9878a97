"""Take back leave to use the host directly: remove the file that gives it, if it is still that."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Literal

from ds01ctl.errors import Ds01Error

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def identity(path: Path) -> dict[str, str]:
    """Tell which file lies there, and which content it has by its times. Raises OSError."""
    status = path.lstat()
    return {
        "device": str(status.st_dev),
        "inode": str(status.st_ino),
        "size": str(status.st_size),
        "mtime_ns": str(status.st_mtime_ns),
        "is_file": str(stat.S_ISREG(status.st_mode)),
    }


def revoke(path: Path, expected: Mapping[str, str]) -> Literal["done", "already"]:
    """Remove the file of a grant; one that is gone is fine. Raises Ds01Error.

    expected: what identity() said when it was decided; a grant that was given anew stays.
    """
    try:
        if identity(path) != dict(expected) or expected.get("is_file") != "True":
            raise Ds01Error(f"{path}: was changed meanwhile; it is left", "run it again")
        path.unlink()
    except FileNotFoundError:
        return "already"
    except OSError as error:
        hint = "run it as root; in a unit, list its folder in ReadWritePaths="
        raise Ds01Error(f"{path}: cannot be removed: {error.strerror}", hint) from None
    _sync(path.parent)
    return "done"


def _sync(folder: Path) -> None:
    """Have the removal on the disk: a crash must not bring it back."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
