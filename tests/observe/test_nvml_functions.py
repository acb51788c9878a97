"""What a driver does not offer is unknown; what it offers otherwise is read otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.nvml.double import FUNCTION_NOT_FOUND, GIB, NOT_SUPPORTED, UNKNOWN
from tests.observe.nvml_reading import COMPUTE, GRAPHICS, MPS, a100, mig_host, read, use

if TYPE_CHECKING:
    from pathlib import Path

    from tests.nvml.double import NvmlDouble


FUNCTIONS = (
    "nvmlInit",
    "nvmlSystemGetDriverVersion",
    "nvmlSystemGetNVMLVersion",
    "nvmlDeviceGetCount_v2",
    "nvmlDeviceGetHandleByIndex_v2",
    "nvmlDeviceGetUUID",
    "nvmlDeviceGetPciInfo_v3",
    "nvmlDeviceGetName",
    "nvmlDeviceGetMinorNumber",
    "nvmlDeviceGetMemoryInfo_v2",
    "nvmlDeviceGetUtilizationRates",
    "nvmlDeviceGetPersistenceMode",
    "nvmlDeviceGetComputeMode",
    "nvmlDeviceGetMigMode",
    "nvmlDeviceGetMaxMigDeviceCount",
    "nvmlDeviceGetMigDeviceHandleByIndex",
    "nvmlDeviceGetAttributes_v2",
    "nvmlDeviceGetGpuInstanceId",
    "nvmlDeviceGetComputeInstanceId",
    COMPUTE,
    GRAPHICS,
    MPS,
)
# without these no list of GPUs, or no list of their processes
WITHOUT_GPUS = {"nvmlInit", "nvmlDeviceGetCount_v2"}
WITHOUT_PROCESSES = {"nvmlDeviceGetHandleByIndex_v2", COMPUTE}
# without these something that is there would be told wrongly, so that it must be a gap
WITHOUT_IDENTITY = {
    "nvmlDeviceGetUUID",
    "nvmlDeviceGetMaxMigDeviceCount",
    "nvmlDeviceGetMigDeviceHandleByIndex",
    "nvmlDeviceGetGpuInstanceId",
    "nvmlDeviceGetComputeInstanceId",
}


def test_all_functions_are_in_the_table(nvml: NvmlDouble, tmp_path: Path):
    read(mig_host(nvml), tmp_path)
    assert {function for function, _ in nvml.calls()} == set(FUNCTIONS)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("code", [NOT_SUPPORTED, FUNCTION_NOT_FOUND, UNKNOWN])
def test_a_function_that_fails_everywhere(
    nvml: NvmlDouble, tmp_path: Path, function: str, code: int
):
    """What cannot be known is unknown, never idle; and it is a gap where it matters."""
    reading = read(mig_host(nvml).fault(function, code), tmp_path)
    pids = {found.pid for found in reading.uses}
    assert len(reading.gpus) == (0 if function in WITHOUT_GPUS else 2)
    if function in WITHOUT_GPUS | WITHOUT_PROCESSES:
        assert pids == set()
        assert not any(gpu.processes_known for gpu in reading.gpus)
    else:
        assert pids == {100, 101}
    matters = function in WITHOUT_GPUS | WITHOUT_PROCESSES | WITHOUT_IDENTITY
    serious = code == UNKNOWN and not function.startswith("nvmlSystem")
    assert bool(reading.gaps) == (matters or serious)
    assert all(gap.kind == "failed" for gap in reading.gaps)


@pytest.mark.parametrize(
    ("function", "unknown"),
    [
        ("nvmlDeviceGetName", "name"),
        ("nvmlDeviceGetMinorNumber", "minor"),
        ("nvmlDeviceGetPciInfo_v3", "pci_bus_id"),
        ("nvmlDeviceGetUtilizationRates", "utilization_percent"),
        ("nvmlDeviceGetPersistenceMode", "persistence_mode"),
        ("nvmlDeviceGetComputeMode", "compute_mode"),
    ],
)
def test_what_is_not_supported_is_unknown(
    nvml: NvmlDouble, tmp_path: Path, function: str, unknown: str
):
    reading = read(nvml.gpu(0).fault(function, NOT_SUPPORTED), tmp_path)
    assert reading.gpus == (a100(0, **{unknown: None}),)


def test_drivers_535_43_to_535_86_have_larger_structs(nvml: NvmlDouble, tmp_path: Path):
    nvml.layout_535().gpu(0)
    for pid in range(100, 110):
        nvml.process(0, pid, mem=pid * GIB)
    reading = read(nvml, tmp_path)
    assert reading.uses == tuple(use(0, pid, memory_bytes=pid * GIB) for pid in range(100, 110))


def test_drivers_before_510_have_older_lists(nvml: NvmlDouble, tmp_path: Path):
    nvml.hide(COMPUTE, GRAPHICS, MPS).gpu(0).process(0, 7)
    assert read(nvml, tmp_path).uses == (use(0, 7),)


def test_drivers_without_any_list_that_we_know(nvml: NvmlDouble, tmp_path: Path):
    names = [name.replace("_v3", version) for name in (COMPUTE, GRAPHICS, MPS) for version in
             ("_v2", "_v3")]  # fmt: skip
    reading = read(nvml.hide(*names).gpu(0).process(0, 7), tmp_path)
    assert reading.gpus == (a100(0, processes_known=False),)
    assert [gap.kind for gap in reading.gaps] == ["failed"]


def test_reserved_memory_counts_as_used_only_where_it_cannot_be_told(
    nvml: NvmlDouble, tmp_path: Path
):
    nvml.gpu(0, mem_used=2 * GIB, mem_reserved=GIB)
    assert read(nvml, tmp_path).gpus == (a100(0, memory_used_bytes=2 * GIB),)
    nvml.hide("nvmlDeviceGetMemoryInfo_v2")
    older = a100(0, memory_used_bytes=3 * GIB, memory_is_net=False)
    assert read(nvml, tmp_path).gpus == (older,)
