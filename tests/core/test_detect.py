"""Every rule of `detect`, as worlds and what must be found in them."""

from datetime import timedelta
from typing import Any

import pytest

from ds01ctl.core.detect import Seen, decide
from ds01ctl.core.model import Container, Driver, Engine, Grant, Mount, Snapshot
from ds01ctl.core.policy import Exemption, Origin, Policy, Setting, builtin_policy

from .worlds import (
    ALICE,
    BOB,
    ENGINE,
    HOUR_AGO,
    MIB,
    NOON,
    PLAIN,
    A,
    B,
    container,
    docker,
    gpu,
    managed,
    mig,
    process,
    replace,
    session,
    slice_of,
    use,
    with_gpus,
    world,
)

HERE = Origin("resource-limits.yaml", 3, "test")


def policy(exempt: tuple[str, ...] = (), **host: Any) -> Policy:
    """The built-in policy with some settings; ``detect__scans=2`` is detect.scans."""
    settings = {name.replace("__", "."): Setting(name, value, HERE) for name, value in host.items()}
    return replace(
        builtin_policy(),
        host=settings,
        bare_metal=dict.fromkeys(exempt, HERE),
        files=("resource-limits.yaml",),
    )


def limits(**values: Any) -> Policy:
    """The built-in policy with defaults for every user."""
    names = {name: name.replace("__", ".") for name in values}
    layer = {names[n]: Setting(names[n], value, HERE) for n, value in values.items()}
    return replace(builtin_policy(), defaults=layer)


def found(snapshot: Snapshot, rules: Policy | None = None) -> list[tuple[str, str | None]]:
    """Kinds and users of the findings that matter: infos left out."""
    findings = decide(snapshot, rules or policy(), NOON).findings
    return sorted(((f.kind, f.user) for f in findings if f.severity != "info"), key=str)


def exempting(what: str) -> Policy:
    row = Exemption("alice", "waiver", (what,), None, None, None, HERE)
    return replace(builtin_policy(), exemptions=(row,))


NAMED_PROMETHEUS = policy(
    monitoring__infrastructure_containers=["ds01-prometheus"],
    monitoring__infrastructure_label="ds01.protected",
)

BOBS = "unix:///run/user/1002/docker.sock"
BOTH = (Engine(ENGINE, answered=True, uid=0), Engine(BOBS, answered=True, uid=BOB))

