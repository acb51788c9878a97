"""Sizes in words, in binary units, as the policy reads them."""

from __future__ import annotations

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")


def size(count: int) -> str:
    """Show bytes with the unit that leaves one to four digits: ``110 GiB``, ``1.5 TiB``."""
    value, step = float(abs(count)), 0
    while value >= 1024 and step < len(_UNITS) - 1:
        value /= 1024
        step += 1
    sign = "-" if count < 0 else ""
    number = f"{value:.0f}" if step == 0 or value >= 100 else f"{value:.1f}".removesuffix(".0")
    return f"{sign}{number} {_UNITS[step]}"
