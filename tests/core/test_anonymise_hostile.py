"""Whatever users write into labels, names and folders: without names the same is decided."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from ds01ctl.core.anonymise import anonymise
from ds01ctl.core.codec import dump_snapshot, load_snapshot
from ds01ctl.core.detect import decide
from ds01ctl.core.model import DeviceRequest, Driver, Engine, Grant, Mount, Process
from ds01ctl.core.policy import builtin_policy

from .worlds import (
    ALICE,
    BOB,
    ENGINE,
    HOUR_AGO,
    NOON,
    PLAIN,
    container,
    docker,
    gpu,
    mig,
    replace,
    session,
    slice_of,
    use,
    world,
)

GHOST = 4242
LOGINS = {
    "alice": ALICE,
    "bob": BOB,
    "a.b@uni": 1003,
    "a_b": 1004,
    "john doe": 1005,
    "docker": 1006,
    "user1": 1007,
    "com": 1008,
    "no login 1": 1009,
    "1010": 1011,
    "sys.tem": 500,
    "x" * 257: 1012,
}
USER_ENGINE = f"unix:///run/user/{BOB}/podman/podman.sock"
ENGINES = (ENGINE, USER_ENGINE, "tcp://podman.example:2375", "unix:///srv/secret/podman.sock")
UUIDS = ("GPU-5e0ad1c2-1111", "GPU-5e0bd1c2-1111", "index:2")
MIGS = ("MIG-99aabbcc-1111", "MIG-99aabbdd-1111")
IDS = [f"{n:012x}" * 5 + "abcd" for n in range(3)] + [
    "0" * 11 + "1" + "f" * 52,
    "c0ffee" * 10 + "abcd",
]
WHO = [
    *LOGINS, "", "root", "nobody", "nosuch", "unknown", "1001", "01001", "4242", "9" * 11, "a b",
    "alice\n", "\x1b[31malice", "a/b", "a:b", "y" * 256, "y" * 257, "\u2028", "\u0661\u0660", " ",
]  # fmt: skip
NAMES = [
    "alice", "vsc-alice", "jupyter-bob-1", "train._.1001", "train._.4242", "line\n._.1001",
    "ds01.slice", "system.slice", "gdm.service", "gdm", "Xorg", "docker", "api", "true", "project",
    "com", "devcontainer", "com.docker.compose", "managed", "GPU-0", "all", "10", "nvidia0", "lxc",
    "nvidia.com", "session-1", "besteffort", f"docker-{IDS[0]}", "LIBRARY", "NOT_FOUND", "x" * 300,
    "a.._._.9999999999", "ds01-x-alice", "ds01-secret", "buildkit", "podman", "minor",
]  # fmt: skip
GPU_NAMES = [
    "all", "none", "void", "", "0", "1", "0:0", "1:0", "1:1", "0,1", "0, 1", " all ", "10", "007",
    *UUIDS, *MIGS, "GPU-5e0", "GPU-5e0a", "GPU-5e0ad", "GPU-beef", "GPU-be", "MIG-99", "minor:0",
    f"MIG-{UUIDS[1]}/7/0", f"MIG-{UUIDS[1]}/9/0", "nvidia.com/gpu=0", "nvidia.com/gpu=all",
    f"management.nvidia.com/gpu={UUIDS[0]}", "nvidia.com/mig=mig1:0", "gpu0", "alice", "a b",
    "\x1b", f"{UUIDS[0]},{MIGS[0]}", "\u0661", "y" * 5000, "2026-11-23T10:00:00Z",
    "2026-11-23 10:00", ",",
]  # fmt: skip
DEVICES = [
    "/dev/nvidia0", "/dev//nvidia1", "//dev/../dev/nvidia0", "dev/nvidia1", "/", "/dev", "/dev/",
    "/dev/nvidiactl", "/dev/nvidia-caps/nvidia-cap1", "/dev/char/195:1", "/home/alice/dev/nvidia0",
    "/dev/dri/card0", "nvidia.com/gpu=1", "/dev/fuse", "/dev/nvidia0 x", "nvidia.com/gpu=\n",
]  # fmt: skip
RULES = [
    "c 195:* rwm",
    "c 195:0 rw",
    "a *:* rwm",
    "b 8:0 r",
    "c 10:200 m",
    "secret",
    " c 195:1  r ",
]
FOLDERS = [
    "/home/alice/x", "/home/1001/x", "/home/01001/x", "/home/bob", "/home/alice/../bob/x", "",
    "relative", "/home/alice/x\n", "/home/john doe/x", "/data/projects/alice", "/", "//home//alice",
]  # fmt: skip
TAGS = {
    "ds01.user": WHO,
    "aime.mlc.USER": WHO,
    "aime.mlc": WHO,
    "ds01.managed": ["true", "True", "TRUE", "false", " true", "yes"],
    "aime.mlc.DS01_MANAGED": ["true", "x"],
    "ds01.interface": ["api", "API", "orchestration", "a p i"],
    "ds01.container_type": ["api", "docker"],
    "ds01.protected": ["x", ""],
    "ds01.monitoring": ["x"],
    "ds01.gpu.uuids": GPU_NAMES,
    "ds01.gpu.uuid": GPU_NAMES,
    "ds01.gpu.slots": GPU_NAMES,
    "ds01.gpu_slot": GPU_NAMES,
    "ds01.gpu.allocated": GPU_NAMES,
    "devcontainer.local_folder": FOLDERS,
    "devcontainer.other": WHO,
    "com.docker.compose.project": WHO,
    "com.docker.compose.project.working_dir": FOLDERS,
    "hub.jupyter.org/username": WHO,
    "alice": WHO,
    "": WHO,
    "\x1b[31m": WHO,
}
# not 1010: a uid without a name and a login of the same digits are told as one
UIDS = [
    0,
    500,
    999,
    *range(1001, 1010),
    1011,
    1012,
    GHOST,
    65534,
    100_000,
    101_001,
    231_072,
    0xFFFFFFFF,
]
MAPS = [
    (), (), (), ((0, 0, 0xFFFFFFFF),), ((0, ALICE, 1), (1, 100_000, 65536)), ((0, 100_000, 65536),),
    ((0, BOB, 65536),), ((1000, 1000, 65536),), ((1000, 2000, 5000), (2000, 1000, 900)),
    ((0, 20001, 65536),), ((1003, 1003, 1),), ((0, GHOST, 1),),
]  # fmt: skip


def pick(rng: random.Random, table: dict, most: int) -> dict:
    keys = rng.sample(sorted(table), rng.randint(0, most))
    return {key: rng.choice(table[key]) for key in keys}


def cgroup(rng: random.Random) -> str | None:
    uid, one = rng.choice(UIDS), rng.choice(IDS)
    user = f"/user.slice/user-{uid}.slice/user@{uid}.service"
    part = rng.choice(["alice", "a_b", "john_doe", "sys_tem", f"u{uid}", "nosuch", "no_login_1"])
    return rng.choice(
        [
            None,
            docker(one),
            docker(one),
            f"/{slice_of(part)}/docker-{one}.scope",
            f"/{slice_of(part)}/docker-{one}.scope (deleted)",
            f"/ds01.slice/{slice_of(part)}/docker-{one}.scope",
            f"/docker/{one}",
            f"/lxc/{one}",
            f"{user}/user.slice/libpod-{one}.scope",
            f"{user}/buildkit/secretbuild",
            f"{user}/app.slice/alice-train.service",
            f"{user}/../x",
            f"{user}/job_12",
            "/lxc.payload.alices-box",
            "/machine.slice/machine-alice.scope",
            r"/machine.slice/machine-qemu\x2d1\x2dalice.scope",
            "/system.slice/system.slice:docker:" + one,
            f"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{'a' * 8}_{'b' * 4}"
            f"_{'c' * 4}_{'d' * 4}_{'e' * 12}.slice/cri-containerd-{one}.scope",
            f"/slurm/uid_{uid}/job_{uid}/step_0",
            "/system.slice/gdm.service",
            "/system.slice/docker.service",
            session(uid),
            "/",
        ]
    )


def a_process(rng: random.Random, pid: int) -> Process:
    exes = [
        None, "/usr/lib/xorg/Xorg", "/usr/bin/nvidia-cuda-mps-server", "/usr/bin/python3",
        "/home/alice/Xorg", "/opt/x/gdm", "/usr/bin/nvidia-persistenced",
    ]  # fmt: skip
    return Process(
        pid, pid, HOUR_AGO, rng.choice("SSSSZX"), 1, rng.choice(["python3", "Xorg", "alice"]),
        rng.choice(UIDS), rng.choice([None, None, *UIDS]), rng.choice(exes), None, cgroup(rng),
        uid_map=rng.choice(MAPS),
    )  # fmt: skip


def a_config(rng: random.Random):
    def some(names):
        return tuple(rng.sample(names, rng.choice([0, 0, 1, 2])))

    requests = [DeviceRequest("nvidia", rng.choice([-1, 0, 1, 2]), some(GPU_NAMES), ("gpu",))]
    requests += [DeviceRequest("cdi", 0, some(GPU_NAMES), ())]
    return replace(
        PLAIN,
        runtime=rng.choice(["runc", "nvidia"]),
        privileged=rng.random() < 0.1,
        device_requests=tuple(rng.sample(requests, rng.randint(0, 2))),
        devices=some(DEVICES),
        device_cgroup_rules=some(RULES),
        visible_devices=rng.choice([None, *GPU_NAMES]),
        cgroup_parent=rng.choice(
            ["", "ds01.slice", "ds01-student-alice.slice", "ds01-x-a_b.slice", "/x", "ds01-my job"]
        ),
        user=rng.choice(WHO),
        pid_mode=rng.choice(["", "host", f"container:{IDS[0][:12]}", "container:alice"]),
    )


def a_container(rng: random.Random, one: str):
    mounts = tuple(
        Mount(rng.choice(["bind", "volume"]), rng.choice(FOLDERS), "/data")
        for _ in range(rng.choice([0, 0, 1, 2]))
    )
    more = {"cgroup": cgroup(rng)} if rng.random() < 0.6 else {}
    return container(
        one,
        pick(rng, TAGS, 6),
        rng.choice([None, a_config(rng), a_config(rng)]),
        rng.choice(["system.slice", slice_of("alice"), slice_of("a_b"), slice_of("u1001")]),
        name=rng.choice(NAMES),
        state=rng.choice(["running", "running", "exited", "paused"]),
        engine=rng.choice([ENGINE, ENGINE, *ENGINES]),
        mounts=mounts,
        **more,
    )


def hostile(seed: int):
    """Make a world out of a number, always the same."""
    rng = random.Random(seed)
    uids = {login: uid for login, uid in LOGINS.items() if rng.random() < 0.8}
    named = {uid: login for login, uid in uids.items() if rng.random() < 0.8}
    pids = range(100, 100 + rng.randint(0, 6))
    gpus = (
        gpu(0, uuid=UUIDS[0]),
        gpu(1, uuid=UUIDS[1], mig_mode=True, mig_devices=(mig(MIGS[0], 1, 7), mig(MIGS[1], 1, 8))),
        gpu(2, uuid=UUIDS[2], health="lost"),
    )  # fmt: skip
    return world(
        *gpus,
        *(a_process(rng, pid) for pid in pids if rng.random() < 0.95),
        *(use(pid, rng.choice(UUIDS), mig_uuid=rng.choice([None, *MIGS])) for pid in pids),
        *(a_container(rng, one) for one in rng.sample(IDS, rng.randint(0, len(IDS)))),
        gaps=rng.choice([(), (), ("docker",), ("users",), ("nvml",)]),
        host=rng.choice(["gpu01", "api", "docker"]),
        driver=Driver(error=rng.choice([None, None, "LIBRARY_NOT_FOUND", "NOT_FOUND"])),
        engines=tuple(
            Engine(host, rng.random() < 0.8, uid=BOB if host == USER_ENGINE else 0)
            for host in ENGINES
        ),
        users={0: "root", **named},
        uids=uids,
        path_owners={path: rng.choice(UIDS) for path in FOLDERS if rng.random() < 0.7},
        grants=tuple(Grant(who, None, f"/var/g/{n}.json") for n, who in enumerate(WHO[:6])),
        unreadable={rng.choice(pids): "denied"} if pids and rng.random() < 0.2 else {},
    )


def decisions(snapshot):
    """Say what was decided, without any name."""
    decided = decide(snapshot, builtin_policy(), NOON)
    found = Counter(
        (f.kind, f.severity, f.user is not None, len(f.evidence)) for f in decided.findings
    )
    works = Counter(
        (w.kind, w.verdict, w.owner.confidence, w.owner.rule, w.owner.uid is None, w.has_gpu)
        for w in decided.workloads
    )
    people = sorted(Counter(f.user for f in decided.findings if f.user).values())
    return found, works, people


@pytest.mark.parametrize("block", range(20))
def test_the_same_is_decided_in_hostile_worlds(block):
    for seed in range(block * 50, block * 50 + 50):
        seen = hostile(seed)
        masked = anonymise(seen)
        assert decisions(masked) == decisions(seen), seed
        assert load_snapshot(dump_snapshot(masked)) == masked


def test_the_hostile_worlds_have_every_kind_of_finding_of_a_workload():
    kinds = {
        f.kind
        for seed in range(200)
        for f in decide(hostile(seed), builtin_policy(), NOON).findings
    }
    assert kinds >= {
        "unmanaged-container", "host-gpu-process", "gpu-mismatch", "unattributed",
        "privileged-gpu-container", "zombie-gpu-process", "gpu-unhealthy",
    }  # fmt: skip


@pytest.mark.parametrize("who", ["a b", "alice\n", "\x1b[31malice", "a/b", "y" * 257, " "])
def test_what_is_no_login_stays_none(who):
    masked = anonymise(world(container(labels={"ds01.user": who})))
    assert masked.containers[0].labels["ds01.user"] == "no login 1"


def test_loops_in_a_uid_map_do_not_hang():
    one = Process(100, 1, HOUR_AGO, "S", 1, "x", 1500, uid_map=((1000, 1000, 65536),))
    assert anonymise(world(one)).processes[100].uid != 1500
