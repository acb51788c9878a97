"""Ask a source that may hang for ever in a child process that can be left behind.

A driver call or a name service look-up that hangs cannot be interrupted from within. The child
writes what it learns, piece by piece, into a memory file, so that what it had when it was
killed is not lost, and so that it never waits for its reader.
"""

from __future__ import annotations

import gc
import os
import pickle  # reads only what our own child wrote
import select
import signal
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

from ds01ctl.core.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

_VALUE, _DOING, _ERROR = range(3)
_LENGTH_BYTES = 4
_PR_SET_PDEATHSIG = 1


class Answer(NamedTuple):
    """What a child had to say."""

    values: list[Any]
    finished: bool
    doing: str
    """The last thing it set out to do, for the message when it did not finish."""
    problem: str = ""
    """Why it did not finish: ``no answer in 10 s``, an exception, a signal."""


class Reporter:
    """The child's end: tell values, and what is being tried."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def tell(self, value: object) -> None:
        """Hand a value to the parent."""
        os.write(self._fd, record(_VALUE, value))

    def doing(self, what: str) -> None:
        """Say what comes next, so that a hang has a name."""
        os.write(self._fd, record(_DOING, what))

    def fail(self, error: BaseException | None) -> None:
        """Say what ended the child early."""
        os.write(self._fd, record(_ERROR, f"{type(error).__name__}: {error}"))


def record(kind: int, what: object) -> bytes:
    """Encode one record, its length first, so that half a record is known as such."""
    body = pickle.dumps((kind, what))
    return len(body).to_bytes(_LENGTH_BYTES, "little") + body


def whole_records(data: bytes) -> Iterator[tuple[int, Any]]:
    """Decode all records but one that was cut short by a kill."""
    at = 0
    while at + _LENGTH_BYTES <= len(data):
        start = at + _LENGTH_BYTES
        at = start + int.from_bytes(data[at:start], "little")
        if at <= len(data):
            yield pickle.loads(data[start:at])  # noqa: S301 -- our own child wrote it


class Child:
    """A function running in a forked child; start it early, collect it late, close it always.

    Start it from the main thread: the child dies with the thread that started it.
    """

    def __init__(
        self, work: Callable[[Reporter], None], *, lifetime_s: float | None = None
    ) -> None:
        """Fork. A child with a lifetime ends itself then, else when its parent dies.

        The lifetime costs nothing; to hear of the parent's death takes 6 ms, for ctypes.
        """
        self._lifetime_s = lifetime_s
        self._memory = os.memfd_create("ds01ctl-child", os.MFD_CLOEXEC)
        parent = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            self._run(work, parent)
        self._started = time.monotonic()
        self._exited = os.pidfd_open(self._pid)
        self._closed = False

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def collect(self, deadline_s: float) -> Answer:
        """Wait until the child is done, or the deadline since its start has passed; then end it."""
        left = deadline_s - (time.monotonic() - self._started)
        in_time = self._wait(max(left, 0))
        status = self._end()
        answer = self._read(f"no answer in {deadline_s:g} s" if not in_time else _death(status))
        self._forget()
        return answer

    def close(self) -> None:
        """End the child if it still runs; harmless after collect."""
        if not self._closed:
            self._end()
            self._forget()

    def _run(self, work: Callable[[Reporter], None], parent: int) -> NoReturn:
        """Do the work in the child, and never return into the parent's program."""
        reporter = Reporter(self._memory)
        status = 1
        try:
            # a ^C on the terminal is for the parent, which then kills us
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            gc.disable()  # it ends before there is anything to collect
            _let_go_of_files(self._memory)
            if self._lifetime_s is None:
                _die_with(parent)
            else:
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
                signal.setitimer(signal.ITIMER_REAL, self._lifetime_s)
            work(reporter)
            status = 0
        finally:
            if status:
                reporter.fail(sys.exc_info()[1])
            os._exit(status)

    def _wait(self, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self._exited, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def _end(self) -> int | None:
        """Kill and reap; a child in uninterruptible sleep is left to the kernel."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._exited, signal.SIGKILL)
        self._wait(0.2)
        pid, status = os.waitpid(self._pid, os.WNOHANG)
        return status if pid else None

    def _read(self, problem: str) -> Answer:
        values: list[Any] = []
        doing = ""
        size = os.fstat(self._memory).st_size
        for kind, what in whole_records(os.pread(self._memory, size, 0)):
            if kind == _VALUE:
                values.append(what)
            elif kind == _DOING:
                doing = what
            else:
                problem = what
        return Answer(values, not problem, doing, problem)

    def _forget(self) -> None:
        self._closed = True
        os.close(self._exited)
        os.close(self._memory)


def _death(status: int | None) -> str:
    """Say how a child ended that was not late; nothing if all went well."""
    if status == 0:
        return ""
    code = os.waitstatus_to_exitcode(status) if status is not None else 1
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"


def _let_go_of_files(memory: int) -> None:
    """Keep only the memory file.

    A child that cannot be killed must hold neither the parent's locks nor the pipe of the
    program that reads the parent's output.
    """
    null = os.open(os.devnull, os.O_RDWR)
    for fd in range(3):
        os.dup2(null, fd)
    # not closerange: without close_range(2) it walks up to RLIMIT_NOFILE, which may be 10^9
    for fd in map(int, os.listdir("/proc/self/fd")):  # noqa: PTH208 -- only the names, and fast
        if fd > 2 and fd != memory:
            with suppress(OSError):  # the listing's own
                os.close(fd)


def _die_with(parent: int) -> None:
    """Ask the kernel to kill this process when its parent dies (prctl(2))."""
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)
