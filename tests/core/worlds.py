"""Build small hosts to decide upon: a GPU or two, processes, containers, people."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from ds01ctl.core.model import (
    Container,
    ContainerConfig,
    Engine,
    Gap,
    Gpu,
    GpuUse,
    MigDevice,
    Process,
    Snapshot,
)


def replace(value: Any, **changes: Any) -> Any:
    """Copy a frozen value with some fields changed."""
    return value._replace(**changes)


NOON = datetime(2026, 11, 23, 12, 0, tzinfo=timezone.utc)
HOUR_AGO = NOON - timedelta(hours=1)
ENGINE = "unix:///run/docker.sock"
ALICE, BOB = 1001, 1002
A, B, C = "a" * 64, "b" * 64, "c" * 64
GPUS = ("GPU-0", "GPU-1")
MIB = 1 << 20


def docker(container_id: str, parent: str = "system.slice") -> str:
    """The cgroup of a container under the systemd driver."""
    return f"/{parent}/docker-{container_id}.scope"


def slice_of(user: str, group: str = "student") -> str:
    """The slice that the platform gives a user's containers."""
    return f"ds01.slice/ds01-{group}.slice/ds01-{group}-{user}.slice"


def session(uid: int) -> str:
    """The cgroup of a login."""
    return f"/user.slice/user-{uid}.slice/session-1.scope"


def gpu(index: int = 0, **more: Any) -> Gpu:
    """A healthy 40 GB GPU."""
    base = Gpu(
        index, f"GPU-{index}", "A100", minor=index, memory_total_bytes=40960 * MIB,
        memory_used_bytes=0, mig_mode=False,
    )  # fmt: skip
    return replace(base, **more)


def mig(uuid: str, slices: int, gi: int) -> MigDevice:
    """A MIG instance."""
    return MigDevice(uuid, gi, 0, f"{slices}g.{slices * 5}gb", slices)


def process(pid: int = 100, uid: int = ALICE, cgroup: str | None = "", **more: Any) -> Process:
    """A process that started an hour ago, in its user's login session unless said otherwise."""
    place = session(uid) if cgroup == "" else cgroup
    base = Process(
        pid, 5000 + pid, HOUR_AGO, "S", 1, "python3", uid, exe="/usr/bin/python3.10",
        cmdline="python3 train.py", cgroup=place,
    )  # fmt: skip
    return replace(base, **more)


def use(pid: int = 100, on: str = "GPU-0", mib: int | None = 1000, **more: Any) -> GpuUse:
    """A compute process on a GPU."""
    return replace(GpuUse(pid, on, "C", None if mib is None else mib * MIB), **more)


PLAIN = ContainerConfig("runc", privileged=False)
"""A container without any GPU."""


def with_gpus(*ids: str) -> ContainerConfig:
    """A container that was given GPUs with --gpus."""
    from ds01ctl.core.model import DeviceRequest

    return replace(PLAIN, device_requests=(DeviceRequest("nvidia", 0, ids, ("gpu",)),))


def container(
    container_id: str = A,
    labels: dict[str, str] | None = None,
    config: ContainerConfig | None = PLAIN,
    parent: str = "system.slice",
    **more: Any,
) -> Container:
    """A running container that started an hour ago."""
    state = more.get("state", "running")
    base = Container(
        ENGINE, container_id, f"c-{container_id[:4]}", "pytorch:2", state, HOUR_AGO, labels or {},
        started_at=HOUR_AGO, pid=4000 if state == "running" else None, config=config,
        cgroup=docker(container_id, parent) if state == "running" else None,
    )  # fmt: skip
    return replace(base, **more)


def managed(user: str = "alice", container_id: str = A, **more: Any) -> Container:
    """A container that the platform made for a user."""
    labels = {"ds01.managed": "true", "ds01.user": user, **more.pop("labels", {})}
    return container(container_id, labels, parent=slice_of(user), **more)


def world(*things: Any, gaps: tuple[str, ...] = (), **more: Any) -> Snapshot:
    """A host with these things in it; two GPUs unless some are given."""
    kinds: dict[type, list[Any]] = {Gpu: [], Process: [], GpuUse: [], Container: []}
    for thing in things:
        kinds[type(thing)].append(thing)
    base = Snapshot(
        NOON,
        "gpu01",
        "boot-1",
        0,
        gpus=tuple(kinds[Gpu]) or (gpu(0), gpu(1)),
        uses=tuple(kinds[GpuUse]),
        processes={one.pid: one for one in kinds[Process]},
        engines=(Engine(ENGINE, answered="docker" not in gaps),),
        containers=tuple(kinds[Container]),
        users={0: "root", ALICE: "alice", BOB: "bob"},
        uids={"alice": ALICE, "bob": BOB},
        gaps=tuple(Gap(source, "failed", "for a test") for source in gaps),
    )
    return replace(base, **more)
