"""Keep files of users on real folders: whose they are, how old, and what else may lie there."""

from __future__ import annotations

import os
import stat
import subprocess
import time
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest

from ds01ctl.core.cleanup_model import Clock, Keep
from ds01ctl.core.model import Container, Mount
from ds01ctl.observe import keep_files
from ds01ctl.paths import Paths

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ALICE, BOB = 4001, 4002
ID = "ab" * 32
NOW = datetime.now(timezone.utc)
CLOCK = Clock(NOW, "boot", 1000.0)
DAY = timedelta(hours=24)
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to others")


def container(*mounts: Mount, name: str = "train", **labels: str) -> Container:
    return Container("unix:///x", ID, name, "image", "running", None, labels, mounts)


def bind(source: str, destination: str = "/workspace") -> Mount:
    return Mount("bind", source, destination)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """A host with Alice's home, and a work folder of hers in it."""
    for folder in ("home/alice", "home/alice/work"):
        (tmp_path / folder).mkdir(parents=True)
        os.chown(tmp_path / folder, ALICE, ALICE)
    return Paths(tmp_path)


def touch(paths: Paths, name: str, uid: int = ALICE, age: timedelta = timedelta(hours=1)) -> Path:
    file = paths.under(name)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    os.chown(file, uid, uid)
    at = (NOW - age).timestamp()
    os.utime(file, (at, at))
    return file


def read(paths: Paths, *containers: Container, max_age: timedelta | None = DAY) -> tuple[Keep, ...]:
    owners = {one.id: ALICE for one in containers}
    homes = {ALICE: ["/home/alice"]}
    return keep_files.read(containers, owners, homes, paths, CLOCK, max_age)


WORK = "/home/alice/work"
KEEP = f"{WORK}/.keep-alive"
HELD = Keep(ID, NOW - timedelta(hours=1) + DAY, KEEP, since=NOW - timedelta(hours=1))


@pytest.mark.parametrize(
    "one",
    [
        container(bind(WORK)),
        container(bind(WORK, "/elsewhere")),
        container(bind(WORK, "/elsewhere"), **{"ds01.workspace": WORK}),
        container(bind("/data"), bind(WORK, "/code")),
    ],
    ids=["workspace", "own folder", "label", "second mount"],
)
def test_a_file_in_the_workspace_keeps(paths: Paths, one: Container) -> None:
    touch(paths, KEEP)
    assert read(paths, one) == (HELD,)


def test_a_file_in_the_home_keeps_by_name(paths: Paths) -> None:
    file = "/home/alice/.ds01/keep/train"
    touch(paths, file)
    assert read(paths, container()) == (HELD._replace(by=file),)
    assert read(paths, container(name="other")) == ()


@pytest.mark.parametrize("name", ["", ".", "..", "../keep/train", "a/b", "a\0b", "x" * 300])
def test_hostile_names_of_containers(paths: Paths, name: str) -> None:
    touch(paths, "/home/alice/.ds01/keep/train")
    assert read(paths, container(name=name)) == ()


@pytest.mark.parametrize(
    ("source", "destination", "labels", "uid", "folder_uid"),
    [
        # a folder of Bob's that was mounted as the workspace, with his own file
        ("/shared", "/workspace", {}, BOB, BOB),
        ("/shared", "/workspace", {}, 0, BOB),
        # Alice may not put her file in just any folder and mount that somewhere
        ("/shared", "/elsewhere", {}, ALICE, BOB),
        ("/shared", "/elsewhere", {"ds01.workspace": "/other"}, ALICE, BOB),
    ],
)
def test_another_ones_file_does_not_keep(
    paths: Paths, source: str, destination: str, labels: dict[str, str], uid: int, folder_uid: int
) -> None:
    touch(paths, f"{source}/.keep-alive", uid=uid)
    os.chown(paths.under(source), folder_uid, folder_uid)
    (keep,) = read(paths, container(bind(source, destination), **labels)) or (None,)
    # no file of another's keeps; a workspace that is another's is told, and in doubt it holds
    assert keep is None or keep.is_doubt
    assert (keep is not None) == (destination == "/workspace")


