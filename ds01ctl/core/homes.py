"""What the policy wants of each person's two homes: log-ins, and the slice of containers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from ds01ctl.core.properties import NONE, PROPERTIES, Property, of_policy, rates_text
from ds01ctl.core.slice_names import cgroup_of, user_slice

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ds01ctl.core.people import Person
    from ds01ctl.core.policy import Policy, Setting
    from ds01ctl.core.slice_names import SliceName

Kind = Literal["logins", "slice"]
_SECTIONS = {"logins": ("login", "aggregate"), "slice": ("aggregate",)}


class Device(NamedTuple):
    """A block device that limits can be put on."""

    number: str
    """``254:0``: of the whole disk, as io.max has it."""
    node: str
    """``/dev/vda``."""
    warning: str | None = None
    """Why a limit on it may do less than it says."""


class Hardware(NamedTuple):
    """What this machine has."""

    cpus: frozenset[int]
    memory_bytes: int
    page_bytes: int = 4096
    devices: Mapping[str, Device | str] = {}
    """By path of the policy; a text says why there is none."""
    tasks: int = 0
    """How many tasks the kernel can have at all: what a percentage of TasksMax is of."""
    weighs_io: bool = False
    """Some disk has the bfq scheduler or io.cost: an IO weight has an effect."""

    @property
    def nodes(self) -> dict[str, str]:
        """Give the device nodes by number."""
        return {d.number: d.node for d in self.devices.values() if isinstance(d, Device)}

    @property
    def numbers(self) -> dict[str, str]:
        """Give the numbers by path and by node."""
        found = {path: d for path, d in self.devices.items() if isinstance(d, Device)}
        return {name: d.number for path, d in found.items() for name in (path, d.node)}


class Wanted(NamedTuple):
    """One limit."""

    value: str
    """As core.properties writes values."""
    key: str
    """The policy's key: ``aggregate.memory_max``."""
    origin: str
    """Where it was written, and by which rule it holds."""


class Home(NamedTuple):
    """One place of a person's work, and its limits."""

    person: Person
    kind: Kind
    unit: str
    cgroup: str
    wanted: Mapping[str, Wanted]
    """By property, in the order of PROPERTIES; one that is absent is left alone."""
    kept: frozenset[str] = frozenset()
    """Properties that cannot be told now, for a device or a CPU is missing: left as they are."""
    is_old: bool = False
    """Of a group that the person has left, and still in use."""


class Misfit(NamedTuple):
    """Something in the policy that this machine cannot give, or that has no effect."""

    key: str
    origin: str
    text: str


def homes(
    people: Iterable[Person],
    names: Mapping[int, SliceName],
    in_use: Mapping[int, Sequence[str]],
    limits: Limits,
) -> Iterator[Home]:
    """List the homes of everybody; in_use: slices of earlier groups with processes, by uid."""
    for person in people:
        unit = user_slice(person.uid)
        wanted = limits.of(person, "logins")
        kept = limits.kept(person, "logins")
        yield Home(person, "logins", unit, f"/user.slice/{unit}", wanted, kept)
        wanted, kept = limits.of(person, "slice"), limits.kept(person, "slice")
        if name := names[person.uid].unit:
            yield Home(person, "slice", name, cgroup_of(name), wanted, kept)
        for old in in_use.get(person.uid, ()):
            yield Home(person, "slice", old, cgroup_of(old), wanted, kept, is_old=True)


