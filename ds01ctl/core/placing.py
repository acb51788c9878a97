"""Compare the files that the host should have with those that it has."""

from __future__ import annotations

from difflib import unified_diff
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

State = Literal["missing", "current", "outdated", "edited", "foreign"]
"""What is at a place: nothing; what we would write; an older text of ours; ours, but changed by
somebody since; somebody else's file."""
Kind = Literal["keep", "write", "refuse", "replace", "remove"]


class Found(NamedTuple):
    """What lies at a place."""

    text: str | None
    """None: nothing, or nothing that can be read as a file (a link, a folder)."""
    stamp: Literal["ours", "edited", "foreign"] | None = None
    """What its mark says; None: there is nothing."""


NOTHING = Found(None)


class Change(NamedTuple):
    """What is to become of one file."""

    place: str
    kind: Kind
    state: State
    old: str | None
    new: str | None
    """None: no file."""


def state_of(found: Found, wanted: str | None) -> State:
    """Tell what is at a place, compared to what we want there."""
    if found.stamp is None:
        return "missing"
    if found.text is not None and found.text == wanted:
        return "current"
    return "outdated" if found.stamp == "ours" else found.stamp


def changes(
    wanted: Mapping[str, str], found: Mapping[str, Found], *, force: bool
) -> tuple[Change, ...]:
    """Decide what becomes of each file, by place; what is found and not wanted is removed.

    A file that is not as we left it is refused, or with force replaced (a copy is kept).
    """
    places = sorted({*wanted, *(place for place, one in found.items() if one.stamp is not None)})
    return tuple(
        _change(place, wanted.get(place), found.get(place, NOTHING), force=force)
        for place in places
    )


def _change(place: str, new: str | None, found: Found, *, force: bool) -> Change:
    state = state_of(found, new)
    kind: Kind = "keep" if state == "current" else "write" if new is not None else "remove"
    if state in {"edited", "foreign"}:
        # a link (a masked unit) or a folder is never replaced
        may = force and found.text is not None
        kind = "refuse" if not may else "replace" if new is not None else "remove"
    return Change(place, kind, state, found.text, new)


def refused(all_changes: Iterable[Change]) -> tuple[Change, ...]:
    """Pick the files that stand in the way."""
    return tuple(change for change in all_changes if change.kind == "refuse")


def pending(all_changes: Iterable[Change]) -> tuple[Change, ...]:
    """Pick the files that will change."""
    return tuple(change for change in all_changes if change.kind in {"write", "replace", "remove"})


def diff(change: Change) -> list[str]:
    """Show a change as a unified diff, without line ends."""
    return list(
        unified_diff(
            (change.old or "").splitlines(),
            (change.new or "").splitlines(),
            change.place if change.old is not None else "/dev/null",
            change.place if change.new is not None else "/dev/null",
            lineterm="",
        )
    )
