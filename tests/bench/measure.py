"""Measure programs side by side: wall time, CPU time with all children, peak memory."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# A program of its own: on Linux a child's peak memory includes its parent's at the time of the
# fork, and ours, with a Docker client in it, is larger than what is measured.
_WRAPPER = """
import json, os, sys, time
null = os.open(os.devnull, os.O_RDWR)
argv = sys.argv[1:]
began = time.perf_counter()
pid = os.posix_spawnp(argv[0], argv, os.environ, file_actions=[
    (os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, null, 1), (os.POSIX_SPAWN_DUP2, null, 2)])
_, status, used = os.wait4(pid, 0)
wall = time.perf_counter() - began
print(json.dumps([wall, used.ru_utime + used.ru_stime, used.ru_maxrss, status]))
"""


class Cost(NamedTuple):
    """What one run cost."""

    wall_s: float
    cpu_s: float
    peak_mib: float


def once(argv: Sequence[str], env: Mapping[str, str]) -> Cost:
    """Run a program to its end. Raises RuntimeError when it does not end with 0."""
    wrapped = [sys.executable, "-I", "-S", "-c", _WRAPPER, *argv]
    done = subprocess.run(wrapped, env=dict(env), check=True, stdout=subprocess.PIPE)
    wall, cpu, peak_kib, status = json.loads(done.stdout)
    if status:
        raise RuntimeError(f"{' '.join(argv)}: wait status {status}")
    return Cost(wall, cpu, peak_kib / 1024)


def side_by_side(
    commands: Mapping[str, Sequence[str]], env: Mapping[str, str], rounds: int
) -> dict[str, Cost]:
    """Give each program's medians; every round runs all, and each begins with another one."""
    names = list(commands)
    costs: dict[str, list[Cost]] = {name: [] for name in names}
    for name in names:  # once for the caches
        once(commands[name], env)
    for turn in range(rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            costs[name].append(once(commands[name], env))
    return {name: median(runs) for name, runs in costs.items()}


def median(runs: Sequence[Cost]) -> Cost:
    """Take the median of each column for itself."""
    return Cost(*(statistics.median(column) for column in zip(*runs, strict=True)))
