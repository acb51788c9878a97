"""What `enforce revert` takes back: every drop-in of ours, and what containers were held to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.core.drift import same
from ds01ctl.core.enforce_model import Change, Leftover
from ds01ctl.core.properties import BY_NAME, NONE
from ds01ctl.core.taking_back import take_back

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ds01ctl.commands.enforcing import Look
    from ds01ctl.core.scopes import Held, Scope

_WHY = "enforce revert"


def changes_of(look: Look) -> Iterator[Change]:
    """Plan to take back all that is ours."""
    world = look.world
    homes = [
        Leftover(one.unit, one.cgroup, one.person.uid, world.seen[one.unit], "take-back", _WHY)
        for one in world.homes
        if world.seen[one.unit].file.stamp in {"ours", "edited"}
    ]
    # without systemd's word slices are left as they are
    for one in (*homes, *world.leftovers) if "logins" in world.chosen else ():
        yield from take_back(one._replace(why=_WHY))
    for scope in world.scopes:
        held = world.held.get(scope.container.id)
        if held and (change := _restored(scope, held)):
            yield change


def _restored(scope: Scope, held: Held) -> Change | None:
    started = scope.container.started_at
    if held.started_at != (started.isoformat() if started else ""):
        return None
    before = {name: scope.group.value(BY_NAME[name]) for name in held.values}
    # what somebody has changed since is left alone
    after = {
        name: held.before.get(name, NONE)
        for name, value in held.values.items()
        if same(BY_NAME[name], before[name], value)
    }
    if not after:
        return None
    return Change(
        "write-cgroup",
        scope.group.path,
        scope.login,
        "containers",
        f"container {scope.container.name}: {_WHY}",
        {name: before[name] for name in after},
        after,
        cgroup=scope.group.path,
        container=(scope.container.id, held.started_at),
        inode=scope.group.inode,
    )
