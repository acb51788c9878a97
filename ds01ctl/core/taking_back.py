"""Take limits back: in systemd's memory, and in our file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.core.drift import same
from ds01ctl.core.dropin_text import assigned, place_of
from ds01ctl.core.enforce_model import REPORT_ONLY, Change
from ds01ctl.core.properties import BY_NAME, NONE, UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ds01ctl.core.drift import Seen
    from ds01ctl.core.enforce_model import Leftover, World


_WAITS = {
    "in-use": "still in use",
    "wait": "taken back if the next run says so, too",
    "unknown": "it cannot be told whose it is now",
}


def prune(world: World) -> Iterator[Change]:
    """Plan to take back the limits of slices that are nobody's home now."""
    if "prune" not in world.chosen or world.users is not None:
        return
    mode = world.modes.get("prune")
    for one in world.leftovers:
        skip = None if mode == "enforce" else REPORT_ONLY
        if one.fate != "take-back":
            skip = _WAITS[one.fate]
        yield from take_back(one, skip)


def take_back(one: Leftover, skip: str | None = None) -> Iterator[Change]:
    """Plan to take the limits of one slice back, in systemd's memory and in our file."""
    lines = assigned(one.seen.file.text or "")
    if one.seen.group is not None:
        live = {name: without_us(name, one.seen) for name in BY_NAME if name in lines}
        values = {name: now(name, one.seen) for name in live}
        changed = {n: v for n, v in live.items() if not same(BY_NAME[n], v, values[n])}
        if changed:
            before = {n: values[n] for n in changed}
            change = Change("set-property", one.unit, None, "prune", one.why, before, changed)
            yield change._replace(cgroup=one.cgroup, skip=skip)
    if one.seen.file.stamp in {"ours", "edited"}:
        before = {name: " ".join(value) for name, value in lines.items()}
        place = place_of(one.unit)
        yield Change("remove-drop-in", place, None, "prune", one.why, before, {}, skip=skip)


def without_us(name: str, seen: Seen) -> str:
    """Say what a property would be if we had never been here: what other files say, or nothing."""
    others = [
        one.values[name]
        for one in seen.foreign
        # a line that makes no sense is passed over by systemd, too
        if one.values.get(name, UNKNOWN) != UNKNOWN
        and not one.path.startswith("/run/systemd/system.control/")
    ]
    return others[-1] if others else NONE


def now(name: str, seen: Seen) -> str:
    """Say what holds of a property now: the kernel's word, or systemd's."""
    prop = BY_NAME[name]
    if seen.group and prop.file:
        return seen.group.value(prop)
    return seen.told.values.get(name, NONE) if seen.told else NONE
