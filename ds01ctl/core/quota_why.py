"""Say why a write fails: of all that can refuse it, what does, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from ds01ctl.core.quota_rows import room_needed
from ds01ctl.core.sizes import size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ds01ctl.core.disk_quota import DiskQuota, QuotaFileSystem, QuotaKind

Severity = Literal["refuses", "soon", "fine", "unknown"]
SEVERITIES: tuple[Severity, ...] = ("refuses", "soon", "unknown", "fine")
_BLOCK = 4096
_DAY_S, _HOUR_S = 86400, 3600


class Verdict(NamedTuple):
    """One thing that could refuse a write, and whether it does."""

    check: str
    """user-quota, project-quota, user-inodes, project-inodes, space, inodes, read-only."""
    severity: Severity
    text: str
    error: str | None = None
    """The error that a program sees: EDQUOT, ENOSPC or EROFS."""
    todo: str | None = None


class Asked(NamedTuple):
    """Whose write, and where."""

    login: str
    user: DiskQuota | None
    """None: not readable."""
    file_system: QuotaFileSystem
    project_name: str | None = None
    project: DiskQuota | None = None
    is_read_only: bool = False
    is_root: bool = False


def verdicts(asked: Asked, now_s: float) -> list[Verdict]:
    """Judge everything that could refuse the write, the worst first."""
    found = [*_mount(asked), *_quotas(asked, now_s), *_room(asked)]
    return sorted(found, key=lambda one: SEVERITIES.index(one.severity))


def _mount(asked: Asked) -> Iterator[Verdict]:
    if asked.is_read_only:
        mount = asked.file_system.mount
        text = f"{mount} is mounted read-only: nobody can write"
        todo = f"see why in the kernel's log (dmesg), then: mount -o remount,rw {mount}"
        yield Verdict("read-only", "refuses", text, "EROFS", todo)


def _quotas(asked: Asked, now_s: float) -> Iterator[Verdict]:
    yield from _kind(asked, "user", asked.user, asked.login, now_s)
    if asked.project_name is not None:
        yield from _kind(asked, "project", asked.project, asked.project_name, now_s)


def _kind(
    asked: Asked, kind: QuotaKind, record: DiskQuota | None, name: str, now_s: float
) -> Iterator[Verdict]:
    accounting = asked.file_system.accounting.get(kind)
    mount = asked.file_system.mount
    check = f"{kind}-quota"
    if accounting is None or not accounting.is_on:
        why = accounting.reason if accounting else "not known"
        yield Verdict(check, "fine", f"no {kind} quota is counted on {mount} ({why})")
        return
    if record is None:
        yield Verdict(check, "unknown", f"the {kind} quota of {name} on {mount} was not readable")
        return
    if not accounting.is_enforced:
        yield Verdict(check, "fine", f"{kind} quotas on {mount} are counted, and no limit holds")
        return
    if asked.is_root and (kind == "user" or asked.file_system.type != "xfs"):
        yield Verdict(check, "fine", f"root is not bound by {kind} quotas")
        return
    limits = record.limits
    yield _judge(asked, kind, name, check, Amounts(
        record.used_bytes, limits.soft_bytes, limits.hard_bytes, record.bytes_grace_end, _BLOCK,
    ), now_s)  # fmt: skip
    if limits.soft_inodes or limits.hard_inodes:
        yield _judge(asked, kind, name, f"{kind}-inodes", Amounts(
            record.used_inodes, limits.soft_inodes, limits.hard_inodes, record.inodes_grace_end, 1,
        ), now_s)  # fmt: skip


class Amounts(NamedTuple):
    """Bytes or inodes of one record."""

    used: int
    soft: int
    hard: int
    grace_end: int
    step: int
    """The least that a write adds: a block, or one file."""

    def shown(self, number: int) -> str:
        """Write a number of them."""
        return f"{number} files" if self.step == 1 else size(number)


def _judge(
    asked: Asked, kind: QuotaKind, name: str, check: str, seen: Amounts, now_s: float
) -> Verdict:
    who = f"{name} uses" if kind == "user" else f"project {name} holds"
    used = f"{who} {seen.shown(seen.used)} on {asked.file_system.mount}"
    error = _error_of(asked, kind)
    todo = _todo(asked, kind, name, seen)
    if seen.hard and seen.used + room_needed(seen.hard, seen.step) > seen.hard:
        left = max(seen.hard - seen.used, 0)
        fits = "nothing more fits" if left < seen.step else f"only {seen.shown(left)} more fit"
        text = f"{used}, and the hard limit is {seen.shown(seen.hard)}: {fits}"
        return Verdict(check, "refuses", text, error, todo)
    if seen.soft and seen.used > seen.soft:
        over = f"{used}, over the soft limit of {seen.shown(seen.soft)}"
        if seen.grace_end and seen.grace_end <= now_s:
            text = f"{over}, and the grace was over {_span(now_s - seen.grace_end)} ago"
            return Verdict(check, "refuses", f"{text}: it holds like a hard limit", error, todo)
        if seen.grace_end:
            text = f"{over}; writes go on for {_span(seen.grace_end - now_s)}, and are refused then"
            return Verdict(check, "soon", text, error, todo)
        text = f"{over}; the grace has not begun yet (it does when the blocks are flushed)"
        return Verdict(check, "soon", text, error, todo)
    if not seen.soft and not seen.hard:
        return Verdict(check, "fine", f"{used}, without a limit")
    most = seen.soft or seen.hard
    return Verdict(check, "fine", f"{used} of {seen.shown(most)}")


def _error_of(asked: Asked, kind: QuotaKind) -> str:
    """XFS tells of a full project as of a full disk."""
    return "ENOSPC" if kind == "project" and asked.file_system.type == "xfs" else "EDQUOT"


def _todo(asked: Asked, kind: QuotaKind, name: str, seen: Amounts) -> str:
    most = seen.soft or seen.hard
    free = f"delete {seen.shown(max(seen.used - most, seen.step))} or more"
    flag = "--inodes-soft" if seen.step == 1 else "--soft"
    amount = f"+{max(most // 10, 1)}" if seen.step == 1 else "+10G"
    whom = name if kind == "user" else f"--project {name}"
    return f"{free}; or: ds01ctl quota set {whom} {flag} {amount} --path {asked.file_system.mount}"


def _room(asked: Asked) -> Iterator[Verdict]:
    file_system = asked.file_system
    free, inodes = file_system.free_bytes, file_system.free_inodes
    if free is None:
        yield Verdict("space", "unknown", f"{file_system.mount} does not tell what is free")
        return
    see = f"see who uses it: ds01ctl quota report --by user --path {file_system.mount}"
    if free < _BLOCK:
        text = f"{file_system.mount} is full, for everybody"
        yield Verdict("space", "refuses", text, "ENOSPC", see)
    else:
        yield Verdict("space", "fine", f"{size(free)} free on {file_system.mount}")
    if inodes is not None and inodes < 1:
        text = f"{file_system.mount} has no inode left: no new file, for nobody"
        yield Verdict("inodes", "refuses", text, "ENOSPC", see)


def _span(seconds: float) -> str:
    for unit, length in (("day", _DAY_S), ("hour", _HOUR_S), ("minute", 60)):
        if seconds >= length:
            number = int(seconds // length)
            return f"{number} {unit}{'' if number == 1 else 's'}"
    return f"{max(int(seconds), 0)} seconds"
