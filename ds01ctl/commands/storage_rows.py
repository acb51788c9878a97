"""Disk limits of the policy as the config commands show them: a row for each path or project."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ds01ctl.core.disk_quota import NO_LIMITS
from ds01ctl.core.storage import ProjectWish, limits_of, ranked

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    from ds01ctl.core.disk_quota import Limits
    from ds01ctl.core.policy import Origin, Policy
    from ds01ctl.core.storage import StorageLimit

_UNSET = {"value": None, "unit": None, "is_set": False, "null_means": None}
_NOWHERE = {"file": None, "line": None, "rule": None}


def rows_of(limits: Iterable[StorageLimit | ProjectWish], today: date) -> list[dict[str, Any]]:
    """Tell what one setting says: ``storage /home``, or ``quota.projects.NAME``."""
    return [_project(one) if isinstance(one, ProjectWish) else _limit(one, today) for one in limits]


def explained(policy: Policy, user: str, today: date) -> list[dict[str, Any]]:
    """Tell what holds for a user, path by path, and what it beat; today is the host's."""
    held, rows = limits_of(policy, user, today), ranked(policy, user)
    if not rows:
        return [{"key": "storage", **_UNSET, **_NOWHERE, "instead_of": []}]
    return [_explained(path, held.get(path), others, today) for path, others in rows.items()]


def _explained(
    path: str, held: StorageLimit | None, rows: Iterable[StorageLimit], today: date
) -> dict[str, Any]:
    others = [_limit(row, today) for row in rows if row is not held]
    shown = _limit(held, today) if held else {"key": f"storage {path}", **_UNSET, **_NOWHERE}
    return {**shown, "instead_of": others}


def _limit(limit: StorageLimit, today: date) -> dict[str, Any]:
    value: dict[str, Any] | None = {
        "path": limit.path,
        **_numbers(limit.limits),
        "until": limit.until.isoformat() if limit.until else None,
        "is_over": limit.is_over(today),
    }
    is_none = limit.limits == NO_LIMITS and limit.until is None
    return _row(f"storage {limit.path}", None if is_none else value, limit.origin)


def _project(wish: ProjectWish) -> dict[str, Any]:
    value = {"path": wish.path, "owner": wish.owner, **_numbers(wish.limits)}
    return _row(f"quota.projects.{wish.name}", value, wish.origin)


def _numbers(limits: Limits) -> dict[str, int | None]:
    return {name: number or None for name, number in limits._asdict().items()}


def _row(key: str, value: dict[str, Any] | None, origin: Origin) -> dict[str, Any]:
    return {
        "key": key,
        "value": value,
        "unit": None,
        "is_set": True,
        "null_means": "no limit" if value is None else None,
        "file": origin.file or None,
        "line": origin.line,
        "rule": origin.rule,
    }
