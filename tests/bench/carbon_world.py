"""A large host for `carbon sample`: files that move, an NVML double, an engine with containers."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tests.nvml.double import GIB, NvmlDouble
from tests.observe.energy_world import EnergyWorld
from tests.observe.stub_engine import ID, StubEngine, entry

if TYPE_CHECKING:
    from types import TracebackType

GPUS, USERS, CONTAINERS, PER_CONTAINER = 8, 80, 200, 1
_FIRST_UID, _FIRST_PID = 10_001, 20_000
_POLICY = "carbon: {zone: DE, pue: 1.3}\ndocker: {hosts: ['%s']}\nplatform: {slice: ds01.slice}\n"
_NAMES = """
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A directory of people from uid 10001 on, as every host with users has one. */
static int person(long uid, struct passwd *pwd, char *buffer, size_t size, struct passwd **result) {
    int is_known = uid > 10000 && uid <= 10080;
    snprintf(buffer, size, "user%ld", uid);
    *pwd = (struct passwd){buffer, "x", uid, uid, "", "/", "/bin/sh"};
    *result = is_known ? pwd : NULL;
    return 0;
}
int getpwuid_r(uid_t uid, struct passwd *pwd, char *buffer, size_t size, struct passwd **result) {
    return person(uid, pwd, buffer, size, result);
}
int getpwnam_r(const char *name, struct passwd *pwd, char *buffer, size_t size,
               struct passwd **result) {
    return person(strncmp(name, "user", 4) ? 0 : atol(name + 4), pwd, buffer, size, result);
}
"""


class CarbonWorld:
    """Every container has processes on a GPU; its owner is known by its slice and its label."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self.root = self.folder / "root"
        self.world = EnergyWorld(self.root)
        self.engine = StubEngine(self.folder)
        self.minutes = 0
        self._names = _compiled(self.folder)
        self._nvml_env: dict[str, str] = {}
        for name in ("etc/ds01", "var/log", "run", "dev", "home"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        (self.root / "var/lib/prometheus/node-exporter").mkdir(parents=True)
        (self.root / "etc/ds01/resource-limits.yaml").write_text(_POLICY % self.engine.host)
        self.engine.containers(*(self._entry(number) for number in range(1, CONTAINERS + 1)))
        for number in range(1, CONTAINERS + 1):
            for pid in self._pids(number):
                cgroup = f"{self._slice(number)}/docker-{ID(number)}.scope"
                self.world.process(pid, cgroup, self._uid(number), loginuid=None)

    def __enter__(self) -> CarbonWorld:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.engine.stop()

    def pass_time(self) -> None:
        """Let a minute's worth of use be counted."""
        self.minutes += 1
        n = self.minutes
        for package in range(2):
            self.world.zone(f"intel-rapl:{package}", f"package-{package}", n * 10**7 + package)
            self.world.zone(f"intel-rapl:{package}:0", "dram", n * 10**6 + package)
        self.world.group("", n * 90_000_000)
        self.world.group("/user.slice", n * 1000)
        self.world.group("/ds01.slice", n * 80_000_000, 80 * GIB)
        self.world.group("/ds01.slice/ds01-student.slice", n * 80_000_000, 80 * GIB)
        for number in range(1, CONTAINERS + 1):
            group = self._slice(number)
            self.world.group(group, n * 1_000_000, GIB)
            self.world.group(f"{group}/docker-{ID(number)}.scope", n * 400_000, GIB // 3)
        self._nvml_env = self._gpus().env()

    def env(self) -> dict[str, str]:
        """Tell the environment of a run that systemd starts."""
        env = {k: v for k, v in os.environ.items() if not k.startswith(("DS01_", "DOCKER_"))}
        env |= {**self._nvml_env, "DS01_ROOT": str(self.root), "LD_PRELOAD": str(self._names)}
        env["INVOCATION_ID"] = "8f2c"
        del env["FAKE_NVML_LOG"]
        return env

    def check(self) -> None:
        """See that what was measured did its work: every user has energy of a GPU."""
        with sqlite3.connect(self.root / "var/lib/ds01/ds01ctl.db") as database:
            [(users,)] = database.execute(
                "SELECT count(*) FROM energy_totals WHERE component = 'gpu' AND party GLOB 'user1*'"
            ).fetchall()
        database.close()
        assert users == USERS, f"{users} of {USERS} users have energy"

    def _gpus(self) -> NvmlDouble:
        nvml = NvmlDouble(self.folder, self.folder / "libraries")
        for gpu in range(GPUS):
            nvml.gpu(gpu, energy_mj=self.minutes * 5000 + 1, mem_used=30 * GIB)
        for number in range(1, CONTAINERS + 1):
            for pid in self._pids(number):
                nvml.process(number % GPUS, pid, GIB // 4)
                nvml.sample(number % GPUS, pid, -1000, sm=1 + number % 3)
        return nvml

    def _entry(self, number: int) -> dict[str, object]:
        pid = self._pids(number)[0]
        labels = {"ds01.managed": "true", "ds01.user": f"user{self._uid(number)}"}
        started = {"Pid": pid, "StartedAt": "2026-11-23T10:00:00Z"}
        return entry(number, state="running", Labels=labels, Status="Up 3 hours", **started)

    def _pids(self, number: int) -> tuple[int, ...]:
        first = _FIRST_PID + number * PER_CONTAINER
        return tuple(range(first, first + PER_CONTAINER))

    def _uid(self, number: int) -> int:
        return _FIRST_UID + number % USERS

    def _slice(self, number: int) -> str:
        return f"/ds01.slice/ds01-student.slice/ds01-student-user{self._uid(number)}.slice"


def _compiled(folder: Path) -> Path:
    source, library = folder / "names.c", folder / "names.so"
    source.write_text(_NAMES)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    return library
