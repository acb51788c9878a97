"""The first process of the guest: makes an overlay root, mounts the disks, runs a command, ends.

Its argument is a file of JSON: ``argv``, ``folder`` and ``env`` of the command (the kernel's own
command line is short). Nothing but the standard library: this runs before there is anything.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import socket
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

BEGIN = "======== inside: begin"
END = "======== inside: status"
_FINIT_MODULE = 313
_BIND = 4096
_BASE = "/mnt"
_MODULES = ("quota/quota_tree.ko", "quota/quota_v2.ko", "overlayfs/overlay.ko")
# the device, where it is mounted, type and options; see this package's docstring
_DISKS = (
    ("/dev/ubda", "/home", "xfs", "uquota,gquota,pquota"),
    ("/dev/ubdb", "/scratch", "ext4", "usrquota,grpquota,prjquota,noinit_itable"),
    ("/dev/ubdc", "/plain", "ext4", "noinit_itable"),
    ("/dev/ubdd", "/plainxfs", "xfs", ""),
)
_LIBC = ctypes.CDLL(None, use_errno=True)


def _load(module: Path) -> None:
    """Load a kernel module, as insmod does."""
    fd = os.open(module, os.O_RDONLY)
    _check(_LIBC.syscall(_FINIT_MODULE, fd, b"", 0), f"insmod {module}")
    os.close(fd)


def _mount(source: str, point: str, kind: str, options: str = "", flags: int = 0) -> None:
    names = [text.encode() for text in (source, point, kind)]
    _check(_LIBC.mount(*names, flags, options.encode()), f"mount {source} on {point}")


def _check(status: int, what: str) -> None:
    if status:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _make_root() -> None:
    """Make an overlay of the machine's files the root."""
    _mount("upper", _BASE, "tmpfs", "mode=755")
    for name in ("upper", "work", "root"):
        Path(_BASE, name).mkdir(mode=0o755)
    _mount("overlay", f"{_BASE}/root", "overlay",
           f"lowerdir=/,upperdir={_BASE}/upper,workdir={_BASE}/work")  # fmt: skip
    os.chroot(f"{_BASE}/root")
    os.chdir("/")
    _mount("proc", "/proc", "proc")
    _mount("sysfs", "/sys", "sysfs")
    _mount("devtmpfs", "/dev", "devtmpfs")
    _mount("tmpfs", "/run", "tmpfs", "mode=755")
    # not over /tmp: the code under test may lie there
    Path("/run/tmp").mkdir()
    Path("/run/tmp").chmod(0o1777)


def _mount_disks(keep: list[str]) -> None:
    """Mount the disks; folders to keep stay in sight though a disk be mounted above them."""
    Path("/etc/mtab").unlink(missing_ok=True)
    Path("/etc/mtab").symlink_to("/proc/self/mounts")
    points = [point for _, point, _, _ in _DISKS]
    kept = {path: f"/run/kept{number}" for number, path in enumerate(keep) if _below(path, points)}
    for path, aside in kept.items():
        Path(aside).mkdir()
        _mount(path, aside, "", flags=_BIND)
    for device, point, kind, options in _DISKS:
        Path(point).mkdir(exist_ok=True)
        _mount(device, point, kind, options)
    for path, aside in kept.items():
        Path(path).mkdir(parents=True, exist_ok=True)
        _mount(aside, path, "", flags=_BIND)


def _below(path: str, points: list[str]) -> bool:
    return any(Path(point) in Path(path).parents for point in points)


def _run(job: dict[str, Any]) -> int:
    print(BEGIN, flush=True)
    return subprocess.run(
        job["argv"], cwd=job["folder"], env=job["env"], check=False, stdin=subprocess.DEVNULL
    ).returncode


def main() -> None:
    """Do it all, and power off; whatever happens."""
    status = 99
    try:
        job = json.loads(Path(sys.argv[1]).read_text())
        modules = Path("/usr/lib/uml/modules", platform.release(), "kernel/fs")
        for name in _MODULES:
            _load(modules / name)
        _make_root()
        _mount_disks(job["keep"])
        socket.sethostname("uml")
        status = _run(job)
    except (OSError, ValueError, subprocess.SubprocessError):
        traceback.print_exc(file=sys.stdout)
    print(f"\n{END} {status}", flush=True)
    Path("/proc/sysrq-trigger").write_text("o")
    # the first process may not end before the machine does
    while True:
        os.wait() if _has_children() else _LIBC.pause()


def _has_children() -> bool:
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return False
    return True


if __name__ == "__main__":
    main()
