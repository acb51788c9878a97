"""Judge the NVIDIA driver, the container toolkit, and what a daemon-reload would cost here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ds01ctl.core.doctor_row import absent, count, fine, problem, unknown, warning, words
from ds01ctl.core.host_facts import Unread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ds01ctl.core.doctor_row import Row
    from ds01ctl.core.host_facts import DockerFacts, GpuFacts, HostFacts

_AREA = "gpu"
Risk = Literal["none", "lost", "mixed", "unknown", "no-gpus"]
SAFE_TOOLKIT = (1, 18)
"""From here on CDI is what the runtime uses by itself (container-toolkit #1227)."""
_CVE_2025_23266 = (1, 17, 8)
_CVE_2024_0132 = (1, 16, 2)
_UPGRADE = (
    "apt-get update && apt-get install --only-upgrade nvidia-container-toolkit"
    " nvidia-container-toolkit-base libnvidia-container-tools libnvidia-container1"
)
_CURES = (
    "nvidia-container-toolkit 1.18 or newer, in CDI mode, with default-runtime nvidia; or start"
    " containers with --device /dev/nvidia0 --device /dev/nvidiactl --device /dev/nvidia-uvm;"
    ' or, in daemon.json, "exec-opts": ["native.cgroupdriver=cgroupfs"]'
)
_REBOOT = {"LIB_RM_VERSION_MISMATCH"}


def rows(facts: HostFacts) -> Iterator[Row]:
    """Make the rows of the GPUs."""
    gpu = facts.gpu
    yield _driver(gpu)
    if gpu.gpus:
        yield _health(gpu)
        yield _persistence(gpu)
        yield _compute_mode(gpu)
    if gpu.nodes:
        yield _nodes(gpu)
        yield _links(facts)
    yield _toolkit(facts)
    if not isinstance(gpu.toolkit, Unread):
        yield fine(_AREA, "toolkit mode", _mode(gpu))
    yield _reload(facts)


def _driver(gpu: GpuFacts) -> Row:
    gap = next(iter(gpu.gaps), None)
    if gpu.driver_error is None and gap is None:
        found = f"{gpu.driver or 'version unknown'}, {count(len(gpu.gpus), 'GPU')}"
        return fine(_AREA, "driver", found)
    if gap is not None and gap.kind == "absent":
        if not gpu.on_bus:
            return absent(_AREA, "driver", "no NVIDIA GPU in this machine, and no driver")
        return problem(
            _AREA, "driver", f"{count(gpu.on_bus, 'NVIDIA GPU')} on the PCI bus, and no driver",
            "nobody can use them", "apt-get install nvidia-driver (Ubuntu: ubuntu-drivers install)",
            reboot=True,
        )  # fmt: skip
    reason = gap.reason if gap is not None else str(gpu.driver_error)
    if gpu.driver_error in _REBOOT:
        why = "no new CUDA program starts; those that run keep their GPU until the reboot"
        return problem(_AREA, "driver", reason, why, "reboot", reboot=True)
    if gpu.driver_error == "DRIVER_NOT_LOADED":
        why = "nobody can use the GPUs"
        return problem(_AREA, "driver", reason, why, "modprobe nvidia && dmesg | tail -n 50")
    kind = gap.kind if gap is not None else "failed"
    fix = None if kind == "denied" else "timeout 20 nvidia-smi; dmesg | grep -i -e nvrm -e xid"
    return unknown(_AREA, "driver", Unread(kind, reason), fix)


def _health(gpu: GpuFacts) -> Row:
    ill = [f"GPU {one.index}: {one.error or one.health}" for one in gpu.gpus if one.health != "ok"]
    if not ill:
        return fine(_AREA, "health", "all answer")
    return problem(
        _AREA, "health", "; ".join(ill), "work on it fails or hangs",
        "dmesg | grep -i xid; then drain the GPU and reset it: nvidia-smi --gpu-reset -i N",
    )  # fmt: skip


def _persistence(gpu: GpuFacts) -> Row:
    off = [str(one.index) for one in gpu.gpus if one.persistence_mode is False]
    if not off:
        return fine(_AREA, "persistence", "on")
    return warning(
        _AREA, "persistence", f"off on GPU {', '.join(off)}",
        "each look at an idle GPU takes seconds to wake it, and its compute mode is forgotten",
        "systemctl enable --no-reload nvidia-persistenced && systemctl start nvidia-persistenced"
        " (until the next boot: nvidia-smi -pm 1)",
    )  # fmt: skip


def _compute_mode(gpu: GpuFacts) -> Row:
    modes = sorted({one.compute_mode or "unknown" for one in gpu.gpus})
    if "Prohibited" not in modes:
        return fine(_AREA, "compute mode", ", ".join(modes))
    barred = [str(one.index) for one in gpu.gpus if one.compute_mode == "Prohibited"]
    return warning(
        _AREA, "compute mode", f"Prohibited on GPU {', '.join(barred)}",
        "no CUDA program can use it", f"nvidia-smi -i {','.join(barred)} -c DEFAULT",
    )  # fmt: skip


def _nodes(gpu: GpuFacts) -> Row:
    names = {node.path.rpartition("/")[2] for node in gpu.nodes}
    if "nvidia-uvm" not in names:
        return warning(
            _AREA, "device nodes", "no /dev/nvidia-uvm",
            "CUDA in a container fails until somebody on the host has used it",
            "nvidia-modprobe -u -c=0",
        )  # fmt: skip
    closed = [node for node in gpu.nodes if node.mode & 0o666 != 0o666 and "caps" not in node.path]
    if not closed:
        return fine(_AREA, "device nodes", f"{len(gpu.nodes)}, open to all")
    return warning(
        _AREA, "device nodes", f"{closed[0].path} has mode {closed[0].mode:04o}, not 0666",
        "who may use GPUs is decided by containers; this also bars the drivers' own tools",
        f"chmod 0666 {words(*(node.path for node in closed))};"
        " for good: /etc/modprobe.d/nvidia-permissions.conf",
    )  # fmt: skip


def _links(facts: HostFacts) -> Row:
    gpu = facts.gpu
    if not gpu.unlinked:
        return fine(_AREA, "/dev/char links", "there for every node")
    if _cgroup_driver(facts.docker) == "cgroupfs":
        return absent(_AREA, "/dev/char links", "none, and not needed with cgroupfs")
    return warning(
        _AREA, "/dev/char links", f"missing for {', '.join(gpu.unlinked[:3])}",
        "systemd cannot allow a device that it cannot look up: --device then loses it too",
        "nvidia-ctk system create-dev-char-symlinks --create-all",
    )  # fmt: skip


def _toolkit(facts: HostFacts) -> Row:
    toolkit, check = facts.gpu.toolkit, "container toolkit"
    if isinstance(toolkit, Unread):
        if toolkit.kind != "absent":
            return unknown(_AREA, check, toolkit, "timeout 10 nvidia-ctk --version")
        if not facts.gpu.gpus or isinstance(facts.docker.engine, Unread):
            return absent(_AREA, check, "not installed")
        return warning(
            _AREA, check, "not installed", "no container can be given a GPU",
            "apt-get install nvidia-container-toolkit (from NVIDIA's own repository)",
        )  # fmt: skip
    found = ".".join(map(str, toolkit))
    if toolkit >= _CVE_2025_23266:
        return fine(_AREA, check, found)
    flaws = ["CVE-2025-23266 (fixed in 1.17.8)"]
    if toolkit < _CVE_2024_0132:
        flaws.append("CVE-2024-0132 (fixed in 1.16.2)")
    return problem(
        _AREA, check, f"{found}: {', '.join(flaws)}",
        "an image that somebody else made can become root on this host", _UPGRADE,
    )  # fmt: skip


def _mode(gpu: GpuFacts) -> str:
    mode = gpu.mode or "auto"
    if mode == "auto":
        told = "auto: CDI" if is_cdi(gpu) else "auto: the legacy hook"
    else:
        told = "CDI" if is_cdi(gpu) else mode
    specs = f"; specs: {', '.join(gpu.cdi_specs)}" if gpu.cdi_specs else "; no CDI spec files"
    return told + specs


def is_cdi(gpu: GpuFacts) -> bool:
    """Tell whether the NVIDIA runtime injects devices by CDI, so that systemd knows of them."""
    if isinstance(gpu.toolkit, Unread):
        return False
    mode = gpu.mode or "auto"
    return mode in {"cdi", "jit-cdi"} or (mode == "auto" and gpu.toolkit >= SAFE_TOOLKIT)


def _cgroup_driver(docker: DockerFacts) -> str | None:
    """Give Docker's cgroup driver: its own word, else that of its configuration."""
    if not isinstance(docker.engine, Unread):
        return docker.engine.cgroup_driver or None
    if isinstance(docker.config, Unread):
        return None
    options = docker.config.settings.get("exec-opts")
    for option in options if isinstance(options, list) else ():
        name, _, value = str(option).partition("=")
        if name == "native.cgroupdriver":
            return value
    return None


def reload_risk(facts: HostFacts) -> Risk:
    """Say what a daemon-reload does to containers that have GPUs on this host.

    Measured with a stand-in for the hook: systemd 252, control groups v2, Docker's systemd driver.
    """
    gpu = facts.gpu
    if not (gpu.gpus or gpu.nodes or gpu.on_bus):
        return "no-gpus"
    driver = _cgroup_driver(facts.docker)
    if driver == "cgroupfs" or not facts.systemd.is_init:
        return "none"
    if isinstance(gpu.toolkit, Unread):
        return "none" if gpu.toolkit.kind == "absent" else "unknown"
    if not is_cdi(gpu) or gpu.toolkit < SAFE_TOOLKIT:
        return "lost" if driver else "unknown"
    if isinstance(facts.docker.engine, Unread):
        return "unknown"
    return "none" if facts.docker.engine.default_runtime.startswith("nvidia") else "mixed"


def _reload(facts: HostFacts) -> Row:
    check, risk = "daemon-reload", reload_risk(facts)
    if risk == "no-gpus":
        return absent(_AREA, check, "no GPU that a container could lose")
    if risk == "none":
        return fine(_AREA, check, "costs no container its GPU")
    running = 0 if isinstance(facts.docker.engine, Unread) else facts.docker.engine.running
    why = (
        "package upgrades reload, and so does docker update: 'Failed to initialize NVML: Unknown"
        f" Error' in running work; now running: {count(running, 'container')}"
    )
    if risk == "unknown":
        gap = Unread("failed", "cannot tell: the engine or the toolkit did not answer")
        return unknown(_AREA, check, gap, f"if it matters, take a cure: {_CURES}")
    found = "takes running containers' GPUs away"
    if risk == "mixed":
        found = "takes the GPU of a container that was started by --gpus without --runtime=nvidia"
        why += "; --gpus by itself goes through the hook, whatever the mode"
    return warning(_AREA, check, found, why, f"cures: {_CURES}")
