"""Choose the carbon intensity that counts, say whence it is, and when to ask for a new one.

In this order: what is configured, a live figure, an older one of the cache, the zone's row of the
table, the world's. Marginal figures never count: they say what one more kilowatt-hour would
cause, not what the ones used did.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any, Literal

from ds01ctl.core.grid_providers import HIGHEST, PROVIDERS, Kind, eic_of
from ds01ctl.core.intensity_table import WORLD, ZONES, Row, nearest_zones, row_of, zone_of
from ds01ctl.core.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

Level = Literal["configured", "live", "cached", "zone", "world"]
KEEP_S = 86400.0
"""An older figure of one moment says less of now than the yearly average does."""
_AHEAD_S = 300.0
"""A clock may be wrong by so much; what lies further ahead is a forecast, or nonsense."""
_FIRST_WAIT_S = 300
_LONGEST_WAIT_S = 6 * 3600
_MOST_FAILURES = 20
NO_ZONE = "carbon.zone is not configured: the world's value is used until it is"


class Figure(NamedTuple):
    """What a provider said; a row of the cache."""

    provider: str
    zone: str
    """As the provider names it."""
    at: datetime
    """The end of what it is about; aware."""
    g_per_kwh: float
    kind: Kind = "average"


class Wanted(NamedTuple):
    """What the policy says of the intensity."""

    zone: str | None = None
    configured: float | None = None
    """g/kWh that hold whatever anybody says."""
    provider: str | None = None
    provider_zone: str | None = None
    """As the provider names it."""
    valid_s: float = 3600.0
    """How long a figure of the provider is live."""
    keep_s: float = KEEP_S


class Intensity(NamedTuple):
    """The figure that counts, with all that a report has to say of it."""

    g_per_kwh: float
    level: Level
    zone: str
    """Empty: configured, without a zone."""
    source: str
    year: int | None = None
    """Of a row of the table."""
    at: datetime | None = None
    """Of a provider's figure."""
    age_s: float | None = None
    kind: Kind = "average"
    is_stale: bool = False
    scope: str = ""
    licence: str = ""
    notes: tuple[str, ...] = ()
    """What every report has to say."""


def wanted_of(value: Callable[[str], Any]) -> Wanted:
    """Gather what the policy says, from its look-up of host settings (``Policy.value``)."""
    provider = PROVIDERS.get(value("carbon.provider"))
    zone = value("carbon.zone")
    if zone and zone.upper() in ZONES:
        zone = zone.upper()
    name = value("carbon.provider_zone") or zone
    if provider and provider.name == "neso":
        name = zone = "GB"
    if name and provider and provider.name == "entsoe":
        name = eic_of(name) or name
    return Wanted(
        zone=zone,
        configured=value("carbon.intensity_g_per_kwh"),
        provider=provider.name if provider else None,
        provider_zone=name,
        valid_s=value("carbon.valid_m") * 60 + (provider.lag_s if provider else 0),
    )


def choose(wanted: Wanted, cache: Iterable[Figure], now: datetime) -> Intensity:
    """Choose the intensity for an interval that ends now; there always is one."""
    if wanted.configured is not None:
        source = "carbon.intensity_g_per_kwh"
        scope = "as whoever configured it knows"
        return Intensity(wanted.configured, "configured", wanted.zone or "", source, scope=scope)
    figure = newest(wanted, cache, now, "average")
    notes = _provider_notes(wanted, figure)
    if figure is not None:
        return _of_figure(wanted, figure, now)
    return _of_table(wanted.zone, notes)


def marginal(wanted: Wanted, cache: Iterable[Figure], now: datetime) -> Figure | None:
    """Find the newest marginal figure, for hints on when to compute; never for accounting."""
    return newest(wanted, cache, now, "marginal")


def of_year(zone: str | None, year: int) -> Intensity:
    """Give the table's value for a year, to compute a past period anew."""
    return _of_table(zone, (), year)


