"""Install and upgrade the units, and show how the host differs from what it should have."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.act import systemctl
from ds01ctl.commands.file_steps import file_steps, leftover_steps, restore_steps
from ds01ctl.commands.site import OnHost, found_files, site_of
from ds01ctl.commands.stepping import Step, carry_out
from ds01ctl.commands.unit_steps import (
    STARTER,
    Situation,
    disable_steps,
    look,
    reset_steps,
    stop_steps,
)
from ds01ctl.core import placing as compared
from ds01ctl.core.plan import Action, Result
from ds01ctl.errors import Ds01Error
from ds01ctl.lock import job_lock
from ds01ctl.unitfiles.side import FOLDERS
from ds01ctl.unitfiles.units import TARGET

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from contextlib import AbstractContextManager

    from ds01ctl.core.placing import Change
    from ds01ctl.core.problem import Problem
    from ds01ctl.paths import Paths

LOCK = "units"


class Asked(NamedTuple):
    """What the units commands are asked on."""

    paths: Paths
    config: Path | None
    program: str | None
    host: str
    now: datetime
    prefix: Path | None = None
    """The tree that --prefix names; paths lie below it."""


def situation(asked: Asked, on_host: OnHost, *, force: bool) -> Situation:
    """Look at the host. Raises Ds01Error."""
    paths = asked.paths
    found = found_files(paths, on_host.wanted)
    return look(paths, compared.changes(on_host.wanted, found, force=force), on_host.site.jobs)


def install(asked: Asked, *, force: bool, dry_run: bool) -> Result:
    """Bring the host's units to what the policy and this version say."""
    from ds01ctl.commands import verifying

    on_host = site_of(asked.paths, asked.config, asked.program)
    with lock(asked.paths, dry_run=dry_run):
        now = situation(asked, on_host, force=force)
        refuse_edited(now.changes)
        verified = verifying.problems(on_host.files, on_host.site.jobs, asked.paths)
        _refuse_wrong(verified.problems, on_host, asked)
        steps = install_steps(now)
        actions = tuple(step.action for step in steps) if dry_run else carry_out(steps)
        gaps = (*on_host.gaps, *verified.gaps)
        data = {
            "program": on_host.site.program,
            "live": now.is_live,
            "files": [file_row(change) for change in now.changes],
            "warnings": [one.message for one in verified.problems if one.severity == "warning"],
        }
        return Result("units install", asked.host, asked.now, gaps, (), actions, data)


def lock(paths: Paths, *, dry_run: bool) -> AbstractContextManager[None]:
    """Lock out other installs; a dry run changes nothing, and a tree to be packaged stays clean."""
    return nullcontext() if dry_run or str(paths.root) != "/" else job_lock(paths, LOCK)


def file_row(change: Change) -> dict[str, object]:
    """Tell of one file."""
    lines = compared.diff(change) if change.kind != "keep" else []
    return {"file": change.place, "state": change.state, "change": change.kind, "diff": lines}


_DROP_IN = (
    "put your changes into a drop-in (NAME.d/50-local.conf), or give --force: it takes the file's"
    " place and keeps a copy"
)


def refuse_edited(changes: Sequence[Change], hint: str = _DROP_IN) -> None:
    """Refuse to touch files that are not as we left them."""
    stand = compared.refused(changes)
    if not stand:
        return
    told = []
    for change in stand:
        what = "was edited since ds01ctl wrote it"
        if change.state == "foreign":
            what = "is not ds01ctl's" if change.old is not None else "is a link or a folder"
        told += [f"{change.place}: {what}; nothing was changed"]
        if change.old is not None and change.new is not None:
            told += [f"  {line}" for line in compared.diff(change)]
    if any(change.old is None for change in stand):
        hint = "unmask the unit (systemctl unmask --no-reload NAME), or move what is there away"
    raise Ds01Error("\n".join(told), hint, {"files": [file_row(change) for change in stand]})


def _refuse_wrong(problems: Iterable[Problem], on_host: OnHost, asked: Asked) -> None:
    wrong = [one for one in problems if one.severity == "error"]
    if wrong:
        told = [_told(one, on_host) for one in wrong]
        given = {"program": asked.program, "config": asked.config, "prefix": asked.prefix}
        words = [f"--{name} {value}" for name, value in given.items() if value]
        verify = " ".join(["ds01ctl units verify", *words])
        raise Ds01Error("\n".join(told), f"{verify} shows it all; nothing was changed")


