"""Who owns a container or a process: every rule, their order, and what contradicts them."""

import pytest

from ds01ctl.core.cgroup_path import classify
from ds01ctl.core.model import Container, Mount, Process, Snapshot
from ds01ctl.core.owner import (
    UNKNOWN,
    People,
    logins_to_ask,
    owner_of_container,
    owner_of_process,
    paths_to_ask,
    uids_to_ask,
)

from .worlds import ALICE, BOB, A, container, managed, process, replace, session, slice_of, world

HOST = world(path_owners={"/home/alice/p": ALICE, "/home/bob": BOB, "/home/bob/c": BOB})
BIND_BOB = (Mount("bind", "/home/bob", "/w"),)

TABLE = [
    # rule by rule
    (container(labels={"ds01.user": "alice"}), (), ("alice", ALICE, "ds01.user", "likely")),
    (container(labels={"aime.mlc.USER": "alice"}), (), ("alice", ALICE, "aime.mlc.USER", "likely")),
    (container(labels={"aime.mlc": "alice"}), (), ("alice", ALICE, "aime.mlc", "likely")),
    (container(parent=slice_of("alice")), (), ("alice", ALICE, "slice", "likely")),
    (container(parent=slice_of(f"u{BOB}")), (), ("bob", BOB, "slice", "likely")),
    (container(name=f"torch._.{ALICE}"), (), ("alice", ALICE, "name", "likely")),
    (container(name="torch._.4242"), (), ("4242", 4242, "name", "guess")),
    (
        container(labels={"devcontainer.local_folder": "/home/alice/p"}),
        (),
        ("alice", ALICE, "devcontainer folder", "likely"),
    ),
    (container(mounts=BIND_BOB), (), ("bob", BOB, "bind mount", "likely")),
    (
        container(labels={"com.docker.compose.project.working_dir": "/home/bob/c"}),
        (),
        ("bob", BOB, "compose working_dir", "likely"),
    ),
    (container(), (process(uid=BOB),), ("bob", BOB, "user inside", "guess")),
    (
        container(),
        (process(uid=166535, uid_map=((0, ALICE, 1), (1, 165536, 65536))),),
        ("alice", ALICE, "uid_map", "certain"),
    ),
    (container(), (process(uid=0, loginuid=ALICE),), ("alice", ALICE, "loginuid", "certain")),
    # root inside, or a remapped range, says nothing
    (container(), (process(uid=0),), (None, None, "none", "guess")),
    (
        container(),
        (process(uid=101000, uid_map=((0, 100000, 65536),)),),
        (None, None, "none", "guess"),
    ),
    # a volume is not a home; a folder whose owner is not known says nothing
    (container(mounts=(Mount("volume", "/home/bob", "/w"),)), (), (None, None, "none", "guess")),
    (container(mounts=(Mount("bind", "/home/eve", "/w"),)), (), (None, None, "none", "guess")),
    # words never add up; the kernel's word makes certain; files that contradict make a guess
    (managed("alice"), (), ("alice", ALICE, "ds01.user", "likely")),
    (
        container(labels={"ds01.user": "alice", "aime.mlc.USER": "alice"}, mounts=BIND_BOB),
        (),
        ("alice", ALICE, "ds01.user", "guess"),
    ),
    (
        container(labels={"ds01.user": "bob"}),
        (process(uid=0, loginuid=BOB),),
        ("bob", BOB, "ds01.user", "certain"),
    ),
    (
        container(labels={"ds01.user": "bob"}),
        (process(uid=0, loginuid=ALICE),),
        ("alice", ALICE, "loginuid", "certain"),
    ),
    (
        container(mounts=BIND_BOB),
        (process(uid=0, loginuid=ALICE),),
        ("alice", ALICE, "loginuid", "certain"),
    ),
    (
        container(mounts=(*BIND_BOB, Mount("bind", "/home/alice/p", "/p"))),
        (),
        ("bob", BOB, "bind mount", "guess"),
    ),
    # the platform's slice counts only where systemd keeps it
    (
        container(cgroup=f"/user.slice/user-{ALICE}.slice/{slice_of('bob')}/docker-{A}.scope"),
        (),
        ("alice", ALICE, "user slice", "likely"),
    ),
    (
        container(labels={"ds01.user": "root"}, mounts=BIND_BOB),
        (),
        ("root", 0, "ds01.user", "guess"),
    ),
    # a login that does not exist holds only when nothing else does
    (
        container(labels={"ds01.user": "nobody-here"}, mounts=BIND_BOB),
        (),
        ("bob", BOB, "bind mount", "likely"),
    ),
    (
        container(labels={"ds01.user": "gone"}),
        (),
        ("gone", None, "ds01.user", "guess"),
    ),
    # what is no login names nobody
    (container(labels={"ds01.user": "a b"}), (), (None, None, "none", "guess")),
    (container(labels={"ds01.user": "x\x1b[31m"}), (), (None, None, "none", "guess")),
    (container(labels={"ds01.user": "x" * 4096}), (), (None, None, "none", "guess")),
]


