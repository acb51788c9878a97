"""Remove networks and volumes that no container in any state refers to, and build cache."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ds01ctl.act.engine import ANSWER_S, Done, is_full_id, opened, time_of
from ds01ctl.act.making_sure import ended
from ds01ctl.core.timestamp import format_time
from ds01ctl.errors import Ds01Error

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ds01ctl.act.engine import Client, Recheck, When

_PREDEFINED = {"bridge", "host", "none", "ingress", "docker_gwbridge"}
_PRUNE_S = 900.0
_LOOK = "look with docker inspect; the next run looks again"


def remove_network(
    engine: str, network_id: str, *, created_before: When = None, recheck: Recheck | None = None
) -> Done:
    """Remove a network that no container refers to, whether it runs or not. Raises Ds01Error."""
    if not is_full_id(network_id):
        raise Ds01Error(f"not the full id of a network: {network_id[:80]!r}")
    with opened(engine) as client:
        told = client.inspect("network", network_id)
        if told is None or told.get("Id") != network_id:
            return Done("already", "it is gone")
        no = _predefined(told) or _too_young(told.get("Created"), created_before)
        no = no or _joined(told, client.containers())
        if no is None and recheck and (why := recheck()):
            no = Done("refused", why)
        if no:
            return no
        return _removed(client, "network", network_id)


def _predefined(told: dict[str, Any]) -> Done | None:
    if told.get("Name") in _PREDEFINED or told.get("Ingress") or told.get("Scope") != "local":
        return Done("refused", "it is the engine's own, or a swarm's")
    return None


def _too_young(created: object, created_before: When) -> Done | None:
    limit, at = time_of(created_before), time_of(created)
    if limit is None or (at is not None and at < limit):
        return None
    return Done("refused", f"it was created at {format_time(at) if at else 'an unknown time'}")


def _joined(told: dict[str, Any], containers: Iterable[dict[str, Any]]) -> Done | None:
    # one that does not run yet may know the network by its name only
    names = {told.get("Id"), told.get("Name")}
    if told.get("Containers"):
        return Done("refused", "a container is joined to it")
    for each in containers:
        networks = (each.get("NetworkSettings") or {}).get("Networks") or {}
        ids = {(of or {}).get("NetworkID") for of in networks.values()}
        mode = (each.get("HostConfig") or {}).get("NetworkMode")
        if names & {*networks, *ids, mode}:
            return Done("refused", f"container {str(each.get('Id'))[:12]} refers to it")
    return None


def remove_volume(
    engine: str, name: str, *, created_at: When = None, recheck: Recheck | None = None
) -> Done:
    """Remove a volume, and all that is in it, that no container mounts. Raises Ds01Error.

    Only ever at the word of an admin who named it; created_at: of the volume that was shown.
    """
    with opened(engine) as client:
        told = client.inspect("volume", name)
        if told is None or told.get("Name") != name:
            return Done("already", "it is gone")
        created, meant = time_of(told.get("CreatedAt")), time_of(created_at)
        if meant is not None and created != meant:
            return Done("refused", "it is another volume of this name")
        no = _mounted(name, client.containers())
        if no is None and recheck and (why := recheck()):
            no = Done("refused", why)
        if no:
            return no
        return _removed(client, "volume", name, force=False)


def _mounted(name: str, containers: Iterable[dict[str, Any]]) -> Done | None:
    for each in containers:
        if any((mount or {}).get("Name") == name for mount in each.get("Mounts") or ()):
            return Done("refused", f"container {str(each.get('Id'))[:12]} mounts it")
    return None


def _removed(client: Client, what: str, name: str, **how: Any) -> Done:
    """Remove it, and make sure. Raises UnknownError where it may still be removed, Ds01Error."""

    def seen() -> Done:
        if client.inspect(what, name):
            raise Ds01Error(f"{client.address}: {what} {name[:12]} is still there", _LOOK)
        return Done("done")

    return ended(lambda: client.act(f"remove_{what}", name, answer_s=ANSWER_S, **how), seen)


def prune_build_cache(engine: str, keep_bytes: int) -> Done:
    """Have BuildKit remove what it would itself, the least recently used first, down to a size.

    Raises Ds01Error.
    """
    with opened(engine, timeout_s=_PRUNE_S) as client:
        told = client.ask("prune_builds", keep_storage=max(int(keep_bytes), 0))
    freed = told.get("SpaceReclaimed") if isinstance(told, dict) else None
    if not isinstance(freed, int):
        raise Ds01Error(f"{engine}: does not tell what it pruned")
    return Done("done" if freed else "already", freed_bytes=freed)
