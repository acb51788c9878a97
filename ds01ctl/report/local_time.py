"""Times for people: local, with the zone, so that nobody has to guess. JSON has UTC."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


def local_time(moment: datetime) -> str:
    """Show an aware time as ``2026-11-23 13:00 CET``."""
    return f"{moment.astimezone():%Y-%m-%d %H:%M %Z}"


def local_clock(moment: datetime) -> str:
    """Show the time of day of an aware time as ``13:00:05 CET``."""
    return f"{moment.astimezone():%H:%M:%S %Z}"
