"""The factor of an hour of which parts were computed by different ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.core.energy_books import Factor

if TYPE_CHECKING:
    from collections.abc import Iterable

_AND = " + "
_DAY = len("2026-11-26")


def united(old: Factor | None, old_uj: int, new: Factor, new_uj: int) -> Factor:
    """Put a factor and one that an hour had before together, each weighed by its energy.

    Energy x PUE x intensity of the whole is the sum of both parts'. All sources are named, and
    everything that was modelled.
    """
    if old is None or old == new:
        return new
    modelled = ", ".join(sorted({*_words(old.modelled, ", "), *_words(new.modelled, ", ")}))
    if not new_uj:
        return old._replace(modelled=modelled)
    if not old_uj:
        return new._replace(modelled=modelled)
    pue = _mean(old.pue, old_uj, new.pue, new_uj)
    return Factor(
        _joined(old.zone, new.zone),
        _mean(old.g_per_kwh, old_uj * old.pue, new.g_per_kwh, new_uj * new.pue),
        _joined(old.source, new.source),
        _joined_times(old, new),
        pue,
        _joined(old.idle, new.idle),
        modelled,
    )


def _mean(old: float, old_weight: float, new: float, new_weight: float) -> float:
    # what is equal stays as it is, to the last digit
    if old == new:
        return new
    return (old * old_weight + new * new_weight) / (old_weight + new_weight)


def _joined_times(old: Factor, new: Factor) -> str:
    if old.source == new.source:
        # of one provider's figures the newest; each replaced the one before
        return max(old.year_or_at, new.year_or_at)
    return _joined(*(one if "T" not in one else one[:_DAY] for one in (old[3], new[3])))


def _joined(old: str, new: str) -> str:
    return _AND.join(dict.fromkeys((*_words(old, _AND), *_words(new, _AND))))


def _words(text: str, between: str) -> Iterable[str]:
    return (word for word in text.split(between) if word)
