"""Tell which containers have lost their GPU to a daemon-reload of systemd.

The hook of the NVIDIA container toolkit opens devices behind systemd's back. When systemd applies
its own device program to the container's scope again, the grant is gone; programs that have the
device open go on, new ones fail ("Failed to initialize NVML: Unknown Error").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.core.cgroup_path import classify
from ds01ctl.core.finding import about_workload
from ds01ctl.core.gpu_access import gpu_access
from ds01ctl.core.record import NamedTuple
from ds01ctl.core.timestamp import format_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ds01ctl.core.model import Container, ContainerConfig, Snapshot
    from ds01ctl.core.plan import Finding
    from ds01ctl.core.workload import Workload

LOST = "gpu-access-lost"
_CURES = (
    "so that it does not happen again: nvidia-container-toolkit 1.18 or newer in CDI mode, or"
    " --device /dev/nvidia*; `ds01ctl doctor --only gpu` has the commands"
)


class Suspect(NamedTuple):
    """A container that systemd may have taken a GPU from."""

    id: str
    cgroup: str
    nodes: tuple[str, ...]
    """The host's device nodes of its GPUs."""


def suspects(snapshot: Snapshot) -> tuple[Suspect, ...]:
    """List the containers to ask: those that run since before systemd last loaded its units.

    Never one of a user's own engine, or in a control group that a user could have made: root goes
    into these to ask. A paused one would hold whoever goes in.
    """
    loaded, own = snapshot.units_loaded_at, _users_engines(snapshot)
    return tuple(
        Suspect(one.id, one.cgroup or "", nodes)
        for one in snapshot.containers
        if loaded and one.started_at and one.started_at < loaded
        if one.state == "running" and one.engine not in own and _is_its_own(one)
        if (nodes := _nodes(one.config, snapshot))
    )


def _users_engines(snapshot: Snapshot) -> set[str]:
    return {engine.host for engine in snapshot.engines if engine.is_users_own}


def _is_its_own(container: Container) -> bool:
    """Tell whether the control group is that of this container, and no user's doing."""
    if container.cgroup is None or ".." in container.cgroup.split("/"):
        return False
    place = classify(container.cgroup)
    return place.home == "container" and place.id == container.id and place.uid is None


def _nodes(config: ContainerConfig | None, snapshot: Snapshot) -> tuple[str, ...]:
    """Name the nodes that it has by other ways than Docker's own list, which systemd knows."""
    if config is None or config.privileged:
        return ()
    access = gpu_access(config._replace(devices=(), device_cgroup_rules=()), snapshot.gpus)
    minors = {
        gpu.minor
        for gpu in snapshot.gpus
        if gpu.minor is not None
        # a MIG device is used through the node of its GPU
        if access.known_uuids & {gpu.uuid, *(device.uuid for device in gpu.mig_devices)}
    }
    return tuple(f"/dev/nvidia{minor}" for minor in sorted(minors))


def of_lost_access(workload: Workload, snapshot: Snapshot) -> Iterator[Finding]:
    """Find a container whose programs may not open its GPU any more."""
    container, loaded = workload.container, snapshot.units_loaded_at
    if container is None or loaded is None or container.engine in _users_engines(snapshot):
        return
    nodes = snapshot.gpu_denied.get(container.id)
    if not nodes or container.started_at is None or container.started_at >= loaded:
        return
    started = format_time(container.started_at.replace(microsecond=0))
    reloaded = format_time(loaded.replace(microsecond=0))
    evidence = (
        f"a new program in it may not open {', '.join(nodes)}, which it was given",
        f"systemd was reloaded at {reloaded}, after its start at {started}: that takes back what"
        " the NVIDIA hook had opened; programs that have the GPU open go on",
        f"to give it back: docker restart {container.name}",
        _CURES,
    )
    yield about_workload(LOST, "warning", workload, snapshot, evidence)


def cannot_be_seen(snapshot: Snapshot) -> bool:
    """Tell whether none could be asked: not root, no control groups v2, or no answer at all."""
    if snapshot.units_loaded_at is None:
        return True
    return bool(suspects(snapshot)) and not snapshot.gpu_denied


def is_unanswered(container_id: str, snapshot: Snapshot) -> bool:
    """Tell whether a container that lives on was not asked this time: what was known stays so."""
    return container_id not in snapshot.gpu_denied and any(
        one.id == container_id and one.is_live for one in snapshot.containers
    )
