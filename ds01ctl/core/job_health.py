"""Judge the scheduled jobs: what systemd says, what they noted themselves, what time it is.

Where a run is late is measured on the monotonic clock for polling jobs: neither a step of the time
nor a suspended host makes one overdue.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal, NamedTuple

from ds01ctl.core.run_result import result_in_words, was_killed
from ds01ctl.jobs import span_s

if TYPE_CHECKING:
    from ds01ctl.core.unit_state import Run, UnitState
    from ds01ctl.jobs import Job

State = Literal[
    "ok", "running", "failing", "overdue", "stopped", "disabled", "never-ran", "not-installed",
    "unknown", "with-cron",
]  # fmt: skip
Source = Literal["systemd", "program"]
LATE_PERIODS = 3
"""So many periods without a run make a polling job overdue."""
SLACK_S = 120.0
"""How much later than planned a calendar timer may fire: its accuracy, and a busy host."""
ACCURACY_S = 1.0
CRON_PREFIX = "ds01-cron-"
"""Units made from cron lines."""
FINE = frozenset({0, 4, 5})
"""Exit codes that are no failure: 4 is findings, 5 another instance that runs."""


class Watched(NamedTuple):
    """A job to be watched: one of JOBS, or one made from a cron line."""

    name: str
    unit: str
    """Without the suffix."""
    schedule: str
    every_s: int | None = None
    """None: by the calendar."""
    timeout_s: int = 0
    wanted: bool = True
    """The policy has it on."""
    enabled: bool | None = None
    """Its timer begins with the host; None: could not be seen."""


class Clock(NamedTuple):
    """What time it is."""

    now: datetime
    monotonic_s: float


class JobRow(NamedTuple):
    """All that is known of one job. Unknown is None."""

    job: str
    unit: str
    state: State
    schedule: str
    enabled: bool | None = None
    last_run: datetime | None = None
    result: str | None = None
    exit_code: int | None = None
    duration_s: float | None = None
    cpu_s: float | None = None
    cpu_source: Source | None = None
    memory_bytes: int | None = None
    memory_source: Source | None = None
    next_run: datetime | None = None
    missed_runs: int | None = None
    last_error: str | None = None
    why: str | None = None
    invocation: str | None = None


def watched(job: Job, *, enabled: bool | None) -> Watched:
    """Make the row to watch of a job."""
    return Watched(
        job.name, job.unit, job.schedule, job.every_s, job.timeout_s, job.enabled, enabled
    )


def made_from_cron(unit: str, timer: UnitState, *, enabled: bool | None) -> Watched:
    """Make the row to watch of a timer that is not among the jobs; its schedule is systemd's."""
    told = ", ".join(one.partition("=")[2] for one in timer.schedules)
    return Watched(unit.removeprefix("ds01-"), unit, told, enabled=enabled)


def judge(
    about: Watched,
    timer: UnitState | None,
    service: UnitState | None,
    noted: Run | None,
    clock: Clock,
) -> JobRow:
    """Say how a job is. Without timer and service systemd could not be asked."""
    row = JobRow(about.name, about.unit, "unknown", about.schedule, about.enabled)
    if timer is None or service is None:
        return _by_itself(row, noted)._replace(why="systemd could not be asked")
    about = in_force(about, timer)
    row = row._replace(schedule=about.schedule)
    ran = service.began_at is not None
    row = _by_systemd(row, service, noted) if ran else _by_itself(row, noted)
    row = row._replace(
        # without a monotonic time it is the stamp, which also a timer that never fired has
        last_run=row.last_run or (timer.triggered_at if timer.triggered_s is not None else None),
        next_run=next_run(timer, clock),
        missed_runs=_missed(about, timer, service, clock),
        invocation=service.invocation,
    )
    state, why = _state(about, timer, service, row, clock)
    return row._replace(state=state, why=why)


def in_force(about: Watched, timer: UnitState) -> Watched:
    """Go by the schedule that systemd has, which the policy's is only after the next install."""
    for one in timer.schedules:
        name, _, value = one.partition("=")
        seconds = span_s(value) if name == "OnUnitActiveUSec" else None
        if seconds is not None and seconds != about.every_s:
            return about._replace(every_s=seconds, schedule=value)
        if name == "OnCalendar" and about.every_s is not None:
            return about._replace(every_s=None, schedule=value)
    return about


# --- the last run -------------------------------------------------------------------------------


def _by_systemd(row: JobRow, service: UnitState, noted: Run | None) -> JobRow:
    """Fill in what systemd knows; it forgets the memory of a run that is over (before 256)."""
    row = row._replace(last_run=service.began_at, cpu_s=service.cpu_s)
    row = row._replace(cpu_source=None if service.cpu_s is None else "systemd")
    if not service.is_busy:
        row = row._replace(
            result=result_in_words(service),
            exit_code=None if was_killed(service) else service.exit_status,
            duration_s=_duration(service),
        )
    if service.memory_peak_bytes is not None:
        return row._replace(memory_bytes=service.memory_peak_bytes, memory_source="systemd")
    if noted is None or not _is_of(noted, service):
        return row
    row = row._replace(memory_bytes=noted.peak_rss_bytes, memory_source="program")
    if row.cpu_s is None:
        row = row._replace(cpu_s=noted.cpu_us / 1e6, cpu_source="program")
    return row


