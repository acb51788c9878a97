"""Decide whom to warn of a limit: on the way up, once a crossing, and again while it lasts."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    from ds01ctl.core.quota_rows import Standing

HYSTERESIS = 2.0
"""Points of percent that a use must fall below a threshold before it counts as left."""
# sevenths of a GPU do not add up to the last bit
_ROUNDING = 1e-9

Key = tuple[str, ...]


class Use(NamedTuple):
    """How much of one limit is used, in the unit of the limit."""

    key: Key
    """What the warning is remembered by: kind, place and whose."""
    login: str | None
    """Whom to warn; None: nobody has the id."""
    what: str
    """In words: ``disk space on /home``."""
    used: float
    limit: float
    """A real limit: what has none is no use. At 0 anything used is over it."""
    standing: Standing = "ok"
    """Whether writes go on; of GPUs and containers it is not asked."""
    grace_end: datetime | None = None
    """When a soft limit that is passed begins to hold; None: no timer runs."""
    hard: float = 0
    """Nothing goes past it; 0: there is none."""

    @property
    def percent(self) -> float:
        """Give the part of the limit that is used, in percent."""
        if self.limit > 0:
            return 100.0 * self.used / self.limit
        return float("inf") if self.used > 0 else 0.0


class Warned(NamedTuple):
    """What a user was told last, while it holds."""

    level: int
    """The threshold, in percent, that he is past."""
    at: datetime
    """When it was said, at this threshold or a higher one."""
    told: bool = True
    """It reached him; else it is tried again at each run."""


class Crossing(NamedTuple):
    """A warning to give."""

    use: Use
    level: int
    """The highest threshold that is reached."""
    is_reminder: bool
    """Nothing new was crossed: it lasts."""
    since: datetime | None = None
    """When it was said and reached nobody, so that it is but tried again; None: it is news."""


class Decision(NamedTuple):
    """The warnings, and what to remember of them once they are given."""

    events: tuple[Crossing, ...]
    memory: dict[Key, Warned]

    def but(self, reached: Container[Key]) -> dict[Key, Warned]:
        """Give what to remember where of the warnings only these have reached somebody."""
        missed = [one for one in self.events if one.use.key not in reached]
        untold = {
            one.use.key: Warned(one.level, one.since or self.memory[one.use.key].at, told=False)
            for one in missed
        }
        return {**self.memory, **untold}


def decide(
    now: datetime,
    uses: Sequence[Use],
    before: Mapping[Key, Warned],
    thresholds: Sequence[int],
    remind_after: timedelta,
    unknown: Container[Key] = (),
) -> Decision:
    """Decide whom to warn, of the highest threshold that he newly reached and of no other.

    A threshold is left when use falls HYSTERESIS points below it, and can be crossed anew after.
    What reached nobody is tried again. remind_after: zero is never. unknown: keys that could not be
    read, or not wholly; what was warned of them stays. Without a memory everybody is warned once of
    where he stands.
    """
    events: list[Crossing] = []
    memory = {key: warned for key, warned in before.items() if key in unknown}
    for use in sorted(uses, key=lambda one: one.key):
        told = before.get(use.key)
        level = _level(use, told, thresholds, is_whole=use.key not in unknown)
        if level is None:
            continue
        is_new = told is None or level > told.level
        if told is None or is_new or _is_due(now - told.at, remind_after):
            events.append(Crossing(use, level, not is_new))
            memory[use.key] = Warned(level, now)
        elif not told.told:
            events.append(Crossing(use, level, is_reminder=False, since=min(told.at, now)))
            memory[use.key] = Warned(level, now)
        else:
            # a clock that was ahead must not keep him from being reminded
            memory[use.key] = Warned(level, min(told.at, now))
    return Decision(tuple(events), memory)


def _level(
    use: Use, told: Warned | None, thresholds: Sequence[int], *, is_whole: bool
) -> int | None:
    """Find the threshold that a use is past: one just left upwards holds on; None: below all."""
    percent = use.percent + _ROUNDING
    reached = [one for one in thresholds if percent >= one]
    past = told.level if told else None
    if past is not None and not is_whole:
        # at least so much is used: that it looks like less than before means nothing
        return max([past, *reached])
    if past is not None:
        reached += [one for one in thresholds if one <= past and percent >= one - HYSTERESIS]
    return max(reached, default=None)


def _is_due(since: timedelta, remind_after: timedelta) -> bool:
    return timedelta(0) < remind_after <= since
