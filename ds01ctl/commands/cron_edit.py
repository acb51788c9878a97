"""Change one line of a crontab, and leave every other byte, the mode and the owner as they are."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from ds01ctl.errors import Ds01Error
from ds01ctl.files import write_atomic

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_HINT = "somebody else is editing it; try again"


def replace_lines(path: Path, lines: Mapping[int, tuple[str, str]]) -> None:
    """Replace lines by number, each given as (what must stand there, what is to).

    One rename changes them all. Cron sees it within the minute: the modification times of the
    file and of its folder are new. Raises Ds01Error, and then nothing was changed.
    """
    # a link in cron.d stays one
    target = path.resolve()
    try:
        before = _version(target)
        rows = target.read_bytes().split(b"\n")
        for number, (old, new) in lines.items():
            if number > len(rows) or rows[number - 1] != _bytes(old):
                raise Ds01Error(f"{path}:{number}: the line has changed meanwhile", _HINT)
            rows[number - 1] = _bytes(new)
        _write(target, b"\n".join(rows), before)
    except OSError as error:
        is_denied = isinstance(error, PermissionError)
        what = f"{path}: cannot be changed: {error.strerror}"
        raise Ds01Error(what, "run it as root" if is_denied else None) from None


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


def _version(path: Path) -> tuple[int, ...]:
    """Tell one state of a file from another; an editor writes into it, or puts a new one there."""
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _write(path: Path, data: bytes, before: tuple[int, ...]) -> None:
    found = path.stat()
    owner = (found.st_uid, found.st_gid)
    text = data.decode(errors="surrogateescape")

    def check() -> None:
        if _version(path) != before:
            raise Ds01Error(f"{path}: has changed meanwhile", _HINT)

    write_atomic(path, text, mode=stat.S_IMODE(found.st_mode), owner=owner, check=check)
    # the time of a folder may be coarse; cron only looks whether it is another one
    os.utime(path.parent)
