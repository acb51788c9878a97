"""Which limit of `cleanup` holds for a container, and where that was written.

A user's own override of the very key; then the container's type, for what the platform did not
make itself; then the group and the defaults. Nothing is made up where nothing is written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.core.cgroup_path import classify
from ds01ctl.core.policy import Setting
from ds01ctl.core.slice_names import user_part

if TYPE_CHECKING:
    from ds01ctl.core.policy import Policy
    from ds01ctl.core.workload import Workload

IDLE = "idle_timeout_h"
RUNTIME = "max_runtime_h"
HOLD = "container_hold_after_stop_h"
GRACE = "policies.sigterm_grace_s"
OF_TYPES = (IDLE, RUNTIME, HOLD, GRACE)
"""The keys that container_types may have."""
_OWN_RULES = frozenset({"user override", "inline override"})
_PLATFORM_TYPES = frozenset({"orchestration", "atomic", "unknown", ""})
_TYPE_LABELS = ("ds01.container_type", "ds01.interface")


def account(workload: Workload) -> str:
    """Give the login whose limits hold; empty for an owner who is guessed or not known at all.

    An empty login is in the default group. So is a uid without a name: while a directory is down
    and says so to nobody, everybody in it is one, whatever limits and exemptions their names have.
    """
    owner = workload.owner
    is_named = bool(owner.login) and owner.login != str(owner.uid)
    return owner.login if owner.login and is_named and owner.confidence != "guess" else ""


def unnamed(workload: Workload, policy: Policy) -> bool:
    """Tell whether somebody may own it all the same: what names an owner is not known now.

    A directory that is down and says so to nobody looks like one that has nobody.
    """
    container = workload.container
    parent = container.config.cgroup_parent if container and container.config else ""
    path = (container.cgroup if container else None) or parent
    place = classify(path if path.startswith("/") else f"/{path}")
    name = place.slice or ""
    is_known = any(text.endswith(f"slice {name}") for text in workload.owner.evidence)
    in_slice = user_part(name, str(policy.value("platform.slice"))) is not None
    return workload.owner.is_unnamed or (in_slice and not is_known)


def container_type(workload: Workload) -> str:
    """Tell by what a container was made, as container_types names it; empty: the platform."""
    if workload.kind != "managed":
        return workload.kind
    labels = workload.container.labels if workload.container else {}
    declared = next((labels[label] for label in _TYPE_LABELS if labels.get(label)), "")
    return "" if declared in _PLATFORM_TYPES else declared


def limit(workload: Workload, policy: Policy, key: str) -> Setting:
    """Look up a limit of one container; no origin: set nowhere, so there is none."""
    candidates = policy.candidates(account(workload), key)
    own = next((one for one in candidates if one.origin and one.origin.rule in _OWN_RULES), None)
    if own is not None:
        return own
    by_type = _of_type(workload, policy, key)
    if by_type is not None and by_type.origin is not None:
        return by_type
    return candidates[0] if candidates else Setting(key, None, None)


def _of_type(workload: Workload, policy: Policy, key: str) -> Setting | None:
    if key not in OF_TYPES:
        return None
    name = container_type(workload) or _declared_of_platform(workload, policy)
    return policy.type_limit(name, key.removeprefix("policies.")) if name else None


def _declared_of_platform(workload: Workload, policy: Policy) -> str:
    """Name a type of the platform's own that the admin did give an entry."""
    labels = workload.container.labels if workload.container else {}
    names = [labels[label] for label in _TYPE_LABELS if labels.get(label)]
    return next((name for name in names if name != "unknown" and has_entry(policy, name)), "")


def has_entry(policy: Policy, name: str) -> bool:
    """Tell whether a container type has an entry of its own."""
    return any(key.startswith(f"container_types.{name}.") for key in policy.host)


def lacks_entry(workload: Workload, policy: Policy) -> str | None:
    """Name the type of a container that the policy has no entry for, though it has others."""
    name = container_type(workload)
    if not name or name in {"infrastructure", "unknown"} or has_entry(policy, name):
        return None
    has_any = any(key.startswith("container_types.") for key in policy.host)
    return name if has_any else None


def told(setting: Setting) -> str:
    """Say a value and where it is written: ``idle_timeout_h is 0.5 (policy.yaml:8 (defaults))``."""
    value = "null" if setting.value is None else setting.value
    return f"{setting.key.removeprefix('policies.')} is {value} ({setting.origin})"
