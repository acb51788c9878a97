"""Sizes, sets of CPUs, durations and moments, as admins write them; never a guess at a unit."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone, tzinfo
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from fractions import Fraction

# text, not compiled: most runs need only one of them
_SIZE = r"(\d{1,20})(?:\.(\d{1,20}))?\s*(?:([kmgtpeKMGTPE])(?:i?[bB])?|[bB])?"
_SPAN = (
    r"(\d+(?:\.\d+)?)\s*"
    r"(d(?:ays?)?|h(?:rs?|ours?)?|m(?:in(?:ute)?s?)?|s(?:ec(?:ond)?s?)?)\s*(?=\d|$)"
)
_MOMENT = (
    r"(\d{4})-(\d\d?)-(\d\d?)"
    r"(?:(?:[Tt]|[ \t]+)(\d\d?):(\d\d)(?::(\d\d)(?:\.(\d+))?)?[ \t]*(Z|z|[+-]\d\d?(?::?\d\d)?)?)?"
)
_POWERS = " kmgtpe"
_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
FOREVER = datetime.max.replace(tzinfo=timezone.utc)


def parse_size(text: str) -> int | None:
    """Read Docker's and systemd's spellings of a size, in bytes; K to E are powers of 1024.

    None stands for unlimited: ``infinity``, ``max``. Raises ValueError for anything else.
    """
    if text.lower() in {"infinity", "max"}:
        return None
    found = re.fullmatch(_SIZE, text)
    if not found:
        raise ValueError(text)
    whole, part, letter = found[1], found[2] or "", found[3] or " "
    shift = 10 * _POWERS.index(letter.lower())
    divisor: int = 10 ** len(part)
    return (int(whole + part) << shift) // divisor


def size_text(size: int) -> str:
    """Write bytes in systemd's spelling, by the largest unit that fits: ``96G``."""
    for power, letter in ((40, "T"), (30, "G"), (20, "M"), (10, "K")):
        if size >= 1 << power:
            return f"{size / (1 << power):.6g}{letter}"
    return str(size)


def cpus_text(cpus: Iterable[int]) -> str:
    """Write a set of CPUs as the kernel does: ``0-3,8``."""
    runs: list[list[int]] = []
    for cpu in sorted(cpus):
        if runs and cpu == runs[-1][1] + 1:
            runs[-1][1] = cpu
        else:
            runs.append([cpu, cpu])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def parse_percent(text: str) -> int | float:
    """Read ``80%``. Raises ValueError."""
    found = re.fullmatch(r"(\d{1,12})(\.\d{1,6})?\s*%", text)
    if not found:
        raise ValueError(text)
    return float(found[1] + found[2]) if found[2] else int(found[1])


def parse_duration(text: str) -> Fraction:
    """Read ``24h``, ``0.5h``, ``90m``, ``1h 30m``, ``2 days``, in seconds, exactly.

    A number without a unit raises ValueError.
    """
    from fractions import Fraction

    seconds, end = Fraction(0), 0
    for span in re.finditer(_SPAN, text):
        if span.start() != end:
            break
        seconds += Fraction(span[1]) * _SECONDS[span[2][0]]
        end = span.end()
    if not text or end != len(text):
        raise ValueError(text)
    return seconds


def parse_moment(text: str, tz: tzinfo | None) -> datetime:
    """Read a date or a time in any form that YAML or ISO 8601 give it, in UTC.

    Without a zone it is local: in tz, or the machine's own for None. A date alone is the midnight
    at its end. Raises ValueError.
    """
    found = re.fullmatch(_MOMENT, text.strip())
    if not found:
        raise ValueError(text)
    year, month, day = (int(part) for part in found.group(1, 2, 3))
    hour, minute, second = (int(part or 0) for part in found.group(4, 5, 6))
    micros = int((found[7] or "0")[:6].ljust(6, "0"))
    moment = datetime(year, month, day, hour, minute, second, micros)  # noqa: DTZ001 -- zone below
    try:
        moment += timedelta(days=0 if found[4] else 1)
        return moment.replace(tzinfo=_zone(found[8]) or tz).astimezone(timezone.utc)
    except OverflowError:  # 9999-12-31, the traditional "never"
        return FOREVER


def _zone(text: str | None) -> tzinfo | None:
    if text is None or text in "Zz":
        return timezone.utc if text else None
    digits = text[1:].replace(":", "")
    hours, minutes = (int(digits[:-2]), int(digits[-2:])) if len(digits) > 2 else (int(digits), 0)
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if text[0] == "-" else offset)