class Limits:
    """The limits of everybody; those without a word of their own share their group's."""

    def __init__(self, policy: Policy, hardware: Hardware) -> None:
        self._policy = policy
        self._hardware = hardware
        self._in_force = bool(policy.value("enforcement.aggregate_limits"))
        self._known: dict[tuple[str, str], dict[str, Wanted | None]] = {}
        self._misfits: dict[Misfit, None] = {}

    @property
    def misfits(self) -> tuple[Misfit, ...]:
        """Tell what was found not to fit so far."""
        return tuple(self._misfits)

    def of(self, person: Person, kind: Kind) -> Mapping[str, Wanted]:
        """Give the limits of one home, by property."""
        if not self._in_force:
            return {}
        found = self._all(person, kind)
        return {name: one for name, one in found.items() if one is not None}

    def kept(self, person: Person, kind: Kind) -> frozenset[str]:
        """Name the properties of one home that are wanted and cannot be told now."""
        if not self._in_force:
            return frozenset()
        return frozenset(name for name, one in self._all(person, kind).items() if one is None)

    def _all(self, person: Person, kind: Kind) -> dict[str, Wanted | None]:
        own = self._policy.has_override(person.login)
        key = (f"user {person.login}" if own else f"group {person.group}", kind)
        if key not in self._known:
            self._known[key] = self._read(person.login, kind)
        return self._known[key]

    def _read(self, login: str, kind: Kind) -> dict[str, Wanted | None]:
        found: dict[str, Wanted | None] = {}
        for prop in PROPERTIES:
            setting = setting_of(self._policy, login, kind, prop)
            if setting.origin is None:
                continue
            value = self._value(prop, setting)
            wanted = Wanted(value, setting.key, str(setting.origin)) if value is not None else None
            found[prop.name] = wanted
        self._compare(found)
        return found

    def _value(self, prop: Property, setting: Setting) -> str | None:
        machine = self._hardware
        if prop.kind == "devices" and setting.value is not None:
            return self._rates(setting)
        value = of_policy(prop, setting.value, machine.memory_bytes, machine.page_bytes)
        if value != NONE and (misfit := self._misfit(prop, value)):
            self._note(setting, misfit)
            # systemd would refuse CPUs that are not there
            return value if prop.kind != "cpus" else None
        return value

    def _misfit(self, prop: Property, value: str) -> str | None:
        machine = self._hardware
        if prop.kind == "quota" and float(value[:-1]) > 100 * len(machine.cpus):
            return f"{value} is more than the {len(machine.cpus)} CPUs of this machine"
        if prop.name in {"MemoryHigh", "MemoryMax"} and int(value) > machine.memory_bytes:
            have = f"{machine.memory_bytes / (1 << 30):.1f} GiB"
            return f"{int(value) / (1 << 30):.1f} GiB is more than the {have} of this machine"
        if prop.kind == "cpus" and (missing := sorted(cpu_set(value) - machine.cpus)):
            return f"there is no CPU {missing[0]} on this machine; not applied, what holds stays"
        if prop.name == "IOWeight" and not machine.weighs_io:
            return "no disk has the bfq scheduler or io.cost: an IO weight has no effect"
        return None

    def _rates(self, setting: Setting) -> str | None:
        """Resolve the devices; where one is not there now, nothing of this limit changes."""
        rates = []
        is_whole = True
        for entry in setting.value:
            path, _, rate = entry.rpartition(" ")
            device = self._hardware.devices.get(path, "was not looked for")
            if isinstance(device, str):
                self._note(setting, f"{path}: {device}; not applied, what holds stays")
                is_whole = False
                continue
            if device.warning:
                self._note(setting, f"{path}: {device.warning}")
            rates.append((device.number, rate))
        return rates_text(rates) if is_whole else None

    def _compare(self, found: Mapping[str, Wanted | None]) -> None:
        high, most = found.get("MemoryHigh"), found.get("MemoryMax")
        is_set = high and most and NONE not in {high.value, most.value}
        if high and most and is_set and int(high.value) > int(most.value):
            text = f"is above {most.key} ({most.origin}): nothing slows down before the kill"
            self._misfits[Misfit(high.key, high.origin, text)] = None
        tasks, cpus = found.get("TasksMax"), len(self._hardware.cpus)
        if tasks and tasks.value != NONE and int(tasks.value) < 4 * cpus:
            text = f"{tasks.value} tasks are few for {cpus} CPUs: programs start a thread for each"
            self._misfits[Misfit(tasks.key, tasks.origin, text)] = None

    def _note(self, setting: Setting, text: str) -> None:
        self._misfits[Misfit(setting.key, str(setting.origin), text)] = None


def setting_of(policy: Policy, login: str, kind: Kind, prop: Property) -> Setting:
    """Look up one limit of a home: ``login`` before ``aggregate``, max_tasks behind tasks_max."""
    setting = policy.limit(login, f"aggregate.{prop.key}")
    for section in _SECTIONS[kind]:
        found = policy.limit(login, f"{section}.{prop.key}")
        if found.origin is not None:
            return found
    return policy.limit(login, "max_tasks") if prop.key == "tasks_max" else setting


def paths_of(policy: Policy) -> frozenset[str]:
    """Collect every path that the policy has a rate for."""
    keys = [prop.key for prop in PROPERTIES if prop.kind == "devices"]
    names = [f"{section}.{key}" for section in ("login", "aggregate") for key in keys]
    layers = [*policy.groups.values(), *(one for some in policy.overrides.values() for one in some)]
    found = (layer[name].value for layer in layers for name in names if name in layer)
    return frozenset(entry.rpartition(" ")[0] for value in found for entry in value or ())


def cpu_set(text: str) -> frozenset[int]:
    """Read a list of CPUs such as ``0-3,8``."""
    found: set[int] = set()
    for part in text.replace(" ", ",").split(","):
        first, _, last = part.partition("-")
        if first.isdecimal():
            found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)
