"""Whom `enforce` limits, and whom it never touches."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from ds01ctl.core.policy import Policy

EXEMPTION = "resource-limits"
"""What lifecycle-exemptions.yaml calls leave from everything here."""
_NOBODY = (65534, 65535)
_DYNAMIC = range(61184, 65520)
"""systemd's DynamicUser=: services, not people."""


class Person(NamedTuple):
    """A user of the host."""

    login: str
    uid: int
    group: str


class Spared(NamedTuple):
    """A user who is left alone, and why."""

    login: str
    uid: int
    why: str


class Roll(NamedTuple):
    """Everybody who was found, once."""

    people: tuple[Person, ...]
    """Those to be limited, by uid."""
    spared: tuple[Spared, ...]

    def by_login(self) -> dict[str, Person]:
        """Give the people by login."""
        return {one.login: one for one in self.people}


def roll(
    users: Mapping[int, str],
    policy: Policy,
    admins: Collection[str],
    now: datetime,
) -> Roll:
    """Sort everybody who is known: users is login by uid, admins the members of the admin group."""
    named = set(policy.value("access_control.admin_users") or ()) | set(admins)
    rules = _Rules(
        int(policy.value("enforcement.min_uid")),
        named,
        frozenset(policy.value("enforcement.exempt_users") or ()),
    )
    people, spared = [], []
    for uid, login in sorted(users.items()):
        if uid in _NOBODY or uid in _DYNAMIC:
            continue
        why = rules.why_spared(uid, login) or _why_exempt(login, policy, now)
        if why is None:
            people.append(Person(login, uid, str(policy.group_of(login).value)))
        else:
            spared.append(Spared(login, uid, why))
    return Roll(tuple(people), tuple(spared))


class _Rules(NamedTuple):
    """Whom the settings for the whole host spare; looked up once, for there may be thousands."""

    least_uid: int
    admins: Collection[str]
    exempt: Collection[str]

    def why_spared(self, uid: int, login: str) -> str | None:
        if uid < self.least_uid:
            return f"uid {uid} is below enforcement.min_uid, {self.least_uid}"
        if login in self.admins:
            return "is an admin (access_control)"
        return "is in enforcement.exempt_users" if login in self.exempt else None


def _why_exempt(login: str, policy: Policy, now: datetime) -> str | None:
    exemption = policy.exemption(login, EXEMPTION, now)
    return f"is exempt ({exemption.origin})" if exemption else None
