"""Say what is left of a departed user: a line for each thing, and the command for it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from ds01ctl.core.cleanup_model import Notice
from ds01ctl.core.cleanup_text import span
from ds01ctl.core.departed_changes import why_left
from ds01ctl.core.sizes import size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ds01ctl.core.departed import Absence, Departed, World

KIND = "departed-user"
PRUNE = "ds01ctl enforce apply --only prune"


def unknown(why: str) -> Notice:
    """Say that nothing was decided about anybody."""
    return Notice("departed-unknown", None, None, f"who has left is not known: {why}")


def waiting(login: str, where: str, left_s: float) -> Notice:
    """Say of somebody who is listed that nothing is done yet."""
    text = f"{login} is listed in {where}: nothing of theirs is touched for {span(left_s)} yet"
    return Notice(KIND, login, None, text, ("cleanup.users_after_d counts from the first look",))


def gone(absence: Absence) -> str:
    """Say since when somebody has had no account."""
    days = absence.counted_s / 86400
    return f"no account at any look since {absence.since:%Y-%m-%d}, for {days:.0f} days"


def notice(one: Departed, world: World) -> Notice:
    """List all that is left of one person."""
    who = f"{one.name} (uid {one.uid})" if one.login and one.uid is not None else one.name
    counts = (
        (len(one.containers), "container"), (len(one.images), "image"),
        (len(one.slices), "slice"), (len(one.quotas), "quota"), (len(one.grants), "grant"),
        (len(one.keeps), "keep"), (len(one.homes), "home"),
    )  # fmt: skip
    left = ", ".join(f"{n} {word}{'s' if n > 1 else ''}" for n, word in counts if n)
    return Notice(KIND, one.login, None, f"{who} has left: {one.why}; left: {left}",
                  tuple(_lines(one, world)))  # fmt: skip


def _lines(one: Departed, world: World) -> Iterator[str]:
    yield from _containers(one, world)
    for image in one.images:
        yield f"image {image}: no container of anybody else has it; ds01ctl cleanup removes images"
    for unit in one.slices:
        yield f"slice {unit} has limits of ours: {PRUNE}"
    for quota in one.quotas:
        yield f"quota on {quota.mount}: {size(quota.used_bytes)} used, {quota.limits}" + _command(
            one, quota.mount, world
        )
    for grant in one.grants:
        until = f"until {grant.expires_at:%Y-%m-%d %H:%M} UTC" if grant.expires_at else "for ever"
        yield f"grant {grant.file}, {until}"
    for keep in one.keeps:
        yield f"container {keep.id[:12]} is kept by {keep.by}: ds01ctl cleanup keep --remove"
    for home in one.homes:
        yield f"home {home.path}, uid {home.uid}: never touched; archive or remove it by hand"


def _containers(one: Departed, world: World) -> Iterator[str]:
    for workload in one.containers:
        container = workload.container
        if container is None:
            continue
        known = world.sizes.get(container.id)
        layer = f", {size(known)}" if known is not None else ""
        fate = why_left(workload, container, one, world)
        if fate is None:
            fate = "to be stopped" if container.state == "running" else "to be removed"
        yield f"container {container.name} ({container.id[:12]}), {container.state}{layer}: {fate}"


def _command(one: Departed, mount: str, world: World) -> str:
    """Give the command that takes a limit away: `quota unset` knows only who has an account."""
    where = shlex.quote(mount)
    if one.login and one.login in world.uids:
        return f"; ds01ctl quota unset {shlex.quote(one.login)} --path {where}"
    return f"; ds01ctl quota report; setquota -u {one.uid} 0 0 0 0 {where}"