TABLE = {
    "a quiet host": (world(), []),
    "CUDA straight on the host": (
        world(process(), use()),
        [("host-gpu-process", "alice")],
    ),
    "two people on the host": (
        world(process(), use(), process(101, BOB), use(101)),
        [("host-gpu-process", "alice"), ("host-gpu-process", "bob")],
    ),
    "a managed container": (
        world(managed(config=with_gpus("0")), process(cgroup=docker(A, slice_of("alice"))), use()),
        [],
    ),
    "a raw container that uses a GPU": (
        world(container(config=with_gpus("0")), process(cgroup=docker(A)), use()),
        [("outside-slice", "alice"), ("unmanaged-container", "alice")],
    ),
    "a raw container that only holds a GPU": (
        world(container(config=with_gpus("0"))),
        [("outside-slice", None), ("unmanaged-container", None)],
    ),
    "a raw container without a GPU is an info": (world(container()), []),
    "a container is never unmanaged because the engine is silent": (
        world(process(cgroup=docker(A)), use(), gaps=("docker",)),
        [],
    ),
    "a container of an engine that is not asked": (
        world(process(cgroup="/machine.slice/libpod-" + A + ".scope"), use()),
        [("unmanaged-container", "alice")],
    ),
    "a container of a user's own engine is not managed, whatever its labels": (
        world(
            container(
                labels={"ds01.managed": "true", "ds01.user": "alice"},
                config=with_gpus("0"),
                engine=BOBS,
                cgroup=None,
            ),
            engines=BOTH,
        ),
        [("unmanaged-container", "bob")],
    ),
    "a user's engine that hangs hides nobody else": (
        world(
            process(cgroup=docker(A)),
            use(),
            engines=(BOTH[0], replace(BOTH[1], answered=False)),
            gaps=("docker",),
        ),
        [("unmanaged-container", "alice")],
    ),
    "a user's engine that hangs does not even hide what is his": (
        world(
            process(
                uid=BOB, cgroup=f"/user.slice/user-{BOB}.slice/user@{BOB}.service/docker-{A}.scope"
            ),
            use(),
            engines=(BOTH[0], replace(BOTH[1], answered=False)),
            gaps=("docker",),
        ),
        [("unmanaged-container", "bob")],
    ),
    "an unreadable cgroup is no host process": (
        world(process(cgroup=None), use(), gaps=("processes",), unreadable={100: "hidepid"}),
        [],
    ),
    "a process that exited during the scan": (world(use()), []),
    "a label alone manages nothing": (
        world(
            container(labels={"ds01.managed": "true", "ds01.user": "alice"}, config=with_gpus("0"))
        ),
        [("outside-slice", "alice"), ("unmanaged-container", "alice")],
    ),
    "a cgroup named like a stopped managed container": (
        world(
            managed("bob", state="exited"),
            process(cgroup=f"/user.slice/user-{ALICE}.slice/user@{ALICE}.service/docker-{A}.scope"),
            use(),
        ),
        [("unmanaged-container", "alice")],
    ),
    "a process in a container whose own cgroup could not be read": (
        world(
            managed(cgroup=None, config=with_gpus("0")),
            process(cgroup=docker(A, slice_of("alice"))),
            use(),
        ),
        [],
    ),
    "a root container with podman, and no Docker at all": (
        world(process(cgroup=f"/machine.slice/libpod-{A}.scope"), use(), gaps=("docker",)),
        [("unmanaged-container", "alice")],
    ),
    "another user's cgroup name below one's own is not that container": (
        world(
            managed("alice", config=with_gpus("0")),
            process(
                uid=BOB, cgroup=f"/user.slice/user-{BOB}.slice/user@{BOB}.service/docker-{A}.scope"
            ),
            use(),
        ),
        [("unmanaged-container", "bob")],
    ),
    "a GPU that was not allocated": (
        world(
            managed(config=with_gpus("0")),
            process(cgroup=docker(A, slice_of("alice"))),
            use(on="GPU-1"),
        ),
        [("gpu-mismatch", "alice")],
    ),
    "the platform's label says which GPU was allocated": (
        world(
            managed(config=with_gpus("0", "1"), labels={"ds01.gpu.uuids": "GPU-0"}),
            process(cgroup=docker(A, slice_of("alice"))),
            use(on="GPU-1"),
        ),
        [("gpu-mismatch", "alice")],
    ),
    "ds01.gpu.allocated as a time says nothing": (
        world(
            managed(config=with_gpus("1"), labels={"ds01.gpu.allocated": "2026-11-23T10:00:00Z"}),
            process(cgroup=docker(A, slice_of("alice"))),
            use(on="GPU-1"),
        ),
        [],
    ),
    "ds01.gpu.allocated as a slot": (
        world(
            managed(config=with_gpus("1"), labels={"ds01.gpu.allocated": "0"}),
            process(cgroup=docker(A, slice_of("alice"))),
            use(on="GPU-1"),
        ),
        [("gpu-mismatch", "alice")],
    ),
    "a MIG instance of the GPU that was given": (
        world(
            gpu(0, mig_mode=True, mig_devices=(mig("MIG-a", 3, 1),)),
            managed(config=with_gpus("MIG-a")),
            process(cgroup=docker(A, slice_of("alice"))),
            use(mig_uuid="MIG-a", gpu_instance=1, mib=None),
        ),
        [],
    ),
    "a privileged container": (
        world(managed(config=replace(PLAIN, privileged=True))),
        [("privileged-gpu-container", "alice")],
    ),
    "a dead process that holds memory": (
        world(process(state="Z", cgroup="/"), use()),
        [("zombie-gpu-process", "alice")],
    ),
    "memory that nobody explains": (
        world(gpu(0, memory_used_bytes=4000 * MIB), process(), use(mib=1000)),
        [("ghost-gpu-memory", None), ("host-gpu-process", "alice")],
    ),
    "memory that is explained": (
        world(gpu(0, memory_used_bytes=1100 * MIB), process(), use(mib=1000)),
        [("host-gpu-process", "alice")],
    ),
    "no ghost where the driver's own share is not told": (
        world(gpu(0, memory_used_bytes=4000 * MIB, memory_is_net=False)),
        [],
    ),
    "a GPU that was never asked is not ill": (
        world(gpu(0, health="unknown", processes_known=False), gaps=("nvml",)),
        [],
    ),
    "NVML that may not be read is not ill": (
        world(driver=Driver(error="NO_PERMISSION"), gaps=("nvml",)),
        [],
    ),
    "a MIG instance that is not told is no mismatch": (
        world(
            gpu(0, mig_mode=True, mig_devices=(mig("MIG-a", 3, 1), mig("MIG-b", 4, 2))),
            managed(config=with_gpus("MIG-a")),
            process(cgroup=docker(A, slice_of("alice"))),
            use(),
        ),
        [],
    ),
    "a label of absurd numbers": (
        world(managed(labels={"ds01.gpu.uuids": "0:²,0:" + "9" * 5000})),
        [],
    ),
    "no ghost where a process's memory is unknown": (
        world(gpu(0, memory_used_bytes=4000 * MIB), process(), use(mib=None)),
        [("host-gpu-process", "alice")],
    ),
    "no ghost where the processes are unknown": (
        world(gpu(0, memory_used_bytes=4000 * MIB, processes_known=False), gaps=("nvml",)),
        [],
    ),
    "memory of a process that is gone for good": (
        world(gpu(0, memory_used_bytes=900 * MIB), dead=(use(77, mib=900),)),
        [("ghost-gpu-memory", None)],
    ),
    "a lost GPU": (
        world(gpu(0, health="lost", error="GPU is lost", processes_known=False), gpu(1)),
        [("gpu-unhealthy", None)],
    ),
    "a driver that does not match its library": (
        world(driver=Driver(error="LIB_RM_VERSION_MISMATCH"), gaps=("nvml",)),
        [("gpu-unhealthy", None)],
    ),
    "MIG without instances": (
        world(gpu(0, mig_mode=True)),
        [("mig-without-instances", None)],
    ),
}


