"""What must be remembered between runs: one SQLite file, written by recording runs only.

Every write of a run belongs into one ``transaction()``: a run that is killed leaves what the
run before it knew, whole.
"""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from ds01ctl.cleanupstate import CleanupState
from ds01ctl.core.model import Gap
from ds01ctl.core.unit_state import Run
from ds01ctl.energystate import ENERGY_TABLES, PROJECTS, EnergyState
from ds01ctl.quotastate import QuotaState
from ds01ctl.store import StateError, Store, cannot_open, create, told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Set
    from contextlib import AbstractContextManager
    from pathlib import Path

    from ds01ctl.core.detect import Seen
    from ds01ctl.core.keeping import Stale
    from ds01ctl.paths import Paths

__all__ = ["State", "StateError", "gap_of"]

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE containers (id TEXT PRIMARY KEY, facts TEXT NOT NULL) WITHOUT ROWID",
        "CREATE TABLE findings (key TEXT PRIMARY KEY, first_seen TEXT NOT NULL,"
        " scans INTEGER NOT NULL, confirmed INTEGER NOT NULL) WITHOUT ROWID",
        "CREATE TABLE inventory (kind TEXT, identity TEXT, row TEXT NOT NULL,"
        " PRIMARY KEY (kind, identity)) WITHOUT ROWID",
        "CREATE TABLE sources (name TEXT PRIMARY KEY, answered_at TEXT NOT NULL) WITHOUT ROWID",
        "CREATE TABLE jobs (job TEXT PRIMARY KEY, succeeded_at TEXT NOT NULL) WITHOUT ROWID",
    ),
    (
        "CREATE TABLE runs (job TEXT PRIMARY KEY, began_at TEXT NOT NULL, ended_at TEXT NOT NULL,"
        " status INTEGER NOT NULL, cpu_us INTEGER NOT NULL, peak_rss_bytes INTEGER NOT NULL)"
        " WITHOUT ROWID",
    ),
    (
        "CREATE TABLE disk_usage (mount TEXT, kind TEXT, id INTEGER, at INTEGER,"
        " used_bytes INTEGER NOT NULL, PRIMARY KEY (mount, kind, id, at)) WITHOUT ROWID",
        "CREATE TABLE quota_undo (seq INTEGER PRIMARY KEY AUTOINCREMENT, row TEXT NOT NULL)",
    ),
    (
        "CREATE TABLE cleanup_watch (id TEXT PRIMARY KEY, row TEXT NOT NULL) WITHOUT ROWID",
        "CREATE TABLE cleanup_images (engine TEXT, key TEXT, used_at INTEGER NOT NULL,"
        " first_seen INTEGER NOT NULL, PRIMARY KEY (engine, key)) WITHOUT ROWID",
        "CREATE TABLE cleanup_log (seq INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL,"
        " kind TEXT NOT NULL, part TEXT NOT NULL, target TEXT NOT NULL, user TEXT,"
        " outcome TEXT NOT NULL, row TEXT NOT NULL)",
        "CREATE INDEX cleanup_log_begun ON cleanup_log (seq) WHERE outcome = 'begun'",
        "CREATE TABLE cleanup_marks (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    ),
    ENERGY_TABLES,
    PROJECTS,
)
"""Statements that lead from schema version N to N + 1; append, never edit."""

Key = tuple[str, ...]


