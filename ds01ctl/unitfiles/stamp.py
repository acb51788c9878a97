"""The mark on every file that we write into the host: whose it is, and whether it was edited."""

from __future__ import annotations

from hashlib import sha256
from typing import Literal

MARK = "# ds01ctl: generated, digest "
_LENGTH = 16

State = Literal["ours", "edited", "foreign"]


def stamped(text: str) -> str:
    """Put our mark above a text."""
    return f"{MARK}{digest(text)}\n{text}"


def digest(text: str) -> str:
    """Give the digest that stands in the mark: the first 16 hex digits of SHA-256."""
    # an edit may have brought bytes that are no UTF-8
    return sha256(text.encode(errors="surrogateescape")).hexdigest()[:_LENGTH]


def state_of(text: str) -> State:
    """Tell whether a file is ours as we wrote it, ours and edited since, or somebody else's."""
    first, _, rest = text.partition("\n")
    if not first.startswith(MARK):
        return "foreign"
    return "ours" if first == f"{MARK}{digest(rest)}" else "edited"
