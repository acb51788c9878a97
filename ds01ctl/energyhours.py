"""The hours of `carbon` in the store: what each user used in each project, and by what factors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.core.energy_books import Factor, GpuHour, Hour, Used
from ds01ctl.core.energy_projects import MOST, OTHERS, party_of, project_of, user_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ds01ctl.store import Store

_HOURS = """
SELECT hour, name.party, name.project, cpu_uj, dram_uj, gpu_uj, other_uj, modelled_uj, waste_uj,
    carbon_ug, embodied_ug
FROM energy_hours JOIN energy_parties AS name ON name.id = energy_hours.party
WHERE hour >= CAST(? AS INTEGER) AND hour < CAST(? AS INTEGER)
ORDER BY hour, name.party, name.project
"""
_SUMS = """
SELECT name.party, name.project, count(*),
    CAST(round(sum((cpu_uj + dram_uj + gpu_uj + other_uj) * coalesce(pue, 1.0))) AS INTEGER),
    sum(cpu_uj), sum(dram_uj), sum(gpu_uj), sum(other_uj),
    sum(modelled_uj), sum(waste_uj), sum(carbon_ug), sum(embodied_ug)
FROM energy_hours AS used JOIN energy_parties AS name ON name.id = used.party
LEFT JOIN energy_factors AS factor ON factor.hour = used.hour
WHERE used.hour >= CAST(? AS INTEGER) AND used.hour < CAST(? AS INTEGER)
GROUP BY used.party
"""
_GPU_SUMS = """
SELECT gpu.uuid, name.party, name.project, count(*),
    CAST(round(sum(uj * coalesce(pue, 1.0))) AS INTEGER),
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
SELECT ?, id, ?, ?, ?, ?, ?, ?, ?, ? FROM energy_parties
WHERE party = ? AND project IN (?, ?) ORDER BY project = ? DESC LIMIT 1
ON CONFLICT (hour, party) DO UPDATE SET cpu_uj = cpu_uj + excluded.cpu_uj,
    dram_uj = dram_uj + excluded.dram_uj, gpu_uj = gpu_uj + excluded.gpu_uj,
    other_uj = other_uj + excluded.other_uj, modelled_uj = modelled_uj + excluded.modelled_uj,
    waste_uj = waste_uj + excluded.waste_uj, carbon_ug = carbon_ug + excluded.carbon_ug,
    embodied_ug = embodied_ug + excluded.embodied_ug
"""
_ADD_GPU_HOUR = """
INSERT INTO energy_gpu_hours
SELECT ?, energy_gpus.id, energy_parties.id, ?, ?, ? FROM energy_gpus, energy_parties
WHERE uuid = ? AND party = ? AND project IN (?, ?) ORDER BY project = ? DESC LIMIT 1
ON CONFLICT (hour, gpu, party) DO UPDATE SET uj = uj + excluded.uj,
    waste_uj = waste_uj + excluded.waste_uj, modelled_uj = modelled_uj + excluded.modelled_uj
"""
_SET_CARBON = """
UPDATE energy_hours SET carbon_ug = ?
WHERE hour = ? AND party = (SELECT id FROM energy_parties WHERE party = ? AND project = ?)
"""
_NAME = """
INSERT INTO energy_parties (party, project) SELECT ?1, ?2
WHERE NOT EXISTS (SELECT 1 FROM energy_parties WHERE party = ?1 AND project = ?2)
AND (?2 IN ('', ?3) OR ?4 > (SELECT count(*) FROM energy_parties
    WHERE party = ?1 AND project NOT IN ('', ?3)))
"""
_NAME_OTHERS = """
INSERT INTO energy_parties (party, project) SELECT ?1, ?3
WHERE NOT EXISTS (SELECT 1 FROM energy_parties WHERE party = ?1
    AND project IN (?2, ?3))
"""
_UNUSED = """
DELETE FROM energy_parties WHERE project <> '' AND id NOT IN (SELECT party FROM energy_hours)
AND id NOT IN (SELECT party FROM energy_gpu_hours)
"""


def _named(party: str) -> tuple[str, str, str, str]:
    """Give what finds the row of a party: its own, or its user's others."""
    project = project_of(party)
    return user_of(party), project, OTHERS if project else "", project


class EnergyHours:
    """A part of State. A party is a user, or a user's project."""

    _store: Store

    def add_energy_hours(self, hours: Mapping[tuple[int, str], Hour]) -> None:
        """Add to what is known of each hour and party."""
        self._name_parties(party for _, party in hours)
        rows = [(hour, *one, *_named(party)) for (hour, party), one in hours.items()]
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
        rows = [(hour, *one, uuid, *_named(name)) for (hour, uuid, name), one in hours.items()]
        self._store.run_many(_ADD_GPU_HOUR, rows)

    def _name_parties(self, parties: Iterable[str]) -> None:
        """Note new ones; projects beyond those that are told apart become the user's others."""
        rows = [(user_of(one), project_of(one), OTHERS) for one in sorted(set(parties))]
        self._store.run_many(_NAME, [(*row, MOST) for row in rows])
        self._store.run_many(_NAME_OTHERS, [row for row in rows if row[1]])

    def energy_hours(self, first: int, end: int) -> list[tuple[int, str, Hour]]:
        """Give (hour, party, what it used) from an hour on, up to another one."""
        rows = self._store.rows(_HOURS, (str(first), str(end)))
        return [
            (hour, party_of(user, project), Hour(*values)) for hour, user, project, *values in rows
        ]

    def energy_sums(self, first: int, end: int) -> list[tuple[str, Used]]:
        """Give (party, all that it used)."""
        rows = self._store.rows(_SUMS, (str(first), str(end)))
        return [
            (party_of(user, project), Used(hours, Hour(*values), with_pue))
            for user, project, hours, with_pue, *values in rows
        ]

    def energy_gpu_sums(self, first: int, end: int) -> list[tuple[str, str, Used]]:
        """Give (GPU, party, all that it used of it); carbon is its part of the party's hour."""
        rows = self._store.rows(_GPU_SUMS, (str(first), str(end)))
        return [
            (
                uuid,
                party_of(user, project),
                Used(hours, Hour(0, 0, uj, 0, modelled, waste, ug), with_pue),
            )
            for uuid, user, project, hours, with_pue, uj, modelled, waste, ug in rows
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
        found = [
            (ug, hour, user_of(party), project_of(party)) for (hour, party), ug in rows.items()
        ]
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
        self._store.run_many(_UNUSED, [()])
