"""What a look at the signals of 200 containers costs: `python -m tests.bench.cleanup`.

Each has a control group with processes of its own, so that the kernel answers, and not a file. No
engine is needed: what it would list is written down here.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import statistics
import sys
import time
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.core.model import Container, GpuUse
from ds01ctl.observe import cleanup_signals
from ds01ctl.observe.gpu_activity import GpuActivity
from ds01ctl.paths import Paths

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ds01ctl.core.cleanup_model import Sample

NOW = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)
GOAL_MS = 300
_ROOT = Path("/sys/fs/cgroup")
_PARENT = "ds01-bench"
_CONTROLLERS = ("cpuacct", "blkio", "systemd")
_CLONE_NEWNET = 0x40000000


class Shape(NamedTuple):
    """How large the host is."""

    containers: int
    processes: int
    """In each container."""


class Host:
    """Control groups with sleeping processes; gone at the end of the with."""

    def __init__(self, shape: Shape) -> None:
        self.containers: list[Container] = []
        self._children: list[int] = []
        self._folders: list[Path] = []
        self._shape = shape
        self._libc = ctypes.CDLL(None)

    def __enter__(self) -> Host:
        for number in range(self._shape.containers):
            self._add(f"{number:064x}")
        return self

    def __exit__(self, *_: object) -> None:
        for pid in self._children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        for folder in reversed(self._folders):
            with suppress(OSError):
                folder.rmdir()

    def _add(self, id_: str) -> None:
        folders = list(_folders(id_))
        for folder in folders:
            self._make(folder)
        pids = [self._child(is_first=not n) for n in range(self._shape.processes)]
        for folder in folders:
            for pid in pids:
                (folder / "cgroup.procs").write_text(str(pid))
        name = f"c{id_[-3:]}"
        one = Container(
            "unix:///x", id_, name, "i", "running", NOW, {}, started_at=NOW, pid=pids[0]
        )
        self.containers.append(one)

    def _make(self, folder: Path) -> None:
        for each in (folder.parent, folder):
            if not each.exists():
                each.mkdir()
                self._folders.append(each)

    def _child(self, *, is_first: bool) -> int:
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            if is_first:
                self._libc.unshare(_CLONE_NEWNET)
            os.write(writing, b"x")
            signal.pause()
            os._exit(0)
        self._children.append(pid)
        # until it is in its own network
        os.read(reading, 1)
        os.close(reading)
        os.close(writing)
        return pid


def _folders(id_: str) -> Iterator[Path]:
    """Name the folders of a container's control groups, as Docker does."""
    if (_ROOT / "cgroup.controllers").exists():
        yield _ROOT / _PARENT / f"docker-{id_}.scope"
        return
    for controller in _CONTROLLERS:
        yield _ROOT / controller / _PARENT / id_


def look(host: Host) -> tuple[float, float, dict[str, Sample]]:
    """Sample all of them once; CPU and wall time in seconds."""
    uses = [GpuUse(one.pid or 0, "GPU-0", "C", 1 << 30) for one in host.containers]
    gpu = GpuActivity(by_pid={(use.pid, "GPU-0"): 0.0 for use in uses})
    cpu, wall = time.process_time(), time.perf_counter()
    samples = cleanup_signals.read(
        host.containers, uses, gpu, Paths(), cleanup_signals.read_clock(Paths()),
        jupyter_ports=[8888], deadline_s=1,
    )  # fmt: skip
    return time.process_time() - cpu, time.perf_counter() - wall, samples


def check(samples: dict[str, Sample], containers: int) -> None:
    """Refuse to measure what read nothing. Raises AssertionError."""
    for signal_ in ("gpu", "cpu", "network", "block-io", "sessions"):
        known = [one for one in samples.values() if one.readings[signal_].state == "known"]
        assert len(known) == containers, (signal_, len(known))


def bench(rounds: int, containers: int = 200) -> bool:
    """Measure, and print Markdown; tell whether the goal was kept."""
    print("| sampling | CPU | wall |\n|---|---:|---:|")
    missed = False
    for processes in (1, 5, 20):
        with Host(Shape(containers, processes)) as host:
            costs = [look(host) for _ in range(rounds)]
        check(costs[-1][2], containers)
        cpu, wall = (
            statistics.median(column) * 1e3 for column in list(zip(*costs, strict=True))[:2]
        )
        name = f"{containers} containers, {processes} processes in each"
        print(f"| {name} | {cpu:.0f} ms | {wall:.0f} ms |")
        missed |= processes <= 5 and cpu > GOAL_MS
    return not missed


def main() -> None:
    """Measure, and fail where the goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.cleanup", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--containers", type=int, default=200)
    given = parser.parse_args()
    sys.exit(None if bench(given.rounds, given.containers) else f"above {GOAL_MS} ms")


if __name__ == "__main__":
    main()
