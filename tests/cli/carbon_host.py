"""A host of the test's own whose energy counters and control groups a test writes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import Host
from tests.observe.energy_world import EnergyWorld

if TYPE_CHECKING:
    from collections.abc import Mapping

RANGE_UJ = 65532610987
J = 1_000_000
# a test uses in a second what takes a minute elsewhere, but never enough to pass a range twice
WATTS = "max_watts: {package: 8000, dram: 8000}"
POLICY = f"carbon: {{zone: DE, pue: 1.5, {WATTS}}}\n"
ALICE, BOB = "61001", "61002"
"""Uids without a name: such a user is told by the number."""


class CarbonHost(Host):
    """One package, its memory, and the slices of two users; nothing was used yet."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        (root / "proc").unlink()
        self.world = EnergyWorld(root)
        self.metrics_path = root / "var/lib/prometheus/node-exporter/ds01_carbon.prom"
        self.policy(POLICY)
        self.cpu_j, self.dram_j, self.cpu_s = 1000.0, 100.0, dict.fromkeys((ALICE, BOB), 0.0)
        self._write()

    def work(self, cpu_j: float, seconds: Mapping[str, float], dram_j: float = 0.0) -> None:
        """Let energy be used, and each user have so many seconds of processor time."""
        self.cpu_j += cpu_j
        self.dram_j += dram_j
        for uid, more in seconds.items():
            self.cpu_s[uid] = self.cpu_s.get(uid, 0.0) + more
        self._write()

    def _write(self) -> None:
        world = self.world
        world.zone("intel-rapl:0", "package-0", int(self.cpu_j * J) % RANGE_UJ)
        world.zone("intel-rapl:0:0", "dram", int(self.dram_j * J) % RANGE_UJ)
        whole = sum(self.cpu_s.values())
        world.group("/user.slice", int(whole * 1e6), 2 << 30)
        for uid, seconds in self.cpu_s.items():
            world.group(f"/user.slice/user-{uid}.slice", int(seconds * 1e6), 1 << 30)
        world.host(int(whole * 1e6) + 1_000_000, 3 << 30)

    def metrics(self) -> dict[str, float]:
        """Read every series of the file."""
        lines = self.metrics_path.read_text().splitlines()
        split = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in split}


@pytest.fixture
def host(tmp_path: Path) -> CarbonHost:
    """A host on which energy can be counted."""
    return CarbonHost(tmp_path / "root")
