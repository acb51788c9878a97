"""Projects of users: a party of `carbon` is a user, or what a user does in one project.

A project is what the label of a container says, and no more than a name: it moves energy between
the projects of the one user who answers for the container, and never to or from anybody else. What
is done outside containers has none.
"""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING, TypeVar

from ds01ctl.core.energy_model import OWN, SYSTEM, UNATTRIBUTED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ds01ctl.core.energy_parties import Usage
    from ds01ctl.core.gpu_shares import GpuPast, Scene

LABELS = ("ds01.project", "aime.mlc.DS01_PROJECT", "com.docker.compose.project")
"""The platform's, its old one, and what Docker Compose writes; the first one that says any."""
NO_PROJECT = "_no_project"
"""What reports call a user's work in none."""
OTHERS = "_other_projects"
"""All projects of a user beyond those that are told apart."""
MOST = 100
"""Projects of one user that are told apart, in an interval and in what is stored."""
_LONGEST = 64
"""Characters of a name."""
_CHANGED, _DIGITS = "~", 8
_NOBODY = frozenset({SYSTEM, UNATTRIBUTED, OWN})
_BETWEEN = "\x1f"
"""No login has it, and no name of a project as it is kept here."""
_Value = TypeVar("_Value", int, float)


def party_of(user: str, project: str) -> str:
    """Name the party of a user's work in a project; empty: in none."""
    return f"{user}{_BETWEEN}{project}" if project else user


def in_project(user: str, project: str) -> str:
    """Name the party of a container's work; only what is a user's is told apart."""
    return user if user in _NOBODY else party_of(user, project)


def user_of(party: str) -> str:
    """Name the user of a party."""
    return party.partition(_BETWEEN)[0]


def project_of(party: str) -> str:
    """Name the project of a party; empty: none."""
    return party.partition(_BETWEEN)[2]


def any_project(parties: Iterable[str]) -> bool:
    """Tell whether one of them is of a project."""
    return any(_BETWEEN in party for party in parties)


def has_projects(usages: Iterable[Usage], pasts: Iterable[GpuPast], scene: Scene) -> bool:
    """Tell whether anybody is known to have worked in a project."""
    pasts = tuple(pasts)
    held = (holders for past in pasts for holders in (past.holders or {}).values())
    return (
        any(any_project(usage.parties.values()) for usage in usages)
        or any_project(scene.party_of_pid.values())
        or any(map(any_project, scene.holders.values()))
        or any(any_project(past.pids.values()) for past in pasts)
        or any(map(any_project, held))
    )


def project_in(labels: Mapping[str, str]) -> str:
    """Read a container's project from its labels; empty: it has none.

    A name that is too long or cannot be shown, or that looks like one of ours (``_system``), is
    changed, and then ends in ``~`` and eight digits: what was different stays different.
    """
    said = next((text for name in LABELS if (text := labels.get(name, "").strip())), "")
    if len(said) <= _LONGEST and said.isprintable() and not said.startswith("_"):
        return said
    digits = f"{_CHANGED}{zlib.crc32(said.encode(errors='surrogatepass')):0{_DIGITS}x}"
    start = said[: _LONGEST - len(digits)].lstrip("_")
    return "".join(char if char.isprintable() else "?" for char in start) + digits


def notes_on(names: Iterable[str]) -> list[str]:
    """Say what odd ones among the names of projects are."""
    notes, found = [], set(names)
    if OTHERS in found:
        notes.append(f"{OTHERS}: what is beyond the {MOST} projects of a user that are told apart")
    if any(re.search(rf"{_CHANGED}[0-9a-f]{{{_DIGITS}}}$", name) for name in found):
        told = f"is longer than {_LONGEST} characters, cannot be shown, or begins with _"
        notes.append(f"a name that ends in {_CHANGED} and eight digits stands for one that {told}")
    return notes


def of_users(parties: Mapping[str, _Value]) -> dict[str, _Value]:
    """Add up what is of the same user."""
    found: dict[str, _Value] = {}
    for party, value in parties.items():
        user = user_of(party)
        found[user] = found[user] + value if user in found else value
    return found