class State(CleanupState, EnergyState, QuotaState):
    """The open store. Reads work any time, writes inside ``transaction()``."""

    def __init__(self, path: Path, store: Store) -> None:
        self._path = path
        self._store = store

    @classmethod
    def open_for_recording(cls, paths: Paths) -> State:
        """Open the store to write, and make or migrate it first where needed.

        Raises StateError when it is corrupt, newer than this program, or cannot be written.
        """
        create(paths.state_db)
        store = Store(paths.state_db, "write")
        try:
            store.migrate(MIGRATIONS)
        except BaseException:
            store.close()
            raise
        return cls(paths.state_db, store)

    @classmethod
    def open_for_reading(cls, paths: Paths) -> State | None:
        """Open the store without ever writing; None where there is none yet.

        Raises StateError when it is corrupt, newer than this program, or may not be read.
        """
        if not _has_content(paths.state_db):
            return None
        store = Store(paths.state_db, "read")
        try:
            version = store.version(len(MIGRATIONS))
        except BaseException:
            store.close()
            raise
        if version < len(MIGRATIONS):
            # the next recording run migrates it
            store.close()
            return None
        return cls(paths.state_db, store)

    def __enter__(self) -> State:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def transaction(self) -> AbstractContextManager[None]:
        """Make everything written inside happen together or not at all. Raises StateError."""
        return self._store.transaction()

    # --- containers ---

    def container_facts(self) -> dict[str, str]:
        """Give the remembered JSON text by full container id."""
        return dict(self._store.rows("SELECT id, facts FROM containers"))

    def remember_containers(self, facts: Mapping[str, str], keep: Set[str]) -> None:
        """Remember new or changed facts by container id; forget ids neither here nor in keep."""
        known = self.container_facts()
        new = [item for item in facts.items() if known.get(item[0]) != item[1]]
        gone = [(id_,) for id_ in known if id_ not in keep and id_ not in facts]
        self._store.run_many("INSERT OR REPLACE INTO containers VALUES (?, ?)", new)
        self._store.run_many("DELETE FROM containers WHERE id = ?", gone)

    # --- findings ---

    def known_findings(self) -> dict[Key, Seen]:
        """Give what is remembered of each finding, by its key."""
        from ds01ctl.core.detect import Seen

        rows = self._store.rows("SELECT key, first_seen, scans, confirmed FROM findings")
        with told(self._path):
            return {
                tuple(map(str, json.loads(key))): Seen(
                    _time(first_seen), int(scans), bool(confirmed)
                )
                for key, first_seen, scans, confirmed in rows
            }

    def record_findings(
        self,
        seen: Iterable[Key],
        now: datetime,
        *,
        confirmed: Set[Key] = frozenset(),
        forget: Callable[[Key], bool],
    ) -> None:
        """Count one more scan for the findings seen, and note those that were confirmed.

        One that is absent is forgotten only where ``forget(key)`` says that its sources answered.
        """
        keys = set(seen)
        gone = [(_text(key),) for key in self.known_findings() if key not in keys and forget(key)]
        self._store.run_many("DELETE FROM findings WHERE key = ?", gone)
        self._store.run_many(
            "INSERT INTO findings VALUES (?, ?, 1, ?) ON CONFLICT (key) DO UPDATE"
            " SET scans = scans + 1, confirmed = max(confirmed, excluded.confirmed)",
            [(_text(key), _timestamp(now), key in confirmed) for key in sorted(keys)],
        )

    # --- inventory ---

    def known_inventory(self) -> dict[tuple[str, str], str]:
        """Give the JSON text of each remembered thing by (kind, identity)."""
        rows = self._store.rows("SELECT kind, identity, row FROM inventory")
        return {(kind, identity): row for kind, identity, row in rows}

    def replace_inventory(self, kind: str, rows: Mapping[str, str]) -> None:
        """Replace what is remembered of one kind: JSON text by identity. Other kinds stay."""
        known = {name: row for (of, name), row in self.known_inventory().items() if of == kind}
        new = [(kind, *item) for item in rows.items() if known.get(item[0]) != item[1]]
        gone = [(kind, identity) for identity in known if identity not in rows]
        self._store.run_many("INSERT OR REPLACE INTO inventory VALUES (?, ?, ?)", new)
        self._store.run_many("DELETE FROM inventory WHERE kind = ? AND identity = ?", gone)

    # --- sources and jobs ---

    def seen_sources(self, since: datetime | None = None) -> set[str]:
        """Name the sources that have answered, ever or at ``since`` or later."""
        rows = self._store.rows("SELECT name, answered_at FROM sources")
        with told(self._path):
            return {name for name, at in rows if since is None or _time(at) >= since}

    def note_sources(self, names: Iterable[str], now: datetime) -> None:
        """Note the sources that answered in this run."""
        rows = [(name, _timestamp(now)) for name in sorted(set(names))]
        self._store.run_many("INSERT OR REPLACE INTO sources VALUES (?, ?)", rows)

    def answer_times(self) -> dict[str, datetime]:
        """Say when each source answered last."""
        rows = self._store.rows("SELECT name, answered_at FROM sources")
        with told(self._path):
            return {name: _time(at) for name, at in rows}

    def drop(self, stale: Stale) -> None:
        """Drop rows that are past keeping."""
        runs = [(job,) for job in stale.runs]
        self._store.run_many("DELETE FROM sources WHERE name = ?", [(n,) for n in stale.sources])
        self._store.run_many(
            "DELETE FROM inventory WHERE kind = ? AND identity = ?", stale.inventory
        )
        self._store.run_many(
            "DELETE FROM findings WHERE key = ?", [(_text(key),) for key in stale.findings]
        )
        self._store.run_many("DELETE FROM runs WHERE job = ?", runs)
        self._store.run_many("DELETE FROM jobs WHERE job = ?", runs)

    def last_success(self, job: str) -> datetime | None:
        """Say when a job last succeeded; None where it never has."""
        rows = self._store.rows("SELECT succeeded_at FROM jobs WHERE job = ?", (job,))
        with told(self._path):
            return _time(rows[0][0]) if rows else None

    def note_success(self, job: str, now: datetime) -> None:
        """Note that a job succeeded."""
        self._store.run_many("INSERT OR REPLACE INTO jobs VALUES (?, ?)", [(job, _timestamp(now))])

    def last_runs(self) -> dict[str, Run]:
        """Give what each job noted of its last run that came to its end."""
        rows = self._store.rows("SELECT * FROM runs")
        with told(self._path):
            return {
                job: Run(_time(began), _time(ended), int(status), int(cpu), int(peak))
                for job, began, ended, status, cpu, peak in rows
            }

    def note_run(self, job: str, run: Run) -> None:
        """Note the end of a job's run, in the place of the one before."""
        row = (job, _timestamp(run.began_at), _timestamp(run.ended_at), *run[2:])
        self._store.run_many("INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?, ?)", [row])


def gap_of(error: StateError) -> Gap:
    """Make a gap of a store that cannot be used."""
    told = f"{error.message}; {error.hint}" if error.hint else error.message
    return Gap("state", error.kind, told)


def _has_content(path: Path) -> bool:
    """Tell whether a store was made; one whose maker was killed at once is empty."""
    try:
        with path.open("rb") as file:
            return bool(file.read(1))
    except FileNotFoundError:
        return False
    except OSError as error:
        raise cannot_open(path, error) from None


def _timestamp(time: datetime) -> str:
    return time.astimezone(timezone.utc).isoformat()


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _text(key: Key) -> str:
    return json.dumps(key)