@pytest.mark.parametrize(("snapshot", "expected"), TABLE.values(), ids=TABLE.keys())
def test_found(snapshot: Snapshot, expected: list[tuple[str, str | None]]) -> None:
    """What is there is found, and nothing else."""
    assert found(snapshot) == expected


SMI = "/usr/bin/nvidia-persistenced"
UNIT = "/system.slice/nvidia-persistenced.service"

LEFT_ALONE = {
    "exempt on bare metal": (world(process(), use()), policy(("alice",)), []),
    "somebody else is exempt": (
        world(process(), use()),
        policy(("bob",)),
        [("host-gpu-process", "alice")],
    ),
    "a grant": (
        world(process(), use(), grants=(Grant("alice", NOON + timedelta(hours=1), "g"),)),
        policy(),
        [],
    ),
    "a grant that has expired counts for nothing": (
        world(process(), use(), grants=(Grant("alice", NOON - timedelta(seconds=1), "g"),)),
        policy(),
        [("host-gpu-process", "alice")],
    ),
    "the system's own": (
        world(process(uid=0, exe=SMI, cgroup=UNIT), use()),
        policy(detect__system_executables=[SMI]),
        [],
    ),
    "a user's program of a system program's name": (
        world(process(comm="Xorg", exe="/home/alice/Xorg"), use()),
        policy(detect__system_executables=["/usr/lib/xorg/Xorg"]),
        [("host-gpu-process", "alice")],
    ),
    "a system program run by a user": (
        world(process(exe=SMI, cgroup=UNIT), use()),
        policy(detect__system_executables=[SMI]),
        [("host-gpu-process", "alice")],
    ),
    "a root service whose executable can't be read may be the system's": (
        world(process(uid=0, exe=None, cgroup=UNIT), use(), gaps=("processes",)),
        policy(),
        [],
    ),
    "an exempt user whose name can't be looked up is not accused": (
        world(process(), use(), users={}, uids={}, gaps=("users",)),
        policy(("alice",)),
        [],
    ),
    "nobody is exempt, so nobody's name matters": (
        world(process(), use(), users={}, uids={}, gaps=("users",)),
        policy(),
        [("host-gpu-process", "1001")],
    ),
    "grants that can't be read may exempt anybody": (
        world(process(), use(), gaps=("policy",)),
        policy(),
        [],
    ),
    "another's slice below one's own user manager exempts nobody": (
        world(
            process(
                cgroup=f"/user.slice/user-{ALICE}.slice/user@{ALICE}.service/{slice_of('bob')}/r.service"
            ),
            use(),
        ),
        policy(("bob",)),
        [("host-gpu-process", "alice")],
    ),
    "infrastructure by a name that only begins like it": (
        world(container(name="ds01-prometheus-mine", config=with_gpus("0"))),
        NAMED_PROMETHEUS,
        [("outside-slice", None), ("unmanaged-container", None)],
    ),
    "infrastructure whose label names an admin, over another's files": (
        world(
            container(
                name="ds01-prometheus",
                labels={"ds01.user": "root"},
                config=with_gpus("0"),
                mounts=(Mount("bind", "/home/alice/x", "/x"),),
            ),
            path_owners={"/home/alice/x": ALICE},
        ),
        NAMED_PROMETHEUS,
        [("outside-slice", "root"), ("unmanaged-container", "root")],
    ),
    "a system program outside its unit": (
        world(process(uid=0, exe=SMI, cgroup=session(0)), use()),
        policy(detect__system_executables=[SMI]),
        [("host-gpu-process", "root")],
    ),
    "infrastructure by its configured name": (
        world(container(name="ds01-prometheus-1", config=with_gpus("0"))),
        NAMED_PROMETHEUS,
        [],
    ),
    "infrastructure by label alone": (
        world(container(labels={"ds01.protected": "true"}, config=with_gpus("0"))),
        NAMED_PROMETHEUS,
        [("outside-slice", None), ("unmanaged-container", None)],
    ),
    "infrastructure whose image runs as somebody's uid": (
        world(
            container(name="ds01-prometheus", config=with_gpus("0")),
            process(uid=ALICE, cgroup=docker(A)),
            use(),
        ),
        NAMED_PROMETHEUS,
        [],
    ),
    "a grant file that can't be read hides no container": (
        world(
            container(config=with_gpus("0"), mounts=(Mount("bind", "/home/alice", "/w"),)),
            path_owners={"/home/alice": ALICE},
            gaps=("policy",),
        ),
        policy(),
        [("outside-slice", "alice"), ("unmanaged-container", "alice")],
    ),
    "a student's container of an infrastructure name": (
        world(
            container(
                name="ds01-prometheus",
                config=with_gpus("0"),
                mounts=(Mount("bind", "/home/alice/x", "/x"),),
            ),
            path_owners={"/home/alice/x": ALICE},
        ),
        NAMED_PROMETHEUS,
        [("outside-slice", "alice"), ("unmanaged-container", "alice")],
    ),
    "an MPS server whose clients are known": (
        world(
            process(exe="/usr/bin/nvidia-cuda-mps-server"),
            use(mib=30),
            process(101, BOB),
            use(101, type="M"),
        ),
        policy(detect__system_executables=["/usr/bin/nvidia-cuda-mps-server"]),
        [("host-gpu-process", "bob")],
    ),
    "an MPS server whose clients are not": (
        world(process(exe="/usr/bin/nvidia-cuda-mps-server"), use(mib=30)),
        policy(detect__system_executables=["/usr/bin/nvidia-cuda-mps-server"]),
        [("host-gpu-process", "alice")],
    ),
    "slices are not in force": (
        world(container(labels={"ds01.managed": "true"}, config=with_gpus("0"))),
        policy(enforcement__aggregate_limits=False),
        [],
    ),
}