def _is_of(noted: Run, service: UnitState) -> bool:
    """Tell whether a job noted the very run that systemd speaks of."""
    second = timedelta(seconds=1)
    if service.is_busy or service.began_at is None or service.ended_at is None:
        return False
    return (
        service.began_at - second <= noted.began_at <= noted.ended_at <= service.ended_at + second
    )


def _by_itself(row: JobRow, noted: Run | None) -> JobRow:
    """Fill in what the job noted: systemd forgets with a reboot, and knows no run by hand."""
    if noted is None:
        return row
    fine = noted.status in FINE
    return row._replace(
        last_run=noted.began_at,
        result="success" if fine else f"exit code {noted.status}",
        exit_code=noted.status,
        duration_s=max((noted.ended_at - noted.began_at).total_seconds(), 0.0),
        cpu_s=noted.cpu_us / 1e6,
        cpu_source="program",
        memory_bytes=noted.peak_rss_bytes,
        memory_source="program",
    )


def _duration(service: UnitState) -> float | None:
    if service.began_s is None or service.ended_s is None or service.ended_s < service.began_s:
        return None
    return service.ended_s - service.began_s


# --- the timer ----------------------------------------------------------------------------------


def next_run(timer: UnitState, clock: Clock) -> datetime | None:
    """Say when a timer fires next; None: it does not, or a run is under way."""
    if timer.active != "active" or timer.sub == "running":
        return None
    times = [timer.next_at] if timer.next_at else []
    if timer.next_s is not None:
        times.append(clock.now + timedelta(seconds=timer.next_s - clock.monotonic_s))
    return min(times, default=None)


def late_since(timer: UnitState, clock: Clock) -> datetime | None:
    """Say since when a calendar timer should have fired; None: it is not late."""
    if timer.next_at and (clock.now - timer.next_at).total_seconds() > SLACK_S:
        return timer.next_at
    return None


def _waited_s(timer: UnitState, service: UnitState, clock: Clock) -> float | None:
    """Measure the time since a run began, or since the timer was started."""
    times = (timer.triggered_s, service.began_s, timer.active_since_s)
    latest = max((at for at in times if at is not None), default=None)
    return None if latest is None else max(clock.monotonic_s - latest, 0.0)


def _missed(about: Watched, timer: UnitState, service: UnitState, clock: Clock) -> int | None:
    """Count the runs that should have begun and did not; of a calendar 1 where it is late."""
    if timer.active != "active":
        return None
    if service.is_busy:
        return 0
    if about.every_s is None:
        return int(late_since(timer, clock) is not None)
    waited = _waited_s(timer, service, clock)
    return None if waited is None else max(int((waited - ACCURACY_S) // about.every_s) - 1, 0)


def _overdue(about: Watched, timer: UnitState, service: UnitState, clock: Clock) -> str | None:
    """Say why a job is overdue; None: it is not."""
    repeats = [one for one in timer.schedules if not one.startswith(("OnBoot", "OnStartup"))]
    if about.every_s is None:
        if late_since(timer, clock):
            return "its timer should have fired, and has not"
        if repeats and timer.next_at is None and timer.next_s is None and timer.sub != "running":
            return "its timer is active, but has no next run"
        return None
    waited = _waited_s(timer, service, clock)
    if waited is None or waited <= LATE_PERIODS * about.every_s + about.timeout_s:
        return None
    return f"no run began for {waited:.0f} s; one is due every {about.every_s} s"


# --- the verdict --------------------------------------------------------------------------------


def _state(
    about: Watched, timer: UnitState, service: UnitState, row: JobRow, clock: Clock
) -> tuple[State, str | None]:
    loads = (timer.load, service.load)
    if "not-found" in loads:
        which = [one.name for one in (timer, service) if one.load == "not-found"]
        return "not-installed", f"{' and '.join(which)}: no such unit"
    if "masked" in loads:
        return "disabled", "it is masked"
    for one in (timer, service):
        if one.load != "loaded":
            return "failing", f"systemd refuses {one.name}: {one.load}"
    if service.is_busy:
        return "running", None
    if timer.active != "active" and not about.enabled and about.unit.startswith(CRON_PREFIX):
        return "with-cron", "cron still has its line"
    if timer.active != "active" and not about.enabled:
        return "disabled", "its timer is neither enabled nor started"
    if _has_failed(service, row):
        return "failing", f"its last run ended with: {row.result}"
    return _waiting(about, timer, service, row, clock)


def _waiting(
    about: Watched, timer: UnitState, service: UnitState, row: JobRow, clock: Clock
) -> tuple[State, str | None]:
    if timer.active != "active" and _is_at_boot_only(timer):
        return "ok", "waits for the next boot"
    if timer.active != "active":
        return "stopped", "its timer is enabled, but not started"
    if why := _overdue(about, timer, service, clock):
        return "overdue", why
    if row.last_run is None:
        return "never-ran", None
    only_now = about.enabled is False
    return "ok", "its timer is not enabled: it runs until the next boot only" if only_now else None


def _is_at_boot_only(timer: UnitState) -> bool:
    return bool(timer.schedules) and all(one.startswith("OnBoot") for one in timer.schedules)


def _has_failed(service: UnitState, row: JobRow) -> bool:
    if service.began_at is None and service.active != "failed":
        return row.exit_code is not None and row.exit_code not in FINE
    return service.active == "failed" or service.result not in {None, "success"}
