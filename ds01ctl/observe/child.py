"""Ask a source that may hang for ever in a child process that can be left behind.

A driver call or a name service look-up that hangs cannot be interrupted from within. The child
writes what it learns, piece by piece, into a memory file, so that what it had when it was
killed is not lost, and so that it never waits for its reader.
"""

from __future__ import annotations

import os
import pickle  # reads only what our own child wrote
import select
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


class Answer(NamedTuple):
    """What a child had to say."""

    values: list[Any]
    finished: bool
    doing: str
    """The last thing it set out to do, for the message when it did not finish."""


class Reporter:
    """The child's end: tell values, and what is being tried."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def tell(self, value: object) -> None:
        """Hand a value to the parent."""
        pickle.dump((True, value), self._file)
        self._file.flush()

    def doing(self, what: str) -> None:
        """Say what comes next, so that a hang has a name."""
        pickle.dump((False, what), self._file)
        self._file.flush()


class Child:
    """A function running in a forked child; start it early, collect it late."""

    def __init__(self, work: Callable[[Reporter], None]) -> None:
        self._memory = os.memfd_create("ds01ctl-child", os.MFD_CLOEXEC)
        self._pid = os.fork()
        if self._pid == 0:
            self._run(work)
        self._started = time.monotonic()
        self._exited = os.pidfd_open(self._pid)

    def _run(self, work: Callable[[Reporter], None]) -> None:
        status = 1
        try:
            # a ^C on the terminal is for the parent, which then kills us
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            with os.fdopen(self._memory, "wb", buffering=0, closefd=False) as file:
                work(Reporter(file))
            status = 0
        finally:
            os._exit(status)

    def collect(self, deadline_s: float) -> Answer:
        """Wait until the child is done, or the deadline since its start has passed; then end it."""
        poll = select.poll()
        poll.register(self._exited, select.POLLIN)
        left = deadline_s - (time.monotonic() - self._started)
        in_time = bool(poll.poll(max(left, 0) * 1000))
        status = self._end()
        values, doing = self._read()
        return Answer(values, in_time and status == 0, doing)

    def _end(self) -> int | None:
        """Kill and reap; a child in uninterruptible sleep is left to the kernel."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._exited, signal.SIGKILL)
        poll = select.poll()
        poll.register(self._exited, select.POLLIN)
        poll.poll(200)
        pid, status = os.waitpid(self._pid, os.WNOHANG)
        os.close(self._exited)
        return status if pid else None

    def _read(self) -> tuple[list[Any], str]:
        values: list[Any] = []
        doing = ""
        with os.fdopen(self._memory, "rb") as file:
            file.seek(0)
            # the last record may be cut short by the kill
            with suppress(EOFError, pickle.UnpicklingError):
                while True:
                    is_value, what = pickle.load(file)  # noqa: S301 -- our own child wrote it
                    if is_value:
                        values.append(what)
                    else:
                        doing = what
        return values, doing