@pytest.mark.parametrize(
    ("snapshot", "rules", "expected"), LEFT_ALONE.values(), ids=LEFT_ALONE.keys()
)
def test_left_alone(
    snapshot: Snapshot, rules: Policy, expected: list[tuple[str, str | None]]
) -> None:
    """The innocent are left alone, and nobody becomes innocent by a name or a label."""
    assert found(snapshot, rules) == expected


def test_exemption_counts_when_the_owner_is_sure() -> None:
    """A mounted home that is the user's own makes an exemption count."""
    mounted = container(config=with_gpus("0"), mounts=(Mount("bind", "/home/alice", "/w"),))
    host = world(mounted, path_owners={"/home/alice": ALICE})
    assert ("unmanaged-container", "alice") not in found(host, exempting("unmanaged-container"))


@pytest.mark.parametrize(
    "lie",
    [
        container(labels={"ds01.user": "alice"}),
        container(labels={"ds01.user": "alice", "aime.mlc.USER": "alice"}),
        container(labels={"devcontainer.local_folder": "/home/alice"}),
        container(labels={"com.docker.compose.project.working_dir": "/home/alice"}),
        container(name=f"x._.{ALICE}"),
        container(labels={"ds01.user": "alice"}, parent=slice_of("alice").replace("ds01.", "x.")),
        container(mounts=(Mount("bind", "/home/alice", "/a"), Mount("bind", "/home/bob", "/b"))),
    ],
)
def test_exemption_is_not_had_by_words(lie: Container) -> None:
    """A container can't borrow another's exemption by what its maker writes freely."""
    host = world(
        replace(lie, config=with_gpus("0")),
        process(uid=ALICE, cgroup=lie.cgroup),
        path_owners={"/home/alice": ALICE, "/home/bob": BOB},
    )
    assert ("unmanaged-container", "alice") in found(host, exempting("unmanaged-container"))