def test_a_workspace_of_another_ones(paths: Paths) -> None:
    """It is told, with or without a file; who is surely the owner is no matter of folders."""
    folder = paths.under("/data/bob")
    folder.mkdir(parents=True)
    os.chown(folder, BOB, BOB)
    one = container(bind("/data/bob"))
    problem = f"it is uid {BOB}'s, and the container is said to be uid {ALICE}'s"
    doubt = Keep(ID, NOW, "its work folder /data/bob", problem=problem, is_doubt=True)
    assert read(paths, one) == (doubt,)
    touch(paths, "/data/bob/.keep-alive", uid=BOB)
    assert read(paths, one) == (doubt,)
    (keep,) = keep_files.read([one], {ID: ALICE}, {}, paths, CLOCK, DAY, frozenset({ID}))
    assert (keep.is_doubt, keep.by) == (False, "/data/bob/.keep-alive")
    assert keep.problem == f"it is uid {BOB}'s, and the container is said to be uid {ALICE}'s"
    assert read(paths, container(bind("/data/bob", "/data"))) == ()


def test_a_file_that_root_made_in_her_folder_is_hers(paths: Paths) -> None:
    """``touch /workspace/.keep-alive`` in a container that runs as root."""
    touch(paths, KEEP, uid=0)
    assert read(paths, container(bind(WORK))) == (HELD,)


def test_her_file_in_a_shared_workspace_keeps(paths: Paths) -> None:
    touch(paths, "/shared/.keep-alive")
    assert len(read(paths, container(bind("/shared")))) == 1


@pytest.mark.parametrize(
    ("age", "held"),
    [(timedelta(0), True), (timedelta(hours=23, minutes=59), True), (DAY, False)],
)
def test_it_holds_for_a_while(paths: Paths, age: timedelta, held: bool) -> None:
    touch(paths, KEEP, age=age)
    assert bool(read(paths, container(bind(WORK)))) is held


def test_without_a_longest_time_it_holds_for_ever(paths: Paths) -> None:
    touch(paths, KEEP, age=timedelta(days=900))
    (keep,) = read(paths, container(bind(WORK)), max_age=None)
    assert keep.until is None


def test_a_time_to_come_is_that_of_the_change(paths: Paths) -> None:
    """Else a file of the year 2099 would hold until then."""
    touch(paths, KEEP, age=-timedelta(days=30000))
    changed = paths.under(KEEP).stat().st_ctime
    (keep,) = read(paths, container(bind(WORK)))
    assert keep.since is not None
    assert keep.since.timestamp() == min(changed, NOW.timestamp())
    later = Clock(NOW + timedelta(days=2), "boot", 2e5)
    owners, homes = {ID: ALICE}, {ALICE: ["/home/alice"]}
    args = ([container(bind(WORK))], owners, homes, paths, later, DAY)
    assert keep_files.read(*args) == ()


def _link(file: Path) -> None:
    (file.parent / "real").touch()
    file.symlink_to("real")


def _device(file: Path) -> None:
    os.mknod(file, stat.S_IFCHR | 0o600, os.makedev(1, 3))


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (_link, ".keep-alive is a symbolic link, which is not followed"),
        (lambda file: file.symlink_to("/nowhere"), ".keep-alive is a symbolic link"),
        (lambda file: file.symlink_to(file), ".keep-alive is a symbolic link"),
        (lambda file: file.mkdir(), ".keep-alive is not a plain file"),
        (os.mkfifo, ".keep-alive is not a plain file"),
        (_device, ".keep-alive is not a plain file"),
    ],
    ids=["link", "broken link", "loop", "folder", "fifo", "device"],
)
def test_what_is_no_plain_file_is_told(
    paths: Paths, make: Callable[[Path], object], problem: str
) -> None:
    file = paths.under(KEEP)
    make(file)
    os.chown(file, ALICE, ALICE, follow_symlinks=False)
    (keep,) = read(paths, container(bind(WORK)))
    assert keep.problem.startswith(problem)
    assert keep.by == KEEP


