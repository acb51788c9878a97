"""Look whether the jobs may reach what they need, and whether others may reach the secret."""

from __future__ import annotations

import os
import stat
from shlex import quote
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.core.access import EXECUTE, READ, SEARCH, WRITE, Place, blocked, cure
from ds01ctl.core.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from ds01ctl.core.access import Service
    from ds01ctl.paths import Paths

_VERBS = {READ: "read", READ | SEARCH: "list", WRITE: "write", WRITE | SEARCH: "write to"}


class Need(NamedTuple):
    """A path that services have to reach."""

    path: str
    wanted: int
    """READ, WRITE and EXECUTE, added."""
    services: tuple[Service, ...]
    where: str


def programs(services: Iterable[Service], paths: Paths) -> list[Problem]:
    """See that each service may run its program. What is missing is told elsewhere."""
    by_path: dict[str, list[Service]] = {}
    for service in services:
        by_path.setdefault(service.program, []).append(service)
    found = []
    for name, users in by_path.items():
        wanted = EXECUTE | (READ if _is_script(paths.under(name)) else 0)
        need = Need(name, wanted, tuple(users), users[0].where)
        for place, barred, is_last in _barred(need, paths):
            what = f"{_refused(barred, 'enter', place)}, on the way to {name}"
            if is_last:
                what = _refused(barred, "run", place)
            fix = "install it as root, below /opt"
            found.append(Problem("error", "no-access", barred[0].where, what, fix))
    return found


def needs(wanted: Iterable[Need], paths: Paths) -> list[Problem]:
    """See that the services may read and write what they have to. What is missing is no matter."""
    found: dict[str, tuple[int, Problem]] = {}
    for need in wanted:
        for place, barred, is_last in _barred(need, paths):
            right = need.wanted if is_last else SEARCH
            what = _refused(barred, _VERBS.get(right, "enter"), place)
            if not is_last:
                what += f", on the way to {need.path}"
            problem = Problem("warning", "no-access", need.where, what, cure(place, right))
            # a folder that is shut is told once, not for each file below it
            if right > found.get(place.path, (0, None))[0]:
                found[place.path] = (right, problem)
    return [problem for _, problem in found.values()]


def _refused(barred: Sequence[Service], verb: str, place: Place) -> str:
    names = ", ".join(sorted({one.name.removesuffix(".service") for one in barred}))
    owned = f"mode {place.mode:04o}, uid {place.uid}, gid {place.gid}"
    return f"as root without CAP_DAC_OVERRIDE, {names} may not {verb} {place.path} ({owned})"


def _barred(need: Need, paths: Paths) -> Iterator[tuple[Place, list[Service], bool]]:
    """Find the places that stand in the way, each with those that it stops."""
    try:
        way = list(_way(paths.under(need.path)))
    except OSError:
        # it is not there, or not ours to look at
        return
    stopped: dict[Place, list[Service]] = {}
    for service in need.services:
        if place := blocked(way, need.wanted, reads_all=service.reads_all):
            stopped.setdefault(place, []).append(service)
    for place, barred in stopped.items():
        yield place, barred, place == way[-1]


def _way(path: Path) -> Iterator[Place]:
    """Give every folder that is passed, links followed, then the path."""
    real = path.resolve(strict=True)
    for folder in dict.fromkeys((*reversed(path.parents), *reversed(real.parents))):
        yield _place(folder)
    yield _place(path)


def _place(path: Path) -> Place:
    found = path.stat()
    mode, is_dir = stat.S_IMODE(found.st_mode), stat.S_ISDIR(found.st_mode)
    return Place(str(path), found.st_uid, found.st_gid, mode, is_dir, _has_acl(path))


def _has_acl(path: Path) -> bool:
    try:
        return bool(os.getxattr(path, "system.posix_acl_access"))
    except OSError:
        return False


def _is_script(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(2) == b"#!"
    except OSError:
        return False


# --- the secret ---


def secret(name: str, where: str, paths: Paths) -> Iterator[Problem]:
    """See that the file that systemd hands over is there, and root's alone."""
    path = paths.under(name)
    try:
        place = _place(path)
    except (FileNotFoundError, NotADirectoryError):
        what = f"{name} is not there: mail that needs it cannot be sent"
        fix = "write the password into it, mode 0600, or correct mail.password_file"
        yield Problem("warning", "no-secret", where, what, fix)
        return
    except OSError:
        return
    if place.is_dir:
        what = f"{name} is a folder, so no password is handed over"
        yield Problem("warning", "no-secret", where, what, "correct mail.password_file")
    elif _is_open(place):
        what = f"others than root may read {name} (mode {place.mode:04o}, uid {place.uid})"
        fix = f"chown root:root {quote(name)} && chmod 600 {quote(name)}"
        yield Problem("warning", "open-secret", where, what, fix)


def _is_open(place: Place) -> bool:
    to_group = place.gid != 0 and place.mode & stat.S_IRGRP
    return bool(place.uid != 0 or to_group or place.mode & stat.S_IROTH)
