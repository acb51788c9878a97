"""GB Carbon Intensity API (NESO): the newest half-hour of Great Britain that is over.

``actual`` is null until it is; a forecast is never taken in its place.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from ds01ctl.core.intensity import Figure
from ds01ctl.observe.grid_answer import GridError, grams, items, member, moment, read_json

if TYPE_CHECKING:
    from datetime import datetime

    from ds01ctl.observe.grid_http import Http, Question

NAME = "neso"
_BACK = timedelta(hours=3)
_TIME = "%Y-%m-%dT%H:%MZ"


def ask(http: Http, asked: Question) -> bytes:
    """Ask for the half-hours of the last three hours. Raises GridError."""
    span = f"{(asked.now - _BACK).strftime(_TIME)}/{asked.now.strftime(_TIME)}"
    return http.get(f"{asked.base_url}/intensity/{span}", Accept="application/json")


def parse(body: bytes, zone: str, now: datetime) -> tuple[Figure, tuple[str, ...]]:
    """Read the answer. Raises GridError."""
    rows = items(read_json(body), "data")
    over = [
        (moment(member(row, "to"), "to"), member(row, "intensity", "actual"))
        for row in rows
        if member(row, "intensity", "actual") is not None
    ]
    known = [(end, actual) for end, actual in over if end <= now]
    if not known:
        raise GridError(f"actual is null in all of {len(rows)} half-hours: none is known yet")
    end, actual = max(known, key=lambda each: each[0])
    return Figure(NAME, zone, end, grams(actual, "actual")), ()
