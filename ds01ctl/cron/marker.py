"""The mark on a line that was handed over to a timer: the line itself stays, as a comment."""

from __future__ import annotations

import re
from typing import NamedTuple

UNIT_PREFIX = "ds01-cron-"
_MARK = re.compile(rf"#ds01ctl (?P<name>{UNIT_PREFIX}[A-Za-z0-9_-]+)\.timer: (?P<text>.*)")


class Mark(NamedTuple):
    """A line in the hands of a timer."""

    name: str
    """Of the unit, without its suffix."""
    line: int
    text: str
    """The line as it was."""


def marked(name: str, text: str) -> str:
    """Comment a line out, so that it can be found and put back as it was."""
    return f"#ds01ctl {name}.timer: {text}"


def read_mark(text: str, line: int) -> Mark | None:
    """Read a marked line; None for any other."""
    found = _MARK.fullmatch(text)
    return Mark(found["name"], line, found["text"]) if found else None
