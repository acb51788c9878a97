"""The graces of whole file systems in `quota`: what a run sets, and what is put back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ds01ctl.commands.quota_memory import GraceSet
from ds01ctl.core.plan import Action
from ds01ctl.errors import Ds01Error

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ds01ctl.commands.quota_looking import Look
    from ds01ctl.core.disk_quota import Accounting
    from ds01ctl.paths import Paths


def of_look(look: Look) -> tuple[GraceSet, ...]:
    """Give what a run is about to set, with what is there now: to be noted, and undone."""
    return tuple(_noted(look))


def _noted(look: Look) -> Iterator[GraceSet]:
    mounts = look.world.by_mount()
    for one in look.plan.graces:
        now = seconds(mounts[one.mount].accounting[one.kind])
        if one.skip is None and now is not None:
            yield GraceSet(one.mount, one.source, one.kind, now, (one.after_s, one.after_s))


def seconds(accounting: Accounting | None) -> tuple[int, int] | None:
    """Give the graces of bytes and of inodes; None: not known."""
    if accounting is None or not accounting.is_on:
        return None
    bytes_s, inodes_s = accounting.bytes_grace_s, accounting.inodes_grace_s
    return None if bytes_s is None or inodes_s is None else (bytes_s, inodes_s)


def set_all(graces: Iterable[GraceSet], reason: str, paths: Paths) -> list[Action]:
    """Set graces; what fails does not stop the others."""
    return [_set(one, reason, paths) for one in graces]


def _set(one: GraceSet, reason: str, paths: Paths) -> Action:
    from ds01ctl.act import quotas

    (bytes_s, inodes_s), point = one.after, paths.under(one.mount)
    try:
        quotas.set_grace(point, one.source, one.kind, bytes_s=bytes_s, inodes_s=inodes_s)
    except Ds01Error as error:
        return action(one, reason, "failed", error.message)
    return action(one, reason, "done")


def action(
    one: GraceSet,
    reason: str,
    outcome: Literal["planned", "done", "failed"],
    error: str | None = None,
) -> Action:
    """Tell of a grace that is put back."""
    words = f"{_days(one.before)} -> {_days(one.after)} ({reason})"
    return Action("set-grace", what(one.mount, one.kind), words, outcome, error)


def what(mount: str, kind: str) -> str:
    """Name the grace of a kind."""
    return f"the grace of {kind}s on {mount}"


def _days(pair: tuple[int, int]) -> str:
    """Write a grace in words; that of inodes where it is another."""
    words = [f"{one / 86400:g} days" if one >= 86400 else f"{one} s" for one in pair]
    return words[0] if pair[0] == pair[1] else f"{words[0]}, of inodes {words[1]}"
