"""Whom `cleanup` never touches, and why: one check for every rule."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.core.cleanup_model import Notice
from ds01ctl.core.owner import TRACE
from ds01ctl.core.policy import canonical, is_valid

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from ds01ctl.core.cleanup import World
    from ds01ctl.core.cleanup_model import Keep, Part
    from ds01ctl.core.model import Container
    from ds01ctl.core.policy import Exemption, Policy
    from ds01ctl.core.workload import Workload

EXEMPTION_OF: dict[Part, str] = {
    "idle": "idle_timeout_h",
    "runtime": "max_runtime_h",
    "stopped": "container_hold_after_stop_h",
    "created": "container_hold_after_stop_h",
    "gpu-holds": "gpu_hold_after_stop_h",
}
"""What lifecycle-exemptions.yaml calls the rule of each part."""
_LABELS = ("ds01.protected", "ds01.monitoring")
_LEFT_ALONE = {
    "paused": "is paused: it is never touched, and whoever paused it has to go on with it",
    "restarting": "is being restarted over and over; it is left alone",
    "removing": "is being removed by the engine; it is left alone",
    "dead": "is dead: the engine failed to remove it; it goes after its hold",
    "unknown": "is in a state that is not known; it is left alone",
}


class Spared(NamedTuple):
    """Why a container is left alone by every rule."""

    why: str
    notice: Notice | None = None


def spared(workload: Workload, container: Container, world: World, policy: Policy) -> Spared | None:
    """Say why no rule touches a container; None: they may."""
    if _is_of_users_engine(container, world):
        return Spared(f"a user's own engine runs it: {container.engine}")
    if workload.verdict in {"infrastructure", "system"}:
        return Spared(f"{workload.verdict}: {workload.why}")
    if label := _label(container, policy):
        notice = _label_notice(label, workload, container, world, policy)
        if _is_honoured(workload, world, policy):
            return Spared(f"label {label}", notice)
    if keep := _kept(world.keeps.get(container.id), world.clock.now):
        return Spared(_keep_text(keep), _keep_notice(keep, workload, container))
    return None


def _is_of_users_engine(container: Container, world: World) -> bool:
    return any(one.host == container.engine and one.is_users_own for one in world.snapshot.engines)


# --- labels -----------------------------------------------------------------------------------


def _label(container: Container, policy: Policy) -> str | None:
    """Find a label that protects: who made the container may have set it, whoever he is."""
    configured = policy.value("monitoring.infrastructure_label")
    names = (*_LABELS, configured) if configured else _LABELS
    labels = container.labels
    return next((f"{one}=true" for one in names if labels.get(one, "").lower() == "true"), None)


def _is_honoured(workload: Workload, world: World, policy: Policy) -> bool:
    return policy.value("cleanup.protected_label") != "admins" or _is_admins(workload, world)


def _is_admins(workload: Workload, world: World) -> bool:
    """Tell whether an admin made a container; a mere label that names one proves nothing."""
    owner = workload.owner
    is_told = owner.confidence != "guess" and owner.weight >= TRACE
    return owner.login in world.admins and is_told


def label_notice(
    workload: Workload, container: Container, world: World, policy: Policy
) -> Notice | None:
    """Tell of a label that protects what is no admin's, whether it is honoured or not."""
    label = _label(container, policy)
    return _label_notice(label, workload, container, world, policy) if label else None


def _label_notice(
    label: str, workload: Workload, container: Container, world: World, policy: Policy
) -> Notice | None:
    if _is_admins(workload, world):
        return None
    setting = policy.setting("cleanup.protected_label")
    done = "keeps it from all cleanup" if setting.value != "admins" else "is not heeded"
    text = f"{container.name}: label {label} of a user who is no admin {done}"
    evidence = (f"{setting.key} is {setting.value} ({setting.origin})",)
    return Notice("protected-label", workload.owner.login, container.id, text, evidence)


# --- keeps ------------------------------------------------------------------------------------


