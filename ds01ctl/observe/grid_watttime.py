"""WattTime: the marginal rate (MOER) of a region; for hints, never for what was used."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from ds01ctl.core.intensity import Figure
from ds01ctl.observe.grid_answer import (
    GridError,
    grams,
    items,
    member,
    moment,
    must_be,
    read_json,
    text,
)
from ds01ctl.observe.grid_secrets import hide

if TYPE_CHECKING:
    from datetime import datetime

    from ds01ctl.observe.grid_http import Http, Question

NAME = "watttime"
G_PER_KWH = 0.453592
"""One lb/MWh: 453.592 g over 1,000 kWh."""
_BACK = timedelta(hours=2)
_SIGNAL = "co2_moer"
_UNIT = "lbs_co2_per_mwh"


def ask(http: Http, asked: Question) -> bytes:
    """Log in, for a token that lasts half an hour, and ask for two hours. Raises GridError."""
    login = f"Basic {_basic(asked.token)}"
    answer = read_json(http.get(f"{asked.base_url}/login", Authorization=login))
    pass_ = text(member(answer, "token"), "token")
    if not pass_.isascii() or not pass_.isprintable() or not pass_:
        raise GridError("token cannot be sent back")
    hide(pass_)
    times = {"start": (asked.now - _BACK).isoformat(), "end": asked.now.isoformat()}
    query = {"region": asked.zone, "signal_type": _SIGNAL, **times}
    return http.get(f"{asked.base_url}/v3/historical", query, Authorization=f"Bearer {pass_}")


def parse(body: bytes, zone: str, now: datetime) -> tuple[Figure, tuple[str, ...]]:
    """Read the answer. Raises GridError."""
    answer = read_json(body)
    must_be(member(answer, "meta", "region"), zone, "region")
    must_be(member(answer, "meta", "signal_type"), _SIGNAL, "signal_type")
    must_be(member(answer, "meta", "units"), _UNIT, "units")
    points = [
        (moment(member(row, "point_time"), "point_time"), member(row, "value"))
        for row in items(answer, "data")
    ]
    over = [(at, value) for at, value in points if at <= now]
    if not over:
        raise GridError(f"has no point up to now among {len(points)}")
    at, value = max(over, key=lambda each: each[0])
    return Figure(NAME, zone, at, grams(value, "value", "marginal", G_PER_KWH), "marginal"), ()


def _basic(token: str) -> str:
    from base64 import b64encode

    if ":" not in token:
        raise GridError("carbon.token_file must have USER:PASSWORD in it", "denied")
    return b64encode(token.encode()).decode("ascii")
