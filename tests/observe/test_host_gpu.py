"""What lies around the NVIDIA driver: the bus, the nodes, the container toolkit."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ds01ctl.core.host_facts import Unread
from ds01ctl.core.model import Driver
from ds01ctl.observe import host_gpu
from ds01ctl.observe.nvml import NvmlReading
from ds01ctl.paths import Paths
from tests.observe.fake_tools import Tools

NOTHING = NvmlReading(Driver(), (), (), ())
CTK = "NVIDIA Container Toolkit CLI version 1.17.8\ncommit: 6e8c0c1"
CLI = "cli-version: 1.16.2\nlib-version: 1.16.2\nbuild date: 2024-09-24T20:56+00:00"


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tools:
    made = Tools(tmp_path / "bin")
    made.use(monkeypatch)
    return made


def write(root: Path, path: str, text: str = "") -> Path:
    file = root / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    ("ctk", "cli", "toolkit"),
    [
        (CTK, None, (1, 17, 8)),
        (None, CLI, (1, 16, 2)),
        # the older of two counts: it is the one that runs for --gpus
        (CTK, CLI, (1, 16, 2)),
        ("version 1.18.0-rc.2", None, (1, 18, 0)),
        (None, None, Unread("absent", "nvidia-ctk: not found")),
        ("nothing of use", None, Unread("failed", "nvidia-ctk --version: not understood")),
    ],
)
def test_toolkit(
    tools: Tools, tmp_path: Path, ctk: str | None, cli: str | None, toolkit: object
) -> None:
    for name, text in (("nvidia-ctk", ctk), ("nvidia-container-cli", cli)):
        if text is not None:
            tools.says(name, text)
    assert host_gpu.read(NOTHING, Paths(tmp_path)).toolkit == toolkit


def test_a_toolkit_that_fails(tools: Tools, tmp_path: Path) -> None:
    tools.says("nvidia-ctk", "driver error", status=1)
    found = host_gpu.read(NOTHING, Paths(tmp_path)).toolkit
    assert found == Unread("failed", "nvidia-ctk: driver error")


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ('[nvidia-container-runtime]\nmode = "cdi"\n', "cdi"),
        ('[nvidia-container-runtime]\n# mode = "cdi"\nmode = "legacy"\n', "legacy"),
        ('[nvidia-container-runtime.modes.csv]\nmode = "x"\n', None),
        ('mode = "x"\n[nvidia-container-cli]\nmode = "y"\n', None),
        ('[nvidia-container-runtime] # the runtime\n  mode="auto"', "auto"),
        ("", None),
    ],
)
def test_mode(text: str, mode: str | None) -> None:
    assert host_gpu.mode_of(text) == mode


def test_bus_specs_and_mode(tools: Tools, tmp_path: Path) -> None:
    """A GPU has an audio function too; a spec of another vendor's devices does not count."""
    for slot, vendor, kind in (("0", "0x10de", "0x030200"), ("1", "0x10de", "0x040300"),
                               ("2", "0x1002", "0x030000")):  # fmt: skip
        write(tmp_path, f"/sys/bus/pci/devices/{slot}/vendor", f"{vendor}\n")
        write(tmp_path, f"/sys/bus/pci/devices/{slot}/class", f"{kind}\n")
    ours = write(tmp_path, "/run/cdi/nvidia.yaml", "kind: nvidia.com/gpu\n")
    write(tmp_path, "/etc/cdi/other.yaml", "kind: vendor.com/net\n")
    write(
        tmp_path,
        "/etc/nvidia-container-runtime/config.toml",
        '[nvidia-container-runtime]\nmode = "cdi"',
    )
    found = host_gpu.read(NOTHING, Paths(tmp_path))
    assert (found.on_bus, found.cdi_specs, found.mode) == (1, (str(ours),), "cdi")


def test_nodes(tools: Tools, tmp_path: Path) -> None:
    """Character devices only, with their modes; and which systemd cannot look up."""
    dev = tmp_path / "dev"
    (dev / "char").mkdir(parents=True)
    (dev / "nvidia-caps").mkdir()
    try:
        os.mknod(dev / "nvidia0", 0o020666, os.makedev(195, 0))
        os.mknod(dev / "nvidiactl", 0o020666, os.makedev(195, 255))
    except PermissionError:
        pytest.skip("making device nodes needs root")
    (dev / "nvidia0").chmod(0o660)
    (dev / "char/195:255").symlink_to("../nvidiactl")
    found = host_gpu.read(NOTHING, Paths(tmp_path))
    modes = {node.path: node.mode for node in found.nodes}
    assert modes[str(dev / "nvidia0")] == 0o660
    assert len(modes) == 2
    assert found.unlinked == (str(dev / "nvidia0"),)
