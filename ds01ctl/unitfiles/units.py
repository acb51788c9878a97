"""Render a job as a service and a timer, and the units around them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.jobs import FAILURE, LOGS, START
from ds01ctl.unitfiles.directives import Line, quoted, section, unit
from ds01ctl.unitfiles.hardening import hardening

if TYPE_CHECKING:
    from ds01ctl.jobs import Job
    from ds01ctl.unitfiles.files import Site

TARGET = "ds01.target"
HANDED_NOTHING = "none"
"""What stands in for the password where its file is missing: telling comes before mailing."""
BOOT_DELAY_S = 120
"""A polling job begins at the latest so long after the boot."""

_CHANGE = """\
To change it, write {unit}.d/50-local.conf beside it, or set jobs.{job} in the
policy, and run `ds01ctl units install`. Not `systemctl edit`, nor daemon-reload: a reload can take
the GPUs away from running containers."""


def service(job: Job, site: Site) -> str:
    """Render the service of a job."""
    name = f"{job.unit}.service"
    return unit(
        section("Unit", _service_head(job)),
        section(
            "Service",
            [*_run(job, site), *hardening(job, *_folders(job, site)), *_token(job, site)],
        ),
        about=_CHANGE.format(unit=name, job=job.name),
    )


def _service_head(job: Job) -> list[Line]:
    told = [
        Line("Description", f"ds01ctl {job.name}: {job.why}"),
        Line("OnFailure", "ds01-failure@%N.service"),
        Line("StartLimitIntervalSec", "0"),
        Line(
            "CollectMode", "inactive-or-failed", "else a failed run keeps an old definition alive"
        ),
    ]
    after = []
    if "docker" in job.needs:
        after.append("docker.service")
    if "nvml" in job.needs:
        after.append("nvidia-persistenced.service")
    if after:
        why = "order only: Wants= would start an engine again that an admin has stopped"
        told.insert(1, Line("After", " ".join(after), why))
    return told


def _run(job: Job, site: Site) -> list[Line]:
    return [
        Line("Type", "oneshot"),
        Line("ExecStart", _command(job, site)),
        Line("TimeoutStartSec", f"{job.timeout_s}s", _timeout_reason(job)),
        Line("SuccessExitStatus", "4 5", "4: findings; 5: another run holds the lock"),
        Line("SyslogIdentifier", job.unit.rstrip("@")),
        Line("Nice", "10"),
        Line("IOSchedulingClass", "idle"),
        Line("MemoryMax", job.memory_max, "more for thousands of containers"),
        Line("CPUQuota", job.cpu_quota),
        Line("TasksMax", str(job.tasks_max)),
        Line("RuntimeDirectory", "ds01"),
        Line("RuntimeDirectoryMode", "0755"),
        Line("RuntimeDirectoryPreserve", "yes", "else /run/ds01 and its locks go with each run"),
    ]


def _timeout_reason(job: Job) -> str:
    return "" if job.every_s is None else f"less than the {job.schedule} between two runs"


def _command(job: Job, site: Site) -> str:
    return " ".join([quoted(site.program), *job.command])


def _folders(job: Job, site: Site) -> tuple[str, ...]:
    folders = [site.textfile_dir] if "metrics" in job.needs else []
    events = site.events_path.rpartition("/")[0]
    # below a folder that it may write to anyway, there is nothing to add
    if LOGS in job.writes and not f"{events}/".startswith(f"{LOGS}/"):
        folders.append(events)
    return tuple(folders)


def timer(job: Job) -> str:
    """Render the timer of a job."""
    return unit(
        section(
            "Unit",
            [
                Line("Description", f"ds01ctl {job.name}: {job.why}"),
                Line("PartOf", TARGET, f"`systemctl stop {TARGET}` stops every timer"),
            ],
        ),
        section("Timer", _polling(job) if job.every_s else _calendar(job)),
        section("Install", [Line("WantedBy", TARGET)]),
        about=_CHANGE.format(unit=f"{job.unit}.timer", job=job.name),
    )


def _polling(job: Job) -> list[Line]:
    every = job.every_s or 0
    return [
        Line("OnBootSec", f"{min(every, BOOT_DELAY_S)}s"),
        Line("OnUnitActiveSec", f"{every}s"),
        Line("AccuracySec", "1s"),
    ]


def _calendar(job: Job) -> list[Line]:
    return [
        Line("OnCalendar", job.schedule),
        Line("Persistent", "true", "a run missed while the host was off is made up for"),
        Line("RandomizedDelaySec", f"{job.random_delay_s}s"),
        Line("FixedRandomDelay", "true", "the same delay every day"),
        Line("AccuracySec", "1min"),
    ]


def target() -> str:
    """Render the target that holds every timer."""
    return unit(
        section(
            "Unit",
            [Line("Description", "The timers of ds01ctl")],
        ),
        about=(
            f"Stop {TARGET} to stop every timer, start it to start them again. A run that is\n"
            "under way is not stopped with it."
        ),
    )


def starter() -> str:
    """Render the service that starts the target at boot, and why it is not simply wanted."""
    # nothing of Docker's: an engine that hangs at boot would hold up every timer
    head = [Line("Description", "Start the timers of ds01ctl at boot")]
    run = [
        Line("Type", "oneshot"),
        Line("ExecStart", f"/usr/bin/systemctl --no-block start {TARGET}"),
        Line("TimeoutStartSec", f"{START.timeout_s}s"),
        *hardening(START),
    ]
    return unit(
        section("Unit", head),
        section("Service", run),
        section("Install", [Line("WantedBy", "multi-user.target")]),
        about=(
            f"Were {TARGET} wanted by a target that stays active, systemd would keep the timers'\n"
            "old definitions until a daemon-reload, and a reload can take the GPUs away from\n"
            "running containers. Started by a command, they are read anew at each stop and start."
        ),
    )


def failure(site: Site) -> str:
    """Render the template that systemd starts for a job that failed."""
    job = FAILURE
    head = [
        Line("Description", "Tell that %i failed"),
        Line("StartLimitIntervalSec", "0"),
        Line("CollectMode", "inactive-or-failed"),
    ]
    return unit(
        section("Unit", head),
        section(
            "Service", [*_run(job, site), *hardening(job, *_folders(job, site)), *_secret(site)]
        ),
        about="%i is the unit that failed, without its suffix.",
    )


def _secret(site: Site) -> list[Line]:
    return _handed("mail-password", site.mail_secret, "the mail server's password")


def _token(job: Job, site: Site) -> list[Line]:
    if job.only_with != "carbon.provider":
        return []
    return _handed("carbon-token", site.grid_secret, "the provider's token")


def _handed(name: str, file: str, what: str) -> list[Line]:
    if not file:
        return []
    # the rest of the line is the path as it is, spaces and all
    path = file.replace("%", "%%")
    return [
        Line("LoadCredential", f"{name}:{path}", f"{what}; readable by root alone"),
        Line("SetCredential", f"{name}:{HANDED_NOTHING}", "else a missing file fails the unit"),
    ]
