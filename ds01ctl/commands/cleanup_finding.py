"""Find the one container that an admin means."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.config.nearest import nearest
from ds01ctl.errors import Ds01Error, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ds01ctl.core.model import Snapshot

_SHORTEST_ID = 4
_MOST_TOLD = 6


class Named(NamedTuple):
    """A container by its id and its name."""

    id: str
    name: str


def find(text: str, known: Iterable[Named], *, hint: str) -> Named:
    """Find a container by name, by id, or by how one of them begins, if only one does.

    Raises UsageError; hint: where to look for what there is.
    """
    known = tuple(dict.fromkeys(known))
    for found in (
        [one for one in known if one.id == text],
        [one for one in known if one.name == text],
        [one for one in known if len(text) >= _SHORTEST_ID and one.id.startswith(text)],
        [one for one in known if one.name.startswith(text)],
    ):
        if len(found) == 1:
            return found[0]
        if found:
            some = ", ".join(f"{one.name} ({one.id[:12]})" for one in found[:_MOST_TOLD])
            raise UsageError(
                f"{text}: could be any of {len(found)} containers: {some}", "give more"
            )
    near = nearest(text, [one.name for one in known])
    raise UsageError(f"no container {text}", f"did you mean {near}? {hint}" if near else hint)


def need_engines(snapshot: Snapshot) -> None:
    """Raise Ds01Error where no container can be found because no engine has answered."""
    if snapshot.lacks("docker") and not snapshot.containers:
        told = (one.reason for one in snapshot.gaps if one.source == "docker")
        reason = next(told, "no engine answers")
        raise Ds01Error(f"containers cannot be listed: {reason}", "see: ds01ctl doctor")
