"""What the config commands do: pure of the terminal, each returns a Result."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any, NamedTuple

from ds01ctl.commands import storage_rows
from ds01ctl.core.host_keys import host_keys
from ds01ctl.core.key import Key
from ds01ctl.core.keys import CONTAINER_TYPE, GROUP, user_keys
from ds01ctl.core.model import Gap
from ds01ctl.core.plan import Action, Result
from ds01ctl.core.policy import (
    Exemption,
    Origin,
    Policy,
    Setting,
    builtin_policy,
    is_valid,
)
from ds01ctl.errors import Ds01Error, UsageError
from ds01ctl.paths import Paths

_NO_FILE = "no policy file; built-in settings are used (ds01ctl config init writes one)"


class Asked(NamedTuple):
    """What every config command is asked on."""

    paths: Paths
    explicit: Path | None
    """--config."""
    env: Mapping[str, str]
    host: str
    now: datetime

    @property
    def today(self) -> date:
        """Give the day in the host's time zone, which the days in the policy are in."""
        return self.now.astimezone().date()

    def result(self, command: str, data: Mapping[str, Any], gaps: tuple[Gap, ...] = ()) -> Result:
        """Make the result of a command."""
        return Result(f"config {command}", self.host, self.now, gaps=gaps, data=data)


def check(asked: Asked) -> Result:
    """Read the policy and report what is odd. Raises Ds01Error naming every problem in it."""
    from ds01ctl.config.read import PolicyError, find_policy, load_policy
    from ds01ctl.config.source import row_of
    from ds01ctl.report import config_text

    path = find_policy(asked.paths, asked.explicit, asked.env)
    if path is None:
        places = " nor ".join(str(place) for place in asked.paths.policies)
        raise Ds01Error(f"no policy file: neither {places}", "ds01ctl config init writes one")
    try:
        policy = load_policy(path, asked.paths)
    except PolicyError as error:
        told = [error.message, *config_text.warning_lines(error.data)]
        told.append(config_text.summary(error.data))
        hint = error.hint if error.is_denied else "correct what is named, then check again"
        raise Ds01Error("\n".join(told), hint, error.data) from None
    warnings = [row_of(one) for one in policy.warnings]
    data = {"files": list(policy.files), "problems": [], "warnings": warnings}
    return asked.result("check", data)


def show(asked: Asked, *, resolved: bool) -> Result:
    """List what the policy sets, and where; resolved: also what is built in."""
    policy, gaps = _load(asked)
    today, host = asked.today, policy.host.values()
    rows = [row for setting in host for row in _rows(setting, _key_of(setting.key), today)]
    if resolved:
        missing = [key for key in host_keys() if key not in policy.host]
        found = [policy.setting(name) for name in missing if host_keys()[name].effect]
        rows += [_row(setting, host_keys()[setting.key]) for setting in found]
    rows += _layer_rows("defaults", policy.defaults, today)
    for name, layer in policy.groups.items():
        rows += _layer_rows(f"groups.{name}", layer, today)
    for login, layers in policy.overrides.items():
        for layer in reversed(layers):
            rows += _layer_rows(f"user_overrides.{login}", layer, today)
    members = {login: group.value for login, group in sorted(policy.members.items())}
    exempt = [_exemption(row, asked.now) for row in policy.exemptions]
    data = {
        "files": list(policy.files),
        "settings": sorted(rows, key=lambda row: str(row["key"])),
        "members": members,
        "exemptions": exempt,
    }
    return asked.result("show", data, gaps)


def explain(asked: Asked, user: str) -> Result:
    """Show every limit of a user, where it was written, by which rule it holds, what it beat.

    Raises UsageError for what cannot be a login.
    """
    _check_login(user)
    policy, gaps = _load(asked)
    people = policy.logins_like(user)
    leave = policy.bare_metal_exempt(user)
    data = {
        "user": user,
        "named": user in people,
        "stands_for": list(people),
        "group_overrides": [
            _group_override(policy, wanted)
            for wanted in policy.group_overrides
            if wanted.key in {user, *people}
        ],
        "files": list(policy.files),
        "group": _row(policy.group_of(user), None),
        "limits": _limits(policy, user, asked.today),
        "exemptions": [_exemption(row, asked.now) for row in policy.exemptions_of(user)],
        "bare_metal_exempt": _origin(leave) if leave else None,
    }
    return asked.result("explain", data, gaps)


def _limits(policy: Policy, user: str, today: date) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for name, key in _told(policy, user):
        if key.kind == "storage":
            rows += storage_rows.explained(policy, user, today)
        else:
            rows.append(_explained(policy, user, name, key))
    return rows


def _told(policy: Policy, user: str) -> list[tuple[str, Key]]:
    """List the limits to show: those of log-ins only where they are set apart from aggregate's."""
    return [
        (name, key)
        for name, key in user_keys().items()
        if key.effect and (not name.startswith("login.") or policy.candidates(user, name))
    ]


def _check_login(user: str) -> None:
    from ds01ctl.config.values import WrongValueError, check_login

    try:
        check_login(user)
    except WrongValueError as error:
        raise UsageError(str(error), "give one login, as the policy has it") from None


