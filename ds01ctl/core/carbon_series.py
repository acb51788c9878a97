"""The counters of `carbon` by name: from totals to series, and from our own file back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.core.energy_books import Totals
from ds01ctl.core.energy_model import COMPONENTS
from ds01ctl.core.prom_recovery import MICRO, Series, gauges, parse, series
from ds01ctl.core.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

ENERGY = "ds01_energy_joules_total"
NODE = "ds01_node_energy_joules_total"
CARBON = "ds01_carbon_grams_total"
SKIPPED = "ds01_carbon_skipped_intervals_total"
MODELLED = "ds01_carbon_modelled_intervals_total"
GPU_KWH = "ds01_gpu_energy_kwh_total"
MONTH = "ds01_carbon_month_grams"
_ENDED, _LASTED = "ds01_job_last_run_timestamp_seconds", "ds01_job_duration_seconds"
_JOB = {"job": "carbon"}
SCOPES = ("operational", "embodied")
BASES = ("measured", "modelled")
SKIPPED_PREFIX = "skipped:"
UJ_PER_WH = 3_600_000_000
_LARGEST = 2**62
"""Above it a sum could leave what SQLite can store; no machine of ours gets there."""
_WORDS: Mapping[str, Collection[str]] = {
    "component": COMPONENTS, "basis": BASES, "scope": SCOPES
}  # fmt: skip
"""What may stand in some labels."""
_LABELS = {
    ENERGY: ("basis", "component", "user"),
    NODE: ("basis", "component"),
    CARBON: ("scope", "user"),
    SKIPPED: ("reason",),
    MODELLED: (),
    GPU_KWH: ("gpu", "user"),
}


class Recovered(NamedTuple):
    """What our last file shows more of than the store knows."""

    totals: Totals
    """Those alone, and series at 0 that the store did not have."""
    raised: tuple[str, ...]
    """Them, in words."""
    problems: tuple[str, ...]
    """Lines that no file of ours has."""


def series_of(totals: Totals) -> Iterator[tuple[Series, int]]:
    """Give each series with its exact value, in millionths of joules, grams and counts."""
    for (party, component, basis), uj in totals.energy.items():
        yield _energy(party, component, basis), uj
    for (component, basis), uj in totals.node.items():
        yield series(NODE, {"component": component, "basis": basis}), uj
    for (party, scope), ug in totals.carbon.items():
        yield series(CARBON, {"user": party, "scope": scope}), ug
    for (party, gpu), uj in totals.gpus.items():
        yield series(GPU_KWH, {"user": party, "gpu": gpu}), uj
    for name, count in totals.counts.items():
        yield _count(name), count * MICRO


def recovered(text: str, totals: Totals) -> Recovered:
    """Compare our last file with the totals, and take the larger of each.

    totals: with what this run adds, so that a store put back does not count the time since twice.
    The file shows whole units: a total that is not less in whole units stays as exact as it is.
    """
    shown, problems = parse(text)
    known = dict(series_of(totals))
    told = list(problems)
    more: dict[Series, int] = {}
    raised = []
    for one, micro in shown.items():
        if one.name not in _LABELS:
            continue
        value, step = _exact(one, micro)
        if problem := _problem(one, value):
            told.append(problem)
        elif value // step > known.get(one, 0) // step:
            more[one] = value
            raised.append(one)
        elif one not in known:
            # it is at 0 still, and goes on to be shown
            more[one] = value
    return Recovered(_totals(more), tuple(map(_words, sorted(raised))), tuple(told))


class Month(NamedTuple):
    """What our last file says of its month."""

    at_s: float
    """When the run began that wrote it, since 1970."""
    ug: Mapping[str, int]
    """Micrograms by party, rounded down to grams."""


def month_in(text: str) -> Month | None:
    """Read the grams of the month from our last file; None: it does not say of which month."""
    (at_s, lasted_s) = (gauges(text, name).get(series(name, _JOB)) for name in (_ENDED, _LASTED))
    if at_s is None or lasted_s is None:
        return None
    grams = gauges(text, MONTH)
    labels = {one: dict(one.labels) for one in grams}
    found = {of["user"]: grams[one] for one, of in labels.items() if set(of) == {"user"}}
    return Month((at_s - lasted_s) / MICRO, found)


def _energy(party: str, component: str, basis: str) -> Series:
    # in order, as series() would put them
    return Series(ENERGY, (("basis", basis), ("component", component), ("user", party)))


def _count(name: str) -> Series:
    if name.startswith(SKIPPED_PREFIX):
        return series(SKIPPED, {"reason": name.removeprefix(SKIPPED_PREFIX)})
    return Series(MODELLED)


def _exact(one: Series, micro: int) -> tuple[int, int]:
    """Give the value as the store has it, and how much of it is one step of the file."""
    if one.name == GPU_KWH:
        # three decimals are shown
        return micro // 1000 * UJ_PER_WH, UJ_PER_WH
    return micro, MICRO


def _problem(one: Series, value: int) -> str | None:
    if tuple([label for label, _ in one.labels]) != _LABELS[one.name]:
        return f"{one.name} has other labels than ours"
    for label, word in one.labels:
        if label in _WORDS and word not in _WORDS[label]:
            return f"{one.name} has {label}={word!a}, which we never write"
    return f"{_words(one)} is too large to be ours" if value > _LARGEST else None


def _words(one: Series) -> str:
    labels = ", ".join(f"{name} {value}" for name, value in one.labels)
    return f"{one.name} ({labels})" if labels else one.name


def _totals(found: Mapping[Series, int]) -> Totals:
    energy, node, gpus, carbon, counts = {}, {}, {}, {}, {}
    for one, value in found.items():
        label = dict(one.labels)
        if one.name == ENERGY:
            energy[label["user"], label["component"], label["basis"]] = value
        elif one.name == NODE:
            node[label["component"], label["basis"]] = value
        elif one.name == CARBON:
            carbon[label["user"], label["scope"]] = value
        elif one.name == GPU_KWH:
            gpus[label["user"], label["gpu"]] = value
        elif one.name == SKIPPED:
            counts[f"{SKIPPED_PREFIX}{label['reason']}"] = value // MICRO
        else:
            counts["modelled"] = value // MICRO
    return Totals(energy, node, gpus, carbon, counts)
