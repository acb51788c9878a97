"""The part of the store that is `carbon`'s: last readings, totals, hours, and factors.

Energy is in microjoules, carbon in micrograms, hours since 1970 in UTC: all whole numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.core.energy_books import Factor, GpuHour, Hour, Totals, Used

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ds01ctl.store import Store

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

_HOURS = """
SELECT hour, name.party, cpu_uj, dram_uj, gpu_uj, other_uj, modelled_uj, waste_uj, carbon_ug,
    embodied_ug
FROM energy_hours JOIN energy_parties AS name ON name.id = energy_hours.party
WHERE hour >= CAST(? AS INTEGER) AND hour < CAST(? AS INTEGER)
ORDER BY hour, name.party
"""
_SUMS = """
SELECT name.party, count(*),
    CAST(round(sum((cpu_uj + dram_uj + gpu_uj + other_uj) * coalesce(pue, 1.0))) AS INTEGER),
    sum(cpu_uj), sum(dram_uj), sum(gpu_uj), sum(other_uj),
    sum(modelled_uj), sum(waste_uj), sum(carbon_ug), sum(embodied_ug)
FROM energy_hours AS used JOIN energy_parties AS name ON name.id = used.party
LEFT JOIN energy_factors AS factor ON factor.hour = used.hour
WHERE used.hour >= CAST(? AS INTEGER) AND used.hour < CAST(? AS INTEGER)
GROUP BY used.party
"""
_GPU_SUMS = """
SELECT gpu.uuid, name.party, count(*), CAST(round(sum(uj * coalesce(pue, 1.0))) AS INTEGER),
    sum(uj), sum(used.modelled_uj), sum(used.waste_uj),
    CAST(round(sum(coalesce(1.0 * uj * carbon_ug / (cpu_uj + dram_uj + gpu_uj + other_uj), 0)))
        AS INTEGER)
FROM energy_gpu_hours AS used
LEFT JOIN energy_hours AS whole ON whole.hour = used.hour AND whole.party = used.party
JOIN energy_parties AS name ON name.id = used.party
JOIN energy_gpus AS gpu ON gpu.id = used.gpu
LEFT JOIN energy_factors AS factor ON factor.hour = used.hour
WHERE used.hour >= CAST(? AS INTEGER) AND used.hour < CAST(? AS INTEGER)
GROUP BY used.gpu, used.party
"""
_ADD_HOUR = """
INSERT INTO energy_hours
SELECT ?, id, ?, ?, ?, ?, ?, ?, ?, ? FROM energy_parties WHERE party = ?
ON CONFLICT (hour, party) DO UPDATE SET cpu_uj = cpu_uj + excluded.cpu_uj,
    dram_uj = dram_uj + excluded.dram_uj, gpu_uj = gpu_uj + excluded.gpu_uj,
    other_uj = other_uj + excluded.other_uj, modelled_uj = modelled_uj + excluded.modelled_uj,
    waste_uj = waste_uj + excluded.waste_uj, carbon_ug = carbon_ug + excluded.carbon_ug,
    embodied_ug = embodied_ug + excluded.embodied_ug
"""
_ADD_GPU_HOUR = """
INSERT INTO energy_gpu_hours
SELECT ?, energy_gpus.id, energy_parties.id, ?, ?, ? FROM energy_gpus, energy_parties
WHERE uuid = ? AND party = ?
ON CONFLICT (hour, gpu, party) DO UPDATE SET uj = uj + excluded.uj,
    waste_uj = waste_uj + excluded.waste_uj, modelled_uj = modelled_uj + excluded.modelled_uj
