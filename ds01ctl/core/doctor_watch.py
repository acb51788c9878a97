"""Judge what watches the host: metrics, logs, timers, the clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.core.doctor_row import absent, count, fine, problem, unknown, warning, words
from ds01ctl.core.host_facts import Unread
from ds01ctl.core.host_keys import host_keys

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from ds01ctl.core.doctor_row import Row
    from ds01ctl.core.host_facts import HostFacts, LogFacts, MetricsFacts, UnitFacts
    from ds01ctl.core.policy import Policy

_METRICS, _LOGS, _TIMERS, _CLOCK = "metrics", "logs", "timers", "clock"
STARTER = "ds01-start.service"
"""Starts the timers at boot."""
_OLD_S = {"ds01_detect.prom": 600}
_OLD_OTHERS_S = 26 * 3600
"""A daily job, and its random delay."""


def rows(facts: HostFacts, policy: Policy, now: datetime) -> Iterator[Row]:
    """Make the rows of metrics, logs, timers and the clock."""
    yield from _metrics(facts.metrics, now)
    yield from _logs(facts.logs)
    yield from _units(facts.units, policy)
    yield from _clock(facts)


# --- metrics ------------------------------------------------------------------------------------


def _metrics(metrics: MetricsFacts, now: datetime) -> Iterator[Row]:
    yield _folder(metrics)
    yield _exporter(metrics)
    if metrics.files:
        yield _files(metrics, now)


def _folder(metrics: MetricsFacts) -> Row:
    check, path = "textfile folder", metrics.path
    if isinstance(metrics.folder, Unread):
        if metrics.folder.kind != "absent":
            return unknown(_METRICS, check, metrics.folder)
        if not metrics.exporters:
            return absent(_METRICS, check, f"no {path}, and no node_exporter that would read it")
        return warning(
            _METRICS, check, f"no {path}", "no job can hand its metrics over: dashboards are empty",
            f"install -d -m 0755 {path}",
        )  # fmt: skip
    if not metrics.folder.is_folder:
        return problem(
            _METRICS, check, f"{path} is no folder", "no job can hand its metrics over",
            f"mv {path} {path}.old && install -d -m 0755 {path}",
        )  # fmt: skip
    if metrics.folder.is_open:
        return problem(
            _METRICS, check, f"everybody may write to {path}",
            "any user can forge what the dashboards and alerts show", f"chmod 0755 {path}",
        )  # fmt: skip
    if not metrics.is_writable:
        denied = Unread("denied", f"{path} cannot be written to by this user")
        return unknown(_METRICS, check, denied)
    return fine(_METRICS, check, f"{path} can be written to")


def _exporter(metrics: MetricsFacts) -> Row:
    check, path = "node_exporter", metrics.path
    if path.rstrip("/") in {folder.rstrip("/") for folder in metrics.exporters if folder}:
        return fine(_METRICS, check, f"reads {path}")
    option = f"--collector.textfile.directory={path}"
    if not metrics.exporters:
        if isinstance(metrics.folder, Unread):
            return absent(_METRICS, check, "does not run")
        return warning(
            _METRICS, check, "does not run", "nobody reads the metrics that the jobs write",
            "apt-get install prometheus-node-exporter",
        )  # fmt: skip
    others = sorted({folder for folder in metrics.exporters if folder})
    found = f"reads {others[0]}, not {path}" if others else "runs without a textfile folder"
    return warning(
        _METRICS, check, found, "nobody reads the metrics that the jobs write",
        f"add {option} to its command line (Debian: ARGS in /etc/default/prometheus-node-exporter),"
        " or set metrics.textfile_dir in the policy",
    )  # fmt: skip


def _files(metrics: MetricsFacts, now: datetime) -> Row:
    check = "metrics files"
    closed = [file.path for file in metrics.files if not file.mode & 0o004]
    if closed:
        return warning(
            _METRICS, check, f"{closed[0]} cannot be read by node_exporter",
            "its series are missing, and no alert tells", f"chmod 0644 {words(*closed)}",
        )  # fmt: skip
    old = [
        file
        for file in metrics.files
        if (now - file.modified_at).total_seconds() > _most(file.path)
    ]
    if not old:
        return fine(_METRICS, check, f"{len(metrics.files)}, none stale")
    hours = (now - old[0].modified_at).total_seconds() / 3600
    return warning(
        _METRICS, check, f"{old[0].path} is {hours:.1f} h old",
        "its last values are still served as if they were of now",
        "see why its job does not run: systemctl list-timers 'ds01-*'; a job that is gone for good:"
        f" rm {words(old[0].path)}",
    )  # fmt: skip


def _most(path: str) -> int:
    return _OLD_S.get(path.rpartition("/")[2], _OLD_OTHERS_S)


# --- logs ---------------------------------------------------------------------------------------


def _logs(logs: LogFacts) -> Iterator[Row]:
    yield _logrotate(logs)
    yield _rotation(logs)
    yield _event_log(logs)
    yield _journal(logs)


def _logrotate(logs: LogFacts) -> Row:
    if logs.has_logrotate:
        return fine(_LOGS, "logrotate", "installed")
    return warning(
        _LOGS, "logrotate", "not installed", "the event log grows until the disk is full",
        "apt-get install logrotate",
    )  # fmt: skip


def _rotation(logs: LogFacts) -> Row:
    check = "rotation"
    if not logs.rotations:
        return warning(
            _LOGS, check, "nothing rotates /var/log/ds01",
            "the event log grows until the disk is full", "ds01ctl units install",
        )  # fmt: skip
    names = ", ".join(file.path for file, _ in logs.rotations)
    unsafe = [file.path for file, _ in logs.rotations if file.uid or file.mode & 0o022]
    if unsafe:
        return problem(
            _LOGS, check, f"{unsafe[0]} does not belong to root alone",
            "logrotate passes it over, and whoever can write it can run commands as root",
            f"chown root:root {words(unsafe[0])} && chmod 0644 {words(unsafe[0])}",
        )  # fmt: skip
    copying = [file.path for file, copies in logs.rotations if copies]
    if copying:
        return warning(
            _LOGS, check, f"{copying[0]} has copytruncate",
            "events that are written during the copy are lost",
            f"in {copying[0]}: create instead of copytruncate (as ds01ctl units install writes it)",
        )  # fmt: skip
    return fine(_LOGS, check, names)


def _event_log(logs: LogFacts) -> Row:
    check, log, path = "event log", logs.event_log, logs.event_path
    if isinstance(log, Unread):
        if log.kind == "absent":
            return absent(_LOGS, check, f"no {path} yet; the first recorded run makes it")
        return unknown(_LOGS, check, log)
    found = f"{path}, mode {log.mode:04o}, group {logs.event_group}"
    if log.is_open:
        return problem(
            _LOGS, check, f"{found}: everybody may write to it",
            "any user can forge or delete what happened", f"chmod 0664 {path}",
        )  # fmt: skip
    if not log.mode & 0o020:
        return warning(
            _LOGS, check, f"{found}: its group may not write",
            "events of the platform's programs that do not run as root are lost, in silence",
            f"chgrp docker {path} && chmod 0664 {path}",
        )  # fmt: skip
    return fine(_LOGS, check, found)


def _journal(logs: LogFacts) -> Row:
    check, storage = "journal", logs.journal_storage
    kept = storage == "persistent" or (storage == "auto" and logs.has_journal_folder)
    if kept:
        cap = logs.journal_cap or "systemd's own: 10 % of the disk, at most 4 GiB"
        return fine(_LOGS, check, f"kept over reboots; limit {cap}")
    return warning(
        _LOGS, check, f"not kept over reboots (Storage={storage})",
        "after a crash nobody can say what happened before it",
        "install -d -m 2755 -g systemd-journal /var/log/journal && journalctl --flush"
        if storage == "auto"
        else "in /etc/systemd/journald.conf: Storage=persistent;"
        " then: systemctl restart systemd-journald",
    )  # fmt: skip


# --- timers -------------------------------------------------------------------------------------


def _units(units: UnitFacts, policy: Policy) -> Iterator[Row]:
    yield _installed(units, policy)
    yield _old_cron(units)
    yield _foreign(units)


def _installed(units: UnitFacts, policy: Policy) -> Row:
    check = "units"
    if not units.ours:
        return warning(
            _TIMERS, check, "none installed", "nothing looks at this host by itself",
            "ds01ctl units install --dry-run, then without --dry-run",
        )  # fmt: skip
    off = [name for name in units.ours if _is_off(name, policy)]
    missing = [name for name in (*units.ours, STARTER) if name not in (*units.enabled, *off)]
    if not missing:
        told = f", {len(off)} of them off by the policy" if off else ", all enabled"
        return fine(_TIMERS, check, f"{count(len(units.ours), 'timer')}{told}")
    return warning(
        _TIMERS, check, f"not enabled: {', '.join(missing)}",
        "they do not run after the next boot", "ds01ctl units install",
    )  # fmt: skip


def _is_off(timer: str, policy: Policy) -> bool:
    """Tell whether the policy switches a job off: its timer is then there, and not enabled."""
    key = f"jobs.{timer.removeprefix('ds01-').removesuffix('.timer')}.enabled"
    # one made from a cron line has no such key
    return key in host_keys() and policy.value(key) is False


def _old_cron(units: UnitFacts) -> Row:
    check = "old cron files"
    if isinstance(units.cron, Unread):
        return unknown(_TIMERS, check, units.cron)
    if not units.cron:
        return fine(_TIMERS, check, "none")
    return warning(
        _TIMERS, check, ", ".join(units.cron),
        "what a timer does as well is done twice, and a failure of it is seen by nobody",
        f"ds01ctl units import-cron {words(*units.cron)}",
    )  # fmt: skip


def _foreign(units: UnitFacts) -> Row:
    check = "foreign units"
    if not units.foreign:
        return fine(_TIMERS, check, "none")
    return warning(
        _TIMERS, check, f"not made by ds01ctl: {', '.join(units.foreign)}",
        "they are in no repository: a new installation of the host loses them",
        f"keep a copy where the host is described: systemctl cat {words(*units.foreign)}",
    )  # fmt: skip


# --- the clock ----------------------------------------------------------------------------------


def _clock(facts: HostFacts) -> Iterator[Row]:
    clock = facts.clock
    yield _synchronised(facts)
    zone = clock.zone or "not set (UTC)"
    yield fine(_CLOCK, "time zone", zone)


def _synchronised(facts: HostFacts) -> Row:
    check, clock = "synchronised", facts.clock
    if isinstance(clock.is_synchronised, Unread):
        if not facts.systemd.is_init and clock.is_synchronised.kind == "absent":
            return absent(_CLOCK, check, "cannot be told without systemd")
        return unknown(_CLOCK, check, clock.is_synchronised, "timedatectl")
    if clock.is_synchronised:
        return fine(_CLOCK, check, "yes")
    return warning(
        _CLOCK, check, "no",
        "leave and limits end at the wrong time, and events of two hosts cannot be joined",
        # not timedatectl set-ntp: it makes systemd reload
        "systemctl enable --no-reload systemd-timesyncd && systemctl start systemd-timesyncd",
    )  # fmt: skip
