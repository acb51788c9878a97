"""Maps of the policy whose keys are in the table: what may stand in them, and reading them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from ds01ctl.config.nearest import did_you_mean, nearest
from ds01ctl.config.nodes import Entry, entries
from ds01ctl.config.values import WrongValueError, read_old_duration, read_value
from ds01ctl.core.host_keys import HOST_SECTIONS, TOP
from ds01ctl.core.keys import AGGREGATE, CONTAINER_TYPE, GROUP, LIMITS, LOGIN, POLICIES
from ds01ctl.core.policy import Setting
from ds01ctl.core.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ds01ctl.config.source import Source
    from ds01ctl.core.key import Key

MAPS = ("defaults", "groups", "user_overrides", "container_types")
"""Maps at the top of the file whose keys are names, or limits."""
OF_MAPS = ("storage", "projects")
"""Kinds of keys whose value is a map of the admin's own names."""


class Spelling(NamedTuple):
    """One way to write a key."""

    key: Key
    rank: int
    """0 its name, 1 an old name, 2 an old name whose value carries the unit."""


class Block(NamedTuple):
    """What may stand in one map."""

    spellings: Mapping[str, Spelling]
    nested: Mapping[str, Block]
    loose: Mapping[str, str]
    """Keys of nested maps that may stand here without them, and the map of each."""

    @property
    def known(self) -> tuple[str, ...]:
        """List every name that is accepted here."""
        return (*self.spellings, *self.nested)


def block_of(
    keys: Iterable[Key],
    nested: Mapping[str, Block] | None = None,
    loose: Iterable[str] = (),
) -> Block:
    """Make a block of keys and the maps inside it."""
    spellings: dict[str, Spelling] = {}
    for key in keys:
        spellings[key.name] = Spelling(key, 0)
        spellings.update({alias: Spelling(key, 1) for alias in key.aliases})
        if key.old:
            spellings[key.old] = Spelling(key, 2)
    inside = {name: part for part in loose for name in (nested or {})[part].spellings}
    inside = {name: part for name, part in inside.items() if name not in spellings}
    return Block(spellings, nested or {}, inside)


@cache
def limits_blocks() -> dict[str, Block]:
    """Give the blocks of limits: defaults, group, override, container type."""
    loose = {"aggregate": block_of(AGGREGATE), "policies": block_of(POLICIES)}
    parts = {**loose, "login": block_of(LOGIN)}
    return {
        "defaults": block_of(LIMITS),
        "group": block_of((*LIMITS, *GROUP), parts),
        "override": block_of(LIMITS, parts, loose=loose),
        "container type": block_of(CONTAINER_TYPE),
    }


@cache
def host_block() -> Block:
    """Give the block of the whole file, without the maps of groups, users and types."""
    tops = [name for name in HOST_SECTIONS if "." not in name]
    return block_of(TOP, {name: _section(name) for name in tops})


def _section(name: str) -> Block:
    inner = [other for other in HOST_SECTIONS if other.startswith(f"{name}.")]
    nested = {other.rpartition(".")[2]: _section(other) for other in inner}
    return block_of(HOST_SECTIONS[name], nested)


class Place(NamedTuple):
    """Where in a file a block stands, and the rule that its values hold by."""

    source: Source
    shown: str
    """Dotted, for messages: ``groups.student``."""
    rule: str
    key: str = ""
    """Dotted, for the settings: empty in a group, ``aggregate`` in its aggregate."""

    def inside(self, name: str) -> Place:
        """Name the place of a map inside this one."""
        return self._replace(shown=join(self.shown, name), key=join(self.key, name))


def join(prefix: str, name: str) -> str:
    """Join dotted names."""
    return f"{prefix}.{name}" if prefix else name


