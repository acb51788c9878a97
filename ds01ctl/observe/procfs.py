"""Read single files of /proc: raw, at once, without what Python's file objects cost."""

from __future__ import annotations

import errno
import os

from ds01ctl.core.cgroup_path import classify

_CHUNK = 65536
_LARGEST_PID = 1 << 22
"""PID_MAX_LIMIT of include/linux/threads.h."""
# Debian's docker and systemd put a process everywhere; Slurm on v1 spares name=systemd
_PREFERRED = ("name=systemd", "", "memory", "pids", "cpu", "devices")


def is_pid(number: int) -> bool:
    """Tell whether a process can have this pid; 0 and below would mean others to kill(2)."""
    return 0 < number <= _LARGEST_PID


def read(name: str, *, folder: int | None = None, limit: int | None = None) -> bytes:
    """Read a file, relative to an open folder if one is given, up to a limit in bytes.

    Raises OSError; ESRCH is a process that ended.
    """
    fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
    try:
        return os.read(fd, limit) if limit else _read_all(fd)
    finally:
        os.close(fd)


def read_bounded(name: str, most: int, *, folder: int | None = None) -> bytes:
    """Read a file to its end that a user can make long. Raises OSError; EFBIG above the most."""
    fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
    try:
        parts, size = [], 0
        while part := os.read(fd, _CHUNK):
            parts.append(part)
            size += len(part)
            if size > most:
                raise OSError(errno.EFBIG, f"longer than {most // 1024} KiB", name)
        return b"".join(parts)
    finally:
        os.close(fd)


def _read_all(fd: int) -> bytes:
    text = os.read(fd, _CHUNK)
    if len(text) < 4096:
        # less than a page: /proc had no more to give
        return text
    parts = [text]
    while part := os.read(fd, _CHUNK):
        parts.append(part)
    return b"".join(parts)


def cgroup_path(text: bytes) -> str | None:
    """Choose the path that tells most from /proc/PID/cgroup; None when it has none.

    On v2 there is one. On v1 and hybrid hosts a path that names a container or a job wins, then
    ``name=systemd``, then v2's, then the other controllers', and the root only if all say so.
    """
    paths: dict[str, str] = {}
    # only here does a line end: whoever names a group may use any other sign, such as U+2028
    for line in text.split(b"\n"):
        _, _, rest = line.partition(b":")
        controllers, colon, path = rest.partition(b":")
        if colon:
            paths.setdefault(_text(controllers), _text(path))
    said = set(paths.values()) - {"/"}
    # all controllers mostly agree
    if len(said) > 1:
        return _most_telling(paths)
    return next(iter(said), "/") if paths else None


def _text(name: bytes) -> str:
    return name.decode("utf-8", "replace")


def _most_telling(paths: dict[str, str]) -> str:
    ordered = sorted(paths, key=lambda name: (_rank(name), name))
    distinct = dict.fromkeys(paths[name] for name in ordered if paths[name] != "/")
    for path in distinct:
        place = classify(path)
        if place.home == "container" or place.runtime == "slurm":
            return path
    return next(iter(distinct), "/")


def _rank(controllers: str) -> int:
    for rank, name in enumerate(_PREFERRED):
        if name in controllers.split(","):
            return rank
    return len(_PREFERRED)
