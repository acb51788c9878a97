"""Have logrotate read our file, and look for others that rotate the same logs."""

from __future__ import annotations

import glob
import os
import re
import stat
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.core.logrotate_text import has_magic, includes, is_read, may_meet, patterns
from ds01ctl.core.model import Gap
from ds01ctl.core.problem import Problem
from ds01ctl.errors import Ds01Error
from ds01ctl.observe.trial import private_dir, put, untried
from ds01ctl.run import run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ds01ctl.core.logrotate_text import Pattern
    from ds01ctl.paths import Paths

CONFIG = "/etc/logrotate.conf"
FOLDER = "/etc/logrotate.d"
TIMEOUT_S = 30.0
_TOLD = re.compile(r"(error|warning): (?:\S*?:(\d+) )?(.*)")
_FOLLOWS = re.compile(r"found error in .*, skipping")
_ALWAYS = "logrotate in debug mode"


class Rotated(NamedTuple):
    """What logrotate says, and what the host has."""

    problems: tuple[Problem, ...] = ()
    gaps: tuple[Gap, ...] = ()


def check(place: str, text: str, where: str, paths: Paths) -> Rotated:
    """Check a file that goes to a place in logrotate.d; nothing is rotated. Raises Ds01Error."""
    problems = [*_mode(paths.under(place)), *_duplicates(place, text, where, paths)]
    if os.geteuid() != 0:
        reason = "logrotate: only root can try a file that names a user (su)"
        return Rotated(tuple(problems), (Gap("logrotate", "denied", reason),))
    try:
        problems += _dry_run(text, where)
    except Ds01Error as error:
        return Rotated(tuple(problems), (untried("logrotate", error),))
    return Rotated(tuple(problems))


def _dry_run(text: str, where: str) -> list[Problem]:
    with private_dir() as folder:
        put(folder / "ds01", text)
        argv = ["logrotate", "-d", "-s", str(folder / "state"), str(folder / "ds01")]
        done = run(argv, timeout_s=TIMEOUT_S, env={"LC_ALL": "C"})
    told = [found for found in map(_TOLD.fullmatch, done.stderr.splitlines()) if found]
    told = [found for found in told if not found[3].startswith(_ALWAYS)]
    first = [found for found in told if not _FOLLOWS.fullmatch(found[3])]
    if done.status and not told:
        what = f"logrotate -d ended with {done.status} and named no error"
        return [Problem("error", "logrotate", where, what, "run it by hand on this file")]
    return [_said(found, where) for found in first or told]


def _said(found: re.Match[str], where: str) -> Problem:
    place = f"{where}:{found[2]}" if found[2] else where
    fix = "correct it: logrotate leaves out such a line, or the whole file"
    return Problem("error" if found[1] == "error" else "warning", "logrotate", place, found[3], fix)


def _mode(path: Path) -> Iterator[Problem]:
    """See that logrotate would read the file as it lies there."""
    try:
        found = path.stat()
    except OSError:
        return
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        what = "others than root can write it, so logrotate ignores it, and says so to nobody"
        yield Problem("error", "logrotate-mode", str(path), what, f"chmod 644 {path}")


# --- the same logs in two files ---


class _Theirs(NamedTuple):
    """A pattern of another file."""

    path: Path
    pattern: Pattern


def _duplicates(place: str, text: str, where: str, paths: Paths) -> Iterator[Problem]:
    others = list(_others(paths.under(place), paths))
    for ours in patterns(text):
        for theirs in others:
            if (shared := _shared(ours.glob, theirs.pattern.glob, paths)) is not None:
                yield _duplicate(ours, theirs, f"{where}:{ours.line}", shared)


def _others(own: Path, paths: Paths) -> Iterator[_Theirs]:
    for path in _files(paths):
        if path == own:
            continue
        try:
            text = path.read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            continue
        yield from (_Theirs(path, pattern) for pattern in patterns(text))


def _files(paths: Paths) -> list[Path]:
    """List what logrotate reads: its own file, and what that includes."""
    main = paths.under(CONFIG)
    try:
        named = includes(main.read_text(encoding="utf-8", errors="surrogateescape"))
    except OSError:
        named = []
    found = [main]
    for place in dict.fromkeys((*named, FOLDER)):
        path = paths.under(place)
        found += sorted(_read_ones(path)) if path.is_dir() else [path]
    return found


def _read_ones(folder: Path) -> Iterator[Path]:
    try:
        yield from (one for one in folder.iterdir() if is_read(one.name) and one.is_file())
    except OSError:
        return


def _shared(ours: str, theirs: str, paths: Paths) -> str | None:
    """Name a file that both rotate; empty: there is none yet; None: there can be none."""
    if not may_meet(ours, theirs):
        return None
    for name, other in ((theirs, ours), (ours, theirs)):
        if not has_magic(name) or name == other:
            return name
    both = _matching(ours, paths) & _matching(theirs, paths)
    return min(both, default="")


def _matching(pattern: str, paths: Paths) -> set[str]:
    return set(glob.glob(str(paths.under(pattern))))  # noqa: PTH207 -- absolute, and with magic


def _duplicate(ours: Pattern, theirs: _Theirs, where: str, shared: str) -> Problem:
    what = f"{ours.glob} is rotated by {theirs.path}:{theirs.pattern.line} too"
    if theirs.pattern.glob != ours.glob:
        what = f"{ours.glob} and {theirs.pattern.glob} of {theirs.path}:{theirs.pattern.line}"
        what += f" both match {shared}" if shared else " can match the same file"
    what += (
        "; of the two files logrotate reads the first by name, leaves out the pattern of the"
        " other, and ends with an error every day"
    )
    fix = f"take the line out of {theirs.path}, or move that file away"
    return Problem("error" if shared else "warning", "duplicate-log", where, what, fix)
