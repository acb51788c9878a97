"""Find the RAPL zones worth reading: each counter once, by its name and die.

Source: the kernel's Documentation/power/powercap/powercap.rst and drivers/powercap.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from ds01ctl.core.energy_counters import MOST_WATTS
from ds01ctl.core.model import Gap
from ds01ctl.core.record import NamedTuple
from ds01ctl.observe import procfs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ds01ctl.core.energy_model import Component
    from ds01ctl.core.model import GapKind
    from ds01ctl.paths import Paths

FOLDER = "/sys/class/powercap"
_MSR, _MMIO = "intel-rapl", "intel-rapl-mmio"
_ZONE = r"(intel-rapl(?:-mmio)?):(\d{1,5})(?::(\d{1,5}))?"
_PACKAGE = r"package-(\d{1,5})(-die-\d{1,5})?"
_MOST_CONSTRAINTS = 4


class Zone(NamedTuple):
    """One counter of energy."""

    name: str
    """``rapl:package-0``, ``rapl:package-0-die-1``, ``rapl:dram-0``, ``rapl:psys``."""
    component: Component
    folder: str
    range_uj: int | None
    max_watts: float
    """The highest of its power limits; 0: none is in force, or not all are known."""
    twins: str
    """Zones with the same text here may show one counter twice; empty: none can."""


class Zones(NamedTuple):
    """The zones, and what kept us from others."""

    zones: tuple[Zone, ...]
    gaps: tuple[Gap, ...]


class _Found(NamedTuple):
    control: str
    zone: int
    part: int
    folder: str

    @property
    def is_top(self) -> bool:
        return self.part < 0


def find(paths: Paths, *, psys: bool) -> Zones:
    """Find packages and the memory beside them, and the whole platform if that is wanted."""
    folder = str(paths.under(FOLDER))
    try:
        found = sorted(_zones_in(folder))
    except OSError as error:
        return Zones((), (_no_powercap(folder, error),))
    if not found:
        return Zones((), (Gap("rapl", "absent", f"{folder}: the processors have no RAPL zones"),))
    zones: dict[str, Zone] = {}
    gaps: list[Gap] = []
    names = {(one.control, one.zone): _name(one, gaps) for one in found if one.is_top}
    # of a counter that both show, the one in the processor's registers is taken
    for control in (_MSR, _MMIO):
        mine: dict[str, Zone] = {}
        for one in (one for one in found if one.control == control):
            above = names.get((one.control, one.zone), "")
            own = above if one.is_top else _name(one, gaps)
            if zone := _zone(one, own, above, gaps, psys=psys):
                mine.setdefault(zone.name, zone)
        zones = {**mine, **zones}
    if not zones and not gaps:
        gaps.append(Gap("rapl", "absent", f"{folder}: no zone of a processor package"))
    return Zones(tuple(zones[name] for name in sorted(zones)), tuple(gaps))


def _zones_in(folder: str) -> Iterator[_Found]:
    """List the zones; sub-zones lie beside the others, and in the folder of the one above."""
    seen = set()
    for name in os.listdir(folder):  # noqa: PTH208 -- only the names
        if not (match := re.fullmatch(_ZONE, name)):
            continue
        below = [] if match[3] else _parts(f"{folder}/{name}")
        for path in (f"{folder}/{name}", *below):
            one = _identified(path)
            if one and one[:3] not in seen:
                seen.add(one[:3])
                yield one


def _parts(folder: str) -> list[str]:
    try:
        return [f"{folder}/{name}" for name in os.listdir(folder)]  # noqa: PTH208 -- as above
    except OSError:
        return []


def _identified(path: str) -> _Found | None:
    match = re.fullmatch(_ZONE, path.rpartition("/")[2])
    return match and _Found(match[1], int(match[2]), int(match[3] or -1), path)


def _no_powercap(folder: str, error: OSError) -> Gap:
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        why = "no energy counters of the processors (a virtual machine, or intel_rapl not loaded)"
        return Gap("rapl", "absent", f"{folder}: {why}")
    kind: GapKind = "denied" if isinstance(error, PermissionError) else "failed"
    return Gap("rapl", kind, f"{folder}: {error.strerror}")


def _name(one: _Found, gaps: list[Gap]) -> str:
    try:
        return procfs.read(f"{one.folder}/name").decode("ascii").strip()
    except UnicodeDecodeError:
        why = "not a name"
    except OSError as error:
        why = error.strerror or "not readable"
    gaps.append(Gap("rapl", "failed", f"{one.folder}/name: {why}"))
    return ""


def _zone(one: _Found, own: str, above: str, gaps: list[Gap], *, psys: bool) -> Zone | None:
    """Make a zone of what counts; cores and the like lie within their package."""
    package = re.fullmatch(_PACKAGE, above)
    place = f"{package[1]}{package[2] or ''}" if package else ""
    twins = f"{own if own == 'dram' else 'package'}-{package[1]}" if package else ""
    is_die = bool(package and package[2])
    if one.is_top and package:
        return _made(one, f"rapl:{own}", "cpu", twins if is_die else "", gaps)
    if own == "dram" and (package or one.is_top):
        name = f"rapl:dram-{place}" if place else "rapl:dram"
        return _made(one, name, "dram", twins if is_die else "", gaps)
    if one.is_top and own == "psys" and psys:
        return _made(one, "rapl:psys", "other", "", gaps)
    return None


def _made(one: _Found, name: str, component: Component, twins: str, gaps: list[Gap]) -> Zone:
    range_uj = _range(one.folder, gaps)
    watts = 0.0 if component == "dram" else _most_watts(one.folder, component)
    return Zone(name, component, one.folder, range_uj, watts, twins)


def _range(folder: str, gaps: list[Gap]) -> int | None:
    path = f"{folder}/max_energy_range_uj"
    value = _described(path)
    if isinstance(value, int) and value > 0:
        return value
    why = value if isinstance(value, str) else "0 is no range"
    gaps.append(Gap("rapl", "failed", f"{path}: {why}; a counter that goes around is estimated"))
    return None


def _most_watts(folder: str, component: Component) -> float:
    """Give the highest of the power limits: for a minute the short-term one may be in force.

    0 where one of them is what firmware writes for "no limit", or they are switched off. A zone's
    max_power is none: it is the thermal design power, which turbo exceeds for as long as it is let.
    """
    if _described(f"{folder}/enabled") == 0:
        return 0.0
    watts = [0.0]
    for index in range(_MOST_CONSTRAINTS):
        said = _described(f"{folder}/constraint_{index}_power_limit_uw")
        if isinstance(said, str):
            break
        if said / 1e6 <= MOST_WATTS[component]:
            watts.append(said / 1e6)
        elif not _is_of_a_moment(f"{folder}/constraint_{index}_name"):
            return 0.0
    return max(watts)


def _is_of_a_moment(name: str) -> bool:
    try:
        return procfs.read(name, limit=64).strip() == b"peak_power"
    except OSError:
        return False


def _described(path: str) -> int | str:
    try:
        return number(path)
    except PermissionError as error:
        return error.strerror or "denied"


def number(path: str) -> int | str:
    """Read a file of one number; else say what is wrong with it. Raises PermissionError."""
    try:
        text = procfs.read(path, limit=64).strip()
    except PermissionError:
        raise
    except OSError as error:
        return error.strerror or "not readable"
    if text.isdigit() and len(text) <= 20:
        return int(text)
    return f"{text[:24].decode('utf-8', 'replace')!a} is no number"
