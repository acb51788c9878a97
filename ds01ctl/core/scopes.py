"""Single containers: what each may use, wherever it runs, and what its control group has to say.

A limit goes straight into the files of the container's control group. `set-property` on its scope
would take away the GPUs that the NVIDIA hook has granted (measured); a write to the files does not,
nor does it need an engine's help. systemd's own idea of the scope stays as Docker made it: a reload
puts that back, and the next run finds it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from ds01ctl.core.cgroup_path import is_within
from ds01ctl.core.drift import same
from ds01ctl.core.homes import cpu_set
from ds01ctl.core.people import Person
from ds01ctl.core.properties import (
    BY_NAME,
    NONE,
    Property,
    fits,
    is_above,
    least_rates,
    number,
    of_kernel,
    percent_text,
    rates_of,
    rates_text,
)
from ds01ctl.core.quantity import cpus_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence, Set

    from ds01ctl.core.drift import Group
    from ds01ctl.core.homes import Home, Wanted
    from ds01ctl.core.model import Container
    from ds01ctl.core.owner import Owner
    from ds01ctl.core.policy import Policy, Setting
    from ds01ctl.core.workload import Workload

_SHARED = tuple(
    name for name, prop in BY_NAME.items() if prop.kind in {"quota", "size", "count", "devices"}
)
"""What those of a person's containers that no home holds have to share."""
MOST_SHARERS = 8
"""No share is smaller than this part: whoever mounts a victim's home could starve their work."""
_LEAST = {"CPUQuota": 1.0, "TasksMax": 16.0, "MemoryHigh": 64 << 20, "MemoryMax": 64 << 20}
"""A share is never less: a container could not even be stopped in order."""


LOOSER, RELEASED = "the limit is wider now", "no longer limited"


class Scope(NamedTuple):
    """A running container, and where it stands."""

    container: Container
    group: Group
    person: Person | None
    """Who is held to account for it; None: nobody is known to own it."""
    home: Home | None
    """The home of its owner's that it runs in; None: no limit of its owner's is above it."""
    is_spared: bool = False
    """Infrastructure, or of somebody who is never limited."""
    is_unknown: bool = False
    """Whose it is could not be looked up: it is left as it is."""
    in_use_bytes: int | None = None

    @property
    def login(self) -> str | None:
        """Name who is held to account; nobody where a stand-in is."""
        return self.person.login if self.person and self.person.uid >= 0 else None


class Held(NamedTuple):
    """What we wrote into a container's control group."""

    started_at: str
    values: Mapping[str, str]
    """By property."""
    before: Mapping[str, str]
    """What was there before us."""


class Bound(NamedTuple):
    """One limit of one container."""

    value: str
    why: str


class Holders(NamedTuple):
    """Who can be held to account for a container."""

    is_accountable: Callable[[Owner], bool]
    people: Mapping[int, Person]
    spared: Set[int]
    homes: Mapping[int, Sequence[Home]]
    stand_in: Person | None
    """For owners that nobody can tell; None: they are only told of."""
    names_known: bool
    """False: who owns what may only look unknown, and nothing may rest on that."""


def scopes(
    workloads: Iterable[Workload], groups: Mapping[str, Group], holders: Holders
) -> list[Scope]:
    """Find the containers to look at; one whose owner could not be looked up is left as it is.

    One that is spared is looked at all the same: it may have been held before.
    """
    found = []
    for workload in workloads:
        container = workload.container
        group = groups.get(container.cgroup or "") if container else None
        if container is None or group is None:
            continue
        who = _who(workload, holders)
        person = who if isinstance(who, Person) else None
        homes = holders.homes.get(person.uid, ()) if person else ()
        home = next((one for one in homes if is_within(group.path, one.cgroup)), None)
        found.append(
            Scope(container, group, person, home, who == "spared", is_unknown=who == "unknown")
        )
    return found


