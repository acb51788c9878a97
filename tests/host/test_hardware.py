"""The hardware that a test gives the host is what the kernel and the loader see."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.host.host import Host


def test_energy_counters(host: Host) -> None:
    zone = {"name": "package-0", "energy_uj": 12, "max_energy_range_uj": 262143328850}
    host.powercap({"intel-rapl:0": zone})
    host.powercap({"intel-rapl:0": {"energy_uj": 34}})
    assert host.ok("cat /sys/class/powercap/intel-rapl:0/{name,energy_uj}") == "package-0\n34\n"
    assert host.ok("stat -c %a /sys/class/powercap/intel-rapl:0/energy_uj") == "400\n"
    host.clean()
    assert host.ok("ls /sys/class/powercap") == ""


@pytest.mark.parametrize("kind", ["xfs", "ext4"])
def test_quotas_hold(host: Host, kind: str) -> None:
    """A user's hard limit is enforced by the kernel."""
    place = host.disk(kind)
    host.user("alice")
    host.ok(f"chmod 1777 {place}; setquota -u alice 0 1024 0 0 {place}")
    write = f"su alice -c 'dd if=/dev/zero of={place}/file bs=64k count=64 conv=fsync'"
    assert "Disk quota exceeded" in host.run(write).err
