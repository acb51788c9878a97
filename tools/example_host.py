"""The example host that ships with the package: a day on a shared server with four GPUs."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from hashlib import sha256

from ds01ctl.core.model import (
    Container,
    ContainerConfig,
    DeviceRequest,
    Driver,
    Engine,
    Gpu,
    GpuUse,
    Grant,
    MigDevice,
    Mount,
    Process,
    Snapshot,
)

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=timezone.utc)
ENGINE = "unix:///run/docker.sock"
GIB = 1 << 30
PEOPLE = {
    0: "root",
    1001: "alice",
    1002: "bob",
    1003: "carol",
    1004: "dave",
    1005: "erin",
    1006: "frank",
    1100: "labadmin",
}
UUIDS = [
    f"GPU-{sha256(f'gpu{n}'.encode()).hexdigest()[:8]}-5c1d-4e0f-9a2b-{n:012d}" for n in range(4)
]
MIG = [
    f"MIG-{sha256(f'mig{n}'.encode()).hexdigest()[:8]}-77aa-5b6c-8d9e-{n:012d}" for n in range(2)
]


def ago(hours: float) -> datetime:
    """Give a time before the snapshot."""
    return NOW - timedelta(hours=hours)


def container_id(name: str) -> str:
    """Give a container its 64 hexadecimal digits."""
    return sha256(name.encode()).hexdigest()


def gpus() -> tuple[Gpu, ...]:
    """Four A100: one busy, one haunted, one split in two, one set to MIG and then forgotten."""
    whole = {"name": "NVIDIA A100-PCIE-40GB", "memory_total_bytes": 40 * GIB}
    state = {"persistence_mode": True, "compute_mode": "default", "mig_mode_pending": False}
    return (
        Gpu(0, UUIDS[0], minor=0, pci_bus_id="00000000:25:00.0", memory_used_bytes=31 * GIB,
            utilization_percent=97, mig_mode=False, **whole, **state),
        Gpu(1, UUIDS[1], minor=1, pci_bus_id="00000000:5B:00.0", memory_used_bytes=22 * GIB,
            utilization_percent=3, mig_mode=False, **whole, **state),
        Gpu(2, UUIDS[2], minor=2, pci_bus_id="00000000:9B:00.0", memory_used_bytes=5 * GIB,
            mig_mode=True, mig_devices=(
                MigDevice(MIG[0], 1, 0, "3g.20gb", 3, 20 * GIB, 5 * GIB),
                MigDevice(MIG[1], 2, 0, "4g.20gb", 4, 20 * GIB, 0),
            ), **whole, persistence_mode=True, compute_mode="default", mig_mode_pending=True),
        Gpu(3, UUIDS[3], minor=3, pci_bus_id="00000000:C8:00.0", memory_used_bytes=0,
            mig_mode=True, **whole, persistence_mode=True, compute_mode="default",
            mig_mode_pending=True),
    )  # fmt: skip


def process(pid: int, uid: int, cgroup: str, cmdline: str, hours: float, **more: object) -> Process:
    """Make a process; its exe and name come from the command line."""
    exe = cmdline.split()[0]
    start = 1_000_000 + pid
    name = exe.rpartition("/")[2]
    return Process(
        pid,
        start,
        ago(hours),
        "S",
        1,
        name,
        uid,
        exe=exe,
        cmdline=cmdline,
        cgroup=cgroup,
        **more,  # type: ignore[arg-type]
    )


def asked(*ids: str) -> ContainerConfig:
    """Make the configuration of ``docker run --gpus device=…``."""
    request = DeviceRequest("nvidia", 0, ids, ("gpu",))
    return ContainerConfig("runc", privileged=False, device_requests=(request,) if ids else ())


def container(
    name: str,
    hours: float,
    config: ContainerConfig,
    labels: dict[str, str],
    parent: str,
    pid: int,
    mounts: tuple[Mount, ...] = (),
    image: str = "pytorch/pytorch:2.9-cuda13",
) -> Container:
    """Make a running container."""
    full = container_id(name)
    return Container(
        ENGINE, full, name, image, "running", ago(hours), labels, mounts, started_at=ago(hours),
        pid=pid, cgroup=f"/{parent}/docker-{full}.scope", config=config,
    )  # fmt: skip


def slice_of(user: str, group: str = "student") -> str:
    """Give the slice that the platform puts a user's containers in."""
    return f"ds01.slice/ds01-{group}.slice/ds01-{group}-{user}.slice"


