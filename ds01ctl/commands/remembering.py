"""What `detect` remembers between recorded runs, and what it tells of the changes."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from ds01ctl.commands import gathering
from ds01ctl.commands.own_run import own_run
from ds01ctl.core import detect, transitions
from ds01ctl.core.findings import KINDS, blind_kinds
from ds01ctl.core.lost_access import LOST, is_unanswered
from ds01ctl.core.model import Gap
from ds01ctl.core.record import NamedTuple
from ds01ctl.errors import ExitCode
from ds01ctl.lock import job_lock
from ds01ctl.state import State, StateError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ds01ctl.commands.detecting import Look
    from ds01ctl.core.model import Snapshot
    from ds01ctl.core.transitions import Rows, Transition
    from ds01ctl.observe.container_facts import KnownFacts
    from ds01ctl.paths import Paths

JOB = "detect"
FORGOTTEN_AFTER = timedelta(days=7)
"""A source that has been silent for so long was removed, and is missed no more."""
_INVENTORY = "workload"


class Past(NamedTuple):
    """What earlier recorded runs left."""

    facts: Mapping[str, KnownFacts]
    memory: detect.Memory | None
    """None: nothing was ever recorded, or it could not be read."""
    confirmed: frozenset[transitions.Identity]
    rows: Rows
    sources: frozenset[str]
    gaps: tuple[Gap, ...] = ()


NOTHING = Past({}, None, frozenset(), {}, frozenset())


def recall(paths: Paths) -> Past:
    """Read what was remembered, without writing; a store that can't be read is a gap."""
    try:
        state = State.open_for_reading(paths)
        if state is None:
            return NOTHING
        with state:
            return _past(state)
    except StateError as error:
        return NOTHING._replace(gaps=(_gap(error),))


def _gap(error: StateError) -> Gap:
    return Gap(
        "state", error.kind, f"{error.message}; {error.hint}" if error.hint else error.message
    )


def _past(state: State) -> Past:
    """Read what a look needs. Raises StateError also for content that makes no sense."""
    from ds01ctl.observe.container_facts import from_json

    known = state.container_facts().items()
    seen = state.known_findings()
    since = gathering.utcnow() - FORGOTTEN_AFTER
    return Past(
        {name: facts for name, text in known if (facts := from_json(text))},
        seen,
        frozenset(key for key, one in seen.items() if one.confirmed),
        {},
        frozenset(state.seen_sources(since)),
    )


def _rows(state: State) -> Rows:
    """Read the inventory of the last recorded run, which only the next one needs."""
    try:
        return {
            tuple(map(str, json.loads(name))): dict(json.loads(row))
            for (kind, name), row in state.known_inventory().items()
            if kind == _INVENTORY
        }
    except (ValueError, TypeError) as error:
        raise StateError(f"the inventory makes no sense: {error}", "move the file away") from None


def look_and_record(config: Path | None, paths: Paths) -> Look:
    """Look, judge, remember, and write events and metrics: what the timer runs."""
    from ds01ctl.commands.detecting import Look
    from ds01ctl.observe import own_place

    # a root without /proc is found before anything is made in it
    own_place.boot_id(paths)
    with job_lock(paths, JOB):
        began = time.monotonic()
        state, past = _open(paths)
        try:
            gathered = gathering.gather(paths, config, past.facts, past.sources)
            snapshot, policy = gathered.snapshot, gathered.loaded.policy
            verdicts = detect.decide(
                snapshot, policy, snapshot.taken_at, past.memory, recording=True
            )
            gaps = (*snapshot.gaps, *past.gaps)
            look = Look(snapshot, policy, verdicts, gaps)
            gaps = (*gaps, *_tell_and_remember(look, past, state, gathered.facts, paths, began))
            look = look._replace(gaps=gaps)
            return look._replace(gaps=(*gaps, *_write_metrics(look, state, began, paths)))
        finally:
            if state:
                state.close()


def _open(paths: Paths) -> tuple[State | None, Past]:
    state: State | None = None
    try:
        state = State.open_for_recording(paths)
        return state, _past(state)._replace(rows=_rows(state))
    except StateError as error:
        if state:
            state.close()
        return None, NOTHING._replace(gaps=(_gap(error),))


