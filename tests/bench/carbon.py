"""`ds01ctl carbon sample`: what it costs, and how exact it is beside CodeCarbon and carbontracker.

`python -m tests.bench.carbon`; the two need ``pip install 'ds01ctl[bench]'``, and are left out
where they are missing.
"""

from __future__ import annotations

import argparse
import compileall
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import ds01ctl
from ds01ctl.core.energy_interval import account
from ds01ctl.core.energy_model import Activity, Counter, GpuShare, SplitPolicy, Work
from ds01ctl.observe import energy_cgroups
from tests.bench import carbon_peers
from tests.bench.carbon_world import CONTAINERS, USERS, CarbonWorld
from tests.bench.measure import Cost, median, once

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ds01ctl.core.energy_model import Component

OURS = "ds01ctl carbon sample"
MOST_CPU_MS = 150
MOST_MIB = 40
MOST_CORE_MS = 10


def main() -> None:
    """Measure, and print Markdown."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.carbon", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seeds", type=int, default=20, help="traces for each error")
    given = parser.parse_args()
    compileall.compile_dir(Path(ds01ctl.__file__).parent, quiet=1)
    bench(given.rounds, given.seeds)


def bench(rounds: int, seeds: int = 20) -> None:
    """Measure the core, the program and the others, and print Markdown."""
    print(core_row(rounds * 10))
    print(groups_row(rounds))
    print(f"\n{program_table(rounds)}")
    print(f"\n{carbon_peers.table(range(seeds))}")


# --- the program --------------------------------------------------------------------------------


def program_table(rounds: int) -> str:
    """Measure the whole process on a large host, and what the others need for one measurement."""
    programs = {
        OURS: [f"{Path(sys.executable).parent}/ds01ctl", "carbon", "sample"],
        "python -c pass": [sys.executable, "-c", "pass"],
        "import pynvml": [sys.executable, "-c", "import pynvml"],
        **_programs(),
    }
    with tempfile.TemporaryDirectory(prefix="ds01-b-") as folder, CarbonWorld(folder) as world:
        rows = _in_turn(programs, world, rounds)
    head = (
        "8 GPUs, 4 RAPL zones, 200 containers with a process on a GPU each, 80 users; the others"
        f" look at this machine as it is, and know no users. Medians of {rounds} rounds, in turn;"
        f" goal <= {MOST_CPU_MS} ms of CPU and <= {MOST_MIB} MiB:\n\n"
        "| one run | wall | CPU | least CPU | peak memory |\n|---|---:|---:|---:|---:|\n"
    )
    return head + "\n".join(_row(name, costs) for name, costs in rows.items())


def _in_turn(
    programs: Mapping[str, Sequence[str]], world: CarbonWorld, rounds: int
) -> dict[str, list[Cost]]:
    """Run each in every round, so that a busy machine is as busy for all of them."""
    costs: dict[str, list[Cost]] = {name: [] for name in programs}
    for number in range(rounds + 2):
        world.pass_time()
        for name, argv in programs.items():
            cost = once(argv, world.env() if name == OURS else os.environ)
            # the first has all to find out, the second nothing to compare with
            if number > 1:
                costs[name].append(cost)
    world.check()
    return costs


def _row(name: str, costs: list[Cost]) -> str:
    cost = median(costs)
    least = min(one.cpu_s for one in costs)
    return (
        f"| {name} | {cost.wall_s * 1000:.0f} ms | {cost.cpu_s * 1000:.0f} ms"
        f" | {least * 1000:.0f} ms | {cost.peak_mib:.0f} MiB |"
    )


def _programs() -> dict[str, list[str]]:
    """Tell how to let each of the others measure once, in a process of its own."""
    found = {
        "codecarbon": "CodeCarbon, start() and stop()",
        "carbontracker": "carbontracker, one epoch of 3 s",
    }
    return {
        found[name]: [sys.executable, "-W", "ignore", "-c", _ONCE[name]]
        for name in carbon_peers.installed()
    }


_ONCE = {
    "codecarbon": """
from codecarbon import OfflineEmissionsTracker
tracker = OfflineEmissionsTracker(country_iso_code="DEU", save_to_file=False, log_level="critical")
tracker.start()
tracker.stop()
""",
    "carbontracker": """
import time
from carbontracker.tracker import CarbonTracker
tracker = CarbonTracker(epochs=1, verbose=0, components="cpu", ignore_errors=True)
tracker.epoch_start()
time.sleep(3)
tracker.epoch_end()
tracker.stop()
""",
}


# --- the core -----------------------------------------------------------------------------------


def core_row(rounds: int) -> str:
    """Measure one sample from readings to whose energy it is."""
    costs = core_costs(rounds)
    return (
        "The sampler's core, 4 zones, 8 GPUs with 200 containers' processes, 80 users: "
        f"{statistics.median(costs) * 1000:.1f} ms of CPU in the median of {rounds}, "
        f"{min(costs) * 1000:.1f} ms at least (goal <= {MOST_CORE_MS} ms)."
    )


def groups_row(rounds: int) -> str:
    """Measure the reading of 200 containers' and 80 users' control groups."""
    costs = []
    with tempfile.TemporaryDirectory(prefix="ds01-b-") as folder, CarbonWorld(folder) as world:
        world.pass_time()
        paths = world.world.paths
        for _ in range(rounds):
            began = time.process_time()
            found = energy_cgroups.read(paths, energy_cgroups.find(paths)).by_cgroup
            costs.append(time.process_time() - began)
    assert len(found) > CONTAINERS + USERS
    return (
        f"Control groups, {len(found)} of them: {statistics.median(costs) * 1000:.1f} ms of CPU in"
        f" the median of {rounds}, {min(costs) * 1000:.1f} ms at least."
    )


def core_costs(rounds: int) -> list[float]:
    """Give the CPU seconds of each round."""
    zones: list[tuple[Component, str]] = [("cpu", f"rapl:package-{i}") for i in (0, 1)]
    zones += [("dram", f"rapl:dram-{i}") for i in (0, 1)]
    zones += [("gpu", f"gpu:GPU-{i}") for i in range(8)]
    work = _work()
    last: dict[str, Counter] = {}
    costs = []
    for i in range(rounds + 1):
        now = [Counter(n, c, "b", 60.0 * i, 6 * 10**9 * i + 7) for c, n in zones]
        begun = time.process_time()
        one = account(last, now, work, SplitPolicy("allocation"), {}, at_s=60.0 * i)
        costs.append(time.process_time() - begun)
        last = dict(one.last)
    assert sum(p.uj for p in one.interval.portions) == len(zones) * 6 * 10**9
    return costs[1:]


def _work() -> Work:
    users = [f"user{i:02}" for i in range(80)]
    people = {user: Activity(1000 * i + 7, 10**9 + i) for i, user in enumerate(users)}
    gpus = {
        f"GPU-{g}": tuple(
            GpuShare(users[(g * 25 + i) % 80], 1.5 * i + 0.1, i * 10**9) for i in range(25)
        )
        for g in range(8)
    }
    return Work(60.0, people, Activity(10**7, 10**12), gpus)


if __name__ == "__main__":
    main()
