"""When somebody last did something in a container: at a terminal, or by a command run in it.

All from the host's /proc, nothing is run in the container. An open terminal that is silent is no
activity; a program that writes to it is. Sources: proc(5), tty(4), devices.txt of the kernel.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.core import health_check
from ds01ctl.core.cleanup_model import Reading
from ds01ctl.observe import procfs
from ds01ctl.observe.cleanup_cgroups import GONE, TooMany

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ds01ctl.core.cleanup_model import Clock
    from ds01ctl.observe.cleanup_cgroups import Groups, Hierarchies

_PTS_MAJORS = range(136, 144)
"""UNIX98_PTY_SLAVE_MAJOR and the seven after it."""
_MOST_BYTES = 1 << 20
_MOST_MOUNTS = 32
# counted after the last ")" of /proc/PID/stat
_PPID, _TTY, _START = 1, 4, 19
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_MAJOR_BITS, _MAJOR_SHIFT = 0xFFF00, 8
_TERMINALS = b"devpts"


class _Process(NamedTuple):
    pid: int
    ppid: int
    tty: int
    """The device number of its controlling terminal, as new_encode_dev() writes it; 0: none."""
    start_ticks: int


class _Act(NamedTuple):
    at: float
    what: str


def read(
    hierarchies: Hierarchies,
    groups: Groups,
    init: int,
    *,
    proc: str,
    clock: Clock,
    health_command: Sequence[str] = (),
) -> Reading:
    """Read when something was last done, seconds since 1970; 0: never, as far as can be seen.

    init: the pid of its first process. health_command: what its engine runs, which nobody does.
    """
    try:
        pids = hierarchies.processes(groups)
        if isinstance(pids, TooMany):
            return Reading("failed", detail=pids.what)
        act = _newest(pids, init, proc, clock, health_command)
    except OSError as error:
        return Reading("failed", detail=f"sessions: {(error.strerror or 'unreadable').lower()}")
    except (ValueError, IndexError):
        return Reading("failed", detail="/proc/PID/stat: not understood")
    # times of a clock that was set back since, or that somebody made up
    return Reading("known", max(0.0, min(act.at, clock.now.timestamp())), act.what)


def _newest(
    pids: Sequence[int], init: int, proc: str, clock: Clock, health_command: Sequence[str]
) -> _Act:
    inside = set(pids)
    newest = _Act(0.0, f"{len(inside)} processes, no terminal and no command run in it")
    terminals = _Terminals(proc)
    for pid in inside:
        process = _process(pid, proc)
        if process is None:
            continue
        acts = []
        # who has no parent in here was put in from outside: docker exec
        if (
            pid != init
            and process.ppid not in inside
            and not _is_health_check(pid, proc, health_command)
        ):
            acts.append(_Act(_started_at(process, clock), f"command run in it (pid {pid})"))
        if _is_terminal(process.tty) and (act := terminals.of(process)):
            acts.append(act)
        newest = max([newest, *acts], key=lambda act: act.at)
    return newest


def _process(pid: int, proc: str) -> _Process | None:
    try:
        text = procfs.read(f"{proc}/{pid}/stat")
    except OSError as error:
        if error.errno in GONE:
            return None
        raise
    fields = text.rpartition(b")")[2].split()
    return _Process(pid, int(fields[_PPID]), int(fields[_TTY]), int(fields[_START]))


def _is_health_check(pid: int, proc: str, command: Sequence[str]) -> bool:
    if not command:
        return False
    try:
        line = procfs.read_bounded(f"{proc}/{pid}/cmdline", _MOST_BYTES)
    except OSError as error:
        if error.errno in GONE:
            return True
        raise
    return health_check.is_run_by(line.removesuffix(b"\0").split(b"\0") if line else (), command)


def _started_at(process: _Process, clock: Clock) -> float:
    """Reckon back from now: the time of the boot by the wall moves with the clock."""
    age_s = clock.boottime_s - process.start_ticks / _TICKS_PER_S
    return clock.now.timestamp() - max(age_s, 0.0)


def _is_terminal(tty: int) -> bool:
    # major in bits 8 to 19 (include/linux/kdev_t.h)
    return (tty & _MAJOR_BITS) >> _MAJOR_SHIFT in _PTS_MAJORS


# --- terminals --------------------------------------------------------------------------------
#
# What fd/0 leads to is the user's to choose. To ask a file for its times may mean to ask a file
# system of his, or one whose server is dead, and to wait for ever. So it is asked only where the
# kernel itself says that it lies on devpts, and the file that is asked is held meanwhile.


class _Terminals:
    """The terminals of one container, each looked at once."""

    def __init__(self, proc: str) -> None:
        self._proc = proc
        self._looked: set[tuple[int, int]] = set()
        self._is_devpts: dict[int, bool] = {}
        """By the id of a mount, which is the same for all."""

    def of(self, process: _Process) -> _Act | None:
        """Read when a process's terminal was last read from or written to.

        None: its input is something else, or that was read already. Raises OSError.
        """
        folder = f"{self._proc}/{process.pid}"
        try:
            mount = _mount_id(f"{folder}/fdinfo/0")
            if (process.tty, mount) in self._looked or not self._may_be_asked(mount, folder):
                return None
            self._looked.add((process.tty, mount))
            return _times(folder, mount)
        except OSError as error:
            if error.errno in GONE:
                return None
            raise

    def _may_be_asked(self, mount: int, folder: str) -> bool:
        if mount not in self._is_devpts:
            if len(self._is_devpts) == _MOST_MOUNTS:
                raise OSError(errno.E2BIG, f"input from more than {_MOST_MOUNTS} file systems")
            self._is_devpts[mount] = _is_devpts(mount, folder)
        return self._is_devpts[mount]


def _times(folder: str, mount: int) -> _Act | None:
    # O_PATH opens nothing, neither the terminal nor what may have taken its place
    held = os.open(f"{folder}/fd/0", os.O_PATH | os.O_CLOEXEC)
    try:
        if _mount_id(f"/proc/self/fdinfo/{held}") != mount:
            return None
        status = os.fstat(held)
    finally:
        os.close(held)
    if not stat.S_ISCHR(status.st_mode) or os.major(status.st_rdev) not in _PTS_MAJORS:
        return None
    at = max(status.st_atime, status.st_mtime)
    return _Act(at, f"terminal pts/{os.minor(status.st_rdev)}")


def _mount_id(file: str) -> int:
    for line in procfs.read(file).split(b"\n"):
        name, _, value = line.partition(b":")
        if name == b"mnt_id":
            return int(value)
    return -1


def _is_devpts(mount: int, folder: str) -> bool:
    """Look a mount up among those that the process sees; one of another namespace is not there."""
    prefix = b"%d " % mount
    with suppress(ValueError):
        for line in procfs.read_bounded(f"{folder}/mountinfo", _MOST_BYTES).split(b"\n"):
            if line.startswith(prefix):
                # blanks in names are written as \040
                return line[line.index(b" - ") + 3 :].split(b" ", 1)[0] == _TERMINALS
    return False
