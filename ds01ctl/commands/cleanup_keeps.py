"""The admins' keeps: a file of its own, which the loss of the state store does not touch."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from ds01ctl.core.cleanup_model import Keep
from ds01ctl.core.timestamp import format_time, parse_time
from ds01ctl.errors import Ds01Error
from ds01ctl.files import write_atomic

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from ds01ctl.paths import Paths

SCHEMA = "ds01ctl-keeps/v1"
_LARGEST = 16 << 20
_FULL_ID = re.compile(r"[0-9a-f]{64}")


class Kept(NamedTuple):
    """One row of the file."""

    keep: Keep
    name: str
    """For people: the container's when it was kept."""
    at: datetime


def keeps_file(paths: Paths) -> Path:
    """Name the file."""
    return paths.state_dir / "keep.json"


def load(paths: Paths) -> tuple[Kept, ...]:
    """Read the file; no file is no keeps. Raises Ds01Error for one that cannot be used."""
    path = keeps_file(paths)
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from None
    try:
        said: Any = json.loads(text)
        if said["schema"] != SCHEMA:
            raise _unusable(path, f"its schema is not {SCHEMA}")
        return tuple(map(_kept, _rows(said["keeps"])))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        told = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise _unusable(path, f"it makes no sense ({told})") from None


def _rows(said: Any) -> list[Any]:
    if not isinstance(said, list):
        raise TypeError("keeps is no list")
    return said


def save(rows: Iterable[Kept], paths: Paths) -> None:
    """Replace the file. Raises Ds01Error."""
    path = keeps_file(paths)
    ordered = sorted(rows, key=lambda one: (one.name, one.keep.id))
    data = {"schema": SCHEMA, "keeps": [row_of(one) for one in ordered]}
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        write_atomic(path, json.dumps(data, indent=1) + "\n", mode=0o640)
    except OSError as error:
        hint = "run it as root" if isinstance(error, PermissionError) else "nothing was changed"
        raise Ds01Error(f"{path}: cannot be written: {error.strerror}", hint) from None


def row_of(one: Kept) -> dict[str, Any]:
    """Give a keep as JSON has it."""
    return {
        "id": one.keep.id,
        "name": one.name,
        "until": format_time(one.keep.until) if one.keep.until else None,
        "by": one.keep.by,
        "reason": one.keep.reason,
        "at": format_time(one.at),
    }


def _kept(row: Mapping[str, Any]) -> Kept:
    until = None if row["until"] is None else _aware(row["until"])
    texts = [row[name] for name in ("id", "name", "by", "reason")]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("a text is no text")
    id_, name, by, reason = texts
    if not _FULL_ID.fullmatch(id_):
        raise ValueError(f"{id_[:80]}: no full id of a container")
    return Kept(Keep(id_, until, by, reason), name, _aware(row["at"]))


def _aware(text: str) -> datetime:
    moment = parse_time(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text}: no zone")
    return moment


def _unusable(path: Path, why: str) -> Ds01Error:
    what = f"{path}: {why}; no container is stopped or removed until it can be read"
    return Ds01Error(what, f"correct it, or give up its keeps: mv {path} {path}.broken")
