"""How much disk the policy gives to whom: limits of users by path, and the trees of projects.

Units of sizes are powers of 1024, as everywhere in the policy; inodes are counted by the thousand.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from ds01ctl.core.disk_quota import NO_LIMITS, Limits
from ds01ctl.core.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import date

    from ds01ctl.core.people import Person
    from ds01ctl.core.policy import Origin, Policy

SIZES = ("soft", "hard")
INODES = ("inodes_soft", "inodes_hard")
FIELDS = (*SIZES, *INODES)
"""The keys of a limit in the policy."""

_STEP = 1 << 16
"""XFS rounds a limit up to its blocks, of which 64 KiB are the largest; ext4 rounds to 1 KiB. What
is a multiple of this reads back as it was written, so a second run has nothing to do."""
_COUNT = r"(\d{1,20})(?:\.(\d{1,20}))?\s*([kKmMgG])?"
_THOUSANDS = {"": 0, "k": 3, "m": 6, "g": 9}
_MOST = 2**63 - 1
_NAME = r"(?!\d+$)\w[\w.-]{0,63}"
_LEAST_IDS = 1000
# what lies below is what Docker counts up from, and admins by hand; -1 stands for "no id"
_IDS_ABOVE, _IDS_BELOW = 65536, 2**32 - 1


class StorageLimit(NamedTuple):
    """What a user, or all of a group, may use of the file system that holds a path."""

    path: str
    limits: Limits
    """All 0: no limit, whatever a weaker layer says."""
    until: date | None
    """The last day, in the host's time zone, on which it holds; None: for ever."""
    origin: Origin

    def is_over(self, today: date) -> bool:
        """Tell whether its last day is past; then the next layer holds."""
        return self.until is not None and self.until < today


class ProjectWish(NamedTuple):
    """A tree of files that has a limit of its own, whoever owns what is in it."""

    name: str
    path: str
    owner: str | None
    """The login that is told of it; None: nobody."""
    limits: Limits
    origin: Origin


def ranked(policy: Policy, login: str) -> dict[str, tuple[StorageLimit, ...]]:
    """List by path every limit that names a user, expired ones too: override, group, defaults."""
    found: dict[str, tuple[StorageLimit, ...]] = {}
    for setting in policy.candidates(login, "storage"):
        for limit in setting.value:
            found[limit.path] = (*found.get(limit.path, ()), limit)
    return dict(sorted(found.items()))


def limits_of(policy: Policy, login: str, today: date) -> dict[str, StorageLimit]:
    """Say by path what holds for a user: of the layers that name it the first not expired."""
    held: dict[str, StorageLimit] = {}
    for path, rows in ranked(policy, login).items():
        if limit := next((row for row in rows if not row.is_over(today)), None):
            held[path] = limit
    return held


def limits_of_all(
    policy: Policy, people: Iterable[Person], today: date
) -> Iterator[tuple[Person, tuple[StorageLimit, ...]]]:
    """Give each one's limits; those who have no values of their own share their group's."""
    shared: dict[str, tuple[StorageLimit, ...]] = {}
    for one in people:
        if policy.has_override(one.login):
            yield one, tuple(limits_of(policy, one.login, today).values())
            continue
        if one.group not in shared:
            shared[one.group] = tuple(limits_of(policy, one.login, today).values())
        yield one, shared[one.group]


def override_name(policy: Policy, login: str) -> str:
    """Say under which name the overrides of a user are written, or are to be.

    Under a second name of the same user, new ones would hide those that are there.
    """
    if login in policy.overrides or not policy.has_override(login):
        return login
    return policy.logins_like(login)[0]


def folders_of(policy: Policy) -> tuple[str, ...]:
    """List every path that the policy limits for anybody, those of projects too."""
    layers = [policy.defaults, *policy.groups.values()]
    layers += [layer for layers in policy.overrides.values() for layer in layers]
    settings = [layer["storage"] for layer in layers if "storage" in layer]
    rows = [row.path for setting in settings for row in setting.value]
    return tuple(sorted({*rows, *(wish.path for wish in projects_of(policy))}))


