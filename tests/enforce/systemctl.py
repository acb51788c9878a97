"""A systemctl that remembers, for tests: slices in memory, their drop-ins, a kernel of files.

Run as a program: ``systemctl.py ROOT COMMAND …``. What it knows is in ROOT/systemd.json.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

CONTROL = ("etc/systemd/system.control", "run/systemd/system.control")
DIRECTORIES = (*CONTROL, "etc/systemd/system", "run/systemd/system", "usr/lib/systemd/system")
LISTS = ("IOReadBandwidthMax", "IOWriteBandwidthMax", "IOReadIOPSMax", "IOWriteIOPSMax")
FIELDS = {"IOReadBandwidthMax": "rbps", "IOWriteBandwidthMax": "wbps", "IOReadIOPSMax": "riops",
          "IOWriteIOPSMax": "wiops"}  # fmt: skip
SIZES = {"MemoryHigh": "memory.high", "MemoryMax": "memory.max", "MemorySwapMax": "memory.swap.max"}
PLAIN = ("CPUQuota", "CPUWeight", "AllowedCPUs", "TasksMax", "IOWeight", *SIZES, *LISTS,
         "ManagedOOMSwap", "ManagedOOMMemoryPressure", "ManagedOOMMemoryPressureLimit")  # fmt: skip
POWERS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
NUMBERS = {"/dev/sda": "8:0", "/dev/nvme0n1": "259:0"}


def size(text: str) -> int | None:
    """Read a size; None is no limit."""
    if text in {"", "infinity"}:
        return None
    return int(float(text[:-1]) * POWERS[text[-1]]) if text[-1] in POWERS else int(text)


class Systemd:
    """What systemd has in memory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.file = root / "systemd.json"
        clear = {"calls": [], "units": {}, "fail": 0, "kill": 0, "deaf": []}
        self.memory: dict[str, Any] = (
            json.loads(self.file.read_text()) if self.file.exists() else clear
        )

    def save(self) -> None:
        self.file.write_text(json.dumps(self.memory))

    def drop_ins(self, unit: str) -> list[str]:
        """List a unit's drop-ins in the order in which they are read."""
        parts = unit.removesuffix(".slice").split("-")
        folders = ["-".join(parts[:n]) + "-.slice.d" for n in range(1, len(parts))] + [f"{unit}.d"]
        found: dict[str, tuple[tuple[int, int], str]] = {}
        for particular, folder in enumerate(folders):
            for rank, directory in enumerate(DIRECTORIES):
                place = self.root / directory / folder
                for path in sorted(place.glob("*.conf")) if place.is_dir() else ():
                    key = (particular, -rank)
                    if path.name not in found or key > found[path.name][0]:
                        found[path.name] = key, f"/{directory}/{folder}/{path.name}"
        return [found[name][1] for name in sorted(found)]

    def load(self, unit: str) -> None:
        """Read a unit from its drop-ins, and have the kernel know."""
        values: dict[str, list[str]] = {}
        paths = self.drop_ins(unit)
        for path in paths:
            for line in (self.root / path.lstrip("/")).read_text().splitlines():
                name, equals, value = line.partition("=")
                if equals and name in PLAIN:
                    assign(values, name, value)
        self.memory["units"][unit] = {"values": values, "drop_ins": paths}
        self.realise(unit)

    def set(self, unit: str, assignments: list[str]) -> None:
        """Set properties until the next boot."""
        if unit not in self.memory["units"]:
            self.load(unit)
        one = self.memory["units"][unit]
        for each in assignments:
            name, _, value = each.partition("=")
            assign(one["values"], name, value)
            folder = self.root / CONTROL[1] / f"{unit}.d"
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"50-{name}.conf"
            lines = "\n".join(f"{name}={text}" for text in one["values"].get(name) or [value])
            path.write_text(f"# created via set-property\n[Slice]\n{lines}\n")
            shown = f"/{CONTROL[1]}/{unit}.d/{path.name}"
            if shown not in one["drop_ins"]:
                one["drop_ins"].append(shown)
        self.realise(unit)

    def realise(self, unit: str) -> None:
        """Write the kernel's files of a unit, where its control group is there."""
        group = cgroup(self.root, unit)
        if not group.is_dir():
            return
        values = self.memory["units"][unit]["values"]
        last = {name: (given[-1] if given else "") for name, given in values.items()}
        quota = last.get("CPUQuota", "")
        us = round(float(quota.rstrip("%")) * 1000) if quota else "max"
        files = {"cpu.max": f"{us} 100000", "cpu.weight": last.get("CPUWeight") or "100",
                 "cpuset.cpus": last.get("AllowedCPUs", ""),
            "pids.max": tasks(last.get("TasksMax", "")) or "max",
                 "io.weight": f"default {last.get('IOWeight') or 100}",
                 "io.max": io_max(values)}  # fmt: skip
        for name, file in SIZES.items():
            found = size(last.get(name, ""))
            files[file] = "max" if found is None else str(found // 4096 * 4096)
        for name, text in files.items():
            if name not in self.memory["deaf"]:
                (group / name).write_text(f"{text}\n")

    def show(self, unit: str) -> str:
        """Print what `systemctl show` prints."""
        if unit not in self.memory["units"]:
            self.load(unit)
        one = self.memory["units"][unit]
        last = {name: (given[-1] if given else "") for name, given in one["values"].items()}
        lines = [f"Id={unit}", f"DropInPaths={' '.join(one['drop_ins'])}"]
        stale = one["drop_ins"] != self.drop_ins(unit)
        lines.append(f"NeedDaemonReload={'yes' if stale else 'no'}")
        quota = last.get("CPUQuota", "")
        lines.append(
            "CPUQuotaPerSecUSec="
            + (f"{float(quota.rstrip('%')) / 100:.6f}s" if quota else "infinity")
        )
        for name in SIZES:
            found = size(last.get(name, ""))
            lines.append(f"{name}={'infinity' if found is None else found}")
        lines.append(f"TasksMax={tasks(last.get('TasksMax', '')) or 'infinity'}")
        lines += [f"{name}={last.get(name) or '[not set]'}" for name in ("CPUWeight", "IOWeight")]
        lines.append(f"AllowedCPUs={last.get('AllowedCPUs', '')}")
        lines += [
            f"{name}={value}" for name in LISTS for value in one["values"].get(name, []) if value
        ]
        lines += [
            f"{n}={last.get(n) or 'auto'}" for n in ("ManagedOOMSwap", "ManagedOOMMemoryPressure")
        ]
        limit = last.get("ManagedOOMMemoryPressureLimit", "").rstrip("%") or 0
        lines.append(f"ManagedOOMMemoryPressureLimit={round(float(limit) / 100 * 0xFFFFFFFF)}")
        return "\n".join(lines)


def tasks(text: str) -> str:
    """Read a limit of tasks; a percentage is of all that the kernel can have."""
    return (
        str(int(12122 * float(text[:-1]) / 100))
        if text.endswith("%")
        else text.replace("infinity", "")
    )


def assign(values: dict[str, list[str]], name: str, value: str) -> None:
    """Assign as systemd does: a list grows, and an empty value clears it."""
    if name in LISTS:
        values[name] = [*values.get(name, []), plain(value)] if value else []
    else:
        values[name] = [value]


def plain(rate: str) -> str:
    path, _, number = rate.rpartition(" ")
    powers = {"K": 10**3, "M": 10**6, "G": 10**9}
    return f"{path} {int(number[:-1]) * powers[number[-1]] if number[-1] in powers else number}"


def io_max(values: dict[str, list[str]]) -> str:
    devices: dict[str, dict[str, str]] = {}
    for name, field in FIELDS.items():
        for one in values.get(name, []):
            path, _, rate = one.rpartition(" ")
            devices.setdefault(NUMBERS.get(path, path), {})[field] = rate
    lines = (
        f"{d} " + " ".join(f"{f}={rates.get(f, 'max')}" for f in FIELDS.values())
        for d, rates in sorted(devices.items())
    )
    return "\n".join(lines)


def cgroup(root: Path, unit: str) -> Path:
    """Find the control group of a slice."""
    parts = unit.removesuffix(".slice").split("-")
    levels = ["-".join(parts[: n + 1]) + ".slice" for n in range(len(parts))]
    return root.joinpath("sys/fs/cgroup", *levels)


def main() -> int:
    """Run one command."""
    systemd = Systemd(Path(sys.argv[1]))
    words = [word for word in sys.argv[2:] if word not in {"--no-pager", "--no-ask-password"}]
    systemd.memory["calls"].append(words)
    number = len(systemd.memory["calls"])
    changes = sum(1 for call in systemd.memory["calls"] if call[0] != "show")
    if systemd.memory["fail"] == "show" and words[0] == "show":
        systemd.save()
        print("Failed to get properties: Connection timed out", file=sys.stderr)
        return 1
    if systemd.memory["kill"] and number == systemd.memory["kill"]:
        systemd.save()
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(1)
        return 1
    if words[0] == "show":
        if grow := systemd.memory.pop("grow", None):
            group = cgroup(systemd.root, grow[0])
            (group / "memory.current").write_text(f"{grow[1]}\n")
            (group / "memory.stat").write_text(f"anon {grow[1]}\n")
        units = words[words.index("--") + 1 :]
        print("\n\n".join(systemd.show(unit) for unit in units))
    elif words[0] == "set-property":
        at = words.index("--")
        if systemd.memory["fail"] == changes:
            systemd.save()
            print(
                f"Failed to set unit properties on {words[at + 1]}: told by the test",
                file=sys.stderr,
            )
            return 1
        systemd.set(words[at + 1], words[at + 2 :])
    else:
        print(f"no such command: {words}", file=sys.stderr)
        return 1
    systemd.save()
    return 0


if __name__ == "__main__":
    sys.exit(main())
