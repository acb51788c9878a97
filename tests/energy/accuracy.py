"""How near `account` comes to the truth: `python -m tests.energy.accuracy [SEEDS [HOURS]]`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.core.energy_interval import account
from ds01ctl.core.energy_model import SplitPolicy
from tests.energy import trace as tr
from tests.energy.simulator import Faults, Simulator
from tests.energy.truth import of_user, true_joules

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ds01ctl.core.energy_model import Counter, IdlePolicy, Interval, Work

HOURS = 2
USERS = (3, 5, 12, 30, 80)
ALL = ("cpu", "dram", "gpu")
_IDLE_WATTS = {"cpu": tr.CPU_IDLE_W, "gpu": tr.GPU_IDLE_W}


class Case(NamedTuple):
    """Kinds of GPUs, how idle energy goes, and what is worse than the plain case."""

    gpus: tuple[tr.Kind, ...]
    idle: IdlePolicy = "usage"
    faults: Faults = Faults()


class Errors(NamedTuple):
    """Relative errors of some seeds."""

    node: list[float]
    users: list[float]
    """Of all energy of one user in one seed."""
    gpus: list[float]
    """Of one user's energy of GPUs."""

    def row(self) -> str:
        """Print the worst of the node, and the median, p95 and most of users."""
        parts = [f"{max(self.node):8.1e}"]
        for errors in (self.users, self.gpus):
            found = (quantile(errors, q) for q in (0.5, 0.95, 1.0))
            parts.append(" ".join(f"{100 * one:7.2f}" for one in found))
        return " |".join(parts)


def measure(case: Case, seeds: Iterable[int], hours: float = HOURS) -> Errors:
    """Live through a trace for each seed, and compare what is charged with what is true."""
    errors = Errors([], [], [])
    for seed in seeds:
        gpus = case.gpus * (1 + seed % 2)
        trace = tr.make(seed, USERS[seed % len(USERS)], gpus, hours * 3600.0)
        simulator = Simulator(trace, seed, case.faults)
        intervals, node = _live(simulator, case)
        errors.node.append(node)
        bounds = [intervals[0].from_s, *(one.to_s for one in intervals)]
        true = true_joules(trace, [at - simulator.boot_s for at in bounds], case.idle)
        charged = _charged(intervals)
        errors.users.extend(_relative(charged, true, ALL))
        errors.gpus.extend(_relative(charged, true, ("gpu",)))
    return errors


def quantile(values: Sequence[float], part: float) -> float:
    """Give the value below or at which this part of all lies."""
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]


def _live(simulator: Simulator, case: Case) -> tuple[list[Interval], float]:
    """Give the intervals but the first, and the error of all that was counted."""
    policy = SplitPolicy(case.idle, {} if case.idle == "usage" else _IDLE_WATTS)  # type: ignore[arg-type]
    last: Mapping[str, Counter] = {}
    pending: Mapping[str, Work] = {}
    seen: dict[str, list[float]] = {}
    found = []
    for at_s, counters, work in simulator.readings():
        one = account(last, counters, work, policy, pending, at_s=at_s)
        last, pending = one.last, one.pending
        found.append(one.interval)
        for counter in counters:
            if counter.uj is not None:
                seen.setdefault(counter.name, []).append(counter.at_s - simulator.boot_s)
    counted = sum(delta.uj for one in found for delta in one.deltas) / 1e6
    true = sum(_true(simulator, name, times[0], times[-1]) for name, times in seen.items())
    return found[1:], abs(counted - true) / true


def _true(simulator: Simulator, name: str, start: float, end: float) -> float:
    """Give what one counter's part truly used, between the moments at which it was renewed."""
    trace = simulator.trace
    if name.startswith("gpu:G"):
        gpu = int(name[5:])
        start, end = (simulator.renewed(gpu, at) for at in (start, end))
        return trace.board_joules(gpu, end) - trace.board_joules(gpu, start)
    joules = trace.package_joules if "package" in name else trace.dram_joules
    return joules(end) - joules(start)


def _charged(intervals: Iterable[Interval]) -> dict[tuple[str, str], float]:
    found: dict[tuple[str, str], float] = {}
    for interval in intervals:
        for one in interval.portions:
            key = (one.party, one.component)
            found[key] = found.get(key, 0.0) + one.uj / 1e6
    return found


def _relative(
    charged: Mapping[tuple[str, str], float],
    true: Mapping[tuple[str, str], float],
    components: Sequence[str],
) -> list[float]:
    given = of_user(charged, components)
    return [
        abs(given.get(user, 0.0) - joules) / joules
        for user, joules in of_user(true, components).items()
        if joules > 0
    ]


EXCLUSIVE: tuple[tr.Kind, ...] = ("exclusive",) * 4
SHARED: tuple[tr.Kind, ...] = ("shared",) * 4
MIG: tuple[tr.Kind, ...] = ("mig",) * 4
MIXED: tuple[tr.Kind, ...] = ("exclusive", "exclusive", "shared", "mig")
CASES: Mapping[str, Case] = {
    **{
        f"{name}, idle by {idle}": Case(gpus, idle)
        for name, gpus in (("exclusive", EXCLUSIVE), ("shared", SHARED), ("MIG", MIG))
        for idle in ("usage", "allocation", "unattributed")
    },
    "mixed": Case(MIXED),
    "shared, 3 % of readings fail": Case(SHARED, faults=Faults(unreadable=0.03)),
    "exclusive, all containers outside slices": Case(EXCLUSIVE, faults=Faults(outside=1.0)),
    "shared, the driver's mean is of busy time": Case(SHARED, faults=Faults(is_mean_of_busy=True)),
}


def main() -> None:
    """Print a table."""
    seeds = range(int(sys.argv[1]) if len(sys.argv) > 1 else 50)
    hours = float(sys.argv[2]) if len(sys.argv) > 2 else HOURS
    users = f"{min(USERS)} to {max(USERS)} users"
    print(f"{len(seeds)} seeds of {hours:g} h at 60 s, {users}, 4 or 8 GPUs")
    print(f"{'errors':44} | node max | user %: median, p95, max | GPU part %: the same")
    for name, case in CASES.items():
        print(f"{name:44} |{measure(case, seeds, hours).row()}", flush=True)


if __name__ == "__main__":
    main()
