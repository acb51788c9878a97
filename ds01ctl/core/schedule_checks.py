"""Judge schedules: when they never fire, miss midnight, meet the clock change, or overlap.

Source: systemd.time(7); what `*:0/7` does at midnight was measured on systemd 252.
"""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta
from itertools import combinations, pairwise
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.core.problem import Problem
from ds01ctl.core.unit_text import directives, values
from ds01ctl.jobs import problems_of, span_s

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ds01ctl.core.unit_text import UnitFile
    from ds01ctl.jobs import Job

HORIZON = timedelta(days=8)
"""How far overlaps are looked for: every weekday once, and one twice."""
_HOUR = timedelta(hours=1)
_CLOCK_CHANGE = (time(1), time(3))
_ZONE = re.compile(r"(?!(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*$)[A-Z][\w+-]*(?:/[\w+-]+)*", re.ASCII)
_STEP = re.compile(r"(?<![\d.])(\d{1,2})/(\d{1,2})(?!\d)", re.ASCII)


class Calendar(NamedTuple):
    """What systemd makes of a calendar expression."""

    error: str | None = None
    walls: tuple[datetime, ...] = ()
    """The next times that the clock on the wall shows in its zone."""
    instants: tuple[datetime, ...] = ()
    """The same in UTC."""


class Schedule(NamedTuple):
    """One OnCalendar= line."""

    unit: str
    """Without its suffix."""
    where: str
    expression: str
    delay_s: int = 0
    """It begins up to so much later."""
    timeout_s: int = 0
    lock: str = ""
    key: str | None = None
    """The policy's key for it."""

    @property
    def fix(self) -> str:
        """Say where to change it."""
        return f"set {self.key} in the policy" if self.key else "change OnCalendar="

    def problem(self, kind: str, what: str, fix: str = "") -> Problem:
        """Name an error of this schedule."""
        return Problem("error", kind, self.where, what, f"{self.fix}{fix}")


def schedules(files: Sequence[UnitFile], jobs: Iterable[Job]) -> tuple[Schedule, ...]:
    """Find every OnCalendar= line, with what is known of its job."""
    rows = {job.unit: job for job in jobs}
    return tuple(
        schedule
        for file in files
        if file.name.endswith(".timer")
        for schedule in _schedules(file, rows.get(file.name.removesuffix(".timer")))
    )


def _schedules(file: UnitFile, job: Job | None) -> Iterator[Schedule]:
    lines = directives(file.text)
    delays = values(lines, "RandomizedDelaySec")
    for line in values(lines, "OnCalendar"):
        yield Schedule(
            unit=file.name.removesuffix(".timer"),
            where=file.at(line.line),
            expression=line.value,
            delay_s=_seconds(delays[-1].value) if delays else 0,
            timeout_s=job.timeout_s if job else 0,
            lock=(job.lock or job.name) if job else "",
            key=f"jobs.{job.name}.schedule" if job else None,
        )


def _seconds(text: str) -> int:
    return int(text) if text.isdecimal() else span_s(text) or 0


def split_zone(expression: str) -> tuple[str, str]:
    """Split ``05:10 Europe/Berlin`` into the expression and its zone, which may be empty."""
    rest, _, last = expression.rpartition(" ")
    return (rest, last) if rest and _ZONE.fullmatch(last) else (expression, "")


# --- one by one ---


def row_problems(jobs: Sequence[Job]) -> list[Problem]:
    """Judge the rows themselves: what is missing in one, and what two have in common."""
    found = [
        Problem("error", "bad-job", f"job {job.name}", told, "correct its row, or its schedule")
        for job in jobs
        for told in problems_of(job)
    ]
    for one, other in combinations(jobs, 2):
        if one.name == other.name:
            what = "two jobs have this name: one's units would take the place of the other's"
            found.append(Problem("error", "bad-job", f"job {one.name}", what, "rename one"))
    return found


def problems(found: Sequence[Schedule], calendars: Mapping[str, Calendar]) -> list[Problem]:
    """Judge each schedule by itself."""
    told: list[Problem] = []
    for schedule in found:
        calendar = calendars.get(schedule.expression)
        if calendar is None:
            continue
        if calendar.error:
            told.append(
                schedule.problem(
                    "bad-schedule",
                    calendar.error,
                    f"; try it with: systemd-analyze calendar '{schedule.expression}'",
                )
            )
        elif not calendar.walls:
            what = f"{schedule.expression!a} never fires again"
            told.append(schedule.problem("never-fires", what, " to a time that is yet to come"))
        else:
            told += _steps(schedule)
            told += _crowded(schedule, calendar.walls)
            told += _clock(schedule, calendar.walls)
    return told


def _crowded(schedule: Schedule, walls: Sequence[datetime]) -> Iterator[Problem]:
    """See that a run has ended before the next begins: systemd would leave that one out."""
    gap = min((later - earlier for earlier, later in pairwise(walls)), default=timedelta.max)
    if gap <= timedelta(seconds=schedule.timeout_s):
        what = (
            f"a run may take {schedule.timeout_s} s, and by {schedule.expression!a} the next begins"
            f" after {gap.total_seconds():.0f} s"
        )
        yield schedule.problem("crowded", what, " to times further apart")


