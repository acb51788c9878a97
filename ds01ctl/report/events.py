"""The event log: one JSON line per event (schema v1), and the same into the journal.

Logging never raises: what could not be written comes back as a gap.
"""

from __future__ import annotations

import errno
import json
import os
import time
from contextlib import suppress
from datetime import datetime, timezone
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ds01ctl.core.model import Gap
from ds01ctl.core.record import NamedTuple
from ds01ctl.report.text import printable

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ds01ctl.core.model import GapKind

LINE_MAX = 4000
"""Bytes with the newline: below PIPE_BUF, so that writers never mix within a line."""
JOURNAL_TIMEOUT_S = 0.5
SETTLE_S = 0.02
MESSAGE_MAX = 200
"""Characters kept of a message when the details are too long."""
NAME_MAX = 100
"""Characters kept of a name when the line would be too long even without details."""


class Event(NamedTuple):
    """Something that happened; ``type`` is dot separated, like ``detection.container_exited``."""

    type: str
    user: str | None
    source: str
    details: Mapping[str, Any] = {}
    message: str = ""
    """One line for people; in the log it is kept among the details."""
    priority: int = 6
    """As in syslog(3): 3 error, 4 warning, 5 notice, 6 info."""


def append(
    events: Sequence[Event], log: Path, journal_socket: Path, now: datetime
) -> tuple[Gap, ...]:
    """Write events to the log and to the journal; return a gap for each that did not take them."""
    if not events:
        return ()
    gaps = []
    try:
        _append_lines([line(event, now) for event in events], log)
    except OSError as error:
        gaps.append(_gap(str(log), error))
    try:
        _send(events, journal_socket)
    except OSError as error:
        gaps.append(_gap("journal", error))
    return tuple(gaps)


def line(event: Event, now: datetime) -> bytes:
    """Render an event as one line of at most LINE_MAX bytes."""
    details = {**event.details, **({"message": event.message} if event.message else {})}
    record = {
        "timestamp": timestamp(now),
        "event_type": event.type,
        "schema_version": "1",
        **({} if event.user is None else {"user": event.user}),
        "source": event.source,
        "details": details,
    }
    text = _json(record)
    if len(text) >= LINE_MAX:
        record["details"] = _cut_down(event, len(_json(details)))
        text = _json(record)
    if len(text) >= LINE_MAX:
        names = ("event_type", "user", "source")
        text = _json(record | {name: str(record.get(name))[:NAME_MAX] for name in names})
    return text.encode() + b"\n"


def _cut_down(event: Event, size: int) -> dict[str, Any]:
    """Keep the beginning of the message, which names the subject, where details are too long."""
    message = {"message": event.message[:MESSAGE_MAX]} if event.message else {}
    return {"truncated": True, "original_size": size, **message}


def _json(value: object) -> str:
    """Escape all but ASCII: neither a newline nor a control character can break a line."""
    try:
        return _ENCODER.encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        # a key that is no string, a circle: the event still counts
        if isinstance(value, dict) and "details" in value:
            return _json(value | {"details": {"truncated": True, "error": str(error)}})
        return "{}"


def _plain(value: object) -> object:
    """Render what JSON has no form for; times as everywhere in the log."""
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).isoformat(timespec="seconds")[:-6] + "Z"
    return sorted(map(str, value)) if isinstance(value, (set, frozenset)) else str(value)


# json.dumps would make one for each of ten thousand events
_ENCODER = json.JSONEncoder(default=_plain, separators=(",", ":"))


@lru_cache(maxsize=8)
def timestamp(moment: datetime) -> str:
    """Render the time of an event, in UTC with milliseconds."""
    return moment.astimezone(timezone.utc).isoformat(timespec="milliseconds")[:-6] + "Z"


def _gap(what: str, error: OSError) -> Gap:
    kind: GapKind = "denied" if isinstance(error, PermissionError) else "failed"
    return Gap("events", kind, f"{what}: {error.strerror or error}")


# --- the log ---


def _append_lines(lines: Sequence[bytes], log: Path) -> None:
    fd = _open_log(log)
    try:
        if _is_cut_short(fd):
            # another writer died within its line; ours is to be whole
            lines = [b"\n" + lines[0], *lines[1:]]
        for text in lines:
            written = os.write(fd, text)
            if written < len(text):
                raise OSError(None, f"only {written} of {len(text)} bytes written; is it full?")
    finally:
        os.close(fd)


def _open_log(log: Path) -> int:
    """Open to append; the directory and the file are made as the platform has them."""
    with suppress(FileExistsError):
        log.parent.mkdir()
        log.parent.chmod(0o775)
    flags = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(log, flags)
    except FileNotFoundError:
        fd = os.open(log, flags | os.O_CREAT, 0o664)
    os.fchmod(fd, 0o664)
    # the platform's other writers are of the directory's group
    with suppress(PermissionError):
        os.fchown(fd, -1, log.parent.stat().st_gid)
    return fd


def _is_cut_short(fd: int) -> bool:
    """Look twice: a live writer's line grows page by page, and is whole a moment later."""
    first = _open_end(fd)
    if first is None:
        return False
    time.sleep(SETTLE_S)
    return _open_end(fd) == first


def _open_end(fd: int) -> int | None:
    """Give the log's size where its last line has no end."""
    size = os.fstat(fd).st_size
    return size if size and os.pread(fd, 1, size - 1) != b"\n" else None


# --- the journal ---


def _send(events: Sequence[Event], journal_socket: Path) -> None:
    """Send by journald's native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL)."""
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.settimeout(JOURNAL_TIMEOUT_S)
        try:
            journal.connect(str(journal_socket))
        except (FileNotFoundError, ConnectionRefusedError):
            # no journal on this host
            return
        for event in events:
            _send_datagram(journal, _fields(event))


def _fields(event: Event) -> bytes:
    fields = {
        "MESSAGE": printable(event.message or event.type),
        "PRIORITY": str(event.priority),
        "SYSLOG_IDENTIFIER": "ds01ctl",
        "DS01_EVENT": event.type,
        "DS01_SOURCE": event.source,
        "DS01_DETAILS": _json(dict(event.details)),
    }
    if event.user is not None:
        fields["DS01_USER"] = event.user
    return b"".join([_field(name, value) for name, value in fields.items()])


def _field(name: str, value: str) -> bytes:
    data = value.encode(errors="backslashreplace")
    if b"\n" in data:
        return name.encode() + b"\n" + len(data).to_bytes(8, "little") + data + b"\n"
    return b"%b=%b\n" % (name.encode(), data)


def _send_datagram(to: socket.socket, data: bytes) -> None:
    """Send; what is too large for a datagram goes as a sealed memory file."""
    try:
        to.send(data)
    except OSError as error:
        if error.errno not in {errno.EMSGSIZE, errno.ENOBUFS}:
            raise
        _send_memory_file(to, data)


def _send_memory_file(to: socket.socket, data: bytes) -> None:
    import array
    import fcntl
    import socket

    fd = os.memfd_create("ds01ctl-event", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.write(fd, data)
        seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
        rights = array.array("i", [fd])
        to.sendmsg([], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
    finally:
        os.close(fd)
