"""Find the drop-ins of slices: ours, and those of others that set the same properties.

systemd reads them in the order of their file names, whatever folder they are in; of two with one
name the more particular folder's counts, then the one in the directory that comes first here.
Source: systemd.unit(5), the search path of system units.
"""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.core.drift import Foreign
from ds01ctl.core.dropin_text import FILE, FOLDER, assigned
from ds01ctl.core.properties import BY_NAME, NONE, Property, percent_text, rates_text, understood
from ds01ctl.core.quantity import parse_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ds01ctl.core.homes import Hardware
    from ds01ctl.paths import Paths

DIRECTORIES = (
    "/etc/systemd/system.control",
    "/run/systemd/system.control",
    "/run/systemd/transient",
    "/run/systemd/generator.early",
    FOLDER,
    "/etc/systemd/system.attached",
    "/run/systemd/system",
    "/run/systemd/system.attached",
    "/run/systemd/generator",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/run/systemd/generator.late",
)
_MOST_BYTES = 1 << 20


class DropIn(NamedTuple):
    """A drop-in's place."""

    path: str
    """As a path of the host."""
    name: str
    particular: int
    """How particular its folder is; higher wins."""
    rank: int
    """Of its directory; lower wins."""


class DropIns:
    """The drop-ins of one host; each folder is listed once, each file read at most once."""

    def __init__(self, paths: Paths) -> None:
        root = str(paths.root)
        self._root = "" if root == "/" else root
        self._names = cache(self._list)
        self._folders: dict[str, list[tuple[int, str]]] = {}
        for rank, directory in enumerate(DIRECTORIES):
            for name in self._names(directory):
                if name.endswith("slice.d"):
                    self._folders.setdefault(name, []).append((rank, directory))
        self._text = cache(self._read)

    def _list(self, folder: str) -> list[str]:
        try:
            return os.listdir(self._root + folder)  # noqa: PTH208 -- only the names, and fast
        except OSError:
            return []

    def ours(self) -> list[str]:
        """Name the slices that have a file in our drop-in's place."""
        folders = [n for n, places in self._folders.items() if any(d == FOLDER for _, d in places)]
        names = [name.removesuffix(".d") for name in folders if name != "slice.d"]
        return sorted(n for n in names if os.path.lexists(self._root + _place(n)))

    def text(self, unit: str) -> str | None:
        """Read our drop-in of a slice; None where there is none, or no file."""
        if f"{unit}.d" not in self._folders:
            return None
        return self._text(_place(unit))

    def is_there(self, unit: str) -> bool:
        """Tell whether anything lies in our drop-in's place."""
        return os.path.lexists(self._root + _place(unit))

    def of(self, unit: str, machine: Hardware) -> tuple[Foreign, ...]:
        """List the others' drop-ins of a slice that set a property of ours, in their order."""
        chosen: dict[str, DropIn] = {}
        for one in self._all(unit):
            before = chosen.get(one.name)
            key = (one.particular, -one.rank)
            if before is None or key > (before.particular, -before.rank):
                chosen[one.name] = one
        found = []
        for name, one in sorted(chosen.items()):
            if name == FILE and one.path == _place(unit):
                continue
            values = self._values(one.path, machine)
            found += [Foreign(one.path, values)] if values else []
        return tuple(found)

    def _all(self, unit: str) -> Iterator[DropIn]:
        for particular, folder in enumerate(_folders_of(unit)):
            for rank, directory in self._folders.get(folder, ()):
                place = f"{directory}/{folder}"
                for name in self._names(place):
                    if name.endswith(".conf"):
                        yield DropIn(f"{place}/{name}", name, particular, rank)

    def _values(self, path: str, machine: Hardware) -> dict[str, str]:
        lines = assigned(self._text(path) or "")
        return {
            name: understood(BY_NAME[name], _value(BY_NAME[name], given, machine))
            for name, given in lines.items()
        }

    def _read(self, path: str) -> str | None:
        try:
            fd = os.open(self._root + path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return None
        try:
            return os.read(fd, _MOST_BYTES).decode("utf-8", "surrogateescape")
        except OSError:
            return None
        finally:
            os.close(fd)


def _place(unit: str) -> str:
    return f"{FOLDER}/{unit}.d/{FILE}"


def _folders_of(unit: str) -> list[str]:
    """List the names of a unit's drop-in folders, the least particular first."""
    parts = unit.removesuffix(".slice").split("-")
    cut = ["-".join(parts[:count]) + "-.slice.d" for count in range(1, len(parts))]
    return ["slice.d", *cut, f"{unit}.d"]


def _value(prop: Property, given: tuple[str, ...], machine: Hardware) -> str:
    """Read what somebody else's file sets a property to; what is not understood stays as it is."""
    last = given[-1]
    if prop.kind == "devices":
        rates = [one.rpartition(" ") for one in given if one]
        return rates_text((machine.numbers.get(path, path), _rate(rate)) for path, _, rate in rates)
    if last in {"", "infinity", "auto"} or (prop.kind == "weight" and last == "100"):
        return NONE
    try:
        if prop.kind in {"quota", "percent"}:
            return percent_text(float(last.rstrip("%")))
        if prop.kind == "size":
            return _size(last, machine)
        if prop.kind == "count" and last.endswith("%"):
            return str(int(machine.tasks * float(last[:-1]) / 100))
    except ValueError:
        return last
    return last.replace(" ", ",") if prop.kind == "cpus" else last


def _size(text: str, machine: Hardware) -> str:
    if text.endswith("%"):
        size = int(machine.memory_bytes * float(text[:-1]) / 100)
    else:
        size = parse_size(text) or 0
    return str(size // machine.page_bytes * machine.page_bytes)


def _rate(text: str) -> str:
    powers = {"K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
    factor = powers.get(text[-1:].upper(), 1)
    digits = text[:-1] if factor > 1 else text
    return str(int(float(digits) * factor)) if digits.replace(".", "").isdecimal() else text
