"""Check units and the files beside them before they are installed: nothing of the host changes."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ds01ctl import jobs as rows
from ds01ctl.commands.gathering import utcnow
from ds01ctl.core import schedule_checks, unit_rules
from ds01ctl.core.plan import Finding, Result
from ds01ctl.core.problem import Problem, in_order
from ds01ctl.core.unit_text import UnitFile
from ds01ctl.errors import Ds01Error, UsageError
from ds01ctl.unitfiles.files import HostFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ds01ctl.core.model import Gap
    from ds01ctl.core.schedule_checks import Calendar, Schedule
    from ds01ctl.jobs import Job
    from ds01ctl.observe.unit_checks import Checked
    from ds01ctl.paths import Paths

UNIT_ENDS = (
    ".service", ".timer", ".target", ".socket", ".path", ".slice", ".mount", ".automount", ".swap",
)  # fmt: skip
_FOLDERS = ("logrotate.d", "tmpfiles.d", "journald.conf.d")
"""What is not a unit is known by the folder that it lies in."""
_NEXT = 3
"""So many of a schedule's next runs are told."""


class Asked(NamedTuple):
    """What `units verify` is asked on."""

    paths: Paths
    given: tuple[Path, ...]
    """Folders or files; none: what is rendered for this host."""
    host: str
    now: datetime


class Verified(NamedTuple):
    """What the checks found, and which of them could not be made."""

    problems: tuple[Problem, ...]
    gaps: tuple[Gap, ...]
    exposures: Mapping[str, float] = {}
    schedules: tuple[Schedule, ...] = ()
    calendars: Mapping[str, Calendar] = {}


def verify(
    asked: Asked, files: Sequence[HostFile], jobs: Sequence[Job], gaps: Sequence[Gap] = ()
) -> Result:
    """Check what is given, or else these files. Raises Ds01Error and UsageError."""
    if asked.given:
        files = given_files(asked.given)
        names = {file.name for file in files}
        jobs = [job for job in jobs if f"{job.unit}.timer" in names]
    checked = problems(files, jobs, asked.paths, now=asked.now)
    weighty = [one for one in checked.problems if one.severity != "info"]
    return Result(
        "units verify",
        asked.host,
        asked.now,
        gaps=(*gaps, *checked.gaps),
        findings=tuple(map(_finding, weighty)),
        data=_data(files, checked, jobs),
        failed_gaps=bool(checked.gaps),
    )


def problems(
    files: Sequence[HostFile], jobs: Sequence[Job], paths: Paths, now: datetime | None = None
) -> Verified:
    """Check files as they would be installed, and the jobs behind them. Raises Ds01Error."""
    from ds01ctl.observe import calendar, program_checks, unit_checks

    units = _units(files)
    schedules = schedule_checks.schedules(units, jobs)
    whole = _with_drop_ins(units, paths)
    checked = unit_checks.check(whole)
    asked = calendar.read([one.expression for one in schedules], now or utcnow())
    beside = [_beside(file, paths) for file in files if _folder(file) in _FOLDERS]
    found = [
        *_of_schedules(schedules, asked.found, jobs, checked.problems),
        *unit_rules.problems(units, _services(jobs), unit_checks.units_there(paths)),
        *_too_exposed(checked, units, jobs),
        *program_checks.check(unit_checks.commands(units), paths),
        *_unreached(whole, files, jobs, paths),
        *(problem for told, _ in beside for problem in told),
    ]
    gaps = (*checked.gaps, *asked.gaps, *(gap for _, told in beside for gap in told))
    return Verified(
        in_order(found), tuple(dict.fromkeys(gaps)), checked.exposures, schedules, asked.found
    )


def _of_schedules(
    schedules: Sequence[Schedule],
    calendars: Mapping[str, Calendar],
    jobs: Sequence[Job],
    by_systemd: Sequence[Problem],
) -> list[Problem]:
    """Judge the schedules; what systemd says of a timer whose schedule is bad is left out."""
    by_schedule = schedule_checks.problems(schedules, calendars)
    bad = [one.where for one in by_schedule if one.kind == "bad-schedule"]
    named = {*bad, *(where.rpartition(":")[0] for where in bad)}
    return [
        *schedule_checks.row_problems(jobs),
        *by_schedule,
        *(one for one in by_systemd if one.where not in named),
        *schedule_checks.overlaps(schedules, calendars, jobs),
    ]


def _units(files: Iterable[HostFile]) -> list[UnitFile]:
    return [
        UnitFile(_unit_name(file), file.text, file.place)
        for file in files
        if _folder(file) not in _FOLDERS
    ]


def _unit_name(file: HostFile) -> str:
    """Give the name; of a drop-in with its folder."""
    folder = _folder(file)
    is_drop_in = file.name.endswith(".conf") and folder.endswith(".d")
    return f"{folder}/{file.name}" if is_drop_in else file.name


def _folder(file: HostFile) -> str:
    return file.place.rpartition("/")[0].rpartition("/")[2]


def _with_drop_ins(units: Sequence[UnitFile], paths: Paths) -> list[UnitFile]:
    """Add what an admin has changed, for systemd reads it with the unit."""
    from ds01ctl.observe.unit_checks import drop_ins

    known = {unit.name for unit in units}
    admins = drop_ins([name for name in known if "/" not in name], paths)
    added = [
        UnitFile(name, text, path, is_admins=True)
        for name, text, path in admins
        if name not in known
    ]
    return [*units, *added]