def test_a_link_holds_no_longer_than_a_file(paths: Paths) -> None:
    file = paths.under(KEEP)
    file.symlink_to("real")
    os.chown(file, ALICE, ALICE, follow_symlinks=False)
    old = (NOW - timedelta(days=3)).timestamp()
    os.utime(file, (old, old), follow_symlinks=False)
    assert read(paths, container(bind(WORK))) == ()


def test_no_link_is_followed_below_the_home(paths: Paths) -> None:
    """Else it would lead into whatever folder she likes."""
    touch(paths, "/elsewhere/keep/train")
    folder = paths.under("/home/alice/.ds01")
    folder.symlink_to(paths.under("/elsewhere"))
    os.chown(folder, ALICE, ALICE, follow_symlinks=False)
    (keep,) = read(paths, container())
    assert keep.problem == ".ds01 is a symbolic link, which is not followed"


@pytest.mark.parametrize("source", ["/gone", "relative", "", "/home/alice/work\0x", "/etc/passwd"])
def test_mounts_that_are_no_folder(paths: Paths, source: str) -> None:
    paths.under("/etc").mkdir()
    paths.under("/etc/passwd").touch()
    assert read(paths, container(bind(source))) == ()


def test_volumes_are_not_looked_at(paths: Paths) -> None:
    touch(paths, KEEP)
    assert read(paths, container(Mount("volume", WORK, "/workspace"))) == ()


def test_without_an_owner_there_is_no_file(paths: Paths) -> None:
    touch(paths, KEEP)
    assert keep_files.read([container(bind(WORK))], {}, {}, paths, CLOCK, DAY) == ()


def test_nothing_to_look_at_is_no_child(paths: Paths) -> None:
    assert read(paths) == ()


def test_a_file_system_that_hangs_holds_up_no_other(tmp_path: Path, paths: Paths) -> None:
    """An automount whose daemon never answers waits like a dead server."""
    touch(paths, KEEP)
    dead = tmp_path / "dead"
    dead.mkdir()
    # the kernel waits for us to say that it is mounted, which we never do
    reading, writing = os.pipe()
    holder = subprocess.Popen(["sleep", "60"], start_new_session=True, pass_fds=[writing])
    options = f"fd={writing},pgrp={holder.pid},minproto=5,maxproto=5,direct"
    argv = ["mount", "-t", "autofs", "-o", options, "autofs", str(dead)]
    mounted = subprocess.run(argv, check=False, pass_fds=[writing], capture_output=True)
    if mounted.returncode:
        holder.kill()
        holder.wait()
        pytest.skip(f"no autofs here: {mounted.stderr.decode().strip()}")
    try:
        began = time.monotonic()
        hers = container(bind(WORK))
        hostile = [
            container(bind(f"/dead/{n}/x"), name=f"n{n}")._replace(id=f"{n:064x}") for n in range(9)
        ]
        owners = dict.fromkeys([one.id for one in hostile], BOB) | {ID: ALICE}
        homes = {ALICE: ["/home/alice"], BOB: ["/dead/home"]}
        *hung, held = keep_files.read([*hostile, hers], owners, homes, paths, CLOCK, DAY)
        assert {keep.problem for keep in hung} == {"no answer in 1 s"}
        assert {keep.id for keep in hung} == {one.id for one in hostile}
        assert held == HELD
        assert time.monotonic() - began < 3
    finally:
        holder.kill()
        holder.wait()
        os.close(reading)
        os.close(writing)
        subprocess.run(["umount", "--lazy", str(dead)], check=False)


def test_whose_folders_are(paths: Paths) -> None:
    """What is not there, no folder or no path at all is nobody's."""
    touch(paths, KEEP)
    asked = ["/home", WORK, KEEP, "/gone", "/a\0b"]
    assert keep_files.owners(asked, paths) == {"/home": os.getuid(), WORK: ALICE}
    assert keep_files.owners([], paths) == {}
