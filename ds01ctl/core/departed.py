"""Decide who has left, and list what is left of them: nothing that anybody else might need.

Left has who is listed in archived.members, or whose account the name service has surely not known
for days. A directory that is down says nothing, and a uid that somebody has again is theirs.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.core import departed_changes, departed_words
from ds01ctl.core.cleanup_model import Plan
from ds01ctl.core.policy import canonical

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from ds01ctl.core.cleanup_model import Clock, Keep, Watch
    from ds01ctl.core.model import Grant
    from ds01ctl.core.policy import Setting
    from ds01ctl.core.workload import Workload

FORGOTTEN_AFTER = timedelta(hours=26)
"""After so long without an answer the next one is a first one again: what was between nobody knows.

The timer asks once a day (commands.cleanup_leftovers).
"""


class Home(NamedTuple):
    """A folder directly below a home directory."""

    path: str
    name: str
    uid: int


class Quota(NamedTuple):
    """What an id uses on one file system, and its limits in words."""

    mount: str
    uid: int
    used_bytes: int
    limits: str


class Absence(NamedTuple):
    """What is remembered of somebody whom the name service surely did not know."""

    since: datetime
    """The first such answer."""
    looked: Clock
    """The last one."""
    counted_s: float = 0.0
    """Between the two, by both clocks."""


class World(NamedTuple):
    """What one run saw of accounts and traces, and what earlier ones left."""

    clock: Clock
    unknown: str
    """Why nothing can be concluded about anybody; empty: it can."""
    gone: frozenset[int | str]
    """Uids and logins that are surely nobody's."""
    users: Mapping[int, str]
    uids: Mapping[str, int]
    archived: Mapping[str, str] = {}
    """Where each login is listed."""
    known: Mapping[str, Absence] = {}
    """By key_of()."""
    workloads: Sequence[Workload] = ()
    docker_unknown: bool = False
    """Some engine did not answer: nothing is stopped or removed."""
    grants: Sequence[Grant] = ()
    grant_marks: Mapping[str, Mapping[str, str]] = {}
    """By file: act.grants.identity()."""
    homes: Sequence[Home] = ()
    slices: Sequence[tuple[str, str]] = ()
    """Slices with a drop-in of ours, and the login or ``u1005`` that each is named after."""
    quotas: Sequence[Quota] = ()
    keeps: Mapping[str, Keep] = {}
    spared: Mapping[str, str] = {}
    """By container id: why it is not touched, whosever it is."""
    watches: Mapping[str, Watch] = {}
    holds: Mapping[str, Setting] = {}
    """By container id: container_hold_after_stop_h."""
    graces: Mapping[str, int] = {}
    sizes: Mapping[str, int] = {}
    after_s: float = 7 * 86400.0
    min_uid: int = 1000
    skip: str | None = None
    """Why nothing is done in this run: report mode."""
    chosen: frozenset[str] | None = None
    """Logins, or uids as text; None: everybody."""


class Departed(NamedTuple):
    """Somebody who has left, and all that is left of them."""

    login: str | None
    uid: int | None
    why: str
    containers: tuple[Workload, ...] = ()
    images: tuple[str, ...] = ()
    """References that no container of anybody else has."""
    slices: tuple[str, ...] = ()
    quotas: tuple[Quota, ...] = ()
    grants: tuple[Grant, ...] = ()
    keeps: tuple[Keep, ...] = ()
    homes: tuple[Home, ...] = ()

    @property
    def name(self) -> str:
        """Name them: the login, else the number with the sign of one."""
        return self.login or f"#{self.uid}"

    @property
    def has_traces(self) -> bool:
        """Tell whether anything is left."""
        return any(self[3:])


class Decision(NamedTuple):
    """The plan, who it is about, and what to remember."""

    plan: Plan
    people: tuple[Departed, ...]
    memory: Mapping[str, Absence]


def decide(world: World) -> Decision:
    """Plan what to do about the traces of departed users; nothing at all where it is not known."""
    if world.unknown:
        notice = departed_words.unknown(world.unknown)
        return Decision(Plan(notices=(notice,)), (), dict(world.known))
    memory = remembered(world)
    people = [one for one in _people(world, memory) if one.has_traces]
    if world.chosen is not None:
        people = [one for one in people if {one.login, str(one.uid)} & world.chosen]
    changes = tuple(c for one in people for c in departed_changes.changes_of(one, world))
    notices = tuple(departed_words.notice(one, world) for one in people)
    waiting = tuple(
        departed_words.waiting(login, where, world.after_s - memory[listed_key(login)].counted_s)
        for login, where in sorted(world.archived.items())
        if memory[listed_key(login)].counted_s < world.after_s
        and (world.chosen is None or login in world.chosen)
    )
    return Decision(Plan(changes, (*notices, *waiting)), tuple(people), memory)


# --- who has left -----------------------------------------------------------------------------


def key_of(one: int | str) -> str:
    """Give the key by which an absence is remembered."""
    return f"uid {one}" if isinstance(one, int) else f"login {one}"


