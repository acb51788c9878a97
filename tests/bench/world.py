"""The host that is measured: pretended GPUs, real processes, real containers."""

from __future__ import annotations

import os
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.engine import Engine
from tests.nvml.double import GIB, NvmlDouble

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SLEEP = ("sleep", "infinity")


class Shape(NamedTuple):
    """How large a host is."""

    gpus: int
    processes_per_gpu: int
    host_processes: int
    """That have nothing to do with a GPU."""
    containers: int
    """That run."""

    @property
    def gpu_processes(self) -> int:
        return self.gpus * self.processes_per_gpu


class World:
    """A host of a shape; grow it between measurements; leave the `with` block to end it."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self._ends = ExitStack()
        self.folder = Path(self._ends.enter_context(tempfile.TemporaryDirectory(prefix="ds01-b-")))
        self._engine: Engine | None = None
        self.gpu_pids: frozenset[int] = frozenset()
        self.container_pids: frozenset[int] = frozenset()

    def __enter__(self) -> World:
        try:
            self._set_up()
        except BaseException:
            self._ends.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.close()

    def add_host_processes(self, count: int) -> list[int]:
        """Start processes that only sleep; return their pids."""
        started = [subprocess.Popen(SLEEP, stdin=subprocess.DEVNULL) for _ in range(count)]
        for process in started:
            self._ends.callback(_end, process)
        return [process.pid for process in started]

    def add_created_containers(self, count: int) -> None:
        """Create containers without starting them: they cost the engine, not the kernel."""
        for _ in range(count):
            self._containers().run(start=False, command=SLEEP)

    def env(self) -> dict[str, str]:
        """Tell the environment in which the programs are measured."""
        env = os.environ | self._nvml.env()
        del env["FAKE_NVML_LOG"]
        if self._engine:
            env["DOCKER_HOST"] = self._engine.host
        return env | {"DS01_ROOT": str(self._root()), "DS01_CONFIG": str(self._policy())}

    def _set_up(self) -> None:
        first = list(self._run_containers())
        self.container_pids = frozenset(first)
        inside = first[: self.shape.gpu_processes // 2]
        outside = self.add_host_processes(self.shape.gpu_processes - len(inside))
        self.gpu_pids = frozenset(inside + outside)
        self._nvml = self._make_gpus(sorted(self.gpu_pids))
        self.add_host_processes(self.shape.host_processes)

    def _containers(self) -> Engine:
        if self._engine is None:
            self._engine = Engine()
            self._ends.callback(self._engine.stop)
        return self._engine

    def _run_containers(self) -> Iterator[int]:
        for number in range(self.shape.containers):
            yield self._containers().pid(self._containers().run(f"bench-{number}", command=SLEEP))

    def _make_gpus(self, pids: Sequence[int]) -> NvmlDouble:
        nvml = NvmlDouble(self.folder, self.folder / "libraries")
        for index in range(self.shape.gpus):
            nvml.gpu(index, mem_used=self.shape.processes_per_gpu * GIB)
        for number, pid in enumerate(pids):
            nvml.process(number % self.shape.gpus, pid)
        return nvml

    def _root(self) -> Path:
        """Make a root with the host's /proc but a state of our own."""
        root = self.folder / "root"
        for made in ("var/log", "var/lib/prometheus/node-exporter"):
            (root / made).mkdir(parents=True, exist_ok=True)
        for name in ("proc", "sys", "dev", "home"):
            if not (root / name).exists():
                (root / name).symlink_to(f"/{name}")
        return root

    def _policy(self) -> Path:
        policy = self.folder / "resource-limits.yaml"
        policy.write_text("defaults:\n  max_mig_instances: 1\n")
        return policy


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
