"""Read the last lines of failed runs from the journal: one ``journalctl`` for all of them.

A program's own lines bear ``_SYSTEMD_INVOCATION_ID``, what systemd says of it ``INVOCATION_ID``.
Priorities help little: what a program prints has 6, and systemd's "Failed to start" has 3.
Source: journalctl(1), systemd.journal-fields(7); seen with systemd 252.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from ds01ctl.core.model import Gap
from ds01ctl.errors import Ds01Error
from ds01ctl.run import run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ds01ctl.core.model import GapKind

TIMEOUT_S = 15.0
LINES_EACH = 50
_FIELDS = "MESSAGE,PRIORITY,_SYSTEMD_INVOCATION_ID,INVOCATION_ID,DS01_EVENT"
_WARNING = 4
_ERROR = 3


class Line(NamedTuple):
    """One message."""

    invocation: str
    text: str
    priority: int = 6
    is_own: bool = True
    """The program's own; else systemd's about it."""


def read(
    invocations: Sequence[str], lines_each: int = LINES_EACH
) -> tuple[tuple[Line, ...], tuple[Gap, ...]]:
    """Read the newest lines of runs, oldest first; a gap where there is no journal to read."""
    if not invocations:
        return (), ()
    own = [f"_SYSTEMD_INVOCATION_ID={one}" for one in invocations]
    about = [f"INVOCATION_ID={one}" for one in invocations]
    argv = ["journalctl", "--no-pager", "--quiet", "--all", "--output=json"]
    argv += [f"--output-fields={_FIELDS}", f"--lines={lines_each * len(invocations)}"]
    try:
        done = run([*argv, *own, "+", *about], timeout_s=TIMEOUT_S, env={"LC_ALL": "C"})
    except Ds01Error as error:
        kind: GapKind = "absent" if error.message.endswith(": not found") else "failed"
        return (), (Gap("journal", kind, error.message),)
    if done.status and not done.stdout:
        said = done.stderr.strip().splitlines() or [f"journalctl: exit code {done.status}"]
        kind = "denied" if "denied" in said[-1].lower() else "failed"
        return (), (Gap("journal", kind, said[-1]),)
    lines = map(_line, done.stdout.splitlines())
    return tuple(line for line in lines if line and line.invocation in invocations), ()


def _line(text: str) -> Line | None:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return None
    # an event of ours is what a run found, not why it failed
    if not isinstance(said, dict) or "DS01_EVENT" in said:
        return None
    own = said.get("_SYSTEMD_INVOCATION_ID")
    # systemd's own lines name its own invocation too, where it has one
    about = said.get("INVOCATION_ID")
    message = _message(said.get("MESSAGE"))
    invocation = about or own
    if not message or not isinstance(invocation, str):
        return None
    priority = str(said.get("PRIORITY", "6"))
    return Line(invocation, message, int(priority) if priority in "01234567" else 6, not about)


def _message(value: Any) -> str:
    """Give a message; one that is not UTF-8 comes as a list of bytes, one too long as null."""
    if isinstance(value, list) and all(isinstance(one, int) and 0 <= one < 256 for one in value):
        return bytes(value).decode(errors="backslashreplace").strip()
    return value.strip() if isinstance(value, str) else ""


def last_error(lines: Sequence[Line], invocation: str) -> str | None:
    """Pick the line that most likely says why a run failed.

    The last one that the program marked as an error, else its last one that is no hint, else what
    systemd says.
    """
    of_run = [line for line in lines if line.invocation == invocation]
    own = [line for line in of_run if line.is_own and not line.text.startswith("hint: ")]
    marked = [line for line in own if line.priority <= _ERROR]
    about = [line for line in of_run if not line.is_own and line.priority <= _WARNING]
    for some in (marked, own, about):
        if some:
            return some[-1].text
    return None
