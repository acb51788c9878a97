"""Look at the host for `enforce`: who is there, what binds them, and what should.

The kernel and our drop-ins tell most of it. systemd is asked only about slices where those two do
not agree with the policy, or about all of them for `check`: asking costs a millisecond a slice.
"""

from __future__ import annotations

from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.commands import enforce_containers, enforce_people, gathering
from ds01ctl.commands.enforce_memory import Memory
from ds01ctl.core import drift, enforce, homes, people, slice_names
from ds01ctl.core.dropin_text import assigned, owner_uid
from ds01ctl.core.enforce_model import RULES, Leftover, Plan, Shared, World
from ds01ctl.core.model import Gap, Snapshot
from ds01ctl.core.placing import NOTHING, Found
from ds01ctl.core.properties import BY_NAME, KERNEL_FILES
from ds01ctl.errors import Ds01Error
from ds01ctl.unitfiles.stamp import state_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ds01ctl.commands.gathering import Loaded
    from ds01ctl.core.enforce_model import Fate, Mode, Rule
    from ds01ctl.core.homes import Hardware, Home
    from ds01ctl.core.people import Person, Roll
    from ds01ctl.core.policy import Policy
    from ds01ctl.observe.cgroups import Cgroups
    from ds01ctl.observe.container_facts import KnownFacts
    from ds01ctl.observe.dropins import DropIns
    from ds01ctl.observe.users import UsersReading
    from ds01ctl.paths import Paths


class Wish(NamedTuple):
    """What the admin asked for."""

    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    force: bool = False
    config: Path | None = None
    thorough: bool = False
    """Ask systemd about every slice."""


class Look(NamedTuple):
    """One look at the host, and what follows from it."""

    world: World
    wish: Wish
    plan: Plan
    snapshot: Snapshot
    gaps: tuple[Gap, ...]
    memory: Memory
    cgroups: Cgroups
    facts: Mapping[str, KnownFacts] = {}
    """Of containers, to be remembered."""
    admins: frozenset[str] = frozenset()
    """Members of the admin group, as far as this look saw them."""
    gone: frozenset[int] = frozenset()
    """Uids that are nobody's, by this look."""


def look(wish: Wish, paths: Paths, now: datetime) -> Look:
    """Look once and decide. Raises Ds01Error without v2, systemd or a policy: nothing is done."""
    from ds01ctl.commands.enforce_memory import recall
    from ds01ctl.observe import cgroups, own_place
    from ds01ctl.observe.dropins import DropIns

    if problem := own_place.own_namespace_problem(paths):
        raise Ds01Error(problem, "run ds01ctl on the host itself, outside any container")
    cgroups.require_v2(paths)
    if not paths.under("/run/systemd/system").is_dir():
        raise Ds01Error("systemd is not PID 1 here: there is nothing to set limits with")
    loaded = gathering.load_policy(paths, wish.config)
    memory = recall(paths, now)
    if not loaded.policy.files and (memory.held or DropIns(paths).ours()):
        # a policy that was lost must not lift every limit
        hint = "put it back, or take the limits back with ds01ctl enforce revert --config FILE"
        raise Ds01Error("no policy file: nothing is decided, and nothing taken back", hint)
    return _Looker(wish, paths, now, loaded, memory).look()


