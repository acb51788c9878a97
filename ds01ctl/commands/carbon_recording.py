"""Write down what a run of `carbon sample` found: the store first, then what is made from it.

A run that is killed, or a disk that is full, leaves the last readings as they were: the next run
counts from them, and nothing is lost. The ``.prom`` file is made from what is in the store for
good, so that no counter in it can ever go back.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ds01ctl.commands import carbon_budgets, carbon_hours, carbon_memory, gathering
from ds01ctl.commands.carbon_memory import JOB
from ds01ctl.commands.own_run import own_run
from ds01ctl.core.carbon_series import month_in, recovered
from ds01ctl.core.energy_booking import added, merged
from ds01ctl.core.model import Gap
from ds01ctl.core.record import NamedTuple
from ds01ctl.errors import Ds01Error, ExitCode

if TYPE_CHECKING:
    from pathlib import Path

    from ds01ctl.commands.carbon_budgets import Crossing, Spent
    from ds01ctl.commands.carbon_sampling import Sampled
    from ds01ctl.core.energy_books import Totals
    from ds01ctl.core.plan import Finding
    from ds01ctl.paths import Paths
    from ds01ctl.report.events import Event
    from ds01ctl.state import State

FILE = "ds01_carbon.prom"
_FEW = 3


class Recorded(NamedTuple):
    """What came of it."""

    metrics: str
    """The file."""
    raised: tuple[str, ...]
    """Series that go on from the file, as the store knew less."""
    findings: tuple[Finding, ...]
    gaps: tuple[Gap, ...]


class _Known(NamedTuple):
    """What is in the store when the transaction is over."""

    totals: Totals
    raised: tuple[str, ...]
    gaps: tuple[Gap, ...]
    spent: tuple[Spent, ...]
    crossed: tuple[Crossing, ...]


def record(state: State, found: Sampled, paths: Paths, began: float) -> Recorded:
    """Remember a run, tell what is new, and write the metrics. Raises StateError."""
    path = metrics_path(found, paths)
    shown = _last_file(path, found)
    known = _remember(state, found, shown, began)
    gaps = (*known.gaps, *_tell(known, found, paths))
    gaps = (*gaps, *_write_metrics(state, found, path, known, began))
    return Recorded(str(path), known.raised, carbon_budgets.findings(known.spent, found.now), gaps)


def metrics_path(found: Sampled, paths: Paths) -> Path:
    """Name the file of our metrics."""
    return paths.under(str(found.reading.loaded.policy.value("metrics.textfile_dir"))) / FILE


class _Shown(NamedTuple):
    text: str
    gaps: tuple[Gap, ...] = ()


def _last_file(path: Path, found: Sampled) -> _Shown:
    """Read what Prometheus saw last. Raises Ds01Error where nothing else knows the totals."""
    try:
        return _Shown(path.read_text(encoding="utf-8", errors="replace"))
    except (FileNotFoundError, NotADirectoryError):
        return _Shown("")
    except OSError as error:
        what = f"{path}: {error.strerror or error}"
        if found.kept.is_new:
            # without a store, it alone says where the counters were
            hint = "make it readable, or remove it to begin at 0"
            raise Ds01Error(f"{what}: the totals until now are not known", hint) from None
        return _Shown("", (Gap("metrics", "failed", what),))


def _remember(state: State, found: Sampled, shown: _Shown, began: float) -> _Known:
    booking, accounted = found.booking, found.accounted
    policy = found.reading.loaded.policy
    with state.transaction():
        old = state.energy_totals()
        new = added(old, booking.totals)
        more = recovered(shown.text, merged(old, new))
        state.put_energy_totals(merged(new, more.totals))
        carbon_hours.put_factors(state, found)
        state.add_energy_hours(booking.hours)
        state.add_energy_gpu_hours(booking.gpu_hours)
        state.add_carbon_months(booking.months)
        raised = more.raised
        if raised or found.kept.is_new:
            raised = (*raised, *carbon_budgets.recover(state, month_in(shown.text)))
        gaps = (*shown.gaps, *_gaps(raised, more.problems, found))
        carbon_memory.remember(state, accounted, found.reading, found.kept)
        spent = carbon_budgets.spent(state, policy, found.now)
        crossed = carbon_budgets.note_crossings(state, spent, found.now)
        carbon_hours.forget(state, found)
        _note(state, (*found.reading.gaps, *gaps), found, began)
    # not what was meant to be written, but what is there
    return _Known(state.energy_totals(), raised, gaps, spent, crossed)


def _gaps(raised: tuple[str, ...], problems: tuple[str, ...], found: Sampled) -> tuple[Gap, ...]:
    gaps = [Gap("state", "failed", problem) for problem in found.kept.problems]
    if raised:
        what = "is new" if found.kept.is_new else "is older than the metrics"
        told = f"{len(raised)} totals go on from {FILE}: {_some(raised)}"
        lost = "no report has the hours that it lost"
        gaps.append(Gap("state", "failed", f"the store {what}; {told}; {lost}"))
    if problems:
        told = "the store's totals hold"
        gaps.append(Gap("metrics", "failed", f"{FILE}: {_some(problems)}; {told}"))
    return tuple(gaps)


def _some(texts: tuple[str, ...]) -> str:
    more = f" and {len(texts) - _FEW} more" if len(texts) > _FEW else ""
    return "; ".join(texts[:_FEW]) + more


def _note(state: State, gaps: tuple[Gap, ...], found: Sampled, began: float) -> None:
    failed = gathering.is_failure(gaps)
    if any(one.name.startswith("rapl:") and one.uj is not None for one in found.reading.counters):
        state.note_sources(["rapl"], found.now)
    if not failed:
        state.note_success(JOB, found.now)
    state.note_run(JOB, own_run(began, ExitCode.PARTIAL if failed else ExitCode.OK))


# --- telling ------------------------------------------------------------------------------------


def _tell(known: _Known, found: Sampled, paths: Paths) -> tuple[Gap, ...]:
    events = [carbon_budgets.event(one) for one in known.crossed]
    if known.raised:
        events.append(_of_recovery(known.raised))
    return (
        append(events, str(found.reading.loaded.policy.value("events.path")), paths)
        if events
        else ()
    )


def append(events: list[Event], log: str, paths: Paths) -> tuple[Gap, ...]:
    """Write events to the log and the journal; a gap for each that did not take them."""
    from ds01ctl.report import events as sink

    return sink.append(events, paths.under(log), paths.journal_socket, gathering.utcnow())


def _of_recovery(raised: tuple[str, ...]) -> Event:
    from ds01ctl.report.events import Event

    message = f"the store knew less than {FILE}: {len(raised)} totals go on from the file"
    details = {"series": list(raised[:20]), "count": len(raised)}
    return Event("carbon.recovered", None, "ds01ctl carbon", details, message, 4)


def _write_metrics(
    state: State, found: Sampled, path: Path, known: _Known, began: float
) -> tuple[Gap, ...]:
    from ds01ctl.report import carbon_metrics, prometheus

    policy, factors = found.reading.loaded.policy, found.factors
    budgets = [(one, one.budget_g) for one in known.spent if one.budget_g is not None]
    now = carbon_metrics.Now(
        factors.intensity,
        factors.pue,
        {one.name: one.ug for one in known.spent if not one.is_group},
        {one.name: grams for one, grams in budgets if not one.is_group},
        {one.name: (one.ug, grams) for one, grams in budgets if one.is_group},
    )
    families = (
        *carbon_metrics.families(known.totals, now, kwh=bool(policy.value("carbon.kwh_metric"))),
        *prometheus.job_metrics(
            JOB, gathering.utcnow(), time.monotonic() - began, state.last_success(JOB)
        ),
    )
    return prometheus.write(path, families)
