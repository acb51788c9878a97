"""ENTSO-E Transparency Platform: generation by type (A75), times what each type stands for.

The newest moment counts for which every type has a value: types are published at different
times, and a mix without the late ones would be another grid's.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from ds01ctl.core.generation_factors import FACTORS
from ds01ctl.core.intensity import Figure
from ds01ctl.observe.grid_answer import GridError, grams, moment, must_be, said, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from xml.etree.ElementTree import Element

    from ds01ctl.observe.grid_http import Http, Question

NAME = "entsoe"
_BACK = timedelta(hours=24)
_LONGEST = timedelta(days=3)
_STEP = timedelta(minutes=15)
_STEPS = {"PT15M": 1, "PT30M": 2, "PT60M": 4}
_BLOCKS = "A03"
"""A curve type: a point that is missing has the value of the one before it."""
_GENERATION = "A75"
_TIME = "%Y%m%d%H%M"

_Series = dict[datetime, float]
"""Megawatts by the start of a quarter of an hour."""


class _Period(NamedTuple):
    start: datetime
    end: datetime
    steps: int


def ask(http: Http, asked: Question) -> bytes:
    """Ask for a day of generation by type. Raises GridError."""
    hour = asked.now.replace(minute=0, second=0, microsecond=0)
    query = {
        "documentType": _GENERATION,
        "processType": "A16",
        "in_Domain": asked.zone,
        "periodStart": (hour - _BACK).strftime(_TIME),
        "periodEnd": (hour + timedelta(hours=1)).strftime(_TIME),
    }
    secret = {"securityToken": asked.token} if asked.token else {}
    return http.get(asked.base_url, {**query, **secret})


def parse(body: bytes, zone: str, now: datetime) -> tuple[Figure, tuple[str, ...]]:
    """Read the answer. Raises GridError."""
    root = read_xml(body)
    if root.tag == "Acknowledgement_MarketDocument":
        raise GridError(f"says: {said((root.findtext('Reason/text') or '').encode())}")
    must_be(root.tag, "GL_MarketDocument", "the document")
    by_type = _by_type(root.iter("TimeSeries"), zone)
    start = _newest(by_type, now)
    value, left_out = _mix({code: series[start] for code, series in by_type.items()})
    return Figure(NAME, zone, start + _STEP, grams(value, "the mix")), left_out


def read_xml(body: bytes) -> Element:
    """Read XML without its name spaces, and without a DTD: no entity is ever expanded.

    Raises GridError.
    """
    from xml.etree.ElementTree import TreeBuilder
    from xml.parsers import expat

    parser = expat.ParserCreate(namespace_separator="}")
    builder = TreeBuilder()
    parser.StartDoctypeDeclHandler = _refuse_dtd
    parser.StartElementHandler = lambda name, attrs: builder.start(_local(name), attrs)
    parser.EndElementHandler = lambda name: builder.end(_local(name))
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(body, True)  # noqa: FBT003 -- expat takes no name for it
    except expat.ExpatError:
        raise GridError(f"is no XML: {said(body)}") from None
    return builder.close()


def _refuse_dtd(*_: object) -> NoReturn:
    raise GridError("is XML with a DTD, which is refused")


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _by_type(found: Iterable[Element], zone: str) -> dict[str, _Series]:
    """Gather the series of each type that is generated and not only given back."""
    by_type: dict[str, _Series] = {}
    for series in found:
        domain = series.findtext("inBiddingZone_Domain.mRID")
        if domain is None:  # what pumps and storages take from the grid
            continue
        must_be(domain.strip(), zone, "inBiddingZone_Domain.mRID")
        code = (series.findtext("MktPSRType/psrType") or "").strip()
        if code not in FACTORS:
            raise GridError(f"psrType is {shown(code)}, which nobody knows")
        must_be((series.findtext("quantity_Measure_Unit.name") or "MAW").strip(), "MAW", "unit")
        if FACTORS[code].g_per_kwh is not None:
            _add(by_type.setdefault(code, {}), _values(series), code)
    return by_type


def _add(series: _Series, values: Iterator[tuple[datetime, float]], code: str) -> None:
    for at, megawatts in values:
        if series.setdefault(at, megawatts) != megawatts:
            raise GridError(f"{code} has two values for {at:%Y-%m-%dT%H:%MZ}")


def _values(series: Element) -> Iterator[tuple[datetime, float]]:
    """Give each quarter of an hour that a series has a value for."""
    has_blocks = (series.findtext("curveType") or "").strip() == _BLOCKS
    for found in series.iter("Period"):
        period = _period(found)
        points = _points(found)
        count = (period.end - period.start) // (period.steps * _STEP)
        value: float | None = None
        for position in range(1, count + 1):
            value = points.get(position, value if has_blocks else None)
            at = period.start + (position - 1) * period.steps * _STEP
            if value is not None:
                yield from ((at + step * _STEP, value) for step in range(period.steps))


def _period(found: Element) -> _Period:
    start = moment(found.findtext("timeInterval/start"), "start")
    end = moment(found.findtext("timeInterval/end"), "end")
    resolution = (found.findtext("resolution") or "").strip()
    if resolution not in _STEPS:
        raise GridError(f"resolution is {shown(resolution)}, none of {', '.join(_STEPS)}")
    if not timedelta(0) < end - start <= _LONGEST:
        raise GridError(f"timeInterval is from {start:%Y-%m-%dT%H:%MZ} to {end:%Y-%m-%dT%H:%MZ}")
    return _Period(start, end, _STEPS[resolution])


def _points(found: Element) -> dict[int, float]:
    return {
        int(_number(point.findtext("position"), "position")): _number(
            point.findtext("quantity"), "quantity"
        )
        for point in found.iter("Point")
    }


def _number(text: str | None, what: str) -> float:
    """Read a number that is not negative, as XML Schema writes decimals."""
    written = (text or "").strip()
    is_number = written.isascii() and written.replace(".", "", 1).isdigit() and len(written) < 20
    if not is_number:
        raise GridError(f"{what} is {shown(written)}, no number that is not negative")
    return float(written)


def _newest(by_type: Mapping[str, _Series], now: datetime) -> datetime:
    """Find the newest quarter of an hour, all over, for which every type has a value."""
    common = [set(series) for series in by_type.values()]
    known = {at for at in set.intersection(*common) if at + _STEP <= now} if common else set()
    if not known:
        types = ", ".join(sorted(by_type)) or "none"
        raise GridError(f"has no moment for which every type is known (types: {types})")
    return max(known)


def _mix(megawatts: Mapping[str, float]) -> tuple[float, tuple[str, ...]]:
    """Weigh the factors with what was generated."""
    total = sum(megawatts.values())
    if total <= 0:
        raise GridError("generation is 0 in all, which no grid's is")
    weighed = sum(power * (FACTORS[code].g_per_kwh or 0) for code, power in megawatts.items())
    assumed = [code for code in sorted(megawatts) if FACTORS[code].source.startswith("assumed")]
    share = sum(megawatts[code] for code in assumed) / total
    told = f"{share:.1%} of the generation has an assumed factor ({', '.join(assumed)})"
    return weighed / total, (told,) if share >= 0.001 else ()
