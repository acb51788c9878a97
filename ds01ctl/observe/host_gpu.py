"""Read the NVIDIA driver's surroundings: the bus, the nodes, the container toolkit."""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING

from ds01ctl.core.host_facts import FileFact, GpuFacts, Unread
from ds01ctl.observe import host_files
from ds01ctl.observe.host_systemd import tool

if TYPE_CHECKING:
    from ds01ctl.observe.nvml import NvmlReading
    from ds01ctl.paths import Paths

_NVIDIA = "0x10de"
_DISPLAY = "0x03"
"""PCI base class: VGA (0x0300) and 3D controllers (0x0302)."""
_VERSION = r"version:? v?(\d+(?:\.\d+)+)"
# a section in brackets, then `mode = "…"` in it; `#` begins a comment
_MODE = re.compile(r'\s*mode\s*=\s*"([^"]*)"')
_RUNTIME = "[nvidia-container-runtime]"


def read(reading: NvmlReading, paths: Paths) -> GpuFacts:
    """Join what NVML said with what lies around it."""
    nodes = _nodes(paths)
    return GpuFacts(
        on_bus=_on_bus(paths),
        driver=reading.driver.version,
        driver_error=reading.driver.error,
        gpus=reading.gpus,
        gaps=reading.gaps,
        nodes=tuple(found for found, _ in nodes),
        unlinked=tuple(found.path for found, device in nodes if not _is_linked(device, paths)),
        toolkit=_toolkit(),
        mode=_mode(paths),
        cdi_specs=_specs(paths),
    )


def _on_bus(paths: Paths) -> int:
    """Count NVIDIA's display controllers; its audio and USB functions do not count."""
    found = 0
    for device in host_files.matching(paths.under("/sys/bus/pci/devices"), "*"):
        if host_files.line(device / "vendor") == _NVIDIA:
            found += (host_files.line(device / "class") or "").startswith(_DISPLAY)
    return found


def _nodes(paths: Paths) -> list[tuple[FileFact, int]]:
    """List the character devices /dev/nvidia*, with their device numbers."""
    found = []
    for path in host_files.matching(paths.dev, "nvidia*"):
        try:
            status = path.stat()
        except OSError:
            continue
        if stat.S_ISCHR(status.st_mode):
            found.append((host_files.of(path, status), status.st_rdev))
    return found


def _is_linked(device: int, paths: Paths) -> bool:
    name = f"{os.major(device)}:{os.minor(device)}"
    return os.path.lexists(paths.dev / "char" / name)


def _toolkit() -> tuple[int, ...] | Unread:
    """Ask both of the toolkit's tools; the older version counts."""
    told = [
        tool(["nvidia-ctk", "--version"]),
        tool(["nvidia-container-cli", "--version"]),
    ]
    versions = [found for one in told if isinstance(one, str) and (found := version_of(one))]
    if versions:
        return min(versions)
    failed = [one for one in told if isinstance(one, Unread) and one.kind != "absent"]
    if failed:
        return failed[0]
    if any(isinstance(one, str) for one in told):
        return Unread("failed", "nvidia-ctk --version: not understood")
    return Unread("absent", "nvidia-ctk: not found")


def version_of(told: str) -> tuple[int, ...] | None:
    """Read ``NVIDIA Container Toolkit CLI version 1.17.8`` and ``cli-version: 1.17.8``."""
    match = re.search(_VERSION, told)
    return tuple(int(part) for part in match[1].split(".")) if match else None


def _mode(paths: Paths) -> str | None:
    text = host_files.text(paths.under("/etc/nvidia-container-runtime/config.toml"))
    return None if isinstance(text, Unread) else mode_of(text)


def mode_of(text: str) -> str | None:
    """Find ``mode`` in the section of the runtime; a comment or another section's is not it."""
    section = ""
    for line in text.splitlines():
        if line.strip().startswith("["):
            section = line.partition("#")[0].strip()
        elif section == _RUNTIME and (match := _MODE.match(line)):
            return match[1]
    return None


def _specs(paths: Paths) -> tuple[str, ...]:
    """List CDI specification files that are about NVIDIA's devices."""
    places = (paths.under("/etc/cdi"), paths.under("/run/cdi"))
    files = [path for place in places for path in host_files.matching(place, "*")]
    return tuple(
        str(path)
        for path in files
        if path.suffix in {".yaml", ".json"} and "nvidia.com/" in (host_files.line(path) or "")
    )
