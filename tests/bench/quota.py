"""Quotas of 10,000 users on XFS and ext4, beside quota-tools: `python -m tests.bench.quota`.

All is measured in user-mode Linux, whose system calls are slow: compare its times only with each
other.
"""

from __future__ import annotations

import argparse
import compileall
import os
import shlex
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import ds01ctl
from tests.bench.measure import Cost, median, once

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FIRST_ID = 20_001
KIB = 1024
DISKS = (("XFS", "/home", "/dev/ubda"), ("ext4", "/scratch", "/dev/ubdb"))
PROGRAM = str(Path(sys.executable).with_name("ds01ctl"))
INNER = Path("/run/tmp/inner")
"""Where a measured script leaves how long its work took, without Python's start and imports."""
OURS_READ = "observe.quotas.read, with Python's start"
OURS_SET = "act.quotas.put_limits, with Python's start"
READ = """
import sys, time
from ds01ctl.observe import quotas
from ds01ctl.paths import Paths
began = time.perf_counter()
reading = quotas.read(Paths(), [sys.argv[1]], kinds=["user"])
took = time.perf_counter() - began
assert not reading.gaps and len(reading.file_systems[0].records["user"]) > int(sys.argv[2])
open(sys.argv[3], "w").write(str(took))
"""
SET = """
import sys, time
from ds01ctl.act import quotas
from ds01ctl.core.disk_quota import Limits
mount, source, first, count, kib = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])
limits = Limits(kib * 1024, 2 * kib * 1024)
began = time.perf_counter()
with quotas.held(mount, source) as fs:
    for id_ in range(first, first + count):
        quotas.put_limits(fs, "user", id_, limits, expected=None)
open(sys.argv[6], "w").write(str(time.perf_counter() - began))
"""


POLICY = """\
default_group: student
quota: {{mode: enforce}}
users: {{timeout_s: 60}}
groups:
  student:
    storage: {{{mount}: {mib}M}}
"""


class Disk(NamedTuple):
    """A file system with many users."""

    name: str
    mount: str
    device: str
    users: int


class Row(NamedTuple):
    """A line of the table."""

    what: str
    cost: Cost
    inner_s: float | None
    """The part after Python's start and imports; None: told only of the whole."""


def main() -> None:
    """Boot, measure there, and print Markdown."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.quota", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--timeout", type=float, default=3600, help="seconds; 120 suffice if idle")
    given = parser.parse_args()
    if os.environ.get("DS01_UML"):
        bench(given.users, given.rounds)
        return
    from tests.uml import guest

    if reason := guest.missing():
        sys.exit(reason)
    for folder in (Path(ds01ctl.__file__).parent, Path(__file__).parent):
        compileall.compile_dir(folder, quiet=1)
    argv = [sys.executable, "-m", "tests.bench.quota", *sys.argv[1:]]
    with tempfile.TemporaryDirectory(prefix="ds01-b-") as name:
        status, output = guest.run(argv, Path(name), memory_mib=1024, timeout_s=given.timeout)
    print(output)
    if status is None:
        sys.exit(f"it did not end in {given.timeout:g} s: fewer --rounds or --users, or --timeout")
    sys.exit(status)


def bench(users: int, rounds: int) -> None:
    """Measure both file systems, in the guest."""
    print(f"{users} users, user quotas; user-mode Linux; medians of {rounds} rounds\n")
    starts = {"start alone": (sys.executable, "-c", "pass")}
    print(table("Python", _in_turn([starts] * rounds)), flush=True)
    for name, mount, device in DISKS:
        disk = Disk(name, mount, device, users)
        fill(disk)
        print("\n" + table(f"{name}: read", reading(disk, rounds)), flush=True)
        print("\n" + table(f"{name}: set", setting(disk, rounds)), flush=True)


def fill(disk: Disk) -> None:
    """Give every user a file; and limits, as the kernel has no record of who has neither."""
    folder = Path(disk.mount, "bench")
    folder.mkdir()
    _accounts(disk)
    for id_ in range(FIRST_ID, FIRST_ID + disk.users):
        path = folder / str(id_)
        path.write_bytes(bytes(100 if id_ % 10 == 0 else 0))
        os.chown(path, id_, id_)
    once(_ours_set(disk, 999), os.environ)
    os.sync()


def _accounts(disk: Disk) -> None:
    """Give every id a name, and ds01ctl what it needs to begin."""
    ids = range(FIRST_ID, FIRST_ID + disk.users)
    lines = "".join(f"p{id_}:x:{id_}:{id_}::/home/p{id_}:/bin/sh\n" for id_ in ids)
    if not Path("/etc/ds01").exists():
        # the guest sees the machine's files, its store too
        shutil.rmtree("/var/lib/ds01", ignore_errors=True)
        for folder in ("/etc/ds01", "/var/log/ds01", "/var/lib/prometheus/node-exporter"):
            Path(folder).mkdir(parents=True, exist_ok=True)
        for name, more in (("passwd", lines), ("group", "ds01-admin:x:999:\n")):
            with Path("/etc", name).open("a") as file:
                file.write(more)
    Path("/etc/ds01/resource-limits.yaml").write_text(POLICY.format(mount=disk.mount, mib=7))


def reading(disk: Disk, rounds: int) -> list[Row]:
    """Measure what reads every user's usage and limits."""
    mount = disk.mount
    commands: Mapping[str, Sequence[str]] = {
        OURS_READ: (sys.executable, "-c", READ, mount, str(disk.users), str(INNER)),
        "repquota -v -n -p -O csv": ("repquota", "-v", "-n", "-p", "-O", "csv", mount),
        "xfs_quota report": ("xfs_quota", "-f", "-x", "-c", "report -u -n -N -p", mount),
        "ds01ctl quota report --json": (PROGRAM, "quota", "report", "--json", "--path", mount),
    }
    return _in_turn([commands] * rounds)


