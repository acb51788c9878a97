"""Find out what the files for this host depend on, and what is there of them."""

from __future__ import annotations

import grp
import pwd
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl import jobs
from ds01ctl.commands.gathering import load_policy
from ds01ctl.core.placing import NOTHING, Found
from ds01ctl.errors import Ds01Error, UsageError
from ds01ctl.unitfiles.files import PROGRAM, UNIT_DIR, Site, render
from ds01ctl.unitfiles.stamp import state_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ds01ctl.core.model import Gap
    from ds01ctl.core.policy import Policy
    from ds01ctl.paths import Paths
    from ds01ctl.unitfiles.files import HostFile

_FOLDERS = (jobs.STATE, jobs.LOGS)
CRON_PREFIX = "ds01-cron-"
"""Units made from cron lines; `units import-cron` looks after them."""


class OnHost(NamedTuple):
    """What the host should have."""

    site: Site
    policy: Policy
    gaps: tuple[Gap, ...]
    files: tuple[HostFile, ...]

    @property
    def wanted(self) -> dict[str, str]:
        """Give the text of each file by its place."""
        return {file.place: file.text for file in self.files}


def site_of(paths: Paths, config: Path | None, program: str | None) -> OnHost:
    """Read the policy and the host. Raises Ds01Error for a policy that cannot be used."""
    loaded = load_policy(paths, config)
    policy = loaded.policy
    rows = jobs.scheduled(policy.value)
    _check_rows(rows, policy)
    secret = policy.value("mail.password_file") if policy.value("mail.user") else None
    site = Site(
        jobs=rows,
        program=_program(paths, program),
        events_path=str(policy.value("events.path")),
        textfile_dir=str(policy.value("metrics.textfile_dir")),
        mail_secret=str(secret or ""),
        grid_secret=str(policy.value("carbon.token_file") or ""),
        found=_like(paths, (*_FOLDERS, str(policy.value("events.path")))),
    )
    return OnHost(site, policy, loaded.gaps, render(site))


def _check_rows(rows: Iterable[jobs.Job], policy: Policy) -> None:
    problems = []
    for job in rows:
        origin = policy.setting(f"jobs.{job.name}.schedule").origin
        place = f"{origin.file}:{origin.line}: " if origin and origin.file else ""
        key = f"jobs.{job.name}.schedule" if place else f"job {job.name}"
        problems += [f"{place}{key}: {told}" for told in jobs.problems_of(job)]
    if problems:
        raise Ds01Error("\n".join(problems), "correct the schedule, then run it again")


def _program(paths: Paths, wanted: str | None) -> str:
    """Find the program that the units are to run."""
    if wanted is not None:
        if not wanted.startswith("/") or not wanted.isprintable() or "$" in wanted:
            hint = f"give it like {PROGRAM}"
            raise UsageError(f"--program {wanted!a}: not the absolute path of a program", hint)
        return wanted
    if str(paths.root) != "/":
        return PROGRAM
    for place in (Path(sys.argv[0]).absolute(), Path(sys.executable).with_name("ds01ctl")):
        if place.name == "ds01ctl" and place.is_file():
            return str(place)
    return PROGRAM


def _like(paths: Paths, places: Iterable[str]) -> dict[str, tuple[str, str, str]]:
    """Read mode, user and group of what is there already, as tmpfiles.d writes them."""
    found = {}
    for place in places:
        with suppress(OSError):
            seen = paths.under(place).stat()
            mode = f"{stat.S_IMODE(seen.st_mode):04o}"
            found[place] = (mode, _user(seen.st_uid), _group(seen.st_gid))
    return found


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name if uid else "root"
    except KeyError:
        return str(uid)


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name if gid else "root"
    except KeyError:
        return str(gid)


def found_files(paths: Paths, wanted: Iterable[str]) -> dict[str, Found]:
    """Read what lies at our places, and units of ours that are wanted no more, by place."""
    places = {*wanted, *(file.place for file in render()), *_our_units(paths)}
    return {place: _found(paths.under(place)) for place in sorted(places)}


def _our_units(paths: Paths) -> list[str]:
    """Name the units that bear our mark, those made from cron lines aside."""
    try:
        names = sorted(one.name for one in paths.under(UNIT_DIR).glob("ds01*.*") if one.is_file())
    except OSError as error:
        raise _cannot_read(paths.under(UNIT_DIR), error) from None
    return [
        f"{UNIT_DIR}/{name}"
        for name in names
        if not name.startswith(CRON_PREFIX)
        and name.endswith((".service", ".timer", ".target"))
        and _found(paths.under(f"{UNIT_DIR}/{name}")).stamp in {"ours", "edited"}
    ]


def _found(path: Path) -> Found:
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return NOTHING
    except OSError as error:
        raise _cannot_read(path, error) from None
    if not stat.S_ISREG(mode):
        # a link is how an admin masks a unit
        return Found(None, "foreign")
    try:
        text = path.read_bytes().decode("utf-8", errors="surrogateescape")
    except OSError as error:
        raise _cannot_read(path, error) from None
    return Found(text, state_of(text))


def _cannot_read(path: Path, error: OSError) -> Ds01Error:
    hint = "run it as root" if isinstance(error, PermissionError) else None
    return Ds01Error(f"{path}: cannot be read: {error.strerror}", hint)
