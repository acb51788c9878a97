"""Read totals back from our own ``.prom`` file, when the store was lost or is older than it.

Only what we write ourselves is read (`ds01ctl.report.prometheus`); a line that is anything else is
told, and left out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ds01ctl.core.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MICRO = 1_000_000
LARGEST = 2**63 - 1
"""What SQLite can store."""
_NAME = "[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*"'
_SERIES = re.compile(rf"({_NAME})(?:\{{({_LABEL}(?:,{_LABEL})*)\}})? (\S+)")
_ONE_LABEL = re.compile(r'([a-zA-Z0-9_]+)="((?:[^"\\\n]|\\[\\"n])*)"')
_NUMBER = r"([0-9]+)(?:\.([0-9]+))?(?:e\+?([0-9]{1,2}))?"
_LONGEST = 64
"""Characters of a number; ours have 20."""
_COMMENT = re.compile(rf"# (HELP|TYPE) ({_NAME}) (.+)")
_ESCAPED = r"\\(.)"


class Series(NamedTuple):
    """The identity of one series."""

    name: str
    labels: tuple[tuple[str, str], ...] = ()
    """Sorted by name."""


def series(name: str, labels: Mapping[str, str]) -> Series:
    """Name a series; the order of the labels does not matter."""
    return Series(name, tuple(sorted(labels.items())))


def parse(text: str) -> tuple[dict[Series, int], tuple[str, ...]]:
    """Read the counters of our own file, in millionths, and tell of every odd line."""
    reading = _Reading()
    *lines, rest = text.split("\n")
    for number, line in enumerate(lines, 1):
        problem = reading.add(line)
        if problem:
            reading.problems.append(f"line {number}: {problem}")
    if rest:
        reading.problems.append(f"line {len(lines) + 1}: it ends in the middle of a line")
    for one in reading.twice:
        reading.found.pop(one, None)
    return reading.found, tuple(reading.problems)


def gauges(text: str, name: str) -> dict[Series, int]:
    """Read one family of gauges of our own file, in millionths; odd lines are left out."""
    found = {}
    for match in map(_SERIES.fullmatch, text.split("\n")):
        if match and match[1] == name:
            micro = _micro(match[3])
            if micro is not None:
                found[series(name, dict(_labels(match[2] or "")))] = micro
    return found


class _Reading:
    """A file while it is being read."""

    def __init__(self) -> None:
        self.found: dict[Series, int] = {}
        self.twice: set[Series] = set()
        self.problems: list[str] = []
        self._types: dict[str, str] = {}
        self._family = ""

    def add(self, line: str) -> str:
        """Take a line in, or say what is wrong with it."""
        comment = _COMMENT.fullmatch(line) if line.startswith("#") else None
        if comment:
            return self._comment(*comment.groups())
        match = _SERIES.fullmatch(line)
        if not match:
            return "not a series"
        name, labels, value = match.groups()
        if name != self._family or name not in self._types:
            return f"{name} is not of the family above it"
        return self._counter(name, labels or "", value) if self._types[name] == "counter" else ""

    def _comment(self, kind: str, name: str, text: str) -> str:
        if kind == "TYPE":
            if name in self._types:
                return f"a second TYPE of {name}"
            self._types[name] = text
        self._family = name
        return ""

    def _counter(self, name: str, labels: str, value: str) -> str:
        pairs = sorted(_labels(labels))
        one = Series(name, tuple(pairs))
        if len(dict(pairs)) < len(pairs):
            return f"{name} has a label twice"
        micro = _micro(value)
        if micro is None:
            return f"{name} is {value[:40]}, which no total of ours can be"
        if one in self.found:
            self.twice.add(one)
            return f"{name} is there twice with the same labels"
        self.found[one] = micro
        return ""


def _labels(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = _ONE_LABEL.findall(text)
    return [(name, _unescaped(value)) for name, value in found] if "\\" in text else found


def _unescaped(value: str) -> str:
    take: Callable[[re.Match[str]], str] = lambda m: "\n" if m[1] == "n" else m[1]  # noqa: E731
    return re.sub(_ESCAPED, take, value)


def _micro(value: str) -> int | None:
    """Read a number that is not negative, rounded down; None: no such, or too large to store."""
    if len(value) > _LONGEST:
        return None
    if value.isascii() and value.isdigit():
        # as nearly all of ours are
        micro = int(value) * MICRO
    elif number := re.fullmatch(_NUMBER, value):
        whole, part, power = number[1], number[2] or "", int(number[3] or 0)
        micro = int(whole + part) * MICRO * 10**power // 10 ** len(part)
    else:
        return None
    return micro if micro <= LARGEST else None
