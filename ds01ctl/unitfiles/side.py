"""Render the files beside the units: tmpfiles.d, logrotate.d, journald.conf.d."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.jobs import LOGS, STATE
from ds01ctl.unitfiles.directives import Line, quoted, section, unit

if TYPE_CHECKING:
    from ds01ctl.unitfiles.files import Site

RUN = "/run/ds01"
CACHE = "/var/cache/ds01"
FOLDERS = (RUN, CACHE, STATE, LOGS)
"""What tmpfiles.d makes."""
JOURNAL_MAX = "2G"


def tmpfiles(site: Site) -> str:
    """Render the folders that must be there, whoever comes first."""
    state, logs = site.like(STATE), site.like(LOGS)
    # a service without CAP_CHOWN could not give a new log to the folder's group
    log = site.found.get(site.events_path) or ("0664", "root", logs[2])
    rows = [
        ("d", RUN, "0755", "root", "root", "-"),
        ("d", CACHE, "0750", "root", "root", "30d"),
        ("d", STATE, *state, "-"),
        ("d", LOGS, *logs, "-"),
        ("f", quoted(site.events_path), *log, "-"),
        # else a service that begins before systemd has made it could not write to it
        ("d", "/run/systemd/system.control", "0755", "root", "root", "-"),
    ]
    lines = [" ".join(row) for row in rows]
    return (
        "# Type Path Mode User Group Age\n"
        "# What was there before keeps the mode and the group that it had.\n"
        + "\n".join(lines)
        + "\n"
    )


def logrotate(site: Site) -> str:
    """Render the rotation of the logs; nothing is copied and cut, for that loses lines."""
    patterns = [f"{LOGS}/*.log", f"{LOGS}/*.jsonl"]
    folder, _, name = site.events_path.rpartition("/")
    # two patterns that match one file are an error: logrotate leaves out the second, and all of it
    if folder != LOGS or not name.endswith((".log", ".jsonl")):
        patterns.append(site.events_path)
    # unquoted: the policy refuses a log whose name would need it
    return f"""\
{" ".join(patterns)} {{
    su root root
    weekly
    maxsize 100M
    rotate 26
    missingok
    notifempty
    # the new file gets the mode, owner and group of the old one
    create
    # two rotations in one day must not collide
    dateext
    dateformat -%Y%m%d-%s
    compress
    # a run that is under way may still write to the file that was just moved
    delaycompress
    # never copytruncate: lines written between the copy and the cut would be lost
    nocopytruncate
}}
"""


def journald() -> str:
    """Render the cap on the journal's size."""
    return unit(
        section("Journal", [Line("SystemMaxUse", JOURNAL_MAX)]),
        about="In force from the next start of journald, which then drops what is beyond the cap.",
    )
