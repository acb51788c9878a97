"""Compare a limit in its places: the policy, our drop-in, systemd's memory, the kernel.

The first place that differs is the one to mend, and says what has happened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from ds01ctl.core.dropin_text import FILE, assigned, place_of
from ds01ctl.core.placing import NOTHING, Found
from ds01ctl.core.properties import (
    BY_NAME,
    NONE,
    UNKNOWN,
    Property,
    least_rates,
    number,
    of_kernel,
    written,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ds01ctl.core.homes import Hardware, Home

Leg = Literal[
    "not-written", "not-loaded", "overridden", "changed-in-systemd", "not-in-kernel",
    "changed-in-kernel",
]  # fmt: skip
WORDS: dict[Leg, str] = {
    "not-written": "not written: our drop-in does not have it",
    "not-loaded": "written, but not loaded: systemd has not read our drop-in",
    "overridden": "overridden",
    "changed-in-systemd": "changed behind our back: systemd was told otherwise",
    "not-in-kernel": "loaded, but not in the kernel",
    "changed-in-kernel": "changed behind our back: the kernel's file was written to",
}
_TOLERANCE = 0.01
"""Of a CPU quota: systemd and runc round it."""


SIBLINGS = frozenset({"memory.max", "io.max", "cpu.weight"})
"""Files by which a controller is known to be there."""


class Group(NamedTuple):
    """A control group as the kernel has it."""

    path: str
    """Below /sys/fs/cgroup."""
    inode: int
    """Another one is another group of the same name."""
    files: Mapping[str, str]
    """Content by name; a file of a controller that is off is absent."""
    populated: bool

    def value(self, prop: Property) -> str:
        """Give the value of one of its limits; NONE where its controller is off."""
        return of_kernel(prop, self.files.get(prop.file, ""))

    def lacks(self, prop: Property) -> bool:
        """Tell whether this kernel has no such file, though the controller is there.

        For example memory.swap.max with swap accounting off.
        """
        if not prop.file or prop.file in self.files:
            return False
        controller = prop.file.partition(".")[0]
        return any(name.partition(".")[0] == controller for name in self.files)


class Told(NamedTuple):
    """What systemd has in memory of a unit."""

    values: Mapping[str, str]
    """By property, as core.properties writes values."""
    drop_ins: tuple[str, ...]


class Foreign(NamedTuple):
    """A drop-in that is not ours, and sets one of our properties."""

    path: str
    values: Mapping[str, str]
    """By property; for a list only whether it is empty."""

    @property
    def beats_ours(self) -> bool:
        """Tell whether it is read after ours, at the next start of the unit."""
        return self.path.rpartition("/")[2] > FILE


class Seen(NamedTuple):
    """What is there of one home."""

    file: Found = NOTHING
    """Our drop-in's place; without its mark."""
    group: Group | None = None
    """None: nobody works there now."""
    told: Told | None = None
    """None: systemd was not asked."""
    foreign: tuple[Foreign, ...] = ()
    """In the order in which they are read."""
    in_use_bytes: int | None = None
    """Memory that could not be given back at once; None: not looked at."""


class Drift(NamedTuple):
    """One limit that is not everywhere as it should be."""

    prop: Property
    leg: Leg
    wanted: str
    told: str | None
    kernel: str | None
    by: str | None = None
    """The file that overrides."""


def drifts(home: Home, values: Mapping[str, str], seen: Seen, machine: Hardware) -> Iterator[Drift]:
    """Compare every limit; values: what is to hold now, by property."""
    lines = assigned(seen.file.text or "") if seen.file.stamp != "foreign" else {}
    nodes = machine.nodes
    later = [one for one in seen.foreign if one.beats_ours]
    for name, wanted in values.items():
        prop = BY_NAME[name]
        told = seen.told.values.get(name, NONE) if seen.told else None
        is_there = seen.group and prop.file and not seen.group.lacks(prop)
        kernel = seen.group.value(prop) if seen.group and is_there else None
        expected = tuple(one.partition("=")[2] for one in written(prop, wanted, nodes))
        by = overriding(later, name, wanted) if later else None
        if lines.get(name) != expected:
            yield Drift(prop, "not-written", wanted, told, kernel, by)
        elif by:
            yield Drift(prop, "overridden", wanted, told, kernel, by)
        elif seen.group and (leg := _live_leg(home, prop, wanted, told, kernel, seen)):
            # set-property tells systemd without having it read our file
            is_told = leg in {"changed-in-systemd", "not-loaded"}
            by = _set_by(seen.foreign, name, told) if is_told else None
            yield Drift(prop, "overridden" if by else leg, wanted, told, kernel, by)


def _live_leg(
    home: Home, prop: Property, wanted: str, told: str | None, kernel: str | None, seen: Seen
) -> Leg | None:
    in_kernel = kernel is None or same(prop, kernel, wanted)
    if told is not None and not same(prop, told, wanted):
        is_loaded = seen.told is not None and place_of(home.unit) in seen.told.drop_ins
        return "changed-in-systemd" if is_loaded else "not-loaded"
    if in_kernel:
        return None
    return "not-in-kernel" if kernel == NONE else "changed-in-kernel"


def overriding(later: Sequence[Foreign], name: str, wanted: str) -> str | None:
    """Name the drop-in that wins over ours at the unit's next start, if it wants otherwise."""
    # what makes no sense is passed over by systemd, too
    of_name = [one for one in later if one.values.get(name, UNKNOWN) != UNKNOWN]
    return of_name[-1].path if of_name and of_name[-1].values[name] != wanted else None


def _set_by(foreign: Sequence[Foreign], name: str, told: str | None) -> str | None:
    """Name the file that `systemctl set-property` wrote, where that is what systemd has."""
    for one in reversed(foreign):
        if is_set_property(one.path) and one.values.get(name) == told:
            return one.path
    return None


def is_set_property(path: str) -> bool:
    """Tell a file that `systemctl set-property` wrote."""
    return ".control/" in path


def same(prop: Property, one: str, other: str) -> bool:
    """Tell whether two values are equal; a quota to 1 %."""
    if UNKNOWN in {one, other}:
        # nothing may rest on it
        return True
    if one == other or prop.kind != "quota" or NONE in {one, other}:
        return one == other
    first, second = float(one[:-1]), float(other[:-1])
    return abs(first - second) <= _TOLERANCE * max(first, second)


def effective(prop: Property, groups: Sequence[Group]) -> str:
    """Give what holds in a group: the least of it and all above it; groups: from the top down."""
    if prop.kind in {"weight", "word", "percent"} or not groups:
        return groups[-1].value(prop) if groups else NONE
    if prop.kind == "cpus":
        return groups[-1].files.get("cpuset.cpus.effective", "").strip() or NONE
    found = [group.value(prop) for group in groups]
    if prop.kind == "devices":
        return least_rates(found)
    return UNKNOWN if UNKNOWN in found else min(found, key=number)
