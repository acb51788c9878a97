"""What each process did on its GPU: NVML's record, read by the real binding in the real child."""

from __future__ import annotations

import os
import pickle
import time
from typing import TYPE_CHECKING

import pytest

from ds01ctl.core.cleanup_model import Reading
from ds01ctl.core.model import ContainerConfig
from ds01ctl.observe.cleanup_gpus import Gpus
from ds01ctl.observe.gpu_activity import GpuActivity
from tests.nvml.double import GPU_IS_LOST, NO_PERMISSION, NOT_SUPPORTED, UNKNOWN, uuid
from tests.observe.nvml_reading import COMPUTE, mig_host, run
from tests.observe.signal_world import container

if TYPE_CHECKING:
    from pathlib import Path

    from tests.nvml.double import NvmlDouble

PROGRAM = """
import pickle, sys
from pathlib import Path
from ds01ctl.observe import gpu_activity, nvml
from ds01ctl.paths import Paths
asked, deadline_s, root = pickle.load(sys.stdin.buffer), float(sys.argv[1]), Path(sys.argv[2])
with nvml.start(asked) as child:
    reading = nvml.collect(child, deadline_s=deadline_s, paths=Paths(root))
assert not {"ctypes", "pynvml"} & set(sys.modules), "the parent pays for the child's imports"
activity = None if asked is None else gpu_activity.of(reading)
sys.stdout.buffer.write(pickle.dumps((activity, reading)))
"""
FUNCTION = "nvmlDeviceGetProcessUtilization"
S = 1_000_000
NONSENSE = 0xFFFFFFFF


def read(
    nvml: NvmlDouble, root: Path, asked: dict[str, int] | None = None, deadline_s: float = 20
) -> GpuActivity:
    told = run(PROGRAM, deadline_s, root, env=nvml.env(), stdin=pickle.dumps(asked or {}))
    assert isinstance(told, tuple)
    activity, _ = told
    assert isinstance(activity, GpuActivity)
    return activity


def test_it_is_not_asked_for_by_others(nvml: NvmlDouble, tmp_path: Path) -> None:
    """What detect reads costs what it cost, and is what it was."""
    nvml.gpu(0).process(0, 100).sample(0, 100, at=-S, sm=50)
    told = run(PROGRAM, 20, tmp_path, env=nvml.env(), stdin=pickle.dumps(None))
    assert isinstance(told, tuple)
    assert FUNCTION not in {function for function, _ in nvml.calls()}
    assert told[1].activity == {}


def test_each_process_has_its_own(nvml: NvmlDouble, tmp_path: Path) -> None:
    """A neighbour on the same GPU keeps nobody alive."""
    nvml.gpus(2).process(0, 100).process(0, 101).process(1, 100)
    nvml.sample(0, 100, at=-3 * S, sm=80).sample(1, 100, at=-2 * S, sm=3, enc=7)
    found = read(nvml, tmp_path)
    assert found.by_pid == {(100, uuid(0)): 80, (101, uuid(0)): 0, (100, uuid(1)): 7}
    assert (found.failed, found.blind, found.problem) == ({}, frozenset(), "")
    assert [gpu.uuid for gpu in found.gpus] == [uuid(0), uuid(1)]


def test_only_what_was_recorded_since_counts(nvml: NvmlDouble, tmp_path: Path) -> None:
    """The driver's own time of the last record is where the next run goes on."""
    now = int(time.time() * S)
    nvml.gpu(0).process(0, 100).process(0, 101)
    nvml.sample(0, 100, at=now - 400 * S, sm=90).sample(0, 101, at=now - 200 * S, sm=20)
    first = read(nvml, tmp_path)
    assert first.by_pid == {(100, uuid(0)): 90, (101, uuid(0)): 20}
    assert first.last_seen == {uuid(0): now - 200 * S}
    between = read(nvml, tmp_path, {uuid(0): now - 300 * S})
    assert between.by_pid == {(100, uuid(0)): 0, (101, uuid(0)): 20}
    after = read(nvml, tmp_path, dict(first.last_seen))
    assert after.by_pid == {(100, uuid(0)): 0, (101, uuid(0)): 0}
    # nothing new: what was known stays where it is
    assert after.last_seen == {}


def test_work_that_has_just_begun_is_not_lost_in_a_long_mean(
    nvml: NvmlDouble, tmp_path: Path
) -> None:
    nvml.gpu(0).process(0, 100)
    for minute in range(3, 60):
        nvml.sample(0, 100, at=-minute * 60 * S, sm=0)
    nvml.sample(0, 100, at=-30 * S, sm=90)
    since = int(time.time() * S) - 3600 * S
    assert read(nvml, tmp_path, {uuid(0): since}).by_pid == {(100, uuid(0)): 90}


