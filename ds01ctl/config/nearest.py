"""What to say beside a name that is not known: the one that comes nearest, or all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_MOST = 8


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Name the nearest known name, else the known ones; empty where there are none."""
    near = nearest(name, known)
    return f"; did you mean {near}?" if near else _expected_one_of(sorted(known))


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Find the known name that a mistyped one was probably meant to be."""
    from difflib import get_close_matches

    return next(iter(get_close_matches(name, sorted(known), 1, 0.6)), None)


def _expected_one_of(names: list[str]) -> str:
    # an ellipsis ends a list that is not complete, and no other
    listed = names if len(names) <= _MOST else [*names[:_MOST], "…"]
    return f"; expected one of {', '.join(listed)}" if listed else ""
