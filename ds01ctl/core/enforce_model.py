"""What a decision of `enforce` rests on, and what it consists of: frozen values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from ds01ctl.core.properties import BY_NAME, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ds01ctl.core.drift import Drift, Seen
    from ds01ctl.core.homes import Hardware, Home, Misfit, Wanted
    from ds01ctl.core.people import Roll
    from ds01ctl.core.policy import Policy
    from ds01ctl.core.scopes import Bound, Held, Scope
    from ds01ctl.core.slice_names import SliceName

Rule = Literal["logins", "slices", "containers", "io", "prune"]
RULES: tuple[Rule, ...] = ("logins", "slices", "containers", "io", "prune")
Mode = Literal["report", "enforce"]
REPORT_ONLY = "report only"
"""Why a change is not made where its rule only reports."""
Fate = Literal["take-back", "in-use", "wait", "unknown"]
"""Taken back; once nothing runs there; if the next run says so, too; not at all."""
ChangeKind = Literal["write-drop-in", "remove-drop-in", "set-property", "write-cgroup"]


class Leftover(NamedTuple):
    """A drop-in of ours for a slice that is nobody's home, or not any more."""

    unit: str
    cgroup: str
    uid: int | None
    seen: Seen
    fate: Fate
    why: str


class Shared(NamedTuple):
    """The aggregate limits of a person, wherever their containers run."""

    wanted: Mapping[str, Wanted] = {}
    kept: frozenset[str] = frozenset()
    """Properties that cannot be told now: left as they are."""


class World(NamedTuple):
    """All that a decision rests on."""

    policy: Policy
    machine: Hardware
    roll: Roll
    names: Mapping[int, SliceName]
    homes: tuple[Home, ...]
    seen: Mapping[str, Seen]
    """By unit."""
    shared: Mapping[int, Shared] = {}
    """What a person's containers outside every home have to share, by uid."""
    settled: frozenset[str] = frozenset()
    """Units where all is as it should be, as far as the kernel and our drop-in tell."""
    misfits: tuple[Misfit, ...] = ()
    leftovers: tuple[Leftover, ...] = ()
    scopes: tuple[Scope, ...] = ()
    held: Mapping[str, Held] = {}
    """What we wrote into containers' control groups, by container id."""
    modes: Mapping[Rule, Mode] = {}
    chosen: frozenset[Rule] = frozenset(RULES)
    """--only."""
    users: frozenset[str] | None = None
    """--user and --group: logins; None: everybody."""
    force: bool = False


class Change(NamedTuple):
    """One change of the host."""

    kind: ChangeKind
    target: str
    """A file, a unit, or the path of a control group."""
    user: str | None
    rule: Rule
    reason: str
    before: Mapping[str, str]
    """By property, as core.properties writes values."""
    after: Mapping[str, str]
    text: str | None = None
    """Of a drop-in, without our mark; None: none."""
    cgroup: str = ""
    """Where the kernel shows what came of it; empty: nobody works there now."""
    container: tuple[str, str] = ("", "")
    """Id, and when it was started."""
    inode: int = 0
    """Of a container's control group: another one is another run of it."""
    skip: str | None = None
    """Why it is not made."""


class Deferred(NamedTuple):
    """A memory limit that would kill if it were set now."""

    target: str
    user: str | None
    wanted_bytes: int
    in_use_bytes: int | None


class Plan(NamedTuple):
    """What is to be done, and what cannot be."""

    changes: tuple[Change, ...]
    drifts: tuple[tuple[Home, tuple[Drift, ...]], ...]
    deferred: tuple[Deferred, ...]
    bounds: tuple[tuple[Scope, Mapping[str, Bound]], ...]
    """Of every container that was looked at."""


def in_words(change: Change, nodes: Mapping[str, str]) -> list[str]:
    """Say what changes, a property each: ``MemoryMax 96G → 64G``."""
    names = [name for name in BY_NAME if name in change.after or name in change.before]
    told = []
    for name in names:
        prop = BY_NAME[name]
        after = shown(prop, change.after[name], nodes) if name in change.after else "taken back"
        if change.kind in {"set-property", "write-cgroup"}:
            told.append(f"{name} {shown(prop, change.before.get(name), nodes)} → {after}")
        else:
            told.append(f"{name} {after}")
    return told
