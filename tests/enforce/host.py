"""A host for tests of `enforce`: accounts, control groups that are files, a systemctl."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from tests.cli.conftest import Host
from tests.enforce.systemctl import CONTROL, Systemd, cgroup
from tests.observe.stub_engine import ID, StubEngine, entry

CPUS = "0-15"
MEMORY_KIB = 256 << 20
"""256 GiB."""
POLICY = """\
defaults: {max_cpus: 16, memory: 32g, memory_swap: 32g, pids_limit: 4096}
default_group: student
enforcement: {mode: enforce}
groups:
  student:
    aggregate: {cpu_quota: "800%", memory_max: 96G, memory_high: 86G, tasks_max: 12288}
  researcher:
    aggregate: {cpu_quota: "1200%", memory_max: 160G, memory_high: 144G, tasks_max: 32768}
  staff: {}
"""
DROP_IN = "50-ds01.conf"


class EnforceHost:
    """Wraps the host of the other command line tests."""

    def __init__(self, base: Host) -> None:
        self.base = base
        self.root = base.root
        for folder in ("run/systemd/system", "etc/systemd/system", "sys/fs/cgroup/user.slice",
                       "usr/lib/systemd/system/user-.slice.d", "sys/devices/system/cpu",
                       "sys/dev/block", "home", "etc/ds01/groups", "bin"):  # fmt: skip
            (self.root / folder).mkdir(parents=True)
        self.write("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n")
        self.write("sys/devices/system/cpu/online", f"{CPUS}\n")
        self.write(
            "usr/lib/systemd/system/user-.slice.d/10-defaults.conf", "[Slice]\nTasksMax=33%\n"
        )
        self.write("etc/nsswitch.conf", "passwd: files systemd\n")
        self.write("etc/group", "root:x:0:\nds01-admin:x:900:boss\n")
        self._people = [("root", 0), ("boss", 1000)]
        self._write_passwd()
        (self.root / "proc").unlink()
        self._proc()
        program = self.root / "bin/systemctl"
        tree = Path(__file__).parent / "systemctl.py"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {tree} {self.root} "$@"\n')
        program.chmod(0o755)
        base.env["PATH"] = f"{self.root}/bin:{base.env['PATH']}"
        base.env["PYTHONPATH"] = str(Path(__file__).parent.parent.parent)
        self.policy(POLICY)
        self._group(self.root / "sys/fs/cgroup/user.slice", populated=True)

    def _proc(self) -> None:
        """A /proc that has what is asked for: the machine's memory, a boot id, ourselves."""
        proc = self.root / "proc"
        (proc / "sys/kernel/random").mkdir(parents=True)
        self.write("proc/sys/kernel/random/boot_id", "6f1e0b6c-3a54-4b52-9f4e-2d1c6a7b8c90\n")
        self.write("proc/meminfo", f"MemTotal:       {MEMORY_KIB} kB\n")
        self.write("proc/stat", "btime 1795400000\n")
        # of which a third is 4000
        self.write("proc/sys/kernel/pid_max", "4194304\n")
        self.write("proc/sys/kernel/threads-max", "12122\n")

    def write(self, path: str, text: str) -> Path:
        """Write a file of the host."""
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        return place

    def policy(self, text: str) -> None:
        """Write the policy."""
        self.base.policy(text)

    def members(self, group: str, *logins: str) -> None:
        """Write the members of a group."""
        self.write(f"etc/ds01/groups/{group}.members", "\n".join(logins) + "\n")

    def user(self, login: str, uid: int) -> None:
        """Give the host an account."""
        self._people.append((login, uid))
        self._write_passwd()

    def remove_user(self, login: str) -> None:
        """Take an account away."""
        self._people = [one for one in self._people if one[0] != login]
        self._write_passwd()

    def _write_passwd(self) -> None:
        lines = [f"{login}:x:{uid}:{uid}::/home/{uid}:/bin/sh" for login, uid in self._people]
        self.write("etc/passwd", "\n".join(lines) + "\n")

    # --- slices ---

    def start(self, unit: str, *, populated: bool = True, in_use: int = 1 << 30) -> Path:
        """Have a slice come to life: systemd reads its drop-ins, the kernel has a group."""
        group = cgroup(self.root, unit)
        above = self.root / "sys/fs/cgroup"
        for level in group.relative_to(above).parts:
            above /= level
            if not above.exists():
                above.mkdir()
                self._group(above, populated=populated)
        self._group(group, populated=populated, in_use=in_use)
        systemd = Systemd(self.root)
        systemd.load(unit)
        systemd.save()
        return group

    def stop(self, unit: str) -> None:
        """Have a slice end: its group is gone, systemd forgets it."""
        group = cgroup(self.root, unit)
        for path in group.iterdir():
            path.unlink()
        group.rmdir()
        systemd = Systemd(self.root)
        systemd.memory["units"].pop(unit, None)
        systemd.save()

    def _group(self, group: Path, *, populated: bool = False, in_use: int = 1 << 30) -> None:
        files = {
            "cgroup.events": f"populated {int(populated)}\nfrozen 0\n",
            "cpu.max": "max 100000\n", "cpu.weight": "100\n", "memory.max": "max\n",
            "memory.high": "max\n", "memory.swap.max": "max\n", "pids.max": "max\n", "io.max": "",
            "io.weight": "default 100\n", "cpuset.cpus": "\n", "cpuset.cpus.effective": f"{CPUS}\n",
            "memory.current": f"{in_use + (1 << 20)}\n",
            "memory.stat": f"anon {in_use}\ninactive_file 1048576\nactive_file 0\n",
            "memory.events": "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\n",
            "memory.swap.current": "0\n", "pids.current": "12\n", "pids.events": "max 0\n",
            "cpu.stat": "usage_usec 1000000\nnr_throttled 0\nthrottled_usec 0\n",
            "cpu.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
            "memory.pressure": "some avg10=12.50 avg60=0.00 avg300=0.00 total=0\n",
            "io.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
        }  # fmt: skip
        for name, text in files.items():
            (group / name).write_text(text)

    def set_in_use(self, unit: str, size: int) -> None:
        """Have the work in a slice use so much memory."""
        group = cgroup(self.root, unit)
        (group / "memory.current").write_text(f"{size + (1 << 20)}\n")
        (group / "memory.stat").write_text(f"anon {size}\ninactive_file 1048576\nactive_file 0\n")

    def grow_at_show(self, unit: str, size: int) -> None:
        """Have the work in a slice use so much from the next question to systemd on."""
        self.tell_systemctl(grow=[unit, size])

    def kernel(self, unit: str, name: str) -> str:
        """Read a file of a slice's group."""
        return (cgroup(self.root, unit) / name).read_text().strip()

    def write_kernel(self, unit: str, name: str, text: str) -> None:
        """Write to the kernel behind everybody's back."""
        (cgroup(self.root, unit) / name).write_text(text)

    def drop_in(self, unit: str) -> str | None:
        """Read our drop-in of a slice."""
        path = self.root / f"etc/systemd/system/{unit}.d/{DROP_IN}"
        return path.read_text() if path.exists() else None

    def set_property(self, unit: str, *assignments: str) -> None:
        """Do what an admin does by hand, until the next boot."""
        systemd = Systemd(self.root)
        systemd.set(unit, list(assignments))
        systemd.save()

    def reload(self) -> None:
        """Reload systemd, as somebody else may."""
        systemd = Systemd(self.root)
        for unit in list(systemd.memory["units"]):
            systemd.load(unit)
        systemd.save()

    def tell_systemctl(self, **what: Any) -> None:
        """Have systemctl fail, or kill us, at a call; or the kernel be deaf to a file."""
        systemd = Systemd(self.root)
        systemd.memory |= what
        systemd.save()

    @property
    def calls(self) -> list[list[str]]:
        """Every call of systemctl so far."""
        return Systemd(self.root).memory["calls"]

    def runtime(self, unit: str) -> list[str]:
        """Name the files that set-property left in /run."""
        folder = self.root / CONTROL[1] / f"{unit}.d"
        return sorted(path.name for path in folder.glob("*")) if folder.exists() else []

    # --- containers ---

    def engine(self, stub: StubEngine) -> None:
        """Have an engine to ask, which lists what `container` puts there."""
        self.stub = stub
        self.base.env["DOCKER_HOST"] = stub.host
        self._entries: list[dict[str, Any]] = []
        stub.containers()

    def container(
        self, number: int, *, parent: str = "/system.slice", home: str | None = None, **fields: Any
    ) -> Path:
        """Run a container: its group is below parent, and home (a uid's folder) is mounted."""
        pid = 40000 + number
        mounts = [{"Type": "bind", "Source": f"/home/{home}/work", "Destination": "/work"}]
        usual = {"StartedAt": "2026-11-24T10:00:00Z", "Mounts": mounts if home else []}
        one = entry(number, state="running", Pid=pid, **(usual | fields))
        self._entries = [x for x in self._entries if x["Id"] != one["Id"]] + [one]
        self.stub.containers(*self._entries)
        path = f"{parent}/docker-{one['Id']}.scope"
        self.write(f"proc/{pid}/cgroup", f"0::{path}\n")
        group = self.root / "sys/fs/cgroup" / path.lstrip("/")
        if not group.exists():
            group.mkdir(parents=True)
            self._group(group, populated=True)
        return group

    def home(self, name: str, uid: int) -> None:
        """Make a home folder that a user owns."""
        folder = self.root / "home" / name
        (folder / "work").mkdir(parents=True, exist_ok=True)
        os.chown(folder, uid, uid)

    def end(self, number: int) -> None:
        """End a container."""
        self._entries = [x for x in self._entries if x["Id"] != ID(number)]
        self.stub.containers(*self._entries)
        for group in (self.root / "sys/fs/cgroup").rglob(f"docker-{ID(number)}.scope"):
            shutil.rmtree(group)

    # --- running ---

    def run(self, *arguments: object, **options: Any) -> Any:
        """Run ds01ctl."""
        return self.base.run(*arguments, **options)

    def json(self, *arguments: object, status: int = 0) -> dict[str, Any]:
        """Run with --json."""
        return self.base.json(*arguments, status=status)

    def apply(self, *arguments: object, status: int = 0) -> dict[str, Any]:
        """Run `enforce apply --yes`."""
        return self.json("enforce", "apply", "--yes", *arguments, status=status)

    def events(self, kind: str = "") -> list[dict[str, Any]]:
        """Read the events of a kind."""
        return [one for one in self.base.events() if one["event_type"].startswith(kind)]

    def metric(self, series: str) -> float:
        """Read a series of the job's metrics."""
        path = self.root / "var/lib/prometheus/node-exporter/ds01_enforce.prom"
        for line in path.read_text().splitlines():
            name, _, value = line.rpartition(" ")
            if name == series:
                return float(value)
        raise KeyError(series)

    def snapshot_of_files(self) -> dict[str, tuple[str, int]]:
        """Content and time of change of every file that a run may change."""
        found = {}
        for top in ("etc/systemd", "run/systemd", "sys/fs/cgroup"):
            for path in sorted((self.root / top).rglob("*")):
                if path.is_file():
                    found[str(path)] = (path.read_text(), path.stat().st_mtime_ns)
        return found


def done(document: dict[str, Any]) -> list[tuple[str, str]]:
    """The changes that were made: kind and target."""
    return [(a["kind"], a["target"]) for a in document["actions"] if a["outcome"] == "done"]


def dumps(value: object) -> str:
    """For messages."""
    return json.dumps(value, indent=1)
