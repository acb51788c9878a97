"""Folders, sizes, inodes and days in the limits of disks, as admins write them."""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING, Any

from ds01ctl.core.quantity import parse_size
from ds01ctl.core.storage import parse_count, parse_ids

if TYPE_CHECKING:
    from collections.abc import Callable

_SMALLEST = 1 << 20
_LARGEST = 1 << 62
"""A tenth more still fits the kernel's 64 bits."""


def folder(text: str) -> str:
    """Read the path of a folder, without a slash at its end. Raises ValueError."""
    path = text.rstrip("/")
    names = path.split("/")[1:]
    is_whole = text.startswith("/") and not {"", ".", ".."} & set(names)
    if not is_whole or not text.isprintable() or text != text.strip():
        raise ValueError(text)
    return path or "/"


def tree(text: str) -> str:
    """Read the path of a folder that is not the root. Raises ValueError."""
    if (path := folder(text)) == "/":
        raise ValueError(text)
    return path


def disk_size(text: str) -> int:
    """Read a size in bytes, 1 MiB at least: less was meant to have a unit. Raises ValueError."""
    size = parse_size(text) if text[:1].isdigit() else None
    if size is None or not _SMALLEST <= size <= _LARGEST:
        raise ValueError(text)
    return size


def inodes(text: str) -> int:
    """Read a number of files above 0, such as ``2M``. Raises ValueError."""
    count = parse_count(text)
    if not 0 < count <= _LARGEST:
        raise ValueError(text)
    return count


def day(text: str) -> date:
    """Read a date. Raises ValueError."""
    found = re.fullmatch(r"(\d{4})-(\d\d?)-(\d\d?)", text.strip(), re.ASCII)
    if not found:
        raise ValueError(text)
    return date(int(found[1]), int(found[2]), int(found[3]))


def ids(text: str) -> str:
    """Read a range of project ids and write it without blanks. Raises ValueError."""
    found = parse_ids(text)
    return f"{found[0]}-{found[-1]}"


READERS: dict[str, Callable[[str], Any]] = {
    "tree": tree,
    "disk_size": disk_size,
    "disk_limit": disk_size,
    "inodes": inodes,
    "day": day,
    "ids": ids,
}
