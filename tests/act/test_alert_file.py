"""The file of warnings in a user's own folder, with everything that a user can put in its place."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from ds01ctl.act import alert_file
from ds01ctl.act.alert_file import MOST_BYTES, NAME
from ds01ctl.errors import Ds01Error

ME = os.geteuid()
ALICE = 51001 if ME == 0 else ME


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """The work folder of a user, below folders of root's."""
    tmp_path.chmod(0o755)
    folder = tmp_path / "home/alice/work"
    folder.mkdir(parents=True)
    for one in (folder, folder.parent):
        os.chown(one, ALICE, ALICE if ME == 0 else -1)
    return folder


def append(root: Path, text: str = "a warning\n", folder: str = "/home/alice/work") -> str | None:
    try:
        alert_file.append(folder, ALICE, text, root)
    except Ds01Error as error:
        return error.message
    return None


def test_begun_and_appended(tmp_path: Path, work: Path) -> None:
    """It is the user's own file, and they may read, write and remove it."""
    assert append(tmp_path, "one\n") is None
    assert append(tmp_path, "two\n", "/home/alice/work/") is None
    file = work / NAME
    status = file.stat()
    assert file.read_text() == "one\ntwo\n"
    assert (status.st_uid, stat.S_IMODE(status.st_mode), status.st_nlink) == (ALICE, 0o644, 1)
    assert [one.name for one in work.iterdir()] == [NAME]


def test_this_thread_is_itself_again(tmp_path: Path, work: Path) -> None:
    """What is written afterwards is root's."""
    append(tmp_path)
    (tmp_path / "mine").write_text("")
    assert (tmp_path / "mine").stat().st_uid == ME


def test_begun_anew_when_full(tmp_path: Path, work: Path) -> None:
    """It never passes its size, whatever is in it; the newest warning is there."""
    for number in range(100):
        assert append(tmp_path, f"{number}: {'x' * 2000}\n") is None
        assert (work / NAME).stat().st_size <= MOST_BYTES
    assert (work / NAME).read_text().endswith(f"99: {'x' * 2000}\n")
    (work / NAME).write_bytes(b"y" * (5 << 20))
    assert append(tmp_path, "new\n") is None
    assert (work / NAME).read_text() == "new\n"


def test_a_huge_text(tmp_path: Path, work: Path) -> None:
    assert append(tmp_path, "x" * (1 << 20)) is None
    assert (work / NAME).stat().st_size == MOST_BYTES


def link_to(target: str) -> Callable[[Path, Path], None]:
    return lambda file, _: file.symlink_to(target)


def hard_link(file: Path, victim: Path) -> None:
    file.hardlink_to(victim)


def own_hard_link(file: Path, victim: Path) -> None:
    other = file.with_name("notes")
    other.write_text("as it was")
    os.chown(other, ALICE, -1)
    file.hardlink_to(other)


def roots_file(file: Path, victim: Path) -> None:
    file.write_text("as it was")
    os.chown(file, ME + 7 if ME == 0 else ME, -1)


def pipe_with_reader(file: Path, victim: Path) -> None:
    os.mkfifo(file)
    os.open(file, os.O_RDONLY | os.O_NONBLOCK)


def a_socket(file: Path, victim: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        here = Path.cwd()
        os.chdir(file.parent)
        try:
            made.bind(file.name)
        finally:
            os.chdir(here)


TRICKS = {
    "a link": lambda file, victim: file.symlink_to(victim),
    "a link to nowhere": lambda file, victim: file.symlink_to(victim.with_name("new")),
    "a hard link to another's file": hard_link,
    "a hard link to a file of theirs": own_hard_link,
    "a pipe": lambda file, victim: os.mkfifo(file),
    "a pipe that is read": pipe_with_reader,
    "a socket": a_socket,
    "a folder": lambda file, victim: file.mkdir(),
    "a device": link_to("/dev/null"),
    "another's file": roots_file,
}


@pytest.mark.parametrize("trick", TRICKS.values(), ids=TRICKS.keys())
def test_what_lies_in_its_place(
    tmp_path: Path, work: Path, trick: Callable[[Path, Path], None]
) -> None:
    """Nothing but a plain file of the owner's is written to; nobody else's file is touched."""
    if ME and trick is roots_file:
        pytest.skip("needs root")
    victim = tmp_path / "victim"
    victim.write_text("as it was")
    trick(work / NAME, victim)
    before = (work / NAME).lstat()
    assert append(tmp_path)
    after = (work / NAME).lstat()
    assert (before.st_ino, before.st_size) == (after.st_ino, after.st_size)
    assert victim.read_text() == "as it was"
    assert not (tmp_path / "new").exists()


def test_a_link_on_the_way(tmp_path: Path, work: Path) -> None:
    """A user's link leads nowhere, though the folder behind it is theirs."""
    link = work.parent / "link"
    link.symlink_to("work")
    os.chown(link, ALICE, -1, follow_symlinks=False)
    assert "a link" in str(append(tmp_path, folder="/home/alice/link"))
    assert not (work / NAME).exists()


@pytest.mark.skipif(ME != 0, reason="root's link must be root's")
@pytest.mark.parametrize("target", ["/home", "home"])
def test_a_link_of_roots(tmp_path: Path, work: Path, target: str) -> None:
    """The machine's /home may lie elsewhere; a link of root's is followed below the root."""
    (tmp_path / "homes").symlink_to(target)
    assert append(tmp_path, folder="/homes/alice/work") is None
    assert (work / NAME).exists()


@pytest.mark.skipif(ME != 0, reason="root's link must be root's")
def test_a_link_in_a_folder_for_all(tmp_path: Path, work: Path) -> None:
    """In a folder that others write to a link is not root's word, and a ring of links ends."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    (shared / "home").symlink_to("/home")
    assert "a link" in str(append(tmp_path, folder="/shared/home/alice/work"))
    (tmp_path / "one").symlink_to("/two")
    (tmp_path / "two").symlink_to("/one")
    assert "a link" in str(append(tmp_path, folder="/one/work"))


@pytest.mark.parametrize(
    ("folder", "said"),
    [
        ("/home/alice/../../etc", "a link"),
        ("/home/alice/none", "is not there"),
        ("/home/alice/work\0", "a link"),
        ("/home/alice/\ud800", "is no path"),
        ("/home", "is the folder of uid"),
        ("/", "is the folder of uid"),
    ],
)
def test_other_folders(tmp_path: Path, work: Path, folder: str, said: str) -> None:
    """A label may name any folder: only one that is the user's is written to."""
    if ME and "uid" in said:
        pytest.skip("everything here is the user's own")
    assert said in str(append(tmp_path, folder=folder))
    assert not list(tmp_path.rglob(NAME))


def test_a_folder_that_is_read_only(tmp_path: Path, work: Path) -> None:
    """To be the user to the kernel is to be refused what they are, and it is said."""
    work.chmod(0o555)
    assert "may not be written" in str(append(tmp_path))
    assert not list(work.iterdir())
