"""Read the processes that use a GPU from /proc, and nothing of any other process.

Sources: proc(5); linux/fs/proc for what a process that ended gives.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from ds01ctl.core.model import Gap, Process
from ds01ctl.core.record import NamedTuple
from ds01ctl.errors import Ds01Error
from ds01ctl.observe import procfs
from ds01ctl.observe.clock import boot_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ds01ctl.paths import Paths

_CMDLINE_BYTES = 4096
_NO_LOGINUID = 4294967295
_WHOLE_RANGE = ((0, 0, 4294967295),)
# the name is in parentheses and may itself have any byte: the fields are counted after the last ")"
_STATE, _PPID, _START = 0, 1, 19


class ProcessesReading(NamedTuple):
    """What /proc told of the processes that were asked for."""

    processes: dict[int, Process]
    unreadable: dict[int, str]
    """By pid: what of a process that is there could not be read."""
    gone: frozenset[int]
    gaps: tuple[Gap, ...]


class Spot(NamedTuple):
    """When a process began, and where it runs."""

    started_at: datetime
    cgroup: str


class _Host(NamedTuple):
    proc: str
    booted: datetime
    ticks_per_s: int
    is_real: bool
    """This is the /proc of our own process, not a copy below another root."""


class _Stat(NamedTuple):
    comm: str
    state: str
    ppid: int
    start_ticks: int


class _Read(NamedTuple):
    """A process, and whether something kept us from its executable."""

    process: Process
    exe_denied: bool


class _Hidden(Exception):  # noqa: N818 -- it is no failure: the process is there, and not for us to see
    """The process is there, but may not be read."""


def read(pids: Iterable[int], *, paths: Paths) -> ProcessesReading:
    """Read these processes; one that ended is gone, one that may not be read leaves a gap.

    A number that no process can have is passed over: to kill(2), 0 would mean ourselves.
    """
    asked = sorted(pid for pid in set(pids) if procfs.is_pid(pid))
    if not asked:
        return ProcessesReading({}, {}, frozenset(), ())
    try:
        host = _host(paths)
    except Ds01Error as error:
        reason = error.message
        return ProcessesReading(
            {}, dict.fromkeys(asked, reason), frozenset(), (Gap("processes", "failed", reason),)
        )
    return _read_all(asked, host)


def spots(pids: Iterable[int], *, paths: Paths) -> dict[int, Spot]:
    """Read of these processes only where they run, which costs a quarter of read().

    One that is not told, for whatever reason, is one for read().
    """
    try:
        host = _host(paths)
    except Ds01Error:
        return {}
    asked = {pid for pid in pids if procfs.is_pid(pid)}
    return {pid: spot for pid in sorted(asked) if (spot := _spot(pid, host))}


def _spot(pid: int, host: _Host) -> Spot | None:
    try:
        # the open folder stays with this very process, as in _read_one
        folder = os.open(f"{host.proc}/{pid}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            stat = _stat(procfs.read("stat", folder=folder))
            cgroup = _cgroup(folder)
        finally:
            os.close(folder)
    except OSError:
        return None
    return None if cgroup is None else Spot(_started_at(stat, host), cgroup)


def _started_at(stat: _Stat, host: _Host) -> datetime:
    return host.booted + timedelta(seconds=stat.start_ticks / host.ticks_per_s)


def _read_all(asked: list[int], host: _Host) -> ProcessesReading:
    processes: dict[int, Process] = {}
    unreadable: dict[int, str] = {}
    gone: set[int] = set()
    roots_without_exe = 0
    for pid in asked:
        try:
            read = _read_one(pid, host)
        except _Hidden as hidden:
            unreadable[pid] = str(hidden)
            continue
        if read is None:
            gone.add(pid)
            continue
        process, exe_denied = read
        processes[pid] = process
        roots_without_exe += exe_denied and process.uid == 0
        if process.cgroup is None:
            unreadable[pid] = "its control group may not be read"
    gaps = (*_gaps_of(unreadable, len(asked)), *_gaps_of_exe(roots_without_exe))
    return ProcessesReading(processes, unreadable, frozenset(gone), gaps)


def _gaps_of(unreadable: dict[int, str], asked: int) -> Iterator[Gap]:
    if unreadable:
        pid, reason = next(iter(unreadable.items()))
        counted = f"{len(unreadable)} of {asked} processes that use a GPU cannot be read"
        yield Gap("processes", "denied", f"{counted} (pid {pid}: {reason}); run as root")


def _gaps_of_exe(roots: int) -> Iterator[Gap]:
    """Say that no process of root's can be told from a system process by what it runs."""
    if roots:
        counted = "1 process" if roots == 1 else f"{roots} processes"
        yield Gap("processes", "denied", f"the executables of {counted} of root (run as root)")


