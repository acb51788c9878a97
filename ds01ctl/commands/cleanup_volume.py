"""What `cleanup remove-volume` does: remove one volume that was named twice, and no other."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from ds01ctl.cleanupstate import Logged
from ds01ctl.commands import cleanup_events, gathering
from ds01ctl.commands.cleanup_did import Did, action, host, of_act, recorded
from ds01ctl.commands.cleanup_memory import LOCK_OF_IMAGES, at_text
from ds01ctl.commands.who import admin
from ds01ctl.core.cleanup_model import Change
from ds01ctl.core.plan import Result
from ds01ctl.core.sizes import size
from ds01ctl.core.timestamp import format_time
from ds01ctl.errors import Ds01Error, UsageError
from ds01ctl.lock import job_lock
from ds01ctl.state import State

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from ds01ctl.core.model import Gap
    from ds01ctl.core.policy import Policy
    from ds01ctl.core.volumes import VolumeRow
    from ds01ctl.observe.engine_images import ImagesReading
    from ds01ctl.paths import Paths


class Asked(NamedTuple):
    """What the admin asked for."""

    name: str
    confirm: str | None
    dry_run: bool
    config: Path | None


def remove(asked: Asked) -> Result:
    """Remove it, after a look at who has it. Raises UsageError where it was not named twice."""
    if not asked.dry_run and asked.confirm != asked.name:
        hint = f"ds01ctl cleanup remove-volume {asked.name} --confirm {asked.name}"
        what = "all that is in it is lost: its name has to be given twice"
        raise UsageError(what, hint)
    paths, now = gathering.host_paths(), gathering.utcnow()
    policy = gathering.load_policy(paths, asked.config).policy
    reading = _read(policy, paths, now)
    row = _wanted(asked.name, reading)
    change = _change(row)
    if asked.dry_run:
        return _result([Did(change, "planned")], reading, row, now)
    with job_lock(paths, LOCK_OF_IMAGES):
        did, gaps = _removed(change, row, policy, paths)
    return _result([did], reading, row, now, gaps)


def _read(policy: Policy, paths: Paths, now: datetime) -> ImagesReading:
    from ds01ctl.observe import engine_images

    hosts = gathering.hosts_of_engines(policy, paths)
    return engine_images.read(
        hosts.hosts,
        paths=paths,
        deadline_s=float(policy.value("docker.timeout_s")),
        now=now,
        wanted=frozenset({"volumes", "volume-sizes"}),
        named_by_admin=hosts.named_by_admin,
    )


def _wanted(name: str, reading: ImagesReading) -> VolumeRow:
    """Find it by its full name. Raises UsageError, or Ds01Error where containers have it."""
    from ds01ctl.core import volumes

    complete = reading.complete("volumes", "containers")
    rows = [
        one
        for one in volumes.rows(reading.volumes, reading.holders, {}, complete)
        if one.name == name
    ]
    if not rows:
        silent = next((gap.reason for gap in reading.gaps if gap.kind != "absent"), None)
        if silent:
            raise Ds01Error(f"volumes cannot be listed: {silent}", "see: ds01ctl doctor")
        raise UsageError(
            f"no volume {name}", "ds01ctl cleanup report lists those without containers"
        )
    if len(rows) > 1:
        engines = ", ".join(one.engine for one in rows)
        raise UsageError(f"{name}: is a volume of several engines: {engines}", "remove it there")
    row = rows[0]
    if row.containers:
        what = f"volume {name} is of {', '.join(row.containers)}"
        raise Ds01Error(what, "remove the container first, if nobody needs it")
    if row.is_dangling is None:
        raise Ds01Error(f"{row.engine} did not tell all its containers: nothing was removed")
    return row


def _change(row: VolumeRow) -> Change:
    held = "of a size that is not known" if row.size_bytes is None else size(row.size_bytes)
    created = format_time(row.created_at) if row.created_at else ""
    reason = f"no container has it; {held}; owner: {row.owner}"
    identity = {"created_at": created}
    change = Change("remove-volume", "volumes", row.name, row.name, row.engine, row.user, reason)
    by = (f"by {admin()}",)
    return change._replace(evidence=by, identity=identity, frees_bytes=row.size_bytes)


def _removed(
    change: Change, row: VolumeRow, policy: Policy, paths: Paths
) -> tuple[Did, tuple[Gap, ...]]:
    """Remove it between two entries in the store. Raises StateError: then it was not removed."""
    from ds01ctl.act import images

    said: dict[str, Any] = {"name": change.name, "engine": change.engine, "reason": change.reason}
    began = Logged(0, at_text(gathering.utcnow()), change.kind, change.part, change.target,
                   change.user, "begun", json.dumps(said))  # fmt: skip
    with State.open_for_recording(paths) as state:
        with state.transaction():
            seq = state.add_log([began])
        did = of_act(
            change,
            lambda: images.remove_volume(change.engine, change.target, created_at=row.created_at),
        )
        if did.outcome == "done":
            did = did._replace(freed_bytes=row.size_bytes)
        said |= {"error": did.error, "freed_bytes": did.freed_bytes}
        with state.transaction():
            state.settle_log(seq, recorded(did), json.dumps(said))
    events = list(cleanup_events.of_dids([did], "ds01ctl cleanup remove-volume"))
    return did, cleanup_events.append(events, policy, paths)


def _result(
    dids: list[Did],
    reading: ImagesReading,
    row: VolumeRow,
    now: datetime,
    gaps: tuple[Gap, ...] = (),
) -> Result:
    every = (*(gap for gap in reading.gaps if gap.kind != "absent"), *gaps)
    return Result(
        "cleanup remove-volume",
        host(),
        now,
        every,
        (),
        tuple(map(action, dids)),
        {"volume": row._asdict() | {"containers": list(row.containers)}},
        failed_gaps=gathering.is_failure(every),
    )
