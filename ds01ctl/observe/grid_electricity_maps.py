"""Electricity Maps: the newest hour of a zone, lifecycle, with imports and exports."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from ds01ctl.core.intensity import Figure
from ds01ctl.observe.grid_answer import GridError, grams, member, moment, must_be, read_json, shown

if TYPE_CHECKING:
    from datetime import datetime

    from ds01ctl.observe.grid_http import Http, Question

NAME = "electricity-maps"
_HOUR = timedelta(hours=1)
_AHEAD = timedelta(minutes=5)


def ask(http: Http, asked: Question) -> bytes:
    """Ask for the newest figure. Raises GridError."""
    headers = {"auth_token": asked.token} if asked.token else {}
    return http.get(f"{asked.base_url}/carbon-intensity/latest", {"zone": asked.zone}, **headers)


def parse(body: bytes, zone: str, now: datetime) -> tuple[Figure, tuple[str, ...]]:
    """Read the answer, and what is to be said of it. Raises GridError."""
    answer = read_json(body)
    must_be(member(answer, "zone"), zone, "zone")
    kind = answer.get("emissionFactorType")
    if kind is not None:
        # direct emissions of one hour beside lifecycle ones of the next would be no series
        must_be(kind, "lifecycle", "emissionFactorType")
    value = grams(member(answer, "carbonIntensity"), "carbonIntensity")
    start = moment(member(answer, "datetime"), "datetime")
    if start > now + _AHEAD:
        raise GridError(f"datetime is {shown(answer['datetime'])}, which is still to come")
    notes = _notes(answer.get("isEstimated"), answer.get("estimationMethod"))
    return Figure(NAME, zone, min(start + _HOUR, now), value), notes


def _notes(is_estimated: object, method: object) -> tuple[str, ...]:
    if is_estimated is not True:
        return ()
    how = f" ({shown(method)})" if method else ""
    return (f"Electricity Maps estimated this figure{how}",)
