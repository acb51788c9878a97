"""Counter truth: what energy counters counted between two looks, or that they do not say.

Where the readings leave one answer, it is that. Where they leave several or none, it is an
estimate from the counter's last known power, marked ``modelled``, and told in ``skipped``.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from ds01ctl.core.energy_model import Counted, Delta
from ds01ctl.core.energy_nesting import rest_of_psys, without_undecided_psys
from ds01ctl.core.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ds01ctl.core.energy_model import Basis, Component, Counter

MOST_WATTS: Mapping[Component, float] = {"cpu": 1000.0, "dram": 500.0, "gpu": 1000.0, "other": 2e3}
"""The most that one of them can draw, where its limit is not known; dram: of one package."""
ABOVE_LIMIT = "above-limit"
SKIPPED = (
    "several-wraps",
    "implausible",
    ABOVE_LIMIT,
    "unknown-range",
    "suspended",
    "power-gap",
    "duplicate",
    "psys-below-parts",
)
"""All reasons for which an interval, or a reading, does not decide what was used.

above-limit: it does, and the limit that the part is said to have does not hold.
"""
_MARGIN = 1.05
"""Power limits hold on average only."""
_REFRESH_S = 0.2
"""NVML renews its counter every 20 to 100 ms: by so much may both readings be off."""
_LEAST_MEAN_S = 1.0
"""Over less, a mean power says nothing."""
_SUSPEND_S = 1.0
"""By more, the clock that goes on in suspend is ahead of the one that does not."""
_GAP_S = 900.0
"""Over more, the powers at both ends say little of what was drawn in between."""


class _Found(NamedTuple):
    delta: Delta
    skipped: str = ""
    mean_watts: float | None = None
    """None: it was not measured; what was known stays."""


def deltas(
    last: Mapping[str, Counter], now: Sequence[Counter], models: tuple[Delta, ...] = ()
) -> Counted:
    """Say what each counter counted since it was read last.

    last: what the previous run gave back. A counter that is not in ``now``, or could not be read,
    stays in it, so that its next reading bridges the time. The first sight of one counts nothing.
    models: what is estimated for parts that have no counter; it is added.
    """
    names = {counter.name: counter for counter in reversed(now)}
    tally = {"duplicate": len(now) - len(names)}
    for counter in names.values():
        if _is_absurd(counter):
            _add(tally, "implausible")
    read = {name: counter for name, counter in names.items() if _is_readable(counter)}
    read = without_undecided_psys(last, names, read)
    kept = {n: c._replace(missed=c.missed + 1) for n, c in last.items() if n not in read}
    found = []
    for name in sorted(read):
        one = _since(last.get(name), read[name])
        _add(tally, one.skipped)
        found.append(one.delta)
        kept[name] = _to_keep(last.get(name), read[name], one)
    counted, kept, is_short = rest_of_psys((*found, *models), last, kept)
    tally["psys-below-parts"] = int(is_short)
    return Counted(counted, kept, {name: n for name, n in sorted(tally.items()) if n and name})


def model(component: Component, watts: float, from_s: float, to_s: float) -> Delta:
    """Estimate what something without counter and power reading used: a configured power."""
    uj = _microjoules(watts, to_s - from_s)
    return Delta(f"model:{component}", component, uj, from_s, to_s, "modelled", "model")


def most_watts(counter: Counter) -> float:
    """Say what a counter's part can draw at most: its limit if known, else a high default."""
    known = counter.max_watts
    return known if known > 0 and isfinite(known) else MOST_WATTS[counter.component]


def _conceivable_watts(counter: Counter) -> float:
    """Say what no such part exceeds, whatever its limit is said to be."""
    return max(most_watts(counter), MOST_WATTS[counter.component])


def _add(tally: dict[str, int], reason: str) -> None:
    tally[reason] = tally.get(reason, 0) + 1


def _is_readable(counter: Counter) -> bool:
    if not counter.has_counter:
        return _is_power(counter.power_watts, counter)
    return counter.uj is not None and 0 <= counter.uj <= (counter.range_uj or counter.uj)


