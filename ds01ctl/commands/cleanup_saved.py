"""Save a plan of `cleanup`, and make it later exactly as it is, or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ds01ctl.commands import plan_file
from ds01ctl.core.cleanup_model import PARTS
from ds01ctl.core.timestamp import format_time
from ds01ctl.errors import Ds01Error

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ds01ctl.commands.cleanup_looking import Look, Wish
    from ds01ctl.core.cleanup_model import Change

SCHEMA = "ds01ctl-cleanup-plan/v1"
_MOST_TOLD = 5
_LONGEST_TOLD = 200
_PASSING = frozenset({"evidence", "reason", "text", "frees_bytes", "overdue_s"})
"""What tells of the moment: it is another a minute later, though nothing else is to be done."""

_PASSING_MARKS = frozenset({"touched_before", "used_above_bytes", "disk_path"})
"""Marks of images: they come from the time, and from how large and full the disk is."""


class SavedPlan(NamedTuple):
    """A plan as it was saved."""

    path: Path
    wish: Wish
    host: str
    changes: tuple[dict[str, Any], ...]


def row(change: Change) -> dict[str, Any]:
    """Write a change as JSON has it."""
    values = {name: value for name, value in change._asdict().items() if name != "ending"}
    return {
        **values,
        "evidence": list(change.evidence),
        "identity": dict(sorted(change.identity.items())),
    }


def essence(change: Change) -> dict[str, Any]:
    """Give what must not have moved between a plan and its doing: the deed, and its object."""
    return _lasting(row(change))


def _lasting(said: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is another a minute later."""
    left = {name: value for name, value in said.items() if name not in _PASSING}
    # that it is left alone must not have moved; why, a breaker says with the time
    left["skip"] = bool(left.get("skip"))
    identity = left.get("identity")
    if isinstance(identity, dict):
        left["identity"] = {k: v for k, v in identity.items() if k not in _PASSING_MARKS}
    return left


def save(path: Path, seen: Look, wish: Wish) -> None:
    """Save a plan. Raises Ds01Error."""
    data = {
        "schema": SCHEMA,
        "host": seen.snapshot.host,
        "time": format_time(seen.clock.now),
        "wish": wish._asdict() | {"config": str(wish.config) if wish.config else None},
        "changes": [row(one) for one in seen.plan.changes],
    }
    plan_file.write(path, data)


def load(path: Path, wish: Wish) -> SavedPlan:
    """Read a saved plan. Raises Ds01Error for what is none."""
    try:
        data = plan_file.read(path, "cleanup")
        said = data["wish"]
        config = wish.config or (Path(said["config"]) if said["config"] else None)
        users, only = (tuple(map(str, said[name])) for name in ("users", "only"))
        limit = None if said["limit"] is None else int(said["limit"])
        _check_wish(only, limit)
        meant = wish._replace(users=users, only=only, limit=limit, config=config)
        {SCHEMA: None}[data["schema"]]
        changes = tuple(dict(one) for one in data["changes"])
        {one["kind"]: one["target"] for one in changes}
        return SavedPlan(path, meant, str(data["host"]), changes)
    except OSError as error:
        hint = "ds01ctl cleanup plan --out FILE saves one"
        raise Ds01Error(f"{path}: cannot be read: {error.strerror}", hint) from None
    except (ValueError, TypeError, KeyError, RecursionError):
        what = f"{path}: is not a plan that `cleanup plan --out` saved"
        raise Ds01Error(what, "save it anew") from None


def _check_wish(only: Iterable[str], limit: int | None) -> None:
    """Raise ValueError for what no options say."""
    if not set(only) <= set(PARTS) or (limit is not None and limit < 0):
        raise ValueError("no wish that anybody can have")


def check_unmoved(saved: SavedPlan, seen: Look) -> None:
    """Refuse a plan that is not what would be planned now. Raises Ds01Error.

    How long something idles by now, and how the reason says so, may differ; what is done to which
    container or image in which state may not.
    """
    if saved.host != seen.snapshot.host:
        what = f"{saved.path}: was made on {saved.host}, and this is {seen.snapshot.host}"
        raise Ds01Error(f"{what}; nothing was changed", "plan it here")
    now = [json.loads(json.dumps(essence(one))) for one in seen.plan.changes]
    then = [_lasting(one) for one in saved.changes]
    told = list(_moved(then, now))
    if told:
        what = f"{saved.path}: the host has moved since it was saved; nothing was changed"
        raise Ds01Error("\n".join([what, *told]), "look at a new plan: ds01ctl cleanup plan")


def _moved(then: list[dict[str, Any]], now: list[dict[str, Any]]) -> Iterator[str]:
    """Tell a few of the changes that are only on one side, or are not the same on both."""
    new = {_key(one): one for one in now if one not in then}
    old = [one for one in then if one not in now]
    for one in old[:_MOST_TOLD]:
        other = new.pop(_key(one), None)
        if other is None:
            yield f"  only in the file: {_named(one)}"
            continue
        differ = sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
        texts = (f"{name} {_json(one.get(name))}, now {_json(other.get(name))}" for name in differ)
        yield f"  {_named(one)}: {'; '.join(texts)}"
    old_keys = {_key(one) for one in old}
    only_now = [one for key, one in new.items() if key not in old_keys]
    yield from (f"  only now: {_named(one)}" for one in only_now[:_MOST_TOLD])


def _key(row: dict[str, Any]) -> tuple[str, str, str, str]:
    kind, part, engine, target = (str(row.get(n)) for n in ("kind", "part", "engine", "target"))
    return kind, part, engine, target


def _json(value: Any) -> str:
    return json.dumps(value)[:_LONGEST_TOLD]


def _named(row: dict[str, Any]) -> str:
    return f"{row.get('kind')} {row.get('name') or row.get('target')}"
