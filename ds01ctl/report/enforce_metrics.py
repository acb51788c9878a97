"""The metrics of `enforce`: what was changed, what drifted, and what limits did to people."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ds01ctl.core.drift import WORDS
from ds01ctl.report.prometheus import Family, Sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ds01ctl.core.enforce_model import Plan
    from ds01ctl.core.homes import Home
    from ds01ctl.core.usage import Count, Usage

_TOTALS = (
    ("throttled_us", "ds01_enforce_throttled_seconds_total", 1e-6,
     "Time for which the work of a user was held back by a CPU quota."),
    ("oom_kills", "ds01_enforce_oom_kills_total", 1,
     "Tasks of a user that the kernel killed at a memory limit."),
    ("forks_refused", "ds01_enforce_forks_refused_total", 1,
     "New tasks that a user was refused at the task limit."),
)  # fmt: skip
_PRESSURE = (
    ("cpu", "cpu_pressure"),
    ("memory", "memory_pressure"),
    ("io", "io_pressure"),
)


def families(
    plan: Plan,
    outcomes: Sequence[bool],
    homes: Sequence[tuple[Home, Usage, Mapping[str, Count]]],
    people: int,
) -> Iterator[Family]:
    """Make the families of one run; outcomes: of each change that was made, whether all is well."""
    skipped = sum(1 for one in plan.changes if one.skip is not None)
    made = {"done": sum(outcomes), "failed": len(outcomes) - sum(outcomes), "skipped": skipped}
    yield Family(
        "ds01_enforce_changes",
        "gauge",
        "Changes of the last run of enforce, by what came of them; skipped: only reported.",
        tuple(Sample({"outcome": name}, value) for name, value in made.items()),
    )
    legs = Counter(one.leg for _, found in plan.drifts for one in found)
    yield Family(
        "ds01_enforce_drifts",
        "gauge",
        "Limits that the last run of enforce found not to be as the policy says, by where.",
        tuple(Sample({"leg": leg}, legs[leg]) for leg in WORDS),
    )
    yield Family(
        "ds01_enforce_deferred",
        "gauge",
        "Memory limits that wait until less is in use.",
        (Sample({}, len(plan.deferred)),),
    )
    yield Family(
        "ds01_enforce_users", "gauge", "Users to whom limits apply.", (Sample({}, people),)
    )
    for name, metric, factor, text in _TOTALS:
        samples = (
            Sample(_labels(home), counts[name].total * factor)
            for home, _, counts in homes
            if name in counts and not home.is_old
        )
        yield Family(metric, "counter", text, tuple(samples))
    yield Family(
        "ds01_enforce_pressure_ratio",
        "gauge",
        "Share of the last 10 s in which some task of a user waited (PSI).",
        tuple(
            Sample({**_labels(home), "resource": resource}, value / 100)
            for home, usage, _ in homes
            for resource, name in _PRESSURE
            if (value := getattr(usage, name)) is not None and not home.is_old
        ),
    )


def _labels(home: Home) -> dict[str, str]:
    return {"user": home.person.login, "home": home.kind}
