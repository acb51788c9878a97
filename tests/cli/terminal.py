"""A terminal of a test's own: type, wait for what appears, and take the exit code."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.cli.conftest import Host

PATIENCE_S = 60.0


class Terminal:
    """The keys and the screen of one running program."""

    def __init__(self, running: subprocess.Popen[bytes], master: int) -> None:
        self._running = running
        self._master = master

    def type(self, keys: str | bytes) -> None:
        """Press keys."""
        os.write(self._master, keys.encode() if isinstance(keys, str) else keys)

    def until(self, text: str) -> str:
        """Give all that appears up to a text; fails where it never does."""
        seen = ""
        while text not in seen:
            part = self._read()
            assert part, f"{text!r} never came: {seen}"
            seen += part
        return seen

    def rest(self) -> str:
        """Give all that still appears."""
        seen = ""
        while part := self._read():
            seen += part
        return seen

    def status(self) -> int:
        """Wait for the end, and give the exit code."""
        return self._running.wait(PATIENCE_S)

    def _read(self) -> str:
        until = time.monotonic() + PATIENCE_S
        if not select.select([self._master], [], [], until - time.monotonic())[0]:
            raise TimeoutError
        with suppress(OSError):  # EIO: the program has gone
            return os.read(self._master, 65536).decode(errors="replace")
        return ""


@contextmanager
def on_pty(
    host: Host, *arguments: object, rows: int = 50, columns: int = 200
) -> Iterator[Terminal]:
    """Run ``ds01ctl`` on a terminal of so many rows and columns."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    env = {name: value for name, value in host.env.items() if name not in {"COLUMNS", "LINES"}}

    def take() -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    running = subprocess.Popen(
        [sys.executable, "-m", "ds01ctl", *map(str, arguments)],
        env={**env, "TERM": "xterm"},
        stdin=slave, stdout=slave, stderr=slave, start_new_session=True, preexec_fn=take,
    )  # fmt: skip
    os.close(slave)
    try:
        yield Terminal(running, master)
    finally:
        running.kill()
        running.wait()
        os.close(master)
