"""Name the person behind a container or a process, and say how that is known.

Every rule that says something is heard; the first one that holds wins, and those that
contradict it are part of the evidence. What a container's maker writes freely (labels, names, the
uid inside, the parent of its control group) may name an owner, but it never adds up to certainty,
and nobody is exempted on its word.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from ds01ctl.core.cgroup_path import classify, is_below
from ds01ctl.core.policy import canonical
from ds01ctl.core.record import NamedTuple
from ds01ctl.core.slice_names import keyed_uid, user_part

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ds01ctl.core.cgroup_path import Place
    from ds01ctl.core.model import Container, Process, Snapshot

Confidence = Literal["certain", "likely", "guess"]

WORD, TRACE, FILES, KERNEL = range(4)
"""How much a claim weighs: written freely; written, and it names a folder or slice that fits;
somebody's files are mounted; the kernel or systemd says so."""

_OWNER_LABELS = ("ds01.user", "aime.mlc.USER", "aime.mlc")
_FOLDER_LABELS = (
    ("devcontainer.local_folder", "devcontainer folder"),
    ("com.docker.compose.project.working_dir", "compose working_dir"),
)
_LOGIN = r"[^\s/:\x00-\x1f\x7f]{1,256}"
_NAME_WITH_UID = r".+\._\.(\d{1,10})"


class Owner(NamedTuple):
    """Who a workload belongs to; ``login`` is a number where the uid has no name."""

    login: str | None
    uid: int | None
    confidence: Confidence
    rule: str
    """The rule that named the owner: ``ds01.user``, ``bind mount``, ``real uid``, …"""
    evidence: tuple[str, ...]
    weight: int = WORD
    """The heaviest claim that agrees."""
    corroborated: bool = False
    """More than words say so, and nothing of weight says otherwise: an exemption may count."""
    is_unnamed: bool = False
    """Something names a uid or a login that is not known now; a directory may be down."""


UNKNOWN = Owner(None, None, "guess", "none", ("nothing names an owner",))


class Claim(NamedTuple):
    """What one rule says."""

    rule: str
    login: str
    uid: int | None
    confidence: Confidence
    text: str
    weight: int


class People:
    """The names that are known: the name service's answers, and the policy's roster."""

    def __init__(
        self, snapshot: Snapshot, roster: Iterable[str] = (), slice_name: str = "ds01.slice"
    ) -> None:
        self.slice_name = slice_name
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

    def in_slice(self, cgroup: str, place: Place) -> str | None:
        """Read the user part of the platform's slice that a control group is in."""
        if not is_below(cgroup, self.slice_name):
            return None
        return user_part(place.slice or "", self.slice_name)

    def of_slice(self, part: str) -> str | None:
        """Find the one login that the user part of a slice name stands for."""
        if (uid := keyed_uid(part)) is not None:
            return self.login(uid)
        logins = self._by_canonical.get(part, set())
        return next(iter(logins)) if len(logins) == 1 else None


def logins_to_ask(container: Container) -> set[str]:
    """Collect the logins that a container's labels and slice claim, for the name service."""
    claimed = {container.labels.get(label, "") for label in _OWNER_LABELS}
    if container.cgroup:
        last = (classify(container.cgroup).slice or "").removesuffix(".slice")
        claimed.add(last.rpartition("-")[2])
    return {login for login in claimed if re.fullmatch(_LOGIN, login)}


def uids_to_ask(container: Container) -> set[int]:
    """Collect the uid that a container's name claims, for the name service."""
    match = re.fullmatch(_NAME_WITH_UID, container.name)
    return {int(match[1])} if match else set()


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
    return _settle([*_user_slice_claims(place, people), *_inside(processes, people)])


def owner_of_process(process: Process, place: Place, people: People) -> Owner:
    """Name the owner of a process on the host: who logged in, else as whom it runs."""
    claims = list(_user_slice_claims(place, people))
    if process.loginuid is not None:
        claims.append(_kernel_claim("loginuid", process.loginuid, "logged in as", people))
    claims.append(_kernel_claim("real uid", process.uid, "runs as", people))
    return _settle(claims)


def _settle(claims: Sequence[Claim]) -> Owner:
    """Let the first claim that holds win, and keep what contradicts it."""
    claims = list({(claim.rule, claim.login): claim for claim in reversed(claims)}.values())[::-1]
    if not claims:
        return UNKNOWN
    first = _first_that_holds(claims)
    agreeing = [claim for claim in claims if _same(claim, first)]
    against = [claim for claim in claims if not _same(claim, first)]
    weight = max(claim.weight for claim in agreeing)
    contradiction = max((claim.weight for claim in against), default=WORD)
    confidence = first.confidence
    if weight == KERNEL:
        confidence = "certain"
    elif contradiction >= FILES:
        confidence = "guess"
    corroborated = weight == KERNEL or (weight == FILES and contradiction < TRACE)
    evidence = (*(claim.text for claim in agreeing), *(f"but {claim.text}" for claim in against))
    unnamed = any(one.uid is None or one.login == str(one.uid) for one in claims)
    named = (first.login, first.uid, confidence, first.rule, evidence)
    return Owner(*named, weight, corroborated, unnamed)