def _host(paths: Paths) -> _Host:
    try:
        is_real = (paths.proc / "self").readlink().name == str(os.getpid())
    except OSError:
        is_real = False
    return _Host(str(paths.proc), boot_time(paths), os.sysconf("SC_CLK_TCK"), is_real)


def _read_one(pid: int, host: _Host) -> _Read | None:
    """Read one process; None when it ended, or was replaced by another, before the end."""
    try:
        # the open folder stays with this very process, also when its pid is used again
        folder = os.open(f"{host.proc}/{pid}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return _read_folder(pid, folder, host)
        finally:
            os.close(folder)
    except PermissionError as error:
        raise _Hidden((error.strerror or "denied").lower()) from None
    except OSError:
        _check_not_hidden(pid, host)
        return None


def _check_not_hidden(pid: int, host: _Host) -> None:
    """Tell a process that hidepid hides from one that ended; signal 0 is never delivered."""
    if not host.is_real:
        return
    try:
        os.kill(pid, 0)
    except PermissionError:
        raise _Hidden("hidden by the mount option hidepid") from None
    except ProcessLookupError:
        return


def _read_folder(pid: int, folder: int, host: _Host) -> _Read | None:
    stat = _stat(procfs.read("stat", folder=folder))
    status = procfs.read("status", folder=folder)
    exe, exe_denied = _exe(folder)
    process = Process(
        pid=pid,
        start_ticks=stat.start_ticks,
        started_at=_started_at(stat, host),
        state=stat.state,
        ppid=stat.ppid,
        comm=stat.comm,
        uid=_real_uid(status),
        loginuid=_loginuid(folder),
        exe=exe,
        cmdline=_cmdline(folder),
        cgroup=_cgroup(folder),
        container_pid=_container_pid(status, pid),
        uid_map=_uid_map(folder),
    )
    after = _stat(procfs.read("stat", folder=folder))
    return _Read(process, exe_denied) if after.start_ticks == stat.start_ticks else None


def _stat(text: bytes) -> _Stat:
    before, _, after = text.rpartition(b")")
    fields = after.split()
    comm = before.partition(b"(")[2].decode("utf-8", "replace")
    return _Stat(comm, fields[_STATE].decode(), int(fields[_PPID]), int(fields[_START]))


def _status_field(status: bytes, name: bytes) -> list[bytes]:
    # safe to search: the kernel writes a newline in the process's name as \n here
    _, _, rest = status.partition(b"\n" + name + b":")
    return rest.partition(b"\n")[0].split()


def _real_uid(status: bytes) -> int:
    return int(_status_field(status, b"Uid")[0])


def _container_pid(status: bytes, pid: int) -> int | None:
    pids = _status_field(status, b"NSpid")
    innermost = int(pids[-1]) if pids else pid
    return innermost if len(pids) > 1 or innermost != pid else None


def _optional(name: str, folder: int, limit: int | None = None) -> bytes | None:
    """Read a file that the kernel, or a permission, may not give."""
    try:
        return procfs.read(name, folder=folder, limit=limit)
    except OSError:
        return None


def _loginuid(folder: int) -> int | None:
    text = _optional("loginuid", folder)
    uid = int(text) if text else _NO_LOGINUID
    return None if uid == _NO_LOGINUID else uid


def _exe(folder: int) -> tuple[str | None, bool]:
    """Read the path of the executable, and tell whether we were kept from it."""
    try:
        return os.readlink(b"exe", dir_fd=folder).decode("utf-8", "replace"), False
    except PermissionError:
        return None, True
    except OSError:
        # a zombie's or a kernel thread's
        return None, False


def _cmdline(folder: int) -> str | None:
    text = _optional("cmdline", folder, _CMDLINE_BYTES)
    if text is None:
        return None
    return text.rstrip(b"\0").replace(b"\0", b" ").decode("utf-8", "replace")


def _cgroup(folder: int) -> str | None:
    try:
        return procfs.cgroup_path(procfs.read("cgroup", folder=folder))
    except PermissionError:
        return None


def _uid_map(folder: int) -> tuple[tuple[int, int, int], ...]:
    lines = (_optional("uid_map", folder) or b"").rstrip(b"\n").split(b"\n")
    ranges = tuple((int(a), int(b), int(c)) for a, b, c in (line.split() for line in lines if line))
    return () if ranges == _WHOLE_RANGE else ranges
