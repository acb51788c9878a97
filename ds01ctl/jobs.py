"""JOBS: what runs on a schedule, one row a job. unitfiles renders them, `units status` shows them.

Pure data: this module imports nothing of ours but what its rows are made of.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ds01ctl.core.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

STATE = "/var/lib/ds01"
LOGS = "/var/log/ds01"


class Job(NamedTuple):
    """One job: what it runs, when, for how long, and what it may touch."""

    name: str
    why: str
    """One line, for people: what would be missed without it."""
    command: tuple[str, ...]
    """The words after the program's name."""
    schedule: str
    """A time span (``30s``: so long after the last run began), or a calendar expression."""
    timeout_s: int
    """The run is stopped after so long; less than the time between two runs."""
    exposure: float
    """The most that ``systemd-analyze security`` may say of its service (0 best, 10 worst)."""
    needs: tuple[str, ...] = ()
    """Names in unitfiles.hardening.NEEDS: what it has to reach."""
    capabilities: tuple[str, ...] = ()
    """Capabilities without CAP_, each with a reason in unitfiles.hardening."""
    writes: tuple[str, ...] = (STATE, LOGS)
    """Folders that it writes to, besides /run/ds01."""
    random_delay_s: int = 0
    """Calendar jobs begin up to so much later, by an offset that is the host's own."""
    lock: str = ""
    """Two jobs with the same lock never run at once; empty: the job's own name."""
    memory_max: str = "256M"
    cpu_quota: str = "100%"
    """Of one core."""
    tasks_max: int = 32
    enabled: bool = True
    """Unless the policy says otherwise."""
    only_with: str = ""
    """A key of the policy without which it has nothing to do: then it is not enabled by itself."""

    @property
    def unit(self) -> str:
        """Name its units, without the suffix."""
        return f"ds01-{self.name}"

    @property
    def every_s(self) -> int | None:
        """Give the seconds between two runs; None for a job of the calendar."""
        return span_s(self.schedule)


JOBS: tuple[Job, ...] = (
    Job(
        name="detect",
        why="find GPU work outside the managed containers",
        command=("detect", "unmanaged", "--record"),
        schedule="30s",
        timeout_s=25,
        exposure=2.0,
        needs=("docker", "nvml", "processes", "metrics", "cgroups"),
        capabilities=("SYS_PTRACE", "DAC_READ_SEARCH"),
    ),
    Job(
        name="enforce",
        why="set the limits of the policy on everything that users run",
        command=("enforce", "apply", "--yes"),
        schedule="5min",
        timeout_s=240,
        exposure=2.5,
        needs=("docker", "processes", "metrics", "cgroups"),
        capabilities=("SYS_PTRACE", "DAC_READ_SEARCH"),
        writes=(STATE, LOGS, "/etc/systemd/system", "/run/systemd/system.control"),
    ),
    Job(
        name="quota",
        why="keep disk limits as the policy says, and warn users who come near theirs",
        command=("quota", "apply", "--yes"),
        schedule="1h",
        timeout_s=900,
        exposure=2.6,
        needs=("docker", "nvml", "processes", "metrics", "cgroups", "quotas", "terminals"),
        capabilities=("SYS_ADMIN", "SYS_PTRACE", "DAC_READ_SEARCH"),
    ),
    Job(
        name="cleanup-containers",
        why="warn about idle and over-long containers, stop them, and remove what was stopped",
        command=("cleanup", "apply", "--only", "idle,runtime,stopped,created,gpu-holds", "--yes"),
        schedule="5min",
        timeout_s=280,
        exposure=3.0,
        needs=("docker", "nvml", "processes", "metrics", "terminals", "mail", "homes"),
        capabilities=("SYS_PTRACE", "DAC_READ_SEARCH", "SETUID", "SETGID"),
        writes=(STATE, LOGS, "/home", "/data", "/scratch"),
        lock="cleanup",
    ),
    Job(
        name="cleanup-images",
        why="free the disk of images, build cache and networks that nobody uses",
        command=("cleanup", "apply", "--only", "images,cache,networks", "--yes"),
        schedule="*-*-* 04:10:00",
        random_delay_s=600,
        timeout_s=1200,
        exposure=2.0,
        # whose a container is, and what is infrastructure's, is told by processes, too
        needs=("docker", "nvml", "processes", "metrics"),
        capabilities=("SYS_PTRACE", "DAC_READ_SEARCH"),
    ),
    Job(
        name="cleanup-report",
        why="mail what cleanup has freed, what waits, and which volumes and homes nobody uses",
        command=("cleanup", "report", "--mail"),
        schedule="Mon *-*-* 07:30:00",
        random_delay_s=600,
        timeout_s=300,
        exposure=2.7,
        needs=("docker", "nvml", "processes", "mail"),
        capabilities=("SYS_PTRACE", "DAC_READ_SEARCH"),
    ),
    Job(
        name="quota-volumes",
        why="put each user's Docker volumes into a project of theirs",
        command=("quota", "project", "volumes", "--yes"),
        schedule="*-*-* 03:20:00",
        random_delay_s=600,
        timeout_s=1800,
        exposure=1.8,
        needs=("docker", "quotas"),
        capabilities=("SYS_ADMIN", "FOWNER", "DAC_READ_SEARCH"),
        # the registry is written beside and renamed, so its folder has to be open
        writes=(LOGS, "/etc", "/var/lib/docker/volumes"),
        lock="quota",
        # a host without project quotas would fail every night
        enabled=False,
    ),
    Job(
        name="carbon",
        why="count the energy that was used, and by whose work",
        command=("carbon", "sample"),
        schedule="60s",
        timeout_s=50,
        exposure=2.0,
        needs=("docker", "nvml", "processes", "metrics", "cgroups"),
        capabilities=("SYS_PTRACE", "DAC_READ_SEARCH"),
    ),
    Job(
        name="carbon-intensity",
        why="ask for the carbon intensity of the grid",
        command=("carbon", "intensity", "--fetch"),
        schedule="15min",
        timeout_s=60,
        exposure=2.0,
        needs=("network",),
        only_with="carbon.provider",
    ),
    Job(
        name="state",
        why="check the state store, drop what is past keeping, and copy it",
        command=("state", "maintain"),
        schedule="*-*-* 05:10:00",
        random_delay_s=600,
        timeout_s=300,
        exposure=1.2,
    ),
    Job(
        name="units-check",
        why="see whether every timer runs, and as it was installed",
        command=("units", "status", "--record"),
        schedule="*-*-* 06:10:00",
        random_delay_s=600,
        timeout_s=120,
        exposure=1.2,
        needs=("metrics",),
    ),
)

