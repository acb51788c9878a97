"""What a job may reach: it runs as root without CAP_DAC_OVERRIDE, and so only by a file's mode.

Source: capabilities(7), path_resolution(7), acl_permission_check() in the kernel's fs/namei.c.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.core.unit_text import directives, is_true, program

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ds01ctl.core.unit_text import Directive, UnitFile

READ, WRITE, EXECUTE = 4, 2, 1
SEARCH = EXECUTE
"""Of a folder."""
_ROOT = ("", "root", "0")


class Place(NamedTuple):
    """A file or folder, as stat(2) tells of it."""

    path: str
    uid: int
    gid: int
    mode: int
    is_dir: bool = False
    has_acl: bool = False
    """Somebody may do more than the mode says."""


class Service(NamedTuple):
    """A service that runs as root without CAP_DAC_OVERRIDE."""

    name: str
    program: str
    """What it starts, absolute."""
    where: str
    """The line that starts it."""
    writes: tuple[str, ...] = ()
    """Folders, absolute."""
    reads_all: bool = False
    """It has CAP_DAC_READ_SEARCH."""


def may(place: Place, wanted: int, *, reads_all: bool) -> bool:
    """Tell whether such a service may read, write or execute; not sure is yes."""
    if place.has_acl and place.uid != 0:
        return True
    if reads_all and (wanted == READ or (place.is_dir and not wanted & WRITE)):
        return True
    return not wanted & ~(place.mode >> _shift(place))


def _shift(place: Place) -> int:
    return 6 if place.uid == 0 else 3 if place.gid == 0 else 0


def blocked(way: Sequence[Place], wanted: int, *, reads_all: bool) -> Place | None:
    """Find what stands in the way: a folder before the last place, or that itself."""
    for folder in way[:-1]:
        if not may(folder, SEARCH, reads_all=reads_all):
            return folder
    return next((one for one in way[-1:] if not may(one, wanted, reads_all=reads_all)), None)


def cure(place: Place, wanted: int) -> str:
    """Give the command that opens a place to root; no more of it than is wanted."""
    name = shlex.quote(place.path)
    if place.is_dir and wanted == SEARCH:
        return f"chmod {'u' if place.uid == 0 else 'g' if place.gid == 0 else 'o'}+x {name}"
    letters = "".join(sign for sign, bit in zip("rwx", (4, 2, 1), strict=True) if wanted & bit)
    steps = [] if place.uid == 0 else [f"chown root {name}"]
    if wanted & ~(place.mode >> 6):
        steps.append(f"chmod u+{letters} {name}")
    return " && ".join(steps)


def services(files: Sequence[UnitFile]) -> list[Service]:
    """List the services among the units that run as root without CAP_DAC_OVERRIDE."""
    whole = [file for file in files if file.name.endswith(".service")]
    found = ((file, _lines(file, files)) for file in whole)
    return [
        service
        for file, lines in found
        if _is_root(lines) and not grants(lines, "CAP_DAC_OVERRIDE")
        for service in _services(file, lines)
    ]


def _lines(file: UnitFile, files: Iterable[UnitFile]) -> list[Directive]:
    """Read a unit with its drop-ins, in their order."""
    added = (one for one in files if one.name.startswith(f"{file.name}.d/"))
    parts = [file, *sorted(added, key=lambda one: one.name)]
    return [line for part in parts for line in directives(part.text) if line.section == "Service"]


def _services(file: UnitFile, lines: Sequence[Directive]) -> list[Service]:
    writes = tuple(_folders(lines))
    reads_all = grants(lines, "CAP_DAC_READ_SEARCH")
    return [
        Service(file.name, path, file.at(line.line), writes, reads_all)
        for line in directives(file.text)
        if line.key.startswith("Exec") and (path := program(line.value)[0]).startswith("/")
    ]


def _is_root(lines: Sequence[Directive]) -> bool:
    user = [line.value for line in lines if line.key == "User"]
    return not is_true(lines, "DynamicUser") and (user[-1:] or [""])[0] in _ROOT


def grants(lines: Iterable[Directive], capability: str) -> bool:
    """Tell whether CapabilityBoundingSet= leaves a capability. Source: systemd.exec(5)."""
    held, is_set = True, False
    for line in lines:
        if line.key != "CapabilityBoundingSet":
            continue
        names = line.value.removeprefix("~").split()
        if line.value.startswith("~"):
            held = not names or (held and capability not in names)
        else:
            held = bool(names) and (capability in names or (held and is_set))
        is_set = True
    return held


def _folders(lines: Sequence[Directive]) -> list[str]:
    found: list[str] = []
    for line in lines:
        if line.key == "ReadWritePaths":
            found = [*found, *_words(line.value)] if line.value else []
    return [one for one in found if one.startswith("/")]


def _words(text: str) -> list[str]:
    found = []
    while text := text.strip():
        word, _, end = program(text)
        found.append(word.lstrip("-+"))
        text = text[max(end, 1) :]
    return found