def newest(wanted: Wanted, cache: Iterable[Figure], now: datetime, kind: Kind) -> Figure | None:
    """Find the newest usable figure of a kind, of the provider and zone that are configured."""
    usable = [
        one
        for one in cache
        if (one.provider, one.zone, one.kind) == (wanted.provider, wanted.provider_zone, kind)
        and problem_of(one.g_per_kwh, kind) is None
        and -_AHEAD_S <= (now - one.at).total_seconds() <= wanted.keep_s
    ]
    return max(usable, key=lambda one: one.at, default=None)


def problem_of(g_per_kwh: float, kind: Kind = "average") -> str | None:
    """Say why a figure cannot be right; None: it can.

    Nothing at all is right for one more kilowatt-hour, while wind is shut off, but not for all.
    """
    if not isfinite(g_per_kwh):
        return "is no number"
    if g_per_kwh < 0:
        return "is negative"
    if g_per_kwh > HIGHEST:
        return f"is above {HIGHEST:g} g/kWh"
    return "no grid's average is" if g_per_kwh == 0 and kind == "average" else None


def wait_s(failures: int, retry_after_s: float | None = None) -> float:
    """Say how long to wait after so many failures in a row: 10 min, 20 min … up to 6 hours.

    A provider that asks for more, up to a day, gets it.
    """
    if failures <= 0:
        return 0
    own = min(_FIRST_WAIT_S << min(failures, _MOST_FAILURES), _LONGEST_WAIT_S)
    asked = retry_after_s if retry_after_s and isfinite(retry_after_s) else 0
    return max(own, min(asked, KEEP_S))


def is_due(
    tried_at: datetime | None, failures: int, now: datetime, retry_after_s: float | None = None
) -> bool:
    """Tell whether to ask again; a clock that was set back does not make us wait for it."""
    if tried_at is None or failures <= 0 or tried_at > now:
        return True
    return (now - tried_at).total_seconds() >= wait_s(failures, retry_after_s)


def _of_figure(wanted: Wanted, figure: Figure, now: datetime) -> Intensity:
    age_s = max((now - figure.at).total_seconds(), 0.0)
    is_live = age_s <= wanted.valid_s
    provider = PROVIDERS[figure.provider]
    return Intensity(
        figure.g_per_kwh,
        "live" if is_live else "cached",
        figure.zone,
        provider.title,
        at=figure.at,
        age_s=age_s,
        is_stale=not is_live,
        scope=provider.scope,
        licence=provider.licence,
        notes=() if is_live else (f"{provider.title} has not said anything newer",),
    )


def _of_table(zone: str | None, notes: tuple[str, ...], year: int | None = None) -> Intensity:
    home = zone_of(zone) if zone else None
    if home is not None and home != WORLD:
        row = row_of(home, year)
        if row is not None:
            of_country = home != (zone or "").upper()
            told = (
                (*notes, f"{zone} has no row of its own: {home}'s is used") if of_country else notes
            )
            return _of_row(row, "zone", told)
    if zone is None:
        notes = (NO_ZONE, *notes)
    elif home is None:
        near = nearest_zones(zone)
        hint = f" (near: {', '.join(near)})" if near else ""
        notes = (f"{zone} is no zone of the table{hint}: the world's value is used", *notes)
    world = row_of(WORLD, year)
    assert world is not None
    return _of_row(world, "world", notes)


def _of_row(row: Row, level: Level, notes: tuple[str, ...]) -> Intensity:
    return Intensity(
        row.g_per_kwh,
        level,
        row.zone,
        row.source,
        year=row.year,
        scope=row.scope,
        licence=row.licence,
        notes=notes,
    )


def _provider_notes(wanted: Wanted, figure: Figure | None) -> tuple[str, ...]:
    provider = PROVIDERS.get(wanted.provider or "")
    if provider is None or figure is not None:
        return ()
    if provider.kind == "marginal":
        return (f"{provider.title} gives marginal figures, which never count for what was used",)
    return (f"{provider.title} has no figure for the last {wanted.keep_s / 3600:.0f} hours",)
