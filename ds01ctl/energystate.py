"""The part of the store that is `carbon`'s: last readings, totals, hours, and factors.

Energy is in microjoules, carbon in micrograms, hours since 1970 in UTC: all whole numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.core.energy_books import Totals
from ds01ctl.energyhours import EnergyHours

if TYPE_CHECKING:
    from collections.abc import Mapping

ENERGY_TABLES: tuple[str, ...] = (
    "CREATE TABLE energy_raw (name TEXT PRIMARY KEY, row TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE energy_totals (party TEXT, component TEXT, basis TEXT, uj INTEGER NOT NULL,"
    " PRIMARY KEY (party, component, basis)) WITHOUT ROWID",
    "CREATE TABLE energy_node (component TEXT, basis TEXT, uj INTEGER NOT NULL,"
    " PRIMARY KEY (component, basis)) WITHOUT ROWID",
    "CREATE TABLE energy_gpu_totals (party TEXT, gpu TEXT, uj INTEGER NOT NULL,"
    " PRIMARY KEY (party, gpu)) WITHOUT ROWID",
    "CREATE TABLE carbon_totals (party TEXT, scope TEXT, ug INTEGER NOT NULL,"
    " PRIMARY KEY (party, scope)) WITHOUT ROWID",
    "CREATE TABLE carbon_months (month INTEGER, party TEXT, ug INTEGER NOT NULL,"
    " PRIMARY KEY (month, party)) WITHOUT ROWID",
    "CREATE TABLE energy_parties (id INTEGER PRIMARY KEY, party TEXT NOT NULL UNIQUE)",
    "CREATE TABLE energy_gpus (id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE)",
    "CREATE TABLE energy_hours (hour INTEGER, party INTEGER, cpu_uj INTEGER NOT NULL,"
    " dram_uj INTEGER NOT NULL, gpu_uj INTEGER NOT NULL, other_uj INTEGER NOT NULL,"
    " modelled_uj INTEGER NOT NULL, waste_uj INTEGER NOT NULL, carbon_ug INTEGER NOT NULL,"
    " embodied_ug INTEGER NOT NULL, PRIMARY KEY (hour, party)) WITHOUT ROWID",
    "CREATE TABLE energy_gpu_hours (hour INTEGER, gpu INTEGER, party INTEGER,"
    " uj INTEGER NOT NULL, waste_uj INTEGER NOT NULL, modelled_uj INTEGER NOT NULL,"
    " PRIMARY KEY (hour, gpu, party)) WITHOUT ROWID",
    "CREATE TABLE energy_factors (hour INTEGER PRIMARY KEY, zone TEXT NOT NULL,"
    " g_per_kwh REAL NOT NULL, source TEXT NOT NULL, year_or_at TEXT NOT NULL,"
    " pue REAL NOT NULL, idle TEXT NOT NULL, modelled TEXT NOT NULL)",
    "CREATE TABLE intensity_cache (provider TEXT, zone TEXT, at INTEGER, g_per_kwh REAL NOT NULL,"
    " kind TEXT, PRIMARY KEY (provider, zone, at, kind)) WITHOUT ROWID",
    "CREATE TABLE energy_marks (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
)
"""The statements of its migration."""
PROJECTS: tuple[str, ...] = (
    "CREATE TABLE energy_names (id INTEGER PRIMARY KEY, party TEXT NOT NULL,"
    " project TEXT NOT NULL DEFAULT '', UNIQUE (party, project))",
    "INSERT INTO energy_names (id, party) SELECT id, party FROM energy_parties",
    "DROP TABLE energy_parties",
    "ALTER TABLE energy_names RENAME TO energy_parties",
)
"""Those of the next one: hours are of a user's work in a project, and what was is of none."""

COUNT = "count:"
"""Begins the names of marks that are counted up."""


