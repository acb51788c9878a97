"""A policy as DS01 has it, and writing one to a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ds01ctl.config.read import load_policy
from ds01ctl.config.source import PolicyError
from ds01ctl.paths import Paths

if TYPE_CHECKING:
    from ds01ctl.core.policy import Policy, Problem

SAMPLE = Path(__file__).with_name("resource-limits.yaml").read_text()
OVERRIDES = """\
"204999@uni.example": {max_runtime_h: null, container_hold_after_stop_h: null}
"""
EXEMPTIONS = """\
exemptions:
  - {username: "204999@uni.example", category: research_grant, exempt_from: [max_runtime_h],
     reason: long training, approved_by: labadmin, approved_on: "2026-02-14",
     expires_on: "2026-06-30T23:59:59Z"}
"""


def write(folder: Path, policy: str, **beside: str) -> Path:
    """Write a policy, and files beside it: ``user_overrides_yaml=…``, ``researcher_members=…``."""
    (folder / "groups").mkdir(parents=True, exist_ok=True)
    path = folder / "resource-limits.yaml"
    path.write_text(policy)
    for name, text in beside.items():
        stem, _, suffix = name.rpartition("_")
        place = folder / "groups" if suffix == "members" else folder
        (place / f"{stem.replace('_', '-')}.{suffix}").write_text(text)
    return path


def load(folder: Path, policy: str, **beside: str) -> Policy:
    """Write a policy and read it."""
    return load_policy(write(folder, policy, **beside), Paths(folder / "root"))


def problems_of(folder: Path, policy: str, **beside: str) -> list[Problem]:
    """Write a policy that is wrong and read what is wrong with it."""
    try:
        load(folder, policy, **beside)
    except PolicyError as error:
        return list(error.problems)
    return []
