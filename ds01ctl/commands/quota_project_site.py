"""What the commands of `quota project` share: where they work, progress, questions, events."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from ds01ctl.commands import asking, gathering, quota_memory
from ds01ctl.core import projects, storage
from ds01ctl.core.plan import Action, Result
from ds01ctl.errors import Ds01Error
from ds01ctl.lock import job_lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime
    from pathlib import Path

    from ds01ctl.act.project_tags import Tagged
    from ds01ctl.core.disk_quota import QuotaFileSystem, QuotaKind
    from ds01ctl.core.model import Gap
    from ds01ctl.core.plan import Finding
    from ds01ctl.core.policy import Policy
    from ds01ctl.core.projects import Registry
    from ds01ctl.paths import Paths
    from ds01ctl.report.events import Event

SOURCE = "ds01ctl quota"
EVENT = "quota.project"
KIND: tuple[QuotaKind, ...] = ("project",)


class Site(NamedTuple):
    """Where a command works, and by which rules."""

    paths: Paths
    policy: Policy
    gaps: tuple[Gap, ...]
    now: datetime
    is_quiet: bool
    """No progress bar: the output is for a script."""

    @property
    def ids(self) -> range:
        """Give the ids that are ours."""
        return storage.project_ids(self.policy)


def open_site(config: Path | None, *, is_quiet: bool) -> Site:
    """Read the policy. Raises Ds01Error for one that is wrong."""
    paths = gathering.host_paths()
    loaded = gathering.load_policy(paths, config)
    return Site(paths, loaded.policy, loaded.gaps, gathering.utcnow(), is_quiet)


def read_registry(site: Site) -> Registry:
    """Read the registry as it is now."""
    from ds01ctl.observe import project_registry

    return projects.parse(project_registry.read(site.paths))


def docker_root(site: Site) -> str:
    """Say where Docker's data lie: a path of the host, without links where it is there."""
    from ds01ctl.observe import docker_volumes

    root = docker_volumes.data_root(site.paths, site.policy)
    try:
        return real_path(root, site)
    except Ds01Error:
        return root


def file_system_of(path: str, site: Site) -> QuotaFileSystem:
    """Read the projects of the file system that a folder of the host lies on. Raises Ds01Error."""
    from ds01ctl.observe import quotas

    reading = quotas.read(site.paths, [path], kinds=KIND)
    if not reading.file_systems:
        gap = next((gap.reason for gap in reading.gaps), "its file system could not be read")
        raise Ds01Error(gap if path in gap else f"{path}: {gap}", f"see: ls -ld {path}")
    return reading.file_systems[0]


@contextmanager
def held(project: str, site: Site) -> Iterator[None]:
    """Let no other run tag a project's trees or take it away, and none of `quota` set limits.

    Raises LockedError where one is at it.
    """
    with job_lock(site.paths, quota_memory.JOB), project_held(project, site):
        yield


def project_held(project: str, site: Site) -> AbstractContextManager[None]:
    """Hold the lock of a project alone: who works on several holds the one of `quota` around."""
    return job_lock(site.paths, f"quota-project-{project}")


def owner_of(name: str, registry: Registry, site: Site) -> str | None:
    """Say whom a project is for: the policy's word, else what was said when it was made."""
    wish = next((one for one in storage.projects_of(site.policy) if one.name == name), None)
    return (wish.owner if wish else None) or registry.owner_of(name)


def ask(planned: Sequence[Action]) -> None:
    """Show what will be done, and go on only on a yes."""
    from ds01ctl.report.project_text import action_lines

    asking.confirm(action_lines(planned))


@contextmanager
def progress(what: str, total: int | None, site: Site) -> Iterator[Callable[[int], None] | None]:
    """Show a bar on a terminal; total is an estimate."""
    if site.is_quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    screen = Console(stderr=True, markup=False, highlight=False, emoji=False)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=screen, transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda count: bar.update(task, completed=count)


def inodes_on(path: Path) -> int | None:
    """Count the inodes in use on a file system: no tree on it has more."""
    try:
        found = os.statvfs(path)
    except OSError:
        return None
    return (found.f_files - found.f_ffree) or None


def real_path(path: str, site: Site) -> str:
    """Follow the links of a path of the host; what comes is a path of the host, too.

    Raises Ds01Error where that is no folder, or lies outside of a moved root.
    """
    root = os.path.realpath(site.paths.root)
    real = os.path.realpath(site.paths.under(path))
    if not projects.is_within(real, root):
        raise Ds01Error(f"{path}: leads out of {root}")
    if not os.path.isdir(real):  # noqa: PTH112 -- text in, text out
        raise Ds01Error(f"{path}: is no folder", "a project is a folder with all that is in it")
    return f"/{os.path.relpath(real, root)}" if root != "/" else real


def place_of(path: str, site: Site) -> str:
    """Say where a path of the host, without links, lies for us."""
    return os.path.realpath(site.paths.root).rstrip("/") + path


def is_there(place: str) -> bool:
    """Tell whether anything has this path."""
    return os.path.lexists(place)


def tagged_row(path: str, done: Tagged) -> dict[str, Any]:
    """Give what came of a walk, for scripts."""
    failures = [{"path": where, "reason": why} for where, why in done.failures]
    return {**done._asdict(), "path": path, "failures": failures}


def outcome(action: Action, done: Tagged) -> Action:
    """Say what came of a walk, in an action."""
    reason = f"{done.changed} written, {done.unchanged} so already"
    reason += f", {done.foreign} of another project left alone" if done.foreign else ""
    if not done.failed:
        return action._replace(reason=reason, outcome="done")
    where, why = done.failures[0]
    error = f"{done.failed} could not be changed; {where}: {why}"
    return action._replace(reason=reason, outcome="failed", error=error)


def event(
    what: str, name: str, number: int, owner: str | None, details: Mapping[str, Any], failed: bool
) -> Event:
    """Make the audit event of a change to a project."""
    from ds01ctl.report.events import Event

    told = {"action": what, "project": name, "project_id": number, **details}
    told["outcome"] = "failed" if failed else "done"
    message = f"project {name} ({number}): {what}{' FAILED in part' if failed else ''}"
    return Event(EVENT, owner, SOURCE, told, message, 4 if failed else 5)


def tell(events: Sequence[Event], site: Site) -> tuple[Gap, ...]:
    """Write the audit events."""
    from ds01ctl.report import events as sink

    log = site.paths.under(str(site.policy.value("events.path")))
    return sink.append(events, log, site.paths.journal_socket, gathering.utcnow())


def result(
    command: str,
    site: Site,
    data: Mapping[str, Any],
    actions: Iterable[Action] = (),
    findings: Iterable[Finding] = (),
    gaps: Sequence[Gap] = (),
) -> Result:
    """Make the result of a command."""
    every = tuple(dict.fromkeys((*site.gaps, *gaps)))
    return Result(
        f"quota project {command}",
        os.uname().nodename,
        site.now,
        every,
        tuple(findings),
        tuple(actions),
        data,
        failed_gaps=gathering.is_failure(every),
    )
