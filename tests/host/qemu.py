"""Start, save, restore and stop the emulator; it never outlives the process that started it."""

from __future__ import annotations

import ctypes
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.host.image import Image

MEMORY_MIB = 3072
# blank disks of the guest: /dev/vdb and /dev/vdc
EXTRA_DISKS = ("vdb", "vdc")
EXTRA_DISK_SIZE = 1 << 30
_STOP_S = 10.0
_MONITOR_S = 120.0
_KERNEL = (
    "root=/dev/vda rw console=ttyS0 net.ifnames=0 mitigations=off no5lvl "
    "systemd.show_status=false quiet"
)
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent() -> None:
    """Let the kernel kill this process when the one that started it ends, however it ends."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Scratch:
    """A temporary folder that goes away with this process, even when that is killed."""

    def __enter__(self) -> Path:
        """Make the folder."""
        self.path = Path(tempfile.mkdtemp(prefix="ds01-host-"))
        # it reads from a pipe that nobody writes to: the end comes when we close it, or die
        self._reaper = subprocess.Popen(
            ["sh", "-c", 'cat >/dev/null; rm -rf "$1"', "sh", str(self.path)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        return self.path

    def __exit__(self, *_: object) -> None:
        """Delete the folder and everything in it."""
        if self._reaper.stdin:
            self._reaper.stdin.close()
        self._reaper.wait()


class Emulator:
    """One QEMU process on a disk of its own, laid over one that is only read."""

    def __init__(self, image: Image, folder: Path, *, saved: Path | None = None) -> None:
        self.console = folder / "console.log"
        self._monitor_path = folder / "monitor"
        self.disk = folder / "disk.qcow2"
        lower, form = (saved / "disk.qcow2", "qcow2") if saved else (image.disk, "raw")
        _create_overlay(self.disk, lower, form)
        for name in EXTRA_DISKS:
            with (folder / f"{name}.img").open("wb") as extra:
                extra.truncate(EXTRA_DISK_SIZE)
        incoming = ["-incoming", f"exec:cat '{saved}/memory'"] if saved else []
        with (folder / "qemu.log").open("wb") as log:
            self._process = subprocess.Popen(
                [*_argv(image, folder), *incoming],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_first_of_all,
            )
        try:
            self._monitor = Monitor(self._monitor_path, self._process)
            if saved:
                self._wait_for("query-status", "status", "running")
        except BaseException:
            self.stop()
            raise

    @property
    def pid(self) -> int:
        """The emulator's process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the emulator still runs."""
        return self._process.poll() is None

    def ssh_port(self) -> int:
        """Tell the loopback port that leads to the guest's sshd; QEMU chose a free one."""
        said = self._monitor.human("info usernet")
        found = re.search(r"TCP\[HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)", said)
        if not found:
            raise RuntimeError(f"no forwarded port in {said!r}")
        return int(found[1])

    def save(self, folder: Path) -> None:
        """Keep memory and disk of this very moment, and stop: it can be resumed many times."""
        self._monitor.ask("migrate", uri=f"exec:cat >'{folder}/memory'")
        self._wait_for("query-migrate", "status", "completed")
        self.stop()
        shutil.copy(self.disk, folder / "disk.qcow2")

    def _wait_for(self, question: str, key: str, wanted: str) -> None:
        waiting_until = time.monotonic() + _MONITOR_S
        while (now := self._monitor.ask(question).get(key)) != wanted:
            if now == "failed" or time.monotonic() > waiting_until:
                raise RuntimeError(f"{question}: {now}, not {wanted}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Switch the machine off; its disk is thrown away anyway."""
        with suppress(AttributeError):
            self._monitor.close()
        self._process.terminate()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _first_of_all() -> None:
    """Go before other tests: the guest's time limits are the product's, and it emulates slowly."""
    die_with_parent()
    with suppress(OSError):
        os.nice(-10)
        # where sessions share the processor as groups, a group has its own
        Path("/proc/self/autogroup").write_text("-10")


class Monitor:
    """QEMU's control socket: one JSON object a line, each way."""

    def __init__(self, path: Path, process: subprocess.Popen[bytes]) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(_MONITOR_S)
        self._connect(path, process)
        self._lines = self._socket.makefile("r", encoding="utf-8")
        self._lines.readline()
        self.ask("qmp_capabilities")

    def _connect(self, path: Path, process: subprocess.Popen[bytes]) -> None:
        waiting_until = time.monotonic() + 20
        while True:
            try:
                return self._socket.connect(str(path))
            except OSError:
                if process.poll() is not None or time.monotonic() > waiting_until:
                    log = path.with_name("qemu.log").read_text(errors="replace")
                    raise RuntimeError(f"QEMU did not start:\n{log[-2000:]}") from None
                time.sleep(0.05)

    def ask(self, command: str, **arguments: Any) -> Any:
        """Give a command and return its answer; what happened in between is passed over."""
        question = json.dumps({"execute": command, "arguments": arguments})
        self._socket.sendall(question.encode() + b"\n")
        while line := self._lines.readline():
            answer = json.loads(line)
            if "error" in answer:
                raise RuntimeError(f"{command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]
        raise RuntimeError(f"{command}: QEMU is gone")

    def human(self, line: str) -> str:
        """Give a command of the monitor for people, for what the other one has not."""
        return str(self.ask("human-monitor-command", **{"command-line": line}))

    def close(self) -> None:
        """Let go of the socket."""
        self._lines.close()
        self._socket.close()


def version() -> str:
    """Name this QEMU: memory saved by one is not for another."""
    told = subprocess.run(
        ["qemu-system-x86_64", "--version"], capture_output=True, text=True, check=True
    )
    return told.stdout.splitlines()[0]


def _create_overlay(disk: Path, lower: Path, form: str) -> None:
    argv = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", form, "-b", str(lower), str(disk)]
    subprocess.run(argv, check=True, capture_output=True, stdin=subprocess.DEVNULL)


def _argv(image: Image, folder: Path) -> Sequence[str]:
    drive = "if=virtio,cache=unsafe,format={},file={}".format
    extra = (("-drive", drive("raw", folder / f"{name}.img")) for name in EXTRA_DISKS)
    return [
        "qemu-system-x86_64",
        # KVM is not tried: its device may be there and still not boot a stock kernel
        *("-accel", "tcg,thread=multi"),
        *("-cpu", "max"),
        *("-smp", "2"),
        *("-m", str(MEMORY_MIB)),
        *("-nodefaults", "-display", "none"),
        *("-kernel", str(image.kernel), "-initrd", str(image.initrd), "-append", _KERNEL),
        *("-drive", drive("qcow2", folder / "disk.qcow2")),
        *(word for pair in extra for word in pair),
        # the guest reaches nothing, and only this machine reaches the guest
        *("-netdev", "user,id=n,restrict=on,hostfwd=tcp:127.0.0.1:0-10.0.2.15:22"),
        *("-device", "virtio-net-pci,netdev=n,romfile="),
        *("-device", "virtio-rng-pci"),
        *("-serial", f"file:{folder}/console.log"),
        *("-qmp", f"unix:{folder}/monitor,server=on,wait=off"),
    ]
