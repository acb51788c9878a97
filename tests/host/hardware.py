"""Hardware that the guest does not have: GPUs, energy counters, disks with quotas."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.host.machine import Machine
    from tests.nvml.double import NvmlDouble

    Undo = Callable[[Callable[[], object]], object]

_LIBRARY = "/usr/local/lib/libnvidia-ml.so.1"
SCENARIO = "/etc/fake-nvml.scenario"
POWERCAP = "/sys/class/powercap"
_MAKE = {
    "xfs": "mkfs.xfs -q -f",
    "ext4": "mke2fs -q -F -t ext4 -O quota,project -E quotatype=usrquota:grpquota:prjquota",
}
_OPTIONS = {"xfs": "uquota,gquota,pquota", "ext4": "usrquota,grpquota,prjquota"}


def set_gpus(machine: Machine, nvml: NvmlDouble, undo: Undo) -> None:
    """Let every program that starts from now on find these GPUs, root's shell and services.

    The loader finds the library as it finds a driver's; systemd hands on where the scenario is.
    """
    env = nvml.env()
    machine.put(Path(env["LD_LIBRARY_PATH"]) / "libnvidia-ml.so.1", _LIBRARY)
    machine.put(Path(env["FAKE_NVML_SCENARIO"]).read_text(), SCENARIO)
    machine.ok(f"ldconfig; systemctl set-environment FAKE_NVML_SCENARIO={SCENARIO}")
    undo(lambda: machine.run(f"rm -f {_LIBRARY} {SCENARIO}; ldconfig"))
    undo(lambda: machine.run("systemctl unset-environment FAKE_NVML_SCENARIO"))


def set_powercap(machine: Machine, zones: Mapping[str, Mapping[str, object]], undo: Undo) -> None:
    """Put zones of RAPL where the kernel has them: name of the zone, then its files.

    ``{"intel-rapl:0": {"name": "package-0", "energy_uj": 5, "max_energy_range_uj": 262143328850}}``
    """
    if machine.run(f"mountpoint -q {POWERCAP}").status:
        machine.ok(f"mount -t tmpfs -o mode=755 tmpfs {POWERCAP}")
        undo(lambda: machine.run(f"umount {POWERCAP}"))
    for zone, files in zones.items():
        for name, value in files.items():
            # as the kernel has it since 2020: root's alone
            mode = 0o400 if name == "energy_uj" else 0o444
            machine.put(f"{value}\n", f"{POWERCAP}/{zone}/{name}", mode=mode)


def mount_disk(machine: Machine, kind: str, options: str, undo: Undo) -> str:
    """Make a file system with quotas on one of the blank disks; return where it is mounted."""
    device = {"xfs": "/dev/vdb", "ext4": "/dev/vdc"}[kind]
    place = f"/srv/{kind}"
    machine.ok(f"mkdir -p {place}; {_MAKE[kind]} {device}")
    machine.ok(f"mount -t {kind} -o {options or _OPTIONS[kind]} {device} {place}")
    undo(lambda: machine.run(f"umount --lazy {place}; rmdir {place}"))
    return place