def home(user: str) -> tuple[Mount, ...]:
    """Mount a user's home."""
    return (Mount("bind", f"/home/{user}/work", "/workspace"),)


def containers() -> tuple[Container, ...]:
    """What the engine lists."""
    platform = {"ds01.managed": "true", "ds01.interface": "orchestration"}
    return (
        container("train-bert._.1001", 5, asked(UUIDS[0]),
                  {**platform, "ds01.user": "alice", "ds01.gpu.uuids": UUIDS[0]},
                  slice_of("alice"), 21001, home("alice")),
        container("llm-finetune", 49, asked("all"), {}, "system.slice", 21002, home("bob")),
        container("vsc-thesis-3f2a", 20, asked(MIG[0]),
                  {"devcontainer.local_folder": "/home/carol/thesis"}, "ds01.slice", 21003,
                  (Mount("bind", "/home/carol/thesis", "/workspaces/thesis"),), "vsc-thesis:1"),
        container("webapp-db-1", 200, ContainerConfig("nvidia", privileged=False),
                  {"com.docker.compose.project": "webapp",
                   "com.docker.compose.project.working_dir": "/home/dave/webapp"},
                  "ds01.slice", 21004, image="postgres:17"),
        container("ds01-dcgm-exporter", 900, ContainerConfig("runc", privileged=True),
                  {"ds01.monitoring": "true"}, "system.slice", 21005, image="dcgm-exporter:4.5"),
    )  # fmt: skip


def processes() -> dict[int, Process]:
    """Who uses a GPU."""
    listed = {one.name: one.cgroup or "" for one in containers()}
    python = "/opt/conda/bin/python"
    seen = (
        process(31001, 1001, listed["train-bert._.1001"], f"{python} train.py --epochs 40", 5,
                container_pid=17),
        process(31002, 0, listed["llm-finetune"], f"{python} -m axolotl.cli.train cfg.yml", 48,
                container_pid=9),
        process(31003, 0, listed["vsc-thesis-3f2a"], f"{python} -m ipykernel_launcher", 3,
                container_pid=412),
        process(31004, 1005, "/user.slice/user-1005.slice/session-88.scope",
                "/home/erin/venv/bin/python sweep.py", 11, loginuid=1005),
        process(31005, 1006, "/user.slice/user-1006.slice/session-90.scope",
                "/home/frank/venv/bin/python render.py", 2, loginuid=1006),
        process(1450, 0, "/system.slice/nvidia-persistenced.service",
                "/usr/bin/nvidia-persistenced --verbose", 900),
    )  # fmt: skip
    return {one.pid: one for one in seen}


def host() -> Snapshot:
    """Put it all together."""
    return Snapshot(
        NOW,
        "gpu01",
        "6f1e0b6c-3a54-4b52-9f4e-2d1c6a7b8c90",
        0,
        Driver("580.95.05", "13.580.95"),
        gpus(),
        (
            GpuUse(31001, UUIDS[0], "C", 24 * GIB),
            GpuUse(31002, UUIDS[0], "C", 7 * GIB),
            GpuUse(31002, UUIDS[1], "C", 8 * GIB),
            GpuUse(31003, UUIDS[2], "C", None, MIG[0], 1, 0),
            GpuUse(31004, UUIDS[1], "C", 6 * GIB),
            GpuUse(31005, UUIDS[1], "C", 2 * GIB),
            GpuUse(1450, UUIDS[0], "C", 4 << 20),
        ),
        processes(),
        device_holders={UUIDS[1]: (31002, 31004)},
        units_loaded_at=ago(1000),
        engines=(Engine(ENGINE, answered=True, version="28.2.2"),),
        containers=containers(),
        users=PEOPLE,
        uids={name: uid for uid, name in PEOPLE.items() if uid},
        path_owners={
            "/home/alice/work": 1001,
            "/home/bob/work": 1002,
            "/home/carol/thesis": 1003,
            "/home/dave/webapp": 1004,
        },
        grants=(Grant("frank", ago(-6), "/var/lib/ds01/bare-metal-grants/frank.json"),),
    )
