"""One bad GPU, a hang or a crash hides nothing else, and never looks like an idle GPU."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from ds01ctl.core.model import Driver, Gap
from ds01ctl.observe.nvml import NvmlReading
from tests.nvml.double import NO_PERMISSION, RESET_REQUIRED, uuid
from tests.observe.nvml_reading import COMPUTE, a100, described, read, use

if TYPE_CHECKING:
    from pathlib import Path

    from tests.nvml.double import NvmlDouble


@pytest.mark.parametrize("after", range(13))
def test_a_lost_gpu_does_not_hide_the_others(nvml: NvmlDouble, tmp_path: Path, after: int):
    nvml.gpus(3).lost(1, after=after)
    for index in range(3):
        nvml.process(index, 100 + index)
    reading = read(nvml, tmp_path)
    assert (reading.gpus[0], reading.gpus[2]) == (a100(0), a100(2))
    lost = reading.gpus[1]
    assert (lost.index, lost.health, lost.processes_known) == (1, "lost", False)
    assert lost.uuid == (uuid(1) if after >= 3 else "index:1")
    assert reading.uses == (use(0, 100), use(2, 102))
    [gap] = reading.gaps
    assert gap.kind == "failed"
    assert gap.reason.startswith(described(1) if after >= 3 else "GPU 1: ")
    assert "GPU_IS_LOST" in gap.reason


def test_a_gpu_that_needs_a_reset(nvml: NvmlDouble, tmp_path: Path):
    nvml.gpus(2).fault("nvmlDeviceGetMemoryInfo_v2", RESET_REQUIRED, gpu=0).process(1, 7)
    reading = read(nvml, tmp_path)
    assert [gpu.health for gpu in reading.gpus] == ["reset-required", "ok"]
    assert reading.uses == (use(1, 7),)
    assert [gap.kind for gap in reading.gaps] == ["failed"]
    assert "RESET_REQUIRED; the GPU needs a reset" in reading.gaps[0].reason


def test_a_gpu_we_may_not_touch(nvml: NvmlDouble, tmp_path: Path):
    nvml.gpus(2).fault("nvmlDeviceGetHandleByIndex_v2", NO_PERMISSION, gpu=1).process(0, 7)
    reading = read(nvml, tmp_path)
    assert [(gpu.health, gpu.processes_known) for gpu in reading.gpus] == [
        ("ok", True),
        ("error", False),
    ]
    assert reading.gaps == (
        Gap("nvml", "denied", "GPU 1: nvmlDeviceGetHandleByIndex: NO_PERMISSION"),
    )


def test_a_denied_process_list_is_not_an_empty_one(nvml: NvmlDouble, tmp_path: Path):
    reading = read(nvml.gpu(0).fault(COMPUTE, NO_PERMISSION).process(0, 7), tmp_path)
    assert reading.gpus == (a100(0, processes_known=False),)
    assert reading.gaps == (Gap("nvml", "denied", f"{described(0)}: {COMPUTE}: NO_PERMISSION"),)


def test_a_hang_has_a_name_and_what_was_read_is_kept(nvml: NvmlDouble, tmp_path: Path):
    nvml.gpus(4).hang(COMPUTE, gpu=2)
    for index in range(4):
        nvml.process(index, 100 + index)
    began = time.monotonic()
    reading = read(nvml, tmp_path, deadline_s=1)
    assert time.monotonic() - began < 10
    why = f"{COMPUTE} on GPU 2: no answer in 1 s"
    assert reading.gaps == (Gap("nvml", "failed", why),)
    assert reading.gpus[:2] == (a100(0), a100(1))
    assert reading.uses == (use(0, 100), use(1, 101))
    assert [(gpu.uuid, gpu.health, gpu.processes_known) for gpu in reading.gpus[2:]] == [
        (uuid(2), "unknown", False),
        ("index:3", "unknown", False),
    ]
    # of one that was not asked nothing bad is known either
    assert [gpu.error for gpu in reading.gpus[2:]] == [None, None]


def test_a_start_that_hangs(nvml: NvmlDouble, tmp_path: Path):
    reading = read(nvml.gpu(0).hang("nvmlInit"), tmp_path, deadline_s=1)
    assert reading == NvmlReading(
        Driver(), (), (), (Gap("nvml", "failed", "nvmlInit: no answer in 1 s"),)
    )


def test_a_slow_driver_is_waited_for(nvml: NvmlDouble, tmp_path: Path):
    reading = read(nvml.gpu(0).delay("nvmlInit", us=300_000).process(0, 7), tmp_path)
    assert (reading.uses, reading.gaps) == ((use(0, 7),), ())


def test_a_library_that_crashes_takes_only_the_child_down(nvml: NvmlDouble, tmp_path: Path):
    nvml.gpus(2).process(0, 7).crash("nvmlDeviceGetName", gpu=1)
    reading = read(nvml, tmp_path)
    assert reading.uses == (use(0, 7),)
    assert [gpu.health for gpu in reading.gpus] == ["ok", "unknown"]
    reason = "nvmlDeviceGetName on GPU 1: killed by SIGABRT"
    assert reading.gaps == (Gap("nvml", "failed", reason),)


@pytest.mark.parametrize(("by", "times"), [(3, 1), (63, 2), (64, 1), (65, 1), (200, 3)])
def test_a_list_that_grows_is_read_whole(nvml: NvmlDouble, tmp_path: Path, by: int, times: int):
    nvml.gpu(0).process(0, 7).grow(0, by=by, times=times)
    reading = read(nvml, tmp_path)
    pids = [found.pid for found in reading.uses]
    assert pids[0] == 7
    assert pids[1:] == list(range(90_000, 90_000 + len(pids) - 1))
    assert len(pids) > by
    assert reading.gaps == ()


def test_a_list_that_never_stops_growing_is_unknown(nvml: NvmlDouble, tmp_path: Path):
    nvml.gpus(2).process(1, 7).grow(0, by=100_000, times=1000)
    reading = read(nvml, tmp_path)
    assert reading.gpus == (a100(0, processes_known=False), a100(1))
    assert reading.uses == (use(1, 7),)
    assert "INSUFFICIENT_SIZE" in reading.gaps[0].reason


@pytest.mark.parametrize("pid", [0, (1 << 22) + 1, 1 << 31, (1 << 32) - 1])
@pytest.mark.parametrize("listed", ["C", "G"])
def test_a_pid_that_cannot_exist_is_a_gap(nvml: NvmlDouble, tmp_path: Path, pid: int, listed: str):
    """The rows are not what we take them for; 0 given to kill(2) would mean ourselves."""
    nvml.gpus(2).process(0, pid, type=listed).process(0, 7).process(1, 1 << 22)
    reading = read(nvml, tmp_path)
    assert reading.gpus == (a100(0, processes_known=False), a100(1))
    assert reading.uses == (use(0, 7), use(1, 1 << 22))
    why = "cannot exist: the process list is not what this driver library says"
    assert reading.gaps == (Gap("nvml", "failed", f"{described(0)}: pid {pid} {why}"),)


def test_many_pids_that_cannot_exist_are_one_gap(nvml: NvmlDouble, tmp_path: Path):
    nvml.gpu(0)
    for pid in range(1 << 23, (1 << 23) + 50):
        nvml.process(0, pid)
    [gap] = read(nvml, tmp_path).gaps
    assert f"pid {1 << 23} (and 49 others) cannot exist" in gap.reason
