"""Share out a whole number so that the parts are whole, fair, and add up to it exactly."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_STEPS = 2**53
"""Weights that are no integers become integers of the largest one's 2**-53."""


def largest_remainder(total: int, weights: Mapping[str, int | float]) -> dict[str, int]:
    """Split a total by weights with the method of Hamilton; a tie goes to the first by name.

    The parts add up to the total exactly. A weight that is not above 0, or not finite, gets none;
    where no weight does, nobody gets anything, and the caller says whose it is. Raises ValueError
    when the total is negative.
    """
    if total < 0:
        raise ValueError(f"{total} cannot be shared out")
    whole = _integers({name: w for name, w in weights.items() if w > 0 and isfinite(w)})
    sum_of_weights = sum(whole.values())
    if not sum_of_weights:
        return {}
    parts, remainders = {}, []
    for name, weight in whole.items():
        parts[name], remainder = divmod(total * weight, sum_of_weights)
        remainders.append((-remainder, name))
    left = total - sum(parts.values())
    for _, name in sorted(remainders)[:left] if left else ():
        parts[name] += 1
    return parts


def _integers(weights: Mapping[str, int | float]) -> Mapping[str, int]:
    if all(isinstance(weight, int) for weight in weights.values()):
        return weights  # type: ignore[return-value]  # just looked
    largest = max(weights.values())
    return {name: round(weight / largest * _STEPS) for name, weight in weights.items()}