def _first_that_holds(claims: Sequence[Claim]) -> Claim:
    """Pick the first claim that is no guess; what the kernel says stands above all words."""
    first = next((claim for claim in claims if claim.confidence != "guess"), claims[0])
    certain = next((claim for claim in claims if claim.weight == KERNEL), first)
    return first if _same(first, certain) else certain


def _same(one: Claim, other: Claim) -> bool:
    if one.uid is not None and other.uid is not None:
        return one.uid == other.uid
    return one.login == other.login


def _container_claims(container: Container, snapshot: Snapshot, people: People) -> Iterator[Claim]:
    yield from _label_claims(container.labels, people)
    parent = container.config.cgroup_parent if container.config else ""
    if container.cgroup:
        yield from _platform_slice_claims(container.cgroup, people)
        is_users_own = any(e.host == container.engine and e.uid for e in snapshot.engines)
        place = classify(container.cgroup)
        if is_users_own:
            yield from _user_slice_claims(place, people)
        elif place.uid is not None:
            # of the host's engine: systemd put it where --cgroup-parent said
            text = f"runs below user {place.uid}'s slice"
            uid = place.uid
            yield Claim("user slice", people.login(uid), uid, "likely", text, TRACE)
    elif parent:
        # a stopped container has no control group: where it was made to run
        yield from _platform_slice_claims(f"/{people.slice_name}/{parent}", people)
    for engine in snapshot.engines:
        if engine.host == container.engine and engine.uid:
            yield _kernel_claim("engine", engine.uid, "run by the engine of", people)
    if match := re.fullmatch(_NAME_WITH_UID, container.name):
        uid = int(match[1])
        login = people.login(uid)
        known: Confidence = "likely" if login != str(uid) else "guess"
        yield Claim("name", login, uid, known, f"name {container.name} ends in uid {uid}", WORD)
    yield from _folder_claims(container, snapshot.path_owners, people)


def _label_claims(labels: Mapping[str, str], people: People) -> Iterator[Claim]:
    for label in _OWNER_LABELS:
        login = labels.get(label)
        if login is None or not re.fullmatch(_LOGIN, login):
            continue
        if people.exists(login):
            yield Claim(label, login, people.uid(login), "likely", f"label {label}={login}", WORD)
        else:
            text = f"label {label}={login} (no such user)"
            yield Claim(label, login, None, "guess", text, WORD)


def _platform_slice_claims(cgroup: str, people: People) -> Iterator[Claim]:
    """Hear the platform's slice, which --cgroup-parent can name as freely as a label."""
    place = classify(cgroup)
    part = people.in_slice(cgroup, place)
    login = people.of_slice(part) if part else None
    if login:
        yield Claim("slice", login, people.uid(login), "likely", f"slice {place.slice}", TRACE)


def _user_slice_claims(place: Place, people: People) -> Iterator[Claim]:
    if place.uid is not None:
        text = f"below user {place.uid}'s slice, where systemd put it"
        yield Claim("user slice", people.login(place.uid), place.uid, "certain", text, KERNEL)


def _folder_claims(
    container: Container, owners: Mapping[str, int], people: People
) -> Iterator[Claim]:
    """Hear the owners of folders, in the order devcontainer folder, bind mount, compose folder."""
    labels = container.labels
    (devcontainer, first), (compose, last) = _FOLDER_LABELS
    binds = [mount.source for mount in container.mounts if mount.type == "bind"]
    named = [(labels.get(devcontainer, ""), first, TRACE)]
    named += [(source, "bind mount", FILES) for source in binds]
    named += [(labels.get(compose, ""), last, TRACE)]
    for path, rule, weight in named:
        uid = owners.get(path)
        if uid:
            login = people.login(uid)
            yield Claim(rule, login, uid, "likely", f"{rule} {path} ({login}, uid {uid})", weight)


def _inside(processes: Sequence[Process], people: People) -> Iterator[Claim]:
    """Hear what the processes inside say: root there says nothing about a person."""
    for process in processes:
        yield from _uid_inside(process, people)
    for process in processes:
        if process.loginuid:
            yield _kernel_claim("loginuid", process.loginuid, "started from login of", people)


def _uid_inside(process: Process, people: People) -> Iterator[Claim]:
    """Hear the uid of a process inside, translated by its uid_map where it has one."""
    if not process.uid_map:
        # --user and an image's own user are free to choose: many images run as 1000
        if process.uid >= 1000:
            login = people.login(process.uid)
            text = f"pid {process.pid} runs as {login} (uid {process.uid})"
            yield Claim("user inside", login, process.uid, "guess", text, WORD)
        return
    root = next((outside for inside, outside, _ in process.uid_map if inside == 0), None)
    if root and _is_person(root, people):
        yield _kernel_claim("uid_map", root, "root inside is", people)
    elif _is_person(process.uid, people):
        yield _kernel_claim("uid_map", process.uid, "through uid_map runs as", people)


def _is_person(uid: int, people: People) -> bool:
    """Tell a person's uid from one of a subordinate range, which has no name."""
    return uid >= 1000 and people.login(uid) != str(uid)


def _kernel_claim(rule: str, uid: int, verb: str, people: People) -> Claim:
    login = people.login(uid)
    named = f"{login} (uid {uid})" if login != str(uid) else f"uid {uid} (no name)"
    return Claim(rule, login, uid, "certain", f"{verb} {named}", KERNEL)
