"""Read times as the host's sources write them; every result is aware UTC."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from ds01ctl.core import timestamp
from ds01ctl.errors import Ds01Error

if TYPE_CHECKING:
    from ds01ctl.paths import Paths

_NEVER = 1
"""The year of Go's zero time, which engines write for "never"."""


def parse_time(text: str) -> datetime | None:
    """Parse an RFC 3339 time with any number of digits of a second; no zone means UTC.

    None for the empty text and for year 1, which mean "never". Raises ValueError.
    """
    if not text:
        return None
    at = timestamp.parse_time(text)
    if at.year == _NEVER:
        return None
    try:
        return at.replace(tzinfo=at.tzinfo or timezone.utc).astimezone(timezone.utc)
    except OverflowError:
        raise ValueError(f"not a time of this calendar: {text[:40]!r}") from None


def time_in(value: object) -> datetime | None:
    """Read an RFC 3339 time out of an engine's JSON; None for anything else, and for "never"."""
    try:
        return parse_time(value) if isinstance(value, str) else None
    except ValueError:
        return None


def seconds_in(value: object) -> datetime | None:
    """Read seconds since 1970 out of an engine's JSON, as a number or text; None: they are not."""
    try:
        return datetime.fromtimestamp(int(value), timezone.utc)  # type: ignore[call-overload]  # any JSON
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def boot_time(paths: Paths) -> datetime:
    """Read when the host booted (``btime`` of /proc/stat, to the second); raises Ds01Error."""
    file = paths.proc / "stat"
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        raise Ds01Error(f"{file}: {error.strerror}") from None
    for line in lines:
        if line.startswith(b"btime "):
            return datetime.fromtimestamp(int(line.split()[1]), timezone.utc)
    raise Ds01Error(f"{file}: no btime")
