"""What `enforce show` and `explain` tell of people: limits, use, and what was slowed or killed."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from ds01ctl.commands import enforcing, gathering
from ds01ctl.core import drift, usage
from ds01ctl.core.cgroup_path import is_within
from ds01ctl.core.plan import Result
from ds01ctl.core.properties import BY_NAME, NONE, PROPERTIES, number, percent_text, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ds01ctl.commands.enforcing import Look, Wish
    from ds01ctl.core.homes import Home
    from ds01ctl.core.people import Person
    from ds01ctl.core.scopes import Bound, Scope
    from ds01ctl.core.usage import Usage
    from ds01ctl.paths import Paths

SAMPLE_S = 0.3
"""Between two readings of CPU time."""
_SUMMED = ("CPUQuota", "MemoryMax", "TasksMax")


def show(wish: Wish) -> Result:
    """Show everybody, or one user: what binds them, and what they use."""
    paths = gathering.host_paths()
    one = wish.users[0] if len(wish.users) == 1 else None
    seen = enforcing.look(wish._replace(thorough=one is not None), paths, gathering.utcnow())
    users = people_rows(seen)
    data = {
        "user": one,
        "users": users,
        "spared": [each._asdict() for each in seen.world.roll.spared] if one is None else [],
        "modes": dict(seen.world.modes),
    }
    failed = gathering.is_failure(seen.gaps)
    now = seen.snapshot.taken_at
    return Result(
        "enforce show", os.uname().nodename, now, seen.gaps, data=data, failed_gaps=failed
    )


def people_rows(seen: Look) -> list[dict[str, Any]]:
    """Make a row for each person who was asked for, by login."""
    world = seen.world
    chosen = [one for one in world.roll.people if world.users is None or one.login in world.users]
    uids = {one.uid for one in chosen}
    homes = [home for home in world.homes if home.person.uid in uids]
    rates = _cpu_percent(homes, seen)
    by_uid: dict[int, list[Home]] = {}
    for home in homes:
        by_uid.setdefault(home.person.uid, []).append(home)
    return [
        _person(one, by_uid.get(one.uid, []), rates, seen)
        for one in sorted(chosen, key=lambda one: one.login)
    ]


def _cpu_percent(homes: Iterable[Home], seen: Look) -> dict[str, tuple[Usage, float | None]]:
    """Read the use of each home twice, and say what of a CPU it took in between."""
    live = [home for home in homes if seen.world.seen[home.unit].group]
    first = {home.unit: (seen.cgroups.usage(home.cgroup), time.monotonic()) for home in live}
    if live:
        time.sleep(SAMPLE_S)
    found: dict[str, tuple[Usage, float | None]] = {}
    for home in live:
        before, then = first[home.unit]
        now = seen.cgroups.usage(home.cgroup)
        elapsed_us = (time.monotonic() - then) * 1e6
        if now is None:
            continue
        rate = None
        if before and before.inode == now.inode and None not in {before.cpu_us, now.cpu_us}:
            rate = round(((now.cpu_us or 0) - (before.cpu_us or 0)) / elapsed_us * 100, 1)
        found[home.unit] = now, rate
    return found


def _person(
    person: Person,
    homes: list[Home],
    rates: Mapping[str, tuple[Usage, float | None]],
    seen: Look,
) -> dict[str, Any]:
    containers = [
        _container(scope, limits, seen.world.machine.nodes)
        for scope, limits in seen.plan.bounds
        if scope.person and scope.person.uid == person.uid
    ]
    return {
        "user": person.login,
        "uid": person.uid,
        "group": person.group,
        "homes": [_home(home, rates.get(home.unit), seen) for home in homes],
        "containers": containers,
        "reach": _reach(homes, outside=any(row["home"] is None for row in containers)),
    }


def _home(home: Home, used: tuple[Usage, float | None] | None, seen: Look) -> dict[str, Any]:
    one = seen.world.seen[home.unit]
    chain = _chain(home, seen) if one.group else []
    return {
        "kind": home.kind,
        "unit": home.unit,
        "is_old": home.is_old,
        "is_live": one.group is not None,
        "limits": [_limit(name, home, one, chain, seen) for name in BY_NAME if name in home.wanted],
        "usage": _usage(home, used, seen),
    }


def _limit(
    name: str, home: Home, one: drift.Seen, chain: list[drift.Group], seen: Look
) -> dict[str, Any]:
    prop, wanted = BY_NAME[name], home.wanted[name]
    nodes = seen.world.machine.nodes
    kernel = one.group.value(prop) if one.group and prop.file else None
    told = one.told.values.get(name, NONE) if one.told else None
    least = drift.effective(prop, chain) if chain and prop.file else None
    found = next((d for h, ds in seen.plan.drifts if h == home for d in ds if d.prop == prop), None)
    return {
        "property": name,
        "key": wanted.key,
        "policy": shown(prop, wanted.value, nodes),
        "origin": wanted.origin,
        "systemd": None if told is None else shown(prop, told, nodes),
        "kernel": None if kernel is None else shown(prop, kernel, nodes),
        "effective": None if least is None else shown(prop, least, nodes),
        "drift": found.leg if found else None,
    }


def _chain(home: Home, seen: Look) -> list[drift.Group]:
    """Read a home's group and all above it, from the top down."""
    parts = home.cgroup.strip("/").split("/")
    paths = ["/" + "/".join(parts[: count + 1]) for count in range(len(parts))]
    files = (*{prop.file for prop in PROPERTIES if prop.file}, "cpuset.cpus.effective")
    return [group for path in paths if (group := seen.cgroups.group(path, files))]


