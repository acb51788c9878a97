"""The proof of a conversion: the firings of the line and those of the timer, side by side."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.cron.walk import firings

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ds01ctl.cron.fields import Schedule

FIRINGS = 1000
HORIZON = timedelta(days=28 * 366)
"""A line that runs once a year is compared over 28 years: each date has had each weekday."""
ENVIRONMENT = {"TZ": "UTC", "LC_ALL": "C"}
"""What systemd-analyze prints follows the locale and the zone of whoever runs it."""
_ELAPSE = re.compile(
    r"^ *(?:Next elapse|Iter\. #\d+): \w+ (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC$", re.MULTILINE
)
_SECTION = re.compile(r"^Normalized form: ", re.MULTILINE)


class Proof(NamedTuple):
    """How many firings are equal, and the first that is not."""

    firings: int
    difference: str | None = None
    missing: str | None = None
    """Why nothing could be compared."""

    @property
    def holds(self) -> bool:
        """Tell whether the timer was shown to be the line."""
        return self.difference is None and self.missing is None


def question(expressions: Sequence[str], base: datetime) -> list[str]:
    """Make the command that lists the elapses of expressions (each without a zone)."""
    at = f"--base-time={base:%Y-%m-%d %H:%M:%S} UTC"
    return ["systemd-analyze", "calendar", f"--iterations={FIRINGS}", at, "--", *expressions]


def answers(output: str) -> list[list[datetime]]:
    """Read the elapses of each expression from what systemd-analyze printed."""
    sections = _SECTION.split(output)[1:]
    return [
        [
            datetime.strptime(found, "%Y-%m-%d %H:%M:%S").replace(tzinfo=timezone.utc)
            for found in _ELAPSE.findall(section)
        ]
        for section in sections
    ]


def compare(schedule: Schedule, elapses: Iterable[Sequence[datetime]], base: datetime) -> Proof:
    """Compare a line with the elapses of all its expressions, which count once where they meet."""
    timer = sorted(set().union(*elapses))
    end = base + HORIZON
    expected = list(islice(firings(schedule, base, end), FIRINGS))
    found = [moment for moment in timer if moment < end][:FIRINGS]
    for cron, systemd in zip(expected, found, strict=False):
        if cron != systemd:
            return Proof(0, f"cron runs at {cron:%F %H:%M}, the timer at {systemd:%F %H:%M}")
    if len(expected) != len(found):
        return Proof(0, f"cron runs {len(expected)} times, the timer {len(found)} times")
    return Proof(len(expected))
