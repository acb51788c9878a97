"""Keep the newest notices of each user in a file of root's that they, and nobody else, can read.

It needs neither a log-in, a mail address nor a folder of the user's: what reaches nobody in another
way reaches them here.
"""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from ds01ctl.errors import Ds01Error
from ds01ctl.files import let_read, write_atomic

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MOST = 20
"""Notices of one user that are kept."""
_LARGEST = 1 << 20
_HEAD = re.compile(r"^=== ", re.MULTILINE)
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_OTHERS_READ = stat.S_IROTH
_UID = r"(?a)\d{1,10}"


def block(head: str, lines: Sequence[str]) -> str:
    """Give a notice as the files have it: a head, and lines that cannot be taken for one."""
    return "".join([f"=== {head}\n", *(f"  {line}\n" for line in lines)])


def add(folder: Path, uid: int, blocks: Sequence[str]) -> Path:
    """Add notices to a user's file, and drop its oldest. Raises Ds01Error; all is then as before.

    The folder is made where it is missing; it must be one that only root may write. What an earlier
    version let everybody read is made private.
    """
    path = folder / str(uid)
    try:
        _check(folder)
        _make_private(folder)
        kept = [*_notices(path), *blocks][-MOST:]
        write_atomic(path, "\n".join(kept), mode=0o600, reader=uid)
    except OSError as error:
        why = error.strerror or str(error)
        raise Ds01Error(f"{path}: {why.lower()}", "see cleanup.notice_dir in the policy") from None
    return path


def _check(folder: Path) -> None:
    try:
        status = folder.lstat()
    except FileNotFoundError:
        folder.mkdir(parents=True)
        # whatever the umask of the unit: users have to reach theirs, and need not see who has one
        folder.chmod(0o711)
        status = folder.lstat()
    is_ours = status.st_uid in {0, os.geteuid()} and not status.st_mode & _OTHERS_WRITE
    if not stat.S_ISDIR(status.st_mode) or not is_ours:
        hint = f"make it root's alone to write: chown root {folder}; chmod 711 {folder}"
        raise Ds01Error(f"{folder}: is no folder that only root may write", hint)


def _make_private(folder: Path) -> None:
    """Let each file be read by its user alone. Raises OSError where the folder can't be read."""
    with os.scandir(folder) as entries:
        for one in entries:
            if re.fullmatch(_UID, one.name) and one.is_file(follow_symlinks=False):
                # one that somebody has made odd is in nobody else's way
                with suppress(OSError):
                    _make_one_private(one)


def _make_one_private(one: os.DirEntry[str]) -> None:
    if not one.stat(follow_symlinks=False).st_mode & _OTHERS_READ:
        return
    file = os.open(one.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        let_read(file, int(one.name))
    finally:
        os.close(file)


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
