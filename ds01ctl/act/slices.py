"""Set limits on slices and control groups: live, for the next boot, and never by a daemon-reload.

Source: systemctl(1) set-property, the kernel's cgroup-v2.rst. Measured on systemd 252: set-property
on a slice writes the kernel's files anew even where systemd believes them right, and takes no
container's GPU away.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from ds01ctl.core.dropin_text import FILE, FOLDER
from ds01ctl.errors import Ds01Error
from ds01ctl.files import write_atomic
from ds01ctl.run import run

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from ds01ctl.paths import Paths

TIMEOUT_S = 60.0
"""To shrink the memory of what has been swapped out takes long."""
_RUNTIME = "/run/systemd/system.control"
_MOUNT = "/sys/fs/cgroup"


def set_properties(unit: str, assignments: Sequence[str]) -> None:
    """Set properties of a slice until the next boot, all in one call. Raises Ds01Error.

    Only slices: on a container's scope it would take hook-granted GPUs away.
    """
    if not unit.endswith(".slice"):
        raise Ds01Error(f"{unit}: is no slice, and nothing else is ever set a property")
    argv = ["systemctl", "--no-pager", "--no-ask-password", "set-property", "--runtime", "--", unit]
    done = run([*argv, *assignments], timeout_s=TIMEOUT_S)
    if done.status:
        said = done.stderr.strip().splitlines()
        what = said[-1] if said else f"exit code {done.status}"
        denied = any(word in what.lower() for word in ("denied", "permission", "authentication"))
        hint = "run it as root" if denied else f"see systemctl status {unit}"
        raise Ds01Error(f"systemctl set-property {unit}: {what}", hint)


def write_drop_in(paths: Paths, unit: str, text: str) -> None:
    """Write our drop-in of a slice. Raises Ds01Error."""
    path = _place(paths, unit)
    try:
        with suppress(FileExistsError):
            path.parent.mkdir(mode=0o755)
            path.parent.chmod(0o755)
        write_atomic(path, text)
    except OSError as error:
        raise _cannot("write", path, error) from None


def remove_drop_in(paths: Paths, unit: str) -> None:
    """Remove our drop-in of a slice, and its folder if nothing else is in it. Raises Ds01Error."""
    path = _place(paths, unit)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _cannot("remove", path, error) from None
    with suppress(OSError):
        path.parent.rmdir()


def forget_runtime(paths: Paths, unit: str, names: Iterable[str]) -> None:
    """Remove what set-property left in /run for properties: it would hold at the next log-in.

    What is in systemd's memory, and in the kernel, stays. Raises Ds01Error.
    """
    folder = paths.under(_RUNTIME) / f"{unit}.d"
    for name in names:
        path = folder / f"50-{name}.conf"
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise _cannot("remove", path, error) from None
    with suppress(OSError):
        folder.rmdir()


def write_cgroup(paths: Paths, cgroup: str, inode: int, writes: Sequence[tuple[str, str]]) -> bool:
    """Write into the files of one control group; False where it is not the one that was looked at.

    Raises Ds01Error.
    """
    path = paths.under(_MOUNT + cgroup)
    try:
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _cannot("open", path, error) from None
    try:
        if os.fstat(folder).st_ino != inode:
            return False
        for name, text in writes:
            _write(folder, path, name, text)
    finally:
        os.close(folder)
    return True


def _write(folder: int, path: Path, name: str, text: str) -> None:
    try:
        fd = os.open(name, os.O_WRONLY | os.O_CLOEXEC | os.O_TRUNC, dir_fd=folder)
        try:
            # cpuset.cpus takes an empty line for none
            os.write(fd, f"{text}\n".encode())
        finally:
            os.close(fd)
    except OSError as error:
        if error.errno in {errno.ENODEV, errno.ENOENT}:
            return
        raise _cannot(f"write {text} to", path / name, error) from None


def _place(paths: Paths, unit: str) -> Path:
    return paths.under(f"{FOLDER}/{unit}.d/{FILE}")


def _cannot(what: str, path: Path, error: OSError) -> Ds01Error:
    hint = "run it as root" if isinstance(error, PermissionError) else None
    return Ds01Error(f"cannot {what} {path}: {error.strerror}", hint)