def _too_exposed(checked: Checked, units: Sequence[UnitFile], jobs: Sequence[Job]) -> list[Problem]:
    places = {unit.name: unit.where for unit in units}
    most = _most(jobs)
    return [
        Problem(
            "warning",
            "exposed",
            places.get(name, name),
            f"systemd-analyze security says {figure}, and {most[name]} is the most for this job",
            "shut what it does not need, or tell in its row why it needs it",
        )
        for name, figure in checked.exposures.items()
        if name in most and figure > most[name]
    ]


def _unreached(
    units: Sequence[UnitFile], files: Sequence[HostFile], jobs: Sequence[Job], paths: Paths
) -> list[Problem]:
    from ds01ctl.commands import reaching

    # of an image that is being made, the owners are those of its maker
    is_image = paths.root != Path("/")
    return [] if is_image else reaching.problems(units, _services(jobs), files, paths)


def _most(jobs: Sequence[Job]) -> dict[str, float]:
    return {f"{job.unit}.service": job.exposure for job in (*jobs, rows.FAILURE, rows.START)}


def _services(jobs: Sequence[Job]) -> frozenset[str]:
    return frozenset(_most(jobs))


def _beside(file: HostFile, paths: Paths) -> tuple[Sequence[Problem], Sequence[Gap]]:
    """Check a file that is not a unit."""
    from ds01ctl.observe import journald_checks, logrotate_checks, tmpfiles_checks

    where, name = file.place, file.name
    match _folder(file):
        case "logrotate.d":
            place = f"{logrotate_checks.FOLDER}/{name}"
            rotated = logrotate_checks.check(place, file.text, where, paths)
            return rotated.problems, rotated.gaps
        case "tmpfiles.d":
            place = f"{tmpfiles_checks.FOLDERS[0]}/{name}"
            made = tmpfiles_checks.check(place, file.text, where, paths)
            return made.problems, made.gaps
        case _:
            place = f"/etc/systemd/journald.conf.d/{name}"
            return journald_checks.check(place, file.text, where, paths), ()


# --- files that are named on the command line ---


def given_files(given: Iterable[Path]) -> tuple[HostFile, ...]:
    """Read the files that are named, and those in the folders that are. Raises Ds01Error."""
    found: dict[Path, HostFile] = {}
    for path in given:
        members = _members(path)
        if not members:
            hint = "name a folder with units, or one made by ds01ctl units generate"
            raise UsageError(f"{path}: no units in it", hint)
        found |= {one: _read(one) for one in members}
    return tuple(found.values())


def _members(folder: Path) -> list[Path]:
    """List a folder's units with their drop-ins, and what lies in the folders beside; or a file."""
    try:
        if not folder.is_dir():
            return [folder]
        beside = [folder / name for name in ("units", *_FOLDERS)]
        drop_ins = [one for one in folder.glob("*.d") if one.name not in _FOLDERS and one.is_dir()]
        return sorted(
            one
            for place in (folder, *beside, *drop_ins)
            if place.is_dir()
            for one in place.iterdir()
            if one.is_file() and _is_ours_to_check(one)
        )
    except OSError as error:
        raise Ds01Error(f"{error.filename}: {error.strerror}", "run it as root") from None


def _is_ours_to_check(path: Path) -> bool:
    folder = path.absolute().parent.name
    if folder in _FOLDERS:
        return not path.name.startswith(".")
    stem = folder.removesuffix(".d")
    is_drop_in = path.name.endswith(".conf") and stem != folder and stem.endswith(UNIT_ENDS)
    return path.name.endswith(UNIT_ENDS) or is_drop_in


def _read(path: Path) -> HostFile:
    if not _is_ours_to_check(path):
        hint = f"name a unit (*.service, *.timer, …), or a file in {', '.join(_FOLDERS)}"
        raise UsageError(f"{path}: not a unit", hint)
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        hint = "run it as root" if isinstance(error, PermissionError) else "correct the path"
        raise Ds01Error(f"{path}: {error.strerror}", hint) from None
    return HostFile(str(path), str(path.absolute()), text)


# --- what is told ---


def _finding(problem: Problem) -> Finding:
    return Finding(
        kind=f"unit-{problem.kind}",
        severity="critical" if problem.severity == "error" else "warning",
        user=None,
        subject={"where": problem.where},
        evidence=(problem.what, problem.fix),
        key=(problem.kind, problem.where, problem.what),
    )


def _data(files: Sequence[HostFile], checked: Verified, jobs: Sequence[Job]) -> dict[str, Any]:
    most = _most(jobs)
    return {
        "files": sorted(file.place for file in files),
        "problems": [one._asdict() for one in checked.problems],
        "exposures": [
            {"service": name, "exposure": figure, "exposure_max": most.get(name)}
            for name, figure in sorted(checked.exposures.items())
        ],
        "schedules": [_schedule(one, checked) for one in checked.schedules],
    }


def _schedule(schedule: Schedule, checked: Verified) -> dict[str, Any]:
    calendar = checked.calendars.get(schedule.expression)
    return {
        "unit": schedule.unit,
        "expression": schedule.expression,
        "delay_max_s": schedule.delay_s,
        "next": list(calendar.instants[:_NEXT]) if calendar else None,
    }
