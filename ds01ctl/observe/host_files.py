"""Read single files of the host for `doctor`: what cannot be read is an Unread, never nothing."""

from __future__ import annotations

import stat
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from ds01ctl.core.host_facts import FileFact, Unread

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator
    from pathlib import Path

_MOST = 1 << 20
"""Bytes of a configuration file that are looked at."""


def unread(path: Path | str, error: OSError) -> Unread:
    """Say why a path could not be read."""
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return Unread("absent", f"{path}: not there")
    why = error.strerror or str(error)
    return Unread("denied" if isinstance(error, PermissionError) else "failed", f"{path}: {why}")


def fact(path: Path) -> FileFact | Unread:
    """Look at a file or folder, following links."""
    try:
        return of(path, path.stat())
    except OSError as error:
        return unread(path, error)


def of(path: Path | str, status: os.stat_result) -> FileFact:
    """Make a fact of what stat(2) told."""
    return FileFact(
        str(path),
        status.st_uid,
        status.st_gid,
        stat.S_IMODE(status.st_mode),
        datetime.fromtimestamp(status.st_mtime, timezone.utc),
        stat.S_ISDIR(status.st_mode),
    )


def text(path: Path, most: int = _MOST) -> str | Unread:
    """Read a small file; what is no text in it is replaced."""
    try:
        with path.open("rb") as file:
            return file.read(most).decode("utf-8", "replace")
    except OSError as error:
        return unread(path, error)


def line(path: Path) -> str | None:
    """Read a file of one line; None where it cannot be read."""
    found = text(path)
    return None if isinstance(found, Unread) else found.strip()


def number(path: Path) -> int | None:
    """Read a file of one number; None where there is none."""
    found = line(path)
    return int(found) if found and found.isdecimal() else None


def matching(folder: Path, pattern: str) -> list[Path]:
    """List what fits a pattern in a folder, in order; nothing where it cannot be listed."""
    try:
        return sorted(folder.glob(pattern))
    except OSError:
        return []


def facts(folder: Path, pattern: str) -> tuple[FileFact, ...]:
    """Look at all that fits a pattern."""
    return tuple(_there(matching(folder, pattern)))


def _there(paths: list[Path]) -> Iterator[FileFact]:
    for path in paths:
        found = fact(path)
        if isinstance(found, FileFact):
            yield found
