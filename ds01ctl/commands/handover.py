"""What handing a line of cron over, and taking it back, have in common.

Cron and the timer are kept apart by the service itself: it does nothing as long as its line stands
in the crontab (ExecCondition=). So the one rename that comments the line out, or puts it back, is
the moment of the change, and what is killed before or after it can be run again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from ds01ctl.act import systemctl
from ds01ctl.commands.cron_edit import replace_lines
from ds01ctl.commands.cron_jobs import Job, jobs_of
from ds01ctl.commands.cron_sources import Host, Read, read_host
from ds01ctl.commands.importing_cron import Asked
from ds01ctl.commands.stepping import Step, carry_out
from ds01ctl.core.plan import Action, Result
from ds01ctl.cron.marker import Mark
from ds01ctl.cron.translate import WANTED_BY
from ds01ctl.errors import Ds01Error, UsageError
from ds01ctl.unitfiles.files import UNIT_DIR

LOCK = "units"
_QUIET = range(10, 50)
"""Seconds of a minute in which neither cron nor a timer starts anything, on a slow host neither."""


class Clock(NamedTuple):
    """The wall clock, and how to wait by it."""

    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep

    def wait_for_quiet(self) -> None:
        """Wait past the turn of the minute: cron reads its files and starts jobs just after it."""
        second = int(self.now()) % 60
        if second not in _QUIET:
            self.sleep((_QUIET.start - second) % 60)


CLOCK = Clock()


class Place(NamedTuple):
    """Where a change is made, and what is there."""

    asked: Asked
    is_live: bool
    """systemd runs here; else timers are enabled in the files only."""
    clock: Clock
    host: Host
    jobs: tuple[Job, ...]
    """Lines that cron has, and folders that nothing runs; files with a problem left out."""

    @property
    def root(self) -> Path | None:
        """Name the tree to enable units in; None for the running host."""
        return None if self.is_live else self.asked.paths.root

    @property
    def unit_dir(self) -> Path:
        """Name the folder of the units."""
        return self.asked.paths.under(UNIT_DIR)

    def is_enabled(self, name: str) -> bool:
        """Tell whether a line's timer is started at boot."""
        return (self.unit_dir / f"{WANTED_BY}.wants" / f"{name}.timer").is_symlink()

    def marks(self) -> dict[str, list[tuple[Read, Mark]]]:
        """Give the lines that were handed over, by the name of their units."""
        found: dict[str, list[tuple[Read, Mark]]] = {}
        for file in self.host.files:
            for mark in file.crontab.marks:
                found.setdefault(mark.name, []).append((file, mark))
        return found


def look(asked: Asked, is_live: bool | None, clock: Clock) -> Place:
    """Read the crontabs; is_live None: find out."""
    live = systemctl.is_live(asked.paths.root) if is_live is None else is_live
    host = read_host(asked.paths)
    # as cron does: it ignores a whole file for one problem
    sound = host._replace(files=tuple(f for f in host.files if not f.crontab.problems))
    jobs = jobs_of(sound, asked.paths, with_folders=True)
    return Place(asked, live, clock, host, tuple(job for job in jobs if job.is_made))


def chosen(here: Place, wanted: Sequence[str], known: Iterable[str]) -> list[str]:
    """Check names that were asked for, with or without a suffix. Raises Ds01Error, UsageError."""
    if not wanted:
        raise UsageError("no unit was named", "name units, or give --all")
    names = [name.removesuffix(".timer").removesuffix(".service") for name in wanted]
    there = sorted(known)
    for name in names:
        if name not in there:
            raise Ds01Error(f"{name}: no line of cron has this unit", _hint(here, name, there))
    return list(dict.fromkeys(names))


def _hint(here: Place, name: str, known: Sequence[str]) -> str:
    broken = [str(remark) for file in here.host.files for remark in file.crontab.problems]
    if broken:
        return f"a crontab with a problem is left alone: {broken[0]}"
    near = get_close_matches(name, known, 1, 0.6)
    return f"did you mean {near[0]}?" if near else "ds01ctl units import-cron lists them"


def edit_step(here: Place, path: Path, lines: Mapping[int, tuple[str, str]], told: Action) -> Step:
    """Change lines of a crontab, in a second in which nothing starts."""
    changed: list[Path] = []

    def do() -> None:
        if here.is_live:
            here.clock.wait_for_quiet()
        replace_lines(path, lines)
        changed.append(path)

    def undo() -> None:
        if changed:
            replace_lines(path, {number: (new, old) for number, (old, new) in lines.items()})

    return Step(told, do, undo)


def result(command: str, here: Place, plans: Sequence[Sequence[Step]], *, dry_run: bool) -> Result:
    """Carry plans out, each wholly or not at all, and tell what came of them."""
    actions: list[Action] = []
    for steps in plans:
        actions += [step.action for step in steps] if dry_run else _carried_out(steps)
    broken = sorted({str(f.source.place) for f in here.host.files if f.crontab.problems})
    data = {"is_live": here.is_live, "crontabs_with_problems": broken}
    asked = here.asked
    return Result(command, asked.host, asked.now, here.host.gaps, (), tuple(actions), data)


def _carried_out(steps: Sequence[Step]) -> tuple[Action, ...]:
    try:
        return carry_out(steps)
    except Ds01Error as error:
        return tuple(step.action._replace(outcome="failed", error=error.message) for step in steps)
