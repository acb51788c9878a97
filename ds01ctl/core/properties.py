"""The limits that `enforce` sets: one row a property, and its value in each of its three places.

A value is compared as text in one form, whoever wrote it: ``4800%``, bytes, a count, ``0-15``,
``254:0 10000000``; ``infinity`` is no limit. Sources: systemd.resource-control(5), the kernel's
Documentation/admin-guide/cgroup-v2.rst; seen with systemd 252.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from ds01ctl.core.quantity import size_text
from ds01ctl.core.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NONE = "infinity"
"""No limit; for a weight, a CPU list or a device list: as if it had never been set."""
UNKNOWN = "?"
"""What was read makes no sense: it is equal to nothing and above nothing, and never set."""
_UNSET = {"", "[not set]", "infinity", "max", str(2**64 - 1), "auto", "0%"}
_SPAN = r"(?a)(\d+(?:\.\d+)?)(y|month|w|d|h|min|s|ms|us)"
_SPAN_S = {"y": 31_557_600, "month": 2_629_800, "w": 604_800, "d": 86_400, "h": 3600, "min": 60,
           "s": 1, "ms": 1e-3, "us": 1e-6}  # fmt: skip
_DEFAULT_WEIGHT = "100"

Kind = Literal["quota", "size", "count", "weight", "cpus", "devices", "word", "percent"]


class Property(NamedTuple):
    """One property of a slice."""

    name: str
    """As in a unit file."""
    key: str
    """Of the policy, below ``aggregate`` or ``login``."""
    kind: Kind
    file: str = ""
    """The kernel's; empty: systemd-oomd reads it, and the kernel knows nothing of it."""
    told: str = ""
    """What `systemctl show` calls it, where that is another name."""
    field: str = ""
    """Which field of io.max."""

    @property
    def show(self) -> str:
        """Name it as `systemctl show` does."""
        return self.told or self.name

    @property
    def is_io(self) -> bool:
        """Tell what falls under the rule `io`."""
        return self.name.startswith("IO")


PROPERTIES: tuple[Property, ...] = (
    Property("CPUQuota", "cpu_quota", "quota", "cpu.max", "CPUQuotaPerSecUSec"),
    Property("CPUWeight", "cpu_weight", "weight", "cpu.weight"),
    Property("AllowedCPUs", "allowed_cpus", "cpus", "cpuset.cpus"),
    # before MemoryMax: the kernel slows down first, and kills only where that was not enough
    Property("MemoryHigh", "memory_high", "size", "memory.high"),
    Property("MemoryMax", "memory_max", "size", "memory.max"),
    Property("MemorySwapMax", "memory_swap_max", "size", "memory.swap.max"),
    Property("TasksMax", "tasks_max", "count", "pids.max"),
    Property("IOWeight", "io_weight", "weight", "io.weight"),
    Property("IOReadBandwidthMax", "io_read_bandwidth_max", "devices", "io.max", field="rbps"),
    Property("IOWriteBandwidthMax", "io_write_bandwidth_max", "devices", "io.max", field="wbps"),
    Property("IOReadIOPSMax", "io_read_iops_max", "devices", "io.max", field="riops"),
    Property("IOWriteIOPSMax", "io_write_iops_max", "devices", "io.max", field="wiops"),
    Property("ManagedOOMSwap", "managed_oom_swap", "word"),
    Property("ManagedOOMMemoryPressure", "managed_oom_memory_pressure", "word"),
    Property(
        "ManagedOOMMemoryPressureLimit", "managed_oom_memory_pressure_limit", "percent"
    ),
)  # fmt: skip
BY_NAME = {one.name: one for one in PROPERTIES}
KERNEL_FILES = tuple(dict.fromkeys(one.file for one in PROPERTIES if one.file))
SHOWN = ",".join(dict.fromkeys(one.show for one in PROPERTIES))
"""What to ask `systemctl show` for."""


# --- from the policy --------------------------------------------------------------------------


