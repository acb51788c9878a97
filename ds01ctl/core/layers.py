"""Say whose the writable layers of containers are, as the rest of ds01ctl names owners."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.core.held import is_accountable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ds01ctl.core.model import Snapshot
    from ds01ctl.core.workload import Workload


class Layers(NamedTuple):
    """The writable layers of somebody's containers."""

    size_bytes: int = 0
    containers: tuple[str, ...] = ()
    """The names of those that have any, the largest first."""
    own_bytes: int = 0
    """Of containers that run as the owner's uid: their files are the owner's to the kernel, too."""
    is_named: bool = True
    """False: the login is a uid that has no name."""


def by_owner(
    workloads: Iterable[Workload], sizes: Mapping[str, int], snapshot: Snapshot
) -> dict[str | None, Layers]:
    """Sum the sizes by login; under None those of the platform, and of nobody who can be told."""
    theirs: dict[str | None, list[tuple[int, Workload]]] = {}
    for one in workloads:
        size = sizes.get(one.container.id, 0) if one.container else 0
        if size:
            theirs.setdefault(_login(one, snapshot), []).append((size, one))
    return {login: _sum(listed, snapshot) for login, listed in theirs.items()}


def _login(one: Workload, snapshot: Snapshot) -> str | None:
    if one.verdict == "infrastructure" or not is_accountable(one.owner, snapshot):
        return None
    return one.owner.login


def _sum(listed: list[tuple[int, Workload]], snapshot: Snapshot) -> Layers:
    listed.sort(key=lambda one: (-one[0], _name(one[1])))
    uid = listed[0][1].owner.uid
    return Layers(
        sum(size for size, _ in listed),
        tuple(_name(one) for _, one in listed),
        sum(size for size, one in listed if _runs_as_owner(one)),
        uid is None or uid in snapshot.users,
    )


def _name(one: Workload) -> str:
    return one.container.name if one.container else ""


def _runs_as_owner(one: Workload) -> bool:
    user = one.container.config.user if one.container and one.container.config else ""
    return one.owner.uid is not None and user.partition(":")[0] == str(one.owner.uid)
