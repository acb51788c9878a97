"""Read the amounts that `quota set` is given, and write them as the policy has them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ds01ctl.core import storage
from ds01ctl.core.disk_quota import Limits
from ds01ctl.core.quantity import parse_size
from ds01ctl.core.sizes import size
from ds01ctl.core.storage import limits_text
from ds01ctl.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

_SUFFIXES = (("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10))
_GRACE = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def new_limits(amounts: Mapping[str, str], base: Limits) -> Limits:
    """Work out the limits; amounts by storage.FIELDS, a sign in front makes one relative to base.

    Raises UsageError.
    """
    given = {name: _amount(name, text, base) for name, text in amounts.items()}
    try:
        return storage.limits_from({**_kept(base, given), **given})
    except ValueError as error:
        raise UsageError(f"{_shown(given, base)}: {error}", "raise the hard limit, too") from None


def raised(base: Limits, limits: Limits) -> Limits:
    """Never go below what is there; 0 is no limit, and so the most."""
    return Limits(*(0 if not a or not b else max(a, b) for a, b in zip(base, limits, strict=True)))


def check_range(limits: Limits) -> None:
    """Raise UsageError for limits that the policy would not be read with any more."""
    from ds01ctl.config import disk

    read = (disk.disk_size, disk.disk_size, disk.inodes, disk.inodes)
    for name, value, reader in zip(storage.FIELDS, limits, read, strict=True):
        try:
            reader(str(value or 1 << 20))
        except ValueError:
            shown = size(value) if name in storage.SIZES else str(value)
            hint = "a size is 1 MiB at least; a limit far above the disk is better none"
            raise UsageError(f"{name} {shown}: is out of range", hint) from None


def fields_of(limits: Limits, given: Mapping[str, str]) -> dict[str, str | int | None]:
    """Write limits as the policy has them, exactly; what is none is left out if nobody gave it."""
    named = zip(storage.FIELDS, limits, strict=True)
    return {name: _written(name, value) for name, value in named if value or name in given}


def count(name: str, text: str) -> float | None:
    """Read a number of GPUs or containers. Raises UsageError."""
    if text == "none":
        return None
    pattern = r"\d{1,4}(\.\d{1,4})?" if name == "gpus" else r"\d{1,5}"
    if not re.fullmatch(pattern, text, re.ASCII):
        raise UsageError(f"--{name} {text}: is not a number", "give 2, or none")
    return float(text) if "." in text else int(text)


def grace_s(text: str) -> int:
    """Read ``7d`` in seconds. Raises UsageError."""
    found = re.fullmatch(r"(\d{1,6})([smhdw])", text, re.ASCII)
    if not found or not int(found[1]):
        raise UsageError(f"--grace {text}: is not a time", "give 7d, 12h or 30m")
    return int(found[1]) * _GRACE[found[2]]


def _kept(base: Limits, given: Mapping[str, int | None]) -> dict[str, int | None]:
    """Keep what was not given, and a soft limit beside a new hard one."""
    now = dict(zip(storage.FIELDS, base, strict=True))
    kept: dict[str, int | None] = {}
    for soft, hard in (storage.SIZES, storage.INODES):
        if soft in given and hard not in given:
            continue  # the hard limit follows the soft one
        kept |= {name: now[name] for name in (soft, hard) if now[name]}
    return kept


def _amount(name: str, text: str, base: Limits) -> int | None:
    """Read ``100G``, ``+10G``, ``-10G`` or ``none``."""
    option = f"--{name.replace('_', '-')}"
    if text in {"none", "0"}:
        return None
    sign, plain = (text[0], text[1:]) if text[:1] in "+-" else ("", text)
    number = _number(name, plain)
    if number is None:
        wanted = "100G, 1.5T or none" if name in storage.SIZES else "500k, 2M or none"
        raise UsageError(
            f"{option} {text}: is not an amount", f"give {wanted}; +10G and -10G are relative"
        )
    if not sign:
        return number
    now = dict(zip(storage.FIELDS, base, strict=True))[name]
    if not now:
        raise UsageError(f"{option} {text}: there is no limit yet that it could be relative to")
    changed = now + number if sign == "+" else now - number
    if changed <= 0:
        raise UsageError(f"{option} {text}: would leave nothing of {size(now)}")
    return changed


def _number(name: str, text: str) -> int | None:
    if not text[:1].isdigit():
        return None
    try:
        return (parse_size(text) if name in storage.SIZES else storage.parse_count(text)) or None
    except ValueError:
        return None


def _shown(given: Mapping[str, int | None], base: Limits) -> str:
    parts = [f"{name} {_written(name, value or 0)}" for name, value in given.items()]
    return f"{', '.join(parts)} (now {limits_text(base)})"


def _written(name: str, value: int) -> str | int | None:
    """Write an amount as the policy has it, exactly."""
    if not value:
        return None
    if name in storage.INODES:
        return value
    for suffix, step in _SUFFIXES:
        if value % step == 0:
            return f"{value // step}{suffix}"
    return value
