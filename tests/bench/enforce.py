"""`ds01ctl enforce` on a host whose limits are all in place: `python -m tests.bench.enforce`.

The host is the one of the tests: control groups are files, and systemctl is a program of ours.
"""

from __future__ import annotations

import argparse
import compileall
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import ds01ctl
from ds01ctl.core.slice_names import user_slice
from tests.bench.measure import Cost, median, once
from tests.cli.conftest import Host
from tests.enforce.host import EnforceHost, done
from tests.enforce.systemctl import Systemd, cgroup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

PROGRAM = str(Path(sys.executable).parent / "ds01ctl")
APPLY = (PROGRAM, "enforce", "apply", "--yes", "--json")
CHECK = (PROGRAM, "enforce", "check", "--json")
GROUPS = ("student", "researcher", "faculty", "guest")
FEW, MANY = 200, 2000
FIRST_UID = 10_001
OVERRIDE_EVERY = 10
NEVER_OVERRIDDEN = 1
"""The number of a user who gets an override only to be the one that changes."""
POLICY = """\
defaults: {max_cpus: 16, memory: 32g, memory_swap: 32g, pids_limit: 4096}
default_group: student
enforcement: {mode: enforce}
groups:
"""
AGGREGATE = """\
  {name}:
    aggregate:
      cpu_quota: "{cpus}00%"
      cpu_weight: {weight}
      allowed_cpus: 0-{last_cpu}
      memory_high: {high}G
      memory_max: {most}G
      memory_swap_max: 8G
      tasks_max: {tasks}
      io_weight: {weight}
"""
# Audit events tell of every child that a Python program makes; see the table in Python's manual.
SPY = """\
import os, sys
def note(event, arguments):
    if event in {"subprocess.Popen", "os.fork", "os.forkpty"}:
        file = os.open(os.environ["BENCH_CHILDREN"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, f"{event}\\n".encode())
        os.close(file)
sys.addaudithook(note)
"""
ASK = """\
import sys
from ds01ctl.observe import slices
size, units = int(sys.argv[1]), sys.argv[2:]
for at in range(0, len(units), size):
    told, gaps = slices.read(units[at : at + size], {})
    assert not gaps, gaps
"""


class Children(NamedTuple):
    """What a run started."""

    programs: int
    forks: int
    """Of ourselves, for what may hang."""


class Row(NamedTuple):
    """A line of the table."""

    name: str
    cost: Cost
    children: Children


class Person(NamedTuple):
    """A user of the host."""

    login: str
    uid: int
    group: str

    @property
    def units(self) -> tuple[str, str]:
        """Name both homes."""
        return user_slice(self.uid), f"ds01-{self.group}-{self.login}.slice"


