"""Local accounts, groups, owners of homes, and who is gone for certain."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ds01ctl.observe import users

UNUSED = 3_999_999_999
ALICE, BOB, DORA = 1001, 1002, 70001
PASSWD = """\
root:x:0:0:root:/root:/bin/bash
daemon:x:1:1::/:
nobody:x:65534:65534::/:
# a comment: carol:x:1003:1003
alice:x:1001:1001:Alice,,,:/home/alice:/bin/bash
alice:x:1009:1009:again:/home/alice:/bin/bash

malformed
short:x:1011
:x:1012:1012:no name:/:/
words:x:many:1013::/:
negative:x:-1:1014::/:
digits:x:1_015:1015::/:
arabic:x:\u0661\u0660\u0661\u0666:1016::/:
huge:x:4294967295:1017::/:
+@students::::::
+plus:x:1018:1018::/:
  bob:x:1002:3000::/home/bob:/bin/sh
second:x:1001:1001:shares a uid:/:/bin/sh
jo@uni.example:x:1004:1004::/:
ann lee:x:1005:1005::/:
bare:x:1006:1006"""
LOCAL = {
    "alice": ALICE,
    "bob": BOB,
    "second": ALICE,
    "jo@uni.example": 1004,
    "ann lee": 1005,
    "bare": 1006,
}
NAMES = {ALICE: "alice", BOB: "bob", 1004: "jo@uni.example", 1005: "ann lee", 1006: "bare"}
GROUP = """\
gpu:x:3000:alice, jo@uni.example,,
gpu:x:3001:second
empty:x:3002:
own:x:1001
broken:x:many:alice
+nis:::
"""
ONLY_LOCAL = "passwd: files systemd\n"
DIRECTORY = "passwd: files systemd sss\n"


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    """Account files of one machine, with no directory."""
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "passwd").write_text(PASSWD)
    (folder / "group").write_text(GROUP)
    (folder / "nsswitch.conf").write_text(ONLY_LOCAL)
    return folder


def read(etc: Path, uids: Any = (), logins: Any = (), **more: Any) -> users.UsersReading:
    options = {"home_dirs": [], "deadline_s": 5, "nsswitch": etc / "nsswitch.conf"}
    return users.read(uids, logins, (), **options | {"passwd": etc / "passwd"} | more)


ASK = """
import json, sys
from pathlib import Path
from ds01ctl.observe import users
etc, (uids, logins, groups), homes = Path(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3:]
told = users.read(
    uids, logins, [], deadline_s=2, home_dirs=homes, passwd=etc / "passwd", group=etc / "group",
    groups=groups, owners_of_homes=bool(homes), nsswitch=etc / "nsswitch.conf",
)
groups = {name: sorted(members) for name, members in told.groups.items()}
gone = sorted(told.gone, key=str)
reasons = [f"{gap.kind}: {gap.reason}" for gap in told.gaps]
print(json.dumps([list(told.users.values()), list(told.uids), gone, groups, reasons]))
"""


class Service:
    """Asks in a program of its own, where the name service is as a test wants it."""

    def __init__(self, library: Path, etc: Path) -> None:
        self._library = library
        self._etc = etc

    def ask(self, asked: Any, **world: str) -> tuple[Any, ...]:
        environment = os.environ | {"LD_PRELOAD": str(self._library)} | world
        argv = [sys.executable, "-c", ASK, str(self._etc), json.dumps(asked)]
        done = subprocess.run(
            argv, env=environment, capture_output=True, text=True, check=True, timeout=20
        )
        return tuple(json.loads(done.stdout))


@pytest.fixture
def service(hanging_nss: Path, etc: Path) -> Service:
    return Service(hanging_nss, etc)


# --- the local account file -------------------------------------------------------------------


def test_people_of_the_local_file_are_told_unasked(etc: Path) -> None:
    assert read(etc) == users.UsersReading(NAMES, LOCAL, {}, (), local=frozenset(LOCAL))


def test_what_is_asked_is_told_of_others_too(etc: Path) -> None:
    reading = read(etc, [0, ALICE], ["daemon", "alice", "second"])
    assert reading.users == NAMES | {0: "root"}
    assert reading.uids == LOCAL | {"daemon": 1}
    assert reading.local == frozenset(LOCAL)


def test_the_first_line_of_a_login_and_of_a_uid_wins(etc: Path) -> None:
    """As getpwnam(3) and getpwuid(3) have it, each for itself."""
    reading = read(etc, [ALICE, 1009], ["alice", "second"])
    assert (reading.users[ALICE], reading.users[1009]) == ("alice", "alice")
    assert (reading.uids["alice"], reading.uids["second"]) == (ALICE, ALICE)


def test_names_that_are_no_utf8_can_be_printed(etc: Path) -> None:
    (etc / "passwd").write_bytes(b"m\xfcller:x:1001:1001::/:\n")
    reading = read(etc, [ALICE])
    assert (reading.users, reading.local) == ({ALICE: "m?ller"}, {"m?ller"})


def test_only_the_file_is_asked_for_its_own(service: Service, etc: Path) -> None:
    """2,000 people: a name service that would hang for any of them is not asked."""
    lines = [f"user{uid}:x:{uid}:100::/:" for uid in range(2000, 4000)]
    (etc / "passwd").write_text("\n".join(lines))
    asked = [[*range(2000, 4000)], [f"user{uid}" for uid in range(2000, 4000)], []]
    told, uids, gone, _, gaps = service.ask(asked, HANG_UID="2500", HANG_NAME="user3000")
    assert (len(told), len(uids), gone, gaps) == (2000, 2000, [], [])


def test_without_the_file_the_name_service_is_asked(etc: Path) -> None:
    (etc / "passwd").unlink()
    reading = read(etc, [0, UNUSED], ["root", "no such login"])
    # and nobody is gone: what is local cannot be told from a directory's
    assert reading == users.UsersReading({0: "root"}, {"root": 0}, {}, ())


@pytest.mark.parametrize("name", ["passwd", "group"])
def test_a_file_that_cannot_be_read_is_a_gap(etc: Path, name: str) -> None:
    """Nobody is gone then if it is passwd; and either may name members of any group."""
    (etc / name).unlink()
    (etc / name).mkdir()
    reading = read(etc, [0, UNUSED], [], group=etc / "group", groups=["gpu"])
    assert reading.users[0] == "root"
    assert reading.groups == {}
    assert reading.gone == (frozenset() if name == "passwd" else {UNUSED})
    (gap,) = reading.gaps
    assert (gap.source, gap.kind) == ("users", "failed")
    assert gap.reason == f"cannot read {etc / name}: Is a directory"


def test_nothing_new_happens_unasked(etc: Path, tmp_path: Path) -> None:
    """As `detect` asks: no files, no homes, and nobody gone."""
    (tmp_path / "someone").mkdir()
    reading = users.read([0, UNUSED], ["x" * 40], [], deadline_s=5, home_dirs=[str(tmp_path)])
    assert reading == users.UsersReading({0: "root"}, {}, {}, ())
    script = (
        "import sys; from ds01ctl.observe import users\n"
        "users._look_up(users._Asked([0, 3999999999], ['x'], [], [], None, None, [], False, None),"
        " type('', (), {'tell': print, 'doing': print})())\n"
        "print({'ctypes', 'grp', 'ds01ctl.observe.ledger'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stderr == "set()\n"


# --- owners of homes --------------------------------------------------------------------------

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@needs_root
def test_owners_of_homes(etc: Path, tmp_path: Path) -> None:
    homes, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    for path, uid in (
        (homes, 0),
        (homes / "alice", ALICE),
        (homes / "second-of-alice", ALICE),
        (homes / "roots", 0),
        (homes / "roots/deeper", 1050),
        (homes / ".hidden", 1051),
        (homes / "lost+found", 1052),
        (homes / "moved-out", UNUSED),
        (elsewhere, 1053),
    ):
        path.mkdir()
        os.chown(path, uid, uid)
    (homes / "file").touch()
    os.chown(homes / "file", 1054, 1054)
    for name, target, uid in (
        ("by-root", elsewhere, 0),
        ("dangling", tmp_path / "nowhere", 0),
        ("by-bob", elsewhere, BOB),
        ("roots-file", homes / "file", 0),
    ):
        (homes / name).symlink_to(target)
        os.lchown(homes / name, uid, uid)
    reading = read(
        etc, home_dirs=[str(homes), str(tmp_path / "no such"), str(homes)], owners_of_homes=True
    )
    assert reading.home_uids == {ALICE, UNUSED, 1053}
    assert reading.gone == {UNUSED, 1053}
    assert reading.users == NAMES
    assert reading.gaps == ()
    # a list only where it is asked for
    assert read(etc, home_dirs=[str(homes)]).home_uids == frozenset()


def test_homes_that_cannot_be_listed_are_a_gap(etc: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loops").mkdir()
    (tmp_path / "loops/one").symlink_to("one")
    (tmp_path / "loops/two").symlink_to("two")
    dirs = [str(tmp_path / "file"), str(tmp_path / "loops")]
    reasons = [gap.reason for gap in read(etc, home_dirs=dirs, owners_of_homes=True).gaps]
    expected = [f"cannot list the homes in {dirs[0]}: Not a directory"]
    if os.geteuid() == 0:
        assert reasons[1].startswith(f"cannot find the owner of {dirs[1]}/")
        assert reasons[1].endswith(" and 1 more: Too many levels of symbolic links")
        assert len(reasons) == 2
    assert reasons[:1] == expected


# --- groups -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "members"),
    [
        # bob by his primary group; the second line of the name does not count
        ("gpu", {"alice", "jo@uni.example", "bob"}),
        ("empty", set()),
        ("own", {"alice", "second"}),
        ("broken", set()),
        ("+nis", set()),
        ("no such group", set()),
        ("", set()),
        ("a\0b", set()),
        # the machine's own, by the name service: the primary group of uid 0
        ("root", {"root"}),
    ],
)
def test_groups(etc: Path, name: str, members: set[str]) -> None:
    reading = read(etc, group=etc / "group", groups=[name])
    assert reading.groups == {name: members}
    assert reading.gaps == ()


def test_groups_without_any_file(etc: Path) -> None:
    reading = read(etc, [0], passwd=None, groups=["root", "no such group"])
    assert reading.groups == {"root": {"root"}, "no such group": frozenset()}


def test_a_directorys_group_is_united_with_the_local_one(service: Service) -> None:
    """The directory says dora; the file says two; bob and nobody else has its gid."""
    world = {"DIRECTORY_NAME": "dora", "DIRECTORY_UID": str(DORA), "DIRECTORY_GROUP": "gpu"}
    *_, groups, gaps = service.ask([[DORA], [], ["gpu"]], **world)
    assert groups == {"gpu": ["alice", "bob", "dora", "jo@uni.example"]}
    assert gaps == []


def test_a_primary_group_of_somebody_in_the_directory(service: Service, etc: Path) -> None:
    (etc / "group").write_text(f"course:x:{DORA}:\n")
    world = {"DIRECTORY_NAME": "dora", "DIRECTORY_UID": str(DORA)}
    *_, groups, _ = service.ask([[DORA], [], ["course"]], **world)
    assert groups == {"course": ["dora"]}


# --- gone -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("nsswitch", "is_believed"),
    [
        (ONLY_LOCAL, True),
        ("passwd:\tfiles [!UNAVAIL=return] mymachines # sss\ngroup: files sss\n", True),
        ("passwd: files [NOTFOUND=return] sss\n", False),
        (DIRECTORY, False),
        ("passwd: files\npasswd: files ldap\n", False),
        # "compat" may ask NIS: there is a line with a plus
        ("passwd: compat\n", False),
        ("passwd:\n", False),
        ("group: files\n", False),
        ("", False),
        (None, False),
    ],
)
def test_gone_where_there_is_no_directory(
    etc: Path, nsswitch: str | None, is_believed: bool
) -> None:
    (etc / "nsswitch.conf").unlink()
    if nsswitch is not None:
        (etc / "nsswitch.conf").write_text(nsswitch)
    reading = read(etc, [0, ALICE, UNUSED], ["alice", "no such login", "root"])
    assert reading.gone == ({UNUSED, "no such login"} if is_believed else frozenset())
    assert reading.gaps == ()


def test_compat_without_nis_is_local(etc: Path) -> None:
    (etc / "passwd").write_text("root:x:0:0::/:\n")
    (etc / "nsswitch.conf").write_text("passwd: compat\n")
    assert read(etc, [UNUSED]).gone == {UNUSED}


def test_what_cannot_be_a_user_is_not_gone(etc: Path) -> None:
    reading = read(etc, [-5, 2**32 - 1, 2**40], ["a\0b", "\ud800"])
    assert (reading.gone, reading.gaps) == (frozenset(), ())


@pytest.mark.parametrize(
    ("login", "uid", "is_alive"),
    [
        ("dora", DORA, True),
        ("dora", 1000, True),
        # what nss-systemd makes up, or is a system account
        ("dora", 999, False),
        ("dora", 61200, False),
        ("dora", 60001, False),
        ("nobody", 65534, False),
        ("vu-machine-7", 600000, False),
        # what the file has on a line that we read in another way than glibc
        ("words", 1013, False),
    ],
)
def test_gone_where_a_directory_gave_a_sign_of_life(
    service: Service, etc: Path, login: str, uid: int, is_alive: bool
) -> None:
    (etc / "nsswitch.conf").write_text(DIRECTORY)
    world = {"DIRECTORY_NAME": login, "DIRECTORY_UID": str(uid)}
    asked: list[Any] = [[UNUSED, uid], ["no such login"], []]
    *_, gone, _, gaps = service.ask(asked, **world)
    assert gone == ([UNUSED, "no such login"] if is_alive else [])
    assert gaps == []


@pytest.mark.parametrize(
    ("world", "gone", "gap"),
    [
        ({}, [UNUSED, "no such", "none such"], None),
        ({"FAIL_UID": str(UNUSED)}, ["no such", "none such"], f"uid {UNUSED}: Input/output error"),
        ({"FAIL_NAME": "no such"}, [UNUSED, "none such"], "'no such': Input/output error"),
        (
            {"FAIL_UID": str(UNUSED), "FAIL_NAME": "no such"},
            ["none such"],
            f"uid {UNUSED}: Input/output error; nor for 1 more",
        ),
    ],
)
def test_no_answer_is_not_gone(service: Service, world: Any, gone: Any, gap: str | None) -> None:
    asked: list[Any] = [[UNUSED], ["no such", "none such"], ["gpu"]]
    *_, found, groups, gaps = service.ask(asked, **world)
    assert found == gone
    assert gaps == ([f"failed: the name service gave no answer for {gap}"] if gap else [])
    assert list(groups) == ["gpu"]


def test_a_group_without_an_answer_has_no_entry(service: Service) -> None:
    *_, groups, gaps = service.ask([[], [], ["gpu", "own"]], FAIL_GROUP="gpu")
    assert groups == {"own": ["alice", "second"]}
    reason = "the name service gave no answer for the group 'gpu': Input/output error"
    assert gaps == [f"failed: {reason}"]


# --- what hangs -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("world", "gone", "groups", "doing"),
    [
        ({"HANG_UID": str(UNUSED)}, [UNUSED - 1], [], f"look up the name of uid {UNUSED}"),
        ({"HANG_NAME": "b"}, [UNUSED - 1, UNUSED, "a"], [], "look up the uid of 'b'"),
        (
            {"HANG_GROUP": "gpu"},
            [UNUSED - 1, UNUSED, "a", "b", "c"],
            ["empty"],
            "look up the group 'gpu'",
        ),
    ],
)
def test_what_came_before_the_hang_is_kept(
    service: Service, world: Any, gone: Any, groups: Any, doing: str
) -> None:
    asked = [[UNUSED, UNUSED - 1], ["a", "b", "c"], ["empty", "gpu", "own"]]
    told, _, found_gone, found_groups, gaps = service.ask(asked, **world)
    assert sorted(told) == sorted(NAMES.values())
    assert (found_gone, list(found_groups)) == (gone, groups)
    assert gaps == [f"failed: {doing}: no answer in 2 s; those after it were not made"]