@pytest.mark.parametrize("ahead_s", [60, 3600, 10**9])
def test_a_clock_that_was_set_back(nvml: NvmlDouble, tmp_path: Path, ahead_s: int) -> None:
    """Nothing was recorded since a time to come; that is not the same as nothing done."""
    nvml.gpu(0).process(0, 100).sample(0, 100, at=-S, sm=50)
    ahead = int(time.time() * S) + ahead_s * S
    assert read(nvml, tmp_path, {uuid(0): ahead}).by_pid == {(100, uuid(0)): 50}


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ([{"sm": 100}], 100),
        ([{"sm": 0, "mem": 40}], 0),
        ([{"dec": 30}], 30),
        ([{"sm": NONSENSE}], None),
        ([{"sm": 101}], None),
        # the rest of a senseless row still says that something was done
        ([{"sm": NONSENSE, "enc": 9}], 9),
    ],
)
def test_what_a_driver_may_say(
    nvml: NvmlDouble, tmp_path: Path, samples: list[dict[str, int]], expected: float | None
) -> None:
    nvml.gpu(0).process(0, 100)
    for percent in samples:
        nvml.sample(0, 100, at=-S, **percent)
    assert read(nvml, tmp_path).by_pid == {(100, uuid(0)): expected}


def test_rows_of_nobody(nvml: NvmlDouble, tmp_path: Path) -> None:
    """Old drivers fill a part of the buffer only (nvtop #110): pids that use nothing there."""
    nvml.gpu(0).process(0, 100).sample(0, 100, at=-S, sm=5)
    for pid in (0, 77, NONSENSE):
        nvml.sample(0, pid, at=-2 * S, sm=NONSENSE, enc=NONSENSE)
    assert read(nvml, tmp_path).by_pid == {(100, uuid(0)): 5}


def test_a_hundred_and_more_processes(nvml: NvmlDouble, tmp_path: Path) -> None:
    nvml.gpu(0)
    for pid in range(1000, 1300):
        nvml.process(0, pid).sample(0, pid, at=-S, sm=pid % 100)
    found = read(nvml, tmp_path).by_pid
    assert found == {(pid, uuid(0)): pid % 100 for pid in range(1000, 1300)}


def test_mig_is_not_known(nvml: NvmlDouble, tmp_path: Path) -> None:
    """The driver does not tell it for instances: unknown, and the whole GPU beside it is known."""
    found = read(mig_host(nvml).sample(0, 100, at=-S, sm=1), tmp_path)
    assert found.by_pid == {(100, uuid(0)): 1, (101, uuid(1)): None}
    assert found.failed == {uuid(1): "the driver does not tell it for MIG instances"}
    assert found.blind == frozenset()


@pytest.mark.parametrize("fails", [False, True])
def test_an_instance_on_which_nothing_runs_is_not_used(
    nvml: NvmlDouble, tmp_path: Path, fails: bool
) -> None:
    """Of a container with a process on its instance nothing is known; of its neighbour, that."""
    mig_host(nvml)
    if fails:
        nvml.fault(COMPUTE, UNKNOWN, gpu=1)
    told = run(PROGRAM, 20, tmp_path, env=nvml.env(), stdin=pickle.dumps({}))
    assert isinstance(told, tuple)
    activity, reading = told
    works, waits = "a" * 64, "b" * 64
    place = tmp_path / "proc/101"
    place.mkdir(parents=True)
    (place / "cgroup").write_text(f"0::/docker/{works}\n")
    gpus = Gpus(reading.uses, activity, str(tmp_path / "proc"))

    def reading_of(id_: str, instance: str) -> Reading:
        config = ContainerConfig("nvidia", privileged=False, visible_devices=instance)
        return gpus.of(container(id_, config=config), {f"/docker/{id_}"}).reading

    used, unused = reading_of(works, "MIG-1-9-0"), reading_of(waits, "MIG-1-3-0")
    assert used.state == "failed"
    if fails:
        assert unused.state == "failed"
        assert unused.detail == f"whoever uses {uuid(1)} is not known"
    else:
        assert used.detail.endswith("the driver does not tell it for MIG instances")
        assert unused == Reading("known", 0.0, "no process on a GPU")


def test_mps_clients_are_not_known(nvml: NvmlDouble, tmp_path: Path) -> None:
    """What they do may be written down as the server's."""
    nvml.gpu(0).process(0, 100, type="M").process(0, 101, type="M").process(0, 50)
    nvml.sample(0, 101, at=-S, sm=12)
    assert read(nvml, tmp_path).by_pid == {
        (50, uuid(0)): 0, (100, uuid(0)): None, (101, uuid(0)): 12,
    }  # fmt: skip


