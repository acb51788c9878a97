"""What we say of GPUs on good days, and when NVML does not start: the real nvidia-ml-py."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import pytest

from ds01ctl.core.model import Driver, Gap, GpuUse
from ds01ctl.observe.nvml import NvmlReading
from tests.nvml.double import (
    DRIVER_NOT_LOADED,
    GIB,
    LIB_RM_VERSION_MISMATCH,
    NO_PERMISSION,
    UNKNOWN,
)
from tests.observe.nvml_reading import (
    COMPUTE,
    IN_INSTANCE,
    PROGRAM,
    RECHECK,
    a100,
    mig_host,
    read,
    run,
    use,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.nvml.double import NvmlDouble


def test_two_gpus_with_work(nvml: NvmlDouble, tmp_path: Path):
    nvml.driver("550.54.14", "12.550.54.14").gpu(0, mem_used=3 * GIB, util=90)
    nvml.gpu(1, minor=4, persistence=0, compute_mode=3)
    nvml.process(0, 4711).process(0, 12, mem=2 * GIB)
    assert read(nvml, tmp_path) == NvmlReading(
        Driver("550.54.14", "12.550.54.14"),
        (
            a100(0, memory_used_bytes=3 * GIB, utilization_percent=90),
            a100(1, minor=4, persistence_mode=False, compute_mode="Exclusive_Process"),
        ),
        (use(0, 12, memory_bytes=2 * GIB), use(0, 4711)),
        (),
    )


def test_few_calls(nvml: NvmlDouble, tmp_path: Path):
    """Calls cost milliseconds each on a busy driver, and PCIe throughput 40 ms per GPU."""
    nvml.gpus(8)
    read(nvml, tmp_path)
    calls = nvml.calls()
    assert len(calls) == 4 + 8 * 13
    assert not any("Pcie" in function for function, _ in calls)


def test_sixteen_gpus_with_many_processes(nvml: NvmlDouble, tmp_path: Path):
    nvml.gpus(16)
    for pid in range(1000, 2600):
        nvml.process(pid % 16, pid)
    reading = read(nvml, tmp_path)
    assert [gpu.index for gpu in reading.gpus] == list(range(16))
    assert {found.pid for found in reading.uses} == set(range(1000, 2600))
    assert not reading.gaps


def test_one_pid_on_four_gpus_is_four_uses(nvml: NvmlDouble, tmp_path: Path):
    nvml.gpus(4)
    for index in range(4):
        nvml.process(index, 4711, mem=(index + 1) * GIB)
    assert read(nvml, tmp_path).uses == tuple(
        use(index, 4711, memory_bytes=(index + 1) * GIB) for index in range(4)
    )


@pytest.mark.parametrize(("listed", "told"), [("C", "C"), ("G", "G"), ("C+G", "C+G"), ("M", "M")])
def test_one_process_in_several_lists_is_one_use(
    nvml: NvmlDouble, tmp_path: Path, listed: str, told: str
):
    nvml.gpu(0).process(0, 7, type=listed)
    assert read(nvml, tmp_path).uses == (use(0, 7, type=told),)


def test_a_client_of_mps_is_told_as_such(nvml: NvmlDouble, tmp_path: Path):
    nvml.gpu(0).process(0, 7, type="C").process(0, 7, type="M").process(0, 8, type="C")
    assert read(nvml, tmp_path).uses == (use(0, 7, type="M"), use(0, 8))


def test_memory_that_is_not_told_is_unknown(nvml: NvmlDouble, tmp_path: Path):
    nvml.gpu(0).process(0, 7, mem=None).process(0, 8, mem=0)
    assert read(nvml, tmp_path).uses == (use(0, 7, memory_bytes=None), use(0, 8, memory_bytes=0))


@pytest.fixture
def no_library(tmp_path: Path) -> dict[str, str]:
    """A library that cannot be loaded hides the one that the test's machine may have."""
    directory = tmp_path / "broken"
    directory.mkdir()
    (directory / "libnvidia-ml.so.1").touch()
    return {"LD_LIBRARY_PATH": str(directory)}


def test_no_driver_at_all_is_absent(no_library: dict[str, str], tmp_path: Path):
    reason = "no NVIDIA driver: no libnvidia-ml.so.1 and no /dev/nvidia*"
    assert run(PROGRAM, 20, tmp_path, env=no_library) == NvmlReading(
        Driver(error="LIBRARY_NOT_FOUND"), (), (), (Gap("nvml", "absent", reason),)
    )


def test_devices_without_a_library_are_a_failure(no_library: dict[str, str], tmp_path: Path):
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/nvidiactl").touch()
    reading = run(PROGRAM, 20, tmp_path, env=no_library)
    assert isinstance(reading, NvmlReading)
    assert [gap.kind for gap in reading.gaps] == ["failed"]
    assert "/dev/nvidiactl is there" in reading.gaps[0].reason


@pytest.mark.parametrize(
    ("code", "kind", "name", "told"),
    [
        (LIB_RM_VERSION_MISMATCH, "failed", "LIB_RM_VERSION_MISMATCH", "upgraded without a reboot"),
        (DRIVER_NOT_LOADED, "failed", "DRIVER_NOT_LOADED", "modprobe nvidia"),
        (NO_PERMISSION, "denied", "NO_PERMISSION", "/dev/nvidiactl"),
        (UNKNOWN, "failed", "UNKNOWN", "nvmlInit: UNKNOWN"),
        (777, "failed", "error 777", "nvmlInit: error 777"),
    ],
)
def test_nvml_that_does_not_start(
    nvml: NvmlDouble, tmp_path: Path, code: int, kind: str, name: str, told: str
):
    reading = read(nvml.gpu(0).fault("nvmlInit", code), tmp_path)
    assert (reading.driver, reading.gpus, reading.uses) == (Driver(error=name), (), ())
    assert [(gap.source, gap.kind) for gap in reading.gaps] == [("nvml", kind)]
    assert told in reading.gaps[0].reason


def test_no_visible_gpu_is_a_failure(nvml: NvmlDouble, tmp_path: Path):
    reading = read(nvml, tmp_path)
    assert reading.gpus == ()
    assert [gap.kind for gap in reading.gaps] == ["failed"]


def recheck(nvml: NvmlDouble, *uses: GpuUse, deadline_s: float = 20) -> object:
    return run(RECHECK, deadline_s, env=nvml.env(), stdin=pickle.dumps(uses))


def test_asked_again_only_what_is_still_listed_is_confirmed(nvml: NvmlDouble):
    mig_host(nvml).gpu(2)
    assert recheck(nvml, use(0, 100), use(0, 99), use(2, 100), IN_INSTANCE) == (
        use(0, 100),
        IN_INSTANCE,
    )


def test_asked_again_only_the_gpus_concerned_are_read(nvml: NvmlDouble):
    nvml.gpus(4).process(3, 7)
    assert recheck(nvml, use(3, 7)) == (use(3, 7),)
    assert {gpu for function, gpu in nvml.calls() if "Processes" in function} == {3}


@pytest.mark.parametrize("bad", ["init", "lost", "hang"])
def test_asked_again_without_an_answer_nothing_is_confirmed(nvml: NvmlDouble, bad: str):
    nvml.gpu(0).process(0, 7)
    {
        "init": lambda: nvml.fault("nvmlInit", UNKNOWN),
        "lost": lambda: nvml.lost(0),
        "hang": lambda: nvml.hang(COMPUTE),
    }[bad]()
    assert recheck(nvml, use(0, 7), deadline_s=1) == ()