@pytest.mark.parametrize(("one", "inside", "expected"), TABLE)
def test_container(
    one: Container, inside: tuple[Process, ...], expected: tuple[object, ...]
) -> None:
    """The first rule that holds names the owner."""
    owner = owner_of_container(one, inside, HOST, People(HOST))
    assert (owner.login, owner.uid, owner.rule, owner.confidence) == expected
    assert owner.evidence


def test_contradiction_is_part_of_the_evidence() -> None:
    """Both the label's owner and the likely real one are named, each with its reason."""
    made_with_sudo = container(labels={"ds01.user": "root"}, mounts=BIND_BOB)
    owner = owner_of_container(made_with_sudo, (), HOST, People(HOST))
    assert owner.evidence == (
        "label ds01.user=root",
        "but bind mount /home/bob (bob, uid 1002)",
    )
    assert not owner.corroborated


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (process(), ("alice", "user slice")),
        (process(uid=0, cgroup="/system.slice/x.service", loginuid=ALICE), ("alice", "loginuid")),
        (process(uid=BOB, cgroup="/system.slice/x.service"), ("bob", "real uid")),
        (process(uid=4711, cgroup="/system.slice/x.service"), ("4711", "real uid")),
        # a slice of the platform's name below one's own user manager is one's own doing
        (
            process(
                cgroup=f"/user.slice/user-{ALICE}.slice/user@{ALICE}.service/{slice_of('bob')}/r.service"
            ),
            ("alice", "user slice"),
        ),
        # su leaves a process in the slice of the one who logged in
        (process(uid=BOB, cgroup=session(ALICE), loginuid=ALICE), ("alice", "user slice")),
    ],
)
def test_process(one: Process, expected: tuple[str, str]) -> None:
    """A host process belongs to whoever logged in, else to its uid."""
    owner = owner_of_process(one, classify(one.cgroup or "/"), People(HOST))
    assert (owner.login, owner.rule) == expected
    assert owner.corroborated


def test_sudo_shows_both() -> None:
    """A process as root out of alice's login is hers, and says that it runs as root."""
    one = process(uid=0, cgroup=session(ALICE), loginuid=ALICE)
    owner = owner_of_process(one, classify(one.cgroup or "/"), People(HOST))
    assert owner.login == "alice"
    assert owner.evidence[-1] == "but runs as root (uid 0)"


@pytest.mark.parametrize(
    ("logins", "part", "expected"),
    [
        ({"a.b@uni": 7}, "a_b", "a.b@uni"),
        ({"a.b@uni": 7, "a-b": 8}, "a_b", None),
        ({"1234@x": 7}, "1234", "1234@x"),
        ({}, "nobody", None),
    ],
)
def test_slice_names_one_person_or_nobody(
    logins: dict[str, int], part: str, expected: str | None
) -> None:
    """A sanitised name that two people share names neither."""
    host = replace(HOST, users={}, uids=logins)
    one = container(parent=slice_of(part))
    owner = owner_of_container(one, (), host, People(host))
    assert owner.login == expected


def test_names_that_cannot_be_asked_get_the_benefit_of_the_doubt() -> None:
    """While the name service is silent a label is taken at its word, as likely as ever."""
    silent: Snapshot = world(users={}, uids={}, gaps=("users",))
    owner = owner_of_container(container(labels={"ds01.user": "carol"}), (), silent, People(silent))
    assert (owner.login, owner.confidence) == ("carol", "likely")


def test_what_to_ask() -> None:
    """Only claimed logins and paths below a home are looked up."""
    one = container(
        labels={"ds01.user": "alice", "devcontainer.local_folder": "/home/alice/p"},
        parent=slice_of("bob"),
        mounts=(
            Mount("bind", "/home/bob/x", "/x"),
            Mount("bind", "/etc", "/e"),
            Mount("bind", "/homework/x", "/h"),
            Mount("volume", "/home/vol", "/v"),
        ),
    )
    assert logins_to_ask(one) == {"alice", "bob"}
    assert paths_to_ask(one, ("/home",)) == {"/home/alice/p", "/home/bob/x"}
    assert paths_to_ask(one, ()) == set()


def test_nothing_known_is_said_plainly() -> None:
    """No claim, no owner."""
    assert owner_of_container(container(A), (), HOST, People(HOST)) == UNKNOWN


@pytest.mark.parametrize(
    ("name", "expected"), [("back._.1001", {1001}), ("back", set()), ("back._.alice", set())]
)
def test_the_uid_in_a_name_is_asked_for(name, expected):
    assert uids_to_ask(container()._replace(name=name)) == expected
