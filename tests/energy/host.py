"""A host below a moved root whose counters go as a trace says, for the real program.

Time is faked with a time namespace: what `ds01ctl carbon sample` takes for CLOCK_BOOTTIME is the
trace's time. Nothing of the program is replaced.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

from tests.energy import trace as tr
from tests.nvml.double import NvmlDouble, uuid
from tests.observe.energy_world import EnergyWorld

if TYPE_CHECKING:
    from pathlib import Path

    from tests.energy.trace import Job, Trace

RANGES_UJ = (65_532_610_987, 262_143_328_850)
FIRST_UID = 1001
POLICY = """\
carbon: {zone: DE, pue: 1.2, idle: usage, max_watts: {package: 400, dram: 60, gpu: 450}}
nvml: {timeout_s: 60}
users: {timeout_s: 60}
"""
"""Deadlines are not what is tested: a busy machine must not miss one."""
_BOOTED_S = 1_000_000
"""What the trace's time 0 is in seconds since boot."""


class Moved(NamedTuple):
    """What the counters show, in microjoules that never go around, by the counter's name."""

    uj: dict[str, int]

    def of(self, component: str) -> int:
        """Add up one component."""
        starts = {"cpu": "rapl:package", "dram": "rapl:dram", "gpu": "gpu:"}[component]
        return sum(uj for name, uj in self.uj.items() if name.startswith(starts))


