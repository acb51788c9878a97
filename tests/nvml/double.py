"""A pretended NVIDIA driver: our own libnvidia-ml.so.1, loaded by the real nvidia-ml-py.

A test says what the machine has, then starts a program with `NvmlDouble.env()`:

    nvml.gpu(0, mem_used=5 << 30).process(gpu=0, pid=4711, mem=5 << 30)
    subprocess.run([...], env={**os.environ, **nvml.env()})

LD_LIBRARY_PATH counts from the start of a program only, so nothing is faked inside pytest itself.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("fake_nvml.c")
SONAME = "libnvidia-ml.so.1"
GIB = 1 << 30
DETAIL_LIST = "nvmlDeviceGetRunningProcessDetailList"

NOT_SUPPORTED = 3
NO_PERMISSION = 4
DRIVER_NOT_LOADED = 9
FUNCTION_NOT_FOUND = 13
GPU_IS_LOST = 15
RESET_REQUIRED = 16
LIB_RM_VERSION_MISMATCH = 18
UNKNOWN = 999


def has_compiler() -> bool:
    return shutil.which("gcc") is not None


def build(directory: Path, *, layout_535: bool = False, hidden: tuple[str, ...] = ()) -> Path:
    """Compile the library into a directory of its own, without the hidden symbols; return that."""
    directory.mkdir(parents=True, exist_ok=True)
    library = directory / SONAME
    if library.exists():
        return directory
    argv = ["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", f"-Wl,-soname,{SONAME}"]
    if layout_535:
        argv.append("-DLAYOUT_535")
        hidden = (*hidden, DETAIL_LIST)
    if hidden:
        script = directory / "symbols.map"
        script.write_text(f"{{ global: nvml*; local: {'; '.join(hidden)}; }};\n")
        argv.append(f"-Wl,--version-script={script}")
    part = library.with_name(f"{SONAME}.{os.getpid()}")
    subprocess.run([*argv, "-o", str(part), str(SOURCE)], check=True)
    part.replace(library)
    return directory


def uuid(index: int) -> str:
    """Name a GPU as the driver does: always the same for an index."""
    return f"GPU-{index:08x}-1111-2222-3333-444444444444"


def bus_id(index: int) -> str:
    return f"00000000:{0x10 + index:02X}:00.0"


class NvmlDouble:
    """One pretended machine; each method adds a record to its scenario and returns it."""

    def __init__(self, directory: Path, libraries: Path) -> None:
        self._scenario = directory / "nvml.scenario"
        self._log = directory / "nvml.calls"
        self._libraries = libraries
        self._variant: tuple[bool, tuple[str, ...]] = (False, ())
        self._lines: list[str] = []

    def _record(self, what: str, **fields: object) -> NvmlDouble:
        said = (f'{key.rstrip("_")}="{value}"' for key, value in fields.items())
        self._lines.append(" ".join([what, *said]))
        return self

    def driver(self, version: str, nvml: str = "12.550.54.14") -> NvmlDouble:
        return self._record("driver", version=version, nvml=nvml)

    def gpu(self, index: int, **fields: object) -> NvmlDouble:
        """Add a GPU; fields as in fake_nvml.c override those of a healthy, idle A100."""
        a100: dict[str, object] = {
            "uuid": uuid(index),
            "name": "NVIDIA A100-SXM4-40GB",
            "minor": index,
            "bus": bus_id(index),
            "mem_total": 40 * GIB,
            "mem_used": 0,
            "mem_reserved": GIB // 2,
            "mig": 0,
        }
        return self._record(f"gpu {index}", **(a100 | fields))

    def gpus(self, count: int) -> NvmlDouble:
        for index in range(count):
            self.gpu(index)
        return self

    def mig(self, gpu: int, gi: int, ci: int, profile: str, **fields: object) -> NvmlDouble:
        """Add a MIG instance to a GPU that was added with mig=1."""
        known: dict[str, object] = {"uuid": f"MIG-{gpu}-{gi}-{ci}", "mem_total": 5 * GIB}
        return self._record("mig", gpu=gpu, gi=gi, ci=ci, profile=profile, **(known | fields))

    def process(
        self, gpu: int, pid: int, mem: int | None = GIB, type: str = "C", **fields: object
    ) -> NvmlDouble:
        """Put a process on a GPU; `gi` and `ci` place it in a MIG instance."""
        memory = "none" if mem is None else mem
        return self._record("process", gpu=gpu, pid=pid, mem=memory, type=type, **fields)

    def sample(self, gpu: int, pid: int, at: int, **percent: int) -> NvmlDouble:
        """Record how much a process used a GPU (`sm`, `mem`, `enc`, `dec`).

        at: microseconds since 1970; negative: so long before the program started.
        """
        return self._record("sample", gpu=gpu, pid=pid, at=at, **percent)

    def energy(self, gpu: int, *, supported: bool = True, file: Path | None = None) -> NvmlDouble:
        """Take the counter of a GPU away, or let a file say what each call is to find.

        The file has millijoules, milliwatts and the limit in milliwatts, with blanks between;
        replace it as a whole (rename), and a program sees the new values at its next call.
        """
        place = {} if file is None else {"file": file}
        return self._record("energy", gpu=gpu, supported=int(supported), **place)

    def fault(
        self, function: str, returns: int, gpu: int | None = None, after: int = 0
    ) -> NvmlDouble:
        """Let a function (`*`: every one that takes a device) fail; `nvmlInit` is one too."""
        return self._record("fault", function=function, gpu=_any(gpu), return_=returns, after=after)

    def lost(self, gpu: int, after: int = 0) -> NvmlDouble:
        """Let a GPU fall off the bus, after some calls."""
        return self.fault("*", GPU_IS_LOST, gpu, after)

    def hang(self, function: str, gpu: int | None = None, after: int = 0) -> NvmlDouble:
        return self._record("hang", function=function, gpu=_any(gpu), after=after)

    def crash(self, function: str, gpu: int | None = None) -> NvmlDouble:
        return self._record("crash", function=function, gpu=_any(gpu))

    def delay(self, function: str, us: int, gpu: int | None = None) -> NvmlDouble:
        return self._record("delay", function=function, gpu=_any(gpu), us=us)

    def grow(self, gpu: int, by: int, times: int = 1, pid: int = 90_000) -> NvmlDouble:
        """Let each of the first calls for the compute list find more processes than the last."""
        return self._record("grow", gpu=gpu, by=by, times=times, pid=pid)

    def layout_535(self) -> NvmlDouble:
        """Use the 32-byte process structs of drivers 535.43 to 535.86."""
        self._variant = (True, self._variant[1])
        return self.driver("535.54.03", "12.535.54.03")

    def hide(self, *functions: str) -> NvmlDouble:
        """Leave functions out of the library, as an older driver does."""
        self._variant = (self._variant[0], (*self._variant[1], *functions))
        return self

    def env(self) -> dict[str, str]:
        """Write the scenario and tell the environment a program needs to see it."""
        self._scenario.write_text("\n".join(self._lines) + "\n")
        layout_535, hidden = self._variant
        name = "-".join(["535" if layout_535 else "current", *hidden])
        library = build(self._libraries / name, layout_535=layout_535, hidden=hidden)
        return {
            "LD_LIBRARY_PATH": str(library),
            "FAKE_NVML_SCENARIO": str(self._scenario),
            "FAKE_NVML_LOG": str(self._log),
        }

    def calls(self) -> list[tuple[str, int]]:
        """Tell the calls so far: function and GPU index (-1: of the system)."""
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        return [(function, int(gpu)) for function, gpu in (line.split() for line in lines)]


def _any(gpu: int | None) -> object:
    return "*" if gpu is None else gpu
