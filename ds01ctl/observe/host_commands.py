"""Find the command lines of the few daemons that `doctor` asks about, in one pass over /proc."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ds01ctl.observe import procfs

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ds01ctl.paths import Paths

# /proc/PID/comm has 15 characters at most
_NAMES = {
    b"node_exporter": "node_exporter",
    b"prometheus-node": "node_exporter",
    b"dockerd": "dockerd",
}
_LARGEST = 1 << 16
_OPTION = "collector.textfile.directory"

Commands = dict[str, list[tuple[str, ...]]]


def read(paths: Paths) -> Commands:
    """Give the command lines by the daemon's name; what ends meanwhile is left out."""
    found: Commands = {}
    for pid in _pids(paths):
        try:
            name = _NAMES.get(procfs.read(f"{paths.proc}/{pid}/comm", limit=64).strip())
            if name is not None and _is_roots(name, f"{paths.proc}/{pid}"):
                raw = procfs.read(f"{paths.proc}/{pid}/cmdline", limit=_LARGEST)
                found.setdefault(name, []).append(_words(raw))
        except OSError:
            continue
    return found


def _is_roots(name: str, folder: str) -> bool:
    """Tell whether a process counts: users may have a dockerd of their own."""
    return name != "dockerd" or os.stat(folder).st_uid in {0, os.geteuid()}  # noqa: PTH116 -- text in


def _pids(paths: Paths) -> Iterable[str]:
    try:
        names = os.listdir(paths.proc)  # noqa: PTH208 -- thousands of Path objects for nothing
    except OSError:
        return ()
    return sorted((name for name in names if name.isdecimal()), key=int)


def _words(raw: bytes) -> tuple[str, ...]:
    text = raw.decode("utf-8", "replace").rstrip("\0")
    return tuple(text.split("\0"))


def textfile_folder(words: Sequence[str]) -> str | None:
    """Find the textfile folder on node_exporter's command line; one dash or two, ``=`` or not."""
    for word, after in zip(words, [*words[1:], ""], strict=True):
        name, equals, value = word.lstrip("-").partition("=")
        if word.startswith("-") and name == _OPTION:
            return (value if equals else after) or None
    return None
