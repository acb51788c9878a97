"""What a container has used since it started, from its own control group, and who is in it.

Its own group is the one that bears its id, not one that systemd or podman made inside. On hosts
with v1, each controller may put it elsewhere; on hybrid ones only v1 counts CPU and block IO.
Sources: the kernel's cgroup-v2.rst, cgroup-v1/cpuacct.rst and blkio-controller.rst.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.core.cleanup_model import Reading
from ds01ctl.observe import procfs

if TYPE_CHECKING:
    from collections.abc import Callable

    from ds01ctl.paths import Paths

    Parse = Callable[[bytes], int]

GONE = frozenset({errno.ENOENT, errno.ENODEV, errno.ESRCH, errno.ENOTDIR})
"""What the kernel says of a group or process that ended."""
MOST_PROCESSES = 1000
"""Of one container: whoever starts more is not looked through."""
_MOST_GROUPS = 256
_MOST_BYTES = 1 << 20
_ROOT = "/sys/fs/cgroup"
_V2 = ""
_CPU, _BLOCK_IO = "cpuacct", "blkio"
_USED = b"usage_usec "
_COUNTED_V2 = frozenset({b"rbytes", b"wbytes"})
_COUNTED_V1 = frozenset({b"Read", b"Write"})
# the first also counts what is done in groups below
_BLOCK_IO_FILES = ("blkio.throttle.io_service_bytes_recursive", "blkio.throttle.io_service_bytes")

Groups = dict[str, str]
"""By controller of v1, or the empty text for v2: the path of a container's own group."""


class TooMany(NamedTuple):
    """A container holds more than is looked through."""

    what: str


class Hierarchies:
    """The control groups of one host."""

    def __init__(self, paths: Paths) -> None:
        self._root = str(paths.under(_ROOT))
        is_v2 = os.path.exists(f"{self._root}/cgroup.controllers")  # noqa: PTH110 -- text, fast
        self._v2 = self._root if is_v2 else f"{self._root}/unified"

    def cpu(self, groups: Groups) -> Reading:
        """Read the CPU time, microseconds."""
        if path := groups.get(_CPU):
            file = f"{self._v1(_CPU, path)}/cpuacct.usage"
            return _expected(_reading(file, lambda text: int(text) // 1000))
        if path := groups.get(_V2):
            return _expected(_reading(f"{self._v2}{path}/cpu.stat", _usage))
        return Reading("failed", detail="no control group counts its CPU time")

    def block_io(self, groups: Groups) -> Reading:
        """Read the bytes read and written on block devices; absent where nobody counts them."""
        if path := groups.get(_BLOCK_IO):
            folder = self._v1(_BLOCK_IO, path)
            files = [f"{folder}/{name}" for name in _BLOCK_IO_FILES]
            return _first(files, _v1_bytes)
        if path := groups.get(_V2):
            return _first([f"{self._v2}{path}/io.stat"], _v2_bytes)
        return Reading("absent", detail="no control group counts its block IO")

    def processes(self, groups: Groups) -> list[int] | TooMany:
        """List the pids in a container's group and all groups below. Raises OSError."""
        path = groups.get(_CPU)
        top = self._v1(_CPU, path) if path else f"{self._v2}{groups[_V2]}"
        found: list[int] = []
        folders, seen = [top], 0
        while folders:
            folder = folders.pop()
            seen += 1
            try:
                found += _procs(folder)
                folders += _below(folder)
            except OSError as error:
                # one inside may go at any time; a threaded one's processes are told above it
                if folder == top or error.errno not in GONE | {errno.EOPNOTSUPP}:
                    raise
            if len(found) > MOST_PROCESSES:
                return TooMany(f"more than {MOST_PROCESSES} processes")
            if seen + len(folders) > _MOST_GROUPS:
                return TooMany(f"more than {_MOST_GROUPS} control groups")
        return found

    def _v1(self, controller: str, path: str) -> str:
        # a mount of several controllers has a link for each
        return f"{self._root}/{controller}{path}"


def own_groups(container_id: str, text: bytes) -> Groups:
    """Read from /proc/PID/cgroup where a container's own groups are; none if it is another's."""
    found: Groups = {}
    # a name may have any byte but this one
    for line in text.split(b"\n"):
        _, _, rest = line.partition(b":")
        controllers, _, where = rest.partition(b":")
        path = _cut_at(container_id, where.decode("utf-8", "surrogateescape"))
        if path is not None:
            for controller in controllers.decode("utf-8", "replace").split(","):
                found[controller] = path
    return found


def _cut_at(container_id: str, path: str) -> str | None:
    """Cut below the first element that bears the id; elements are compared, not substrings."""
    elements = path.split("/")
    for depth, element in enumerate(elements):
        bare = element.removesuffix(".scope")
        if bare.endswith(container_id) and bare[: -len(container_id)][-1:] in {"", "-", ":"}:
            return "/".join(elements[: depth + 1])
    return None


def _expected(reading: Reading) -> Reading:
    """A group without this file is none of a container that runs."""
    return reading._replace(state="failed") if reading.state == "absent" else reading


def _first(files: list[str], parse: Parse) -> Reading:
    """Read the first file that is there."""
    for file in files:
        reading = _reading(file, parse)
        if reading.state != "absent":
            return reading
    return reading


def _reading(file: str, parse: Parse) -> Reading:
    try:
        value = parse(procfs.read_bounded(file, _MOST_BYTES))
    except OSError as error:
        detail = f"{file}: {(error.strerror or 'unreadable').lower()}"
        return Reading("absent" if error.errno == errno.ENOENT else "failed", detail=detail)
    except ValueError:
        return Reading("failed", detail=f"{file}: not understood")
    return Reading("known", float(value), file)


def _usage(text: bytes) -> int:
    for line in text.split(b"\n"):
        if line.startswith(_USED):
            return int(line[len(_USED) :])
    raise ValueError


def _v2_bytes(text: bytes) -> int:
    """Sum ``8:0 rbytes=1 wbytes=2 rios=…`` over all devices."""
    total = 0
    for line in text.split(b"\n"):
        for field in line.split(b" ")[1:]:
            name, _, count = field.partition(b"=")
            if name in _COUNTED_V2:
                total += int(count)
    return total


def _v1_bytes(text: bytes) -> int:
    """Sum ``8:0 Read 1`` and ``8:0 Write 2`` over all devices."""
    rows = (line.split() for line in text.split(b"\n"))
    return sum(int(row[2]) for row in rows if len(row) == 3 and row[1] in _COUNTED_V1)


def _procs(folder: str) -> list[int]:
    text = procfs.read_bounded(f"{folder}/cgroup.procs", _MOST_BYTES)
    return [pid for word in text.split() if procfs.is_pid(pid := int(word))]


def _below(folder: str) -> list[str]:
    # two links are a folder's own: most containers have no group inside
    if os.stat(folder).st_nlink == 2:  # noqa: PTH116 -- hundreds of them
        return []
    with os.scandir(folder) as entries:
        return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
