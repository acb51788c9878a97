"""Hand lines of cron over to their timers."""

from __future__ import annotations

from collections.abc import Sequence

from ds01ctl.act import systemctl
from ds01ctl.commands.cron_jobs import Job
from ds01ctl.commands.cron_sources import session_of
from ds01ctl.commands.handover import CLOCK, LOCK, Clock, Place, chosen, edit_step, look, result
from ds01ctl.commands.importing_cron import Asked
from ds01ctl.commands.stepping import Step
from ds01ctl.core.plan import Action, Result
from ds01ctl.cron.fields import REBOOT
from ds01ctl.cron.marker import marked
from ds01ctl.cron.translate import Options, place, translate
from ds01ctl.errors import Ds01Error
from ds01ctl.lock import job_lock
from ds01ctl.unitfiles.stamp import stamped, state_of

COMMAND = "units take-over"


def take_over(
    asked: Asked,
    wanted: Sequence[str] = (),
    *,
    everything: bool = False,
    dry_run: bool = False,
    is_live: bool | None = None,
    clock: Clock = CLOCK,
) -> Result:
    """Start the timers of lines and comment the lines out; wanted: names of units.

    Raises Ds01Error before anything is changed: for a name that is not known, units that are not
    installed or not up to date. What fails later leaves that line to cron, and is told.
    """
    with job_lock(asked.paths, LOCK):
        here = look(asked, is_live, clock)
        groups, done = _groups(here), here.marks()
        if everything:
            # a folder that nothing runs today has to be asked for
            names = [job.name for job in here.jobs if job.entry.line]
        else:
            names = chosen(here, wanted, {*groups, *done})
        picked = {groups[name][0].name: groups[name] for name in names if name in groups}
        problems = [why for jobs in picked.values() for job in jobs for why in _unready(here, job)]
        if not problems and here.is_live:
            _refuse_unsound([job.name for jobs in picked.values() for job in jobs])
        if problems:
            hint = f"ds01ctl units import-cron --out {here.unit_dir}"
            raise Ds01Error("\n".join(["nothing was changed:", *problems]), hint)
        plans = [_steps(here, jobs) for jobs in picked.values()]
        plans += [_again(here, name) for name in names if name not in groups]
        return result(COMMAND, here, plans, dry_run=dry_run)


def _groups(here: Place) -> dict[str, list[Job]]:
    """Join lines that are all the same: a service can't tell which of them still stands."""
    alike: dict[tuple[str, str], list[Job]] = {}
    for job in here.jobs:
        alike.setdefault((job.entry.file, job.entry.text or job.name), []).append(job)
    return {job.name: group for group in alike.values() for job in group}


def _unready(here: Place, job: Job) -> list[str]:
    """Tell why units are not fit to take their line over."""
    session = session_of(here.asked.paths)
    pairs = [
        translate(job.entry, job.name, Options(journal, session))._asdict()
        for journal in (False, True)
    ]
    problems = []
    for kind in ("service", "timer"):
        path = here.unit_dir / f"{job.name}.{kind}"
        try:
            found = path.read_bytes().decode(errors="surrogateescape")
        except OSError as error:
            problems.append(f"{path}: {error.strerror}")
            continue
        if not any(_is_of(found, pair[kind]) for pair in pairs):
            problems.append(f"{path}: is not what {place(job.entry)} is now")
    return problems


def _is_of(found: str, text: str) -> bool:
    """Tell whether a file is the unit of a line; what an admin edited is his, but for its heart."""
    if state_of(found) == "ours":
        return found == stamped(text)
    return _decisive(found) == _decisive(text)


def _refuse_unsound(names: Sequence[str]) -> None:
    """Refuse what systemd does not load, and what it would run as it was before.

    It keeps in memory what timers.target wants.
    """
    units = [f"{name}.{kind}" for name in names for kind in ("timer", "service")]
    known = systemctl.show(units) if units else {}
    unsound = [f"{name}: {unit.load}" for name, unit in known.items() if unit.load != "loaded"]
    if unsound:
        hint = "systemd-analyze verify says why; nothing would run the job"
        told = ["nothing was changed: systemd does not load", *unsound]
        raise Ds01Error("\n".join(told), hint)
    # one that failed is forgotten first, and read anew
    stale = [n for n, unit in known.items() if unit.needs_reload and unit.active != "failed"]
    if stale:
        told = [f"{name}: systemd has an older definition in its memory" for name in stale]
        hint = (
            "leave the line to cron until the next boot; a daemon-reload would do, too, but can"
            " take the GPUs away from running containers"
        )
        raise Ds01Error("\n".join(["nothing was changed:", *told]), hint)


def _forgetting(names: Sequence[str]) -> list[Step]:
    failed = [name for name, unit in systemctl.show(names).items() if unit.active == "failed"]
    why = "a failed unit keeps its old definition"
    action = Action("reset-failed", " ".join(failed), why)
    return [Step(action, lambda: systemctl.reset_failed(failed))] if failed else []


def _decisive(text: str) -> list[str]:
    """List the lines of a unit that decide who runs the job and when."""
    keys = ("User=", "ExecCondition=", "OnCalendar=", "OnBootSec=")
    return [line for line in text.splitlines() if line.startswith(keys)]


def _steps(here: Place, jobs: Sequence[Job]) -> list[Step]:
    """Enable and start, then comment the lines out: until then the services do nothing."""
    steps = _forgetting([f"{job.name}.service" for job in jobs]) if here.is_live else []
    for job in jobs:
        steps += _on(here, job.name, starts=job.entry.schedule is not None)
    entry = jobs[0].entry
    if entry.line:
        path = next(f.source.path for f in here.host.files if f.source.place == entry.file)
        lines = {job.entry.line: (job.entry.text, marked(job.name, job.entry.text)) for job in jobs}
        what = ", ".join(place(job.entry) for job in jobs)
        told = Action("comment-out", what, "its timer runs it from now on")
        steps.append(edit_step(here, path, lines, told))
    return steps


def _again(here: Place, name: str) -> list[Step]:
    """See to the timer of a line that was handed over before; nothing is undone in that."""
    _, mark = here.marks()[name][0]
    starts = not mark.text.lstrip(" \t").startswith(REBOOT)
    return [step._replace(undo=None) for step in _on(here, name, starts=starts)]


def _on(here: Place, name: str, *, starts: bool) -> list[Step]:
    timer = f"{name}.timer"
    steps = [
        Step(
            Action("enable", timer, "it is started at boot"),
            lambda: systemctl.enable([timer], here.root),
            lambda: systemctl.disable([timer], here.root),
        )
    ]
    # the timer of an @reboot line would run the job at its start, and not only at boot
    if here.is_live and starts:
        steps.append(
            Step(
                Action("start", timer, "its service waits until the line is out of cron"),
                lambda: systemctl.start([timer]),
                lambda: systemctl.stop([timer]),
            )
        )
    return steps
