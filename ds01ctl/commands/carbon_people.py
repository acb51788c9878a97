"""Name the people of a sample: whom an earlier one named is asked for again once an hour only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.commands.gathering import uids_of
from ds01ctl.core.energy_parties import uid_of
from ds01ctl.core.owner import logins_to_ask, paths_to_ask
from ds01ctl.core.slice_names import keyed_uid, user_part

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ds01ctl.core.energy_memory import Memory
    from ds01ctl.core.model import Snapshot
    from ds01ctl.core.policy import Policy
    from ds01ctl.paths import Paths

_GOOD_FOR_US = 3600 * 1_000_000


def are_fresh(memory: Memory | None, now_us: int) -> bool:
    """Tell whether the names that are remembered still hold."""
    return memory is not None and 0 <= now_us - memory.names_at_us < _GOOD_FOR_US


def named(
    snapshot: Snapshot,
    groups: Iterable[str],
    memory: Memory | None,
    policy: Policy,
    now_us: int,
    paths: Paths,
    *,
    is_fresh: bool,
) -> tuple[Snapshot, int]:
    """Name uids, logins and the owners of folders; give also when all names were looked up.

    Where the name service does not answer, people keep the names that they had.
    """
    from ds01ctl.observe import users

    names = dict(memory.names) if memory else {}
    sure = names if is_fresh else {}
    home_dirs = tuple(str(home) for home in policy.value("users.home_dirs"))
    logins = {login for one in snapshot.containers for login in logins_to_ask(one)}
    parts = set(_parts_of(groups, str(policy.value("platform.slice"))))
    keyed = {uid for part in parts if (uid := keyed_uid(part)) is not None}
    folders = {path for one in snapshot.containers for path in paths_to_ask(one, home_dirs)}
    uids = {uid for path in groups if (uid := uid_of(path)) is not None}
    uids |= uids_of(snapshot) | keyed
    moved = {str(paths.under(folder)): folder for folder in folders}
    people = users.read(
        uids - sure.keys(),
        (logins | parts) - set(sure.values()),
        moved,
        deadline_s=float(policy.value("users.timeout_s")),
        home_dirs=[str(paths.under(home)) for home in home_dirs],
    )
    found = people.users | {uid: login for login, uid in people.uids.items()}
    kept = names if is_fresh or people.gaps else {}
    snapshot = snapshot._replace(
        users=kept | found,
        uids={login: uid for uid, login in kept.items()} | people.uids,
        path_owners={moved[path]: uid for path, uid in people.path_owners.items()},
        gaps=(*snapshot.gaps, *people.gaps),
    )
    was_whole = not is_fresh and not people.gaps
    at_us = now_us if was_whole else memory.names_at_us if memory else 0
    return snapshot, at_us


def _parts_of(groups: Iterable[str], platform_slice: str) -> Iterator[str]:
    """Read the user part of the platform's slices."""
    for path in groups:
        if path.endswith(".slice"):
            part = user_part(path.rpartition("/")[2], platform_slice)
            if part:
                yield part
