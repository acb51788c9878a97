"""What `quota why` does: find whose write it is, and everything that could refuse it."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ds01ctl.commands import gathering, quota_looking, quota_running
from ds01ctl.core import quota, quota_why
from ds01ctl.core.quota_model import Place, nothing_of
from ds01ctl.core.quota_why import Asked, Verdict
from ds01ctl.errors import Ds01Error, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ds01ctl.commands.quota_looking import Reading
    from ds01ctl.core.disk_quota import DiskQuota, QuotaFileSystem
    from ds01ctl.core.plan import Result
    from ds01ctl.paths import Paths


def why(what: str, user: str | None, config: Path | None) -> Result:
    """Judge a path, or all that a user has. Raises UsageError for what is neither."""
    paths, now = gathering.host_paths(), gathering.utcnow()
    path = what if what.startswith(("/", "./", "../")) or what in {".", ".."} else None
    folder = str(Path(path).absolute()) if path else None
    status = _status(folder, paths) if folder else None
    wish = quota_looking.Wish(
        tuple(one for one in (user, None if folder else what) if one),
        config=config,
        paths=(folder,) if folder else (),
        uids=(status.st_uid,) if status else (),
    )
    seen = quota_looking.read(wish, paths, now, remembered=False)
    if folder and status:
        found = [_of_path(folder, status, user, seen, paths)]
    else:
        found = _of_user(what, seen, paths)
    places = [_row(title, one, now.timestamp()) for title, one in found]
    data = {"places": places, "answer": _answer(places)}
    return quota_running.made("quota why", now, seen.gaps, (), data)


def _status(path: str, paths: Paths) -> os.stat_result:
    """Look at a path, but not where a server has to answer: it may be gone, and never do."""
    from ds01ctl.observe import host_disk, host_files
    from ds01ctl.observe.mount_points import mount_of

    mounts = host_disk.parse(host_files.line(paths.proc / "self/mountinfo") or "")
    mount = mount_of(path, mounts, paths)
    if mount is not None and host_disk.is_remote(mount.type):
        hint = "ask there; or see the limits of a user here: ds01ctl quota why USER"
        raise Ds01Error(f"{path} lies on {mount.source} ({mount.type}): its server limits it", hint)
    try:
        return paths.under(path).stat()
    except OSError as error:
        raise Ds01Error(f"{path}: {(error.strerror or 'cannot be read').lower()}") from None


def _of_path(
    path: str, status: os.stat_result, user: str | None, seen: Reading, paths: Paths
) -> tuple[str, Asked]:
    """Take the path's file system, its project, and the user: its owner if nobody is named.

    What is written into a file counts for its owner, whoever writes.
    """
    real = paths.under(path)
    mount = quota_looking.mounts_of(seen.file_systems).get(path)
    one = next((one for one in seen.file_systems if one.mount == mount), None)
    if one is None:
        raise Ds01Error(quota_looking.why_unread(path, seen), "see: ds01ctl doctor")
    writer = _uid(user, seen) if user else status.st_uid
    uid = status.st_uid if stat.S_ISREG(status.st_mode) else writer
    login = seen.users.users.get(uid) or f"#{uid}"
    number = _project_of(real, status.st_mode)
    # ext4 asks who writes, XFS whose the file is
    is_root = writer == 0 and (one.type != "xfs" or uid == 0)
    asked = _asked(login, uid, one, seen, paths)._replace(is_root=is_root)
    if number is None:
        asked = asked._replace(project_name="that the path is in")
    elif number:
        place = Place(one.mount, "project", number)
        name = seen.name_of(place) or f"#{number}"
        asked = asked._replace(project_name=name, project=_record(place, seen))
    whose = ", its owner" if uid == status.st_uid else ""
    by = f"{user}; it counts for {login}" if uid != writer else login
    return f"{path} on {one.mount} ({one.type}), written to by {by}{whose}:", asked


def _uid(login: str, seen: Reading) -> int:
    uid = seen.users.uids.get(login)
    if uid is None:
        raise UsageError(f"no user {login} is known here", "give a login, or a path with a /")
    return uid


def _project_of(path: Path, mode: int) -> int | None:
    """Read the project id of a file or folder; 0 where there is none, None if it can't be read."""
    from ds01ctl import fsxattr

    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
        return 0
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return fsxattr.get_project_id(fd)
    except OSError:
        # a file system that has no projects
        return 0
    finally:
        os.close(fd)


def _of_user(login: str, seen: Reading, paths: Paths) -> list[tuple[str, Asked]]:
    uid = _uid(login, seen)
    return [
        (f"{login} on {one.mount} ({one.type}):", _asked(login, uid, one, seen, paths))
        for one in seen.file_systems
    ]


def _asked(login: str, uid: int, one: QuotaFileSystem, seen: Reading, paths: Paths) -> Asked:
    record = _record(Place(one.mount, "user", uid), seen)
    return Asked(login, record, one, is_read_only=_is_read_only(one, paths), is_root=uid == 0)


def _record(place: Place, seen: Reading) -> DiskQuota | None:
    """Give a record; one of nothing where all were told and this was not among them."""
    one = next(one for one in seen.file_systems if one.mount == place.mount)
    found = quota.records_of((one,)).get(place)
    accounting = one.accounting.get(place.kind)
    if found is None and accounting is not None and accounting.is_complete:
        return nothing_of(place.id)
    return found


def _is_read_only(one: QuotaFileSystem, paths: Paths) -> bool:
    try:
        return bool(os.statvfs(paths.under(one.mount)).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def _row(title: str, asked: Asked, now_s: float) -> dict[str, Any]:
    judged = quota_why.verdicts(asked, now_s)
    return {
        "title": title,
        "mount": asked.file_system.mount,
        "user": asked.login,
        "project": asked.project_name,
        "verdicts": [_verdict_row(one) for one in judged],
    }


def _verdict_row(verdict: Verdict) -> dict[str, Any]:
    return verdict._asdict()


def _answer(places: Iterable[dict[str, Any]]) -> str:
    """Say it in a sentence."""
    told = [(one, place) for place in places for one in place["verdicts"]]
    refusing = [
        f"{one['text']} ({one['error']})" for one, _ in told if one["severity"] == "refuses"
    ]
    if refusing:
        return f"writes fail: {refusing[0]}" + (
            f", and {len(refusing) - 1} more" if refusing[1:] else ""
        )
    soon = [one["text"] for one, _ in told if one["severity"] == "soon"]
    if soon:
        return f"writes succeed for now: {soon[0]}"
    if any(one["severity"] == "unknown" for one, _ in told):
        return "nothing that could be read refuses a write; see what is unknown above"
    return (
        "no quota and no full disk refuses a write: look at permissions (namei -l PATH), then at"
        " the program"
    )
