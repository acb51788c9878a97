"""Run commands in the guest over one ssh connection that stays open."""

from __future__ import annotations

import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from tests.host.qemu import die_with_parent

if TYPE_CHECKING:
    from pathlib import Path


class Ran(NamedTuple):
    """What a command in the guest left behind."""

    status: int
    out: str
    err: str


class Connection:
    """One authenticated connection; every command is a channel in it, and costs no handshake."""

    def __init__(self, folder: Path, key: Path, port: int) -> None:
        self._socket = folder / "ssh"
        self._argv = [
            "ssh",
            *("-F", "none", "-i", str(key), "-p", str(port)),
            *("-o", f"ControlPath={self._socket}"),
            *("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"),
            *("-o", "BatchMode=yes", "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=10"),
            *("-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=8"),
        ]
        self._master: subprocess.Popen[bytes] | None = None

    def open(self, timeout_s: float) -> None:
        """Connect, as soon as the guest lets us in; TimeoutError when it never does."""
        waiting_until = time.monotonic() + timeout_s
        while time.monotonic() < waiting_until:
            if self._connect(waiting_until):
                return
            time.sleep(0.2)
        raise TimeoutError(f"no ssh connection in {timeout_s:g} s")

    def _connect(self, waiting_until: float) -> bool:
        self.close()
        self._master = subprocess.Popen(
            [*self._argv, "-M", "-N", "root@127.0.0.1"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
        while self._master.poll() is None and time.monotonic() < waiting_until:
            if self._socket.exists():
                return True
            time.sleep(0.05)
        return False

    @property
    def pid(self) -> int:
        """The process that holds the connection; 0 while there is none."""
        return self._master.pid if self._master else 0

    def argv(self, command: str, *options: str) -> list[str]:
        """Return what runs a command line of the guest's shell over this connection."""
        return [*self._argv, "-o", "ControlMaster=no", *options, "root@127.0.0.1", command]

    def run(
        self, command: str, *, timeout_s: float, stdin: bytes = b""
    ) -> tuple[int, bytes, bytes]:
        """Run a command line in the guest's shell; return its status and what it printed."""
        done = subprocess.run(
            self.argv(command), input=stdin, capture_output=True, timeout=timeout_s, check=False
        )
        return done.returncode, done.stdout, done.stderr

    def start(self, command: str) -> subprocess.Popen[bytes]:
        """Start a command line in the guest's shell and let it run beside the others."""
        return subprocess.Popen(
            self.argv(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=die_with_parent,
        )

    def close(self) -> None:
        """Hang up."""
        if self._master is None:
            return
        self._master.terminate()
        self._master.wait()
        self._master = None
        with suppress(FileNotFoundError):
            self._socket.unlink()
