"""Every layout of control groups that a GPU host may show, and the look-alikes."""

import pytest

from ds01ctl.core.cgroup_path import Place, classify, is_below, is_within

A = "a" * 64
B = "b" * 64
POD = "0a1b2c3d_4e5f_6a7b_8c9d_0e1f2a3b4c5d"


def container(runtime: str, name: str, **more: object) -> Place:
    return Place("container", runtime, name, **more)  # type: ignore[arg-type]


def host(runtime: str, name: str | None, **more: object) -> Place:
    return Place("host", runtime, name, **more)  # type: ignore[arg-type]


TABLE = [
    (f"/docker/{A}", container("docker", A)),
    (f"/system.slice/docker-{A}.scope", container("docker", A, slice="system.slice")),
    (
        f"/ds01.slice/ds01-student.slice/ds01-student-alice.slice/docker-{A}.scope",
        container("docker", A, slice="ds01-student-alice.slice"),
    ),
    (f"/ds01.slice/{A}", container("docker", A, slice="ds01.slice")),
    (f"/my-parent/{A}", container("docker", A)),
    (
        f"/user.slice/user-1001.slice/user@1001.service/user.slice/docker-{A}.scope",
        container("docker", A, uid=1001, slice="user.slice"),
    ),
    (f"/machine.slice/libpod-{A}.scope/container", container("podman", A, slice="machine.slice")),
    (
        f"/user.slice/user-7.slice/user@7.service/user.slice/libpod-{A}.scope/container",
        container("podman", A, uid=7, slice="user.slice"),
    ),
    (f"/libpod_parent/libpod-{A}", container("podman", A)),
    (f"/system.slice/cri-containerd-{A}.scope", container("containerd", A, slice="system.slice")),
    (
        f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{POD}.slice/crio-{A}.scope",
        container("kubernetes", A, pod=POD, slice=f"kubepods-burstable-pod{POD}.slice"),
    ),
    (
        f"/kubepods/besteffort/pod{POD.replace('_', '-')}/{A}",
        container("kubernetes", A, pod=POD.replace("_", "-")),
    ),
    (f"/system.slice/nerdctl-{A}.scope", container("nerdctl", A, slice="system.slice")),
    (f"/default/{A}", container("nerdctl", A)),
    (f"/system.slice:docker:{A}", container("docker", A)),
    ("/docker/buildkit/x1y2z3", container("buildkit", "x1y2z3")),
    ("/lxc.payload.web/init.scope", container("lxc", "web")),
    ("/lxc/web", container("lxc", "web")),
    (
        r"/machine.slice/machine-lab\x2done.scope",
        container("nspawn", "lab-one", slice="machine.slice"),
    ),
    (
        r"/machine.slice/machine-qemu\x2d1\x2dvm.scope",
        container("libvirt", "1-vm", slice="machine.slice"),
    ),
    (
        "/machine.slice/systemd-nspawn@lab.service/payload",
        container("nspawn", "lab", slice="machine.slice"),
    ),
    # nested: the outermost owns, the innermost is kept
    (f"/docker/{A}/docker/{B}", container("docker", A, inner_id=B)),
    (f"/lxc.payload.web/system.slice/docker-{B}.scope", container("lxc", "web", inner_id=B)),
    # what a path looks like from elsewhere, or after the end
    (f"/../../docker/{A}", container("docker", A)),
    (f"/docker/{A} (deleted)", container("docker", A)),
    # the host
    (
        "/user.slice/user-1001.slice/session-3.scope",
        host("session", "session-3.scope", uid=1001, slice="user-1001.slice"),
    ),
    (
        "/user.slice/user-1001.slice/user@1001.service/app.slice/run-u1.service",
        host("user-service", "run-u1.service", uid=1001, slice="app.slice"),
    ),
    (
        "/system.slice/docker.service",
        host("system-service", "docker.service", slice="system.slice"),
    ),
    (
        "/system.slice/slurmstepd.scope/job_42/step_0/user/task_0",
        host("slurm", "42", slice="system.slice"),
    ),
    ("/slurm/uid_1003/job_7/step_batch", host("slurm", "7", uid=1003)),
    ("/", host("other", None)),
    ("/init.scope", host("other", "init.scope")),
    # look-alikes
    (
        f"/system.slice/docker-{A[:63]}.scope",
        host("system-service", f"docker-{A[:63]}.scope", slice="system.slice"),
    ),
    (f"/docker/{A.upper()}", host("other", A.upper())),
    ("/docker", host("other", "docker")),
    (f"/system.slice/docker-{A}.scope.d", host("system-service", None, slice="system.slice")),
]


@pytest.mark.parametrize(("path", "expected"), TABLE, ids=[path[:60] for path, _ in TABLE])
def test_classify(path: str, expected: Place) -> None:
    """Each layout has one answer."""
    assert classify(path) == expected


@pytest.mark.parametrize(
    ("path", "below"),
    [
        ("/ds01.slice/ds01-student.slice/x", True),
        (f"/ds01.slice/docker-{A}.scope", True),
        ("/system.slice/ds01.slice/x", False),
        ("/ds01.slices/x", False),
        (f"/docker/{A}", False),
        ("/", False),
    ],
)
def test_is_below(path: str, below: bool) -> None:
    """Only the platform's own top-level slice counts."""
    assert is_below(path, "ds01.slice") is below


def test_is_within() -> None:
    """A sibling with a longer name is not inside."""
    assert is_within("/docker/a/b", "/docker/a")
    assert is_within("/docker/a", "/docker/a")
    assert not is_within("/docker/ab", "/docker/a")
