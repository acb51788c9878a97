"""Name the person behind a container or a process, and say how that is known.

Every rule that says something is heard; the first one that holds wins, and those that
contradict it are part of the evidence. Whoever starts a container writes its labels, so a label
alone is never certain, and nothing is exempted on its word.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, NamedTuple

from ds01ctl.core.cgroup_path import classify
from ds01ctl.core.policy import canonical

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ds01ctl.core.cgroup_path import Place
    from ds01ctl.core.model import Container, Process, Snapshot

Confidence = Literal["certain", "likely", "guess"]

_OWNER_LABELS = ("ds01.user", "aime.mlc.USER", "aime.mlc")
_FOLDER_LABELS = (
    ("devcontainer.local_folder", "devcontainer folder"),
    ("com.docker.compose.project.working_dir", "compose working_dir"),
)
_LOGIN = r"[^\s/:\x00-\x1f\x7f]{1,256}"
_NAME_WITH_UID = r".+\._\.(\d{1,10})"
_USER_SLICE = r"ds01-[^-]+-([^-]+)\.slice"
_UID_SLICE = r"u(\d{1,10})"


class Owner(NamedTuple):
    """Who a workload belongs to; ``login`` is a number where the uid has no name."""

    login: str | None
    uid: int | None
    confidence: Confidence
    rule: str
    """The rule that named the owner: ``ds01.user``, ``bind mount``, ``real uid``, …"""
    evidence: tuple[str, ...]
    corroborated: bool = False
    """Something that the container's maker does not write freely says the same."""


UNKNOWN = Owner(None, None, "guess", "none", ("nothing names an owner",))


class Claim(NamedTuple):
    """What one rule says."""

    rule: str
    login: str
    uid: int | None
    confidence: Confidence
    text: str
    is_written: bool
    """Written freely by whoever made the container: a label or a name."""


class People:
    """The names that are known: the name service's answers, and the policy's roster."""

    def __init__(self, snapshot: Snapshot, roster: Iterable[str] = ()) -> None:
        self._users = snapshot.users
        self._uids = {**{login: uid for uid, login in snapshot.users.items()}, **snapshot.uids}
        self._names_unknown = snapshot.lacks("users")
        self._by_canonical: dict[str, set[str]] = {}
        for login in {*self._uids, *roster}:
            self._by_canonical.setdefault(canonical(login), set()).add(login)

    def login(self, uid: int) -> str:
        """Name a uid; the number itself where it has no entry."""
        return self._users.get(uid, str(uid))

    def uid(self, login: str) -> int | None:
        """Find a login's uid."""
        return self._uids.get(login)

    def exists(self, login: str) -> bool:
        """Tell whether a login is a user here; benefit of the doubt when names can't be asked."""
        return login in self._uids or self._names_unknown

    def of_slice(self, part: str) -> str | None:
        """Find the one login that the user part of a slice name stands for."""
        if match := re.fullmatch(_UID_SLICE, part):
            return self.login(int(match[1]))
        logins = self._by_canonical.get(part, set())
        return next(iter(logins)) if len(logins) == 1 else None


def logins_to_ask(container: Container) -> set[str]:
    """Collect the logins that a container's labels and slice claim, for the name service."""
    claimed = {container.labels.get(label, "") for label in _OWNER_LABELS}
    if container.cgroup and (part := _slice_user(classify(container.cgroup))):
        claimed.add(part)
    return {login for login in claimed if re.fullmatch(_LOGIN, login)}


def paths_to_ask(container: Container, home_dirs: Sequence[str]) -> set[str]:
    """Collect the paths under a home whose owner says something about the container."""
    paths = {container.labels.get(label, "") for label, _ in _FOLDER_LABELS}
    paths |= {mount.source for mount in container.mounts if mount.type == "bind"}
    roots = tuple(home.rstrip("/") + "/" for home in home_dirs)
    return {path for path in paths if path.startswith(roots)}


def owner_of_container(
    container: Container, processes: Sequence[Process], snapshot: Snapshot, people: People
) -> Owner:
    """Name a container's owner from its labels, place, folders and processes, in that order."""
    return _settle([*_container_claims(container, snapshot, people), *_inside(processes, people)])


def owner_of_strangers(place: Place, processes: Sequence[Process], people: People) -> Owner:
    """Name the owner of a container that no engine we can ask knows."""
    return _settle([*_slice_claims(place, people), *_inside(processes, people)])


def owner_of_process(process: Process, place: Place, people: People) -> Owner:
    """Name the owner of a process on the host: who logged in, else as whom it runs."""
    claims = list(_slice_claims(place, people))
    if process.loginuid is not None:
        who = people.login(process.loginuid)
        claims.append(_uid_claim("loginuid", who, process.loginuid, "certain", "logged in as"))
    who = people.login(process.uid)
    claims.append(_uid_claim("real uid", who, process.uid, "certain", "runs as"))
    return _settle(claims)