def _steps(schedule: Schedule) -> Iterator[Problem]:
    expression, _ = split_zone(schedule.expression)
    clock = expression.split()[-1]
    if ":" not in clock:
        return
    better = clock
    for index, part in enumerate(clock.split(":")):
        for step in _STEP.finditer(part):
            if wanted := _whole_step(int(step[1]), int(step[2]), is_hour=index == 0):
                better = better.replace(step[0], wanted, 1)
    if better != clock:
        what = f"{clock!a} can skip the run at midnight: its steps do not come out even"
        good = schedule.expression.replace(clock, better)
        yield schedule.problem("step-at-midnight", what, f", and write {good!a}")


def _whole_step(first: int, step: int, *, is_hour: bool) -> str:
    """Spell a step that does not come out even by its range; empty: it is right as it is."""
    size = 24 if is_hour else 60
    if not step or size % step == 0:
        return ""
    return f"{first}..{size - 1}/{step}" if first + step < size else str(first)


def _clock(schedule: Schedule, walls: Sequence[datetime]) -> Iterator[Problem]:
    if split_zone(schedule.expression)[1] == "UTC" or _is_frequent(walls):
        return
    delay = timedelta(seconds=schedule.delay_s)
    if any(_meets_midnight(wall, delay) for wall in walls):
        what = f"{schedule.expression!a} may run at 00:00, when much else does, and dates change"
        fix = f"{schedule.fix} to some minutes later"
        yield Problem("warning", "runs-at-midnight", schedule.where, what, fix)
    if any(_meets_change(wall, delay) for wall in walls):
        what = (
            f"{schedule.expression!a} may run between 01:00 and 03:00, hours that the clock skips"
            " in spring and repeats in autumn: that night it runs twice, or not at all"
        )
        fix = f"{schedule.fix} to another hour, or append UTC to it"
        yield Problem("warning", "clock-change", schedule.where, what, fix)


def _is_frequent(walls: Sequence[datetime]) -> bool:
    """Tell whether it runs every hour: then one run more or less does no harm."""
    gaps = [later - earlier for earlier, later in pairwise(walls)]
    return bool(gaps) and max(gaps) <= _HOUR


def _meets_midnight(begin: datetime, delay: timedelta) -> bool:
    return begin.time() == time() or (begin + delay).date() != begin.date()


def _meets_change(begin: datetime, delay: timedelta) -> bool:
    first, last = _CLOCK_CHANGE
    day = begin.date() if begin.time() < last else begin.date() + timedelta(days=1)
    return begin < datetime.combine(day, last) and begin + delay >= datetime.combine(day, first)


# --- two by two ---


def overlaps(
    found: Sequence[Schedule], calendars: Mapping[str, Calendar], jobs: Sequence[Job]
) -> list[Problem]:
    """Name the pairs of jobs that may run at the same time."""
    runs = [job for job in jobs if job.enabled]
    enabled = {job.unit for job in runs}
    listed = [one for one in found if one.unit in enabled]
    told = _sharing([job for job in runs if job.every_s], runs)
    for one, other in combinations(listed, 2):
        if one.unit != other.unit and (when := _first_meeting(one, other, calendars)):
            told.append(_meeting(one, other, when))
    return told


def _sharing(polling: Iterable[Job], jobs: Iterable[Job]) -> list[Problem]:
    """Name jobs of which one, run every few seconds or minutes, may find the other's lock held."""
    pairs = {
        frozenset((one.name, other.name)): one.lock or one.name
        for one in polling
        for other in jobs
        if one.name != other.name and (one.lock or one.name) == (other.lock or other.name)
    }
    return [
        Problem(
            "info",
            "shared-lock",
            f"job {' and job '.join(sorted(pair))}",
            f"they share the lock {lock!a}: while one runs, a run of the other is left out",
            "nothing, if that is what is wanted",
        )
        for pair, lock in pairs.items()
    ]


def _meeting(one: Schedule, other: Schedule, when: datetime) -> Problem:
    where = f"{one.unit}.timer and {other.unit}.timer"
    what = f"their runs may overlap, first on {when:%a %Y-%m-%d} at {when:%H:%M} UTC"
    if one.lock and one.lock == other.lock:
        what += f"; they share the lock {one.lock!a}, so one of the runs would be left out"
        fix = f"{one.fix}, or {other.key or other.where}, to a time further apart"
        return Problem("warning", "overlap", where, what, fix)
    return Problem("info", "overlap", where, what, "nothing, if the host bears both at once")


def _first_meeting(
    one: Schedule, other: Schedule, calendars: Mapping[str, Calendar]
) -> datetime | None:
    """Find the first moment at which both may run."""
    windows = [_windows(each, calendars.get(each.expression, Calendar())) for each in (one, other)]
    left, right = windows
    i = j = 0
    while i < len(left) and j < len(right):
        begin = max(left[i][0], right[j][0])
        if begin < min(left[i][1], right[j][1]):
            return begin
        i, j = (i + 1, j) if left[i][1] <= right[j][1] else (i, j + 1)
    return None


def _windows(schedule: Schedule, calendar: Calendar) -> list[tuple[datetime, datetime]]:
    length = timedelta(seconds=schedule.delay_s + max(schedule.timeout_s, 1))
    instants = calendar.instants
    return [(at, at + length) for at in instants if at - instants[0] < HORIZON]
