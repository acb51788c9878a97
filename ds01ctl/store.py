"""One SQLite file with a schema version, opened to write or to look; its errors name a way out.

``sqlite3`` costs 4 ms and is imported when a store is opened.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal

from ds01ctl.errors import Ds01Error

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from ds01ctl.core.model import GapKind

BUSY_TIMEOUT_S = 5.0
Mode = Literal["write", "read"]


class StateError(Ds01Error):
    """The store cannot be used; ``kind`` is the kind of gap that this leaves."""

    is_damage = False
    """The file itself is damaged; else something is in the way, which may pass."""

    def __init__(self, message: str, hint: str | None = None, kind: GapKind = "failed") -> None:
        super().__init__(message, hint)
        self.kind: GapKind = kind


class Store:
    """An open SQLite file."""

    def __init__(self, path: Path, mode: Mode) -> None:
        self._path = path
        self._mode = mode
        self._open()

    def _open(self) -> None:
        """Connect; without locks, but watching for changes, when nobody is writing.

        A reader that took part in the write-ahead log would have to make files beside the store:
        impossible in a directory it cannot write to, and litter that others can't open elsewhere.
        """
        self._watched: tuple[int, ...] | None = None
        query = "mode=rw" if self._mode == "write" else "mode=ro"
        if self._mode == "read" and not _has_log(self._path):
            query = "immutable=1"
            self._watched = _stamp(self._path)
        with told(self._path):
            self._db = _connect(self._path, query)

    def close(self) -> None:
        """Close the store; the last writer folds the write-ahead log into it."""
        import sqlite3

        # the data is safe in the log already; a full disk only keeps it from being folded in
        with suppress(sqlite3.Error):
            self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make everything written inside happen together or not at all. Raises StateError."""
        self.run("BEGIN IMMEDIATE")
        try:
            yield
            self.run("COMMIT")
        except BaseException:
            # SQLite has rolled back on its own when the disk is full
            if self._db.in_transaction:
                self.run("ROLLBACK")
            raise

    def rows(self, sql: str, values: Sequence[str] = ()) -> list[Any]:
        """Query; again when the file changed beneath a connection that has no locks."""
        for _ in range(3):
            try:
                with told(self._path):
                    rows = self._db.execute(sql, values).fetchall()
            except StateError:
                if not self._has_changed():
                    raise
            else:
                if not self._has_changed():
                    return rows
            self.close()
            self._open()
        raise StateError(f"{self._path}: changes faster than it can be read", "try again")

    def _has_changed(self) -> bool:
        return self._watched is not None and self._watched != _stamp(self._path)

    def run(self, sql: str) -> None:
        """Run one statement."""
        with told(self._path):
            self._db.execute(sql)

    def run_many(self, sql: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Run a statement for each row; only inside a transaction."""
        if not self._db.in_transaction:
            raise StateError(f"{self._path}: written to outside of a transaction")
        with told(self._path):
            self._db.executemany(sql, rows)

    def copy_into(self, target: sqlite3.Connection) -> None:
        """Copy all of it, as it is at one moment, into another database."""
        with told(self._path):
            self._db.backup(target)

    def version(self, newest: int) -> int:
        """Read the schema version. Raises StateError when it is newer than the newest we know."""
        version = int(self.rows("PRAGMA user_version")[0][0])
        if version > newest:
            message = f"{self._path}: schema version {version} is newer than this ds01ctl"
            raise StateError(message, f"upgrade ds01ctl: it knows versions up to {newest}")
        return version

    def migrate(self, migrations: Sequence[Sequence[str]]) -> None:
        """Bring the schema up to date, one transaction per version."""
        if self.version(len(migrations)) == len(migrations):
            return
        self.run("PRAGMA journal_mode = WAL")
        for version, statements in enumerate(migrations):
            with self.transaction():
                # done before, or by another process just now
                if self.version(len(migrations)) > version:
                    continue
                for statement in statements:
                    self.run(statement)
                self.run(f"PRAGMA user_version = {version + 1}")


def create(path: Path) -> None:
    """Make sure of a file that can be written, mode 0640, of the directory's group.

    Raises StateError.
    """
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        _create(path)
    except OSError as error:
        raise cannot_open(path, error) from None


def _create(path: Path) -> None:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
    except FileExistsError:
        # SQLite would open what it may not write and fail only later
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))
        return
    try:
        os.fchmod(fd, 0o640)
        # a plain user who is not of that group may not
        with suppress(PermissionError):
            os.fchown(fd, -1, path.parent.stat().st_gid)
    finally:
        os.close(fd)


def cannot_open(path: Path, error: OSError) -> StateError:
    """Tell why the file cannot be opened."""
    kind: GapKind = "denied" if isinstance(error, PermissionError) else "failed"
    reason = error.strerror or str(error)
    return StateError(f"{path}: {reason}", _hint(path, reason), kind)


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn what SQLite says, or a row that makes no sense, into a StateError."""
    import sqlite3

    try:
        yield
    except (sqlite3.Error, ValueError, TypeError) as error:
        reason = str(error)
        # what root cannot write or open is not a matter of permission
        is_denied = os.geteuid() != 0 and ("readonly" in reason or "unable to open" in reason)
        kind: GapKind = "denied" if is_denied else "failed"
        raised = StateError(f"{path}: {reason}", _hint(path, reason), kind)
        # of its classes, these are of what the file holds: SQLITE_CORRUPT, _NOTADB, _TOOBIG; a
        # disk that fails, is full or is locked is an OperationalError
        raised.is_damage = type(error) in {sqlite3.DatabaseError, sqlite3.DataError}
        raise raised from None


def _connect(path: Path, query: str) -> sqlite3.Connection:
    import sqlite3

    name = str(path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    db = sqlite3.connect(
        f"file:{name}?{query}", uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None
    )
    try:
        # without it the last runs may be lost when the machine goes down
        db.execute("PRAGMA synchronous = FULL")
    except BaseException:
        db.close()
        raise
    return db


def _has_log(path: Path) -> bool:
    """Tell whether a writer is at work or was killed; else the file is all there is."""
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size > 0
    except OSError:
        return False


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        status = path.stat()
    except OSError:
        return ()
    return status.st_ino, status.st_size, status.st_mtime_ns, _has_log(path)


def _hint(path: Path, reason: str) -> str:
    text = reason.lower()
    hints = (
        ("full", f"make room on the file system of {path.parent}"),
        ("no space", f"make room on the file system of {path.parent}"),
        ("denied", "run it as root"),
        ("read-only", f"make {path.parent} writable"),
        ("readonly", f"run it as root, and make {path.parent} writable"),
        ("locked", "another ds01ctl is writing; try again"),
        ("i/o error", f"check the disk, and the room on the file system of {path.parent}"),
        ("unable to open", f"make {path.parent} writable (mode, and mount options)"),
    )
    anew = f"move it away (mv {path} {path}.broken): the next recording run starts a new one"
    if path.with_name(f"{path.name}.backup").exists():
        anew += "; or go back to its copy: ds01ctl state check says how"
    return next((hint for word, hint in hints if word in text), anew)