def listed_key(login: str) -> str:
    """Give the key by which it is remembered since when somebody is listed."""
    return f"listed {login}"


def remembered(world: World) -> dict[str, Absence]:
    """Add this run's answers to what is remembered; who has an account is forgotten at once.

    So is who is no longer listed.
    """
    listed = {listed_key(login) for login in world.archived}
    there = {key_of(uid) for uid in world.users} | {key_of(login) for login in world.uids}
    now = world.clock
    kept = {
        key: one
        for key, one in world.known.items()
        if key not in there
        and (key in listed or not key.startswith(listed_key("")))
        and abs(now.now - one.looked.now) < FORGOTTEN_AFTER
    }
    for key in [*map(key_of, world.gone), *sorted(listed)]:
        if key in there:
            continue
        before = kept.get(key)
        if before is None:
            kept[key] = Absence(now.now, now)
        else:
            counted = before.counted_s + elapsed_s(before.looked, now)
            kept[key] = Absence(min(before.since, now.now), now, counted)
    return kept


def elapsed_s(before: Clock, now: Clock) -> float:
    """Tell how much time has surely passed; after a restart of the machine, since that."""
    by_wall = (now.now - before.now).total_seconds()
    since_boot = now.boottime_s
    if before.boot_id == now.boot_id:
        since_boot -= before.boottime_s
    return max(0.0, min(by_wall, since_boot))


def _people(world: World, memory: Mapping[str, Absence]) -> Iterator[Departed]:
    """Find who has left, each once: by the list, by uid, and by login where no uid is known."""
    seen: set[int | str] = set()
    for login, where in sorted(world.archived.items()):
        uid = world.uids.get(login, _uid_of_home(login, world))
        if (uid is not None and uid < world.min_uid) or login == "root":
            continue
        absence = memory.get(listed_key(login))
        if absence is None or absence.counted_s < world.after_s:
            continue
        seen |= {login} if uid is None else {login, uid}
        yield _with_traces(Departed(login, uid, f"listed in {where}"), world)
    for one in sorted(world.gone, key=lambda one: (isinstance(one, str), one)):
        absence = memory.get(key_of(one))
        if one in seen or absence is None or absence.counted_s < world.after_s:
            continue
        if isinstance(one, int):
            if one < world.min_uid:
                continue
            login_ = _login_of_home(one, world)
            # of several homes of one uid only the number is sure
            seen |= {one} if login_ is None else {one, login_}
            yield _with_traces(Departed(login_, one, departed_words.gone(absence)), world)
        else:
            yield _with_traces(Departed(one, None, departed_words.gone(absence)), world)


def _uid_of_home(login: str, world: World) -> int | None:
    """Find the uid of somebody without an account: it owns the home of that name, and is nobody's.

    A home that somebody else has got is that one's.
    """
    found = {one.uid for one in world.homes if one.name == login}
    uid = next(iter(found)) if len(found) == 1 else None
    return uid if uid in world.gone and uid not in world.users else None


def _login_of_home(uid: int, world: World) -> str | None:
    """Find the login that a uid had: the name of its home, if that is nobody's now, too."""
    names = {one.name for one in world.homes if one.uid == uid}
    login = next(iter(names)) if len(names) == 1 else None
    return login if login in world.gone and login not in world.uids else None


# --- what is left -----------------------------------------------------------------------------


def _with_traces(one: Departed, world: World) -> Departed:
    mine = [w for w in world.workloads if w.container and _is_owner(one, w)]
    ids = [w.container.id for w in mine if w.container]
    return one._replace(
        containers=tuple(mine),
        images=tuple(_images(mine, world.workloads)),
        slices=tuple(sorted(unit for unit, part in world.slices if _is_slice(one, part, world))),
        quotas=tuple(q for q in world.quotas if q.uid == one.uid and one.uid is not None),
        grants=tuple(grant for grant in world.grants if grant.user == one.login),
        keeps=tuple(world.keeps[id_] for id_ in ids if id_ in world.keeps),
        homes=tuple(home for home in world.homes if home.uid == one.uid),
    )


def _is_owner(one: Departed, workload: Workload) -> bool:
    """Tell whether a container is theirs: by uid where one is known, for that may be another's."""
    owner = workload.owner
    if owner.uid is not None:
        return owner.uid == one.uid
    return owner.login is not None and owner.login == one.login


def _is_slice(one: Departed, part: str, world: World) -> bool:
    if match := re.fullmatch(r"u(\d{1,10})", part):
        return one.uid is not None and int(match[1]) == one.uid
    # a form that a living user's login has, too, may be that one's slice
    alive = any(canonical(login) == part for login in world.uids if login != one.login)
    return one.login is not None and canonical(one.login) == part and not alive


def _images(mine: Sequence[Workload], everything: Iterable[Workload]) -> list[str]:
    """List the references that only their containers have, among those that are there now."""
    ids = {w.container.id for w in mine if w.container}
    others = {w.container.image for w in everything if w.container and w.container.id not in ids}
    found = {w.container.image for w in mine if w.container and w.container.image}
    return sorted(found - others)
