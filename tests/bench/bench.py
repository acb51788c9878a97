"""`ds01ctl detect unmanaged` against gpustat and nvitop, on one host, in one run."""

from __future__ import annotations

import argparse
import compileall
import json
import os
import platform
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ds01ctl
from tests.bench import carbon, cleanup, cleanup_whole, enforce, images
from tests.bench.measure import Cost, side_by_side
from tests.bench.world import Shape, World

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

BIN = Path(sys.executable).parent
OURS = "ds01ctl detect unmanaged --json"
FIRST = f"{OURS}, nothing recorded yet"
COMMANDS: Mapping[str, Sequence[str]] = {
    OURS: (f"{BIN}/ds01ctl", "detect", "unmanaged", "--json"),
    "gpustat --json": (f"{BIN}/gpustat", "--json"),
    "nvitop -1": (f"{BIN}/nvitop", "-1"),
}
_NVITOP_ROW = re.compile(r"^│ +[\d:]+ +(\d+) +[CGMX]", re.MULTILINE)


def main() -> None:
    """Measure, and print Markdown."""
    shape, rounds, scaling = _arguments()
    # what an installer does for every package, and an editable install does not
    compileall.compile_dir(Path(ds01ctl.__file__).parent, quiet=1)
    print(f"{_machine()}\n")
    with World(shape) as world:
        check_same_pids(world, COMMANDS)
        print(_describe(shape, rounds))
        first = side_by_side({FIRST: COMMANDS[OURS]}, world.env(), rounds)
        record(world)
        print(table({**side_by_side(COMMANDS, world.env(), rounds), **first}))
    if scaling:
        scale(shape, rounds)
    print()
    enforce.bench(rounds, scaling=scaling)
    print()
    carbon.bench(rounds)
    print()
    cleanup.bench(rounds)
    print()
    cleanup_whole.bench(rounds)
    if scaling and shape.containers:
        # minutes to fill an engine
        print()
        images.bench(rounds)


def record(world: World) -> None:
    """Let the timer's command run once, so that what never changes is remembered."""
    argv = [*COMMANDS[OURS], "--record"]
    done = subprocess.run(argv, env=world.env(), check=False, capture_output=True, text=True)
    assert done.returncode == 0, json.loads(done.stdout)["gaps"]


def scale(shape: Shape, rounds: int) -> None:
    """Measure what more host processes, and more containers, cost us."""
    ours = {OURS: COMMANDS[OURS]}
    rows: dict[str, Cost] = {}
    few = min(200, shape.host_processes)
    with World(shape._replace(host_processes=few)) as world:
        check_same_pids(world, ours)
        for count, extra in ((few, 0), (2000, 2000 - few)):
            world.add_host_processes(extra)
            record(world)
            label = f"{count} host processes, {shape.containers} containers"
            rows[label] = side_by_side(ours, world.env(), rounds)[OURS]
        world.add_created_containers(1000 - shape.containers)
        record(world)
        label = "2000 host processes, 1000 containers"
        rows[label] = side_by_side(ours, world.env(), rounds)[OURS]
    print(f"\n{OURS}, as the host grows:\n\n{table(rows)}")


def check_same_pids(world: World, commands: Mapping[str, Sequence[str]]) -> None:
    """See that all tell the same processes before any is timed. Raises AssertionError."""
    for name, argv in commands.items():
        done = subprocess.run(argv, env=world.env(), capture_output=True, text=True)
        assert done.returncode == 0, f"{name}: {done.returncode}: {done.stderr[-2000:]}"
        found = frozenset(pids_in(name, done.stdout))
        missing = world.gpu_pids - found
        # ours also names the first process of a container that uses no GPU
        surplus = found - world.gpu_pids - world.container_pids
        assert not missing, f"{name} does not tell {sorted(missing)}"
        assert not surplus, f"{name} tells {sorted(surplus)}"


def pids_in(name: str, output: str) -> Iterable[int]:
    """Find the pids in what a program printed."""
    if name.startswith("nvitop"):
        return map(int, _NVITOP_ROW.findall(output))
    return _pids_below(json.loads(output))


def _pids_below(value: Any) -> Iterator[int]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "pid" and isinstance(inner, int):
                yield inner
            elif key == "pids":
                yield from inner
            else:
                yield from _pids_below(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _pids_below(inner)


def table(rows: Mapping[str, Cost]) -> str:
    """Lay the medians out as Markdown."""
    head = "| | wall | CPU | peak memory |\n|---|---:|---:|---:|\n"
    return head + "\n".join(
        f"| {name} | {cost.wall_s * 1000:.0f} ms | {cost.cpu_s * 1000:.0f} ms"
        f" | {cost.peak_mib:.0f} MiB |"
        for name, cost in rows.items()
    )


def _describe(shape: Shape, rounds: int) -> str:
    return (
        f"{shape.gpus} GPUs x {shape.processes_per_gpu} processes (half of them in containers), "
        f"{shape.containers} running containers, {shape.host_processes} other host processes; "
        f"medians of {rounds} rounds, in turn:\n"
    )


def _machine() -> str:
    cpuinfo = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*: (.+)$", cpuinfo, re.MULTILINE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    tools = ", ".join(f"{name} {_version(name)}" for name in ("gpustat", "nvitop", "nvidia-ml-py"))
    return (
        f"{model[1] if model else platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GiB, "
        f"Linux {platform.release()}, Python {platform.python_version()}, {tools}."
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        sys.exit(f"{package} is missing: pip install 'ds01ctl[bench]'")


def _arguments() -> tuple[Shape, int, bool]:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--gpus", type=int, default=8)
    parser.add_argument("--per-gpu", type=int, default=8, help="processes on each GPU")
    parser.add_argument("--host-processes", type=int, default=2000, help="without a GPU")
    parser.add_argument("--containers", type=int, default=100, help="0: no Docker engine")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--no-scaling", action="store_true", help="only the comparison")
    given = parser.parse_args()
    shape = Shape(given.gpus, given.per_gpu, given.host_processes, given.containers)
    return shape, given.rounds, not given.no_scaling
