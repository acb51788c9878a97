"""Tell users something on the terminals that they are logged in on, as write(1) does.

The log-ins are those of systemd-logind's files in /run, which sd-login(3) reads too: no daemon is
asked, and utmp, which newer distributions have given up, is not needed. OpenSSH gives logind no
terminal, so that of such a log-in is looked for below its leader in /proc.
"""

from __future__ import annotations

import os
import re
import select
import stat
import termios
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from ds01ctl.paths import Paths

MOST_LINES = 12
LONGEST_LINE = 200
_CHANNEL = "terminal"
_PATIENCE_S = 0.3
_MOST_TERMINALS = 16
"""Of one user: more would cost the others their time."""
_MOST_CHILDREN, _MOST_DEPTH = 64, 4
_PTY, _PTY_MAJOR = r"pts/\d{1,7}", 136
_IUTF8 = 0o040000
_FLAGS = os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


class Notice(NamedTuple):
    """What one user is to be told."""

    login: str
    uid: int
    text: str


class Delivered(NamedTuple):
    """What became of one attempt to tell a user."""

    login: str
    channel: str
    """terminal, here."""
    place: str | None
    """Which one, such as pts/3; None: there is none."""
    error: str | None
    """Why it was not told there, or not wholly; None: it was."""


def tell(notices: Iterable[Notice], paths: Paths) -> list[Delivered]:
    """Write each notice on all terminals of its user; one that is not logged in has one row.

    Takes at most 0.3 s a terminal, and never waits for one that is stopped.
    """
    notices = tuple(notices)
    uids = {notice.uid for notice in notices}
    try:
        terminals = _terminals(uids, paths)
    except OSError as error:
        reason = f"log-ins cannot be read: {error.filename}: {error.strerror}"
        return [Delivered(one.login, _CHANNEL, None, reason) for one in notices]
    return [row for one in notices for row in _tell(one, terminals.get(one.uid, ()), paths)]


def _tell(notice: Notice, terminals: Sequence[str], paths: Paths) -> Iterator[Delivered]:
    if not terminals:
        yield Delivered(notice.login, _CHANNEL, None, "not logged in on a terminal")
    for name in terminals[:_MOST_TERMINALS]:
        error = _write(paths.dev / name, notice.uid, lines(notice.text))
        yield Delivered(notice.login, _CHANNEL, name, error)


def lines(text: str) -> list[str]:
    """Give the lines of a text that a terminal can be shown: no control or format characters."""
    kept = text[: MOST_LINES * LONGEST_LINE * 4].splitlines()
    shown = [_harmless(line) for line in kept[:MOST_LINES]]
    return [*shown[:-1], "…"] if len(kept) > MOST_LINES else shown


def _harmless(line: str) -> str:
    """Drop what a terminal would obey: C0, C1, DEL, and what turns the direction of text."""
    clean = "".join(sign for sign in line.replace("\t", " ") if sign.isprintable())
    return clean if len(clean) <= LONGEST_LINE else clean[: LONGEST_LINE - 1] + "…"


# --- writing ----------------------------------------------------------------------------------


def _write(path: Path, uid: int, shown: Sequence[str]) -> str | None:
    """Write on a terminal that is, when opened, still this user's. Gives the reason if not."""
    try:
        terminal = os.open(path, _FLAGS)
    except OSError as error:
        return _why(error)
    try:
        return _refusal(terminal, uid) or _show(terminal, shown)
    except (OSError, termios.error) as error:
        return _why(error)
    finally:
        os.close(terminal)


def _refusal(terminal: int, uid: int) -> str | None:
    """Check what was opened: its number may be another's by now, and he may not want it."""
    status = os.fstat(terminal)
    is_pty = stat.S_ISCHR(status.st_mode) and os.major(status.st_rdev) == _PTY_MAJOR
    if not is_pty or not os.isatty(terminal):
        return "is no terminal of a log-in"
    if status.st_uid != uid:
        return "belongs to somebody else by now"
    return None if status.st_mode & stat.S_IWGRP else "does not take messages (mesg n)"


