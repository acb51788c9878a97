"""Read and write times as RFC 3339, with any number of digits of a second."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

# datetime.fromisoformat of Python 3.10 knows neither Z nor nine digits of a second
_RFC_3339 = (
    r"(?a)(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:[.,](\d*))?([Zz]|[+-]\d\d:?\d\d)?"
)


def format_time(time: datetime) -> str:
    """Render an aware time in UTC, with as many digits as it has."""
    return time.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")


def parse_time(text: str) -> datetime:
    """Read a time, to the microsecond; naive where it has no zone. Raises ValueError."""
    match = re.fullmatch(_RFC_3339, text)
    if match is None:
        raise ValueError(f"not a time like 2026-11-23T12:00:00Z: {text[:40]!r}")
    year, month, day, hour, minute, second = (int(match[group]) for group in range(1, 7))
    micros = int((match[7] or "")[:6].ljust(6, "0"))
    # a leap second is told as the second before
    return datetime(year, month, day, hour, minute, min(second, 59), micros, _zone(match[8]))


def _zone(text: str | None) -> timezone | None:
    if text is None:
        return None
    if text in "Zz":
        return timezone.utc
    offset = timedelta(hours=int(text[1:3]), minutes=int(text[-2:]))
    return timezone(-offset if text[0] == "-" else offset)
