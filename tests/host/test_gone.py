"""Nothing of the machine outlives the run that started it, however that ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.host import booted
from tests.host.wheels import TREE

if TYPE_CHECKING:
    from tests.host.image import Image

# what a test run does, in a process of its own that can be killed
RUN = """
import signal, sys, time
from pathlib import Path
from tests.host.image import Image
from tests.host.machine import Machine
# a shell's background job is born deaf to it
signal.signal(signal.SIGINT, signal.default_int_handler)
with Machine(Image(Path(sys.argv[1])), saved=Path(sys.argv[2])) as machine:
    print(machine.folder, *machine.pids(), flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left(host_image: Image, end: signal.Signals) -> None:
    run = subprocess.Popen(
        [sys.executable, "-c", RUN, str(host_image.folder), str(booted.ready(host_image))],
        cwd=TREE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with run:
        folder, *pids = run.stdout.readline().split() if run.stdout else []
        left = [Path(folder), *(Path("/proc", pid) for pid in pids)]
        assert len(left) == 3
        assert all(path.exists() for path in left)
        run.send_signal(end)
    waiting_until = time.monotonic() + 20
    while any(_there(path) for path in left) and time.monotonic() < waiting_until:
        time.sleep(0.1)
    assert [path for path in left if _there(path)] == []


def _there(path: Path) -> bool:
    # a process that nobody has waited for is gone all the same
    with suppress(OSError):
        return "State:\tZ" not in (path / "status").read_text()
    return path.exists()