def test_busy_but_nobody_said_to_use_it(nvml: NvmlDouble, tmp_path: Path) -> None:
    found = read(nvml.gpu(0, util=97).process(0, 100), tmp_path)
    assert found.by_pid == {(100, uuid(0)): None}
    assert found.failed == {uuid(0): "busy by 97 %, but nobody is said to use it"}


@pytest.mark.parametrize(
    ("returns", "name"),
    [(NOT_SUPPORTED, "NOT_SUPPORTED"), (NO_PERMISSION, "NO_PERMISSION"), (UNKNOWN, "UNKNOWN")],
)
def test_a_refusal_is_not_zero(nvml: NvmlDouble, tmp_path: Path, returns: int, name: str) -> None:
    nvml.gpus(2).process(0, 100).process(1, 200).fault(FUNCTION, returns, gpu=0)
    found = read(nvml, tmp_path)
    assert found.by_pid == {(100, uuid(0)): None, (200, uuid(1)): 0}
    assert found.failed == {uuid(0): f"{FUNCTION}: {name}"}
    # who uses it is known all the same
    assert found.blind == frozenset()


def test_a_driver_without_the_function(nvml: NvmlDouble, tmp_path: Path) -> None:
    found = read(nvml.gpu(0).process(0, 100).hide(FUNCTION), tmp_path)
    assert found.failed == {uuid(0): f"{FUNCTION}: FUNCTION_NOT_FOUND"}


def test_a_gpu_that_is_lost_meanwhile(nvml: NvmlDouble, tmp_path: Path) -> None:
    nvml.gpus(2).process(0, 100).process(1, 200).fault(FUNCTION, GPU_IS_LOST, gpu=0)
    found = read(nvml, tmp_path)
    assert found.by_pid == {(200, uuid(1)): 0}
    assert found.blind == {uuid(0)}
    assert "GPU_IS_LOST" in found.failed[uuid(0)]


def test_a_process_list_that_fails(nvml: NvmlDouble, tmp_path: Path) -> None:
    found = read(nvml.gpus(2).process(1, 200).fault(COMPUTE, UNKNOWN, gpu=0), tmp_path)
    assert (found.blind, found.by_pid) == ({uuid(0)}, {(200, uuid(1)): 0})


def test_a_call_that_hangs(nvml: NvmlDouble, tmp_path: Path) -> None:
    """Who uses the GPU is known by then; of the GPUs behind it, nothing is."""
    nvml.gpus(2).process(0, 100).process(1, 200).hang(FUNCTION, gpu=0)
    found = read(nvml, tmp_path, deadline_s=1.5)
    assert found.by_pid == {(100, uuid(0)): None}
    assert found.blind == {"index:1"}
    assert set(found.failed) == {uuid(0), "index:1"}


def test_no_driver_is_absent(tmp_path: Path) -> None:
    told = run(PROGRAM, 20, tmp_path, env={"LD_LIBRARY_PATH": ""}, stdin=pickle.dumps({}))
    assert isinstance(told, tuple)
    assert told[0].is_absent
    assert told[0].problem


def test_a_driver_that_does_not_answer_is_not_absent(nvml: NvmlDouble, tmp_path: Path) -> None:
    found = read(nvml.gpu(0).fault("nvmlInit", UNKNOWN), tmp_path)
    assert (found.is_absent, found.problem) == (False, "nvmlInit: UNKNOWN")


GATHER = """
import os, pickle, sys
from ds01ctl.commands import gathering
from ds01ctl.paths import Paths
gathered = gathering.gather(Paths(), None, {}, last_seen=pickle.load(sys.stdin.buffer))
sys.stdout.buffer.write(pickle.dumps((gathered.activity, gathered.snapshot.uses)))
"""


@pytest.mark.parametrize("asked", [{}, None])
def test_a_run_asks_nvml_once(
    nvml: NvmlDouble, tmp_path: Path, asked: dict[str, int] | None
) -> None:
    """What cleanup wants to know comes in the pass that detect makes as well."""
    nvml.gpu(0).process(0, os.getpid()).sample(0, os.getpid(), at=-S, sm=50)
    env = nvml.env() | {"DOCKER_HOST": f"unix://{tmp_path}/none.sock"}
    told = run(GATHER, env=env, stdin=pickle.dumps(asked))
    assert isinstance(told, tuple)
    activity, uses = told
    assert [use.pid for use in uses] == [os.getpid()]
    calls = [function for function, _ in nvml.calls()]
    assert calls.count("nvmlInit") == 1
    assert (FUNCTION in calls) == (asked is not None)
    if asked is None:
        assert activity is None
    else:
        assert activity.by_pid == {(os.getpid(), uuid(0)): 50}
