"""Read our own folders, locks and program, the policy's files, and the kernel's walls."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ds01ctl.core.host_facts import AccessFacts, FileFact, OwnFacts, Unread
from ds01ctl.observe import host_files, own_place

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ds01ctl.paths import Paths


def read(paths: Paths) -> OwnFacts:
    """Read all that ds01ctl itself has on this host."""
    folders = (paths.state_dir, paths.under("/var/log/ds01"), paths.run_dir)
    program = Path(__file__).resolve().parent.parent
    return OwnFacts(
        euid=os.geteuid(),
        place=own_place.own_namespace_problem(paths),
        folders=tuple(host_files.fact(folder) for folder in folders),
        folder_paths=tuple(map(str, folders)),
        database=host_files.fact(paths.state_db),
        locks=host_files.facts(paths.run_dir, "*.lock"),
        program=str(program),
        weak=tuple(weak((program, Path(sys.prefix)))),
        python=tuple(sys.version_info[:3]),
    )


def weak(places: Iterable[Path]) -> Iterable[FileFact]:
    """List what lies on the way to these places and can be replaced by another than root."""
    ways = (step for place in places for step in (place, *place.parents))
    for step in dict.fromkeys(ways):
        found = host_files.fact(step)
        if isinstance(found, FileFact) and (found.uid or found.is_open):
            yield found


def policy_files(files: Iterable[str]) -> tuple[FileFact, ...]:
    """Look at files of the policy, and at the folders that they lie in."""
    paths = [Path(file) for file in files]
    every = dict.fromkeys([*paths, *(path.parent for path in paths)])
    found = (host_files.fact(path) for path in every)
    return tuple(one for one in found if isinstance(one, FileFact))


def access(paths: Paths) -> AccessFacts:
    """Read AppArmor's state and who may make user namespaces."""
    enabled = host_files.line(paths.under("/sys/module/apparmor/parameters/enabled"))
    profiles = host_files.text(paths.under("/sys/kernel/security/apparmor/profiles"))
    # Debian's switch, then Ubuntu's
    clone = host_files.number(paths.proc / "sys/kernel/unprivileged_userns_clone")
    restricted = host_files.number(paths.proc / "sys/kernel/apparmor_restrict_unprivileged_userns")
    return AccessFacts(
        apparmor=None if enabled is None else enabled == "Y",
        profiles=profiles if isinstance(profiles, Unread) else tuple(profiles.splitlines()),
        userns_max=host_files.number(paths.proc / "sys/user/max_user_namespaces"),
        userns_unprivileged=False if clone == 0 or restricted == 1 else None,
    )
