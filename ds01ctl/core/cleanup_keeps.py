"""Which keeps hold: the admins' all, of a user's own the oldest, up to a number."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.core.cleanup_limits import account, told
from ds01ctl.core.cleanup_model import Notice

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ds01ctl.core.cleanup_model import Keep
    from ds01ctl.core.policy import Policy
    from ds01ctl.core.workload import Workload

_EARLIEST = datetime.min.replace(tzinfo=timezone.utc)


class Settled(NamedTuple):
    """The keeps to go by."""

    keeps: Mapping[str, Keep]
    """By full id."""
    notices: tuple[Notice, ...]


def settled(
    by_admins: Iterable[Keep],
    by_files: Iterable[Keep],
    workloads: Iterable[Workload],
    policy: Policy,
    now: datetime,
) -> Settled:
    """Join the admins' keeps and the users' files into one keep a container.

    Only keeps that hold now count for the number: also what lies there and is no plain file, but
    not what could not be looked at, which holds.
    """
    owners = {one.container.id: one for one in workloads if one.container}
    files = _one_each(by_files, now)
    kept = {one.id: one for one in by_admins}
    own = {key: one for key, one in files.items() if not holds(kept.get(key), now)}
    over, notices = _over(own, owners, policy, now)
    return Settled({**kept, **{key: one for key, one in own.items() if key not in over}}, notices)


def used_up(
    keeps: Mapping[str, Keep], workloads: Iterable[Workload], policy: Policy, now: datetime
) -> dict[str, int]:
    """Give the full ids of containers that no further file of their owner would keep.

    With the number of those that may be kept. keeps: what `settled` gave.
    """
    most = policy.value("cleanup.keep_alive_max_per_user")
    if most is None:
        return {}
    owners = {one.container.id: one for one in workloads if one.container}
    count: dict[str, int] = {}
    for key, one in keeps.items():
        if key in owners and holds(one, now) and one.by.startswith("/"):
            whose = _whose(owners[key], key)
            count[whose] = count.get(whose, 0) + 1
    return {
        key: int(most)
        for key, one in owners.items()
        if key not in keeps and count.get(_whose(one, key), 0) >= int(most)
    }


def holds(keep: Keep | None, now: datetime) -> bool:
    """Tell whether a keep holds now; one that can't be read as meant does."""
    if keep is None:
        return False
    return bool(keep.problem) or keep.until is None or now < keep.until


def _one_each(files: Iterable[Keep], now: datetime) -> dict[str, Keep]:
    """Of several files for one container take one that holds, and the longest."""
    best: dict[str, Keep] = {}
    for one in sorted(files, key=lambda keep: (holds(keep, now), *_age(keep), keep.by)):
        best[one.id] = one
    return best


def _age(keep: Keep) -> tuple[datetime, str]:
    """Order keeps by when they were given, else by when they end: that is later for a later one."""
    return keep.since or keep.until or _EARLIEST, keep.id


def _over(
    own: Mapping[str, Keep], owners: Mapping[str, Workload], policy: Policy, now: datetime
) -> tuple[frozenset[str], tuple[Notice, ...]]:
    setting = policy.setting("cleanup.keep_alive_max_per_user")
    if setting.value is None:
        return frozenset(), ()
    by_user: dict[str, list[Keep]] = {}
    for one in sorted(own.values(), key=_age):
        if one.id in owners and holds(one, now) and (one.since or not one.problem):
            by_user.setdefault(_whose(owners[one.id], one.id), []).append(one)
    late = [one for theirs in by_user.values() for one in theirs[int(setting.value) :]]
    notices = tuple(_notice(one, owners[one.id], told(setting)) for one in late)
    return frozenset(one.id for one in late), notices


def _whose(workload: Workload, id_: str) -> str:
    """Name the owner; those whom nobody can tell are not one person who keeps too much."""
    return account(workload) or workload.owner.login or id_


def _notice(keep: Keep, workload: Workload, limit: str) -> Notice:
    name = workload.container.name if workload.container else keep.id[:12]
    text = f"{name} is not kept: older files keep as many containers of its owner as may be"
    return Notice("keep-cap", workload.owner.login, keep.id, text, (f"file {keep.by}", limit))
