"""Look whether what a unit starts as root is there, and nobody else's to change."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from ds01ctl.core.problem import Problem, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from ds01ctl.paths import Paths

_HIDDEN = ("/tmp/", "/var/tmp/")  # noqa: S108 -- what PrivateTmp= hides


def check(programs: Mapping[str, Sequence[str]], paths: Paths) -> list[Problem]:
    """Judge each program; programs: the places that start it, by its path."""
    found: list[Problem] = []
    for name, places in programs.items():
        where = places[0] + (f" (and {len(places) - 1} more)" if len(places) > 1 else "")
        try:
            found += _problems(name, where, paths)
        except OSError as error:
            what = f"{name} cannot be looked at: {error.strerror}"
            found.append(Problem("info", "program", where, what, "run it as root"))
    return found


def _problems(name: str, where: str, paths: Paths) -> Iterator[Problem]:
    if name.startswith(_HIDDEN):
        what = f"{name} lies in a folder that PrivateTmp= hides: it would not be found"
        yield Problem("error", "program", where, what, "install it elsewhere, such as below /opt")
    path = paths.under(name)
    if not path.exists():
        yield _missing(name, where, paths)
        return
    if not path.is_file() or not os.access(path, os.X_OK):
        what = f"{name} is no program that can be run"
        yield Problem("error", "program", where, what, f"chmod 755 {name}, or correct the path")
    # of an image that is being made, the owners are those of its maker
    if paths.root == path.__class__("/"):
        yield from _owners(path, where)


def _missing(name: str, where: str, paths: Paths) -> Problem:
    is_image = str(paths.root) != "/"
    severity: Severity = "info" if is_image else "error"
    below = f" below {paths.root}" if is_image else ""
    fix = "install it there, or name another place with --program"
    return Problem(severity, "program", where, f"{name} is not there{below}", fix)


def _owners(path: Path, where: str) -> Iterator[Problem]:
    """See that only root can change the program, or put another in its place."""
    real = path.resolve()
    for one in dict.fromkeys((real, *path.parents, *real.parents)):
        found = one.stat()
        is_sticky = one.is_dir() and found.st_mode & stat.S_ISVTX
        if found.st_mode & stat.S_IWOTH and not is_sticky:
            what = f"{one} can be written by everybody, and {path} is run as root"
            yield Problem("error", "open-program", where, what, f"chmod o-w {one}")
            return
        if found.st_uid != 0:
            what = f"{one} belongs to uid {found.st_uid}, who so decides what runs as root"
            yield Problem("warning", "open-program", where, what, "install it as root, below /opt")
            return
