"""Plan what to do about what a departed user has left: stop, after the hold remove, and revoke."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ds01ctl.core.cleanup_keeps import holds
from ds01ctl.core.cleanup_model import Change
from ds01ctl.core.cleanup_text import span
from ds01ctl.core.owner import TRACE
from ds01ctl.core.timestamp import format_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ds01ctl.core.departed import Departed, World
    from ds01ctl.core.model import Container
    from ds01ctl.core.workload import Workload

PART: Final = "users"
GRACE_S = 60
_LABELS = ("ds01.user", "aime.mlc.USER", "aime.mlc")


def changes_of(one: Departed, world: World) -> Iterator[Change]:
    """Plan for one person; what is not sure, or is kept, is listed and left."""
    for workload in one.containers:
        container = workload.container
        if container and why_left(workload, container, one, world) is None:
            change = _of_container(container, one, world)
            if change:
                yield change
    for grant in one.grants:
        mark = world.grant_marks.get(grant.file)
        if mark is not None:
            reason = f"{one.name} has left ({one.why})"
            yield Change("revoke-grant", PART, grant.file, grant.file, "", one.login, reason,
                         identity=mark, skip=world.skip)  # fmt: skip


def why_left(workload: Workload, container: Container, one: Departed, world: World) -> str | None:
    """Say why a container is left alone; None: it is not."""
    if world.docker_unknown:
        return "not all engines have answered"
    if container.id in world.spared:
        return world.spared[container.id]
    keep = world.keeps.get(container.id)
    if keep is not None and holds(keep, world.clock.now):
        return f"kept by {keep.by}"
    if container.state not in {"running", "exited"}:
        return f"is {container.state}"
    if not _is_surely_theirs(workload, container, one):
        return "that it is theirs is not sure enough: look at its owner, then stop it by hand"
    if container.state == "exited":
        return _why_held(container, world)
    return _why_at_work(container, world)


def _why_at_work(container: Container, world: World) -> str | None:
    """Say that it may be doing something; None: it was idle at its last sample."""
    watch = world.watches.get(container.id)
    if watch is None or watch.started_at != container.started_at or not watch.intervals:
        return "whether it is idle is not known yet: it is stopped once it is"
    last = watch.intervals[-1]
    if last.verdict == "idle":
        return None
    what = "is at work" if last.verdict == "active" else "whether it is idle is not known"
    return f"{what} ({'; '.join(last.evidence)}): it is stopped once it is idle, or by hand"


def _is_surely_theirs(workload: Workload, container: Container, one: Departed) -> bool:
    """Ask for more than a mounted folder: somebody else may be at work on what they have left."""
    owner = workload.owner
    if owner.confidence == "guess" or owner.uid is None or owner.weight < TRACE:
        # whoever copies a file of compose has its label, too
        return False
    if owner.confidence == "certain":
        return True
    is_labelled = one.login is not None and any(
        container.labels.get(label) == one.login for label in _LABELS
    )
    return is_labelled or re.fullmatch(rf".+\._\.{one.uid}", container.name) is not None


def _why_held(container: Container, world: World) -> str | None:
    """Say why a stopped container is not yet removed; None: its hold is over."""
    hold = world.holds.get(container.id)
    if hold is None or hold.origin is None or hold.value is None:
        return "stopped, and never removed: no container_hold_after_stop_h holds for it"
    watch = world.watches.get(container.id)
    is_known = watch is not None and watch.finished_at == container.finished_at
    held_s, promised_s = (watch.held_s, watch.promised_s) if watch and is_known else (0.0, 0.0)
    hold_s = max(float(hold.value) * 3600, promised_s)
    if container.finished_at is None or held_s < hold_s:
        told = f", {span(promised_s)} were promised" if promised_s >= hold_s else ""
        left_h = (hold_s - held_s) / 3600
        where = f"{hold.key} {hold.value:g}, {hold.origin}{told}"
        return f"stopped, removed in {left_h:.1f} h ({where})"
    return None


def _of_container(container: Container, one: Departed, world: World) -> Change | None:
    identity = {"state": container.state}
    if container.state == "running":
        if container.started_at is None:
            return None
        identity["started_at"] = format_time(container.started_at)
        return Change(
            "stop-container", PART, container.id, container.name, container.engine, one.login,
            f"{one.name} has left ({one.why})", identity=identity,
            grace_s=world.graces.get(container.id, GRACE_S), skip=world.skip,
        )  # fmt: skip
    if container.finished_at is None:
        return None
    identity["finished_at"] = format_time(container.finished_at)
    hold = world.holds[container.id]
    return Change(
        "remove-container", PART, container.id, container.name, container.engine, one.login,
        f"{one.name} has left ({one.why}), and its hold is over: {hold.key} {hold.value:g}"
        f" ({hold.origin})",
        identity=identity, frees_bytes=world.sizes.get(container.id), skip=world.skip,
    )  # fmt: skip