def _is_absurd(counter: Counter) -> bool:
    """Say whether there is a reading, and it cannot be one: negative, out of range, no number."""
    value = counter.uj if counter.has_counter else counter.power_watts
    return value is not None and not _is_readable(counter)


def _is_power(watts: float | None, counter: Counter) -> bool:
    return watts is not None and 0 <= watts <= _conceivable_watts(counter) * _MARGIN


def _since(last: Counter | None, now: Counter) -> _Found:
    if last is None or not _is_readable(last):
        return _first(now)
    if not (last.has_counter and now.has_counter):
        return _by_power(last, now)
    return _same_epoch(last, now) if _is_same_epoch(last, now) else _after_reset(last, now)


def _first(now: Counter) -> _Found:
    return _Found(Delta(now.name, now.component, 0, now.at_s, now.at_s, "measured", "first"))


def _same_epoch(last: Counter, now: Counter) -> _Found:
    assert now.uj is not None
    assert last.uj is not None
    difference = now.uj - last.uj
    if difference >= 0:
        return _decide(last, now, difference, "bridged" if last.missed else "measured")
    if now.range_uj and _was_suspended(last, now):
        # some processors begin at 0 after it: that or a wrap
        return _estimate(last, now, "suspended")
    if now.range_uj:
        # the counter's own step, 15 or 61 uJ, is more than the range by which it goes around;
        # it cannot be seen from here, and is a 4-billionth of it
        return _decide(last, now, difference + now.range_uj, "wrap")
    # NVML never goes around: its driver was loaded anew
    if now.component == "gpu":
        return _after_reset(last, now)
    return _estimate(last, now, "unknown-range")


def _decide(last: Counter, now: Counter, uj: int, reason: str) -> _Found:
    """Take the least energy that the readings allow, unless more of them, or none, can be true."""
    seconds = _elapsed(last, now)
    most = _most(last, now, seconds)
    if not 0 <= uj <= most:
        if reason != "wrap" and _is_only_answer(last, now, uj, seconds):
            found = _measured(last, now, uj, reason, seconds, from_s=last.at_s)
            return found._replace(skipped=ABOVE_LIMIT)
        return _estimate(last, now, "implausible")
    if now.range_uj and uj + now.range_uj <= most:
        return _nearest(last, now, uj, seconds, from_s=last.at_s)
    return _measured(last, now, uj, reason, seconds, from_s=last.at_s)


def _is_only_answer(last: Counter, now: Counter, uj: int, seconds: float) -> bool:
    """Say whether the readings leave this alone, whatever the part's limit is said to be.

    Limits are the firmware's, the kernel's or the admin's word; the counter is the hardware's.
    """
    watts = max(_conceivable_watts(last), _conceivable_watts(now))
    most = _of_watts(watts, seconds)
    return 0 <= uj <= most and not (now.range_uj and uj + now.range_uj <= most)


def _after_reset(last: Counter, now: Counter) -> _Found:
    """Charge what a counter shows that began at 0 since: all of it, and nothing from before."""
    assert now.uj is not None
    is_same_boot = _boot(last) == _boot(now)
    seconds = _elapsed(last, now) if is_same_boot else _awake(now)
    from_s = last.at_s if is_same_boot else 0.0
    most = _most(last, now, seconds)
    if now.uj > most and is_same_boot and last.uj is not None and now.uj >= last.uj:
        # it did not begin at 0: the driver's start was told in another way
        return _decide(last, now, now.uj - last.uj, "bridged" if last.missed else "measured")
    if now.uj > most:
        # it did not begin at 0 then (kexec keeps RAPL), and nothing says where it began
        return _Found(_delta(now, 0, from_s, "modelled", "implausible"), "implausible")
    if now.range_uj and now.uj + now.range_uj <= most:
        return _nearest(last, now, now.uj, seconds, from_s=from_s)
    return _measured(last, now, now.uj, "reset", seconds, from_s=from_s)


