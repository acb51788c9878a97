"""Collect what the jobs have to reach, and have it looked at. Nothing of the host changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.core.access import READ, SEARCH, WRITE, services
from ds01ctl.core.unit_text import directives
from ds01ctl.errors import Ds01Error
from ds01ctl.jobs import START
from ds01ctl.observe import access_checks
from ds01ctl.observe.access_checks import Need

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from ds01ctl.core.access import Service
    from ds01ctl.core.problem import Problem
    from ds01ctl.core.unit_text import UnitFile
    from ds01ctl.paths import Paths
    from ds01ctl.unitfiles.files import HostFile


def problems(
    units: Sequence[UnitFile], ours: Collection[str], files: Iterable[HostFile], paths: Paths
) -> list[Problem]:
    """Check units with their drop-ins; ours: the services that run ds01ctl; files: those beside."""
    bound = services(units)
    jobs = [one for one in bound if one.name in ours and one.name != f"{START.unit}.service"]
    store = f"/{paths.state_db.relative_to(paths.root)}"
    wanted = [*_policy(jobs, paths), *_written(jobs, [store, *_logs(files)])]
    return [
        *access_checks.programs(bound, paths),
        *access_checks.needs(wanted, paths),
        *(
            problem
            for name, where in _secrets(units)
            for problem in access_checks.secret(name, where, paths)
        ),
    ]


def _written(jobs: Sequence[Service], files: Iterable[str]) -> Iterator[Need]:
    """List the folders that jobs write to, and the files that they write to there."""
    folders = sorted({folder for job in jobs for folder in job.writes})
    for folder in folders:
        writers = tuple(job for job in jobs if folder in job.writes)
        yield Need(folder, WRITE | SEARCH, writers, str(folder))
    for file in files:
        writers = tuple(job for job in jobs if any(_is_below(file, one) for one in job.writes))
        yield Need(file, WRITE, writers, file)


def _is_below(file: str, folder: str) -> bool:
    return file.startswith(f"{folder.rstrip('/')}/")


def _logs(files: Iterable[HostFile]) -> Iterator[str]:
    """Find the logs that tmpfiles.d is to make."""
    for file in files:
        if file.place.split("/")[-2:-1] == ["tmpfiles.d"]:
            rows = [line.split() for line in file.text.splitlines()]
            yield from (row[1].replace("%%", "%") for row in rows if row[:1] == ["f"] and row[1:])


def _policy(jobs: Sequence[Service], paths: Paths) -> list[Need]:
    """List the policy in force, and the files beside it."""
    from ds01ctl.config import read
    from ds01ctl.config.checks import SIDE_NAMES

    try:
        path = read.find_policy(paths, None, {})
    except Ds01Error:
        return []
    if path is None or not jobs:
        return []
    folder = path.resolve().parent
    beside = [folder / name for name in SIDE_NAMES]
    members = sorted((folder / "groups").glob("*.members"))
    return [
        Need(f"/{one.relative_to(paths.root)}", READ | SEARCH * one.is_dir(), tuple(jobs), str(one))
        for one in (path, *beside, *members)
        if one.is_relative_to(paths.root)
    ]


def _secrets(units: Iterable[UnitFile]) -> Iterator[tuple[str, str]]:
    """Find the files that systemd is to hand over, and the lines that say so."""
    for unit in units:
        for line in directives(unit.text):
            name = line.value.partition(":")[2].replace("%%", "%")
            if line.key == "LoadCredential" and name.startswith("/"):
                yield name, unit.at(line.line)