class _Looker:
    """Collects what one look needs."""

    def __init__(
        self, wish: Wish, paths: Paths, now: datetime, loaded: Loaded, memory: Memory
    ) -> None:
        from ds01ctl.observe.cgroups import Cgroups
        from ds01ctl.observe.dropins import DropIns

        self._wish = wish
        self._paths = paths
        self._now = now
        self._policy = loaded.policy
        self._memory = memory
        self._cgroups = Cgroups(paths)
        self._drop_ins: DropIns = DropIns(paths)
        self._root = str(loaded.policy.value("platform.slice"))
        self._gaps: list[Gap] = [*loaded.gaps, *memory.gaps]

    def look(self) -> Look:
        snapshot, reading, facts = enforce_people.read(
            self._policy, self._paths, self._now, self._memory.facts, self._known_uids()
        )
        self._policy = self._policy.knowing(reading.users.values())
        admins = enforce_people.admins(reading, self._policy, self._memory.admins)
        roll = people.roll(reading.users, self._policy, admins, self._now)
        others = [one.login for one in roll.spared]
        names = slice_names.slice_names(roll.people, self._policy.groups, self._root, others)
        machine = self._machine()
        limits = homes.Limits(self._policy, machine)
        listed = tuple(homes.homes(roll.people, names, self._in_use(roll, names), limits))
        seen = self._seen(listed, machine)
        found = enforce_containers.scopes_of(
            snapshot, roll, listed, self._policy, self._cgroups, self._now
        )
        owners = {one.person for one in found if one.person and one.person.uid >= 0}
        world = World(
            self._policy,
            machine,
            roll,
            names,
            listed,
            seen,
            shared={one.uid: _shared(one, limits) for one in owners},
            misfits=limits.misfits,
            leftovers=self._leftovers(listed, roll, names, reading, machine),
            scopes=found,
            held=self._memory.held,
            modes=self._modes(),
            chosen=frozenset(self._wish.only or RULES),  # type: ignore[arg-type]  # checked words
            users=enforce_people.chosen(self._wish, roll, self._policy),
            force=self._wish.force,
        )
        world = self._asked_systemd(world)
        gaps = gathering.required((*snapshot.gaps, *self._gaps), self._policy, ())
        plan = enforce.decide(world)
        return Look(
            world,
            self._wish,
            plan,
            snapshot,
            gaps,
            self._memory,
            self._cgroups,
            facts,
            enforce_people.members_now(reading, self._policy),
            frozenset(one for one in reading.gone if isinstance(one, int)),
        )

    def _known_uids(self) -> set[int]:
        """Collect the uids of those who are logged in, and of those who have a drop-in of ours."""
        units = [path.rpartition("/")[2] for path in self._cgroups.slices("/user.slice")]
        units += self._drop_ins.ours()
        found = {unit: _uid_of(unit) for unit in units}
        # a slice of containers has it in its drop-in
        texts = (self._drop_ins.text(unit) or "" for unit, uid in found.items() if uid is None)
        owners = {owner_uid(text) for text in texts} | set(found.values())
        return {uid for uid in owners if uid is not None}

    # --- slices ---

    def _machine(self) -> Hardware:
        from ds01ctl.observe import hardware

        weights = any("io_weight" in name for name in _layer_keys(self._policy))
        return hardware.read(self._paths, homes.paths_of(self._policy), weights=weights)

    def _in_use(
        self, roll: Roll, names: Mapping[int, slice_names.SliceName]
    ) -> dict[int, list[str]]:
        """Find slices with our drop-in that people have left, where something of theirs runs.

        Only those: anybody can have Docker make a slice of any name.
        """
        current = {one.uid for one in roll.people}
        found: dict[int, list[str]] = {}
        for unit in self._drop_ins.ours():
            text = self._drop_ins.text(unit) or ""
            uid = owner_uid(text)
            if uid not in current or _uid_of(unit) is not None or state_of(text) == "foreign":
                continue
            group = self._cgroups.group(slice_names.cgroup_of(unit), ())
            if names[uid].unit != unit and group and group.populated:
                found.setdefault(uid, []).append(unit)
        return found

    def _seen(self, listed: Iterable[Home], machine: Hardware) -> dict[str, drift.Seen]:
        found = {}
        for home in listed:
            seen = self._one(home.unit, home.cgroup, machine, home.wanted)
            if enforce.is_lowered(home, seen):
                # only here could a limit come to lie below what is in use
                seen = seen._replace(in_use_bytes=self._cgroups.in_use_bytes(home.cgroup))
            found[home.unit] = seen
        return found

    def _one(
        self, unit: str, cgroup: str, machine: Hardware, wanted: Iterable[str] = ()
    ) -> drift.Seen:
        """Look at one slice: our file, and what of the kernel's files has to do with it."""
        file = self._file(unit)
        names = frozenset((*wanted, *assigned(file.text or "")))
        group = self._cgroups.group(cgroup, _files_of(names))
        return drift.Seen(file, group, None, self._drop_ins.of(unit, machine))

    def _file(self, unit: str) -> Found:
        text = self._drop_ins.text(unit)
        if text is None:
            # a link to nowhere, or a folder, is somebody's too
            return Found(None, "foreign") if self._drop_ins.is_there(unit) else NOTHING
        stamp = state_of(text)
        return Found(text if stamp == "foreign" else text.partition("\n")[2], stamp)

    def _asked_systemd(self, world: World) -> World:
        """Ask systemd about the slices that are not as they should be, all in one call."""
        from ds01ctl.observe import slices

        settled = frozenset() if self._wish.thorough else self._settled(world)
        groups = {home.unit: world.seen[home.unit].group for home in world.homes}
        groups |= {one.unit: one.seen.group for one in world.leftovers}
        units = [unit for unit, group in groups.items() if group and unit not in settled]
        told, gaps = slices.read(units, world.machine.numbers)
        self._gaps += gaps
        if gaps:
            # what systemd has in memory is not known: slices are left as they are
            world = world._replace(chosen=world.chosen & {"containers"})
        asked = {unit: world.seen[unit]._replace(told=one) for unit, one in told.items()
                 if unit in world.seen}  # fmt: skip
        left = tuple(
            one._replace(seen=one.seen._replace(told=told.get(one.unit))) for one in world.leftovers
        )
        return world._replace(seen={**world.seen, **asked}, leftovers=left, settled=settled)

    def _settled(self, world: World) -> frozenset[str]:
        return frozenset(
            home.unit
            for home in world.homes
            if enforce.is_settled(home, world.seen[home.unit], world.machine)
        )

    def _leftovers(
        self,
        listed: Sequence[Home],
        roll: Roll,
        names: Mapping[int, slice_names.SliceName],
        reading: UsersReading,
        machine: Hardware,
    ) -> tuple[Leftover, ...]:
        """Find our drop-ins of slices that are nobody's home now."""
        units = {home.unit for home in listed}
        found = []
        for unit in self._drop_ins.ours():
            text = self._drop_ins.text(unit) or ""
            if unit in units or state_of(text) == "foreign":
                continue
            uid = _uid_of(unit)
            uid = owner_uid(text) if uid is None else uid
            cgroup = slice_names.cgroup_of(unit)
            seen = self._one(unit, cgroup, machine)
            fate, why = self._fate(uid, roll, names, reading)
            is_spared = uid in {one.uid for one in roll.spared}
            if fate == "take-back" and not is_spared and seen.group and seen.group.populated:
                fate = "in-use"
            found.append(Leftover(unit, cgroup, uid, seen, fate, why))
        return tuple(found)

    def _fate(
        self,
        uid: int | None,
        roll: Roll,
        names: Mapping[int, slice_names.SliceName],
        reading: UsersReading,
    ) -> tuple[Fate, str]:
        """Say what becomes of a drop-in of ours that nobody's home has now."""
        if spared := next((one for one in roll.spared if one.uid == uid), None):
            return "take-back", f"{spared.login} {spared.why}"
        if person := next((one for one in roll.people if one.uid == uid), None):
            told = names[person.uid].unit or "none"
            return "take-back", f"the slice of {person.login}, group {person.group}, is {told} now"
        if uid is None or uid not in reading.gone:
            return "unknown", "its owner is not known"
        why = f"there is no user with uid {uid} any more"
        # an offline directory may say so once: it takes two runs in a row
        return ("take-back", why) if uid in self._memory.gone else ("wait", why)

    # --- modes ---

    def _modes(self) -> dict[Rule, Mode]:
        """Say of each rule whether it changes anything; at first nothing does, until told to."""
        own = {rule: self._policy.value(f"enforcement.rules.{rule}") for rule in RULES}
        default = self._policy.value("enforcement.mode")
        if default is None:
            # a drop-in of a rule that was told to enforce says nothing of the others
            is_used = self._has_ours() and not any(own.values())
            default = "enforce" if is_used else "report"
        return {rule: mode or default for rule, mode in own.items()}

    def _has_ours(self) -> bool:
        texts = (self._drop_ins.text(unit) for unit in self._drop_ins.ours())
        return any(text is not None and state_of(text) != "foreign" for text in texts)


@cache
def _files_of(names: frozenset[str]) -> tuple[str, ...]:
    """List the kernel's files of properties, and those that tell whether a controller is there."""
    wanted = {BY_NAME[name].file for name in names}
    siblings = {one for one in KERNEL_FILES for name in wanted
                if name and one.partition(".")[0] == name.partition(".")[0]}  # fmt: skip
    few = drift.SIBLINGS & siblings
    return tuple(sorted((wanted | few) - {""}))


def _shared(person: Person, limits: homes.Limits) -> Shared:
    return Shared(limits.of(person, "slice"), limits.kept(person, "slice"))


def _uid_of(unit: str) -> int | None:
    stem = unit.removeprefix("user-").removesuffix(".slice")
    return int(stem) if unit.startswith("user-") and stem.isdecimal() else None


def _layer_keys(policy: Policy) -> set[str]:
    layers = [*policy.groups.values(), *(one for some in policy.overrides.values() for one in some)]
    return {name for layer in layers for name in layer}
