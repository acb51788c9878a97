"""What cron takes and a unit cannot hold: systemd would pass over it, or read it as another thing.

A directive that systemd ignores is a job that runs twice or never; so such text is refused.
"""

from __future__ import annotations

MAX_LINE_BYTES = 8192
"""Far below the longest argument of a program: the condition of a service gets the whole line."""
MAX_JOBS = 1000
"""In one file; names are made one after the other, and each timer is proved."""
MAX_SETTINGS = 32768
"""Characters in one file: each line has all the settings above it, in its own unit."""


def in_line(text: str) -> tuple[int, str] | None:
    """Tell where a line is unfit, counted from 0, and why; None for a good one."""
    at = next((at for at, sign in enumerate(text) if _is_no_character(ord(sign))), None)
    if at is not None:
        what = f"U+{ord(text[at]):04X} is no character, and systemd ignores lines that have it"
        return at, f"{what}; remove it"
    size = len(text.encode())
    if size > MAX_LINE_BYTES:
        return MAX_LINE_BYTES, f"a line of {size} bytes; expected at most {MAX_LINE_BYTES}"
    return None


def _is_no_character(code: int) -> bool:
    """Ask as systemd's unichar_is_valid() does: code points that Unicode gives to no text."""
    return 0xFDD0 <= code <= 0xFDEF or code & 0xFFFE == 0xFFFE


def in_setting(name: str, value: str) -> str | None:
    """Tell why the value of SHELL or HOME is unfit; None for any other, and for a good one."""
    if name not in {"SHELL", "HOME"}:
        return None
    told = f"{value[:40]!r} is no {name}"
    if not value.startswith("/"):
        return f"{told}; expected an absolute path"
    if name == "SHELL" and (value.endswith("/") or "$" in value):
        return f"{told} that systemd starts; expected the path of a program, without $"
    if name == "HOME" and (".." in value.split("/") or value.endswith("\\")):
        return f"{told} that systemd takes for a folder; expected it without .. or \\ at its end"
    return None
