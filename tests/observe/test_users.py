"""Names and homes, also when the name service or a file system hangs."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from ds01ctl.observe import users

if TYPE_CHECKING:
    from pathlib import Path

NOBODY = pwd.getpwnam("nobody").pw_uid
NAMES = {"0": "root", str(NOBODY): "nobody"}
UNUSED = 3_999_999_999

ASK = """
import json, sys
from ds01ctl.observe import users
asked = json.loads(sys.argv[1])
reading = users.read(*asked, deadline_s=0.7, home_dirs=["/home"])
gaps = [[gap.source, gap.kind, gap.reason] for gap in reading.gaps]
print(json.dumps([reading.users, reading.uids, gaps]))
"""


def read(
    uids: Any = (), logins: Any = (), paths: Any = (), homes: Any = ("/home",)
) -> users.UsersReading:
    return users.read(uids, logins, paths, deadline_s=5, home_dirs=homes)


def test_names_both_ways() -> None:
    reading = read([0, NOBODY, 0], ["root", "nobody"])
    assert reading[:4] == ({0: "root", NOBODY: "nobody"}, {"root": 0, "nobody": NOBODY}, {}, ())


def test_the_owner_of_a_home_is_named(tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("only root makes others' folders")
    (tmp_path / "a/data").mkdir(parents=True)
    os.chown(tmp_path / "a", NOBODY, -1)
    path = str(tmp_path / "a/data")
    reading = read(paths=[path], homes=[str(tmp_path)])
    assert (reading.path_owners, reading.users) == ({path: NOBODY}, {NOBODY: "nobody"})


def test_without_entry_is_absent() -> None:
    hostile = ["no such login", "a\0b", "\ud800", "", "x" * 5000, "-rf"]
    assert read([UNUSED, 2**40, -5], hostile) == users.UsersReading({}, {}, {}, ())


def test_nothing_asked_needs_no_child() -> None:
    # a fork in a process that may not fork would raise
    script = (
        "import resource; from ds01ctl.observe import users\n"
        "import os; os.setuid(65534) if os.geteuid() == 0 else None\n"
        "resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))\n"
        "print(users.read([], [], [], deadline_s=1, home_dirs=['/home']).gaps)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.stdout == "()\n", done.stderr


@pytest.mark.parametrize(
    ("hanging", "names", "uids", "told"),
    [
        (
            {"HANG_UID": str(NOBODY)},
            {"0": "root"},
            {},
            f"look up the name of uid {NOBODY}: no answer",
        ),
        ({"HANG_NAME": "nobody"}, NAMES, {}, "look up the uid of 'nobody': no"),
        ({}, NAMES, {"nobody": NOBODY, "root": 0}, None),
    ],
)
def test_hanging_name_service(
    hanging_nss: Path, hanging: dict[str, str], names: Any, uids: Any, told: str | None
) -> None:
    environment = os.environ | {"LD_PRELOAD": str(hanging_nss)} | hanging
    asked = json.dumps([[0, NOBODY], ["nobody", "root"], []])
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", ASK, asked],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    assert time.monotonic() - started < 10
    found_names, found_uids, gaps = json.loads(done.stdout)
    assert (found_names, found_uids) == (names, uids)
    assert [gap[:2] for gap in gaps] == ([["users", "failed"]] if told else [])
    assert not told or told in gaps[0][2]


# --- who owns a home --------------------------------------------------------------------------

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture
def homes(tmp_path: Path) -> Path:
    """Homes of 1001 and, two folders below, of 1002; a folder of root's; links."""
    for path, uid in (
        ("alice", 1001),
        ("alice/sub", 1002),
        ("students", 0),
        ("students/2026", 0),
        ("students/2026/bob", 1002),
        ("students/2026/deep", 0),
        ("students/2026/deep/carol", 1003),
    ):
        (tmp_path / path).mkdir()
        os.chown(tmp_path / path, uid, uid)
    (tmp_path / "moved").symlink_to("alice")
    (tmp_path / "trick").symlink_to("students/2026/bob")
    os.lchown(tmp_path / "trick", 1001, 1001)
    return tmp_path


@needs_root
@pytest.mark.parametrize(
    ("path", "owner"),
    [
        ("alice", 1001),
        ("alice/", 1001),
        ("alice/sub/deep/er", 1001),
        ("students/2026/bob/data", 1002),
        # root made this link; 1001 made the next
        ("moved/data", 1001),
        ("trick/data", 1001),
        # nothing, root's, too deep, out of it, not there
        ("", None),
        ("students", None),
        ("students/2026/deep/carol", None),
        ("alice/../students/2026/bob", None),
        ("ghost/data", None),
        ("a\0b", None),
        ("x" * 5000, None),
    ],
)
def test_home_owner(homes: Path, path: str, owner: int | None) -> None:
    asked = f"{homes}/{path}"
    expected = {} if owner is None else {asked: owner}
    assert read(paths=[asked], homes=[str(homes)]).path_owners == expected


@needs_root
@pytest.mark.parametrize("path", ["/etc/passwd", "relative/alice", "", "/"])
def test_only_below_a_home_directory(homes: Path, path: str) -> None:
    assert read(paths=[path, f"{homes}-other/alice"], homes=[str(homes)]).path_owners == {}