class EnergyHost:
    """The files of one host; `at` writes what they show at a time of the trace."""

    def __init__(self, folder: Path, libraries: Path, trace: Trace, policy: str = POLICY) -> None:
        self.root = folder / "root"
        self.trace = trace
        self.folder = folder
        self.libraries = libraries
        self.world = EnergyWorld(self.root)
        self.seconds = 0.0
        self.moved = Moved({})
        self._pids: set[int] = set()
        self._booted = 0.0
        for name in ("etc/ds01", "var/log", "run", "dev", "home"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        self.textfiles = self.root / "var/lib/prometheus/node-exporter"
        self.textfiles.mkdir(parents=True)
        self.prom = self.textfiles / "ds01_carbon.prom"
        self.database = self.root / "var/lib/ds01/ds01ctl.db"
        (self.root / "etc/ds01/resource-limits.yaml").write_text(policy)
        self.at(0.0)

    # --- what the host shows ---

    def at(self, seconds: float) -> None:
        """Go to a time of the trace."""
        self.moved = Moved({**self._rapl(seconds), **self._nvml(seconds)})
        self._groups(seconds)
        self.seconds = seconds

    def reboot(self) -> None:
        """Start the host anew now, and look at it 10 s later."""
        self._booted = self.seconds
        self.world.boot("0e5c6b3e-0000-4000-8000-000000000002")
        self.at(self.seconds + 10)

    def uid(self, user: str) -> int:
        """Number a user."""
        return FIRST_UID + self.trace.users.index(user)

    def _rapl(self, at: float) -> dict[str, int]:
        found = {}
        package, dram = (
            joules(at) - (joules(self._booted) if self._booted else 0.0)
            for joules in (self.trace.package_joules, self.trace.dram_joules)
        )
        for number, wraps in enumerate(RANGES_UJ):
            for folder, name, joules in (
                (f"intel-rapl:{number}", f"package-{number}", package),
                (f"intel-rapl:{number}:0", "dram", dram),
            ):
                uj = round(joules * 1e6)
                if not self._booted:
                    # near its end, so that it goes around early
                    uj += wraps - 10**9
                self.world.zone(folder, name, uj % wraps)
                limit = self.root / f"sys/class/powercap/{folder}/max_energy_range_uj"
                limit.write_text(f"{wraps}\n")
                found[f"rapl:{name if name != 'dram' else f'dram-{number}'}"] = uj
        return found

    def _nvml(self, at: float) -> dict[str, int]:
        self.nvml = NvmlDouble(self.folder, self.libraries)
        found = {}
        for gpu in range(len(self.trace.gpus)):
            joules = self.trace.board_joules(gpu, at)
            joules += -self.trace.board_joules(gpu, self._booted) if self._booted else 5000.0
            mj = round(joules * 1e3)
            self._gpu(gpu, mj, at)
            found[f"gpu:{uuid(gpu)}"] = mj * 1000
        # other programs read it while it is written
        self.env = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("DS01_", "DOCKER_"))},
            **self.nvml.env(),
            "DS01_ROOT": str(self.root),
            "NO_COLOR": "1",
        }
        return found

    def _gpu(self, gpu: int, mj: int, at: float) -> None:
        here = [job for job in self.trace.by_gpu[gpu] if job.is_alive(at)]
        used = sum(job.gpu_bytes for job in here)
        self.nvml.gpu(gpu, energy_mj=mj, power_limit_mw=400_000, mem_used=used)
        for job in here:
            self.nvml.process(gpu, job.pid, job.gpu_bytes)
        seconds = at - self.seconds
        for job in self.trace.by_gpu[gpu] if seconds else ():
            # the clock of the records is no other in a time namespace: to the program, all of them
            # have been there all the time
            sm = job.sm.between(self.seconds, at) / seconds
            if sm >= 1:
                self.nvml.sample(gpu, job.pid, -1000, sm=int(sm))

    def _groups(self, at: float) -> None:
        self.world.group("", round(self.trace.core_seconds(at) * 1e6))
        for user in self.trace.users:
            memory = sum(j.host_bytes for j in self.trace.jobs if j.user == user and j.is_alive(at))
            path = f"/user.slice/user-{self.uid(user)}.slice"
            cpu_us = round(self.trace.user_cores[user].until(at) * 1e6)
            self.world.group(path, cpu_us, memory)
        self.world.group("/user.slice", round(self.trace.all_cores.until(at) * 1e6))
        used = sum(job.host_bytes for job in self.trace.jobs if job.is_alive(at))
        self.world.host(0, tr.SYSTEM_BYTES + used, 4 << 40)
        self._processes([job for on in self.trace.by_gpu for job in on if job.is_alive(at)])

    def _processes(self, here: list[Job]) -> None:
        wanted = {job.pid for job in here}
        for pid in self._pids - wanted:
            shutil.rmtree(self.root / f"proc/{pid}")
        for job in here:
            if job.pid not in self._pids:
                uid = self.uid(job.user)
                path = f"/user.slice/user-{uid}.slice/session-{job.pid}.scope"
                self.world.process(job.pid, path, uid, loginuid=str(uid))
        self._pids = wanted

    # --- the program ---

    def argv(self, *arguments: str) -> list[str]:
        """Tell how to run ``ds01ctl`` at the time that the files show."""
        up = self.seconds - self._booted if self._booted else _BOOTED_S + self.seconds
        ahead = round(up - time.clock_gettime(time.CLOCK_BOOTTIME))
        clocks = [f"--boottime={ahead}", f"--monotonic={ahead}"]
        return ["unshare", "--time", *clocks, sys.executable, *arguments]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``ds01ctl carbon`` with these arguments."""
        argv = self.argv("-m", "ds01ctl", "carbon", *arguments)
        done = subprocess.run(argv, env=self.env, capture_output=True, text=True, check=False)
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def totals(self, table: str = "energy_totals") -> dict[str, int]:
        """Add up what the store has of each component, over parties and bases."""
        with sqlite3.connect(self.database) as database:
            rows = database.execute(
                f"SELECT component, sum(uj) FROM {table} GROUP BY component"
            ).fetchall()
        database.close()
        return dict(rows)

    def of_users(self) -> dict[tuple[str, str], float]:
        """Give the joules that the store has of each user of the trace, by component."""
        names = {str(self.uid(user)): user for user in self.trace.users}
        query = "SELECT party, component, sum(uj) FROM energy_totals GROUP BY party, component"
        with sqlite3.connect(self.database) as database:
            rows = database.execute(query).fetchall()
        database.close()
        return {(names[party], name): uj / 1e6 for party, name, uj in rows if party in names}


def small_trace(seed: int = 1, users: int = 3) -> Trace:
    """Make ten minutes of a host with four GPUs."""
    kinds: tuple[tr.Kind, ...] = ("exclusive", "shared", "shared", "exclusive")
    return tr.make(seed, users, kinds, 600.0)
