"""Read the text of unit files: sections, keys, values, line numbers. Source: systemd.syntax(7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

NEEDING = ("Requires", "Requisite", "BindsTo")
"""Directives that let a unit fail, or stop, with another one."""
_PREFIXES = "@-:+!|"
"""Signs that may stand before the program in ExecStart=."""


class UnitFile(NamedTuple):
    """A unit file, or a drop-in, that is checked."""

    name: str
    """``ds01-state.timer``, or ``ds01-state.timer.d/50-local.conf``."""
    text: str
    where: str
    """What people are told of its place."""
    is_admins: bool = False
    """A drop-in of the host: what is wrong in it does not stand in the way of an install."""

    def at(self, line: int) -> str:
        """Name a line of it."""
        return f"{self.where}:{line}"


class Directive(NamedTuple):
    """One ``Key=value`` line."""

    section: str
    key: str
    value: str
    line: int


def directives(text: str) -> tuple[Directive, ...]:
    """Read all directives; what is none is left to systemd to complain about."""
    return tuple(_directives(text))


def _directives(text: str) -> Iterator[Directive]:
    section = ""
    for number, line in _whole_lines(text):
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
            continue
        key, equals, value = line.partition("=")
        if equals:
            yield Directive(section, key.strip(), value.strip(), number)


def _whole_lines(text: str) -> Iterator[tuple[int, str]]:
    """Join lines that a backslash continues; number them by their first."""
    first, begun = 0, ""
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if line.startswith(("#", ";")) or (not line and not begun):
            continue
        first = first if begun else number
        if line.endswith("\\"):
            begun += line[:-1] + " "
            continue
        yield first, begun + line
        begun = ""
    if begun.strip():
        yield first, begun.strip()


def values(lines: Iterable[Directive], *keys: str) -> list[Directive]:
    """Pick the directives with one of these keys that have a value."""
    return [line for line in lines if line.key in keys and line.value]


def names(lines: Iterable[Directive], *keys: str) -> list[tuple[Directive, str]]:
    """List the words of these directives, each with its directive."""
    return [(line, word) for line in values(lines, *keys) for word in line.value.split()]


def is_true(lines: Iterable[Directive], key: str) -> bool:
    """Tell whether the last such directive says yes."""
    found = values(lines, key)
    return bool(found) and found[-1].value.lower() in {"1", "yes", "y", "true", "t", "on"}


def program(command: str) -> tuple[str, int, int]:
    """Find the program of a command line: its path, and where the word begins and ends."""
    start = len(command) - len(command.lstrip(_PREFIXES))
    if command[start : start + 1] in {'"', "'"}:
        return _quoted_word(command, start)
    end = start
    while end < len(command) and not command[end].isspace():
        end += 1
    return command[start:end].replace("%%", "%"), start, end


def _quoted_word(command: str, start: int) -> tuple[str, int, int]:
    sign, at, word = command[start], start + 1, ""
    while at < len(command) and command[at] != sign:
        at += command[at] == "\\"
        word += command[at : at + 1]
        at += 1
    return word.replace("%%", "%"), start, min(at + 1, len(command))