def _usage(
    home: Home, used: tuple[Usage, float | None] | None, seen: Look
) -> dict[str, Any] | None:
    """Tell what a home uses now, and what limits did to it since the first recorded run."""
    memory = seen.memory
    row = memory.usage.get(home.unit)
    if used is None:
        if not row:
            return None
        totals = {name: row[name]["total"] for name in usage.COUNTERS if name in row}
        return _usage_row(None, None, totals)
    now, rate = used
    counts = usage.count(now, row, seen.snapshot.boot_id, is_first=memory.is_first)
    return _usage_row(now, rate, {name: one.total for name, one in counts.items()})


def _usage_row(now: Usage | None, rate: float | None, totals: Mapping[str, int]) -> dict[str, Any]:
    throttled = totals.get("throttled_us")
    return {
        "cpu_percent": rate,
        "memory_bytes": now.memory_bytes if now else None,
        "swap_bytes": now.swap_bytes if now else None,
        "tasks": now.tasks if now else None,
        "cpu_pressure_percent": now.cpu_pressure if now else None,
        "memory_pressure_percent": now.memory_pressure if now else None,
        "io_pressure_percent": now.io_pressure if now else None,
        "throttled_s": None if throttled is None else throttled / 1e6,
        "oom_kills": totals.get("oom_kills"),
        "forks_refused": totals.get("forks_refused"),
    }


def _container(
    scope: Scope, limits: Mapping[str, Bound], nodes: Mapping[str, str]
) -> dict[str, Any]:
    group = scope.group
    return {
        "name": scope.container.name,
        "id": scope.container.id,
        "cgroup": group.path,
        "home": scope.home.unit if scope.home else None,
        "limits": [
            {
                "property": name,
                "limit": shown(BY_NAME[name], bound.value, nodes),
                "why": bound.why,
                "kernel": shown(BY_NAME[name], group.value(BY_NAME[name]), nodes),
            }
            for name, bound in limits.items()
        ],
    }


def _reach(homes: list[Home], *, outside: bool) -> dict[str, str]:
    """Add up what a person can reach at once: log-ins, containers, and containers elsewhere."""
    current = [home for home in homes if not home.is_old]
    counted = [*current, *(home for home in current if outside and home.kind == "slice")]
    told = {}
    for name in _SUMMED:
        values = [home.wanted[name].value if name in home.wanted else NONE for home in counted]
        total = sum(number(value) for value in values) if values else float("inf")
        prop = BY_NAME[name]
        if total == float("inf"):
            text = NONE
        else:
            text = percent_text(total) if prop.kind == "quota" else str(int(total))
        told[name] = shown(prop, text)
    return told


def processes_of(person: Person, seen: Look, paths: Paths) -> dict[str, Any]:
    """Count a user's processes by where they are, and name those that no home of theirs holds."""
    from ds01ctl.observe import user_processes

    found = user_processes.read(person.uid, paths)
    homes = [home for home in seen.world.homes if home.person.uid == person.uid]
    inside: dict[str, int] = {}
    outside = []
    for one in found:
        above = [home.unit for home in homes if one.cgroup and is_within(one.cgroup, home.cgroup)]
        if above:
            inside[above[0]] = inside.get(above[0], 0) + 1
        else:
            outside.append({"pid": one.pid, "name": one.comm, "cgroup": one.cgroup})
    return {"count": len(found), "by_home": inside, "outside": outside}