def projects_of(policy: Policy) -> tuple[ProjectWish, ...]:
    """List the projects that the policy names."""
    projects: tuple[ProjectWish, ...] = policy.value("quota.projects") or ()
    return projects


def limits_from(given: Mapping[str, int | None]) -> Limits:
    """Make limits of what was written, by FIELDS: bytes and inodes; None is "no limit".

    A hard limit that is not given is a tenth above the soft one, a soft one is none. Sizes are
    rounded up to what every file system keeps. Raises ValueError where soft is above hard.
    """
    soft, hard = _pair(given, SIZES, _STEP)
    inodes_soft, inodes_hard = _pair(given, INODES, 1)
    return Limits(soft, hard, inodes_soft, inodes_hard)


def _pair(given: Mapping[str, int | None], names: tuple[str, str], step: int) -> tuple[int, int]:
    soft = _up_to(given.get(names[0]) or 0, step)
    derived = -(-soft * 11 // 10) if names[1] not in given else 0
    hard = _up_to(given.get(names[1]) or derived, step)
    if hard and soft > hard:
        raise ValueError(f"{names[0]} is above {names[1]}")
    return soft, hard


def _up_to(number: int, step: int) -> int:
    return -(-number // step) * step


def parse_count(text: str) -> int:
    """Read ``2M``, ``1.5k``, ``40000``: a whole number; k, M and G are powers of 1000.

    Raises ValueError.
    """
    found = re.fullmatch(_COUNT, text, re.ASCII)
    if not found:
        raise ValueError(text)
    part = (found[2] or "").rstrip("0")
    zeros = _THOUSANDS[(found[3] or "").lower()] - len(part)
    if zeros < 0 or int(found[1] + part) * 10**zeros > _MOST:
        raise ValueError(text)
    number: int = int(found[1] + part) * 10**zeros
    return number


def is_project_name(name: str) -> bool:
    """Tell what /etc/projid and a command line take for a name, and never for an id."""
    return re.fullmatch(_NAME, name, re.ASCII) is not None


def parse_ids(text: str) -> range:
    """Read a range of project ids such as ``2000000-2999999``. Raises ValueError.

    It has 1000 ids at least, all above 65536 and below 2^32-1.
    """
    found = re.fullmatch(r"\s*(\d{1,10})\s*-\s*(\d{1,10})\s*", text, re.ASCII)
    ids = range(int(found[1]), int(found[2]) + 1) if found else range(0)
    if len(ids) < _LEAST_IDS or ids[0] <= _IDS_ABOVE or ids[-1] >= _IDS_BELOW:
        raise ValueError(text)
    return ids


def project_ids(policy: Policy) -> range:
    """Give the ids that projects of ours may have."""
    return parse_ids(str(policy.value("quota.project_ids")))


@lru_cache(maxsize=1024)
def limits_text(limits: Limits) -> str:
    """Write limits for people: ``soft 100 GiB, hard 110 GiB, soft 2M inodes``."""
    if limits == NO_LIMITS:
        return "no limit"
    shown = [f"{name} {_bytes_text(size)}" for name, size in zip(SIZES, limits[:2], strict=True)]
    shown += [f"{name} {_count_text(n)} inodes" for name, n in zip(SIZES, limits[2:], strict=True)]
    return ", ".join(text for text, limit in zip(shown, limits, strict=True) if limit)


def _bytes_text(size: int) -> str:
    for power, unit in ((40, "TiB"), (30, "GiB"), (20, "MiB")):
        if size >= 1 << power:
            return f"{size / (1 << power):.5g} {unit}"
    return f"{size / 1024:.5g} KiB"


def _count_text(number: int) -> str:
    for zeros, letter in ((9, "G"), (6, "M"), (3, "k")):
        if number >= 10**zeros and number % 10 ** (zeros - 2) == 0:
            return f"{number / 10**zeros:.10g}{letter}"
    return str(number)