def _by_power(last: Counter, now: Counter) -> _Found:
    """Integrate the power at both ends; across a boot nothing is known of the time between."""
    watts = _mean([w for w in (_power(last), _power(now)) if w is not None])
    seconds = _elapsed(last, now)
    if _boot(last) != _boot(now) or watts is None or seconds < 0:
        return _first(now)
    is_gap = seconds > _GAP_S
    reason = "power-gap" if is_gap else "power"
    delta = _delta(now, _microjoules(watts, seconds), last.at_s, "modelled", reason)
    return _Found(delta, reason if is_gap else "")


def _measured(
    last: Counter, now: Counter, uj: int, reason: str, seconds: float, *, from_s: float
) -> _Found:
    mean = uj / seconds / 1e6 if seconds >= _LEAST_MEAN_S else last.mean_watts
    return _Found(_delta(now, uj, from_s, "measured", reason), mean_watts=mean)


def _estimate(last: Counter, now: Counter, reason: str) -> _Found:
    """Take the last known power; 0 where none is known."""
    watts = _known_watts(last, now) or 0.0
    uj = _microjoules(watts, _elapsed(last, now))
    return _Found(_delta(now, uj, min(last.at_s, now.at_s), "modelled", reason), reason)


def _nearest(last: Counter, now: Counter, uj: int, seconds: float, *, from_s: float) -> _Found:
    """Add as many full ranges as come nearest to the last known power; none if that is unknown."""
    assert now.range_uj
    watts = _known_watts(last, now)
    wanted = 0 if watts is None else round((_microjoules(watts, seconds) - uj) / now.range_uj)
    most = (_most(last, now, seconds) - uj) // now.range_uj
    uj += now.range_uj * max(0, min(wanted, most))
    return _Found(_delta(now, uj, from_s, "modelled", "several-wraps"), "several-wraps")


def _delta(now: Counter, uj: int, from_s: float, basis: Basis, reason: str) -> Delta:
    return Delta(now.name, now.component, uj, from_s, now.at_s, basis, reason)


def _to_keep(last: Counter | None, now: Counter, found: _Found) -> Counter:
    mean = found.mean_watts
    if mean is None and last is not None:
        mean = last.mean_watts
    return now._replace(mean_watts=mean)


def _most(last: Counter, now: Counter, seconds: float) -> int:
    """Say what can have been drawn, uJ, by the higher limit: it may have been changed meanwhile."""
    return _of_watts(max(most_watts(last), most_watts(now)), seconds)


def _of_watts(watts: float, seconds: float) -> int:
    return int(watts * _MARGIN * (seconds + _REFRESH_S) * 1e6) if seconds >= 0 else -1


def _elapsed(last: Counter, now: Counter) -> float:
    """Count the seconds between two readings in one boot in which the host was not suspended."""
    if last.awake_s is not None and now.awake_s is not None:
        return now.awake_s - last.awake_s
    return now.at_s - last.at_s


def _was_suspended(last: Counter, now: Counter) -> bool:
    return now.at_s - last.at_s - _elapsed(last, now) > _SUSPEND_S


def _awake(now: Counter) -> float:
    return now.at_s if now.awake_s is None else now.awake_s


def _is_same_epoch(last: Counter, now: Counter) -> bool:
    """Compare epochs; the start of the driver only where both tell it."""
    is_told = "/" in last.epoch and "/" in now.epoch
    return last.epoch == now.epoch if is_told else _boot(last) == _boot(now)


def _boot(counter: Counter) -> str:
    return counter.epoch.partition("/")[0]


def _microjoules(watts: float, seconds: float) -> int:
    return max(0, round(watts * seconds * 1e6))


def _known_watts(last: Counter, now: Counter) -> float | None:
    ends = [w for w in (last.power_watts, now.power_watts) if _is_power(w, now)]
    known = last.mean_watts if _is_power(last.mean_watts, now) else None
    return known if known is not None else _mean([w for w in ends if w is not None])


def _power(counter: Counter) -> float | None:
    """Say what it drew: as read, or in the mean when it had a counter."""
    for watts in (counter.power_watts, counter.mean_watts):
        if _is_power(watts, counter):
            return watts
    return None


def _mean(watts: list[float]) -> float | None:
    return sum(watts) / len(watts) if watts else None