@pytest.mark.parametrize(
    ("snapshot", "rules", "expected"),
    [
        (
            world(managed(config=with_gpus("0")), managed("alice", B, config=with_gpus("1"))),
            limits(max_gpu_equivalents=1.0),
            [("over-gpu-quota", "alice")],
        ),
        (
            world(managed(config=with_gpus("0")), managed("alice", B, config=with_gpus("0"))),
            limits(max_gpu_equivalents=1.0),
            [],
        ),
        (
            world(managed(config=with_gpus("all"))),
            limits(max_gpu_equivalents=4.0, aggregate__gpu_limit=1.0),
            [("over-gpu-quota", "alice")],
        ),
        (world(managed(config=with_gpus("all"))), limits(max_gpu_equivalents=None), []),
        (
            world(
                gpu(0, mig_mode=True, mig_devices=(mig("MIG-a", 3, 1), mig("MIG-b", 4, 2))),
                managed(config=with_gpus("MIG-a")),
            ),
            limits(max_gpu_equivalents=0.5),
            [],
        ),
        (
            world(managed(), managed("alice", B)),
            limits(max_containers_per_user=1),
            [("over-gpu-quota", "alice")],
        ),
        # privileged opens every GPU, and holds the one that was asked for
        (
            world(managed(config=replace(with_gpus("0"), privileged=True))),
            limits(max_gpu_equivalents=1.0),
            [("privileged-gpu-container", "alice")],
        ),
        # a device that can't be told hides none of those that can
        (
            world(
                managed(config=replace(with_gpus("0", "1"), device_cgroup_rules=("c 195:77 rw",)))
            ),
            limits(max_gpu_equivalents=1.0),
            [("over-gpu-quota", "alice")],
        ),
        # a label alone accuses nobody
        (
            world(*(container(c, {"ds01.user": "alice"}, with_gpus("all")) for c in (A, B))),
            limits(max_gpu_equivalents=1.0, max_containers_per_user=1),
            [("unmanaged-container", "alice")] * 2,
        ),
        # an exemption from one finding is none from another
        (
            world(
                container(config=with_gpus("all"), mounts=(Mount("bind", "/home/alice", "/w"),)),
                path_owners={"/home/alice": ALICE},
            ),
            replace(
                limits(max_gpu_equivalents=1.0),
                exemptions=exempting("unmanaged-container").exemptions,
            ),
            [("over-gpu-quota", "alice")],
        ),
        # stopped, but within its hold time: still holds its GPU
        (
            world(
                managed(
                    config=replace(with_gpus("all"), cgroup_parent="ds01-student-alice.slice"),
                    state="exited",
                    finished_at=NOON - timedelta(minutes=5),
                )
            ),
            limits(max_gpu_equivalents=1.0, gpu_hold_after_stop_h=0.25),
            [("over-gpu-quota", "alice")],
        ),
        (
            world(
                managed(
                    config=with_gpus("all"), state="exited", finished_at=NOON - timedelta(hours=5)
                )
            ),
            limits(max_gpu_equivalents=1.0, gpu_hold_after_stop_h=0.25),
            [],
        ),
    ],
    ids=[
        "two",
        "shared",
        "strictest",
        "unlimited",
        "mig",
        "containers",
        "privileged",
        "unknown device",
        "label",
        "exempt",
        "held",
        "released",
    ],
)
def test_quota(snapshot: Snapshot, rules: Policy, expected: list[tuple[str, str | None]]) -> None:
    """GPU-equivalents are counted once a unit, whatever made the container."""
    assert found(snapshot, rules) == expected


