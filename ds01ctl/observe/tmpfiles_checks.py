"""Have systemd-tmpfiles make our folders in an empty root, and see who else is at them.

`--dry-run` came with systemd 256; this works on every version.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.core.model import Gap
from ds01ctl.core.problem import Problem
from ds01ctl.errors import Ds01Error
from ds01ctl.observe.trial import private_dir, put, untried
from ds01ctl.run import run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ds01ctl.paths import Paths

FOLDERS = ("/etc/tmpfiles.d", "/run/tmpfiles.d", "/usr/local/lib/tmpfiles.d", "/usr/lib/tmpfiles.d")
"""The first has the say where names are equal. Source: tmpfiles.d(5)."""
TIMEOUT_S = 30.0
_IN_ROOT = "etc/tmpfiles.d"
_LOOK_UP_S = 5.0
_DATABASES = (("passwd", 3, "root:x:0:0:root:/root:/bin/sh"), ("group", 4, "root:x:0:"))
"""Each with its place in a line of tmpfiles.d, and what is always in it."""


class Made(NamedTuple):
    """What came of it."""

    problems: tuple[Problem, ...] = ()
    gaps: tuple[Gap, ...] = ()


def check(place: str, text: str, where: str, paths: Paths) -> Made:
    """Check a file that goes to a place in tmpfiles.d. Raises Ds01Error."""
    problems = list(_others(place, text, where, paths))
    if os.geteuid() != 0:
        reason = "systemd-tmpfiles: only root can try to make folders of root's"
        return Made(tuple(problems), (Gap("systemd-tmpfiles", "denied", reason),))
    try:
        problems += _try(place.rpartition("/")[2], text, where, paths)
    except Ds01Error as error:
        return Made(tuple(problems), (untried("systemd-tmpfiles", error),))
    return Made(tuple(problems))


def _try(name: str, text: str, where: str, paths: Paths) -> list[Problem]:
    with private_dir() as root:
        put(root / _IN_ROOT / name, text)
        for database, column, always in _DATABASES:
            put(root / "etc" / database, _entries(database, text, column, always, paths))
        # without arguments it reads what the root has, which is our file alone
        argv = ["systemd-tmpfiles", "--create", f"--root={root}"]
        found = _complaints(argv, root, name, where)
        before = _tree(root)
        found = found or _complaints(argv, root, name, where)
        if not found and _tree(root) != before:
            what, fix = "a second run changes what the first one made", "make its lines agree"
            found = [Problem("error", "tmpfiles", where, what, fix)]
    return found


def _complaints(argv: list[str], root: Path, name: str, where: str) -> list[Problem]:
    done = run(argv, timeout_s=TIMEOUT_S, env={"LC_ALL": "C"})
    said = [line for line in done.stderr.splitlines() if line.strip()]
    if done.status and not said:
        said = [f"systemd-tmpfiles ended with {done.status} and said nothing"]
    return [_problem(line, root, name, where) for line in said]


def _problem(line: str, root: Path, name: str, where: str) -> Problem:
    told = line.replace(f"{root}/", "/").removeprefix(f"/{_IN_ROOT}/{name}:")
    number, colon, what = told.partition(": ")
    if colon and number.isdecimal():
        where, told = f"{where}:{number}", what
    return Problem("error", "tmpfiles", where, told, "correct the line, or make what it names")


def _tree(root: Path) -> dict[str, tuple[int, int, int, int]]:
    found = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        found[str(path)] = (status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns)
    return found


def _entries(database: str, text: str, column: int, always: str, paths: Paths) -> str:
    """Copy from the host's database the names that the file uses, and no more."""
    names = {words[column] for words in _lines(text) if len(words) > column} - {"root", "-"}
    names = {name for name in names if not name.isdecimal()}
    try:
        known = paths.under(f"etc/{database}").read_text(encoding="utf-8", errors="replace")
    except OSError:
        known = ""
    found = {line.split(":")[0]: line for line in known.splitlines() if ":" in line}
    told = [found.get(name) or _looked_up(database, name) for name in sorted(names)]
    return "\n".join([always, *filter(None, told)]) + "\n"


def _looked_up(database: str, name: str) -> str:
    """Ask the name service, which may be a directory server."""
    try:
        return run(["getent", database, "--", name], timeout_s=_LOOK_UP_S).stdout.strip()
    except Ds01Error:
        return ""


def _lines(text: str) -> Iterator[list[str]]:
    lines = (line.strip() for line in text.splitlines())
    return (line.split() for line in lines if line and not line.startswith("#"))


# --- who else is at them ---


def _others(place: str, text: str, where: str, paths: Paths) -> Iterator[Problem]:
    ours = {words[1] for words in _lines(text) if len(words) > 1}
    name = place.rpartition("/")[2]
    for path in _files(paths):
        if path == paths.under(place):
            continue
        if path.name == name:
            what = f"{path} has the same name, so only one of the two is read"
            yield Problem("warning", "tmpfiles", where, what, f"remove {path}, or rename it")
            continue
        for folder in sorted(ours & _made_by(path)):
            first = min(name, path.name)
            what = f"{folder} is in {path} too; that in {first} holds, the other is ignored"
            yield Problem("warning", "tmpfiles", where, what, f"take the line out of {path}")


def _files(paths: Paths) -> Iterator[Path]:
    for folder in FOLDERS:
        yield from sorted(paths.under(folder).glob("*.conf"))


def _made_by(path: Path) -> set[str]:
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return set()
    return {words[1].rstrip("/") for words in _lines(text) if len(words) > 1}