def _told(problem: Problem, on_host: OnHost) -> str:
    """Say what is wrong, and where the policy says so if it does."""
    for job in on_host.site.jobs:
        origin = on_host.policy.setting(f"jobs.{job.name}.schedule").origin
        if origin and origin.file and f"/{job.unit}.timer" in problem.where:
            key = f"jobs.{job.name}.schedule"
            return f"{origin.file}:{origin.line}: {key}: {problem.what}; {problem.fix}"
    return f"{problem.message}; {problem.fix}"


def install_steps(now: Situation) -> list[Step]:
    """Plan an install or an upgrade; on a host that is as it should be, nothing."""
    changed = now.changed_units
    removed = [c for c in compared.pending(now.changes) if c.new is None]
    return [
        *(stop_steps(now, changed) if changed else ()),
        *disable_steps(now, [c.place.rpartition("/")[2] for c in removed]),
        *(reset_steps(now, changed) if changed else ()),
        *leftover_steps(now.paths, [change.place for change in now.changes]),
        *file_steps(now.paths, now.changes),
        *restore_steps(now.paths, {change.place for change in removed}, ()),
        *_folder_steps(now),
        *_boot_steps(now),
        *_start_steps(now, stopped=bool(changed)),
    ]


def _folder_steps(now: Situation) -> list[Step]:
    """Make the folders that the jobs write to, or they would find nowhere to."""
    conf = "/etc/tmpfiles.d/ds01.conf"
    is_new = any(change.place == conf for change in compared.pending(now.changes))
    is_missing = any(not now.paths.under(folder).is_dir() for folder in FOLDERS)
    if not now.is_live or not (is_new or is_missing):
        return []
    action = Action("make-folders", " ".join(FOLDERS), "where they are missing")
    return [Step(action, lambda: systemctl.create_folders(now.paths.under(conf)))]


def _boot_steps(now: Situation) -> list[Step]:
    """Have the timers started at boot, or not, as the policy says."""
    missing = [name for name in (STARTER, *now.timers) if name not in now.enabled]
    off = [f"{job.unit}.timer" for job in now.jobs if not job.enabled]
    root = None if now.is_live else now.paths.root
    steps = disable_steps(now, off)
    if missing:
        action = Action("enable", " ".join(missing), "started at boot")
        steps.append(
            Step(
                action,
                lambda: systemctl.enable(missing, root),
                lambda: systemctl.disable(missing, root),
            )
        )
    return steps


def _start_steps(now: Situation, *, stopped: bool) -> list[Step]:
    if not now.is_live:
        return []
    running = {name for name, unit in now.units.items() if unit.active == "active"}
    wanted = [TARGET, *now.timers]
    unwanted = [f"{job.unit}.timer" for job in now.jobs if not job.enabled]
    stop = [name for name in unwanted if name in running and not stopped]
    start = [name for name in wanted if stopped or name not in running]
    steps = []
    if stop:
        action = Action("stop", " ".join(stop), "the policy has it disabled")
        steps.append(Step(action, lambda: systemctl.stop(stop), lambda: systemctl.start(stop)))
    if start:
        action = Action("start", " ".join(start), "runs from now on")
        steps.append(
            Step(action, lambda: _start(now, start), lambda: systemctl.stop(start)),
        )
    return steps


def _start(now: Situation, units: Sequence[str]) -> None:
    """Start units, and make sure that systemd has the new files in memory."""
    systemctl.start(units)
    names = [name for name in now.units if name != STARTER]
    stale = [name for name, unit in systemctl.show(names).items() if unit.needs_reload]
    if stale:
        hint = f"systemctl list-dependencies --reverse {stale[0]} shows what keeps it in memory"
        raise Ds01Error(f"{', '.join(stale)}: systemd keeps the old definition", hint)
    off = [n for n, unit in systemctl.show(units).items() if unit.active != "active"]
    if off:
        raise Ds01Error(f"{', '.join(off)}: did not start", f"systemctl status {off[0]}")