def of_policy(prop: Property, value: object, memory_bytes: int, page_bytes: int) -> str:
    """Give a policy's value; None there is no limit. Not for devices, which need resolving.

    A percentage of the host's memory becomes bytes; bytes are cut to pages, as the kernel does.
    """
    if value is None:
        return NONE
    if prop.kind in {"quota", "percent"}:
        return percent_text(float(str(value)))
    if prop.kind == "size":
        text = str(value)
        share = text.endswith("%")
        size = int(memory_bytes * float(text[:-1]) / 100) if share else int(text)
        return str(size // page_bytes * page_bytes)
    text = str(value)
    return NONE if text == "auto" or (prop.kind == "weight" and text == _DEFAULT_WEIGHT) else text


def percent_text(percent: float) -> str:
    """Write a percentage with at most two decimals, as systemd keeps it."""
    return f"{round(percent, 2):.10g}%"


# --- from systemctl show ----------------------------------------------------------------------


def of_show(prop: Property, lines: str, devices: Mapping[str, str]) -> str:
    """Read what `systemctl show` prints; devices: MAJ:MIN by path."""
    return understood(prop, _of_show(prop, lines, devices))


def understood(prop: Property, value: str) -> str:
    """Give a value that is one of its property's, or UNKNOWN: any file may hold anything."""
    if value == NONE or prop.kind in {"word", "cpus"}:
        return value
    try:
        rates_of(value) if prop.kind == "devices" else number(value)
    except ValueError:
        return UNKNOWN
    return value


def _of_show(prop: Property, lines: str, devices: Mapping[str, str]) -> str:
    if prop.kind == "devices":
        rates = (line.rpartition(" ") for line in lines.splitlines() if " " in line)
        return rates_text((devices.get(path, path), rate) for path, _, rate in rates)
    if prop.kind == "weight":
        return NONE if lines in {*_UNSET, _DEFAULT_WEIGHT} else lines
    if lines in _UNSET or (prop.kind == "percent" and lines == "0"):
        return NONE
    if prop.kind == "quota":
        parts = re.findall(_SPAN, lines)
        return percent_text(sum(float(n) * _SPAN_S[unit] for n, unit in parts) * 100)
    if prop.kind == "percent":
        # a share of 2^32 - 1
        return percent_text(int(lines) / 0xFFFFFFFF * 100) if lines.isdecimal() else lines
    return " ".join(lines.split()).replace(" ", ",") if prop.kind == "cpus" else lines


# --- from the kernel --------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def of_kernel(prop: Property, text: str) -> str:
    """Read the content of the kernel's file; UNKNOWN where it makes no sense."""
    try:
        return understood(prop, _of_kernel(prop, text.strip()))
    except (ValueError, ZeroDivisionError):
        return UNKNOWN


def _of_kernel(prop: Property, text: str) -> str:
    if prop.kind == "devices":
        return rates_text(_rates(text, prop.field))
    if prop.kind == "weight":
        weight = text.splitlines()[0].removeprefix("default ") if text else ""
        return NONE if weight in {"", _DEFAULT_WEIGHT} else weight
    if prop.kind == "quota":
        quota, _, period = text.partition(" ")
        return NONE if quota in _UNSET else percent_text(int(quota) / int(period or 100_000) * 100)
    return NONE if text in _UNSET else text


def _rates(text: str, field: str) -> Iterable[tuple[str, str]]:
    for line in text.splitlines():
        device, *fields = line.split()
        named = dict(one.partition("=")[::2] for one in fields)
        if (rate := named.get(field, "max")) != "max":
            yield device, rate


def rates_text(rates: Iterable[tuple[str, str]]) -> str:
    """Write rates by device, sorted; none is no limit."""
    return ", ".join(sorted(f"{device} {rate}" for device, rate in rates)) or NONE


def rates_of(value: str) -> dict[str, int]:
    """Read rates by device back."""
    if value == NONE:
        return {}
    pairs = (part.split(" ") for part in value.split(", "))
    return {device: int(rate) for device, rate in pairs}


def least_rates(values: Iterable[str]) -> str:
    """Give the least rate of each device."""
    least: dict[str, int] = {}
    for value in values:
        for device, rate in rates_of(value).items():
            least[device] = min(rate, least.get(device, rate))
    return rates_text((device, str(rate)) for device, rate in least.items())


# --- for a unit file, set-property and people -------------------------------------------------


def written(prop: Property, value: str, nodes: Mapping[str, str]) -> list[str]:
    """Write the assignments of a value, in a unit file or for set-property; nodes by MAJ:MIN.

    What systemd keeps as a list is emptied first: else the old entries stay.
    """
    if prop.kind == "devices":
        rates = [f"{nodes.get(device, device)} {rate}" for device, rate in rates_of(value).items()]
        return [f"{prop.name}={one}" for one in ("", *rates)]
    return [_line(prop, value)]


@lru_cache(maxsize=4096)
def _line(prop: Property, value: str) -> str:
    if value != NONE:
        is_whole = prop.kind == "size" and int(value) % 1024 == 0 and int(value) > 0
        return f"{prop.name}={_exact_size(int(value)) if is_whole else value}"
    none = {"quota": "", "weight": "", "cpus": "", "word": "auto", "percent": "0%"}
    return f"{prop.name}={none.get(prop.kind, NONE)}"


def _exact_size(size: int) -> str:
    """Write a size by the largest unit that it is a whole number of."""
    for power, letter in ((40, "T"), (30, "G"), (20, "M"), (10, "K")):
        if size % (1 << power) == 0:
            return f"{size >> power}{letter}"
    return str(size)


def shown(prop: Property, value: str | None, nodes: Mapping[str, str] | None = None) -> str:
    """Show a value to people."""
    if value is None or value == UNKNOWN:
        return "?"
    if value == NONE:
        return _DEFAULT_WEIGHT if prop.kind == "weight" else "no limit"
    if prop.kind == "size":
        return size_text(int(value))
    if prop.kind == "devices" and nodes:
        rates = rates_of(value).items()
        return ", ".join(f"{nodes.get(device, device)} {rate}" for device, rate in rates)
    return value


def is_above(prop: Property, value: str, limit: str) -> bool:
    """Tell whether a value allows more than a limit does. Not for CPU lists and words."""
    if UNKNOWN in {value, limit}:
        return False
    if prop.kind == "devices":
        held, most = rates_of(value), rates_of(limit)
        return any(held.get(device, rate + 1) > rate for device, rate in most.items())
    return number(value) > number(limit)


def fits(in_use_bytes: int, limit: str) -> bool:
    """Tell whether a memory limit leaves some room above what is in use: a 32nd of it."""
    return in_use_bytes <= number(limit) * 31 / 32


def number(value: str) -> float:
    """Give a value's size, to be compared with others of its kind."""
    return float("inf") if value == NONE else float(value.rstrip("%"))