class EnforceWorld:
    """A host of so many users, all logged in and with containers, all limits in place."""

    def __init__(self, folder: Path, count: int) -> None:
        self.people = tuple(_person(number) for number in range(count))
        self.host = EnforceHost(Host(folder / "root"))
        self.children_path = folder / "children"
        self._spy = folder / "spy"
        self._spy.mkdir()
        (self._spy / "sitecustomize.py").write_text(SPY)
        self._write_policy()
        self._write_accounts()
        # while nobody is there, only the drop-ins are written: that is quick
        self.run(APPLY)
        self._wake(self.people)
        # what is remembered from run to run
        assert self.run(APPLY)["actions"] == []

    @property
    def units(self) -> list[str]:
        """Name both homes of everybody."""
        return [unit for one in self.people for unit in one.units]

    def run(self, argv: Sequence[str]) -> dict[str, Any]:
        """Run a command to its document. Raises AssertionError when it does not end with 0."""
        ended = subprocess.run(
            argv, env=self.host.base.env, check=False, capture_output=True, text=True
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        document: dict[str, Any] = json.loads(ended.stdout)
        return document

    def measure(
        self, argv: Sequence[str], rounds: int, before: Callable[[int], object] = lambda _: None
    ) -> Cost:
        """Give a command's medians; before: what to do ahead of each round, unmeasured."""
        costs = []
        for turn in range(rounds):
            before(turn)
            costs.append(once(argv, self.host.base.env))
        return median(costs)

    def children(self, argv: Sequence[str]) -> Children:
        """Run a command and count what it starts."""
        self.children_path.write_text("")
        env = self.host.base.env
        path = f"{self._spy}:{env['PYTHONPATH']}"
        spied = env | {"PYTHONPATH": path, "BENCH_CHILDREN": str(self.children_path)}
        subprocess.run(argv, env=spied, check=True, stdout=subprocess.DEVNULL)
        events = self.children_path.read_text().split()
        programs = events.count("subprocess.Popen")
        return Children(programs, len(events) - programs)

    def override(self, extra: str = "") -> None:
        """Write the overrides of every tenth user, and one more."""
        rows = [
            f"{one.login}: {{aggregate: {{memory_max: 120G, tasks_max: 20000}}}}\n"
            for one in self.people[::OVERRIDE_EVERY]
        ]
        self.host.write("etc/ds01/user-overrides.yaml", "".join(rows) + extra)

    def _write_policy(self) -> None:
        groups = (
            AGGREGATE.format(name=name, cpus=4 + n, weight=200 + n, last_cpu=7 + n,
                             high=86 + n, most=96 + n, tasks=12288 + n)
            for n, name in enumerate(GROUPS)
        )  # fmt: skip
        self.host.policy(POLICY + "".join(groups))
        # without it an IO weight has no effect, and that would be told
        self.host.write("sys/block/sda/queue/scheduler", "mq-deadline [bfq] none\n")
        self.override()

    def _write_accounts(self) -> None:
        for group in GROUPS:
            self.host.members(group, *(one.login for one in self.people if one.group == group))
        lines = (f"{one.login}:x:{one.uid}:{one.uid}::/home:/bin/sh\n" for one in self.people)
        self.host.write("etc/passwd", "root:x:0:0::/root:/bin/sh\n" + "".join(lines))

    def _wake(self, people: Sequence[Person]) -> None:
        """Have all slices come to life; all but the first of each kind are copies."""
        for unit in {unit: None for one in people[: len(GROUPS)] for unit in one.units}:
            self.host.start(unit)
        root = self.host.root
        systemd = Systemd(root)
        for one in people[len(GROUPS) :]:
            for unit, model in zip(one.units, people[0].units, strict=True):
                shutil.copytree(cgroup(root, model), cgroup(root, unit))
                systemd.load(unit)
        systemd.save()


def _person(number: int) -> Person:
    return Person(f"person{number}", FIRST_UID + number, GROUPS[number % len(GROUPS)])


def main() -> None:
    """Measure, and print Markdown."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.enforce", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--no-scaling", action="store_true", help=f"only {FEW} users")
    given = parser.parse_args()
    compileall.compile_dir(Path(ds01ctl.__file__).parent, quiet=1)
    bench(given.rounds, scaling=not given.no_scaling)


def bench(rounds: int, *, scaling: bool) -> None:
    """Measure hosts of few and of many users."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="ds01-b-") as name:
        world = EnforceWorld(Path(name), FEW)
        rows += [nothing_to_do(world, rounds), one_changed(world, rounds), checked(world, rounds)]
        asked = asking(world)
    if scaling:
        with tempfile.TemporaryDirectory(prefix="ds01-b-") as name:
            world = EnforceWorld(Path(name), MANY)
            rows += [nothing_to_do(world, rounds), checked(world, rounds)]
    print(
        f"enforce, {len(GROUPS)} groups, 8 properties, every {OVERRIDE_EVERY}th user with"
        " overrides, both slices of every user live, no Docker engine; a fake systemctl, whose"
        " cost is in the rows that start it; nothing to do: no drop-in, no file of systemd or of"
        f" the kernel is written (compared before and after); medians of {rounds} rounds:\n"
    )
    print(table(rows))
    print(f"\n{asked}")


def nothing_to_do(world: EnforceWorld, rounds: int) -> Row:
    """Measure `apply` where all is as it should be, and see that it writes nothing."""
    before = world.host.snapshot_of_files()
    document = world.run(APPLY)
    assert document["actions"] == [], document["actions"]
    examined = document["data"]["examined"]
    count = len(world.people)
    assert (examined["users"], examined["live_slices"]) == (count, 2 * count), examined
    cost = world.measure(APPLY, rounds)
    children = world.children(APPLY)
    assert world.host.snapshot_of_files() == before
    return Row(f"apply, {count} users, nothing to do", cost, children)


def one_changed(world: EnforceWorld, rounds: int) -> Row:
    """Measure `apply` where one user's limit has changed, and see that only theirs are touched."""
    one = world.people[NEVER_OVERRIDDEN]
    size = 100

    def change(_: int = 0) -> None:
        nonlocal size
        size += 1
        world.override(f"{one.login}: {{aggregate: {{memory_max: {size}G}}}}\n")

    change()
    before = world.host.snapshot_of_files()
    made = done(world.run(APPLY))
    _check_only(one, before, world.host.snapshot_of_files())
    assert len(made) == 4, made
    cost = world.measure(APPLY, rounds, change)
    change()
    children = world.children(APPLY)
    world.override()
    world.run(APPLY)
    return Row(f"apply, {len(world.people)} users, one of them changed", cost, children)


def _check_only(one: Person, before: dict[str, Any], after: dict[str, Any]) -> None:
    """See that only files of one user differ. Raises AssertionError."""
    changed = {path for path, state in after.items() if before.get(path) != state}
    changed |= before.keys() - after.keys()
    others = [path for path in changed if not any(f"/{unit}" in path for unit in one.units)]
    assert changed, "nothing was written"
    assert not others, others


def checked(world: EnforceWorld, rounds: int) -> Row:
    """Measure `check`, which asks systemd about every slice."""
    assert world.run(CHECK)["findings"] == []
    cost = world.measure(CHECK, rounds)
    return Row(f"check, {len(world.people)} users", cost, world.children(CHECK))


def asking(world: EnforceWorld) -> str:
    """Ask systemd about all slices at once, and about each user's two for themselves."""
    lines = []
    units = world.units
    for name, size in (("all in one call", len(units)), ("one call a user", 2)):
        argv = (sys.executable, "-c", ASK, str(size), *units)
        calls = len(world.host.calls)
        cost = once(argv, world.host.base.env)
        calls = len(world.host.calls) - calls
        lines.append(f"| {name} | {calls} | {_ms(cost.wall_s)} | {_ms(cost.cpu_s)} |")
    single = world.measure((str(world.host.root / "bin/systemctl"), "show", "--", units[0]), 5)
    return (
        f"systemctl show of the {len(units)} slices, asked with observe/slices.py:\n\n"
        "| | programs started | wall | CPU |\n|---|---:|---:|---:|\n" + "\n".join(lines) + "\n\n"
        f"This systemctl is a fake: {_ms(single.wall_s)} a call, which is Python's start and its"
        " memory read from a file. Only the number of calls carries over to a real one."
    )


def table(rows: Iterable[Row]) -> str:
    """Lay the medians out as Markdown."""
    head = (
        "| | wall | CPU, with children | peak memory | programs started | forks |\n"
        "|---|---:|---:|---:|---:|---:|\n"
    )
    return head + "\n".join(
        f"| {name} | {_ms(cost.wall_s)} | {_ms(cost.cpu_s)} | {cost.peak_mib:.0f} MiB"
        f" | {children.programs} | {children.forks} |"
        for name, cost, children in rows
    )


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


if __name__ == "__main__":
    main()
