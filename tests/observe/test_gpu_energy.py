"""The energy of GPUs: NVML's counters, read by the real binding in the real child."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ds01ctl.core.energy_counters import deltas
from ds01ctl.core.energy_model import Counter
from ds01ctl.observe.gpu_energy import GpuEnergyReading
from tests.nvml.double import GIB, NO_PERMISSION, NOT_SUPPORTED, UNKNOWN, uuid
from tests.observe.nvml_reading import COMPUTE, mig_host, run

if TYPE_CHECKING:
    from tests.nvml.double import NvmlDouble

PROGRAM = """
import pickle, sys
from pathlib import Path
from ds01ctl.observe import gpu_energy
from ds01ctl.paths import Paths
asked, deadline_s, root = pickle.load(sys.stdin.buffer), float(sys.argv[1]), Path(sys.argv[2])
with gpu_energy.start(asked) as child:
    reading = gpu_energy.collect(child, deadline_s=deadline_s, paths=Paths(root))
assert not {"ctypes", "pynvml"} & set(sys.modules), "the parent pays for the child's imports"
sys.stdout.buffer.write(pickle.dumps(reading))
"""
ENERGY = "nvmlDeviceGetTotalEnergyConsumption"
POWER = "nvmlDeviceGetPowerUsage"
RECORD = "nvmlDeviceGetProcessUtilization"
BOOT = "0e5c6b3e-0000-4000-8000-000000000001"
S = 1_000_000


@pytest.fixture
def root(tmp_path: Path) -> Path:
    below = tmp_path / "root"
    file = below / "proc/sys/kernel/random/boot_id"
    file.parent.mkdir(parents=True)
    file.write_text(f"{BOOT}\n")
    return below


def read(
    nvml: NvmlDouble, root: Path, asked: dict[str, int] | None = None, deadline_s: float = 20
) -> GpuEnergyReading:
    told = run(PROGRAM, deadline_s, root, env=nvml.env(), stdin=pickle.dumps(asked or {}))
    assert isinstance(told, GpuEnergyReading)
    return told


def by_name(reading: GpuEnergyReading) -> dict[str, Counter]:
    return {one.name: one for one in reading.counters}


def test_a_counter_for_each(nvml: NvmlDouble, root: Path) -> None:
    nvml.gpu(0, energy_mj=5_000_123, power_mw=250_500, power_limit_mw=400_000)
    nvml.gpu(1, energy_mj=7, persistence=0)
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    reading = read(nvml, root)
    after = time.clock_gettime(time.CLOCK_BOOTTIME)
    first = reading.counters[0]
    assert first.name == f"gpu:{uuid(0)}"
    assert (first.component, first.epoch) == ("gpu", BOOT)
    assert (first.uj, first.power_watts, first.max_watts) == (5_000_123_000, 250.5, 400.0)
    assert (first.has_counter, first.range_uj) == (True, None)
    assert before < first.at_s < reading.counters[1].at_s < after
    assert reading.without_persistence == (uuid(1),)
    assert reading.gaps == ()
    assert [gpu.uuid for gpu in reading.nvml.gpus] == [uuid(0), uuid(1)]


def test_a_card_without_counter(nvml: NvmlDouble, root: Path) -> None:
    """Its power is taken, and is marked as what it is."""
    nvml.gpus(2).energy(0, supported=False)
    found = by_name(read(nvml, root))
    old, new = found[f"gpu:{uuid(0)}"], found[f"gpu:{uuid(1)}"]
    assert (old.uj, old.has_counter, old.power_watts) == (None, False, 50.0)
    assert (new.has_counter, new.uj) == (True, S)


def test_a_driver_library_without_the_function(nvml: NvmlDouble, root: Path) -> None:
    nvml.gpu(0).hide(ENERGY)
    reading = read(nvml, root)
    assert [(one.uj, one.has_counter) for one in reading.counters] == [(None, False)]
    assert reading.gaps == ()


def test_a_card_that_tells_nothing(nvml: NvmlDouble, root: Path) -> None:
    nvml.gpu(0).fault(ENERGY, NOT_SUPPORTED).fault(POWER, NOT_SUPPORTED)
    reading = read(nvml, root)
    assert [(one.uj, one.power_watts) for one in reading.counters] == [(None, None)]
    assert [gap.kind for gap in reading.gaps] == ["absent"]


@pytest.mark.parametrize(("code", "kind"), [(UNKNOWN, "failed"), (NO_PERMISSION, "denied")])
def test_a_counter_that_fails_is_still_one(
    nvml: NvmlDouble, root: Path, code: int, kind: str
) -> None:
    """What it counts meanwhile is in its next reading: nothing is made of its power."""
    nvml.gpu(0).fault(ENERGY, code)
    reading = read(nvml, root)
    assert [(one.uj, one.has_counter) for one in reading.counters] == [(None, True)]
    assert [(gap.source, gap.kind) for gap in reading.gaps] == [("nvml", kind)]


def test_a_gpu_that_is_lost(nvml: NvmlDouble, root: Path) -> None:
    nvml.gpus(3).lost(1)
    reading = read(nvml, root)
    assert set(by_name(reading)) == {f"gpu:{uuid(0)}", f"gpu:{uuid(2)}"}
    assert [gpu.health for gpu in reading.nvml.gpus] == ["ok", "lost", "ok"]
    assert set(reading.records) == {uuid(0), uuid(2)}
    assert reading.gaps


def test_a_gpu_that_is_lost_between_two_calls(nvml: NvmlDouble, root: Path) -> None:
    nvml.gpus(2).lost(0, after=3)
    reading = read(nvml, root)
    assert f"gpu:{uuid(1)}" in by_name(reading)
    assert reading.gaps


def test_a_hang_costs_no_counter(nvml: NvmlDouble, root: Path) -> None:
    """Counters come first: they are kept, whatever hangs later."""
    nvml.gpus(2).hang(COMPUTE, gpu=1)
    reading = read(nvml, root, deadline_s=2)
    assert [one.uj for one in reading.counters] == [S, S]
    assert [gpu.processes_known for gpu in reading.nvml.gpus] == [True, False]
    assert reading.records == {}
    assert "no answer in 2 s" in reading.gaps[0].reason


def test_a_hang_of_a_counter(nvml: NvmlDouble, root: Path) -> None:
    nvml.gpus(2).hang(ENERGY, gpu=1)
    reading = read(nvml, root, deadline_s=2)
    assert set(by_name(reading)) == {f"gpu:{uuid(0)}"}
    assert ENERGY in reading.gaps[0].reason


def test_no_driver(nvml: NvmlDouble, root: Path) -> None:
    (root / "dev").mkdir()
    told = run(PROGRAM, 20, root, env={"LD_LIBRARY_PATH": str(root)}, stdin=pickle.dumps({}))
    assert isinstance(told, GpuEnergyReading)
    assert told.counters == ()
    assert [gap.kind for gap in told.gaps] == ["absent"]


def test_a_board_counts_once_however_it_is_split(nvml: NvmlDouble, root: Path) -> None:
    reading = read(mig_host(nvml), root)
    assert set(by_name(reading)) == {f"gpu:{uuid(0)}", f"gpu:{uuid(1)}"}
    assert reading.records[uuid(1)].problem
    assert len(reading.nvml.gpus[1].mig_devices) == 2


def test_a_load_of_the_driver_is_an_epoch(nvml: NvmlDouble, root: Path) -> None:
    """The counter that begins anew may soon be above what it was."""
    module = root / "sys/module/nvidia"
    module.mkdir(parents=True)
    nvml.gpu(0, energy_mj=1_000)
    first = read(nvml, root)
    assert first.counters[0].epoch.startswith(f"{BOOT}/")
    assert read(nvml, root).counters[0].epoch == first.counters[0].epoch
    module.rename(module.with_name("gone"))
    module.mkdir()
    nvml.gpu(0, energy_mj=1_500)
    second = read(nvml, root)
    assert second.counters[0].epoch != first.counters[0].epoch
    # with some time for it, as in the test next to none passes
    last = {n: c._replace(at_s=c.at_s - 60, awake_s=None) for n, c in by_name(first).items()}
    counted = deltas(last, second.counters)
    assert [(one.uj, one.reason) for one in counted.deltas] == [(1_500_000, "reset")]


def test_who_worked(nvml: NvmlDouble, root: Path) -> None:
    """Also a process that has ended since, which no list has."""
    nvml.gpu(0).process(0, 100, mem=GIB)
    for at, sm in ((-30, 90), (-20, 50), (-10, 40)):
        nvml.sample(0, 100, at=at * S, sm=sm)
    nvml.sample(0, 101, at=-25 * S, sm=70)
    record = read(nvml, root).records[uuid(0)]
    assert {pid: one.percent for pid, one in record.by_pid.items()} == {100: 60.0, 101: 70.0}
    ago_s = time.time() - record.by_pid[100].last_us / S
    assert 9 < ago_s < 40
    assert record.newest_us == record.by_pid[100].last_us
    since = record.by_pid[101].last_us + 2 * S
    later = read(nvml, root, {uuid(0): since}).records[uuid(0)]
    assert set(later.by_pid) == {100}


def test_nobody_worked(nvml: NvmlDouble, root: Path) -> None:
    nvml.gpu(0).process(0, 100)
    record = read(nvml, root).records[uuid(0)]
    assert (record.by_pid, record.newest_us, record.problem) == ({}, 0, "")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [({"sm": 0, "dec": 20}, 20.0), ({"sm": 101}, None), ({"sm": 0xFFFFFFFF}, None)],
)
def test_what_a_driver_may_say(
    nvml: NvmlDouble, root: Path, fields: dict[str, int], expected: float | None
) -> None:
    nvml.gpu(0).process(0, 100).sample(0, 100, at=-S, **fields)
    record = read(nvml, root).records[uuid(0)]
    assert bool(record.problem) is (expected is None)
    if expected is not None:
        assert record.by_pid[100].percent == expected


@pytest.mark.parametrize("pid", [0, 0x7FFFFFFF])
def test_rows_that_nobody_filled(nvml: NvmlDouble, root: Path, pid: int) -> None:
    nvml.gpu(0).sample(0, pid, at=-S, sm=50)
    assert read(nvml, root).records[uuid(0)].by_pid == {}


def test_a_clock_that_was_set_back(nvml: NvmlDouble, root: Path) -> None:
    nvml.gpu(0).process(0, 100).sample(0, 100, at=-S, sm=50)
    ahead = int(time.time() * S) + 3600 * S
    assert read(nvml, root, {uuid(0): ahead}).records[uuid(0)].by_pid[100].percent == 50


def test_values_of_a_simulator(nvml: NvmlDouble, root: Path, tmp_path: Path) -> None:
    """Read anew by each call: one program sees them change."""
    state = tmp_path / "gpu0"
    state.write_text("1000 50000 300000\n")
    nvml.gpus(1).energy(0, file=state)
    program = """
import pynvml, sys
pynvml.nvmlInit()
gpu = pynvml.nvmlDeviceGetHandleByIndex(0)
for text in ("1000 50000 300000", "2000 60000"):
    open(sys.argv[1], "w").write(text)
    print(pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu), pynvml.nvmlDeviceGetPowerUsage(gpu),
          pynvml.nvmlDeviceGetEnforcedPowerLimit(gpu))
"""
    argv = [sys.executable, "-c", program, str(state)]
    done = subprocess.run(argv, env=os.environ | nvml.env(), capture_output=True, check=True)
    assert done.stdout.decode().split() == ["1000", "50000", "300000", "2000", "60000", "300000"]
    found = read(nvml, root).counters[0]
    assert (found.uj, found.power_watts) == (2_000_000, 60.0)
