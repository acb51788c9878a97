"""List the folders directly below the home directories, in a child: a home may be on NFS."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.core.departed import Home
from ds01ctl.core.model import Gap
from ds01ctl.observe.child import Child
from ds01ctl.observe.users import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ds01ctl.observe.child import Reporter
    from ds01ctl.paths import Paths


class HomesReading(NamedTuple):
    """What was found; root's own folders are nobody's home."""

    homes: tuple[Home, ...]
    gaps: tuple[Gap, ...]


def read(home_dirs: Iterable[str], paths: Paths, *, deadline_s: float) -> HomesReading:
    """List the homes by path. What fails or takes too long leaves a gap."""
    asked = list(dict.fromkeys(home_dirs))
    child = Child(lambda reporter: _list(asked, paths, reporter), lifetime_s=deadline_s + 1)
    answer = child.collect(deadline_s)
    gaps = [Gap("users", "failed", one) for one in answer.values if isinstance(one, str)]
    if not answer.finished:
        gaps.append(Gap("users", "failed", f"{answer.doing}: {answer.problem}"))
    homes = [Home(*one) for one in answer.values if isinstance(one, tuple)]
    return HomesReading(tuple(sorted(homes)), tuple(gaps))


def _list(home_dirs: Iterable[str], paths: Paths, reporter: Reporter) -> None:
    for folder in home_dirs:
        reporter.doing(f"list the homes in {folder}")
        try:
            for home in _below(folder, paths):
                reporter.tell(tuple(home))
        except FileNotFoundError:
            continue
        except OSError as error:
            reporter.tell(f"cannot list the homes in {folder}: {error.strerror}")


def _below(folder: str, paths: Paths) -> Iterator[Home]:
    with os.scandir(paths.under(folder)) as entries:
        for entry in entries:
            if entry.name.startswith(".") or entry.name == "lost+found":
                continue
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if stat.S_ISDIR(status.st_mode) and status.st_uid:
                name = printable(entry.name)
                yield Home(f"{folder.rstrip('/')}/{name}", name, status.st_uid)
