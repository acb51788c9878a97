"""The whole set of files that the host gets, with their places."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.jobs import JOBS
from ds01ctl.unitfiles import side, units
from ds01ctl.unitfiles.stamp import stamped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ds01ctl.jobs import Job

PROGRAM = "/opt/ds01ctl/bin/ds01ctl"
UNIT_DIR = "/etc/systemd/system"
_NEW_FOLDER = ("0755", "root", "root")


class Site(NamedTuple):
    """What the files depend on: the policy, the program's place, and folders that are there."""

    jobs: tuple[Job, ...] = JOBS
    program: str = PROGRAM
    events_path: str = "/var/log/ds01/events.jsonl"
    textfile_dir: str = "/var/lib/prometheus/node-exporter"
    mail_secret: str = ""
    """The file with the mail server's password; empty: none is needed."""
    grid_secret: str = ""
    """The file with the token of who tells the grid's carbon intensity; empty: none is needed."""
    found: Mapping[str, tuple[str, str, str]] = {}
    """Mode, user and group of our folders, and of the log, where they are there already."""

    def like(self, folder: str) -> tuple[str, str, str]:
        """Give mode, user and group for a folder: those that it has."""
        return self.found.get(folder, _NEW_FOLDER)


class HostFile(NamedTuple):
    """A file to be put on the host."""

    source: str
    """Where it lies in a source tree: ``units/ds01-detect.timer``."""
    place: str
    """Where it lies on a host, absolute."""
    text: str
    """With our mark."""

    @property
    def name(self) -> str:
        """Give the file's name."""
        return self.place.rpartition("/")[2]


DEFAULT = Site()
"""A fresh host with the built-in policy: what the repository has."""


def render(site: Site = DEFAULT) -> tuple[HostFile, ...]:
    """Render every file, units first, sorted by place."""
    texts = {f"{job.unit}.service": units.service(job, site) for job in site.jobs}
    texts |= {f"{job.unit}.timer": units.timer(job) for job in site.jobs}
    texts |= {
        units.TARGET: units.target(),
        "ds01-start.service": units.starter(),
        "ds01-failure@.service": units.failure(site),
    }
    found = [
        HostFile(f"units/{name}", f"{UNIT_DIR}/{name}", stamped(text))
        for name, text in sorted(texts.items())
    ]
    return (
        *found,
        HostFile(
            "journald.conf.d/ds01.conf",
            "/etc/systemd/journald.conf.d/ds01.conf",
            stamped(side.journald()),
        ),
        HostFile("logrotate.d/ds01", "/etc/logrotate.d/ds01", stamped(side.logrotate(site))),
        HostFile("tmpfiles.d/ds01.conf", "/etc/tmpfiles.d/ds01.conf", stamped(side.tmpfiles(site))),
    )
