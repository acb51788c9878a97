"""Look after the state store: check it, tidy it, copy it. Short steps, for detect writes to it."""

from __future__ import annotations

import os
import re
from contextlib import closing, suppress
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.store import Store, cannot_open, told

if TYPE_CHECKING:
    from pathlib import Path

SMALL_BYTES = 64 << 20
"""A store up to this size is written anew where it pays; a larger one would hold others up."""
FREE_SHARE = 0.25
_TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
_PROBLEMS_MAX = 20
_ENDS = ("", "-journal", "-wal", "-shm")
"""Of the files that SQLite makes beside one."""


class Size(NamedTuple):
    """How large a store is."""

    size_bytes: int
    pages: int
    free_pages: int

    @property
    def is_loose(self) -> bool:
        """Tell whether writing it anew would win much, and cost little."""
        return self.size_bytes <= SMALL_BYTES and self.free_pages > self.pages * FREE_SHARE


def problems(store: Store) -> list[str]:
    """Run SQLite's quick check; nothing where all is well. Raises StateError."""
    found = [str(row[0]) for row in store.rows(f"PRAGMA quick_check({_PROBLEMS_MAX})")]
    return [] if found == ["ok"] else found


def size(store: Store, path: Path) -> Size:
    """Measure a store, its write-ahead log included. Raises StateError."""
    files = (path, path.with_name(f"{path.name}-wal"))
    try:
        total = sum(file.stat().st_size for file in files if file.exists())
    except OSError as error:
        raise cannot_open(path, error) from None
    pages = int(store.rows("PRAGMA page_count")[0][0])
    return Size(total, pages, int(store.rows("PRAGMA freelist_count")[0][0]))


def row_counts(store: Store) -> dict[str, int]:
    """Count the rows of each table. Raises StateError."""
    names = sorted(str(row[0]) for row in store.rows(_TABLES))
    return {name: int(store.rows(f'SELECT count(*) FROM "{name}"')[0][0]) for name in names}  # noqa: S608 -- the schema's own names


def copy(path: Path, copy_path: Path) -> int:
    """Copy a store that others may be writing to, and return the copy's size in bytes.

    Made beside and checked, then renamed: a good copy is only replaced by a good one. One step
    under a reader's lock, which keeps no writer out. Raises StateError.
    """
    part = copy_path.with_name(f".{copy_path.name}.{os.getpid()}.part")
    try:
        _copy_to(path, part, copy_path)
        os.chmod(part, 0o640)  # noqa: PTH101 -- beside os.chown
        # a plain user who is not of that group may not
        with suppress(PermissionError):
            os.chown(part, -1, path.stat().st_gid)
        _sync(part)
        part.replace(copy_path)
        _sync(copy_path.parent)
        return copy_path.stat().st_size
    except OSError as error:
        raise cannot_open(copy_path, error) from None
    finally:
        for end in _ENDS:
            with suppress(OSError):
                part.with_name(f"{part.name}{end}").unlink()


def sweep(copy_path: Path) -> None:
    """Remove what copies left that were killed; under the lock, so that none is being made."""
    ends = "|".join(_ENDS)
    left = re.compile(rf"\.{re.escape(copy_path.name)}\.\d+\.part({ends})", re.ASCII)
    with suppress(OSError):
        for path in copy_path.parent.iterdir():
            if left.fullmatch(path.name):
                path.unlink()


def _copy_to(path: Path, part: Path, name: Path) -> None:
    import sqlite3

    fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    os.close(fd)
    source = Store(path, "write")
    try:
        with told(name), closing(sqlite3.connect(part)) as made:
            source.copy_into(made)
        with closing(Store(part, "read")) as made_store, told(name):
            if found := problems(made_store):
                raise ValueError(f"the copy is not whole: {found[0]}")
    finally:
        source.close()


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
