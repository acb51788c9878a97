"""One line of `doctor`: what was checked, what was found, what it costs, how to mend it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from ds01ctl.core.host_facts import Unread

State = Literal["problem", "warning", "unknown", "ok", "not-here"]
STATES: tuple[State, ...] = ("problem", "warning", "unknown", "ok", "not-here")
"""Worst first."""
AREAS = (
    "systemd",
    "docker",
    "gpu",
    "energy",
    "disk",
    "metrics",
    "logs",
    "timers",
    "clock",
    "ds01",
    "policy",
    "access",
)


class Row(NamedTuple):
    """One check. What is not ok has a fix: a command, or the line of a file."""

    area: str
    check: str
    state: State
    found: str
    why: str | None = None
    """What it costs if it is left."""
    fix: str | None = None
    needs_reboot: bool = False
    gap: Unread | None = None
    """For an unknown row: why it could not be read."""


def count(number: int, what: str) -> str:
    """Count things: ``1 GPU``, ``2 GPUs``."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def words(*names: str) -> str:
    """Write names as a shell takes them: a file may be called anything."""
    return shlex.join(names)


def fine(area: str, check: str, found: str) -> Row:
    """Make a row where all is well."""
    return Row(area, check, "ok", found)


def absent(area: str, check: str, found: str) -> Row:
    """Make a row for what this host does not have, and need not."""
    return Row(area, check, "not-here", found)


def warning(area: str, check: str, found: str, why: str, fix: str, *, reboot: bool = False) -> Row:
    """Make a row for what will cost something some day."""
    return Row(area, check, "warning", found, why, fix, reboot)


def problem(area: str, check: str, found: str, why: str, fix: str, *, reboot: bool = False) -> Row:
    """Make a row for what is broken, or open, now."""
    return Row(area, check, "problem", found, why, fix, reboot)


def unknown(area: str, check: str, gap: Unread, fix: str | None = None) -> Row:
    """Make a row for what should have been read and was not."""
    needs_root = gap.kind == "denied"
    found = f"{gap.reason} (needs root)" if needs_root else gap.reason
    way = "run it as root: sudo ds01ctl doctor" if needs_root else "try again: ds01ctl doctor"
    return Row(area, check, "unknown", found, "nothing can be said about it", fix or way, gap=gap)