def setting(disk: Disk, rounds: int) -> list[Row]:
    """Measure what sets every user's limits; each sets others than there are, but for one."""
    turns: list[Mapping[str, Sequence[str]]] = []
    for turn in range(rounds):
        kib = 1000 + 4 * turn
        turns.append({
            OURS_SET: _ours_set(disk, kib),
            "the same again: nothing to write": _ours_set(disk, kib),
            "setquota -b": _batch(disk, 5000 + 4 * turn),
            "ds01ctl quota apply --yes, all changed": _applied(disk, 8 + turn),
            "ds01ctl quota apply --yes, nothing to do": _applied(disk, 8 + turn),
        })  # fmt: skip
    return _in_turn(turns)


def _in_turn(turns: Sequence[Mapping[str, Sequence[str]]]) -> list[Row]:
    """Run all of a turn, then all of the next: what else the machine does hits all alike."""
    costs: dict[str, list[Cost]] = {name: [] for name in turns[0]}
    inner: dict[str, list[float]] = {name: [] for name in turns[0]}
    for turn in turns:
        for name, argv in turn.items():
            INNER.unlink(missing_ok=True)
            costs[name].append(once(argv, os.environ))
            if INNER.exists():
                inner[name].append(float(INNER.read_text()))
    return [
        Row(name, median(runs), statistics.median(inner[name]) if inner[name] else None)
        for name, runs in costs.items()
    ]


def _ours_set(disk: Disk, kib: int) -> Sequence[str]:
    numbers = [str(number) for number in (FIRST_ID, disk.users, kib)]
    return sys.executable, "-c", SET, disk.mount, disk.device, *numbers, str(INNER)


def _applied(disk: Disk, mib: int) -> Sequence[str]:
    """Write the policy that gives everybody so much; its command."""
    file = Path(f"/run/tmp/policy-{mib}")
    file.write_text(POLICY.format(mount=disk.mount, mib=mib))
    command = f"cp {file} /etc/ds01/resource-limits.yaml; exec {PROGRAM} quota apply --yes --json"
    return "sh", "-c", command


def _batch(disk: Disk, kib: int) -> Sequence[str]:
    """Write the lines for setquota; its command."""
    file = Path(f"/run/tmp/batch-{kib}")
    ids = range(FIRST_ID, FIRST_ID + disk.users)
    file.write_text("".join(f"{id_} {kib} {2 * kib} 0 0\n" for id_ in ids))
    command = f"exec setquota -u -b {shlex.quote(disk.mount)} < {file}"
    return "sh", "-c", command


def table(title: str, rows: Sequence[Row]) -> str:
    """Lay rows out as Markdown."""
    head = f"| {title} | wall | CPU | without start and imports |\n|---|---:|---:|---:|\n"
    return head + "\n".join(
        f"| {what} | {cost.wall_s:.2f} s | {cost.cpu_s:.2f} s |"
        f" {'' if inner is None else f'{inner:.2f} s'} |"
        for what, cost, inner in rows
    )


if __name__ == "__main__":
    main()
