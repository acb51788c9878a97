"""A host below a moved root whose energy, control groups and processes a test writes."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from ds01ctl.paths import Paths
from tests.observe.test_processes import stat_line, write_process

if TYPE_CHECKING:
    from pathlib import Path

BOOT = "0e5c6b3e-0000-4000-8000-000000000001"
MIB = 1 << 20


class EnergyWorld:
    """Everything is written at once where it is said; groups have either version's files."""

    def __init__(self, root: Path, *, v1: bool = False) -> None:
        self.root = root
        self.paths = Paths(root)
        self.v1 = v1
        self._cgroups = root / "sys/fs/cgroup"
        self.boot(BOOT)
        self.host(0, 0)
        for name in ("cpuacct", "memory") if v1 else ("",):
            (self._cgroups / name).mkdir(parents=True, exist_ok=True)
        if not v1:
            (self._cgroups / "cgroup.controllers").write_text("cpu memory\n")

    def boot(self, boot_id: str) -> None:
        self._write("proc/sys/kernel/random/boot_id", f"{boot_id}\n")

    def host(self, cpu_us: int, memory: int, total: int = 64 << 30) -> None:
        ticks = cpu_us * os.sysconf("SC_CLK_TCK") // 1_000_000
        booted = int(datetime(2026, 11, 23, tzinfo=timezone.utc).timestamp())
        self._write("proc/stat", f"cpu  {ticks} 0 0 999 5 0 0 0 0 0\nbtime {booted}\n")
        free = (total - memory) >> 10
        self._write("proc/meminfo", f"MemTotal: {total >> 10:9} kB\nMemFree: {free:9} kB\n")

    def group(self, path: str, cpu_us: int, memory: int | None = 0) -> None:
        """Make a group, or write anew what it has used; no memory: its controller is off."""
        cpu, size = self._folders(path)
        for folder in (cpu, size):
            folder.mkdir(parents=True, exist_ok=True)
        if self.v1:
            (cpu / "cpuacct.usage").write_text(f"{cpu_us * 1000}\n")
        else:
            (cpu / "cpu.stat").write_text(f"usage_usec {cpu_us}\nuser_usec 1\nsystem_usec 2\n")
        if memory is not None:
            name = "memory.usage_in_bytes" if self.v1 else "memory.current"
            (size / name).write_text(f"{memory}\n")

    def remove(self, path: str) -> None:
        for folder in dict.fromkeys(self._folders(path)):
            # kept, so that the number of its inode is not given again, as the kernel does not
            folder.rename(self.root / f"gone-{os.urandom(4).hex()}")

    def process(self, pid: int, cgroup: str, uid: int = 1001, **files: str | None) -> None:
        said = {
            "stat": stat_line(pid),
            "status": f"Name:\tpython\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\nNSpid:\t{pid}\n",
            "cgroup": f"0::{cgroup}\n",
            "loginuid": "4294967295",
        }
        write_process(self.root, pid, **(said | files))

    def zone(self, folder: str, name: str, uj: int | str) -> None:
        for file, text in (("name", name), ("energy_uj", uj), ("max_energy_range_uj", 65532610987)):
            self._write(f"sys/class/powercap/{folder}/{file}", f"{text}\n")

    def _folders(self, path: str) -> tuple[Path, Path]:
        roots = [self._cgroups / name for name in ("cpuacct", "memory")] if self.v1 else []
        cpu, size = roots or [self._cgroups, self._cgroups]
        return cpu / path.lstrip("/"), size / path.lstrip("/")

    def _write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
