"""Give lines back to cron, byte for byte."""

from __future__ import annotations

from collections.abc import Sequence

from ds01ctl.act import systemctl
from ds01ctl.commands.cron_sources import Read, known_of
from ds01ctl.commands.handover import CLOCK, LOCK, Clock, Place, chosen, edit_step, look, result
from ds01ctl.commands.importing_cron import Asked
from ds01ctl.commands.stepping import Step
from ds01ctl.core.plan import Action, Result
from ds01ctl.cron.crontab import parse
from ds01ctl.cron.fields import REBOOT
from ds01ctl.cron.marker import Mark, marked
from ds01ctl.cron.naming import fits
from ds01ctl.errors import Ds01Error
from ds01ctl.lock import job_lock

COMMAND = "units give-back"
_HINT = "make it `#ds01ctl NAME.timer: ` and the line as it was, or a line of cron again"


def give_back(
    asked: Asked,
    wanted: Sequence[str] = (),
    *,
    everything: bool = False,
    dry_run: bool = False,
    is_live: bool | None = None,
    clock: Clock = CLOCK,
) -> Result:
    """Put lines back into their crontabs and stop their timers; wanted: names of units.

    Raises Ds01Error before anything is changed: for a name that is not known, or a marked line
    that was changed by hand.
    """
    with job_lock(asked.paths, LOCK):
        here = look(asked, is_live, clock)
        marks = here.marks()
        if everything:
            # a run that was killed may have left a timer whose line is back already
            left = [job.name for job in here.jobs if here.is_enabled(job.name)]
            names = sorted({*marks, *left})
        else:
            names = chosen(here, wanted, {*marks, *(job.name for job in here.jobs)})
        changed = {name: rows for name in names if (rows := _unlike(here, marks.get(name, [])))}
        if changed and not everything:
            problems = [text for rows in changed.values() for text in rows]
            told = ["a marked line was changed by hand; nothing was given back:", *problems]
            raise Ds01Error("\n".join(told), _HINT)
        # one user's edit must not hold the lines of all the others back
        plans = _plans(here, [name for name in names if name not in changed])
        done = result(COMMAND, here, plans, dry_run=dry_run)
        return done._replace(actions=(*done.actions, *map(_left, changed, changed.values())))


def _left(name: str, rows: Sequence[str]) -> Action:
    """Tell of a line that stays with its timer."""
    why = f"a marked line was changed by hand: {'; '.join(rows)}: {_HINT}"
    return Action("put-back", f"{name}.timer", "cron runs it again", "failed", why)


def _unlike(here: Place, found: Sequence[tuple[Read, Mark]]) -> list[str]:
    """Tell what in the marked lines of a unit is not as it was marked: the name has a digest."""
    known = known_of(here.asked.paths)
    problems = []
    for file, mark in found:
        line = f"{mark.text}\n".encode(errors="surrogateescape")
        entries = parse(line, file.source.place, known, owner=file.source.owner).entries
        if len(found) > 1 or len(entries) != 1 or not fits(mark.name, entries[0]):
            problems.append(f"{file.source.place}:{mark.line}: {marked(mark.name, mark.text)}")
    return problems


def _plans(here: Place, names: Sequence[str]) -> list[list[Step]]:
    """Plan for each line, and for those that are all the same together."""
    marks = here.marks()
    groups: dict[tuple[str, str], list[tuple[Read, Mark]]] = {}
    for found in marks.values():
        for file, mark in found:
            groups.setdefault((file.source.place, mark.text), []).append((file, mark))
    plans = [
        _steps(here, group)
        for group in groups.values()
        if {mark.name for _, mark in group} & {*names}
    ]
    return plans + [_off(here, name) for name in names if name not in marks]


def _steps(here: Place, group: Sequence[tuple[Read, Mark]]) -> list[Step]:
    """Put the lines back, which silences their services, then stop the timers."""
    file = group[0][0]
    lines = {mark.line: (marked(mark.name, mark.text), mark.text) for _, mark in group}
    what = ", ".join(f"{file.source.place}:{line}" for line in lines)
    back = edit_step(here, file.source.path, lines, Action("put-back", what, "cron runs it again"))
    # the timer of an @reboot line would run the job when it is started
    starts = not group[0][1].text.lstrip(" \t").startswith(REBOOT)
    return [back, *(step for _, mark in group for step in _off(here, mark.name, starts=starts))]


def _off(here: Place, name: str, *, starts: bool = False) -> list[Step]:
    timer = f"{name}.timer"
    steps = [
        Step(
            Action("disable", timer, "cron has its line"),
            lambda: systemctl.disable([timer], here.root),
            lambda: systemctl.enable([timer], here.root),
        )
    ]
    if here.is_live:
        stop = Action("stop", timer, "cron has its line")
        undo = (lambda: systemctl.start([timer])) if starts else None
        steps.append(Step(stop, lambda: systemctl.stop([timer]), undo))
    return steps
