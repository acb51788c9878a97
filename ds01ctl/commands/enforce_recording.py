"""Tell what `enforce` did and what it saw: events, memory, metrics."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.commands import gathering
from ds01ctl.commands.enforce_memory import (
    GONE,
    HELD,
    JOB,
    USAGE,
    gap_of,
    held_row,
    remember_admins,
)
from ds01ctl.commands.enforce_steps import Done
from ds01ctl.commands.own_run import own_run
from ds01ctl.core import usage
from ds01ctl.core.drift import same
from ds01ctl.core.enforce_model import in_words
from ds01ctl.core.properties import BY_NAME, NONE
from ds01ctl.core.scopes import Held
from ds01ctl.errors import ExitCode
from ds01ctl.state import State, StateError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from ds01ctl.commands.enforcing import Look
    from ds01ctl.core.enforce_model import Change
    from ds01ctl.core.homes import Home
    from ds01ctl.core.model import Gap
    from ds01ctl.core.usage import Count, Usage
    from ds01ctl.paths import Paths
    from ds01ctl.report.events import Event

SOURCE = "ds01ctl enforce"
_EVIDENCE = {
    "oom_kills": ("resource.oom_kill", "killed for want of memory", 4),
    "forks_refused": ("resource.tasks_limit", "refused for too many tasks", 5),
}


class Seen(NamedTuple):
    """The use of one home, and its counters."""

    home: Home
    usage: Usage
    counts: Mapping[str, Count]


def record(look: Look, done: Sequence[Done], paths: Paths, began: float) -> tuple[Gap, ...]:
    """Write events, memory and metrics; what could not be written comes back as gaps.

    The events first: what a crash in between repeats is better than what it loses.
    """
    seen = _uses(look)
    told = (_changed(one, look) for one in done if one.note is None)
    made = [*told, *_evidence(seen)]
    gaps = _append(made, look, paths)
    last_success = None
    try:
        with State.open_for_recording(paths) as state:
            _remember(state, look, done, seen, began, gaps)
            last_success = state.last_success(JOB)
    except StateError as error:
        gaps = (*gaps, gap_of(error))
    return (*gaps, *_write_metrics(look, done, seen, paths, began, last_success))


def _uses(look: Look) -> list[Seen]:
    """Read the use of every home where somebody works, and compare it with the last look."""
    found = []
    memory = look.memory
    for home in look.world.homes:
        if look.world.seen[home.unit].group is None:
            continue
        now = look.cgroups.usage(home.cgroup, now=False)
        if now is not None:
            before = memory.usage.get(home.unit)
            counts = usage.count(now, before, look.snapshot.boot_id, is_first=memory.is_first)
            found.append(Seen(home, now, counts))
    return found


# --- events -----------------------------------------------------------------------------------


def _changed(done: Done, look: Look) -> Event:
    from ds01ctl.report.events import Event

    change = done.made
    said = ", ".join(in_words(change, look.world.machine.nodes))
    details = {
        "change": change.kind,
        "target": change.target,
        "rule": change.rule,
        "before": dict(change.before),
        "after": dict(change.after),
        "reason": change.reason,
        "outcome": "done" if done.error is None else "failed",
        "error": done.error,
    }
    outcome = "" if done.error is None else f" FAILED: {done.error}"
    message = f"{change.kind} {change.target}: {said or change.reason}{outcome}"
    priority = 5 if done.error is None else 4
    return Event("resource.cgroup_limit", change.user, SOURCE, details, message, priority)


def _evidence(seen: Sequence[Seen]) -> list[Event]:
    from ds01ctl.report.events import Event

    events = []
    for one in seen:
        for name, (kind, words, priority) in _EVIDENCE.items():
            if (count := one.counts.get(name)) and count.delta:
                login, unit = one.home.person.login, one.home.unit
                wanted = one.home.wanted.get("MemoryMax" if name == "oom_kills" else "TasksMax")
                details = {"unit": unit, "count": count.delta, "total": count.total,
                           "limit": wanted.value if wanted else NONE}  # fmt: skip
                what = f"{count.delta} task{'s' if count.delta > 1 else ''} {words}"
                events.append(
                    Event(kind, login, SOURCE, details, f"{unit} ({login}): {what}", priority)
                )
    return events


def _append(events: list[Event], look: Look, paths: Paths) -> tuple[Gap, ...]:
    from ds01ctl.report import events as sink

    log = paths.under(str(look.world.policy.value("events.path")))
    return sink.append(events, log, paths.journal_socket, gathering.utcnow())


# --- memory -----------------------------------------------------------------------------------


def _remember(
    state: State,
    look: Look,
    done: Sequence[Done],
    seen: Sequence[Seen],
    began: float,
    gaps: tuple[Gap, ...],
) -> None:
    from ds01ctl.observe.container_facts import to_json

    past = look.memory
    all_gaps = (*look.gaps, *gaps)
    failed = gathering.is_failure(all_gaps) or any(one.error for one in done)
    silent = look.snapshot.lacks("docker")
    ids = {one.id for one in look.snapshot.containers}
    with state.transaction():
        new = {name: to_json(f) for name, f in look.facts.items() if past.facts.get(name) is not f}
        every = set(look.facts) | ids | (set(past.facts) if silent else set())
        state.remember_containers(new, every)
        held = {name: held_row(one) for name, one in held_now(past.held, done).items()
                if silent or name in ids}  # fmt: skip
        now = gathering.utcnow()
        if not past.gaps:
            # what could not be read is not to be replaced by nothing
            state.replace_inventory(HELD, held)
            state.replace_inventory(USAGE, _usage_rows(look, seen))
            _remember_people(state, look, now)
        if not failed:
            state.note_success(JOB, now)
        state.note_run(JOB, own_run(began, ExitCode.PARTIAL if failed else ExitCode.OK))


def _remember_people(state: State, look: Look, now: datetime) -> None:
    """Note who is an admin, and who is nobody."""
    remember_admins(state, look.admins, now)
    state.replace_inventory(GONE, {str(uid): "null" for uid in look.gone})


def intend(look: Look, changes: Sequence[Change], paths: Paths) -> tuple[Gap, ...]:
    """Note what is about to be written into containers: a crash must not make us forget it."""
    meant = [Done(one, one) for one in changes if one.kind == "write-cgroup" and one.skip is None]
    if not meant or look.memory.gaps:
        return look.memory.gaps if meant else ()
    held = held_now(look.memory.held, meant, is_intent=True)
    try:
        with State.open_for_recording(paths) as state, state.transaction():
            state.replace_inventory(HELD, {name: held_row(one) for name, one in held.items()})
    except StateError as error:
        return (gap_of(error),)
    return ()


def held_now(
    held: Mapping[str, Held], done: Sequence[Done], *, is_intent: bool = False
) -> dict[str, Held]:
    """Add what was written into containers' control groups to what was before.

    Where a write failed, what it meant to write is kept: some of it may have been written.
    """
    now = dict(held)
    for one in done:
        change = one.made
        if change.kind != "write-cgroup" or one.note is not None:
            continue
        name, started = change.container
        old = now.get(name)
        old = old if old and old.started_at == started else Held(started, {}, {})
        # what is not as we left it was changed by somebody: that is what was there before us now
        theirs = {
            prop: value
            for prop, value in change.before.items()
            if prop not in old.values or not same(BY_NAME[prop], value, old.values[prop])
        }
        before = {**old.before, **theirs}
        values = {**old.values, **change.after}
        # what is as it was before us is not held any more, once that is sure
        is_sure = one.error is None and not is_intent
        kept = {prop for prop, value in values.items() if value != before.get(prop) or not is_sure}
        now[name] = Held(
            started,
            {prop: value for prop, value in values.items() if prop in kept},
            {prop: value for prop, value in before.items() if prop in kept},
        )
        if not kept:
            del now[name]
    return now


def _usage_rows(look: Look, seen: Sequence[Seen]) -> dict[str, str]:
    """Keep the totals of slices that are not there now: the next log-in goes on from them."""
    units = {home.unit for home in look.world.homes}
    rows = {unit: dict(row) for unit, row in look.memory.usage.items() if unit in units}
    boot = look.snapshot.boot_id
    rows.update({one.home.unit: usage.remembered(one.usage, one.counts, boot) for one in seen})
    return {unit: json.dumps(row) for unit, row in rows.items()}


# --- metrics ----------------------------------------------------------------------------------


def _write_metrics(
    look: Look,
    done: Sequence[Done],
    seen: Sequence[Seen],
    paths: Paths,
    began: float,
    last_success: object,
) -> tuple[Gap, ...]:
    from ds01ctl.report import enforce_metrics, prometheus

    families = (
        *enforce_metrics.families(
            look.plan,
            [one.error is None for one in done if one.note is None],
            [(one.home, one.usage, one.counts) for one in seen],
            len(look.world.roll.people),
        ),
        *prometheus.job_metrics(
            JOB,
            gathering.utcnow(),
            time.monotonic() - began,
            last_success,  # type: ignore[arg-type]  # a time or None
        ),
    )
    folder = paths.under(str(look.world.policy.value("metrics.textfile_dir")))
    return prometheus.write(folder / "ds01_enforce.prom", families)
