"""Decide which networks go: made by somebody, and no container in any state needs them."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from ds01ctl.core.cleanup_model import Change
from ds01ctl.core.image_uses import network_key
from ds01ctl.core.timestamp import format_time

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from ds01ctl.core.image_model import Holder, Network
    from ds01ctl.core.image_rules import Rules

_BUILT_IN = frozenset({"bridge", "host", "none", "docker_gwbridge", "ingress", "podman"})
_PROJECT = "com.docker.compose.project"


def decide(
    networks: Sequence[Network],
    holders: Sequence[Holder],
    uses: Mapping[tuple[str, str], tuple[int, int]],
    rules: Rules,
    now: datetime,
    complete: Collection[str],
) -> tuple[Change, ...]:
    """Decide for all engines; complete: those that told all their networks and containers.

    uses: as ``image_uses.fold`` gave them in this very run.
    """
    if rules.networks_unused_h is None:
        return ()
    held = {(one.engine, name) for one in holders for name in one.networks}
    projects = {(one.engine, one.project) for one in holders if one.project}
    found = []
    for network in sorted(networks, key=lambda one: (one.engine, one.name, one.id)):
        known = uses.get((network.engine, network_key(network.id)))
        if network.engine not in complete or known is None or _is_kept(network, rules):
            continue
        names = {(network.engine, network.name), (network.engine, network.id)}
        project = network.engine, network.labels.get(_PROJECT, "")
        unused_h = (now.timestamp() - known[0]) / 3600
        # a Compose project is one thing: whoever has its containers wants its networks
        is_held = not held.isdisjoint(names) or project in projects
        if not is_held and unused_h >= rules.networks_unused_h:
            found.append(_change(network, known, unused_h, rules))
    return tuple(found)


def _is_kept(network: Network, rules: Rules) -> bool:
    """Keep what an engine makes itself, what is a swarm's, infrastructure's, or marked."""
    is_built_in = network.name in _BUILT_IN or network.is_special
    is_ours = network.scope == "local" and not is_built_in
    keep = network.labels.get(rules.keep_label) if rules.keep_label else None
    is_marked = keep is not None and keep.lower() != "false"
    labels = rules.protected_labels
    is_protected = any(network.labels.get(label, "").lower() == "true" for label in labels)
    return not is_ours or is_marked or is_protected


def _change(network: Network, known: tuple[int, int], unused_h: float, rules: Rules) -> Change:
    used_at, first_seen = known
    last = "seen in use" if used_at > first_seen else "seen for the first time, unused"
    at = format_time(datetime.fromtimestamp(used_at, timezone.utc))
    return Change(
        kind="remove-network",
        part="networks",
        target=network.id,
        name=network.name,
        engine=network.engine,
        user=None,
        reason=f"no container needs it ({rules.told('networks_unused_h')})",
        evidence=(f"last {last} {unused_h:.1f} h ago, {at}", f"driver {network.driver}"),
        identity={"name": network.name},
    )
