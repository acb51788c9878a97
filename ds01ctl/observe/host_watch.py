"""Read the ways by which the host is watched: metrics, logs, units, old cron files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ds01ctl.core.host_facts import FileFact, LogFacts, MetricsFacts, UnitFacts, Unread
from ds01ctl.observe import host_files
from ds01ctl.observe.host_commands import textfile_folder
from ds01ctl.observe.host_docker import groups

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from ds01ctl.core.policy import Policy
    from ds01ctl.paths import Paths

MARK = "# ds01ctl: generated"
"""How each generated file begins; see ds01ctl.unitfiles."""
_LOGS = "/var/log/ds01"
_UNITS = "/etc/systemd/system"
_KINDS = (".service", ".timer", ".socket", ".path", ".target")
_PROGRAMS = ("/usr/sbin/logrotate", "/usr/bin/logrotate", "/sbin/logrotate")


def metrics(paths: Paths, policy: Policy, commands: Sequence[tuple[str, ...]]) -> MetricsFacts:
    """Read the textfile folder, what lies in it, and who reads it."""
    named = str(policy.value("metrics.textfile_dir"))
    folder = paths.under(named)
    return MetricsFacts(
        folder=host_files.fact(folder),
        path=str(folder),
        is_writable=os.access(folder, os.W_OK),
        files=host_files.facts(folder, "ds01*.prom"),
        exporters=tuple(_moved(textfile_folder(words), paths) for words in commands),
    )


def _moved(folder: str | None, paths: Paths) -> str | None:
    return None if folder is None else str(paths.under(folder))


def logs(paths: Paths, policy: Policy) -> LogFacts:
    """Read the event log's state, what rotates it, and how the journal is kept."""
    path = paths.under(str(policy.value("events.path")))
    found = host_files.fact(path)
    settings = _journal(paths)
    return LogFacts(
        has_logrotate=any(paths.under(program).exists() for program in _PROGRAMS),
        rotations=tuple(_rotations(paths)),
        event_log=found,
        event_path=str(path),
        event_group="" if isinstance(found, Unread) else _group(found.gid, paths),
        journal_storage=settings.get("Storage", "auto").lower(),
        has_journal_folder=paths.under("/var/log/journal").is_dir(),
        journal_cap=settings.get("SystemMaxUse") or None,
    )


def _group(gid: int, paths: Paths) -> str:
    names = [name for name, (number, _) in groups(paths).items() if number == gid]
    return names[0] if names else str(gid)


def _rotations(paths: Paths) -> Iterable[tuple[FileFact, bool]]:
    """Find the files of logrotate that name our logs; comments do not count."""
    for path in host_files.matching(paths.under("/etc/logrotate.d"), "*"):
        lines = _in_force(host_files.text(path))
        status = host_files.fact(path)
        if isinstance(status, FileFact) and any(_LOGS in line for line in lines):
            yield status, any(line.split()[0] == "copytruncate" for line in lines)


def _in_force(text: str | Unread) -> list[str]:
    if isinstance(text, Unread):
        return []
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _journal(paths: Paths) -> dict[str, str]:
    """Read the settings of journald: the drop-ins of /etc and /usr by name, after the file."""
    drop_ins: dict[str, Path] = {}
    for place in ("/usr/lib/systemd", "/run/systemd", "/etc/systemd"):
        for path in host_files.matching(paths.under(f"{place}/journald.conf.d"), "*.conf"):
            drop_ins[path.name] = path
    files = [
        paths.under("/etc/systemd/journald.conf"),
        *(drop_ins[name] for name in sorted(drop_ins)),
    ]
    settings: dict[str, str] = {}
    for path in files:
        for line in _in_force(host_files.text(path)):
            name, equals, value = line.partition("=")
            if equals:
                settings[name.strip()] = value.strip()
    return settings


# --- units --------------------------------------------------------------------------------------


def units(paths: Paths) -> UnitFacts:
    """List our timers, which of them are enabled, units that are not ours, and old cron files."""
    folder = paths.under(_UNITS)
    files = [path for path in host_files.matching(folder, "ds01*") if path.suffix in _KINDS]
    # a masked unit is a link to /dev/null, and nobody's work
    files = [path for path in files if path.is_file()]
    ours = [path for path in files if _is_ours(path)]
    links = host_files.matching(folder, "*.wants/ds01*")
    return UnitFacts(
        ours=tuple(path.name for path in ours if path.suffix == ".timer"),
        enabled=tuple(sorted({path.name for path in links})),
        foreign=tuple(path.name for path in files if path not in ours),
        cron=_cron(paths),
    )


def _is_ours(path: Path) -> bool:
    text = host_files.text(path)
    return not isinstance(text, Unread) and MARK in text


def _cron(paths: Paths) -> tuple[str, ...] | Unread:
    """Name the platform's cron files that still do something; cron passes over names with a dot."""
    folder = paths.under("/etc/cron.d")
    if folder.exists() and not os.access(folder, os.R_OK | os.X_OK):
        return Unread("denied", f"{folder}: may not be listed")
    found = []
    for path in host_files.matching(folder, "ds01*"):
        text = host_files.text(path)
        if isinstance(text, Unread):
            return text
        starts = (line[0] for line in _in_force(text))
        if "." not in path.name and any(sign.isdecimal() or sign in "*@" for sign in starts):
            found.append(str(path))
    return tuple(found)
