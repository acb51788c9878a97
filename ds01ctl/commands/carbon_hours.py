"""The hours of `carbon`: by what each was computed, and when it is forgotten."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from ds01ctl.commands import carbon_factors
from ds01ctl.core.energy_booking import HOUR_S, Earlier, hours_of
from ds01ctl.core.hour_factor import united
from ds01ctl.core.intensity import choose, wanted_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ds01ctl.commands.carbon_factors import Factors
    from ds01ctl.commands.carbon_sampling import Sampled
    from ds01ctl.core.energy_model import Interval
    from ds01ctl.core.intensity import Figure
    from ds01ctl.core.policy import Policy
    from ds01ctl.state import State

_FORGOTTEN = "forgotten-before"


def longer_hours(interval: Interval, now: datetime) -> dict[float, dict[int, float]]:
    """Say in which hours energy was used that is of a longer time than the interval."""
    lengths = {one.seconds for one in interval.portions if one.seconds}
    return {seconds: hours_of(now.timestamp(), seconds) for seconds in lengths}


def of_past_hours(
    policy: Policy, cache: Iterable[Figure], factors: Factors, hours: Iterable[int], now: datetime
) -> dict[int, Factors]:
    """Say what held at the end of each hour that is over; ``factors`` is what holds now."""
    current = int(now.timestamp() // HOUR_S)
    over = [hour for hour in hours if hour < current]
    if not over:
        return {}
    wanted, figures = wanted_of(policy.value), tuple(cache)
    return {
        hour: factors._replace(intensity=choose(wanted, figures, _end_of(hour))) for hour in over
    }


def _end_of(hour: int) -> datetime:
    return datetime.fromtimestamp((hour + 1) * HOUR_S, timezone.utc)


def earlier(longer: Mapping[float, Mapping[int, float]], past: Mapping[int, Factors]) -> Earlier:
    """Give what `ds01ctl.core.energy_booking.book` has to know of the past."""
    return Earlier(longer, {hour: one.rates for hour, one in past.items()})


def put_factors(state: State, found: Sampled) -> None:
    """Note by what each hour was computed; before its energy is added, inside a transaction."""
    energy: dict[int, int] = {}
    for (hour, _), row in found.booking.hours.items():
        energy[hour] = energy.get(hour, 0) + row.uj
    if not energy:
        return
    known = state.energy_factors(min(energy), max(energy) + 1)
    changed = {}
    for hour, uj in energy.items():
        by = found.past.get(hour, found.factors)
        new, old = carbon_factors.factor_of(by, found.accounted.interval), known.get(hour)
        if old != new:
            old_uj = state.energy_of_hour(hour) if old else 0
            changed[hour] = united(old, old_uj, new, uj)
    state.put_energy_factors(changed)


def forget(state: State, found: Sampled) -> None:
    """Once a day drop the hours that are past keeping.

    A clock may be wrong: so many hours as are to be kept stay, however old they seem to be.
    """
    days = float(found.reading.loaded.policy.value("carbon.history_days"))
    before = int((found.now.timestamp() - days * 86400) // HOUR_S)
    if state.energy_marks().get(_FORGOTTEN, "") != str(before // 24):
        state.forget_energy(before, int(days * 24))
        state.put_energy_marks({_FORGOTTEN: str(before // 24)})
