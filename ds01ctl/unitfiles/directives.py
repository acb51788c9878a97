"""Unit file text: sections of `Key=value` lines, each with the comment that explains it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Line(NamedTuple):
    """One directive."""

    key: str
    value: str
    comment: str = ""
    """What it is for, or when an admin may have to relax it."""


def section(name: str, lines: Sequence[Line]) -> str:
    """Write one section; a comment stands above its line."""
    told = [f"[{name}]"]
    for line in lines:
        told += [f"# {part}" for part in line.comment.splitlines()]
        told.append(f"{line.key}={line.value}")
    return "\n".join(told) + "\n"


def unit(*sections: str, about: str = "") -> str:
    """Join sections to a file, under a comment about the whole."""
    head = "".join(f"# {line}\n" for line in about.splitlines())
    return "\n".join([*([head] if head else []), *sections])


def quoted(path: str) -> str:
    """Write a path so that systemd reads it as it is, and as one word.

    ``%`` begins a specifier, and in a command ``$`` a variable: no path of ours has one.
    """
    text = path.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{text}"' if any(sign in text for sign in " '\"") else text
