"""Plans in files: saved by `plan --out`, made by `apply FILE` as they are, or refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from ds01ctl.commands import plan_file
from ds01ctl.errors import Ds01Error

if TYPE_CHECKING:
    from pathlib import Path

    from ds01ctl.commands.enforcing import Look, Wish
    from ds01ctl.core.enforce_model import Change

SCHEMA = "ds01ctl-enforce-plan/v1"


class SavedPlan(NamedTuple):
    """A plan as it was saved."""

    path: Path
    wish: Wish
    host: str
    changes: tuple[dict[str, Any], ...]


def row(change: Change) -> dict[str, Any]:
    """Write a change as JSON has it."""
    return {
        **change._asdict(),
        "before": dict(change.before),
        "after": dict(change.after),
        "container": list(change.container),
    }


def save(path: Path, seen: Look, wish: Wish) -> None:
    """Save a plan. Raises Ds01Error."""
    data = {
        "schema": SCHEMA,
        "host": seen.snapshot.host,
        "time": seen.snapshot.taken_at.isoformat(timespec="seconds"),
        "wish": {
            "users": wish.users,
            "groups": wish.groups,
            "only": wish.only,
            "force": wish.force,
            "config": str(wish.config) if wish.config else None,
        },
        "changes": [row(one) for one in seen.plan.changes],
    }
    plan_file.write(path, data)


def load(path: Path, wish: Wish) -> SavedPlan:
    """Read a saved plan. Raises Ds01Error for what is none."""
    from pathlib import Path as File

    try:
        data = plan_file.read(path, "enforce")
        said = data["wish"]
        config = wish.config or (File(said["config"]) if said["config"] else None)
        users, groups, only = (tuple(map(str, said[n])) for n in ("users", "groups", "only"))
        force = said["force"] is True
        meant = wish._replace(users=users, groups=groups, only=only, force=force, config=config)
        {SCHEMA: None}[data["schema"]]
        return SavedPlan(path, meant, str(data["host"]), tuple(map(dict, data["changes"])))
    except OSError as error:
        raise Ds01Error(
            f"{path}: cannot be read: {error.strerror}", "ds01ctl enforce plan --out FILE saves one"
        ) from None
    except (ValueError, TypeError, KeyError, RecursionError):
        raise Ds01Error(
            f"{path}: is not a plan that `enforce plan --out` saved", "save it anew"
        ) from None


def check_unmoved(saved: SavedPlan, seen: Look) -> None:
    """Refuse a plan that is not what would be planned now. Raises Ds01Error."""
    if saved.host != seen.snapshot.host:
        what = f"{saved.path}: was made on {saved.host}, and this is {seen.snapshot.host}"
        raise Ds01Error(f"{what}; nothing was changed", "plan it here")
    now = [json.loads(json.dumps(row(one))) for one in seen.plan.changes]
    then = list(saved.changes)
    if now == then:
        return
    more = [one for one in now if one not in then]
    less = [one for one in then if one not in now]
    told = [f"  only in the file: {one.get('kind')} {one.get('target')}" for one in less[:5]]
    told += [f"  only now: {one['kind']} {one['target']}" for one in more[:5]]
    if not told:
        told = ["  the order of the changes"]
    what = f"{saved.path}: the host has moved since it was saved; nothing was changed"
    raise Ds01Error("\n".join([what, *told]), "look at a new plan: ds01ctl enforce plan")
