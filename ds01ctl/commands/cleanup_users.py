"""Find out for `cleanup` who has left, and what is left of them; and take grants back."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ds01ctl.commands.cleanup_rows import clock_row, read_clock
from ds01ctl.core import departed
from ds01ctl.core.cleanup_model import Notice
from ds01ctl.core.departed import Absence, Quota, World
from ds01ctl.core.disk_quota import NO_LIMITS
from ds01ctl.core.slice_names import user_part
from ds01ctl.core.storage import limits_text
from ds01ctl.core.timestamp import format_time, parse_time

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ds01ctl.core.cleanup_model import Change, Clock, Keep, Watch
    from ds01ctl.core.departed import Decision
    from ds01ctl.core.disk_quota import QuotaKind
    from ds01ctl.core.model import Gap, Grant, Snapshot
    from ds01ctl.core.policy import Policy, Setting
    from ds01ctl.core.workload import Workload
    from ds01ctl.observe.users import UsersReading
    from ds01ctl.paths import Paths

MARK = "departed"
"""The name under which the store keeps what mark_of() gives."""
_MOST_REMEMBERED = 5000
_LOGIN = re.compile(r"[^\s/:\x00-\x1f\x7f]{1,256}")
_RANGE = re.compile(r"[^:#]+:(\d{1,10}):(\d{1,10})", re.ASCII)


class Known(NamedTuple):
    """What the run has found out before; all by the full ids of containers."""

    snapshot: Snapshot
    workloads: Sequence[Workload]
    clock: Clock
    mark: Any = None
    """What mark_of() gave at the last run."""
    watches: Mapping[str, Watch] = {}
    """With this look in them."""
    keeps: Mapping[str, Keep] = {}
    """Those that hold, or defer."""
    holds: Mapping[str, Setting] = {}
    """container_hold_after_stop_h of each."""
    graces: Mapping[str, int] = {}
    """Seconds between SIGTERM and SIGKILL."""
    spared: Mapping[str, str] = {}
    """Why one is not touched whosever it is: its label, its engine, an exemption."""
    sizes: Mapping[str, int] = {}
    chosen: frozenset[str] | None = None
    """--user."""


class Look(NamedTuple):
    """What was decided, and what could not be read."""

    decision: Decision
    notices: tuple[Notice, ...]
    """Beside those of the plan: lines of archived.members that make no sense."""
    gaps: tuple[Gap, ...]


def look(known: Known, policy: Policy, paths: Paths) -> Look:
    """Ask the name service, and decide who has left. Raises nothing for what the world does."""
    from ds01ctl.observe import home_folders

    archived, problems = archived_of(policy)
    deadline_s = float(policy.value("users.timeout_s"))
    home_dirs = [str(one) for one in policy.value("users.home_dirs")]
    homes = home_folders.read(home_dirs, paths, deadline_s=deadline_s)
    quotas = _quotas(home_dirs, paths)
    slices = _slices(policy, paths)
    memory = read_mark(known.mark)
    world = World(
        known.clock, "", frozenset(), {}, {}, archived, memory, known.workloads,
        known.snapshot.lacks("docker"), known.snapshot.grants, _marks(known.snapshot.grants),
        homes.homes, slices, quotas, known.keeps, _spared(known), known.watches, known.holds,
        known.graces, known.sizes, float(policy.value("cleanup.users_after_d")) * 86400,
        int(policy.value("enforcement.min_uid")), _skip(policy), known.chosen,
    )  # fmt: skip
    people = _ask(world, policy, paths)
    gaps = (*homes.gaps, *people.gaps)
    told = next((gap.reason for gap in (*gaps, *known.snapshot.gaps) if gap.source == "users"), "")
    world = world._replace(unknown=told, gone=people.gone, users=people.users, uids=people.uids)
    return Look(departed.decide(world), problems, gaps)


def archived_of(policy: Policy) -> tuple[dict[str, str], tuple[Notice, ...]]:
    """Read groups/archived.members beside the policy: where each login stands, and what is odd."""
    from ds01ctl.config.side import NOT_A_GROUP, Folder, read_members
    from ds01ctl.config.source import Findings, is_there
    from ds01ctl.errors import Ds01Error

    if not policy.files:
        return {}, ()
    folder = Folder(Path(policy.files[0]).parent, Findings())
    source = folder.source(f"groups/{NOT_A_GROUP}.members")
    found: dict[str, str] = {}
    with suppress(Ds01Error):
        if is_there(source.path):
            for one in read_members(source):
                found.setdefault(one.login, f"{one.origin.file}:{one.origin.line}")
    problems = [
        Notice("archived-problem", None, None, str(one)) for one in folder.findings.problems
    ]
    return found, tuple(problems)


def revoke(change: Change) -> Literal["done", "already"]:
    """Remove the file of a grant, if it is as it was. Raises Ds01Error."""
    from ds01ctl.act import grants

    return grants.revoke(Path(change.target), change.identity)


# --- readings ---------------------------------------------------------------------------------


def _ask(world: World, policy: Policy, paths: Paths) -> UsersReading:
    """Look up everybody who has a trace here; never what a container's label says."""
    from ds01ctl.observe import users

    uids = {home.uid for home in world.homes} | {one.uid for one in world.quotas}
    uids |= {one.owner.uid for one in world.workloads if one.owner.uid is not None}
    parts = (re.fullmatch(r"u(\d{1,10})", part) for _, part in world.slices)
    uids |= {int(match[1]) for match in parts if match}
    logins = {*world.archived, *(grant.user for grant in world.grants)}
    logins |= {home.name for home in world.homes}
    for key in world.known:
        kind, _, name = key.partition(" ")
        if kind == "login":
            logins.add(name)
        elif kind == "uid" and name.isdecimal():
            uids.add(int(name))
    nobody = _subordinate(paths)
    return users.read(
        {uid for uid in uids if uid >= world.min_uid and not any(uid in some for some in nobody)},
        {login for login in logins if _LOGIN.fullmatch(login)},
        (),
        deadline_s=float(policy.value("users.timeout_s")),
        home_dirs=(),
        passwd=paths.under("/etc/passwd"),
        nsswitch=paths.under("/etc/nsswitch.conf"),
    )


