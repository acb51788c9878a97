"""The policy, and the one resolver of it: who has which limit, and where that was written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from functools import cache, cached_property
from types import MappingProxyType
from typing import Any, TypeVar

from ds01ctl.core.host_keys import host_keys
from ds01ctl.core.keys import user_keys
from ds01ctl.core.record import NamedTuple

T = TypeVar("T")
_NOTHING: Mapping[str, Any] = MappingProxyType({})
_NEVER = datetime.max.replace(tzinfo=timezone.utc)


class Origin(NamedTuple):
    """Where a value was written, and by which rule it holds."""

    file: str
    """Beside the policy file; empty for what is built in."""
    line: int | None
    rule: str
    """user override, inline override, group NAME, defaults, policies, built-in, …"""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place} ({self.rule})" if place else self.rule


class Setting(NamedTuple):
    """A key's value. No origin: set nowhere. None with an origin: null, which is no limit."""

    key: str
    value: Any
    origin: Origin | None


class Exemption(NamedTuple):
    """Leave from a limit, or from a finding, until a time."""

    username: str
    category: str | None
    exempt_from: tuple[str, ...]
    reason: str | None
    approved_by: str | None
    expires_at: datetime | None
    """Aware UTC; None: permanent."""
    origin: Origin


class Problem(NamedTuple):
    """Something in a policy file that the admin should see."""

    file: str
    line: int | None
    key: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return ": ".join(part for part in (place, self.key, self.message) if part)


Layer = Mapping[str, Setting]


@cache
def canonical(login: str) -> str:
    """Give the form of a login that slice names have; empty where nothing of it is usable.

    No domain; all but letters, digits and ``:`` becomes ``_``, never ``-``, on which systemd
    nests; past 32 characters the tail becomes four digits of the login's md5.
    """
    if len(login) <= 32 and login.isalnum() and login.isascii():
        # as most are
        return login
    form = re.sub(r"[^a-zA-Z0-9:]+", "_", login.partition("@")[0]).strip("_")
    if len(form) <= 32:
        return form
    from hashlib import md5

    digest = md5(login.encode(errors="surrogateescape"), usedforsecurity=False).hexdigest()
    return f"{form[:27].rstrip('_')}_{digest[:4]}"


