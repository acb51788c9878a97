"""The part of the store that is `cleanup`'s: watches, uses of images, what was done, marks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.core.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ds01ctl.store import Store

_LOG = "SELECT seq, at, kind, part, target, user, outcome, row FROM cleanup_log"

ImageKey = tuple[str, str]
"""Engine, and id or reference."""


class Logged(NamedTuple):
    """Something that was done, or begun; times are ISO 8601 in UTC with microseconds."""

    seq: int
    at: str
    kind: str
    part: str
    target: str
    user: str | None
    outcome: str
    """begun, done, skipped, failed."""
    row: str
    """The rest as JSON text."""


class CleanupState:
    """What of an open store is `cleanup`'s alone; a part of State."""

    _store: Store

    # --- watches ---

    def watches(self) -> dict[str, str]:
        """Give the JSON text of each watch by the full id of its container."""
        return dict(self._store.rows("SELECT id, row FROM cleanup_watch"))

    def put_watches(self, rows: Mapping[str, str], gone: Iterable[str] = ()) -> None:
        """Write watches, and forget those of containers that are gone; all others stay."""
        self._store.run_many("INSERT OR REPLACE INTO cleanup_watch VALUES (?, ?)", rows.items())
        self._store.run_many("DELETE FROM cleanup_watch WHERE id = ?", [(id_,) for id_ in gone])

    # --- images ---

    def image_uses(self) -> dict[ImageKey, tuple[int, int]]:
        """Give (last use, first seen), in epoch seconds, by engine and id or reference."""
        rows = self._store.rows("SELECT engine, key, used_at, first_seen FROM cleanup_images")
        return {(engine, key): (used, first) for engine, key, used, first in rows}

    def put_image_uses(
        self, rows: Mapping[ImageKey, tuple[int, int]], gone: Iterable[ImageKey] = ()
    ) -> None:
        """Write uses of images, and forget those of images that are gone; all others stay.

        A last use that is known is never made an earlier one.
        """
        self._store.run_many(
            "INSERT INTO cleanup_images VALUES (?, ?, ?, ?) ON CONFLICT (engine, key) DO UPDATE"
            " SET used_at = max(used_at, excluded.used_at)",
            [(*key, *times) for key, times in rows.items()],
        )
        self._store.run_many("DELETE FROM cleanup_images WHERE engine = ? AND key = ?", gone)

    # --- what was done ---

    def add_log(self, rows: Iterable[Logged]) -> int:
        """Add rows in their order, whatever their seq; gives the seq of the last one."""
        self._store.run_many(
            "INSERT INTO cleanup_log (at, kind, part, target, user, outcome, row)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            [row[1:] for row in rows],
        )
        return int(self._store.rows("SELECT max(seq) FROM cleanup_log")[0][0] or 0)

    def settle_log(self, seq: int, outcome: str, row: str) -> None:
        """Write what became of a row that was begun."""
        self._store.run_many(
            "UPDATE cleanup_log SET outcome = ?, row = ? WHERE seq = ?", [(outcome, row, seq)]
        )

    def begun_log(self) -> list[Logged]:
        """Give the rows of which nobody wrote what became of them, oldest first."""
        return self._logged(f"{_LOG} WHERE outcome = 'begun' ORDER BY seq")

    def log_since(self, at: str) -> list[Logged]:
        """Give the rows from a time on, oldest first."""
        return self._logged(f"{_LOG} WHERE at >= ? ORDER BY seq", (at,))

    def log_of(self, target: str, kind: str, *, most: int) -> list[Logged]:
        """Give the newest rows of one kind about one thing, oldest first."""
        where = f"{_LOG} WHERE target = ? AND kind = ? ORDER BY seq DESC LIMIT {most:d}"
        return self._logged(where, (target, kind))[::-1]

    def drop_log(self, before: str, *, keep: int) -> None:
        """Forget what was done before a time; never the newest so many, whatever the clock says."""
        self._store.run_many(
            "DELETE FROM cleanup_log WHERE at < ?"
            " AND seq <= (SELECT max(seq) FROM cleanup_log) - CAST(? AS INTEGER)",
            [(before, keep)],
        )

    def _logged(self, sql: str, values: tuple[str, ...] = ()) -> list[Logged]:
        return [Logged(*row) for row in self._store.rows(sql, values)]

    # --- marks ---

    def marks(self) -> dict[str, str]:
        """Give every mark: single values that the next run needs."""
        return dict(self._store.rows("SELECT name, value FROM cleanup_marks"))

    def put_marks(self, marks: Mapping[str, str]) -> None:
        """Write marks; all others stay."""
        self._store.run_many("INSERT OR REPLACE INTO cleanup_marks VALUES (?, ?)", marks.items())