FAILURE = Job(
    name="failure@",
    why="tell that a job failed",
    command=("units", "failed", "%i"),
    schedule="",
    timeout_s=60,
    exposure=2.0,
    needs=("mail",),
)
"""Started by systemd when a job fails; it has no timer."""

START = Job(
    name="start",
    why="start the timers at boot",
    command=(),
    schedule="",
    timeout_s=30,
    exposure=1.2,
    writes=(),
)
"""Runs systemctl once at boot."""

_UNITS = {
    "s": 1, "sec": 1, "second": 1, "seconds": 1,
    "m": 60, "min": 60, "minute": 60, "minutes": 60,
    "h": 3600, "hr": 3600, "hour": 3600, "hours": 3600,
    "d": 86400, "day": 86400, "days": 86400,
}  # fmt: skip
_PART = r"(?a)\s*(\d{1,6})\s*([a-z]+)\s*"


def span_s(text: str) -> int | None:
    """Read a time span such as ``30s`` or ``1h 30min``, in seconds; None: it is not one."""
    pattern = re.compile(_PART)
    seconds, at = 0, 0
    while at < len(text):
        part = pattern.match(text, at)
        if part is None or part[2] not in _UNITS:
            return None
        seconds += int(part[1]) * _UNITS[part[2]]
        at = part.end()
    return seconds or None


def scheduled(value: Callable[[str], Any]) -> tuple[Job, ...]:
    """Give the jobs as the policy has them; value: the policy's value of a dotted key."""
    return tuple(_scheduled(job, value) for job in JOBS)


def _scheduled(job: Job, value: Callable[[str], Any]) -> Job:
    schedule = value(f"jobs.{job.name}.schedule")
    enabled = value(f"jobs.{job.name}.enabled")
    has_purpose = not job.only_with or value(job.only_with) not in {None, "none"}
    return job._replace(
        schedule=job.schedule if schedule is None else " ".join(schedule.split()),
        enabled=job.enabled and has_purpose if enabled is None else enabled,
    )


def problems_of(job: Job) -> list[str]:
    """Say what makes a row useless or unsafe, so that it is never rendered."""
    told = []
    if not re.fullmatch(r"[a-z][a-z0-9-]*", job.name):
        told.append(f"the name {job.name!a} is not made of a-z, 0-9 and -")
    if not job.why or not job.command:
        told.append("it does not say why it is there, or what it runs")
    if not job.timeout_s or job.timeout_s <= 0:
        told.append("it has no timeout: a hung run would hold its place for ever")
    elif job.every_s is not None and job.timeout_s >= job.every_s:
        told.append(
            f"a run may take {job.timeout_s} s and the next begins after {job.every_s} s;"
            f" give a schedule above {job.timeout_s}s"
        )
    if not job.schedule or not job.schedule.isprintable() or not job.schedule.isascii():
        told.append(
            f"the schedule {job.schedule!a} is neither a time span nor a calendar expression"
        )
    return told
