"""nvidia-ml-py is loaded without what it never uses."""

import subprocess
import sys

from ds01ctl.observe import nvml_read

_CODE = """
import os, sys
from ds01ctl.observe import nvml_read
from ds01ctl.observe.child import Reporter
nvml = nvml_read.start(Reporter(os.memfd_create("told")))
assert nvml.pynvml.NVML_SUCCESS == 0
print(*sorted({"shutil", "subprocess", "tempfile"} & set(sys.modules)))
"""


def test_it_loads_no_more_than_it_needs() -> None:
    code = f"import sys; sys.path[:0] = {sys.path}\n{_CODE}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("\n", "")


def test_the_function_is_there_if_it_is_called() -> None:
    """And after that the module is."""
    was = sys.modules.get("ctypes.util")
    try:
        later = sys.modules["ctypes.util"] = nvml_read._Later("ctypes.util")
        assert (later.find_library("c") or "").startswith("libc.")
        assert sys.modules["ctypes.util"] is not later
    finally:
        if was is not None:
            sys.modules["ctypes.util"] = was