def _kept(keep: Keep | None, now: datetime) -> Keep | None:
    """Give a keep that holds; one that can't be read as meant holds all the same."""
    if keep is None:
        return None
    holds = keep.problem or keep.until is None or now < keep.until
    return keep if holds else None


def _keep_text(keep: Keep) -> str:
    if keep.is_doubt:
        return f"whose it is is in doubt by {keep.by}: {keep.problem}"
    if keep.problem:
        return f"kept by {keep.by}, which can't be read as meant: {keep.problem}"
    until = f"until {keep.until:%Y-%m-%d %H:%MZ}" if keep.until else "for ever"
    return f"kept by {keep.by} {until}" + (f": {keep.reason}" if keep.reason else "")


def _keep_notice(keep: Keep, workload: Workload, container: Container) -> Notice | None:
    if not keep.problem:
        return None
    text = f"{container.name} is left alone: {_keep_text(keep)}"
    kind = "owner-contradicted" if keep.is_doubt else "keep-problem"
    return Notice(kind, workload.owner.login, container.id, text)


# --- exemptions -------------------------------------------------------------------------------


def exempt(workload: Workload, part: Part, policy: Policy, now: datetime) -> str | None:
    """Say by which row the owner of a container is exempt from a part."""
    login, what = workload.owner.login, EXEMPTION_OF.get(part)
    row = policy.exemption(login, what, now) if login and what else None
    if row is None:
        return None
    until = f"until {row.expires_at:%Y-%m-%d %H:%MZ}" if row.expires_at else "for ever"
    return f"{row.username} is exempt from {what} {until} ({row.origin})"


def warned_since(
    workload: Workload, part: Part, keep: Keep | None, policy: Policy, now: datetime
) -> datetime | None:
    """Say since when warnings count: what was said before it was spared is forgotten."""
    login, what = workload.owner.login, EXEMPTION_OF.get(part)
    rows = policy.exemptions_of(login) if login else ()
    ends = [row.expires_at for row in rows if what in row.exempt_from and not is_valid(row, now)]
    if keep is not None:
        ends.append(keep.until)
    return max((end for end in ends if end is not None and end <= now), default=None)


def misspelt(policy: Policy, world: World) -> Iterator[Notice]:
    """Tell of exemptions for nobody: with a name nearly that of one who is here, or with none."""
    known = _known(policy, world)
    forms = {canonical(login) for login in known}
    for row in policy.exemptions:
        wanted = set(EXEMPTION_OF.values()) & set(row.exempt_from)
        if not wanted or not is_valid(row, world.clock.now) or canonical(row.username) in forms:
            continue
        is_nobody = row.username in world.nobody
        near = _nearest(row, known, 0.6 if is_nobody else 0.8)
        if near or is_nobody:
            text = f"{row.username} is exempt, and nobody here is called so"
            text += f"; did you mean {near}?" if near else ""
            yield Notice("exemption-user", row.username, None, text, (str(row.origin),))


def _known(policy: Policy, world: World) -> set[str]:
    exempt_only = {row.username for row in policy.exemptions}
    named = (policy.roster - exempt_only) | set(policy.members) | set(policy.overrides)
    owners = {one.owner.login for one in world.workloads if one.owner.login}
    return {*named, *owners, *world.snapshot.users.values(), *world.admins}


def _nearest(row: Exemption, known: Iterable[str], likeness: float) -> str | None:
    from difflib import get_close_matches

    # names are told from each other by capitals, and mail addresses are not
    folded = {login.casefold(): login for login in sorted(known)}
    near = get_close_matches(row.username.casefold(), sorted(folded), 1, likeness)
    return folded[near[0]] if near else None


# --- states -----------------------------------------------------------------------------------


def state_notice(workload: Workload, container: Container) -> Notice | None:
    """Tell of a container whose state is one that no rule changes."""
    said = _LEFT_ALONE.get(container.state)
    if said is None:
        return None
    text = f"{container.name} {said}"
    return Notice(container.state, workload.owner.login, container.id, text)
