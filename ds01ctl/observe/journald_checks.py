"""See who else sets the cap on the journal, and whose is in force. Source: journald.conf(5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.core.problem import Problem
from ds01ctl.core.unit_text import directives, values

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ds01ctl.paths import Paths

MAIN = "/etc/systemd/journald.conf"
FOLDERS = ("/etc/systemd", "/run/systemd", "/usr/local/lib/systemd", "/usr/lib/systemd")
KEY = "SystemMaxUse"


def check(place: str, text: str, where: str, paths: Paths) -> list[Problem]:
    """Tell of every other file that sets the key, and which one wins."""
    ours = values(directives(text), KEY)
    if not ours:
        return []
    name = place.rpartition("/")[2]
    told = []
    for path in _files(paths):
        theirs = _set_by(path) if path != paths.under(place) else ""
        if theirs:
            # drop-ins come after the main file, and among themselves in the order of their names
            wins = path != paths.under(MAIN) and path.name > name
            holds = f"{theirs} holds" if wins else f"ours, {ours[-1].value}, holds"
            what = f"{path} sets {KEY}={theirs} too; {holds}"
            told.append(Problem("info", "journald", where, what, _fix(path, name, wins=wins)))
    return told


def _fix(path: Path, name: str, *, wins: bool) -> str:
    if wins:
        return f"nothing, if {path} is to hold"
    return f"to have yours instead, put it into a drop-in with a name after {name}"


def _files(paths: Paths) -> Iterator[Path]:
    yield paths.under(MAIN)
    for folder in FOLDERS:
        yield from sorted(paths.under(f"{folder}/journald.conf.d").glob("*.conf"))


def _set_by(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""
    found = values(directives(text), KEY)
    return found[-1].value if found else ""
