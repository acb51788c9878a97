"""One run of `carbon sample` in values: from readings to whose energy it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.core.attribution import attribute
from ds01ctl.core.energy_counters import deltas, model
from ds01ctl.core.energy_model import Interval
from ds01ctl.core.pending import remember
from ds01ctl.core.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ds01ctl.core.energy_model import Counter, Delta, SplitPolicy, Work


class Accounted(NamedTuple):
    """What one run found out, and what the next one has to know."""

    interval: Interval
    last: Mapping[str, Counter]
    pending: Mapping[str, Work]


def account(
    last: Mapping[str, Counter],
    now: Sequence[Counter],
    work: Work,
    policy: SplitPolicy,
    pending: Mapping[str, Work],
    *,
    at_s: float,
) -> Accounted:
    """Count what was used since the last run, and share it out.

    last, pending: what the last run gave back; at_s: CLOCK_BOOTTIME now, the end of ``work``.
    """
    models = _models(last, now, work, policy, at_s)
    counted = deltas(last, now, models)
    portions = attribute(counted.deltas, work, policy, pending)
    from_s = at_s - work.seconds
    interval = Interval(from_s, at_s, counted.deltas, portions, counted.skipped)
    return Accounted(interval, counted.last, remember(pending, counted.last, work))


def _models(
    last: Mapping[str, Counter],
    now: Sequence[Counter],
    work: Work,
    policy: SplitPolicy,
    at_s: float,
) -> tuple[Delta, ...]:
    is_counted = any(one.component == "dram" for one in (*last.values(), *now))
    if is_counted or policy.dram_model_watts <= 0 or work.seconds <= 0:
        return ()
    return (model("dram", policy.dram_model_watts, at_s - work.seconds, at_s),)