def logins_by_form(logins: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Group logins by their canonical form; a form with two of them names nobody."""
    forms: dict[str, tuple[str, ...]] = {}
    for login in logins:
        form = canonical(login)
        others = forms.get(form)
        forms[form] = tuple(sorted({*others, login})) if others else (login,)
    return forms


@cache
def _built_in() -> dict[str, Setting]:
    origin = Origin("", None, "built-in")
    keys = host_keys().items()
    return {
        name: Setting(name, key.default, origin) for name, key in keys if key.default is not None
    }


class _Written(NamedTuple):
    """What the admin wrote."""

    host: Layer = _NOTHING
    """Settings for the whole host, by dotted name."""
    defaults: Layer = _NOTHING
    groups: Mapping[str, Layer] = _NOTHING
    overrides: Mapping[str, tuple[Layer, ...]] = _NOTHING
    """By login; the stronger first."""
    members: Mapping[str, Setting] = _NOTHING
    """The group of each login that a file or list names."""
    group_overrides: tuple[Setting, ...] = ()
    """The group that group-overrides.txt asks for, by login; among the login's own groups only."""
    exemptions: tuple[Exemption, ...] = ()
    bare_metal: Mapping[str, Origin] = _NOTHING
    files: tuple[str, ...] = ()
    """What was read."""
    warnings: tuple[Problem, ...] = ()


class Policy(_Written):
    """What the admin wrote, and what holds where nothing was written."""

    @cached_property
    def forms(self) -> Mapping[str, tuple[str, ...]]:
        """List every login that is named, by canonical form."""
        named = {row.username for row in self.exemptions}
        return logins_by_form({*self.overrides, *self.members, *self.bare_metal, *named})

    def knowing(self, logins: Iterable[str]) -> Policy:
        """Make a policy that knows who else is on the host: their forms are not others' either."""
        known = self._replace()
        everybody = {*logins, *(one for some in self.forms.values() for one in some)}
        known.__dict__["forms"] = logins_by_form(everybody)
        return known

    @property
    def roster(self) -> frozenset[str]:
        """Collect every login that the policy names."""
        return frozenset(login for logins in self.forms.values() for login in logins)

    def logins_like(self, login: str) -> tuple[str, ...]:
        """List whom a login can stand for: itself if it is named, else those of its form."""
        form = canonical(login)
        people = self.forms.get(form, ())
        return (login,) if login in people else people if form else ()

    def setting(self, key: str) -> Setting:
        """Look up a setting of the whole host. Raises KeyError for a name that is no setting."""
        if key in self.host:
            return self.host[key]
        if key in host_keys() or key.startswith("container_types."):
            return _built_in().get(key, Setting(key, None, None))
        raise KeyError(key)

    def value(self, key: str) -> Any:
        """Look up the value of a setting of the whole host."""
        return self.setting(key).value

    def type_limit(self, container_type: str, key: str) -> Setting:
        """Look up a limit of a container type; a type that has no entry counts as unknown."""
        prefix = f"container_types.{container_type}."
        if not any(name.startswith(prefix) for name in self.host):
            prefix = "container_types.unknown."
        return self.setting(prefix + key)

    def group_of(self, login: str) -> Setting:
        """Say which group a login is in; an override never changes it."""
        return self._of(self.members, login) or self.setting("default_group")._replace(key="group")

    def of_group(self, name: str, key: str) -> Setting:
        """Look up what a group as a whole has; no member's limit."""
        return self.groups.get(name, _NOTHING).get(key) or Setting(key, None, None)

    def has_override(self, login: str) -> bool:
        """Tell whether a user has a value of their own: all others share their group's."""
        return self._of(self.overrides, login) is not None

    def limit(self, login: str, key: str) -> Setting:
        """Look up a user's limit: user override, then group, then defaults, key by key."""
        settings = self.candidates(login, key)
        return settings[0] if settings else Setting(key, None, None)

    def candidates(self, login: str, key: str) -> tuple[Setting, ...]:
        """List every setting that a user's limit could come from; the first one holds.

        Raises KeyError for a name that is no limit.
        """
        asked = login, key
        if asked not in self._candidates:
            self._candidates[asked] = self._looked_up(login, key)
        return self._candidates[asked]

    @cached_property
    def _candidates(self) -> dict[tuple[str, str], tuple[Setting, ...]]:
        """Keep what was looked up: a user has many containers, and all of them the same limits."""
        return {}

    def _looked_up(self, login: str, key: str) -> tuple[Setting, ...]:
        if key not in user_keys():
            raise KeyError(key)
        layers = [*(self._of(self.overrides, login) or ()), self._group_layer(login), self.defaults]
        found = [layer[key] for layer in layers if key in layer]
        if key.startswith("policies."):
            found.append(self.setting(key))
        return tuple(setting for setting in found if setting.origin)

    def exemption(self, login: str, what: str, now: datetime) -> Exemption | None:
        """Find a user's longest unexpired exemption from something; now is aware."""
        rows = self.exemptions_of(login)
        valid = [row for row in rows if what in row.exempt_from and is_valid(row, now)]
        return max(valid, key=lambda row: row.expires_at or _NEVER, default=None)

    def exemptions_of(self, login: str) -> tuple[Exemption, ...]:
        """List all exemptions of a user, expired ones too."""
        if not self.exemptions:
            return ()
        rows: dict[str, tuple[Exemption, ...]] = {}
        for row in self.exemptions:
            rows[row.username] = (*rows.get(row.username, ()), row)
        return self._of(rows, login) or ()

    def bare_metal_exempt(self, login: str) -> Origin | None:
        """Say where a user was given leave for ever to use the GPUs without a container."""
        return self._of(self.bare_metal, login)

    def _group_layer(self, login: str) -> Layer:
        return self.groups.get(self.group_of(login).value) or {}

    def _of(self, table: Mapping[str, T], login: str) -> T | None:
        """Look a login up as written, then by its form, if that form is one person's only."""
        if login in table:
            return table[login]
        if not table:
            return None
        form = canonical(login)
        people = self.forms.get(form, ())
        if not form or len(people) != 1 or _in_other_domain(login, people[0]):
            return None
        return table.get(people[0])


def _in_other_domain(login: str, other: str) -> bool:
    """Tell whether two logins are of two domains: eve@staff is not eve@students."""
    domains = login.partition("@")[2], other.partition("@")[2]
    return all(domains) and domains[0] != domains[1]


def is_valid(exemption: Exemption, now: datetime) -> bool:
    """Tell whether an exemption has not expired."""
    return exemption.expires_at is None or now < exemption.expires_at


def builtin_policy() -> Policy:
    """Give the policy of a host without a policy file: built-in settings, and no limits."""
    return Policy()
