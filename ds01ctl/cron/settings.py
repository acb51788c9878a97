"""A line ``NAME = value`` of a crontab, as load_env() of Debian's cron reads it (env.c)."""

from __future__ import annotations

from typing import NamedTuple

MAX_BYTES = 998
"""Cron cuts what is longer (MAX_ENVSTR), and takes the rest for something else."""
_BLANKS = " \t\n\v\f\r"
_QUOTES = "'\""


class Setting(NamedTuple):
    """One variable; the value is literal: cron expands nothing in it."""

    name: str
    value: str


def parse(line: str) -> Setting | None:
    """Read a line without leading blanks; None where cron does not take it for a setting."""
    read = _name(line)
    if read is None:
        return None
    name, rest = read
    value = _value(rest)
    return None if value is None else Setting(name, value)


def _name(line: str) -> tuple[str, str] | None:
    """Split a line at its ``=``; the name may be quoted."""
    quote = line[:1] if line[:1] in _QUOTES else ""
    if quote:
        name, end, rest = line[1:].partition(quote)
        if not end or "=" in name:
            return None
    else:
        length = next((at for at, sign in enumerate(line) if sign in _BLANKS + "="), len(line))
        name, rest = line[:length], line[length:]
    rest = rest.lstrip(_BLANKS)
    return (name, rest[1:]) if rest.startswith("=") else None


def _value(text: str) -> str | None:
    """Read the value: quotes of one kind round the whole of it go, and blanks at its ends."""
    text = text.lstrip(_BLANKS)
    if not text:
        # NAME= is no setting to cron; NAME="" is
        return None
    quote = text[0] if text[0] in _QUOTES else ""
    if quote:
        text, end, rest = text[1:].partition(quote)
        if not end or rest.strip(_BLANKS):
            return None
    text = text.rstrip(_BLANKS)
    # env.c takes quotes off a second time
    if len(text) >= 2 and text[0] in _QUOTES and text[-1] == text[0]:
        text = text[1:-1]
    return text
