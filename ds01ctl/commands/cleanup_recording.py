"""Tell what `cleanup apply` did and what it saw: events, metrics, and the end of the run."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.commands import cleanup_events, gathering
from ds01ctl.commands.cleanup_looking import CONTAINER_PARTS
from ds01ctl.commands.cleanup_memory import KEPT, KEPT_ROWS, at_text
from ds01ctl.commands.own_run import own_run
from ds01ctl.commands.quota_memory import gap_of
from ds01ctl.core.cleanup_model import Part
from ds01ctl.core.idle import STOPPED
from ds01ctl.errors import ExitCode
from ds01ctl.state import StateError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from ds01ctl.commands.cleanup_did import Did
    from ds01ctl.commands.cleanup_looking import Look
    from ds01ctl.core.cleanup_model import Trip
    from ds01ctl.core.model import Gap
    from ds01ctl.paths import Paths
    from ds01ctl.report.events import Event
    from ds01ctl.report.prometheus import Family
    from ds01ctl.state import State


class JobParts(NamedTuple):
    """A job, the parts that it is there for, and the file of its metrics."""

    job: str
    parts: frozenset[Part]
    file: str


JOBS = (
    JobParts("cleanup-containers", CONTAINER_PARTS, "ds01_cleanup.prom"),
    JobParts(
        "cleanup-images", frozenset({"images", "cache", "networks"}), "ds01_cleanup_images.prom"
    ),
)


class Ran(NamedTuple):
    """What a run did."""

    dids: list[Did]
    news: tuple[Trip, ...]
    """Breakers that tripped, and had not in the run before."""
    totals: Mapping[str, float]
    began: float
    """As time.monotonic() has it."""


def events_of(seen: Look, ran: Ran) -> list[Event]:
    """Collect the events of a run."""
    mine = seen.settled if seen.has_containers else ()
    settled = [cleanup_events.of_settled(one) for one in (*mine, *seen.leftovers.settled)]
    trips = map(cleanup_events.of_trip, ran.news)
    return [*settled, *cleanup_events.of_dids(ran.dids), *trips]


def record(
    state: State | None, seen: Look, ran: Ran, gaps: tuple[Gap, ...], paths: Paths
) -> tuple[Gap, ...]:
    """Write what a run leaves besides its book; gives what could not be written."""
    more = cleanup_events.append(events_of(seen, ran), seen.policy, paths)
    jobs = [one for one in JOBS if seen.is_whole and one.parts <= seen.wish.parts]
    last: dict[str, datetime | None] = {}
    if state is not None:
        try:
            last = _end(state, seen, ran, (*gaps, *more), [one.job for one in jobs])
        except StateError as error:
            more = (*more, gap_of(error))
    for one in jobs:
        more = (*more, *_write_metrics(one, seen, ran, last.get(one.job), paths))
    return more


def _end(
    state: State, seen: Look, ran: Ran, gaps: tuple[Gap, ...], jobs: list[str]
) -> dict[str, datetime | None]:
    from ds01ctl.observe.container_facts import to_json

    failed = gathering.is_failure(gaps) or any(one.outcome == "failed" for one in ran.dids)
    now = gathering.utcnow()
    known = state.container_facts()
    with state.transaction():
        new = {name: text for name, fact in seen.facts.items()
               if known.get(name) != (text := to_json(fact))}  # fmt: skip
        # only added to: who records the whole host forgets what is gone
        state.remember_containers(new, set(known))
        state.drop_log(at_text(now - KEPT), keep=KEPT_ROWS)
        for job in jobs:
            if not failed:
                state.note_success(job, now)
            state.note_run(job, own_run(ran.began, ExitCode.PARTIAL if failed else ExitCode.OK))
    return {job: state.last_success(job) for job in jobs}


# --- metrics ----------------------------------------------------------------------------------


def _write_metrics(
    job: JobParts, seen: Look, ran: Ran, last: datetime | None, paths: Paths
) -> tuple[Gap, ...]:
    from ds01ctl.report import prometheus

    families = (
        *_families(job, seen, ran),
        *prometheus.job_metrics(job.job, gathering.utcnow(), time.monotonic() - ran.began, last),
    )
    folder = paths.under(str(seen.policy.value("metrics.textfile_dir")))
    return prometheus.write(folder / job.file, families)


def _families(job: JobParts, seen: Look, ran: Ran) -> Iterator[Family]:
    from ds01ctl.report import cleanup_metrics as metrics

    tripped = {one.breaker for one in seen.plan.trips if job.parts & set(one.parts)}
    if job.parts != CONTAINER_PARTS:
        yield from metrics.of_images(ran.totals, tripped)
        return
    verdicts = list(_verdicts(seen))
    now = seen.clock.now
    kept = sum(
        1 for keep in seen.keeps.values()
        if keep.problem or keep.until is None or now < keep.until
    )  # fmt: skip
    yield from metrics.of_containers(ran.totals, metrics.Seen(verdicts, kept, tripped))


def _verdicts(seen: Look) -> Iterator[str]:
    """Say of each container what was concluded."""
    for container in seen.snapshot.containers:
        watch = seen.watches.get(container.id)
        if watch is None:
            continue
        if watch.state == "running":
            yield watch.intervals[-1].verdict if watch.intervals else "baseline"
        elif watch.state in STOPPED:
            yield "stopped"
        else:
            yield "created" if watch.state == "created" else "other"
