"""Keep the newest notices of each user in a file of root's that they can read.

It needs neither a log-in, a mail address nor a folder of the user's: what reaches nobody in another
way reaches them here.
"""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING

from ds01ctl.errors import Ds01Error
from ds01ctl.files import write_atomic

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MOST = 20
"""Notices of one user that are kept."""
_LARGEST = 1 << 20
_HEAD = re.compile(r"^=== ", re.MULTILINE)
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def block(head: str, lines: Sequence[str]) -> str:
    """Give a notice as the files have it: a head, and lines that cannot be taken for one."""
    return "".join([f"=== {head}\n", *(f"  {line}\n" for line in lines)])


def add(folder: Path, uid: int, blocks: Sequence[str]) -> Path:
    """Add notices to a user's file, and drop its oldest. Raises Ds01Error; all is then as before.

    The folder is made where it is missing; it must be one that only root may write.
    """
    path = folder / str(uid)
    try:
        _check(folder)
        kept = [*_notices(path), *blocks][-MOST:]
        write_atomic(path, "\n".join(kept), mode=0o644)
    except OSError as error:
        why = error.strerror or str(error)
        raise Ds01Error(f"{path}: {why.lower()}", "see cleanup.notice_dir in the policy") from None
    return path


def _check(folder: Path) -> None:
    try:
        status = folder.lstat()
    except FileNotFoundError:
        folder.mkdir(parents=True)
        # whatever the umask of the unit: users have to read it
        folder.chmod(0o755)
        status = folder.lstat()
    is_ours = status.st_uid in {0, os.geteuid()} and not status.st_mode & _OTHERS_WRITE
    if not stat.S_ISDIR(status.st_mode) or not is_ours:
        hint = f"make it root's alone to write: chown root {folder}; chmod 755 {folder}"
        raise Ds01Error(f"{folder}: is no folder that only root may write", hint)


def _notices(path: Path) -> list[str]:
    """Read the notices of a file, the oldest first; of what makes no sense nothing is kept."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        # a link or a folder: the rename puts a file in its place, or says why not
        return []
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            return []
        text = os.read(file, _LARGEST).decode("utf-8", "replace")
    finally:
        os.close(file)
    return [f"=== {one.rstrip()}\n" for one in _HEAD.split(text)[1:]]
