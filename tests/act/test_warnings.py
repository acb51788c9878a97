"""Warnings on all ways: real terminals and files, a mail server, and all that fails."""

from __future__ import annotations

import os
import resource
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from ds01ctl.act import notice_spool, warnings
from ds01ctl.act.mail import Server
from ds01ctl.act.warnings import Channels, Outcome, address_of, deliver
from ds01ctl.core.cleanup_model import Change, Part
from ds01ctl.core.model import Container, Mount
from ds01ctl.errors import Ds01Error
from ds01ctl.paths import Paths
from tests.act.test_notify import ME, Terminal, login
from tests.cli.test_failing import MailServer
from tests.core.worlds import A, B, container, replace
from tests.folders import let_others_in

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=timezone.utc)
OTHERS = 51007
"""A uid that the tests' own files are not of."""
SPOOL = "/var/lib/ds01/notices"
CHANNELS = Channels(SPOOL, "gpu01")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "dev").symlink_to("/dev")
    (tmp_path / "proc").symlink_to("/proc")
    for folder in ("run/systemd/sessions", "var/lib/ds01", "home/alice/work"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    made = Terminal()
    yield made
    made.close()


@pytest.fixture
def server() -> Iterator[MailServer]:
    made = MailServer()
    yield made
    made.stop()


def change(
    text: str = "It will be stopped.\nWhy: idle.",
    target: str = A,
    user: str | None = "alice",
    part: Part = "idle",
    name: str = "train",
) -> Change:
    return Change("warn", part, target, name, "unix:///x", user, "idle", text=text, stage=1)


def working(id_: str = A, folder: str = "/home/alice/work", **more: Any) -> Container:
    return container(id_, mounts=(Mount("bind", folder, "/workspace"),), **more)


def tell(
    root: Path, *changes: Change, channels: Channels = CHANNELS, **containers: Container
) -> dict[str, Outcome]:
    known = {one.id: one for one in containers.values()}
    uids = {"alice": ME, "a@uni.example": ME}
    return deliver(changes, uids, known, Paths(root), channels, NOON)


def spool(root: Path) -> Path:
    return root / SPOOL.lstrip("/") / str(ME)


def by_mail(server: MailServer, **more: Any) -> Channels:
    where = Server("127.0.0.1", server.port)
    return CHANNELS._replace(server=where, **{"mail_domain": "uni.example", **more})


def test_all_channels(root: Path, terminal: Terminal, server: MailServer) -> None:
    """Each that took it is named, with its place; no channel has an error."""
    login(root, terminal.name)
    said = tell(root, change(), channels=by_mail(server), one=working())
    assert said == {
        A: Outcome((
            f"notice {spool(root)}", f"terminal {terminal.name}",
            "file /home/alice/work/.ds01-alerts", "mail alice@uni.example",
        ))
    }  # fmt: skip
    block = "=== 2026-11-23 12:00 UTC\n  It will be stopped.\n  Why: idle.\n"
    assert spool(root).read_text() == block
    assert (root / "home/alice/work/.ds01-alerts").read_text() == block + "\n"
    assert b"ds01: It will be stopped.\r\nWhy: idle.\r\n" in terminal.shown()
    assert server.mail["Subject"] == "[gpu01] your container train will be stopped"
    assert server.mail["To"] == "alice@uni.example"
    assert "It will be stopped.\r\nWhy: idle.\r\n" in server.mail.get_content()


def test_a_file_that_nobody_is_shown_is_no_warning(root: Path) -> None:
    """Who is not logged in, has no folder mounted and no address was not warned."""
    [one] = tell(root, change(), one=container(A)).values()
    assert one.channels == ()
    assert [error.partition(":")[0] for error in one.errors] == ["terminal", "file", "mail"]
    assert not one.is_delivered
    # it would not be true there
    assert not spool(root).exists()


def test_what_is_no_warning_is_kept_in_any_case(root: Path) -> None:
    """That it was stopped, he finds there."""
    [one] = tell(root, change()._replace(kind="stop-container"), one=container(A)).values()
    assert one.channels == (f"notice {spool(root)}",)
    assert not one.is_delivered
    assert "It will be stopped" in spool(root).read_text()


@pytest.mark.parametrize("folder", ["/home/alice", "/home/none", "/etc"])
def test_at_home(root: Path, folder: str) -> None:
    """Where no folder beside the work takes it; a home that is somebody else's does not."""
    (root / "etc").mkdir()
    os.chown(root / "etc", 7, 7)
    homes = {ME: ["/home/none", folder]}
    one = container(A, mounts=(Mount("bind", "/etc", "/workspace"),))
    said = deliver([change()], {"alice": ME}, {A: one}, Paths(root), CHANNELS, NOON, homes)[A]
    assert said.is_delivered == (folder == "/home/alice")
    assert (root / "home/alice/.ds01-alerts").exists() == said.is_delivered
    if said.is_delivered:
        assert said.channels == (f"notice {spool(root)}", "file /home/alice/.ds01-alerts")


@pytest.mark.parametrize("user", [None, "nobody-knows"])
def test_an_unknown_owner(root: Path, user: str | None) -> None:
    """A warning that reached nobody is not delivered."""
    [one] = tell(root, change(user=user), one=working()).values()
    assert not one.is_delivered
    assert one.errors == ("its owner is no user that is known here",)
    assert not spool(root).exists()


def test_a_spool_that_cannot_be_written(root: Path) -> None:
    """Then the other channels count, and without one of them nothing does."""
    (root / "var/lib/ds01/notices").write_text("in the way")
    [one] = tell(root, change(), one=working()).values()
    assert one.channels == ("file /home/alice/work/.ds01-alerts",)
    [one] = tell(root, change(), one=container(A)).values()
    assert not one.is_delivered
    told = change()._replace(kind="stop-container")
    [one] = tell(root, told, one=container(A)).values()
    assert one.errors[0].startswith(f"notice {spool(root)}: ")


def test_a_notice_is_read_by_its_user_alone(root: Path) -> None:
    """Also one that everybody could read before; what is no notice is left as it is."""
    tell(root, change(), one=working())
    folder = spool(root).parent
    old, mine = folder / "7", folder / str(OTHERS)
    other = root / "secret"
    for path in (old, other, folder / "README"):
        path.write_text("=== then\n  a text\n")
        path.chmod(0o644)
    (folder / "8").symlink_to(other)
    notice_spool.add(folder, OTHERS, [notice_spool.block("now", ["a text"])])
    let_others_in(root)
    assert [_can(OTHERS, "-r", path) for path in (mine, old, other)] == [True, False, True]
    assert [_can(7, "-r", path) for path in (mine, old)] == [False, True]
    assert not _can(OTHERS, "-w", mine)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o711
    assert (folder / "8").is_symlink()
    assert {stat.S_IMODE(path.stat().st_mode) for path in (other, folder / "README")} == {0o644}


def _can(uid: int, how: str, path: Path) -> bool:
    """Ask test(1) as a user who is in the group of the file."""
    done = subprocess.run(
        ["test", how, path], user=uid, group=uid, extra_groups=[0], cwd="/", check=False
    )
    return done.returncode == 0


def test_hostile_text(root: Path, terminal: Terminal, server: MailServer) -> None:
    """Escape sequences, text that turns its direction, and forged heads reach nobody as such."""
    login(root, terminal.name)
    evil = "a\x1b]0;x\x07b\u202ec\r\n=== 2026-01-01 00:00 UTC\n.\n\x9b2Jend\ud800" + "x" * 5000
    name = "n\x1b[2J\r\nBcc: eve@evil.example"
    said = tell(root, change(evil, name=name), channels=by_mail(server), one=working(name=name))
    assert len(said[A].channels) == 4
    texts = [spool(root).read_text(), (root / "home/alice/work/.ds01-alerts").read_text()]
    for text in (*texts, terminal.shown().decode()):
        assert not [sign for sign in text if not sign.isprintable() and sign not in "\r\n"]
    assert len(notice_spool._notices(spool(root))) == 1
    assert server.mail["Bcc"] is None
    assert all(len(line) <= 210 for line in texts[0].splitlines())


def test_one_mail_for_all(root: Path, server: MailServer) -> None:
    """And one message on a terminal, while it has room."""
    several = [change(f"text {n}", target=f"{n:064x}", name=f"c{n}") for n in range(3)]
    said = tell(root, *several, channels=by_mail(server))
    assert all("mail alice@uni.example" in one.channels for one in said.values())
    assert server.mail["Subject"] == "[gpu01] 3 containers will be stopped"
    assert [f"text {n}" in server.mail.get_content() for n in range(3)] == [True] * 3


def test_many_on_one_terminal(root: Path, terminal: Terminal) -> None:
    """A message that would be cut counts for nothing: it comes in parts, or not there."""
    login(root, terminal.name)
    text = "one\ntwo\nthree\nfour\nfive"
    several = [change(text, target=f"{n:064x}", name=f"c{n}") for n in range(10)]
    said = tell(root, *several)
    there = [f"terminal {terminal.name}" in one.channels for one in said.values()]
    assert there == [True] * 6 + [False] * 4
    assert terminal.shown().count(b"five") == 6
    assert [one.is_delivered for one in said.values()] == there


def test_two_about_one_container(root: Path) -> None:
    """Idle and too long: a channel counts that took both."""
    said = tell(root, change("idle"), change("long", part="runtime"), one=working())
    assert list(said) == [A]
    assert len(said[A].channels) == 2
    assert "idle" in spool(root).read_text()
    assert "long" in spool(root).read_text()


def test_mail_that_is_refused(root: Path, server: MailServer) -> None:
    server.refuse["RCPT"] = "550 no such user"
    [one] = tell(root, change(), channels=by_mail(server)).values()
    assert not [name for name in one.channels if name.startswith("mail")]
    assert any("refused alice@uni.example" in error for error in one.errors)


def test_a_mail_server_that_hangs(
    root: Path, server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has its time, and the run goes on."""
    monkeypatch.setattr(warnings, "MAILS_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        channels = by_mail(server)._replace(server=Server("127.0.0.1", silent.getsockname()[1]))
        began = time.monotonic()
        [one] = tell(root, change(), channels=channels, one=working()).values()
        assert time.monotonic() - began < 3
    assert one.is_delivered
    assert "mail: not done after 0.5 s" in one.errors


@pytest.mark.parametrize(
    ("user", "more", "address"),
    [
        ("alice", {}, None),
        ("alice", {"mail_domain": "uni.example"}, "alice@uni.example"),
        ("alice", {"mail_to_logins": True}, None),
        ("a@uni.example", {"mail_to_logins": True}, "a@uni.example"),
        ("a@uni.example", {"mail_domain": "uni.example"}, None),
        ("a b", {"mail_domain": "uni.example"}, None),
        ("a\nBcc: x", {"mail_domain": "uni.example"}, None),
        ("-oQ", {"mail_domain": "uni.example"}, None),
        ("a,b", {"mail_domain": "uni.example"}, None),
    ],
)
def test_addresses(user: str, more: dict[str, Any], address: str | None) -> None:
    assert address_of(user, CHANNELS._replace(**more)) == address


# --- the workspace ----------------------------------------------------------------------------

PLACES: dict[str, tuple[dict[str, str], list[tuple[str, str, str]], str | None]] = {
    "/workspace": ({}, [("bind", "/home/alice/data", "/data"),
                        ("bind", "/home/alice/work", "/workspace")], "work"),
    "a label with the host's path": ({"ds01.workspace": "/home/alice/data"},
                                     [("bind", "/home/alice/work", "/workspace"),
                                      ("bind", "/home/alice/data", "/data")], "data"),
    "a label with the container's path": ({"ds01.work_mount": "/code/"},
                                          [("bind", "/home/alice/work", "/workspace"),
                                           ("bind", "/home/alice/data", "/code")], "data"),
    "a label with both": ({"aime.mlc.WORK_MOUNT": "/home/alice/data:/code"},
                          [("bind", "/home/alice/data", "/code")], "data"),
    "a label of no mount": ({"ds01.workspace": "/home/alice/data"}, [], None),
    "a volume": ({}, [("volume", "/home/alice/work", "/workspace")], None),
    "any folder of theirs": ({}, [("bind", "/etc", "/etc"), ("bind", "/home/alice/data", "/d")],
                             "data"),
    "another's, then theirs": ({}, [("bind", "/etc", "/workspace"),
                                    ("bind", "/home/alice/data", "/d")], "data"),
}  # fmt: skip


@pytest.mark.parametrize(("labels", "mounts", "there"), PLACES.values(), ids=PLACES.keys())
def test_the_workspace(
    root: Path, labels: dict[str, str], mounts: list[tuple[str, str, str]], there: str | None
) -> None:
    """The first folder that a label or mount names, and that is the owner's, gets the file."""
    (root / "etc").mkdir()
    if os.geteuid() == 0:
        os.chown(root / "etc", 7, 7)
    else:
        (root / "etc").rmdir()
    (root / "home/alice/data").mkdir()
    one = replace(container(A, labels), mounts=tuple(Mount(*parts) for parts in mounts))
    tell(root, change(), one=one)
    found = [path.parent.name for path in root.glob("**/.ds01-alerts")]
    assert found == ([there] if there else [])


def test_of_two_containers(root: Path) -> None:
    (root / "home/alice/data").mkdir()
    tell(
        root, change("first"), change("second", target=B),
        one=working(), two=working(B, "/home/alice/data"),
    )  # fmt: skip
    assert "first" in (root / "home/alice/work/.ds01-alerts").read_text()
    assert "second" in (root / "home/alice/data/.ds01-alerts").read_text()


# --- the spool --------------------------------------------------------------------------------


def test_the_newest_twenty(root: Path) -> None:
    for number in range(30):
        tell(root, change(f"number {number}"), one=working())
    text = spool(root).read_text()
    assert text.count("=== ") == 20
    assert "number 9\n" not in text
    assert text.index("number 10\n") < text.index("number 29\n")
    assert list(spool(root).parent.iterdir()) == [spool(root)]


def test_more_than_it_keeps(root: Path) -> None:
    """Those that would be dropped at once are not delivered there."""
    told = [change(f"{n}", target=f"{n:064x}")._replace(kind="stop-container") for n in range(25)]
    there = [bool(one.channels) for one in tell(root, *told).values()]
    assert there == [False] * 5 + [True] * 20


@pytest.mark.parametrize("what", ["link", "text", "folder", "bytes"])
def test_what_lies_in_its_place(root: Path, what: str) -> None:
    """Nothing that makes no sense is kept, and nothing outside is touched."""
    spool(root).parent.mkdir(parents=True)
    victim = root / "victim"
    victim.write_text("as it was")
    if what == "link":
        spool(root).symlink_to(victim)
    elif what == "text":
        spool(root).write_text("hello\nno head")
    elif what == "bytes":
        spool(root).write_bytes(b"\xff\x00" * 1000)
    else:
        spool(root).mkdir()
    [one] = tell(root, change("hello"), one=working()).values()
    is_kept = f"notice {spool(root)}" in one.channels
    assert is_kept == (what != "folder")
    assert victim.read_text() == "as it was"
    if is_kept:
        assert spool(root).read_text().startswith("=== ")


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o1777])
def test_a_folder_that_others_write(root: Path, mode: int) -> None:
    spool(root).parent.mkdir(parents=True)
    spool(root).parent.chmod(mode)
    with pytest.raises(Ds01Error, match="only root may write"):
        notice_spool.add(spool(root).parent, ME, ["=== x\n"])


def test_no_room(root: Path) -> None:
    """What was there stays, and it is told."""
    told = change("new")._replace(kind="stop-container")
    tell(root, told._replace(text="old"))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        [one] = tell(root, told).values()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert not one.is_delivered
    assert "old" in spool(root).read_text()
    assert list(spool(root).parent.iterdir()) == [spool(root)]
