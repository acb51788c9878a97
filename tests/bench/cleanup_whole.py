"""`ds01ctl cleanup plan --json` from end to end: `python -m tests.bench.cleanup_whole`.

1,000 containers, 200 of which run, and 5,000 images. Counted are wall time, CPU, and what an
engine is asked.
"""

from __future__ import annotations

import argparse
import compileall
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import ds01ctl
from tests.bench.cleanup_world import CleanupWorld, Size
from tests.bench.measure import Cost, median, once

if TYPE_CHECKING:
    from collections.abc import Callable

SIZE = Size(running=200, stopped=800, images=5000)
CHANGED = 20
MOST_S, MOST_REQUESTS = 2.0, 10
VERSION = (sys.executable, "-m", "ds01ctl", "--version")
_DS01CTL = (*VERSION[:-1], "cleanup")
PLAN = (*_DS01CTL, "plan", "--json")
APPLY = (*_DS01CTL, "apply", "--yes", "--json", "--only", "idle,runtime,stopped,created,gpu-holds")


class Row(NamedTuple):
    """What one kind of run cost, and how often it asked the engine, at most."""

    cost: Cost
    requests: int


def bench(rounds: int, size: Size = SIZE) -> bool:
    """Measure, and print Markdown; tell whether the goals were kept."""
    with tempfile.TemporaryDirectory(prefix="ds01-b-") as folder, CleanupWorld(folder, size) as it:
        _remember(it)
        rows = {"ds01ctl --version, beside them": _measured(it, VERSION, rounds)}
        rows[f"the timer's run, {size.running} sampled"] = _measured(it, APPLY, rounds)
        rows["plan, nothing to remove"] = _measured(it, PLAN, rounds)
        it.forget_uses()
        planned = _planned(it)
        rows[f"plan, {planned} images to remove"] = _measured(it, PLAN, rounds)
        rows[f"plan, and {CHANGED} containers are new"] = _changed(it)
    print(f"`ds01ctl cleanup`, {sum(size[:2])} containers ({size.running} running), {size.images}"
          f" images; medians of {rounds} rounds; goals: <= {MOST_S:g} s, and <= {MOST_REQUESTS}"
          " requests and one for each container that is new:\n")  # fmt: skip
    print("| | wall | CPU | peak memory | requests |\n|---|---:|---:|---:|---:|")
    for name, (cost, requests) in rows.items():
        print(f"| {name} | {cost.wall_s:.2f} s | {cost.cpu_s:.2f} s | {cost.peak_mib:.0f} MiB |"
              f" {requests} |")  # fmt: skip
    *_, changed = rows.values()
    return all(
        row.cost.wall_s <= MOST_S and row.requests <= MOST_REQUESTS + CHANGED * (row is changed)
        for row in rows.values()
    )


def _remember(world: CleanupWorld) -> None:
    """Have two runs of the timer's jobs behind us, so that what never changes is known."""
    for words in ((*_DS01CTL, "apply", "--yes", "--json"), APPLY):
        done = subprocess.run(words, env=world.env(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[:2000] + done.stderr


def _planned(world: CleanupWorld) -> int:
    """See that what is measured does its work; count the images that it would remove."""
    done = subprocess.run(PLAN, env=world.env(), capture_output=True, text=True, check=False)
    document = json.loads(done.stdout)
    assert not document["gaps"], document["gaps"]
    examined = document["data"]["examined"]
    size = world.size
    assert (examined["containers"], examined["sampled"]) == (sum(size[:2]), size.running)
    assert examined["images"] == size.images
    return sum(one["kind"] == "remove-image" for one in document["data"]["changes"])


def _measured(world: CleanupWorld, words: tuple[str, ...], rounds: int) -> Row:
    costs, most = [], 0
    for _ in range(rounds):
        cost, asked = _counted(world, lambda: once(words, world.env()))
        costs.append(cost)
        most = max(most, asked)
    return Row(median(costs), most)


def _changed(world: CleanupWorld) -> Row:
    world.change(CHANGED)
    return Row(*_counted(world, lambda: once(PLAN, world.env())))


def _counted(world: CleanupWorld, run: Callable[[], Cost]) -> tuple[Cost, int]:
    world.engine.asked.clear()
    cost = run()
    return cost, len(world.engine.asked)


def main() -> None:
    """Measure, and fail where a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.cleanup_whole")
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    compileall.compile_dir(Path(ds01ctl.__file__).parent, quiet=1)
    sys.exit(None if bench(given.rounds) else "above the goals")


if __name__ == "__main__":
    main()
