"""Read the energy counters of processors and memory (RAPL), all in one go.

They are root's alone since CVE-2020-8694: whoever may read them often enough learns keys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.core.energy_model import Counter
from ds01ctl.core.model import Gap
from ds01ctl.core.record import NamedTuple
from ds01ctl.observe import boottime
from ds01ctl.observe.own_place import boot_id
from ds01ctl.observe.rapl_zones import find, number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ds01ctl.observe.boottime import Clock, Instant
    from ds01ctl.observe.rapl_zones import Zone
    from ds01ctl.paths import Paths

DENIED_HINT = (
    "root's only since CVE-2020-8694: run as root or with CAP_DAC_READ_SEARCH, and leave the"
    " files' modes as they are"
)
_TWIN_SLACK_UJ = 1_000_000
"""A counter is renewed each millisecond: so much may come between two looks at the same."""
_TWIN_WATTS = 1000


class RaplReading(NamedTuple):
    """The counters, and what could not be read."""

    counters: tuple[Counter, ...]
    """One that is there and could not be read has no energy."""
    gaps: tuple[Gap, ...]
    duplicates: tuple[str, ...] = ()
    """Zones left out, as they show another one's counter: ``rapl:package-0-die-1 = …-die-0``."""
    doubtful: tuple[str, ...] = ()
    """Zones that may show the counter of one that could not be read."""


class _Read(NamedTuple):
    zone: Zone
    uj: int | None
    began: Instant
    at: Instant
    problem: str = ""
    is_denied: bool = False


def read(paths: Paths, *, psys: bool, clock: Clock = boottime.now) -> RaplReading:
    """Read every zone. Raises Ds01Error only where there is no /proc.

    psys: also the counter of the whole platform, which has all others in it.
    """
    epoch = boot_id(paths)
    zones, gaps = find(paths, psys=psys)
    # one right after the other: they are to be of the same moment
    found = [_read(zone, clock) for zone in zones]
    twins = _twins(found)
    counters = tuple(_counter(one, epoch) for one in found if one.zone.name not in twins)
    told = tuple(f"{name} = {first}" for name, first in sorted(twins.items()))
    return RaplReading(counters, (*gaps, *_gaps(found)), told, _doubtful(found))


def _read(zone: Zone, clock: Clock) -> _Read:
    began = clock()
    try:
        value = number(f"{zone.folder}/energy_uj")
    except PermissionError:
        return _Read(zone, None, began, clock(), is_denied=True)
    at = clock()
    if isinstance(value, str):
        return _Read(zone, None, began, at, value)
    if zone.range_uj is not None and value > zone.range_uj:
        return _Read(zone, None, began, at, f"{value} uJ is above its range")
    return _Read(zone, value, began, at)


def _twins(found: Sequence[_Read]) -> dict[str, str]:
    """Find dies of one package that show the very same counter, as a Threadripper's do.

    Two counters that only happen to be equal cost what one of them counts until it is seen again.
    """
    firsts: dict[str, list[_Read]] = {}
    twins = {}
    for one in found:
        if not one.zone.twins or one.uj is None:
            continue
        earlier = firsts.setdefault(one.zone.twins, [])
        same = next((other for other in earlier if _is_same(other, one)), None)
        if same is None:
            earlier.append(one)
        else:
            twins[one.zone.name] = same.zone.name
    return twins


def _is_same(first: _Read, second: _Read) -> bool:
    if first.uj is None or second.uj is None or first.zone.range_uj != second.zone.range_uj:
        return False
    passed = second.uj - first.uj
    if passed < 0 and first.zone.range_uj:
        passed += first.zone.range_uj
    # each was read at some time between its two clocks: whoever reads may have had to wait
    seconds = max(0.0, second.at.at_s - first.began.at_s)
    return 0 <= passed <= _TWIN_SLACK_UJ + _TWIN_WATTS * seconds * 1e6


def _doubtful(found: Sequence[_Read]) -> tuple[str, ...]:
    """Name what can be read of dies of which another one cannot."""
    unread = {one.zone.twins for one in found if one.uj is None and one.zone.twins}
    return tuple(one.zone.name for one in found if one.uj is not None and one.zone.twins in unread)


def _counter(one: _Read, epoch: str) -> Counter:
    return Counter(
        one.zone.name,
        one.zone.component,
        epoch,
        one.at.at_s,
        one.uj,
        one.zone.range_uj,
        one.zone.max_watts,
        awake_s=one.at.awake_s,
    )


def _gaps(found: Sequence[_Read]) -> list[Gap]:
    denied = [one for one in found if one.is_denied]
    gaps = [
        Gap("rapl", "failed", f"{one.zone.folder}/energy_uj: {one.problem}")
        for one in found
        if one.problem
    ]
    if denied:
        counted = f" ({len(denied)} of {len(found)} zones)" if len(found) > 1 else ""
        reason = f"{denied[0].zone.folder}/energy_uj{counted}: {DENIED_HINT}"
        gaps.insert(0, Gap("rapl", "denied", reason))
    return gaps
