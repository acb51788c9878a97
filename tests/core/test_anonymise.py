"""Nothing of the original can be read, and the same is decided."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from ds01ctl.core.anonymise import anonymise
from ds01ctl.core.codec import dump_snapshot, load_snapshot
from ds01ctl.core.detect import decide
from ds01ctl.core.model import (
    Container,
    ContainerConfig,
    DeviceRequest,
    Engine,
    Gap,
    Gpu,
    GpuUse,
    Grant,
    MigDevice,
    Mount,
    Process,
    Snapshot,
)
from ds01ctl.core.policy import builtin_policy

from .worlds import (
    ALICE,
    HOUR_AGO,
    NOON,
    A,
    B,
    container,
    docker,
    managed,
    process,
    replace,
    session,
    slice_of,
    use,
    with_gpus,
    world,
)

HOST = "gpu-hertie-07"
AL, BO, CY, SUB = 48211, 48355, 48477, 231072
ALICE_ID = "4e5d1c0b9a87f6e5d4c3b2a1908f7e6d5c4b3a29180f7e6d5c4b3a2910fedcba"
BOB_ID = "93c1ab" + ALICE_ID[6:]
RAW_ID = "7f7f00" + ALICE_ID[6:]
G0 = "GPU-5e0ad1c2-1111-2222-3333-444455556666"
G1 = "GPU-5e0bd1c2-1111-2222-3333-444455556666"
M0 = "MIG-99aabbcc-1111-2222-3333-444455556666"
ROOTLESS = f"unix:///run/user/{BO}/docker.sock"

RICH = Snapshot(
    NOON,
    HOST,
    "bcde1234-aaaa-bbbb-cccc-ddddeeeeffff",
    AL,
    gpus=(
        Gpu(0, G0, "A100", mig_mode=False),
        Gpu(1, G1, "A100", mig_mode=True, mig_devices=(MigDevice(M0, 7, 0, "1g.5gb", 1),)),
        Gpu(2, "index:2", health="lost", error=f"lost on {HOST}"),
    ),
    uses=(
        GpuUse(100, G0, "C", 1 << 30),
        GpuUse(101, G0, "C", 1 << 30),
        GpuUse(102, G1, "C", mig_uuid=M0),
        GpuUse(103, G0, "C"),
        GpuUse(104, G0, "G"),
    ),
    processes={
        100: Process(
            100,
            1,
            HOUR_AGO,
            "S",
            1,
            "aliciatrain",
            AL,
            AL,
            "/home/alicia/secretproject/run",
            "run --token=hunter2",
            f"/user.slice/user-{AL}.slice/user@{AL}.service/app.slice/alicia-thesis.service",
        ),
        101: Process(
            101,
            2,
            HOUR_AGO,
            "S",
            1,
            "python3",
            AL,
            None,
            "/usr/bin/python3.10",
            "python3 /home/alicia/x.py",
            f"/ds01.slice/ds01-student.slice/ds01-student-alicia.slice/docker-{ALICE_ID}.scope",
        ),
        102: Process(
            102,
            3,
            HOUR_AGO,
            "S",
            1,
            "python3",
            SUB + CY,
            None,
            "/usr/bin/python3",
            cgroup=f"/user.slice/user-{BO}.slice/user@{BO}.service/user.slice/docker-{BOB_ID}.scope",
            uid_map=((0, BO, 1), (1, SUB + 1, 65535)),
        ),
        103: Process(
            103,
            4,
            HOUR_AGO,
            "S",
            1,
            "python3",
            CY,
            CY,
            "/usr/bin/python3",
            cgroup="/lxc.payload.cyrils-box (deleted)",
        ),
        104: Process(
            104,
            5,
            HOUR_AGO,
            "S",
            1,
            "Xorg",
            0,
            exe="/usr/lib/xorg/Xorg",
            cgroup="/system.slice/gdm.service",
        ),
    },
    unreadable={105: f"/proc/105/cgroup of alicia (uid {AL}): Permission denied"},
    device_holders={G0: (100,)},
    engines=(
        Engine("unix:///run/docker.sock", True),
        Engine(ROOTLESS, True),
        Engine("tcp://10.9.8.7:2375", False),
    ),
    containers=(
        Container(
            "unix:///run/docker.sock",
            ALICE_ID,
            f"hertiethesis._.{AL}",
            "registry.hertie.example/alicia/llm:v3",
            "running",
            HOUR_AGO,
            {
                "ds01.managed": "true",
                "ds01.user": "alicia",
                "ds01.interface": "orchestration",
                "ds01.user_id": str(AL),
                "ds01.gpu.uuids": f"{G0},{M0}",
                "ds01.gpu.slots": "0:0,1:0",
                "ds01.slice": "ds01-student-alicia.slice",
                "ds01.workspace": "/home/alicia/secretproject",
                "ds01.project": "secretproject",
                "ds01.framework": "for bob.b@uni.example",
                "aime.mlc.alicia": "x",
                "com.hertie.costcenter": "4711-hertie",
            },
            (
                Mount("bind", "/home/alicia/secretproject", "/workspace"),
                Mount("bind", "/data/projects/bob_b/raw", "/home/alicia/data"),
                Mount("volume", "aliciasvolume", "/data"),
            ),
            HOUR_AGO,
            cgroup=f"/ds01.slice/ds01-student.slice/ds01-student-alicia.slice/docker-{ALICE_ID}.scope",
            config=ContainerConfig(
                "nvidia",
                False,
                (DeviceRequest("nvidia", 0, (G0, M0), ("gpu",)),),
                ("/dev/nvidia0",),
                visible_devices=f"{G0},{M0}",
                cgroup_parent="ds01-student-alicia.slice",
                user=f"{AL}:{AL}",
                pid_mode=f"container:{BOB_ID[:12]}",
                health_command=("curl", "http://alicia:secretproject@localhost"),
            ),
        ),
        Container(
            ROOTLESS,
            BOB_ID,
            "vsc-secretproject-0a1b2c3d4e5f60718293a4b5c6d7e8f90123456789abcdef0123456789abcdef",
            "vsc-secretproject",
            "running",
            HOUR_AGO,
            {
                "devcontainer.local_folder": "/home/bob.b@uni.example/secretproject",
                "devcontainer.metadata": '[{"remoteUser":"bob.b@uni.example"}]',
            },
            started_at=HOUR_AGO,
            cgroup=f"/user.slice/user-{BO}.slice/user@{BO}.service/user.slice/docker-{BOB_ID}.scope",
            config=replace(with_gpus("all"), user="bob.b@uni.example"),
        ),
        Container(
            "unix:///run/docker.sock",
            RAW_ID,
            "jupyter-cyril",
            "jupyter/base",
            "exited",
            HOUR_AGO,
            {"hub.jupyter.org/username": "cyril", "aime.mlc": "ghostuser"},
        ),
    ),
    users={0: "root", AL: "alicia", BO: "bob.b@uni.example", CY: "cyril"},
    uids={"alicia": AL},
    path_owners={"/home/alicia/secretproject": AL},
    grants=(Grant("cyril", None, "/var/lib/ds01/bare-metal-grants/cyril.json"),),
    gaps=(
        Gap("docker", "failed", f"{ROOTLESS}: no answer from {HOST} for alicia"),
        Gap("users", "failed", "uid 48211, /home/alicia/secretproject, container jupyter-cyril"),
    ),
)
SECRETS = [
    HOST, "hertie", "alicia", "bob", "uni.example", "cyril", "ghostuser", "secretproject",
    "hunter2", "costcenter", "4711", "registry", "llm", "thesis", "10.9.8.7", "bcde1234",
    str(AL), str(BO), str(CY), str(SUB + CY), ALICE_ID[:12], BOB_ID[:12], RAW_ID[:12],
    "5e0ad1c2", "5e0bd1c2", "99aabbcc", "0a1b2c3d4e5f", "x.py", "projects", "raw",
]  # fmt: skip


@pytest.mark.parametrize("secret", SECRETS)
def test_nothing_of_the_original_can_be_read(secret):
    assert secret in dump_snapshot(RICH)
    assert secret not in dump_snapshot(anonymise(RICH))


def test_it_is_a_snapshot_like_any_other_and_always_the_same():
    masked = anonymise(RICH)
    assert load_snapshot(dump_snapshot(masked)) == masked
    assert anonymise(RICH) == masked


def test_names_keep_their_shape():
    masked = anonymise(RICH)
    names = [c.name for c in masked.containers]
    uid = masked.uids["user1"]
    assert names[0].endswith(f"._.{uid}")
    assert re.fullmatch(r"vsc-name\d+", names[1])
    assert names[2] == f"jupyter-{masked.grants[0].user}"
    assert all(re.fullmatch("[0-9a-f]{64}", c.id) for c in masked.containers)
    first = masked.containers[0]
    assert first.labels["ds01.managed"] == "true"
    assert first.labels["ds01.interface"] == "orchestration"
    assert first.labels["ds01.gpu.slots"] == "0:0,1:0"
    assert first.labels["ds01.user"] == "user1"
    assert first.labels["ds01.slice"] == "ds01-student-user1.slice"
    assert (
        first.labels["ds01.gpu.uuids"]
        == f"{masked.gpus[0].uuid},{masked.gpus[1].mig_devices[0].uuid}"
    )
    assert first.config.visible_devices == first.labels["ds01.gpu.uuids"]
    assert first.config.device_requests[0].device_ids == tuple(
        first.config.visible_devices.split(",")
    )
    assert first.config.pid_mode == f"container:{masked.containers[1].id[:12]}"
    assert first.config.devices == ("/dev/nvidia0",)
    assert first.cgroup == masked.processes[101].cgroup
    assert first.mounts[0].source.startswith("/home/user1/")
    assert masked.path_owners == {first.mounts[0].source: uid}
    assert masked.gpus[2].uuid == "index:2"
    assert masked.gpus[0].uuid.startswith("GPU-00000000-")
    assert masked.users[0] == "root"
    assert masked.processes[104].exe == "/usr/lib/xorg/Xorg"
    assert masked.processes[104].cgroup == "/system.slice/gdm.service"
    assert masked.processes[101].comm == "python3"
    assert masked.processes[103].cgroup.endswith(" (deleted)")
    assert masked.grants[0].file.startswith("/var/lib/ds01/bare-metal-grants/user")
    cyril = next(uid for uid, name in masked.users.items() if name == masked.grants[0].user)
    assert masked.processes[102].uid == SUB + cyril


def test_infrastructure_keeps_its_name():
    one = container(name="ds01-prometheus")
    masked = anonymise(world(one), keep=["ds01-prometheus"])
    assert masked.containers[0].name == "ds01-prometheus"
    assert anonymise(world(one)).containers[0].name == "ds01-name1"


CLASH = {
    "docker": ALICE,
    "python3": 1002,
    "slice": 1003,
    "ds01": 1004,
    "a.b@x": 1005,
    "a_b": 1006,
    "user1": 1007,
}

WORLDS = [
    RICH,
    replace(RICH, gaps=()),
    world(),
    world(process(), use()),
    world(process(cgroup=docker(A)), use(), container(A, config=with_gpus("GPU-0"))),
    world(process(cgroup=docker(A)), use(on="GPU-1"), container(A, config=with_gpus("0"))),
    world(process(cgroup=f"/{slice_of('alice')}/docker-{A}.scope"), use(), managed()),
    world(
        process(cgroup=f"/system.slice/docker-{A}.scope"),
        use(),
        container(A, {"ds01.managed": "true"}),
    ),
    world(use(), unreadable={100: "denied"}),
    world(process(state="Z"), use(), gaps=("docker",)),
    world(process(uid=4242), use()),
    *(
        world(
            process(uid=uid, cgroup=session(uid)),
            use(),
            process(101, uid, f"/{slice_of('a_b')}/docker-{B}.scope"),
            use(101),
            container(B, {"ds01.user": login}, name=login, parent=slice_of("a_b")),
            users={of: name for name, of in CLASH.items()},
            uids=CLASH,
        )
        for login, uid in CLASH.items()
    ),
    world(
        *(managed("bob", c * 64, config=with_gpus("GPU-0", "GPU-1")) for c in "abcdef"),
    ),
]


@pytest.mark.parametrize("seen", WORLDS)
def test_the_same_is_decided(seen):
    def verdicts(snapshot):
        decided = decide(snapshot, builtin_policy(), NOON)
        kinds = Counter((f.kind, f.severity, f.user is None) for f in decided.findings)
        per_user = sorted(Counter(f.user for f in decided.findings).values())
        works = Counter(
            (w.kind, w.verdict, w.owner.confidence, w.owner.rule) for w in decided.workloads
        )
        return kinds, per_user, works

    assert verdicts(anonymise(seen)) == verdicts(seen)


def test_the_rich_world_has_something_to_find():
    assert len(decide(RICH, builtin_policy(), NOON).findings) >= 4
