"""What the NVML tests share: one reading in a program of its own, and what to expect of it."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from typing import TYPE_CHECKING

from ds01ctl.core.model import Gpu, GpuUse, MigDevice
from ds01ctl.observe.nvml import NvmlReading
from tests.nvml.double import GIB, bus_id, uuid

if TYPE_CHECKING:
    from pathlib import Path

    from tests.nvml.double import NvmlDouble

PROGRAM = """
import pickle, sys
from pathlib import Path
from ds01ctl.observe import nvml
from ds01ctl.paths import Paths
reading = nvml.collect(nvml.start(), deadline_s=float(sys.argv[1]), paths=Paths(Path(sys.argv[2])))
assert not {"ctypes", "pynvml"} & set(sys.modules), "the parent pays for the child's imports"
sys.stdout.buffer.write(pickle.dumps(reading))
"""
RECHECK = """
import pickle, sys
from ds01ctl.observe import nvml
uses = pickle.load(sys.stdin.buffer)
sys.stdout.buffer.write(pickle.dumps(nvml.recheck(uses, deadline_s=float(sys.argv[1]))))
"""

COMPUTE = "nvmlDeviceGetComputeRunningProcesses_v3"
GRAPHICS = "nvmlDeviceGetGraphicsRunningProcesses_v3"
MPS = "nvmlDeviceGetMPSComputeRunningProcesses_v3"


def run(program: str, *args: object, env: dict[str, str], stdin: bytes = b"") -> object:
    argv = [sys.executable, "-W", "error", "-c", program, *map(str, args)]
    done = subprocess.run(argv, env=os.environ | env, input=stdin, capture_output=True, timeout=60)
    assert (done.returncode, done.stderr.decode()) == (0, "")
    return pickle.loads(done.stdout)


def read(nvml: NvmlDouble, root: Path, deadline_s: float = 20) -> NvmlReading:
    reading = run(PROGRAM, deadline_s, root, env=nvml.env())
    assert isinstance(reading, NvmlReading)
    return reading


def a100(index: int, **known: object) -> Gpu:
    healthy = Gpu(
        index=index,
        uuid=uuid(index),
        name="NVIDIA A100-SXM4-40GB",
        minor=index,
        pci_bus_id=bus_id(index),
        memory_total_bytes=40 * GIB,
        memory_used_bytes=0,
        utilization_percent=0,
        mig_mode=False,
        mig_mode_pending=False,
        persistence_mode=True,
        compute_mode="Default",
    )
    return healthy._replace(**known)  # type: ignore[arg-type] -- the table says which


def use(index: int, pid: int, **known: object) -> GpuUse:
    compute = GpuUse(pid, uuid(index), "C", GIB)
    return compute._replace(**known)  # type: ignore[arg-type] -- the table says which


def described(index: int) -> str:
    return f"GPU {index} ({uuid(index)}, {bus_id(index)})"


def mig_host(nvml: NvmlDouble) -> NvmlDouble:
    """One GPU whole, one in instances; a process on each."""
    nvml.gpu(0).process(0, 100).gpu(1, mig=1)
    nvml.mig(1, gi=3, ci=0, profile="3g.20gb", gslices=3, cslices=3, mem_total=20 * GIB)
    nvml.mig(1, gi=9, ci=0, profile="1g.5gb", mem_used=GIB).process(1, 101, gi=9, ci=0)
    return nvml


INSTANCES = (
    MigDevice("MIG-1-3-0", 3, 0, "3g.20gb", 3, 20 * GIB, 0),
    MigDevice("MIG-1-9-0", 9, 0, "1g.5gb", 1, 5 * GIB, GIB),
)
IN_INSTANCE = use(1, 101, mig_uuid="MIG-1-9-0", gpu_instance=9, compute_instance=0)


def mig_a100(**known: object) -> Gpu:
    enabled: dict[str, object] = {
        "mig_mode": True,
        "mig_mode_pending": True,
        "mig_slices": 7,
        "utilization_percent": None,
    }
    return a100(1, **(enabled | {"mig_devices": INSTANCES} | known))