def _settle(claims: Sequence[Claim]) -> Owner:
    """Let the first claim that holds win, and keep what contradicts it."""
    claims = list({(claim.rule, claim.login): claim for claim in reversed(claims)}.values())[::-1]
    if not claims:
        return UNKNOWN
    # a login that does not exist holds only when nothing else says anything
    first = next((claim for claim in claims if claim.confidence != "guess"), claims[0])
    agreeing = [claim for claim in claims if _same(claim, first)]
    against = [claim for claim in claims if not _same(claim, first)]
    corroborated = any(not claim.is_written for claim in agreeing)
    confidence = first.confidence
    if first.is_written and (corroborated or len(agreeing) > 1):
        confidence = "certain"
    elif first.is_written and any(not claim.is_written for claim in against):
        confidence = "guess"
    evidence = (*(claim.text for claim in agreeing), *(f"but {claim.text}" for claim in against))
    return Owner(first.login, first.uid, confidence, first.rule, evidence, corroborated)


def _same(one: Claim, other: Claim) -> bool:
    if one.uid is not None and other.uid is not None:
        return one.uid == other.uid
    return one.login == other.login


def _container_claims(container: Container, snapshot: Snapshot, people: People) -> Iterator[Claim]:
    yield from _label_claims(container.labels, people)
    if container.cgroup:
        yield from _slice_claims(classify(container.cgroup), people)
    for engine in snapshot.engines:
        if engine.host == container.engine and engine.uid:
            yield _uid_claim(
                "engine", people.login(engine.uid), engine.uid, "certain", "run by the engine of"
            )
    if match := re.fullmatch(_NAME_WITH_UID, container.name):
        uid = int(match[1])
        login = people.login(uid)
        known: Confidence = "likely" if login != str(uid) else "guess"
        text = f"name {container.name} ends in uid {uid}"
        yield Claim("name", login, uid, known, text, is_written=True)
    yield from _folder_claims(container, snapshot.path_owners, people)


def _label_claims(labels: Mapping[str, str], people: People) -> Iterator[Claim]:
    for label in _OWNER_LABELS:
        login = labels.get(label)
        if login is None:
            continue
        if not re.fullmatch(_LOGIN, login):
            continue
        if people.exists(login):
            yield Claim(
                label, login, people.uid(login), "likely", f"label {label}={login}", is_written=True
            )
        else:
            text = f"label {label}={login} (no such user)"
            yield Claim(label, login, None, "guess", text, is_written=True)


def _slice_claims(place: Place, people: People) -> Iterator[Claim]:
    part = _slice_user(place)
    login = people.of_slice(part) if part else None
    if login:
        text = f"slice {place.slice}"
        # --cgroup-parent is the user's to choose, as a label is
        yield Claim("slice", login, people.uid(login), "likely", text, is_written=True)
    if place.uid is not None:
        text = f"below user {place.uid}'s slice, where systemd put it"
        yield Claim(
            "user slice", people.login(place.uid), place.uid, "certain", text, is_written=False
        )


def _slice_user(place: Place) -> str | None:
    match = re.fullmatch(_USER_SLICE, place.slice or "")
    return match[1] if match else None


def _folder_claims(
    container: Container, owners: Mapping[str, int], people: People
) -> Iterator[Claim]:
    folders = [
        (container.labels[label], rule)
        for label, rule in _FOLDER_LABELS
        if label in container.labels
    ]
    binds = [(mount.source, "bind mount") for mount in container.mounts if mount.type == "bind"]
    # the order of the rules: devcontainer folder, bind mount, compose working_dir
    ordered = [f for f in folders if f[1] == "devcontainer folder"] + binds
    ordered += [f for f in folders if f[1] == "compose working_dir"]
    for path, rule in ordered:
        uid = owners.get(path)
        if uid:
            login = people.login(uid)
            text = f"{rule} {path} ({login}, uid {uid})"
            yield Claim(rule, login, uid, "likely", text, is_written=False)


def _inside(processes: Sequence[Process], people: People) -> Iterator[Claim]:
    """Hear what the processes inside say: root there says nothing about a person."""
    for process in processes:
        outside_root = next(
            (outside for inside, outside, _ in process.uid_map if inside == 0), None
        )
        if outside_root and _is_person(outside_root, people):
            login = people.login(outside_root)
            text = f"root inside is {login} (uid {outside_root}) on the host"
            yield Claim("uid_map", login, outside_root, "likely", text, is_written=False)
        elif not process.uid_map and process.uid >= 1000:
            login = people.login(process.uid)
            text = f"pid {process.pid} runs as {login} (uid {process.uid})"
            yield Claim("user inside", login, process.uid, "likely", text, is_written=False)
        elif process.uid_map and _is_person(process.uid, people):
            login = people.login(process.uid)
            text = f"pid {process.pid} runs as {login} (uid {process.uid}) through uid_map"
            yield Claim("uid_map", login, process.uid, "likely", text, is_written=False)
    for process in processes:
        if process.loginuid:
            login = people.login(process.loginuid)
            yield _uid_claim(
                "loginuid", login, process.loginuid, "certain", "started from login of"
            )


def _is_person(uid: int, people: People) -> bool:
    """Tell a person's uid from one of a subordinate range, which has no name."""
    return uid >= 1000 and people.login(uid) != str(uid)


def _uid_claim(rule: str, login: str, uid: int, confidence: Confidence, verb: str) -> Claim:
    named = f"{login} (uid {uid})" if login != str(uid) else f"uid {uid} (no name)"
    return Claim(rule, login, uid, confidence, f"{verb} {named}", is_written=False)
