"""Every way a container can get a GPU, resolved to UUIDs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ds01ctl.core.gpu_access import GpuAccess, gpu_access, units
from ds01ctl.core.model import ContainerConfig, DeviceRequest, Gpu, MigDevice

if TYPE_CHECKING:
    from collections.abc import Set

MIG_A = MigDevice("MIG-a", 1, 0, "3g.20gb", 3)
MIG_B = MigDevice("MIG-b", 2, 0, "4g.20gb", 4)
GPUS = (
    Gpu(0, "GPU-0000aaaa", minor=3),
    Gpu(1, "GPU-1111bbbb", minor=2),
    Gpu(2, "GPU-1111cccc", minor=1, mig_mode=True, mig_devices=(MIG_A, MIG_B)),
)
G0, G1 = frozenset({"GPU-0000aaaa"}), frozenset({"GPU-1111bbbb"})
MIGS = frozenset({"MIG-a", "MIG-b"})
ALL = G0 | G1 | MIGS


def config(**fields: Any) -> ContainerConfig:
    defaults: dict[str, Any] = {"runtime": "runc", "privileged": False}
    return ContainerConfig(**defaults | fields)


def request(count: int = 0, *ids: str, driver: str = "", caps: tuple[str, ...] = ("gpu",)) -> Any:
    return (DeviceRequest(driver, count, ids, caps),)


def cdi(*ids: str) -> Any:
    return request(0, *ids, driver="cdi", caps=())


def env(value: str | None, runtime: str = "nvidia") -> ContainerConfig:
    return config(runtime=runtime, visible_devices=value)


ACCESS: dict[str, tuple[ContainerConfig, str, Set[str]]] = {
    "--gpus all": (config(device_requests=request(-1)), "device-request", ALL),
    "--gpus 2": (config(device_requests=request(2)), "device-request", G0 | G1),
    "--gpus 3": (config(device_requests=request(3)), "device-request", ALL),
    "device=1": (config(device_requests=request(0, "1")), "device-request", G1),
    "device=UUID": (config(device_requests=request(0, *G1)), "device-request", G1),
    "short UUID": (config(device_requests=request(0, "GPU-1111b")), "device-request", G1),
    "MIG UUID": (config(device_requests=request(0, "MIG-b")), "device-request", {"MIG-b"}),
    "old MIG name": (
        config(device_requests=request(0, "MIG-GPU-1111cccc/1/0")),
        "device-request",
        {"MIG-a"},
    ),
    "GPU:MIG": (config(device_requests=request(0, "2:1")), "device-request", {"MIG-b"}),
    "a split GPU": (config(device_requests=request(0, "2")), "device-request", MIGS),
    "driver nvidia": (
        config(device_requests=request(1, driver="nvidia", caps=("compute",))),
        "device-request",
        G0,
    ),
    "cdi index": (config(device_requests=cdi("nvidia.com/gpu=1")), "cdi", G1),
    "cdi all": (config(device_requests=cdi("nvidia.com/gpu=all")), "cdi", ALL),
    "cdi mig": (config(device_requests=cdi("nvidia.com/gpu=2:0")), "cdi", {"MIG-a"}),
    "cdi typed": (config(device_requests=cdi("nvidia.com/gpu=mig2:0")), "cdi", {"MIG-a"}),
    "cdi uuid": (config(device_requests=cdi("nvidia.com/gpu=GPU-0000aaaa")), "cdi", G0),
    "cdi managed": (config(device_requests=cdi("management.nvidia.com/gpu=all")), "cdi", ALL),
    "podman --device": (config(devices=("nvidia.com/gpu=0",)), "cdi", G0),
    "env all": (env("all"), "runtime", ALL),
    "env list": (env("0, GPU-1111bbbb,2:1"), "runtime", G0 | G1 | {"MIG-b"}),
    "env cdi name": (env("nvidia.com/gpu=1"), "runtime", G1),
    "env, nvidia-cdi": (env("0", "nvidia-cdi"), "runtime", G0),
    "node": (config(devices=("/dev/nvidiactl", "/dev/nvidia3")), "device", G0),
    "node, written oddly": (config(devices=("//dev/../dev/nvidia3",)), "device", G0),
    "node by number": (config(devices=("/dev/char/195:2",)), "device", G1),
    "all of /dev": (config(devices=("/dev/",)), "device", ALL),
    "rule": (config(device_cgroup_rules=("c 195:2 rw",)), "device-rule", G1),
    "rule for the major": (config(device_cgroup_rules=("c 195:* rwm",)), "device-rule", ALL),
    "rule for everything": (config(device_cgroup_rules=("a *:* rwm",)), "device-rule", ALL),
    "privileged": (config(privileged=True), "privileged", ALL),
}

NO_ACCESS = {
    "nothing": config(),
    "default-runtime nvidia": config(runtime="nvidia"),
    "env empty": env(""),
    "env void": env("void"),
    "env none": env("none"),
    "env without the runtime": env("all", "runc"),
    "runtime of a like name": env("all", "nvidiafake"),
    "count 0": config(device_requests=request(0)),
    "amd": config(device_requests=request(-1, driver="amd")),
    "other capability": config(device_requests=request(-1, caps=("tpu",))),
    "other cdi": config(device_requests=request(0, "vendor.com/net=0", driver="cdi")),
    "control nodes": config(devices=("/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-modeset")),
    "null": config(devices=("/dev/null", "/dev/nvidia", "/dev/nvidia0x")),
    "block rule": config(device_cgroup_rules=("b 195:* rwm",)),
    "mknod rule": config(device_cgroup_rules=("c 195:* m",)),
    "control rule": config(device_cgroup_rules=("c 195:255 rw",)),
    "other rule": config(device_cgroup_rules=("c 10:200 rwm", "nonsense")),
}

UNKNOWN_DEVICES = {
    "index": config(device_requests=request(0, "9")),
    "count": config(device_requests=request(9)),
    "one of two": env("0,GPU-feed"),
    "ambiguous": env("GPU-1111"),
    "mig": env("2:7"),
    "minor": config(devices=("/dev/nvidia9",)),
    "capability": config(devices=("/dev/nvidia1", "/dev/nvidia-caps/nvidia-cap21")),
    "mounted list": env("/var/run/nvidia-container-devices"),
    "digits without end": env("9" * 5000),
    "a count without end": config(device_requests=request(10**12)),
}


@pytest.mark.parametrize("name", ACCESS)
def test_access(name: str) -> None:
    asked, form, uuids = ACCESS[name]
    access = gpu_access(asked, GPUS)
    assert access.forms == (form,)
    assert access.gpu_uuids == uuids
    assert len(access.evidence) == 1


@pytest.mark.parametrize("name", ACCESS)
def test_access_is_known_without_nvml(name: str) -> None:
    access = gpu_access(ACCESS[name][0], ())
    assert access.forms
    assert access.gpu_uuids is None
    assert units(access, ()) is None


@pytest.mark.parametrize("name", NO_ACCESS)
@pytest.mark.parametrize("gpus", [GPUS, ()])
def test_no_access(name: str, gpus: tuple[Gpu, ...]) -> None:
    assert gpu_access(NO_ACCESS[name], gpus) == GpuAccess((), frozenset(), ())


@pytest.mark.parametrize("name", UNKNOWN_DEVICES)
def test_what_cannot_be_resolved_is_unknown_not_nothing(name: str) -> None:
    access = gpu_access(UNKNOWN_DEVICES[name], GPUS)
    assert access.forms
    assert access.gpu_uuids is None
    assert "is no GPU that can be seen" in access.evidence[-1]
    assert max(len(line) for line in access.evidence) < 200


def test_a_request_replaces_the_variable() -> None:
    asked = config(runtime="nvidia", visible_devices="all", device_requests=request(0, "1"))
    assert gpu_access(asked, GPUS) == GpuAccess(("device-request",), G1, ("--gpus 1",), G1, G1)


def test_a_request_for_nothing_leaves_the_variable() -> None:
    asked = config(runtime="nvidia", visible_devices="0", device_requests=request(0))
    assert gpu_access(asked, GPUS).gpu_uuids == G0


def test_ways_add_up() -> None:
    asked = config(device_requests=request(1), devices=("/dev/nvidia2",))
    access = gpu_access(asked, GPUS)
    assert (access.forms, access.gpu_uuids) == (("device-request", "device"), G0 | G1)


def test_privileged_sees_all_whatever_was_asked() -> None:
    asked = config(device_requests=request(0, "GPU-gone"), privileged=True)
    access = gpu_access(asked, GPUS)
    assert access.forms == ("device-request", "privileged")
    assert access.gpu_uuids == ALL


EVERY = frozenset(ALL)


@pytest.mark.parametrize(
    ("asked", "uuids", "known", "explicit"),
    [
        (config(), frozenset(), frozenset(), frozenset()),
        (config(device_requests=request(1)), G0, G0, G0),
        (env("all"), EVERY, EVERY, EVERY),
        # a name that nothing here goes by: what is known is the least
        (env("0,GPU-feed"), None, G0, None),
        (config(device_requests=request(9)), None, EVERY, None),
        (config(device_requests=request(1), device_cgroup_rules=("c 195:77 rw",)), None, G0, None),
        # privileged gives what nobody asked for
        (config(privileged=True), EVERY, EVERY, frozenset()),
        (config(privileged=True, device_requests=request(1)), EVERY, EVERY, G0),
        (config(privileged=True, device_requests=request(-1)), EVERY, EVERY, EVERY),
        (config(privileged=True, device_requests=request(0, "GPU-gone")), EVERY, EVERY, None),
    ],
)
def test_what_is_known_and_what_was_asked_for(
    asked: ContainerConfig, uuids: Any, known: Any, explicit: Any
) -> None:
    access = gpu_access(asked, GPUS)
    assert (access.gpu_uuids, access.known_uuids, access.explicit_uuids) == (uuids, known, explicit)


@pytest.mark.parametrize(
    ("asked", "explicit"), [(config(privileged=True), frozenset()), (env("0"), None)]
)
def test_without_nvml_only_nothing_is_known(
    asked: ContainerConfig, explicit: frozenset[str] | None
) -> None:
    access = gpu_access(asked, ())
    assert (access.gpu_uuids, access.known_uuids) == (None, frozenset())
    assert access.explicit_uuids == explicit


@pytest.mark.parametrize(("from_image", "said"), [(True, True), (False, False), (None, False)])
def test_evidence_tells_who_set_the_variable(from_image: bool | None, said: bool) -> None:
    asked = config(runtime="nvidia", visible_devices="all", visible_devices_from_image=from_image)
    (line,) = gpu_access(asked, GPUS).evidence
    assert line.startswith("runtime nvidia with NVIDIA_VISIBLE_DEVICES=all")
    assert said == line.endswith("inherited from the image")


def test_a_lost_gpu_is_found_by_index() -> None:
    lost = (Gpu(0, "index:0", health="lost"),)
    assert gpu_access(env("0"), lost).gpu_uuids == frozenset({"index:0"})


@pytest.mark.parametrize(
    ("uuids", "expected"),
    [
        (frozenset(), 0),
        (G0, 1),
        (G0 | G1, 2),
        ({"MIG-a"}, 3 / 7),
        (MIGS, 1),
        # the GPU beside its own MIG devices adds nothing; alone it is all of them
        ({"GPU-1111cccc", "MIG-a"}, 3 / 7),
        ({"GPU-1111cccc"}, 1),
        (ALL, 3),
    ],
)
def test_units(uuids: Set[str], expected: float) -> None:
    access = GpuAccess(("device",), frozenset(uuids), ())
    assert units(access, GPUS) == pytest.approx(expected)


@pytest.mark.parametrize(("profile", "expected"), [("2g.10gb", 2 / 7), (None, None), ("?", None)])
def test_units_of_a_mig_device_without_slices(profile: str | None, expected: float | None) -> None:
    gpu = Gpu(0, "GPU-x", mig_mode=True, mig_devices=(MigDevice("MIG-x", 1, 0, profile, None),))
    access = gpu_access(env("all"), (gpu,))
    assert units(access, (gpu,)) == (pytest.approx(expected) if expected else None)