def read_block(listed: Iterable[Entry], block: Block, place: Place) -> dict[str, Setting]:
    """Read a map's settings by dotted key; what is wrong is noted as a problem."""
    settings: dict[str, Setting] = {}
    written: dict[str, list[tuple[int, Entry]]] = {}
    for entry in listed:
        if entry.name in block.nested:
            inner = place.inside(entry.name)
            found = entries(entry.node, place.source, inner.shown)
            settings.update(read_block(found, block.nested[entry.name], inner))
        elif spelling := block.spellings.get(entry.name):
            written.setdefault(spelling.key.name, []).append((spelling.rank, entry))
        elif part := block.loose.get(entry.name):
            place.source.warn(entry.line, join(place.shown, entry.name), f"belongs under {part}:")
            settings.update(read_block([entry], block.nested[part], place.inside(part)))
        else:
            _unknown(entry, block, place)
    for name, spelled in written.items():
        key = block.spellings[name].key
        settings.update(_read_key(key, sorted(spelled, key=lambda one: one[0]), place))
    return settings


def _read_key(key: Key, spelled: list[tuple[int, Entry]], place: Place) -> dict[str, Setting]:
    """Read a key that may be there twice: its own name wins, two old names may not differ."""
    values = [_read_entry(key, rank, entry, place) for rank, entry in spelled]
    (rank, entry), setting = spelled[0], values[0]
    for (_, other), again in zip(spelled[1:], values[1:], strict=True):
        shown = join(place.shown, other.name)
        if rank == 0 or (setting and again and setting.value == again.value):
            place.source.warn(other.line, shown, f"without effect beside {entry.name}")
        else:
            place.source.error(other.line, shown, f"contradicts {entry.name}, line {entry.line}")
    return {setting.key: setting} if setting else {}


def _read_entry(key: Key, rank: int, entry: Entry, place: Place) -> Setting | None:
    shown = join(place.shown, entry.name)
    try:
        value: Any = _read(key, rank, entry, place)
    except ValueError as error:
        line = error.line if isinstance(error, WrongValueError) else None
        place.source.error(line or entry.line, shown, str(error))
        return None
    if not key.effect:
        place.source.warn(entry.line, shown, "has no effect yet")
    elif rank:
        place.source.warn(entry.line, shown, f"old name of {key.name}{_unit_note(key, rank)}")
    return Setting(join(place.key, key.name), value, place.source.origin(entry.line, place.rule))


def _read(key: Key, rank: int, entry: Entry, place: Place) -> Any:
    if key.kind in OF_MAPS:
        from ds01ctl.config.storage import READERS  # which reads by read_block

        return READERS[key.kind](entry, place)
    if rank == 2:
        return read_old_duration(key, entry.node)
    may_be_unlimited = key.null and key.kind != "choice"
    if may_be_unlimited and entry.node.id == "scalar" and entry.node.value == "unlimited":
        message = f"'unlimited' is read as null, which is {key.null}"
        place.source.warn(entry.line, join(place.shown, entry.name), message)
        return None
    return read_value(key, entry.node)


def _unit_note(key: Key, rank: int) -> str:
    if rank == 2:
        return f", a number of {key.kind}"
    return f", in {key.unit}" if key.unit == "GPU equivalents" else ""


def _unknown(entry: Entry, block: Block, place: Place) -> None:
    shown = join(place.shown, entry.name)
    advice = _advice(entry.name, block.known) if place.shown else _top_advice(entry.name)
    place.source.error(entry.line, shown, f"unknown key{advice}")


def _advice(name: str, known: Iterable[str]) -> str:
    """Say which known key comes nearest, or where the key belongs."""
    homes = [section for section, names in _homes().items() if name in names]
    if homes and not nearest(name, known):
        return "; it belongs in " + " or ".join(homes)
    return did_you_mean(name, known)


def _top_advice(name: str) -> str:
    known = (*host_block().known, *MAPS)
    near = nearest(name, known)
    homes = any(name in names for names in _homes().values())
    if homes and not near:
        return _advice(name, known)
    listed = f"expected one of {', '.join(sorted(known))}"
    return f"; did you mean {near}? Or {listed}" if near else f"; {listed}"


@cache
def _homes() -> dict[str, frozenset[str]]:
    homes = {"defaults, a group or an override": frozenset(limits_blocks()["defaults"].spellings)}
    homes["a group in groups"] = frozenset(key.name for key in GROUP)
    homes["a group's aggregate"] = frozenset(key.name for key in AGGREGATE)
    for name, keys in HOST_SECTIONS.items():
        homes[name] = frozenset(key.name for key in keys)
    return homes
