"""The file of `quota dump`: limits of the kernel as JSON, and back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

from ds01ctl import files
from ds01ctl.core.disk_quota import Limits, QuotaKind
from ds01ctl.core.quota_model import Place
from ds01ctl.errors import Ds01Error

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FORMAT = "ds01ctl-quota-dump/v1"


class Dump(NamedTuple):
    """What a file of `quota dump` holds."""

    complete: set[tuple[str, QuotaKind]]
    """Mount and kind of what was read whole: who is not in limits had none."""
    limits: dict[Place, Limits]
    names: dict[Place, str]
    """Who had the id then, where that was known."""
    sources: dict[str, str]
    """The device, by mount."""
    graces: dict[tuple[str, QuotaKind], tuple[int, int]]
    """Seconds, of bytes and of inodes, by mount and kind."""


def save(out: Path, data: Mapping[str, Any]) -> None:
    """Write a dump whole, or not at all. Raises Ds01Error."""
    names = ("format", "complete", "file_systems", "limits")
    text = json.dumps({name: data[name] for name in names}, indent=1)
    try:
        files.write_atomic(out, text + "\n", mode=0o600)
    except OSError as error:
        raise Ds01Error(f"{out}: cannot be written: {error.strerror}") from None


def load(path: Path) -> Dump:
    """Read a dump. Raises Ds01Error for a file that is none."""
    hint = "ds01ctl quota dump --out FILE writes one"
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        if said["format"] != FORMAT:
            raise Ds01Error(f"{path}: is of another format: {said['format']!a}", hint)
        return _dump(said)
    except OSError as error:
        raise Ds01Error(f"{path}: cannot be read: {error.strerror}", hint) from None
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        why = f"{type(error).__name__}: {error}"[:200]
        raise Ds01Error(f"{path}: is no dump of quotas ({why})", hint) from None


def _dump(said: Any) -> Dump:
    rows = [(_place(row), row) for row in said["limits"]]
    systems = said.get("file_systems", [])
    return Dump(
        {(str(mount), _kind(kind)) for mount, kind in said["complete"]},
        {place: _limits(row) for place, row in rows},
        {place: str(row["name"]) for place, row in rows if row["name"] is not None},
        {str(row["mount"]): str(row["source"]) for row in systems},
        {
            (str(row["mount"]), _kind(row["kind"])): (_amount(row["bytes_grace_s"]),
                                                      _amount(row["inodes_grace_s"]))
            for row in systems
            if row["bytes_grace_s"] is not None and row["inodes_grace_s"] is not None
        },
    )  # fmt: skip


def _place(row: Any) -> Place:
    return Place(str(row["mount"]), _kind(row["kind"]), _amount(row["id"]))


def _kind(text: str) -> Any:
    if text not in get_args(QuotaKind):
        raise ValueError(text)
    return text


def _limits(row: Any) -> Limits:
    limits = Limits(*(_amount(row[name]) for name in Limits._fields))
    for soft, hard in (limits[:2], limits[2:]):
        if hard and soft > hard:
            raise ValueError(f"soft limit {soft} above the hard one {hard}")
    return limits


def _amount(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 63:
        raise ValueError(value)
    return value
