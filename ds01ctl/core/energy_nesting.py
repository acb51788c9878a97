"""Counters that have others' energy in them: psys, and dies that show one counter twice.

psys counts the whole platform, its packages and memory included: keep only the rest of it. Both
must be of the same time. So psys is not taken while one of its parts could not be read, and while
psys could not, what its parts counted is remembered with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from ds01ctl.core.energy_model import Counter, Delta, Work

_PARTS = ("cpu", "dram")
_GONE = 60
"""Runs after which a part that cannot be read is taken for gone."""


def without_twins(
    last: Mapping[str, Counter], pending: Mapping[str, Work], twins: Iterable[str]
) -> tuple[dict[str, Counter], dict[str, Work]]:
    """Forget what was kept of counters that show another one's, and their work.

    twins: such as ``rapl:package-0-die-1 = rapl:package-0-die-0``. Should the two not look alike
    in some run, the second begins anew in it: the time since it was read last is the first one's.
    """
    names = {one.partition(" = ")[0] for one in twins}
    return (
        {name: one for name, one in last.items() if name not in names},
        {name: one for name, one in pending.items() if name not in names},
    )


def without_doubtful(
    last: Mapping[str, Counter], now: Sequence[Counter], doubtful: Collection[str]
) -> tuple[Counter, ...]:
    """Leave out what may show the counter of one that could not be read.

    What was counted before was seen to be a counter of its own, and has a mean power in ``last``.
    """
    own = {name for name, one in last.items() if one.mean_watts is not None}
    return tuple(one for one in now if one.name in own or one.name not in doubtful)


def without_undecided_psys(
    last: Mapping[str, Counter], seen: Mapping[str, Counter], read: dict[str, Counter]
) -> dict[str, Counter]:
    """Leave psys out of what was read, unless all of it and all of its parts were."""
    wanted = {
        name
        for known in (last, seen)
        for name, counter in known.items()
        if counter.component in (*_PARTS, "other") and counter.missed < _GONE
    }
    if wanted <= read.keys():
        return read
    return {name: one for name, one in read.items() if one.component != "other"}


def rest_of_psys(
    found: tuple[Delta, ...], last: Mapping[str, Counter], kept: dict[str, Counter]
) -> tuple[tuple[Delta, ...], dict[str, Counter], bool]:
    """Take the parts' energy off psys. Give deltas, counters to keep, and if parts were more."""
    parts = sum(one.uj for one in found if one.component in _PARTS)
    psys = [one for one in found if one.component == "other"]
    if not psys:
        return found, _remembering(kept, parts), False
    parts += max((last[one.name].inside_uj for one in psys if one.name in last), default=0)
    is_modelled = any(d.basis == "modelled" for d in found if d.component != "gpu")
    rest = []
    for one in found:
        if one.component == "other":
            cut = min(parts, one.uj)
            parts -= cut
            basis = "modelled" if is_modelled else one.basis
            rest.append(one._replace(uj=one.uj - cut, basis=basis))
        else:
            rest.append(one)
    is_first = any(one.reason == "first" for one in psys)
    return tuple(rest), kept, parts > 0 and not is_first


def _remembering(kept: dict[str, Counter], parts: int) -> dict[str, Counter]:
    return {
        name: one._replace(inside_uj=one.inside_uj + parts) if one.component == "other" else one
        for name, one in kept.items()
    }
