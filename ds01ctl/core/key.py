"""One row of the table of policy keys."""

from __future__ import annotations

from typing import Any

from ds01ctl.core.record import NamedTuple


class Key(NamedTuple):
    """One key of the policy."""

    name: str
    """Within its section; its unit is the suffix where it has one."""
    kind: str
    """A name in values.READERS: what is accepted and what it becomes."""
    doc: str
    default: Any = None
    """The built-in value; None: there is none."""
    null: str = ""
    """What null means; empty: null is not accepted (for a list it is the empty list)."""
    example: Any = None
    """For the example file, where it is not the default."""
    unit: str = ""
    aliases: tuple[str, ...] = ()
    """Old names with the same meaning."""
    old: str = ""
    """The old name without a unit suffix, whose value carries the unit: ``24h``."""
    positive: bool = False
    """Zero is not accepted."""
    most: float | None = None
    """The largest value that is accepted, in the key's unit; None: what its kind accepts."""
    choices: tuple[str, ...] = ()
    effect: bool = True
    """False: known to DS01, but nothing acts on it (yet)."""


def declared(*names: str, kind: str = "any") -> tuple[Key, ...]:
    """Make the rows of keys that DS01 knows and nothing acts on."""
    doc = "Declared in DS01, without effect."
    return tuple(Key(name, kind, doc, null="no limit", effect=False) for name in names)
