"""What `units status --record` remembers, and what it tells of it."""

from __future__ import annotations

import json
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ds01ctl.commands import gathering
from ds01ctl.commands.own_run import own_run
from ds01ctl.core.model import Gap
from ds01ctl.core.timestamp import format_time, parse_time
from ds01ctl.errors import ExitCode
from ds01ctl.lock import job_lock
from ds01ctl.state import State, StateError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ds01ctl.commands.installing import Asked
    from ds01ctl.commands.watching_units import Look
    from ds01ctl.core.plan import Finding
    from ds01ctl.report.events import Event

JOB = "units-check"
SOURCE = "ds01ctl units"
REMINDER = timedelta(hours=23)
"""What goes on is told again after so long: by the daily run, not by one by hand."""
_INVENTORY = "units"
_PRIORITIES = {"critical": 2, "warning": 4, "info": 6}


def look_and_record(asked: Asked) -> Look:
    """Look, remember, and write events and metrics: what the timer runs."""
    from ds01ctl.commands.watching_units import look

    began = time.monotonic()
    with job_lock(asked.paths, JOB):
        seen = look(asked, apart_from=JOB)
        seen = seen._replace(gaps=(*seen.gaps, *_tell_and_remember(seen, began)))
        return seen._replace(gaps=(*seen.gaps, *_write_metrics(seen, began)))


def _tell_and_remember(seen: Look, began: float) -> tuple[Gap, ...]:
    """Write the events first, then what was told: what is told twice is better than never."""
    try:
        with State.open_for_recording(seen.asked.paths) as state:
            told = _told(state)
            events, keep = changes(seen, told)
            gaps = _append(events, seen)
            seen = seen._replace(gaps=(*seen.gaps, *gaps))
            _remember(state, seen, keep if not gaps else told, began)
            return gaps
    except StateError as error:
        return (Gap("state", error.kind, error.message),)


def _told(state: State) -> dict[str, str]:
    """Give when each finding was last told, by its key."""
    return {
        name: row for (kind, name), row in state.known_inventory().items() if kind == _INVENTORY
    }


def changes(seen: Look, told: Mapping[str, str]) -> tuple[list[Event], dict[str, str]]:
    """Make the events of what is new, goes on since a day, or is over; and what was then told.

    What only a gap hides is not over.
    """
    from ds01ctl.report.events import Event

    now = seen.asked.now
    bad = {json.dumps(one.key): one for one in seen.findings if one.severity != "info"}
    due = {name for name in bad if _is_due(told.get(name), now)}
    events = [_event(one) for name, one in bad.items() if name in due]
    keep = {name: format_time(now) if name in due else told[name] for name in bad}
    if seen.is_partial:
        return events, {**told, **keep}
    if told and not bad:
        events.append(Event("health.check", None, SOURCE, {}, "all jobs are well again", 6))
    return events, keep


def _is_due(told: str | None, now: datetime) -> bool:
    try:
        return told is None or abs(now - parse_time(told)) >= REMINDER
    except (ValueError, TypeError):
        return True


def _event(finding: Finding) -> Event:
    from ds01ctl.report.events import Event

    evidence = [text[:300] for text in finding.evidence]
    details: dict[str, Any] = {**finding.subject, "kind": finding.kind, "evidence": evidence}
    details["severity"] = finding.severity
    subject = finding.subject
    about = subject.get("job") or subject.get("unit") or subject.get("path") or "units"
    message = f"{about}: {'; '.join(evidence)}"
    return Event("health.fail", None, SOURCE, details, message, _PRIORITIES[finding.severity])


def _append(made: list[Event], seen: Look) -> tuple[Gap, ...]:
    from ds01ctl.report import events

    paths = seen.asked.paths
    log = paths.under(str(seen.policy.value("events.path")))
    return events.append(made, log, paths.journal_socket, seen.asked.now)


def _remember(state: State, seen: Look, keep: Mapping[str, str], began: float) -> None:
    with state.transaction():
        state.replace_inventory(_INVENTORY, keep)
        if not seen.is_partial:
            state.note_success(JOB, seen.asked.now)
        code = ExitCode.PARTIAL if seen.is_partial else ExitCode.OK
        state.note_run(JOB, own_run(began, code))


def _write_metrics(seen: Look, began: float) -> tuple[Gap, ...]:
    from ds01ctl.report import prometheus

    paths = seen.asked.paths
    last_success = None
    try:
        state = State.open_for_reading(paths)
        if state:
            with state:
                last_success = state.last_success(JOB)
    except StateError:
        # told already
        return ()
    families = (
        *prometheus.unit_metrics(seen.rows),
        *prometheus.job_metrics(JOB, gathering.utcnow(), time.monotonic() - began, last_success),
    )
    folder = paths.under(str(seen.policy.value("metrics.textfile_dir")))
    return prometheus.write(folder / "ds01_units.prom", families)