def _subordinate(paths: Paths) -> list[range]:
    """Read the uids that have no name by design: subuid(5), nobody, systemd's own."""
    found = [range(60001, 60706), range(61184, 65536)]
    with suppress(OSError):
        text = paths.under("/etc/subuid").read_text(errors="replace")
        lines = filter(None, map(_RANGE.fullmatch, text.split()))
        found += [range(int(one[1]), int(one[1]) + int(one[2])) for one in lines]
    return found


def _quotas(folders: Sequence[str], paths: Paths) -> list[Quota]:
    """Read who uses disk space or has limits; without quotas, or root, there are none to list."""
    from ds01ctl.commands.quota_looking import USUAL
    from ds01ctl.observe import quotas

    kinds: tuple[QuotaKind, ...] = ("user",)
    reading = quotas.read(paths, dict.fromkeys((*folders, *USUAL)), kinds=kinds)
    return [
        Quota(one.mount, record.id, record.used_bytes, limits_text(record.limits))
        for one in reading.file_systems
        for record in one.records.get("user", ())
        if record.id and (record.used_bytes or record.limits != NO_LIMITS)
    ]


def _slices(policy: Policy, paths: Paths) -> list[tuple[str, str]]:
    """List the slices with a drop-in of ours, and whom each is named after."""
    from ds01ctl.observe.dropins import DropIns

    root = str(policy.value("platform.slice"))
    found = []
    for unit in DropIns(paths).ours():
        match = re.fullmatch(r"user-(\d{1,10})\.slice", unit)
        part = f"u{match[1]}" if match else user_part(unit, root)
        found += [(unit, part)] if part else []
    return found


def _marks(grants: Sequence[Grant]) -> dict[str, Mapping[str, str]]:
    from ds01ctl.act.grants import identity

    found: dict[str, Mapping[str, str]] = {}
    for one in grants:
        with suppress(OSError):
            found[one.file] = identity(Path(one.file))
    return found


def _spared(known: Known) -> dict[str, str]:
    """Add what is never anybody's to touch: infrastructure, and what users' own engines run."""
    own = {engine.host for engine in known.snapshot.engines if engine.is_users_own}
    found = dict(known.spared)
    for one in known.workloads:
        if one.container and one.verdict in {"infrastructure", "system"}:
            found[one.container.id] = f"is {one.verdict}: {one.why}"
        elif one.container and one.container.engine in own:
            found[one.container.id] = "runs in an engine of a user's own"
    return found


def _skip(policy: Policy) -> str | None:
    """Say why nothing is done: the mode of this part."""
    rule = policy.setting("cleanup.rules.users")
    holds = rule if rule.value is not None else policy.setting("cleanup.mode")
    if holds.value == "enforce":
        return None
    return f"report mode: {holds.key} ({holds.origin or 'built-in'})"


# --- memory -----------------------------------------------------------------------------------


def mark_of(memory: Mapping[str, Absence]) -> dict[str, Any]:
    """Give what the next run needs, as JSON has it."""
    newest = sorted(memory.items(), key=lambda one: one[1].looked.now, reverse=True)
    return {
        key: [format_time(one.since), clock_row(one.looked), one.counted_s]
        for key, one in newest[:_MOST_REMEMBERED]
    }


def read_mark(mark: Any) -> dict[str, Absence]:
    """Read what mark_of() gave; what makes no sense begins anew."""
    return dict(_absences(mark)) if isinstance(mark, dict) else {}


def gone_uids(mark: Any, policy: Policy, now: datetime) -> frozenset[int]:
    """Give the uids of who had left by the last answers, which may be a day old."""
    after_s = float(policy.value("cleanup.users_after_d")) * 86400
    return frozenset(
        int(key.removeprefix("uid "))
        for key, one in read_mark(mark).items()
        if re.fullmatch(r"uid \d+", key, re.ASCII)
        and one.counted_s >= after_s
        and abs(now - one.looked.now) < departed.FORGOTTEN_AFTER
    )


def _absences(mark: Mapping[Any, Any]) -> Iterator[tuple[str, Absence]]:
    for key, row in mark.items():
        with suppress(ValueError, TypeError):
            since, looked, counted_s = row
            clock, first = read_clock(looked), parse_time(since)
            if clock is not None and isinstance(first, datetime) and first.tzinfo:
                yield str(key), Absence(first, clock, float(counted_s))
