"""MIG: instances, the processes in them, and what MIG does not tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.nvml.double import GIB, NO_PERMISSION, NOT_SUPPORTED, uuid
from tests.observe.nvml_reading import COMPUTE, IN_INSTANCE, a100, mig_a100, mig_host, read, use

if TYPE_CHECKING:
    from pathlib import Path

    from tests.nvml.double import NvmlDouble


def test_mig_instances_and_their_processes(nvml: NvmlDouble, tmp_path: Path):
    reading = read(mig_host(nvml), tmp_path)
    assert reading.gpus == (a100(0), mig_a100())
    assert reading.uses == (use(0, 100), IN_INSTANCE)
    assert reading.gaps == ()


def test_one_process_in_two_instances_is_two_uses(nvml: NvmlDouble, tmp_path: Path):
    mig_host(nvml).process(1, 101, gi=3, ci=0, mem=None)
    other = IN_INSTANCE._replace(mig_uuid="MIG-1-3-0", gpu_instance=3, memory_bytes=None)
    assert read(nvml, tmp_path).uses == (use(0, 100), other, IN_INSTANCE)


def test_compute_instances_of_one_gpu_instance(nvml: NvmlDouble, tmp_path: Path):
    nvml.gpu(0, mig=1)
    for ci in range(2):
        nvml.mig(0, gi=1, ci=ci, profile="1c.2g.10gb", gslices=2, cslices=1)
        nvml.process(0, 50 + ci, gi=1, ci=ci)
    reading = read(nvml, tmp_path)
    assert [(found.pid, found.mig_uuid) for found in reading.uses] == [
        (50, "MIG-0-1-0"),
        (51, "MIG-0-1-1"),
    ]
    assert [device.profile for device in reading.gpus[0].mig_devices] == ["1c.2g.10gb"] * 2


def test_a_profile_is_named_by_its_attributes_where_the_name_is_not_told(
    nvml: NvmlDouble, tmp_path: Path
):
    nvml.gpu(0, mig=1).fault("nvmlDeviceGetName", NOT_SUPPORTED)
    nvml.mig(0, gi=1, ci=0, profile="?", gslices=2, cslices=1, mem_total=10 * GIB)
    nvml.mig(0, gi=2, ci=0, profile="?", gslices=3, cslices=3, mem_total=20 * GIB)
    profiles = [device.profile for device in read(nvml, tmp_path).gpus[0].mig_devices]
    assert profiles == ["1c.2g.10gb", "3g.20gb"]


def test_mig_without_instances(nvml: NvmlDouble, tmp_path: Path):
    reading = read(nvml.gpu(1, mig=1, uuid=uuid(1)).gpu(0), tmp_path)
    assert reading.gpus == (a100(0), mig_a100(mig_devices=()))
    assert reading.gaps == ()


def test_a_gpu_of_four_slices(nvml: NvmlDouble, tmp_path: Path):
    nvml.gpu(0, mig=1, mig_slots=4, name="NVIDIA A30").mig(0, gi=1, ci=0, profile="2g.12gb")
    assert [gpu.mig_slices for gpu in read(nvml, tmp_path).gpus] == [4]


def test_mig_that_waits_for_a_reset(nvml: NvmlDouble, tmp_path: Path):
    reading = read(nvml.gpu(0, mig=0, mig_pending=1), tmp_path)
    assert reading.gpus == (a100(0, mig_mode_pending=True),)


def test_the_list_of_a_whole_mig_gpu_may_be_denied(nvml: NvmlDouble, tmp_path: Path):
    """Without privileges only the instances answer; they come first."""
    mig_host(nvml).fault(COMPUTE, NO_PERMISSION, gpu=1, after=2)
    reading = read(nvml, tmp_path)
    assert reading.uses == (use(0, 100), IN_INSTANCE)
    assert (reading.gpus[1], reading.gaps) == (mig_a100(), ())


def test_the_list_of_a_whole_mig_gpu_adds_only_what_no_instance_has(
    nvml: NvmlDouble, tmp_path: Path
):
    nvml.gpu(1, mig=1, whole_ids=0).gpu(0)
    nvml.mig(1, gi=9, ci=0, profile="1g.5gb").process(1, 101, gi=9, ci=0).process(1, 102)
    assert read(nvml, tmp_path).uses == (IN_INSTANCE, use(1, 102))


def test_instances_that_cannot_be_listed_are_not_none(nvml: NvmlDouble, tmp_path: Path):
    """The processes are still known, from the whole GPU's list."""
    mig_host(nvml).fault("nvmlDeviceGetMaxMigDeviceCount", NOT_SUPPORTED)
    reading = read(nvml, tmp_path)
    assert reading.uses == (use(0, 100), IN_INSTANCE._replace(mig_uuid=None))
    assert (reading.gpus[1].health, reading.gpus[1].mig_devices) == ("error", ())
    assert [gap.kind for gap in reading.gaps] == ["failed"]
