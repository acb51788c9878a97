"""What `cleanup keep` does: note that one container is to be left alone, or that no longer."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from ds01ctl.commands import cleanup_keeps, gathering, remembering
from ds01ctl.commands.cleanup_finding import Named, find
from ds01ctl.commands.who import admin
from ds01ctl.core.cleanup_model import Keep
from ds01ctl.core.plan import Action, Result
from ds01ctl.core.quantity import parse_duration, parse_moment
from ds01ctl.core.timestamp import format_time
from ds01ctl.errors import Ds01Error, UsageError
from ds01ctl.lock import job_lock

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from ds01ctl.commands.cleanup_keeps import Kept
    from ds01ctl.core.model import Gap
    from ds01ctl.core.policy import Policy
    from ds01ctl.paths import Paths

LOCK = "cleanup-keep"
"""Not the lock of a run: that one may take minutes, and reads the file anew before each stop."""
_LONGEST_REASON = 200
_KEPT_AFTER = timedelta(days=30)


class Asked(NamedTuple):
    """What the admin asked for."""

    container: str
    until: str | None
    for_: str | None
    forever: bool
    reason: str
    remove: bool
    dry_run: bool
    config: Path | None


def keep(asked: Asked) -> Result:
    """Write a keep, or take it back. Raises UsageError."""
    paths, now = gathering.host_paths(), gathering.utcnow()
    until = _until(asked, now)
    loaded = gathering.load_policy(paths, asked.config)
    past = remembering.recall(paths)
    engines = gathering.read_engines(loaded.policy, paths, past.facts)
    silent = any(not one.answered for one in engines.engines if not one.is_users_own)
    with job_lock(paths, LOCK):
        rows = cleanup_keeps.load(paths)
        here = [Named(one.id, one.name) for one in engines.containers]
        if silent and not here:
            raise _unanswered(engines.gaps)
        wanted = _wanted(asked, here, rows)
        row = None if asked.remove else _row(wanted, until, asked.reason, now)
        left = [one for one in rows if one.keep.id != wanted.id and not _is_old(one.keep, now)]
        old = next((one for one in rows if one.keep.id == wanted.id), None)
        action = _action(wanted, old, row, now)
        if action is not None and not asked.dry_run:
            cleanup_keeps.save([*left, *([row] if row else [])], paths)
            action = action._replace(outcome="done")
    gaps = tuple(one for one in engines.gaps if one.kind != "absent")
    if action is not None and not asked.dry_run:
        gaps = (*gaps, *_tell(wanted, row, loaded.policy, paths))
    return _result(asked, action, row, gaps, now)


def _wanted(asked: Asked, here: list[Named], rows: tuple[Kept, ...]) -> Named:
    """Find the container; to be kept no longer: one that is kept, if it can be one that is there.

    Raises UsageError.
    """
    hint = "docker ps -a lists what there is"
    if asked.remove:
        kept = {one.keep.id: Named(one.keep.id, one.name) for one in rows}
        for known in ([one for one in here if one.id in kept], list(kept.values())):
            with suppress(UsageError):
                return find(asked.container, known, hint=hint)
    return find(asked.container, here, hint=hint)


def _is_old(keep: Keep, now: datetime) -> bool:
    """Tell of a keep that ended long ago; until then it says that older warnings do not count."""
    return keep.until is not None and now - keep.until > _KEPT_AFTER


def _until(asked: Asked, now: datetime) -> datetime | None:
    """Read until when; None: for ever, or it is taken back. Raises UsageError."""
    ways = (asked.until is not None, asked.for_ is not None, asked.forever)
    if asked.remove:
        if any(ways):
            raise UsageError("--remove takes a keep back", "leave out --until, --for and --forever")
        return None
    if sum(ways) != 1:
        hint = "--until 2026-12-24, --for 2d, or --forever"
        raise UsageError("say for how long it is to be kept", hint)
    if asked.forever:
        return None
    moment = _for(asked.for_, now) if asked.for_ is not None else _moment(asked.until or "")
    if moment <= now:
        raise UsageError("until then it would be kept no longer than now", "give a later time")
    return moment


def _for(text: str, now: datetime) -> datetime:
    try:
        return now + timedelta(seconds=float(parse_duration(text)))
    except (ValueError, OverflowError):
        raise UsageError(
            f"--for {text!a}: is no time span", "write it as 12h, 2d or 1d 12h"
        ) from None


def _moment(text: str) -> datetime:
    try:
        return parse_moment(text, None)
    except (ValueError, OverflowError):
        hint = "write it as 2026-12-24 (that day included) or 2026-12-24T18:00 (local time)"
        raise UsageError(f"--until {text!a}: is neither a day nor a time", hint) from None


def _row(wanted: Named, until: datetime | None, reason: str, now: datetime) -> Kept:
    if len(reason) > _LONGEST_REASON or not reason.isprintable():
        raise UsageError("--reason: give one line of at most 200 characters")
    return cleanup_keeps.Kept(Keep(wanted.id, until, admin(), reason), wanted.name, now)


def _action(wanted: Named, old: Kept | None, new: Kept | None, now: datetime) -> Action | None:
    """Tell what changes; None: it is so already."""
    if old is None and new is None:
        raise UsageError(f"{wanted.name} is not kept by an admin", "there is nothing to take back")
    if old and new and old.keep == new.keep:
        return None
    said = f"kept {_how_long(new.keep)}" if new else "kept no longer"
    was = f"; it was kept {_how_long(old.keep)}, by {old.keep.by}" if old else ""
    if old and old.keep.until and old.keep.until <= now:
        was = ""
    kind = "keep-container" if new else "drop-keep"
    return Action(kind, wanted.name, f"{said}{was}")


def _how_long(keep: Keep) -> str:
    return f"until {keep.until.astimezone():%Y-%m-%d %H:%M %Z}" if keep.until else "for ever"


def _unanswered(gaps: tuple[Gap, ...]) -> Ds01Error:
    reason = next((one.reason for one in gaps if one.source == "docker"), "no engine answers")
    return Ds01Error(f"containers cannot be listed: {reason}", "see: ds01ctl doctor")


def _tell(wanted: Named, row: Kept | None, policy: Policy, paths: Paths) -> tuple[Gap, ...]:
    """Leave an audit event."""
    from ds01ctl.report import events

    until = row.keep.until if row else None
    details = {
        "container": wanted.name,
        "container_id": wanted.id,
        "kept": row is not None,
        "until": until,
        "by": admin(),
        "reason": row.keep.reason if row else "",
    }
    said = f"keeps {wanted.name} {_how_long(row.keep)}" if row else f"keeps {wanted.name} no longer"
    event = events.Event(
        "maintenance.keep", None, "ds01ctl cleanup keep", details, f"{admin()} {said}", 5
    )
    log = paths.under(str(policy.value("events.path")))
    return events.append([event], log, paths.journal_socket, gathering.utcnow())


def _result(
    asked: Asked, action: Action | None, row: Kept | None, gaps: tuple[Gap, ...], now: datetime
) -> Result:
    data: dict[str, Any] = {
        "keep": cleanup_keeps.row_of(row) if row else None,
        "until": format_time(row.keep.until) if row and row.keep.until else None,
        "dry_run": asked.dry_run,
    }
    return Result(
        "cleanup keep",
        os.uname().nodename,
        now,
        gaps,
        (),
        (action,) if action else (),
        data,
        failed_gaps=gathering.is_failure(gaps),
    )