def _tell_and_remember(
    look: Look,
    past: Past,
    state: State | None,
    facts: Mapping[str, KnownFacts],
    paths: Paths,
    began: float,
) -> tuple[Gap, ...]:
    """Write the events first: what a crash in between repeats is better than what it loses."""
    if state is None:
        # without a memory there is no telling what is new: no event
        return ()
    new = transitions.rows(look.verdicts.workloads, look.snapshot)
    changes, keep = transitions.compare(past.rows, new, past.sources, look.snapshot)
    changes += transitions.confirmed(look.verdicts.findings, past.confirmed)
    gaps = _append(changes, look, paths)
    # what the log has is told; the journal alone is not worth telling it twice
    told = all(gap.reason.startswith("journal") for gap in gaps)
    look = look._replace(gaps=(*look.gaps, *gaps))
    try:
        _remember(state, look, keep, facts, past, began, told=told)
    except StateError as error:
        return (*gaps, _gap(error))
    return gaps


def _append(changes: Sequence[Transition], look: Look, paths: Paths) -> tuple[Gap, ...]:
    from ds01ctl.report import events

    log = paths.under(str(look.policy.value("events.path")))
    written = [
        events.Event(
            change.type,
            change.user,
            "ds01ctl detect",
            change.details,
            change.message,
            change.priority,
        )
        for change in changes
    ]
    return events.append(written, log, paths.journal_socket, look.snapshot.taken_at)


def _remember(
    state: State,
    look: Look,
    keep: Rows,
    facts: Mapping[str, KnownFacts],
    past: Past,
    began: float,
    *,
    told: bool,
) -> None:
    """Remember this run in one transaction; changes that could not be told are told next time."""
    from ds01ctl.observe.container_facts import to_json

    now, snapshot = look.snapshot.taken_at, look.snapshot
    findings = look.verdicts.findings
    confirmed = {finding.key for finding in findings if not finding.new} if told else set()
    ids = {container.id for container in snapshot.containers}
    # an engine that did not answer keeps what is known of its containers
    kept = ids if not snapshot.lacks("docker") else ids | set(past.facts)
    with state.transaction():
        # what holds still is the very object that was recalled: no need to write it again
        new = {name: to_json(f) for name, f in facts.items() if past.facts.get(name) is not f}
        state.remember_containers(new, kept)
        state.record_findings(
            (finding.key for finding in findings),
            now,
            confirmed=confirmed,
            forget=lambda key: _may_forget(key, look.snapshot),
        )
        if told:
            rows = {json.dumps(name): json.dumps(row) for name, row in keep.items()}
            state.replace_inventory(_INVENTORY, rows)
        state.note_sources(transitions.answered(snapshot), now)
        failed = gathering.is_failure(look.gaps)
        if not failed:
            state.note_success(JOB, now)
        state.note_run(JOB, own_run(began, ExitCode.PARTIAL if failed else ExitCode.OK))


def _may_forget(key: transitions.Identity, snapshot: Snapshot) -> bool:
    """Forget a finding only where every source that it rests on answered."""
    if key[0] == LOST and is_unanswered(key[3], snapshot):
        return False
    silent = {f"engine:{engine.host}" for engine in snapshot.engines if not engine.answered}
    return not any(snapshot.lacks(name) or name in silent for name in _rests_on(key))


def _rests_on(key: transitions.Identity) -> tuple[str, ...]:
    kind, about = key[0], key[1]
    # one that no engine knows was seen through NVML, and has a runtime in the engine's place
    if kind in {"unmanaged-container", "outside-slice"} and "://" in key[2]:
        return (f"engine:{key[2]}",)
    if about == "container":
        return f"engine:{key[2]}", "nvml", "processes"
    if about == "process":
        return "nvml", "processes"
    return ("nvml", "docker", "users") if kind == "over-gpu-quota" else ("nvml",)


def _write_metrics(look: Look, state: State | None, began: float, paths: Paths) -> tuple[Gap, ...]:
    from ds01ctl.report import prometheus

    snapshot = look.snapshot
    health = [gpu.health for gpu in snapshot.gpus]
    now = gathering.utcnow()
    try:
        last_success = state.last_success(JOB) if state else None
    except StateError as error:
        return (_gap(error),)
    families = (
        *prometheus.detect_metrics(
            look.verdicts.findings,
            health if snapshot.gpus or not snapshot.lacks("nvml") else None,
            look.gaps,
            [kind for kind in KINDS if kind not in blind_kinds(snapshot)],
        ),
        *prometheus.job_metrics(JOB, now, time.monotonic() - began, last_success),
    )
    folder = paths.under(str(look.policy.value("metrics.textfile_dir")))
    return prometheus.write(folder / "ds01_detect.prom", families)
