"""The part of the store that is `quota`'s: what can be undone, and what disks held before."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ds01ctl.store import Store

_USAGE_OF_ONE = """
SELECT mount, kind, id, at, used_bytes FROM disk_usage
WHERE mount = ? AND kind = ? AND id = CAST(? AS INTEGER)
AND at BETWEEN CAST(? AS INTEGER) AND CAST(? AS INTEGER) ORDER BY at
"""
_CHANGED_USAGE = """
WITH seen AS (
    SELECT * FROM disk_usage WHERE at BETWEEN CAST(? AS INTEGER) AND CAST(? AS INTEGER)
), changed AS (
    SELECT mount, kind, id FROM seen GROUP BY mount, kind, id
    HAVING min(used_bytes) < max(used_bytes)
)
SELECT mount, kind, id, at, used_bytes FROM changed JOIN seen USING (mount, kind, id)
ORDER BY mount, kind, id, at
"""

DiskPlace = tuple[str, str, int]
"""Mount, kind and id."""


class QuotaState:
    """What of an open store is `quota`'s alone; a part of State."""

    _store: Store

    # --- what can be undone ---

    def newest_undo(self) -> str | None:
        """Give the JSON text that was added last and not dropped; None: there is none."""
        rows = self._store.rows("SELECT row FROM quota_undo ORDER BY seq DESC LIMIT 1")
        return rows[0][0] if rows else None

    def add_undo(self, row: str, keep: int) -> None:
        """Add what can be undone, as the newest, and drop all but so many; no clock orders them."""
        self._store.run_many("INSERT INTO quota_undo (row) VALUES (?)", [(row,)])
        self._store.run_many(
            "DELETE FROM quota_undo WHERE seq NOT IN"
            " (SELECT seq FROM quota_undo ORDER BY seq DESC LIMIT ?)",
            [(keep,)],
        )

    def drop_newest_undo(self) -> None:
        """Drop what was added last."""
        self._store.run_many(
            "DELETE FROM quota_undo WHERE seq = (SELECT max(seq) FROM quota_undo)", [()]
        )

    # --- disk usage ---

    def disk_usage(
        self, since_s: int, until_s: int, only: Iterable[DiskPlace] | None = None
    ) -> dict[DiskPlace, list[tuple[int, int]]]:
        """Give (epoch seconds, bytes used) by place, oldest first.

        only: of these; None: of all that have changed in that time.
        """
        time = (str(since_s), str(until_s))
        if only is None:
            rows = self._store.rows(_CHANGED_USAGE, time)
        else:
            asked = ((mount, kind, str(id_), *time) for mount, kind, id_ in only)
            rows = [row for place in asked for row in self._store.rows(_USAGE_OF_ONE, place)]
        found: dict[DiskPlace, list[tuple[int, int]]] = {}
        for mount, kind, number, at, used in rows:
            found.setdefault((mount, kind, number), []).append((at, used))
        return found

    def newest_disk_usage(self, until_s: int) -> dict[DiskPlace, tuple[int, int]]:
        """Give the last (epoch seconds, bytes used) of each place."""
        # SQLite takes the other columns from the row that has the maximum
        rows = self._store.rows(
            "SELECT mount, kind, id, max(at), used_bytes FROM disk_usage"
            " WHERE at <= CAST(? AS INTEGER) GROUP BY mount, kind, id",
            (str(until_s),),
        )
        return {(mount, kind, number): (at, used) for mount, kind, number, at, used in rows}

    def disk_usage_days(self) -> set[int]:
        """Give the days, since the epoch and in UTC, on which anything was noted."""
        return {row[0] for row in self._store.rows("SELECT DISTINCT at / 86400 FROM disk_usage")}

    def note_disk_usage(self, used: Mapping[DiskPlace, int], at_s: int) -> None:
        """Note what is used now."""
        rows = [(*place, at_s, size) for place, size in used.items()]
        self._store.run_many("INSERT OR REPLACE INTO disk_usage VALUES (?, ?, ?, ?, ?)", rows)

    def keep_disk_usage(self, first_s: int, last_s: int | None) -> None:
        """Forget what was noted before or after; None: nothing of what was noted after."""
        self._store.run_many("DELETE FROM disk_usage WHERE at < ? OR at > ?", [(first_s, last_s)])