def _who(workload: Workload, holders: Holders) -> Person | Literal["spared", "unknown"] | None:
    """Say whose limits hold; to be spared takes more than words, for anybody can write those."""
    owner = workload.owner
    if workload.verdict == "infrastructure":
        return "spared"
    if owner.login is not None and owner.uid is not None and holders.is_accountable(owner):
        if owner.uid in holders.people:
            return holders.people[owner.uid]
        if owner.uid not in holders.spared:
            # a uid without a name: somebody whom no directory knows now
            return "unknown"
        if owner.corroborated:
            return "spared"
    return holders.stand_in if holders.names_known else "unknown"


def bounds(
    scope: Scope,
    policy: Policy,
    shared: Mapping[str, Wanted],
    sharing: int,
    page_bytes: int,
) -> dict[str, Bound]:
    """Collect the limits of one container, the strictest of each kind.

    shared: its owner's aggregate limits, which ``sharing`` containers outside every home share.
    """
    found = _own_bounds(scope, policy, page_bytes)
    if scope.home is not None or scope.person is None:
        return found
    for name in _SHARED:
        if (wanted := shared.get(name)) and wanted.value != NONE:
            parts_of = min(sharing, MOST_SHARERS)
            value = _share(BY_NAME[name], wanted.value, parts_of, page_bytes)
            parts = f" / {parts_of}, for {sharing} containers outside of slices"
            parts = parts if sharing > 1 else ""
            _tighten(found, name, Bound(value, f"{wanted.key}{parts} ({wanted.origin})"))
    if (wanted := shared.get("AllowedCPUs")) and wanted.value != NONE:
        found["AllowedCPUs"] = Bound(wanted.value, f"{wanted.key} ({wanted.origin})")
    return found


def _own_bounds(scope: Scope, policy: Policy, page_bytes: int) -> dict[str, Bound]:
    """Read the limits per container: max_cpus, memory, memory_swap, pids_limit."""
    if scope.person is None:
        return {}
    login = scope.person.login
    cpus, memory, both, pids = (
        policy.limit(login, key) for key in ("max_cpus", "memory", "memory_swap", "pids_limit")
    )
    found: dict[str, Bound] = {}
    if _is_set(cpus):
        found["CPUQuota"] = _bound(percent_text(float(cpus.value) * 100), cpus)
    if _is_set(memory):
        found["MemoryMax"] = _bound(_pages(int(memory.value), page_bytes), memory)
    if _is_set(memory) and _is_set(both):
        # memory_swap is both together, as for Docker
        rest = max(int(both.value) - int(memory.value), 0)
        found["MemorySwapMax"] = _bound(_pages(rest, page_bytes), both)
    if _is_set(pids):
        found["TasksMax"] = _bound(str(pids.value), pids)
    return found


def _is_set(setting: Setting) -> bool:
    return setting.origin is not None and setting.value is not None


def _bound(value: str, setting: Setting) -> Bound:
    return Bound(value, f"{setting.key} ({setting.origin})")


