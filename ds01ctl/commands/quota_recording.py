"""Tell what `quota` did and what it saw: events, warnings, memory, history, metrics."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from ds01ctl.commands import (
    enforce_memory,
    enforce_people,
    gathering,
    quota_events,
    quota_folders,
    quota_history,
    quota_looking,
    quota_memory,
    quota_warning,
)
from ds01ctl.commands.own_run import own_run
from ds01ctl.commands.quota_memory import JOB, Undo, gap_of
from ds01ctl.core import quota, storage
from ds01ctl.core.quota_model import Known, Place, same
from ds01ctl.errors import ExitCode
from ds01ctl.state import State, StateError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from ds01ctl.commands.quota_looking import Look, Reading
    from ds01ctl.commands.quota_memory import GraceSet
    from ds01ctl.commands.quota_running import Done
    from ds01ctl.commands.quota_warning import Uses
    from ds01ctl.core.model import Gap
    from ds01ctl.core.plan import Action
    from ds01ctl.core.quota_model import Change
    from ds01ctl.paths import Paths


def intend(
    changes: Iterable[Change],
    paths: Paths,
    at: datetime,
    command: str,
    edits: tuple[tuple[str, str | None, str], ...] = (),
    graces: tuple[GraceSet, ...] = (),
    deadlines: tuple[str, ...] = (),
) -> tuple[Gap, ...]:
    """Note down what is about to be set, and what was there before: a crash must not lose it."""
    made = [one for one in changes if one.skip is None]
    if not made and not edits and not graces and not deadlines:
        return ()
    rows = tuple((one.place, one.name, one.before, one.after) for one in made)
    try:
        with State.open_for_recording(paths) as state, state.transaction():
            memory = quota_memory.recalled(state)
            quota_memory.remember_set(state, known_after(memory.known, made))
            undo = Undo(at, command, rows, edits, graces, deadlines)
            quota_memory.remember_undo(state, undo)
    except StateError as error:
        return (gap_of(error),)
    return ()


def known_after(known: Mapping[Place, Known], made: Iterable[Change]) -> dict[Place, Known]:
    """Add what is set now to what is known as ours, with what was there before us."""
    now = dict(known)
    for one in made:
        old = now.pop(one.place, None)
        if one.rule == "put-back" and old is not None and same(old.set, one.after):
            now[one.place] = old
        if one.rule != "set":
            # what an admin had is his own: the next run must not take it back
            continue
        before = old.before if old is not None and same(old.set, one.before) else one.before
        if not same(one.after, before):
            now[one.place] = Known(one.after, before)
    return now


def disown(done: Iterable[Done], memory: quota_memory.Memory, paths: Paths) -> tuple[Gap, ...]:
    """Know of limits that could not be set what was known before them; memory: as it was read."""
    failed = {one.change.place for one in done if one.error}
    if not failed:
        return ()
    try:
        with State.open_for_recording(paths) as state, state.transaction():
            known = dict(quota_memory.recalled(state).known)
            for place in failed:
                known.pop(place, None)
            known |= {place: memory.known[place] for place in failed & memory.known.keys()}
            quota_memory.remember_set(state, known)
    except StateError as error:
        return (gap_of(error),)
    return ()


def unintend(memory: quota_memory.Memory, paths: Paths) -> None:
    """Forget what was noted down of a run that then changed nothing, where that can be done."""
    if memory.gaps:
        return
    with suppress(StateError), State.open_for_recording(paths) as state, state.transaction():
        quota_memory.remember_set(state, memory.known)
        state.drop_newest_undo()


def forget_newest(
    paths: Paths, undone: Iterable[Change], *, is_whole: bool = True
) -> tuple[Gap, ...]:
    """Drop the newest run from what can be undone; what is as before us is not ours any more.

    is_whole: False where something of it is still to be put back, and the run stays.
    """
    try:
        with State.open_for_recording(paths) as state, state.transaction():
            memory = quota_memory.recalled(state)
            known = dict(memory.known)
            for one in undone:
                old = known.pop(one.place, None)
                if old is not None and not same(old.before, one.after):
                    known[one.place] = Known(one.after, old.before)
            quota_memory.remember_set(state, known)
            if is_whole:
                state.drop_newest_undo()
    except StateError as error:
        return (gap_of(error),)
    return ()


class Ran(NamedTuple):
    """What a run did."""

    done: Sequence[Done]
    graces: Sequence[Action]
    began: float
    """As time.monotonic() has it."""
    config: Path | None = None


def record(
    look: Look, ran: Ran, paths: Paths
) -> tuple[tuple[Gap, ...], tuple[dict[str, Any], ...]]:
    """Write everything that a run leaves; give what could not be written, and who was warned."""
    seen = look.reading
    # first of all: what comes next takes long, and may be killed in it
    gaps = _append_changes(ran, seen, paths)
    gaps = (*gaps, *disown(ran.done, seen.memory, paths))
    uses = quota_warning.uses_of(seen, paths, ran.config)
    warned, forgetful = quota_warning.warn(uses, seen, paths)
    events = [one.event() for one in warned if one.is_news]
    gaps = (*gaps, *forgetful, *quota_events.append(events, seen, paths))
    last_success = None
    try:
        with State.open_for_recording(paths) as state:
            _remember(state, look, ran, gaps)
            last_success = state.last_success(JOB)
    except StateError as error:
        gaps = (*gaps, gap_of(error))
    gaps = (*gaps, *_write_metrics(look, ran, uses, paths, last_success))
    return gaps, tuple(one.row() for one in warned if one.is_news or one.outcome == "warned")


def _append_changes(ran: Ran, seen: Reading, paths: Paths) -> tuple[Gap, ...]:
    graces = (one for one in ran.graces if one.outcome != "skipped")
    events = [*map(quota_events.of_limit, ran.done), *map(quota_events.of_grace, graces)]
    return quota_events.append(events, seen, paths)


def tell(
    seen: Reading,
    done: Iterable[Done],
    paths: Paths,
    command: str,
    graces: Iterable[Action] = (),
    user: str | None = None,
) -> tuple[Gap, ...]:
    """Write the audit events of a command on one thing; a gap of what could not be written.

    user: whose graces they are.
    """
    done = tuple(done)
    events = [quota_events.of_limit(one, command) for one in done]
    events += [quota_events.of_grace(one, command, user) for one in graces]
    gaps = disown(done, seen.memory, paths)
    return (*gaps, *quota_events.append(events, seen, paths))


# --- memory -----------------------------------------------------------------------------------


def _remember(state: State, look: Look, ran: Ran, gaps: tuple[Gap, ...]) -> None:
    seen = look.reading
    failed = gathering.is_failure((*seen.gaps, *gaps)) or any(one.error for one in ran.done)
    failed = failed or any(one.outcome == "failed" for one in ran.graces)
    now = gathering.utcnow()
    mounts = quota_looking.mounts_of(seen.file_systems)
    with state.transaction():
        quota_folders.remember(state, mounts, storage.folders_of(seen.policy))
        quota_history.note(state, seen)
        members = enforce_people.members_now(seen.users, seen.policy)
        enforce_memory.remember_admins(state, members, now)
        if not failed:
            state.note_success(JOB, now)
        state.note_run(JOB, own_run(ran.began, ExitCode.PARTIAL if failed else ExitCode.OK))


def _write_metrics(
    look: Look, ran: Ran, uses: Uses, paths: Paths, last_success: object
) -> tuple[Gap, ...]:
    from ds01ctl.report import prometheus, quota_metrics

    seen = look.reading
    names: dict[Place, str] = {}
    for place in quota.records_of(seen.file_systems):
        if name := seen.name_of(place):
            names[place] = name
    families = (
        *quota_metrics.families(
            seen.file_systems, names, look.plan, [one.error is None for one in ran.done]
        ),
        *quota_metrics.held_families(uses.held),
        *prometheus.job_metrics(
            JOB,
            gathering.utcnow(),
            time.monotonic() - ran.began,
            last_success,  # type: ignore[arg-type]  # a time or None
        ),
    )
    folder = paths.under(str(seen.policy.value("metrics.textfile_dir")))
    return prometheus.write(folder / "ds01_quota.prom", families)
