"""Judge our own folders, store and program, the policy, and the kernel's own walls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ds01ctl.core.doctor_row import absent, fine, problem, unknown, warning, words
from ds01ctl.core.host_facts import Unread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ds01ctl.core.doctor_row import Row
    from ds01ctl.core.host_facts import (
        AccessFacts,
        FileFact,
        HostFacts,
        OwnFacts,
        PolicyFacts,
        StoreFacts,
    )

_OWN, _POLICY, _ACCESS = "ds01", "policy", "access"
_OLDEST_PYTHON = (3, 10)
_USERS_PLACES = ("/home/", "/tmp/", "/var/tmp/", "/scratch/")  # noqa: S108 -- refused, not used


def rows(facts: HostFacts) -> Iterator[Row]:
    """Make the rows of ds01ctl itself, its policy and the kernel."""
    yield from _own(facts.own)
    yield _store(facts.store, facts.own)
    yield from _policy(facts.policy)
    yield from _access(facts)


# --- ds01ctl ------------------------------------------------------------------------------------


def _own(own: OwnFacts) -> Iterator[Row]:
    yield _place(own)
    for path, folder in zip(own.folder_paths, own.folders, strict=True):
        yield _folder(path, folder)
    yield _locks(own)
    yield _program(own)
    yield _python(own)


def _place(own: OwnFacts) -> Row:
    if own.place is None:
        return fine(_OWN, "place", "runs on the host itself")
    return warning(
        _OWN, "place", own.place, "what is seen here is not what the host has",
        "run ds01ctl on the host itself, outside any container",
    )  # fmt: skip


def _folder(path: str, folder: FileFact | Unread) -> Row:
    check = f"folder {path}"
    if isinstance(folder, Unread):
        if folder.kind == "absent":
            return absent(_OWN, check, "not there yet; the first recorded run makes it")
        return unknown(_OWN, check, folder)
    return _folder_there(path, folder)


def _folder_there(path: str, folder: FileFact) -> Row:
    check = f"folder {path}"
    if not folder.is_folder:
        return problem(
            _OWN, check, "is no folder", "no job can keep anything",
            f"mv {path} {path}.old && install -d -m 0755 {path}",
        )  # fmt: skip
    found = f"mode {folder.mode:04o}, owner {'root' if not folder.uid else folder.uid}"
    if folder.uid:
        return problem(
            _OWN, check, found, "its owner can replace every file in it, which root then reads",
            f"chown root {path}",
        )  # fmt: skip
    if folder.mode & 0o002:
        return problem(
            _OWN, check, f"{found}: everybody may write to it",
            "any user can put files there that root then reads", f"chmod o-w {path}",
        )  # fmt: skip
    return fine(_OWN, check, found)


def _store(store: StoreFacts, own: OwnFacts) -> Row:
    check, path = "state store", store.path
    if not isinstance(own.database, Unread) and (own.database.mode & 0o007 or own.database.uid):
        mode = f"mode {own.database.mode:04o}, owner {own.database.uid}"
        return problem(
            _OWN, check, f"{path}: {mode}", "who is not root reads or changes what jobs remember",
            f"chown root {path} && chmod 0640 {path}",
        )  # fmt: skip
    schema = store.schema
    if not isinstance(schema, Unread):
        if schema < store.newest:
            return fine(
                _OWN, check, f"schema {schema}; the next recorded run makes it {store.newest}"
            )
        return fine(_OWN, check, f"opens, schema {schema}")
    if schema.kind == "absent":
        return absent(_OWN, check, f"no {path} yet; the first recorded run makes it")
    if schema.kind == "denied":
        return unknown(_OWN, check, schema)
    return problem(
        _OWN, check, schema.reason, "each recorded run begins anew: no finding ever counts",
        f"keep it for a look, and start anew: mv {path} {path}.broken",
    )._replace(gap=schema)  # fmt: skip


def _locks(own: OwnFacts) -> Row:
    check = "lock files"
    loose = [lock.path for lock in own.locks if lock.uid or lock.mode & 0o077]
    if not loose:
        return fine(_OWN, check, f"{len(own.locks)}, root's only")
    return warning(
        _OWN, check, f"{loose[0]} can be opened by others",
        "any of them can hold it, and the job then never runs", f"rm {words(*loose)}",
    )  # fmt: skip


def _program(own: OwnFacts) -> Row:
    check = "program"
    if any(own.program.startswith(place) for place in _USERS_PLACES):
        return problem(
            _OWN, check, f"{own.program} lies where users write",
            "who can change it is root at the next run of a timer",
            "python3 -m venv /opt/ds01ctl && /opt/ds01ctl/bin/pip install ds01ctl",
        )  # fmt: skip
    if own.weak:
        first = own.weak[0]
        return problem(
            _OWN, check, f"{first.path}: mode {first.mode:04o}, owner {first.uid}",
            "who can change it is root at the next run of a timer",
            f"chown root:root {words(first.path)} && chmod go-w {words(first.path)}",
        )  # fmt: skip
    return fine(_OWN, check, f"{own.program}, root's only")


def _python(own: OwnFacts) -> Row:
    found = ".".join(map(str, own.python))
    if own.python >= _OLDEST_PYTHON:
        return fine(_OWN, "Python", found)
    return problem(
        _OWN, "Python", f"{found}, but 3.10 is needed", "ds01ctl is not tested with it",
        "apt-get install python3.10-venv, and install ds01ctl anew with it",
    )  # fmt: skip


# --- the policy ---------------------------------------------------------------------------------


def _policy(policy: PolicyFacts) -> Iterator[Row]:
    yield _content(policy)
    if policy.files:
        yield _policy_modes(policy)


def _content(policy: PolicyFacts) -> Row:
    check = "content"
    if policy.path is None:
        return warning(
            _POLICY, check, "no policy file", "built-in settings hold, and nobody has a limit",
            "ds01ctl config init",
        )  # fmt: skip
    if policy.is_denied:
        return unknown(_POLICY, check, Unread("denied", policy.problems[0]))
    if policy.problems:
        more = f" (and {len(policy.problems) - 1} more)" if len(policy.problems) > 1 else ""
        return problem(
            _POLICY, check, f"{policy.problems[0]}{more}", "every job refuses to run with it",
            "correct what is named; ds01ctl config check shows all",
        )  # fmt: skip
    if policy.warnings:
        more = f" (and {len(policy.warnings) - 1} more)" if len(policy.warnings) > 1 else ""
        return warning(
            _POLICY, check, f"{policy.warnings[0]}{more}", "a setting may not do what was meant",
            "ds01ctl config check shows all",
        )  # fmt: skip
    return fine(_POLICY, check, f"{policy.path}, no problems")


def _policy_modes(policy: PolicyFacts) -> Row:
    check = "who may change it"
    weak = [file for file in policy.files if file.uid or file.is_open]
    if not weak:
        return fine(_POLICY, check, "root, and groups that root gave leave")
    first = weak[0]
    return problem(
        _POLICY, check, f"{first.path}: mode {first.mode:04o}, owner {first.uid}",
        "who can write the policy tells jobs that run as root what to do",
        f"chown root {words(first.path)} && chmod o-w {words(first.path)}",
    )  # fmt: skip


# --- the kernel's walls -------------------------------------------------------------------------


def _access(facts: HostFacts) -> Iterator[Row]:
    access = facts.access
    yield _apparmor(access)
    if access.apparmor:
        yield _profile(access)
    yield _userns(access)


def _apparmor(access: AccessFacts) -> Row:
    if access.apparmor:
        return fine(_ACCESS, "AppArmor", "on in the kernel")
    if access.apparmor is None:
        return absent(_ACCESS, "AppArmor", "not in this kernel")
    return warning(
        _ACCESS, "AppArmor", "in the kernel, but off",
        "containers and services lack a wall that they were built to have",
        "in /etc/default/grub append to GRUB_CMDLINE_LINUX: apparmor=1 security=apparmor;"
        " then: update-grub && reboot", reboot=True,
    )  # fmt: skip


def _profile(access: AccessFacts) -> Row:
    check, profiles = "docker-default", access.profiles
    if isinstance(profiles, Unread):
        if profiles.kind == "absent":
            return absent(_ACCESS, check, profiles.reason)
        return unknown(_ACCESS, check, profiles)
    if "docker-default (enforce)" in profiles:
        return fine(_ACCESS, check, "loaded, enforced")
    there = next((one for one in profiles if one.startswith("docker-default")), None)
    found = f"loaded as {there}, not enforced" if there else "not loaded"
    return warning(
        _ACCESS, check, found, "containers run without a profile, or do not start",
        "when no container runs, or with live-restore on: systemctl restart docker (it loads it)",
    )  # fmt: skip


def _userns(access: AccessFacts) -> Row:
    check = "user namespaces"
    if access.userns_max == 0:
        return fine(_ACCESS, check, "none allowed: no rootless containers")
    if access.userns_unprivileged is False:
        return fine(_ACCESS, check, "root's only: no rootless containers")
    return fine(_ACCESS, check, "for everybody: users may have rootless engines of their own")
