"""What `units status` does: ask systemd, the store and the files, judge, and with --record tell."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ds01ctl.commands import gathering
from ds01ctl.commands.site import CRON_PREFIX, found_files, site_of
from ds01ctl.core import job_findings, job_health
from ds01ctl.core.job_health import Clock, JobRow, Watched
from ds01ctl.core.model import Gap
from ds01ctl.core.placing import state_of
from ds01ctl.core.plan import Result
from ds01ctl.core.policy import Policy, builtin_policy
from ds01ctl.errors import Ds01Error, ExitCode
from ds01ctl.jobs import JOBS, Job
from ds01ctl.observe import journal, systemd
from ds01ctl.state import State, StateError
from ds01ctl.unitfiles import stamp
from ds01ctl.unitfiles.files import UNIT_DIR

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ds01ctl.commands.installing import Asked
    from ds01ctl.core.placing import State as Placed
    from ds01ctl.core.plan import Finding
    from ds01ctl.core.unit_state import Run, UnitState
    from ds01ctl.paths import Paths

NAME = re.compile(r"[A-Za-z0-9:_.\\@-]{1,255}", re.ASCII)
"""What a unit may be called (systemd.unit(5))."""
_OURS = "ds01*"
_EXEC = re.compile(r'^ExecStart="?([^"\s]+)"? ', re.MULTILINE)
_LOOKED_AT = (".service", ".timer")


class Expected(NamedTuple):
    """What the policy wants the host to have."""

    policy: Policy
    jobs: tuple[Job, ...]
    placed: Mapping[str, Placed]
    """What is at each place; empty where that could not be told."""
    wanted: frozenset[str]
    gaps: tuple[Gap, ...]


class Look(NamedTuple):
    """One look at the jobs, judged."""

    asked: Asked
    policy: Policy
    rows: tuple[JobRow, ...]
    findings: tuple[Finding, ...]
    gaps: tuple[Gap, ...]

    @property
    def is_partial(self) -> bool:
        """Tell whether something that was asked for is missing; without systemd all of it is."""
        return gathering.is_failure(self.gaps) or any(gap.source == "systemd" for gap in self.gaps)


def status(asked: Asked, *, record: bool) -> Result:
    """Show every job; record: remember, write events and metrics, as the timer does."""
    if record:
        from ds01ctl.commands import recording_units

        return result_of(recording_units.look_and_record(asked))
    return result_of(look(asked))


def result_of(seen: Look) -> Result:
    """Make the result of a look."""
    return Result(
        "units status",
        seen.asked.host,
        seen.asked.now,
        seen.gaps,
        seen.findings,
        data={"jobs": [_data(row) for row in seen.rows]},
        failed_gaps=seen.is_partial,
    )


def exit_code(result: Result, *, exit_on_findings: bool) -> ExitCode:
    """Give 4 where it is asked for and a job does not do its work."""
    pressing = any(finding.kind in job_findings.PRESSING for finding in result.findings)
    return ExitCode.FINDINGS if exit_on_findings and pressing else ExitCode.OK


def look(asked: Asked, *, apart_from: str = "") -> Look:
    """Look once. Writes nothing. apart_from: the job that looks, whose run is not over yet."""
    expected = expect(asked)
    stamps, file_gaps = unit_files(asked.paths)
    names = _units(expected.jobs, stamps)
    units, gaps = systemd.read(names, asked.paths)
    noted, state_gaps = _noted(asked.paths)
    noted = {job: run for job, run in noted.items() if job != apart_from}
    told = (*expected.gaps, *file_gaps, *gaps, *state_gaps)
    watched = _watched(expected.jobs, units or {}, stamps, asked.paths)
    clock = Clock(asked.now, time.monotonic())
    rows = [_judged(about, units, noted.get(about.name), clock) for about in watched]
    rows, journal_gaps = with_errors(rows)
    findings = (
        *job_findings.of_jobs(rows, {about.unit: about for about in watched}),
        *job_findings.of_files(expected.placed, expected.wanted),
        *job_findings.of_foreign(_foreign(stamps, expected.wanted)),
        *job_findings.of_reloads((units or {}).values()),
    )
    return Look(asked, expected.policy, tuple(rows), findings, (*told, *journal_gaps))


def _judged(
    about: Watched, units: Mapping[str, UnitState] | None, noted: Run | None, clock: Clock
) -> JobRow:
    timer = service = None
    if units is not None:
        timer, service = units[f"{about.unit}.timer"], units[f"{about.unit}.service"]
    row = job_health.judge(about, timer, service, noted, clock)
    since = timer and job_health.late_since(timer, clock)
    if timer is None or not since or about.every_s is not None:
        return row
    # only now, for it costs a program
    calendar = [one.partition("=")[2] for one in timer.schedules if one.startswith("OnCalendar=")]
    count = systemd.firings(calendar, timer.triggered_at or since, clock.now)
    return row._replace(missed_runs=max(count or 1, 1))


def with_errors(rows: Iterable[JobRow]) -> tuple[list[JobRow], tuple[Gap, ...]]:
    """Add the line of the journal that says why, to those that fail."""
    rows = list(rows)
    failing = [row.invocation for row in rows if row.state == "failing" and row.invocation]
    lines, gaps = journal.read(failing)
    told = [
        row._replace(last_error=journal.last_error(lines, row.invocation))
        if row.invocation in failing
        else row
        for row in rows
    ]
    return told, gaps


# --- what is expected ---------------------------------------------------------------------------


def expect(asked: Asked) -> Expected:
    """Read the policy and compare the files; a policy that cannot be used hides no job."""
    try:
        program = asked.program or _installed_program(asked.paths)
        on_host = site_of(asked.paths, asked.config, program)
    except Ds01Error as error:
        gap = Gap("policy", "failed", first_of(error))
        return Expected(builtin_policy(), JOBS, {}, frozenset(), (gap,))
    wanted = on_host.wanted
    try:
        found = found_files(asked.paths, wanted)
    except Ds01Error as error:
        gaps = (*on_host.gaps, Gap("files", "failed", error.message))
        return Expected(on_host.policy, on_host.site.jobs, {}, frozenset(wanted), gaps)
    placed = {
        place: state_of(one, wanted.get(place))
        for place, one in found.items()
        if place in wanted or one.stamp is not None
    }
    return Expected(on_host.policy, on_host.site.jobs, placed, frozenset(wanted), on_host.gaps)


def first_of(error: Ds01Error) -> str:
    """Give the first problem of several, on one line with its heading."""
    return " ".join(line.strip() for line in error.message.splitlines()[:2])


def _installed_program(paths: Paths) -> str | None:
    """Name the program that the installed units run: a look by another one is no difference."""
    for job in JOBS:
        try:
            path = paths.under(f"{UNIT_DIR}/{job.unit}.service")
            found = _EXEC.search(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeError):
            continue
        if found and found[1].startswith("/") and "$" not in found[1]:
            return found[1].replace("%%", "%")
    return None


def unit_files(paths: Paths) -> tuple[dict[str, stamp.State], tuple[Gap, ...]]:
    """List the units with a name of ours, and whose each is; a link is an admin's mask."""
    folder = paths.under(UNIT_DIR)
    found: dict[str, stamp.State] = {}
    try:
        for path in sorted(folder.glob(_OURS)):
            if NAME.fullmatch(path.name) and path.is_file() and not path.is_symlink():
                found[path.name] = stamp.state_of(
                    path.read_bytes().decode("utf-8", errors="surrogateescape")
                )
    except OSError as error:
        kind = "denied" if isinstance(error, PermissionError) else "failed"
        gap = Gap("files", kind, f"{error.filename or folder}: {error.strerror}")  # type: ignore[arg-type]  # of two words
        return found, (gap,)
    return found, ()