def _pages(size: int, page_bytes: int) -> str:
    return str(size // page_bytes * page_bytes)


def _tighten(found: dict[str, Bound], name: str, bound: Bound) -> None:
    if name not in found or is_above(BY_NAME[name], found[name].value, bound.value):
        found[name] = bound


def _share(prop: Property, value: str, sharing: int, page_bytes: int) -> str:
    """Give one container's part of a limit that several share."""
    if prop.kind == "devices":
        rates = rates_of(value).items()
        return rates_text((device, str(max(rate // sharing, 1))) for device, rate in rates)
    part = max(number(value) / sharing, min(_LEAST.get(prop.name, 0.0), number(value)))
    if prop.kind == "quota":
        return percent_text(part)
    return _pages(int(part), page_bytes) if prop.kind == "size" else str(int(part))


class Wish(NamedTuple):
    """One file of a container's control group that is to change."""

    prop: Property
    before: str
    after: str
    why: str


def wishes(
    scope: Scope,
    limits: Mapping[str, Bound],
    held: Held | None,
    kept: frozenset[str] = frozenset(),
    *,
    force: bool,
) -> tuple[list[Wish], str | None]:
    """Decide what to write: tighten what is too wide, and loosen only what we once tightened.

    kept: properties whose limit cannot be told now, as a device is missing: left as they are.
    Memory is never cut below what is in use, but with force: then the second part tells how far it
    is, and the container is slowed down instead.
    """
    limits, deferred = _humane(scope, dict(limits), force=force)
    found = []
    for name, bound in limits.items():
        prop = BY_NAME[name]
        if prop.file not in scope.group.files:
            # told as a finding
            continue
        now = scope.group.value(prop)
        value = _bounded(prop, now, bound.value)
        if value is not None:
            found.append(Wish(prop, now, value, bound.why))
        elif held and name in held.values and same(prop, held.values[name], now):
            wide = _narrower(prop, bound.value, held.before.get(name, NONE))
            found += [Wish(prop, now, wide, LOOSER)] if not same(prop, wide, now) else []
    spared = kept | ({"MemoryMax"} if deferred else set())
    for name in sorted(set(held.values if held else ()) - set(limits) - spared):
        prop = BY_NAME[name]
        now = scope.group.value(prop)
        before = held.before.get(name, NONE) if held else NONE
        if held and same(prop, held.values[name], now) and not same(prop, before, now):
            found.append(Wish(prop, now, before, RELEASED))
    return found, deferred


def _bounded(prop: Property, now: str, limit: str) -> str | None:
    """Give what has to be written where more is allowed than the limit; None: nothing.

    What a container has that is tighter stays: its own CPUs, its own devices.
    """
    if prop.kind == "cpus":
        allowed, mine = cpu_set(limit), cpu_set(now) if now != NONE else frozenset()
        if mine and mine <= allowed:
            return None
        return cpus_text(mine & allowed) if mine & allowed else limit
    if not is_above(prop, now, limit):
        return None
    return least_rates([now, limit]) if prop.kind == "devices" else limit


def _humane(
    scope: Scope, limits: dict[str, Bound], *, force: bool
) -> tuple[dict[str, Bound], str | None]:
    """Put MemoryHigh in the place of a MemoryMax that would kill now."""
    most = limits.get("MemoryMax")
    now = scope.group.value(BY_NAME["MemoryMax"])
    if most is None or force or not is_above(BY_NAME["MemoryMax"], now, most.value):
        return limits, None
    if scope.in_use_bytes is not None and fits(scope.in_use_bytes, most.value):
        return limits, None
    del limits["MemoryMax"]
    _tighten(limits, "MemoryHigh", Bound(most.value, f"{most.why}; more is in use"))
    return limits, most.value


def _narrower(prop: Property, one: str, other: str) -> str:
    if prop.kind == "cpus":
        return other
    return other if is_above(prop, one, other) else one


def kernel_writes(prop: Property, value: str, now: str) -> list[tuple[str, str]]:
    """Give the writes that set a limit: (file, text); now: what the kernel's file says."""
    if prop.kind == "quota":
        period = int((now.split() or ["max", "100000"])[-1]) if " " in now else 100_000
        quota = "max" if value == NONE else str(max(int(number(value) * period / 100), 1000))
        return [(prop.file, f"{quota} {period}")]
    if prop.kind == "devices":
        # only devices that are named: what a container has on others is its own
        rates = rates_of(value)
        every = {**dict.fromkeys(rates_of(of_kernel(prop, now)), "max"), **rates}
        return [(prop.file, f"{device} {prop.field}={rate}") for device, rate in every.items()]
    if prop.kind == "cpus":
        return [(prop.file, "" if value == NONE else value)]
    return [(prop.file, "max" if value == NONE else value)]
