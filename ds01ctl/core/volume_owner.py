"""Say whose a Docker volume is: whose files are in it, and what its label says; name its project.

A label alone accuses nobody, for anybody who may use Docker can write it; nor does uid 1000 alone,
for that is what most images run as.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.core.projects import VOLUMES
from ds01ctl.core.storage import is_project_name

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_PERSON = 1000
_OF_IMAGES = 1000
"""What most images run as, whoever starts them."""
_BY_UID = re.compile(r"uid-(\d{1,10})", re.ASCII)


class Owner(NamedTuple):
    """Whom a volume is charged to."""

    login: str
    uid: int


def judge(
    label: str | None,
    people: Collection[int],
    users: Mapping[int, str],
    uids: Mapping[str, int],
) -> Owner | str:
    """Give the owner, or the reason why there is none.

    label: what ds01.user says. people: uids from 1000 on that have files in the volume; what is
    root's or a service's says nothing.
    """
    if label is None:
        return _by_files(people, users)
    uid = uids.get(label)
    if uid is None:
        return f"its label says {label}, who is no user here"
    if uid < _PERSON:
        return f"its label says {label}, who is no person (uid {uid})"
    others = sorted(set(people) - {uid})
    if others:
        whose = ", ".join(_name(one, users) for one in others)
        return f"its label says {label}, but files of {whose} are in it"
    if not people:
        return f"its label says {label}, who has no files in it: a label alone accuses nobody"
    return Owner(label, uid)


def _by_files(people: Collection[int], users: Mapping[int, str]) -> Owner | str:
    if not people:
        return "is nobody's: it has no label ds01.user, and no files of a person"
    if len(people) > 1:
        return f"is of several people: {', '.join(_name(one, users) for one in sorted(people))}"
    (uid,) = people
    if uid == _OF_IMAGES:
        return f"has files of uid {uid}, as which most images run, and no label ds01.user"
    if uid not in users:
        return f"has files of uid {uid}, who is no user here"
    return Owner(users[uid], uid)


def _name(uid: int, users: Mapping[int, str]) -> str:
    return users.get(uid, f"uid {uid}")


# --- projects ------------------------------------------------------------------------------------


def project_name(login: str, uid: int) -> str:
    """Name the project of a user's volumes: by uid where the login can be no part of a name."""
    name = f"{VOLUMES}{login}"
    # somebody may be called uid-7, who is not the uid 7
    is_fit = is_project_name(name) and not _BY_UID.fullmatch(login)
    return name if is_fit else f"{VOLUMES}uid-{uid}"


def owner_of(project_name: str, logins_by_uid: Mapping[int, str]) -> str | None:
    """Say whose volumes a project holds; None: it is none of volumes, or nobody has its uid."""
    if not project_name.startswith(VOLUMES):
        return None
    rest = project_name.removeprefix(VOLUMES)
    by_uid = _BY_UID.fullmatch(rest)
    return logins_by_uid.get(int(by_uid[1])) if by_uid else rest or None