def _foreign(stamps: Mapping[str, stamp.State], wanted: Iterable[str]) -> list[str]:
    names = {place.rpartition("/")[2] for place in wanted}
    return [
        f"{UNIT_DIR}/{name}"
        for name, state in stamps.items()
        if state == "foreign"
        and name not in names
        and Path(name).suffix in {*_LOOKED_AT, ".target"}
    ]


def _cron_units(stamps: Mapping[str, stamp.State]) -> list[str]:
    """Name the pairs made from cron lines, without suffix."""
    return [
        name.removesuffix(".timer")
        for name, state in stamps.items()
        if name.startswith(CRON_PREFIX) and name.endswith(".timer") and state != "foreign"
    ]


def _units(jobs: Iterable[Job], stamps: Mapping[str, stamp.State]) -> list[str]:
    stems = [*(job.unit for job in jobs), *_cron_units(stamps)]
    return [f"{stem}{suffix}" for stem in stems for suffix in (".timer", ".service")]


def _watched(
    jobs: Iterable[Job],
    units: Mapping[str, UnitState],
    stamps: Mapping[str, stamp.State],
    paths: Paths,
) -> list[Watched]:
    own = [job_health.watched(job, enabled=is_enabled(f"{job.unit}.timer", paths)) for job in jobs]
    return own + [
        job_health.made_from_cron(
            unit, units[f"{unit}.timer"], enabled=is_enabled(f"{unit}.timer", paths)
        )
        for unit in _cron_units(stamps)
        if f"{unit}.timer" in units
    ]


def is_enabled(name: str, paths: Paths) -> bool | None:
    """Look for the link that starts a unit; systemd's own word is as old as its last reload."""
    try:
        return any((folder / name).is_symlink() for folder in paths.under(UNIT_DIR).glob("*.wants"))
    except OSError:
        return None


def _noted(paths: Paths) -> tuple[Mapping[str, Run], tuple[Gap, ...]]:
    try:
        state = State.open_for_reading(paths)
        if state is None:
            return {}, ()
        with state:
            return state.last_runs(), ()
    except StateError as error:
        return {}, (Gap("state", error.kind, error.message),)


def _data(row: JobRow) -> dict[str, Any]:
    """Give a row as data; names with their units."""
    data = row._asdict()
    del data["invocation"]
    for name in ("duration_s", "cpu_s"):
        if data[name] is not None:
            data[name] = round(data[name], 3)
    return data
