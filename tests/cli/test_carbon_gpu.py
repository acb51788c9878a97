"""Energy of GPUs from the driver to the report: whose it is, and what is wasted."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ds01ctl.paths import Paths
from ds01ctl.state import State
from tests.cli.carbon_host import ALICE, BOB, CarbonHost
from tests.cli.carbon_host import host as host
from tests.nvml.double import GIB, uuid

if TYPE_CHECKING:
    from tests.nvml.double import NvmlDouble


class Board:
    """The counters of one GPU, in a file that the double reads."""

    def __init__(self, path: Path) -> None:
        self.path, self.mj = path, 1_000_000
        self.use(0)

    def use(self, joules: int) -> None:
        self.mj += joules * 1000
        part = self.path.with_suffix(".part")
        part.write_text(f"{self.mj} 250000 400000\n")
        part.replace(self.path)


@pytest.fixture
def boards(host: CarbonHost, nvml: NvmlDouble, tmp_path: Path) -> list[Board]:
    """Three GPUs: the first is shared by two users, the second is one's, the third is nobody's."""
    found = [Board(tmp_path / f"gpu{index}") for index in range(3)]
    for index, board in enumerate(found):
        nvml.gpu(index, mem_used=GIB).energy(index, file=board.path)
    for pid, uid in ((101, ALICE), (102, BOB), (103, BOB)):
        host.world.process(pid, f"/user.slice/user-{uid}.slice/session-1.scope", uid=int(uid))
    nvml.process(0, 101).process(0, 102).process(1, 103)
    nvml.sample(0, 101, -200_000, sm=60).sample(0, 102, -200_000, sm=20)
    nvml.sample(1, 103, -200_000, sm=90)
    host.env |= nvml.env()
    host.policy("carbon: {zone: DE, pue: 1.0, kwh_metric: true}\n")
    return found


def test_a_shared_a_held_and_a_free_gpu(host: CarbonHost, boards: list[Board]) -> None:
    host.run("carbon", "sample")
    time.sleep(2)
    for board in boards:
        board.use(500)
    document = host.json("carbon", "sample")
    on_gpus = [one for one in document["data"]["portions"] if one["component"] == "gpu"]
    found = {(one["user"], one["device"]): one for one in on_gpus}
    assert found[ALICE, uuid(0)]["joules"] == pytest.approx(375)
    assert found[BOB, uuid(0)]["joules"] == pytest.approx(125)
    assert found[ALICE, uuid(0)]["split_by"] == "sm-use"
    assert found[BOB, uuid(1)]["split_by"] == "exclusive"
    assert found["_unattributed", uuid(2)]["joules"] == 500
    shown = host.metrics()
    assert shown[f'ds01_energy_joules_total{{basis="measured",component="gpu",user="{BOB}"}}'] == (
        625
    )
    kwh = [value for name, value in shown.items() if name.startswith("ds01_gpu_energy_kwh_total")]
    assert kwh == [0, 0, 0, 0]
    data = host.json("carbon", "report", "--by", "gpu")["data"]
    rows = {row["name"]: row["gpu_kwh"] for row in data["periods"][0]["rows"]}
    assert rows == {uuid(n): pytest.approx(500 / 3.6e6) for n in range(3)}
    check = host.json("carbon", "check")["data"]
    assert check["gpus"] == 3
    assert sum(one["component"] == "gpu" for one in check["counters"]) == 3


def test_a_gpu_that_is_held_and_does_nothing_is_waste(
    host: CarbonHost, nvml: NvmlDouble, tmp_path: Path
) -> None:
    board = Board(tmp_path / "gpu0")
    nvml.gpu(0, mem_used=GIB).energy(0, file=board.path).process(0, 101)
    host.world.process(101, f"/user.slice/user-{ALICE}.slice/session-1.scope", uid=int(ALICE))
    host.env |= nvml.env()
    host.run("carbon", "sample")
    time.sleep(2)
    board.use(100)
    host.run("carbon", "sample")
    time.sleep(1)
    board.use(200)
    data = host.json("carbon", "sample")["data"]
    (gpu,) = [one for one in data["portions"] if one["component"] == "gpu"]
    assert (gpu["user"], gpu["is_waste"], gpu["holder"]) == (ALICE, True, ALICE)
    rows = host.json("carbon", "report")["data"]["periods"][0]["rows"]
    (alice,) = [row for row in rows if row["name"] == ALICE]
    assert alice["waste_kwh"] > 0


def test_a_gpu_without_a_counter_is_modelled_from_its_power(
    host: CarbonHost, nvml: NvmlDouble, tmp_path: Path
) -> None:
    board = Board(tmp_path / "gpu0")
    nvml.gpu(0).energy(0, supported=False, file=board.path).process(0, 101)
    host.world.process(101, f"/user.slice/user-{ALICE}.slice/session-1.scope", uid=int(ALICE))
    host.env |= nvml.env()
    host.run("carbon", "sample")
    time.sleep(1)
    data = host.json("carbon", "sample")["data"]
    (gpu,) = [one for one in data["counters"] if one["component"] == "gpu"]
    assert (gpu["basis"], gpu["reason"]) == ("modelled", "power")
    assert gpu["joules"] == pytest.approx(250 * gpu["seconds"], rel=1e-3)
    assert host.metrics()["ds01_carbon_modelled_intervals_total"] == 1
    out = host.run("carbon", "report").out
    assert "modelled: gpu by power" in out
    assert "power only: integrated, modelled" in host.run("carbon", "check").out


def test_the_making_of_gpus_is_charged_while_nobody_can_see_them(
    host: CarbonHost, boards: list[Board], nvml: NvmlDouble
) -> None:
    """To nobody, and to no less than all of it."""
    host.policy("carbon: {zone: DE, embodied: {gpu_kg: 150, server_kg: 300, lifetime_h: 43800}}\n")
    host.run("carbon", "sample")
    time.sleep(1)
    seconds = host.json("carbon", "sample")["data"]["seconds"]
    nvml.fault("nvmlInit", 999)
    time.sleep(1)
    seconds += host.json("carbon", "sample")["data"]["seconds"]
    expected_ug = (3 * 150 + 300) * 1e9 * seconds / (43800 * 3600)
    assert embodied_ug(host) == pytest.approx(expected_ug, rel=1e-3)


def embodied_ug(host: CarbonHost) -> int:
    with State.open_for_recording(Paths(host.root)) as state:
        carbon = state.energy_totals().carbon
    return sum(ug for (_, scope), ug in carbon.items() if scope == "embodied")