def _group_override(policy: Policy, wanted: Setting) -> dict[str, Any]:
    """Tell a line of group-overrides.txt, and why it does not hold if it does not."""
    login, group = wanted.key, wanted.value
    given = policy.members.get(login)
    problem = None
    if group not in policy.groups:
        problem = f"there is no group {group}"
    elif given is None or given.value != group:
        problem = f"{login} is not in groups/{group}.members"
    return {"user": login, "group": group, "problem": problem, **_origin(wanted.origin)}


def schema(asked: Asked) -> Result:
    """Make the JSON Schema of the policy file."""
    from ds01ctl.config import describe

    return asked.result("schema", {"json_schema": describe.schema()})


def init(asked: Asked, path: Path | None, *, dry_run: bool) -> Result:
    """Write an example policy in which nothing is set yet; a file that is there is left alone.

    A dry run shows the example whether or not it could be written.
    """
    from ds01ctl.config import describe

    target = path or asked.paths.policies[0]
    refused = _why_not(asked.paths, target)
    if refused and not dry_run:
        raise refused
    text = describe.example()
    folders = [] if refused else _missing_folders(target)
    if not dry_run:
        _write_new(target, text)
    outcome = Action(
        "write-file",
        str(target),
        "an example policy, in which nothing is set yet",
        "skipped" if refused else "planned" if dry_run else "done",
        refused.message if refused else None,
    )
    data = {"file": str(target), "folders": folders, "text": text}
    return asked.result("init", data)._replace(actions=(outcome,))


def _why_not(paths: Paths, target: Path) -> Ds01Error | None:
    """Say why a policy is not written where another one is, or would lose its force."""
    from ds01ctl.config.source import is_there

    try:
        is_taken = is_there(target)
        others = [place for place in paths.policies[1:] if is_there(place)]
    except Ds01Error as error:
        return error
    if is_taken:
        return Ds01Error(f"{target}: is there already; it was left alone", "give another path")
    if target == paths.policies[0] and others:
        what = f"{target}: would take the place of {others[0]}, the policy in force"
        return Ds01Error(what, "give another path, or move the policy in force there")
    return None


def _missing_folders(target: Path) -> list[str]:
    """List the folders that have to be made for a file, the outer ones first."""
    return [str(folder) for folder in reversed(target.parents) if not folder.exists()]


def _write_new(path: Path, text: str) -> None:
    from ds01ctl.files import write_atomic

    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        write_atomic(path, text, mode=0o644)
    except OSError as error:
        hint = "run as root, or give another path"
        raise Ds01Error(f"{path}: cannot be written: {error.strerror}", hint) from None


def _load(asked: Asked) -> tuple[Policy, tuple[Gap, ...]]:
    from ds01ctl.config.read import find_policy, load_policy

    path = find_policy(asked.paths, asked.explicit, asked.env)
    if path is None:
        return builtin_policy(), (Gap("policy", "absent", _NO_FILE),)
    return load_policy(path, asked.paths), ()


def _key_of(name: str) -> Key | None:
    if name.startswith("container_types."):
        return {key.name: key for key in CONTAINER_TYPE}.get(name.rpartition(".")[2])
    return host_keys().get(name)


def _layer_rows(prefix: str, layer: Mapping[str, Setting], today: date) -> list[dict[str, Any]]:
    keys = {**user_keys(), **{key.name: key for key in GROUP}}
    told = (_rows(setting, keys.get(setting.key), today) for setting in layer.values())
    return [{**row, "key": f"{prefix}.{row['key']}"} for rows in told for row in rows]


def _rows(setting: Setting, key: Key | None, today: date) -> list[dict[str, Any]]:
    """Tell a setting: in one row, or in one for each path or project that it names."""
    if key and key.kind in {"storage", "projects"} and setting.value:
        return storage_rows.rows_of(setting.value, today)
    return [_row(setting, key)]


def _explained(policy: Policy, user: str, name: str, key: Key) -> dict[str, Any]:
    found = policy.candidates(user, name)
    row = _row(found[0] if found else Setting(name, None, None), key)
    return {**row, "instead_of": [_row(setting, key) for setting in found[1:]]}


def _row(setting: Setting, key: Key | None) -> dict[str, Any]:
    value = list(setting.value) if isinstance(setting.value, tuple) else setting.value
    return {
        "key": setting.key,
        "value": value,
        "unit": _unit(key),
        "is_set": setting.origin is not None,
        "null_means": key.null or None if key and value is None and setting.origin else None,
        **_origin(setting.origin),
    }


def _unit(key: Key | None) -> str | None:
    if key is None:
        return None
    return key.unit or (key.kind if key.kind in {"days", "hours", "minutes", "seconds"} else None)


def _origin(origin: Origin | None) -> dict[str, Any]:
    if origin is None:
        return {"file": None, "line": None, "rule": None}
    return {"file": origin.file or None, "line": origin.line, "rule": origin.rule}


def _exemption(row: Exemption, now: datetime) -> dict[str, Any]:
    return {
        "user": row.username,
        "category": row.category,
        "exempt_from": list(row.exempt_from),
        "reason": row.reason,
        "approved_by": row.approved_by,
        "expires_at": row.expires_at,
        "is_valid": is_valid(row, now),
        **_origin(row.origin),
    }