@pytest.mark.parametrize(
    ("age_s", "memory", "recording", "new"),
    [
        (3600, None, False, False),
        (30, None, False, True),
        (3600, 0, False, True),
        (3600, 1, False, True),
        (3600, 2, False, False),
        (3600, 1, True, False),
        (30, 5, True, True),
    ],
)
def test_new(age_s: int, memory: int | None, recording: bool, new: bool) -> None:
    """A finding is new while too young, or seen in too few recorded scans."""
    host = world(process(started_at=NOON - timedelta(seconds=age_s)), use())
    key = ("host-gpu-process", "process", "boot-1", "100", "5100")
    known = None if memory is None else {key: Seen(HOUR_AGO, memory)} if memory else {}
    [finding] = decide(host, builtin_policy(), NOON, known, recording=recording).findings
    assert finding.key == key
    assert finding.new is new


def test_a_reused_pid_is_another_finding() -> None:
    """The same pid with another start time does not inherit the age of the first."""
    one = decide(world(process(), use()), builtin_policy(), NOON).findings[0]
    two = decide(world(process(start_ticks=9), use()), builtin_policy(), NOON).findings[0]
    assert one.key != two.key


def test_a_restarted_container_is_another_finding() -> None:
    """The same id with another start does not inherit either."""
    one = decide(world(container()), builtin_policy(), NOON).findings[0]
    two = decide(world(container(started_at=NOON)), builtin_policy(), NOON).findings[0]
    assert one.key != two.key


def test_worst_first_and_infos_last() -> None:
    """The order is that of urgency."""
    host = world(gpu(0, health="lost"), container(), process(), use(), gpu(1))
    severities = [finding.severity for finding in decide(host, builtin_policy(), NOON).findings]
    assert severities == sorted(severities, key=["critical", "warning", "info"].index)
    assert severities[0] == "critical"
    assert severities[-1] == "info"