def _show(terminal: int, shown: Sequence[str]) -> str | None:
    # a program may have it in raw mode, where a bare line end does not go back to the margin
    text = "\r\n" + "".join(f"{line}\r\n" for line in shown)
    is_utf8 = termios.tcgetattr(terminal)[0] & _IUTF8
    # elsewhere the second byte of a letter may be a control character of eight bits
    left = text.encode("utf-8" if is_utf8 else "ascii", "replace")
    ends = time.monotonic() + _PATIENCE_S
    whole = len(left)
    while left:
        left = left[_written(terminal, left) :]
        wait_s = ends - time.monotonic()
        if not left:
            return None
        if wait_s <= 0 or not _is_ready(terminal, wait_s):
            return "is stopped" if len(left) == whole else "is stopped: told in part"
    return None


def _written(terminal: int, some: bytes) -> int:
    try:
        return os.write(terminal, some)
    except BlockingIOError:
        return 0


def _is_ready(terminal: int, wait_s: float) -> bool:
    """Wait for room; not select(2), which knows no more than 1,024 descriptors."""
    poll = select.poll()
    poll.register(terminal, select.POLLOUT)
    return bool(poll.poll(wait_s * 1000))


def _why(error: OSError | termios.error) -> str:
    return str(getattr(error, "strerror", None) or error.args[-1])


# --- log-ins ----------------------------------------------------------------------------------


def _terminals(uids: set[int], paths: Paths) -> Mapping[int, tuple[str, ...]]:
    """Find the terminals of users' log-ins, such as pts/3, each once. Raises OSError."""
    found: dict[int, dict[str, None]] = {}
    for path in sorted(paths.under("/run/systemd/sessions").iterdir()):
        session = _session(path)
        uid = int(session["UID"]) if session else None
        if session and uid in uids:
            found.setdefault(int(session["UID"]), {}).update(dict.fromkeys(_of(session, paths)))
    return {uid: tuple(names) for uid, names in found.items()}


def _session(path: Path) -> dict[str, str] | None:
    """Read the file of a session of a person who is still there; a pipe lies beside each."""
    try:
        text = path.read_text("utf-8", "replace") if path.is_file() else ""
    except FileNotFoundError:
        return None
    pairs = (line.partition("=") for line in text.splitlines())
    values = {key: value.strip("\"'") for key, _, value in pairs}
    is_person = values.get("CLASS", "user").startswith("user")
    is_there = values.get("STATE") != "closing" and values.get("UID", "").isdecimal()
    return values if is_person and is_there else None


def _of(session: Mapping[str, str], paths: Paths) -> Iterable[str]:
    """Name the terminals of a session; with ssh's multiplexing it has several."""
    terminal = session.get("TTY", "").removeprefix("/dev/")
    if re.fullmatch(_PTY, terminal):
        return (terminal,)
    leader = session.get("LEADER", "")
    return _below(int(leader), paths.proc, _MOST_DEPTH) if leader.isdecimal() else ()


def _below(pid: int, proc: Path, depth: int) -> Iterator[str]:
    """Find the first terminals at or below a process; what runs inside them is not of interest."""
    terminal = _number(pid, proc)
    if terminal:
        # as new_encode_dev() of the kernel packs it: the minor is the number of the pty
        minor = (terminal & 0xFF) | (terminal >> 12 & 0xFFF00)
        if terminal >> 8 & 0xFFF == _PTY_MAJOR:
            yield f"pts/{minor}"
    elif depth:
        for child in _children(pid, proc):
            yield from _below(child, proc, depth - 1)


def _number(pid: int, proc: Path) -> int:
    """Read the controlling terminal's number (proc(5), tty_nr); 0: none, or it has ended."""
    try:
        text = (proc / str(pid) / "stat").read_text("ascii", "replace")
    except OSError:
        return 0
    # the name before may hold anything
    return int(text.rpartition(")")[2].split()[4])


def _children(pid: int, proc: Path) -> list[int]:
    """List children of a process of one thread; none where the kernel does not (PROC_CHILDREN)."""
    try:
        text = (proc / f"{pid}/task/{pid}/children").read_text("ascii")
    except OSError:
        return []
    return [int(child) for child in text.split()[:_MOST_CHILDREN]]
