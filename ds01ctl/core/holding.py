"""Decide what single containers are held to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.core.enforce_model import REPORT_ONLY, Change, Deferred, Shared
from ds01ctl.core.scopes import LOOSER, RELEASED, bounds, wishes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ds01ctl.core.enforce_model import World
    from ds01ctl.core.scopes import Bound, Scope, Wish


def of_scopes(
    world: World,
) -> tuple[list[Change], list[Deferred], tuple[tuple[Scope, Mapping[str, Bound]], ...]]:
    """Plan for every container; what waits; and the limits of each."""
    changes: list[Change] = []
    deferred: list[Deferred] = []
    seen: list[tuple[Scope, Mapping[str, Bound]]] = []
    outside: dict[int, int] = {}
    for scope in world.scopes:
        if scope.person and scope.home is None:
            outside[scope.person.uid] = outside.get(scope.person.uid, 0) + 1
    for scope in world.scopes:
        person = scope.person
        if world.users is not None and (person is None or person.login not in world.users):
            continue
        shared = world.shared.get(person.uid, Shared()) if person else Shared()
        sharing = outside.get(person.uid, 1) if person else 1
        limits = bounds(scope, world.policy, shared.wanted, sharing, world.machine.page_bytes)
        seen.append((scope, limits))
        made, late = _of_scope(scope, limits, shared.kept, world)
        changes += made
        deferred += late
    return changes, deferred, tuple(seen)


def _of_scope(
    scope: Scope, limits: Mapping[str, Bound], kept: frozenset[str], world: World
) -> tuple[list[Change], list[Deferred]]:
    if "containers" not in world.chosen or scope.is_unknown:
        return [], []
    container, login = scope.container, scope.login
    started = container.started_at.isoformat() if container.started_at else ""
    held = world.held.get(container.id)
    held = held if held and held.started_at == started else None
    found, late = wishes(scope, limits, held, kept, force=world.force)
    if world.modes.get("io") != "enforce" or "io" not in world.chosen:
        found = [wish for wish in found if not wish.prop.is_io]
    skip = None if world.modes.get("containers") == "enforce" else REPORT_ONLY
    changes = []
    if found:
        change = Change(
            "write-cgroup",
            scope.group.path,
            login,
            "containers",
            _why(found, container.name),
            {wish.prop.name: wish.before for wish in found},
            {wish.prop.name: wish.after for wish in found},
            cgroup=scope.group.path,
            container=(container.id, started),
            inode=scope.group.inode,
            skip=skip,
        )
        changes.append(change)
    if late is None or skip is not None:
        return changes, []
    return changes, [Deferred(container.name, login, int(late), scope.in_use_bytes)]


def _why(found: Sequence[Wish], name: str) -> str:
    said = "; ".join(dict.fromkeys(_one_why(wish) for wish in found))
    return f"container {name}: {said}"


def _one_why(wish: Wish) -> str:
    if wish.why in {LOOSER, RELEASED}:
        return f"{wish.prop.name}: {wish.why}"
    return f"{wish.prop.name} by {wish.why}"
