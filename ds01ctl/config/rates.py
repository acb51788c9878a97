"""Lists of CPUs, and limits on devices, as systemd.resource-control(5) has them."""

from __future__ import annotations

import re

from ds01ctl.core.quantity import cpus_text

_MOST_CPUS = 8192
"""CONFIG_NR_CPUS of the widest kernels; more is a typing error."""
_RATE = r"(\d{1,15})(?:\.(\d{1,12}))?([KMGTkmgt])?"
_POWERS = "KMGT"
_NO_PATH = r"""["'%\\$\s]"""
"""What would mean something else in a unit file."""
# the kernel keeps operations in 32 bits, and its highest number is "max"
MOST_OPERATIONS = 2**32 - 2
_MOST_BYTES = 2**63


def cpu_list(text: str) -> str:
    """Read ``0, 3-5`` or ``0 1 2`` and write it as the kernel does: ``0,3-5``, ``0-2``.

    Raises ValueError for an empty list, a range that falls, and what is no list.
    """
    found: set[int] = set()
    for part in re.split(r"\s*,\s*|\s+", text.strip()):
        span = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", part, re.ASCII)
        if not span:
            raise ValueError(text)
        first, last = int(span[1]), int(span[2] or span[1])
        if not first <= last < _MOST_CPUS:
            raise ValueError(text)
        found.update(range(first, last + 1))
    return cpus_text(found)


def device_rate(text: str) -> tuple[str, int]:
    """Read ``/dev/sda 100M``: a path on the device, and a whole rate; K to T are powers of 1000.

    Raises ValueError.
    """
    path, _, rate = text.strip().rpartition(" ")
    path = path.rstrip(" ")
    names = path.split("/")
    if names[0] or re.search(_NO_PATH, path) or {".", ".."} & set(names) or "//" in path:
        raise ValueError(text)
    found = re.fullmatch(_RATE, rate, re.ASCII)
    if not path.isprintable() or not path or not found:
        raise ValueError(text)
    whole, part = found[1], found[2] or ""
    power = _POWERS.index(found[3].upper()) + 1 if found[3] else 0
    number: int = int(whole + part) * 1000**power // 10 ** len(part)
    if not 0 < number < _MOST_BYTES:
        raise ValueError(text)
    return path.rstrip("/") or "/", number
