"""By what energy becomes carbon, and how it is shared out: from the policy and the cache."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from ds01ctl.core.embodied import Embodied, embodied_of
from ds01ctl.core.energy_booking import HOUR_S, Rates
from ds01ctl.core.energy_books import Factor
from ds01ctl.core.energy_model import SplitPolicy
from ds01ctl.core.intensity import Figure, Intensity, choose, wanted_of
from ds01ctl.core.intensity_table import nearest_zones, zone_of
from ds01ctl.core.record import NamedTuple
from ds01ctl.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ds01ctl.core.energy_model import Interval
    from ds01ctl.core.policy import Policy
    from ds01ctl.paths import Paths

GIB = 1 << 30


class Factors(NamedTuple):
    """What holds for an interval."""

    intensity: Intensity
    pue: float
    is_pue_known: bool
    split: SplitPolicy
    embodied: Embodied

    @property
    def rates(self) -> Rates:
        """Give what energy is multiplied by."""
        return Rates(self.intensity.g_per_kwh, self.pue)


def factors_of(policy: Policy, cache: Iterable[Figure], now: datetime, paths: Paths) -> Factors:
    """Gather what the policy says."""
    pue = policy.value("carbon.pue")
    intensity = choose(wanted_of(policy.value), cache, now)
    split = _split(policy, paths)
    known = 1.0 if pue is None else float(pue)
    return Factors(intensity, known, pue is not None, split, embodied_of(policy.value))


def _split(policy: Policy, paths: Paths) -> SplitPolicy:
    value = policy.value
    idle = {
        name: float(watts)
        for name in ("cpu", "dram", "gpu")
        if (watts := value(f"carbon.idle_watts.{name}")) is not None
    }
    per_gib = float(value("carbon.dram_watts_per_gib") or 0)
    watts = per_gib * _installed_gib(paths) if per_gib else 0.0
    return SplitPolicy(value("carbon.idle"), idle, watts)  # type: ignore[arg-type]  # of the words of the key


def _installed_gib(paths: Paths) -> float:
    """Read how much memory the kernel has; 0: not known."""
    try:
        text = (paths.proc / "meminfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0.0
    found = re.search(r"^MemTotal:\s+(\d+) kB$", text, re.MULTILINE)
    return int(found[1]) * 1024 / GIB if found else 0.0


def factor_of(factors: Factors, interval: Interval) -> Factor:
    """Note by what an interval was computed."""
    one = factors.intensity
    return Factor(
        one.zone,
        float(one.g_per_kwh),
        source_of(one),
        str(one.year) if one.year else f"{one.at:%Y-%m-%dT%H:%MZ}" if one.at else "",
        float(factors.pue),
        factors.split.idle,
        ", ".join(sorted(_modelled(interval))),
    )


def source_of(one: Intensity) -> str:
    """Say whence an intensity is, in a line for reports."""
    return f"{one.level}: {one.source}"


def _modelled(interval: Interval) -> set[str]:
    """Name what was estimated: ``dram by model``, ``gpu by power``."""
    return {
        f"{one.component} by {one.reason}" for one in interval.deltas if one.basis == "modelled"
    }


def known_zone(text: str) -> str:
    """Read ``--zone``: one that the table has a value for. Raises UsageError."""
    if zone_of(text) is None:
        near = nearest_zones(text)
        hint = f"did you mean {' or '.join(near)}?" if near else "zones are such as DE, GB, WORLD"
        raise UsageError(f"--zone {text!a}: no zone of the table", hint)
    return text.upper()


def month_of(hour: int) -> int:
    """Say which month an hour is in, in the host's time zone: 202611."""
    local = datetime.fromtimestamp(hour * HOUR_S, timezone.utc).astimezone()
    return local.year * 100 + local.month
