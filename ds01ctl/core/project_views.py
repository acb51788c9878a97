"""What was seen by users' projects, seen by users: as if nobody had labelled anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.core.energy_parties import worth_reading
from ds01ctl.core.energy_projects import of_users, user_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ds01ctl.core.energy_parties import Usage
    from ds01ctl.core.gpu_shares import GpuPast, Scene


def usage_of_users(usage: Usage) -> Usage:
    """Leave out the groups that are told apart for their projects alone."""
    parties = {path: user_of(party) for path, party in usage.parties.items()}
    groups = {path: usage.groups[path] for path in worth_reading(usage.groups, parties)}
    return usage._replace(
        groups=groups, parties={path: user for path, user in parties.items() if path in groups}
    )


def past_of_users(past: GpuPast) -> GpuPast:
    """Make the last look at a GPU one at users."""
    held = past.holders
    return past._replace(
        pids={pid: user_of(party) for pid, party in past.pids.items()},
        memory=of_users(past.memory),
        holders=None if held is None else {uuid: _users(held[uuid]) for uuid in held},
    )


def scene_of_users(scene: Scene) -> Scene:
    """Make what is known of everybody one of users: from their first hold on to their last."""
    return scene._replace(
        party_of_pid={pid: user_of(party) for pid, party in scene.party_of_pid.items()},
        holders={uuid: set(_users(parties)) for uuid, parties in scene.holders.items()},
        since_us=_times(scene.since_us, latest=False),
        until_us=_times(scene.until_us, latest=True),
    )


def _users(parties: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(map(user_of, parties))))


def _times(at_us: Mapping[tuple[str, str], int], *, latest: bool) -> dict[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = {}
    for (uuid, party), at in sorted(at_us.items(), key=lambda item: item[1], reverse=not latest):
        found[uuid, user_of(party)] = at
    return found