"""
_SET_CARBON = """
UPDATE energy_hours SET carbon_ug = ?
WHERE hour = ? AND party = (SELECT id FROM energy_parties WHERE party = ?)
"""


COUNT = "count:"
"""Begins the names of marks that are counted up."""


class EnergyState:
    """What of an open store is `carbon`'s alone; a part of State."""

    _store: Store

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

    # --- hours ---

    def add_energy_hours(self, hours: Mapping[tuple[int, str], Hour]) -> None:
        """Add to what is known of each hour and party."""
        self._name_parties(party for _, party in hours)
        rows = [(hour, *one, party) for (hour, party), one in hours.items()]
        self._store.run_many(_ADD_HOUR, rows)

    def add_energy_gpu_hours(self, hours: Mapping[tuple[int, str, str], GpuHour]) -> None:
        """Add to what is known of each hour, GPU and party."""
        self._name_parties(party for _, _, party in hours)
        uuids = sorted({uuid for _, uuid, _ in hours})
        self._store.run_many(
            "INSERT OR IGNORE INTO energy_gpus (uuid) SELECT ? WHERE NOT EXISTS"
            " (SELECT 1 FROM energy_gpus WHERE uuid = ?)",
            [(one, one) for one in uuids],
        )
        rows = [(hour, *one, uuid, party) for (hour, uuid, party), one in hours.items()]
        self._store.run_many(_ADD_GPU_HOUR, rows)

    def _name_parties(self, parties: Iterable[str]) -> None:
        self._store.run_many(
            "INSERT INTO energy_parties (party) SELECT ? WHERE NOT EXISTS"
            " (SELECT 1 FROM energy_parties WHERE party = ?)",
            [(one, one) for one in sorted(set(parties))],
        )

    def energy_hours(self, first: int, end: int) -> list[tuple[int, str, Hour]]:
        """Give (hour, party, what it used) from an hour on, up to another one."""
        rows = self._store.rows(_HOURS, (str(first), str(end)))
        return [(hour, party, Hour(*values)) for hour, party, *values in rows]

    def energy_sums(self, first: int, end: int) -> list[tuple[str, Used]]:
        """Give (party, all that it used)."""
        rows = self._store.rows(_SUMS, (str(first), str(end)))
        return [
            (party, Used(hours, Hour(*values), with_pue))
            for party, hours, with_pue, *values in rows
        ]

    def energy_gpu_sums(self, first: int, end: int) -> list[tuple[str, str, Used]]:
        """Give (GPU, party, all that it used of it); carbon is its part of the party's hour."""
        rows = self._store.rows(_GPU_SUMS, (str(first), str(end)))
        return [
            (uuid, party, Used(hours, Hour(0, 0, uj, 0, modelled, waste, ug), with_pue))
            for uuid, party, hours, with_pue, uj, modelled, waste, ug in rows
        ]

    def energy_span(self) -> tuple[int, int] | None:
        """Give the oldest hour that is known, and the first after the newest; None: none is."""
        ((first, last),) = self._store.rows(
            "SELECT (SELECT min(hour) FROM energy_hours), (SELECT max(hour) FROM energy_hours)"
        )
        return None if first is None else (first, last + 1)

    def energy_of_hour(self, hour: int) -> int:
        """Add up the microjoules of everybody in an hour."""
        query = (
            "SELECT coalesce(sum(cpu_uj + dram_uj + gpu_uj + other_uj), 0)"
            " FROM energy_hours WHERE hour = CAST(? AS INTEGER)"
        )
        return int(self._store.rows(query, (str(hour),))[0][0])

    def set_carbon(self, rows: Mapping[tuple[int, str], int]) -> None:
        """Set the micrograms of hours and parties that are known."""
        found = [(ug, hour, party) for (hour, party), ug in rows.items()]
        self._store.run_many(_SET_CARBON, found)

    def energy_factors(self, first: int, end: int) -> dict[int, Factor]:
        """Give the factors by hour."""
        rows = self._store.rows(
            "SELECT * FROM energy_factors WHERE hour >= CAST(? AS INTEGER)"
            " AND hour < CAST(? AS INTEGER)",
            (str(first), str(end)),
        )
        return {hour: Factor(*values) for hour, *values in rows}

    def put_energy_factors(self, factors: Mapping[int, Factor]) -> None:
        """Put the factors of hours in the place of those that were."""
        rows = [(hour, *factor) for hour, factor in factors.items()]
        self._store.run_many(
            "INSERT OR REPLACE INTO energy_factors VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows
        )

    def forget_energy(self, before: int, keep: int) -> None:
        """Forget the hours before one, but never the newest ``keep`` that there are."""
        oldest = self._store.rows(
            "SELECT hour FROM energy_factors ORDER BY hour DESC LIMIT 1 OFFSET CAST(? AS INTEGER)",
            (str(max(keep, 1) - 1),),
        )
        if not oldest:
            return
        first = min(before, oldest[0][0])
        for table in ("energy_hours", "energy_gpu_hours", "energy_factors"):
            self._store.run_many(f"DELETE FROM {table} WHERE hour < ?", [(first,)])  # noqa: S608 -- our own three names

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