class EnergyState(EnergyHours):
    """What of an open store is `carbon`'s alone; a part of State."""

    # --- last readings ---

    def energy_raw(self) -> dict[str, str]:
        """Give the JSON text of each thing that the next run has to know, by name."""
        return dict(self._store.rows("SELECT name, row FROM energy_raw"))

    def replace_energy_raw(self, rows: Mapping[str, str]) -> None:
        """Replace all of it."""
        gone = [(name,) for name in self.energy_raw() if name not in rows]
        self._store.run_many("DELETE FROM energy_raw WHERE name = ?", gone)
        self._store.run_many("INSERT OR REPLACE INTO energy_raw VALUES (?, ?)", rows.items())

    # --- totals ---

    def energy_totals(self) -> Totals:
        """Give all totals."""
        query = self._store.rows
        marks = query("SELECT name, value FROM energy_marks WHERE name GLOB ?", (f"{COUNT}*",))
        return Totals(
            {row[:3]: row[3] for row in query("SELECT * FROM energy_totals")},
            {row[:2]: row[2] for row in query("SELECT * FROM energy_node")},
            {row[:2]: row[2] for row in query("SELECT * FROM energy_gpu_totals")},
            {row[:2]: row[2] for row in query("SELECT * FROM carbon_totals")},
            {name.removeprefix(COUNT): int(value) for name, value in marks},
        )

    def put_energy_totals(self, totals: Totals) -> None:
        """Put totals that have changed in the place of those that were; the others stay."""
        put = self._store.run_many
        for table, rows in (
            ("energy_totals VALUES (?, ?, ?, ?)", totals.energy),
            ("energy_node VALUES (?, ?, ?)", totals.node),
            ("energy_gpu_totals VALUES (?, ?, ?)", totals.gpus),
            ("carbon_totals VALUES (?, ?, ?)", totals.carbon),
        ):
            found = [(*key, value) for key, value in rows.items()]
            put(f"INSERT OR REPLACE INTO {table}", found)
        self.put_energy_marks({f"{COUNT}{name}": str(n) for name, n in totals.counts.items()})

    # --- months, for budgets ---

    def carbon_month(self, month: int) -> dict[str, int]:
        """Give the micrograms of each party in a month, such as 202611."""
        return dict(
            self._store.rows(
                "SELECT party, ug FROM carbon_months WHERE month = CAST(? AS INTEGER)",
                (str(month),),
            )
        )

    def add_carbon_months(self, months: Mapping[tuple[int, str], int]) -> None:
        """Add micrograms, which may be less than nothing where a month was computed anew."""
        self._store.run_many(
            "INSERT INTO carbon_months VALUES (?, ?, ?)"
            " ON CONFLICT (month, party) DO UPDATE SET ug = ug + excluded.ug",
            [(*key, ug) for key, ug in months.items()],
        )

    # --- intensity ---

    def intensity_cache(self, since_s: int) -> list[tuple[str, str, int, float, str]]:
        """Give (provider, zone, epoch seconds, g/kWh, kind), the newest first."""
        return self._store.rows(
            "SELECT provider, zone, at, g_per_kwh, kind FROM intensity_cache"
            " WHERE at >= CAST(? AS INTEGER) ORDER BY at DESC",
            (str(since_s),),
        )

    def add_intensity(self, row: tuple[str, str, int, float, str], keep_from_s: int) -> None:
        """Add a figure, and drop those that are too old."""
        self._store.run_many("INSERT OR REPLACE INTO intensity_cache VALUES (?, ?, ?, ?, ?)", [row])
        self._store.run_many("DELETE FROM intensity_cache WHERE at < ?", [(keep_from_s,)])

    # --- marks ---

    def energy_marks(self) -> dict[str, str]:
        """Give all marks by name."""
        return dict(self._store.rows("SELECT name, value FROM energy_marks"))

    def put_energy_marks(self, marks: Mapping[str, str | None]) -> None:
        """Put marks; None takes one away."""
        gone = [(name,) for name, value in marks.items() if value is None]
        kept = [item for item in marks.items() if item[1] is not None]
        self._store.run_many("DELETE FROM energy_marks WHERE name = ?", gone)
        self._store.run_many("INSERT OR REPLACE INTO energy_marks VALUES (?, ?)", kept)
