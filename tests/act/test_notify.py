"""Telling users on their terminals: on real ones, with hostile texts and hostile users."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ds01ctl.act import notify
from ds01ctl.act.notify import MOST_LINES, Delivered, Notice
from ds01ctl.paths import Paths

ME = os.geteuid()
IUTF8 = 0o040000


class Terminal:
    """A pseudo-terminal as sshd makes one, of whoever runs the tests; mesg is y."""

    def __init__(self) -> None:
        self.master, self.slave = pty.openpty()
        self.path = os.ttyname(self.slave)
        self.name = self.path.removeprefix("/dev/")
        os.fchmod(self.slave, 0o620)
        self._change(IUTF8, on=True)

    def _change(self, flag: int, *, on: bool) -> None:
        settings = termios.tcgetattr(self.slave)
        settings[0] = settings[0] | flag if on else settings[0] & ~flag
        termios.tcsetattr(self.slave, termios.TCSANOW, settings)

    def without_utf8(self) -> None:
        self._change(IUTF8, on=False)

    def stop(self) -> None:
        """Press ^S."""
        termios.tcflow(self.slave, termios.TCOOFF)

    def shown(self) -> bytes:
        """All that has appeared; that the terminal adds a return to each line end is no matter."""
        found = b""
        while select.select([self.master], [], [], 0.05)[0]:
            found += os.read(self.master, 65536)
        return found.replace(b"\r\r\n", b"\r\n")

    def close(self) -> None:
        for one in (self.master, self.slave):
            os.close(one)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    made = Terminal()
    yield made
    made.close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with the machine's terminals and processes, and no log-in."""
    (tmp_path / "dev").symlink_to("/dev")
    (tmp_path / "proc").symlink_to("/proc")
    (tmp_path / "run/systemd/sessions").mkdir(parents=True)
    return tmp_path


def login(root: Path, tty: str | None, name: str = "1", uid: int = ME, **more: Any) -> None:
    """Write what logind writes of a session; with ssh it knows of no terminal."""
    fields = {
        "UID": uid, "USER": "alice", "ACTIVE": 1, "STATE": "active", "REMOTE": 1, "TYPE": "tty",
        "CLASS": "user", "SCOPE": f"session-{name}.scope", **more,
    }  # fmt: skip
    if tty:
        fields["TTY"] = tty
    text = "# This is private data. Do not parse.\n"
    text += "".join(f"{key}={value}\n" for key, value in fields.items())
    (root / "run/systemd/sessions" / name).write_text(text)


def tell(root: Path, text: str = "hello", uid: int = ME) -> list[Delivered]:
    return notify.tell([Notice("alice", uid, text)], Paths(root))


def test_told_on_every_terminal_once(root: Path, terminal: Terminal) -> None:
    """Two log-ins are told apart; the same terminal twice is one."""
    other = Terminal()
    login(root, terminal.name)
    login(root, terminal.name, "2")
    login(root, other.name, "3")
    os.mkfifo(root / "run/systemd/sessions/3.ref")
    rows = tell(root, "disk: 90 %\nof 100 GB")
    assert {(row.place, row.error) for row in rows} == {(terminal.name, None), (other.name, None)}
    assert len(rows) == 2
    assert terminal.shown() == other.shown()
    other.close()


def test_what_is_shown(root: Path, terminal: Terminal) -> None:
    """Lines begin at the margin even where a program has the terminal in raw mode."""
    login(root, terminal.name)
    settings = termios.tcgetattr(terminal.slave)
    settings[1] &= ~termios.OPOST
    termios.tcsetattr(terminal.slave, termios.TCSANOW, settings)
    assert tell(root, "Größe: 90 %\nsee `quota report`") == [
        Delivered("alice", "terminal", terminal.name, None)
    ]
    assert terminal.shown() == "\r\nGröße: 90 %\r\nsee `quota report`\r\n".encode()


HOSTILE = {
    "escape": ("a\x1b]0;title\x07b\x1b[2Jc", b"a]0;titleb[2Jc"),
    "8-bit escape": ("a\x9b2Jb", b"a2Jb"),
    "return and back": ("good\rbad\x08\x7f", b"good\r\nbad"),
    "right to left": ("a\u202eb\u2066c", b"abc"),
    "half a character": ("a\udcffb", b"ab"),
    "nul": ("a\x00b", b"ab"),
    "odd line ends": ("a\x0bb\x0cc\u2028d\x85e", b"a\r\nb\r\nc\r\nd\r\ne"),
    "tab": ("a\tb", b"a b"),
    "nothing": ("", b""),
}


@pytest.mark.parametrize(("text", "shown"), HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_texts(root: Path, terminal: Terminal, text: str, shown: bytes) -> None:
    """A file, a project or a login may be called anything: no terminal obeys it."""
    login(root, terminal.name)
    [row] = tell(root, text)
    assert row.error is None
    told = terminal.shown()
    assert told == (b"\r\n" + shown + b"\r\n" if shown else b"\r\n")
    assert not {byte for byte in told if byte < 32} - {10, 13}


def test_without_utf8_no_byte_is_a_control(root: Path, terminal: Terminal) -> None:
    """In UTF-8 the second byte of "ě" is what begins an escape in eight bits."""
    terminal.without_utf8()
    login(root, terminal.name)
    tell(root, "ě90 %")
    assert terminal.shown() == b"\r\n?90 %\r\n"


def test_long_texts_are_cut(root: Path, terminal: Terminal) -> None:
    """Too many lines, and one of a megabyte: told that there is more."""
    login(root, terminal.name)
    tell(root, "x\n" * 1000)
    told = terminal.shown().decode().split("\r\n")[1:-1]
    assert (len(told), told[-1]) == (MOST_LINES, "…")
    tell(root, "y" * (1 << 20))
    assert len(terminal.shown().decode()) < 300
    assert notify.lines("x\n" * MOST_LINES) == ["x"] * MOST_LINES


def test_mesg_n(root: Path, terminal: Terminal) -> None:
    """Who wants no messages gets none."""
    os.fchmod(terminal.slave, 0o600)
    login(root, terminal.name)
    [row] = tell(root)
    assert (row.place, row.error) == (terminal.name, "does not take messages (mesg n)")
    assert terminal.shown() == b""


@pytest.mark.skipif(ME != 0, reason="gives a terminal to somebody else")
def test_another_has_the_terminal_by_now(root: Path, terminal: Terminal) -> None:
    """The file of logind is of a moment ago; the terminal tells whose it is."""
    login(root, terminal.name, uid=1001)
    [row] = tell(root, uid=1001)
    assert row.error == "belongs to somebody else by now"
    os.fchown(terminal.slave, 1001, -1)
    [row] = tell(root, uid=1001)
    assert row.error is None


def test_a_stopped_terminal(root: Path, terminal: Terminal) -> None:
    """^S, or a program that reads no more: it is left soon, whatever it does."""
    login(root, terminal.name)
    terminal.stop()
    began = time.monotonic()
    [row] = tell(root)
    assert row.error == "is stopped"
    assert time.monotonic() - began < 1


def test_a_terminal_that_is_full(root: Path, terminal: Terminal) -> None:
    """What did not fit is not claimed to have been told."""
    login(root, terminal.name)
    os.set_blocking(terminal.slave, False)
    # the kernel moves on what was written a moment later, and there is room again
    for _ in range(10):
        with suppress(BlockingIOError):
            while True:
                os.write(terminal.slave, b"x" * 4096)
        time.sleep(0.02)
    began = time.monotonic()
    [row] = tell(root)
    assert row.error == "is stopped"
    assert time.monotonic() - began < 1


def test_gone(root: Path) -> None:
    """The log-in ended between logind's file and ours."""
    one = Terminal()
    login(root, one.name)
    one.close()
    [row] = tell(root)
    assert (row.place, row.error) == (one.name, "No such file or directory")


@pytest.mark.parametrize("tty", ["null", "pts/../null", "/dev/null", "tty1", "pts/x", "../etc/x"])
def test_no_terminal_of_a_log_in(root: Path, tty: str) -> None:
    login(root, tty)
    assert tell(root) == [Delivered("alice", "terminal", None, "not logged in on a terminal")]


def test_what_lies_in_the_place_of_a_terminal(tmp_path: Path) -> None:
    """A link is not followed, a pipe does not hold us up, a file is not written to."""
    pts = tmp_path / "dev/pts"
    pts.mkdir(parents=True)
    (tmp_path / "run/systemd/sessions").mkdir(parents=True)
    target = tmp_path / "target"
    target.write_text("as it was")
    (pts / "1").symlink_to(target)
    os.mkfifo(pts / "2")
    reader = os.open(pts / "2", os.O_RDONLY | os.O_NONBLOCK)
    (pts / "3").write_text("")
    (pts / "4").symlink_to("/dev/null")
    os.mkfifo(pts / "5")
    for number in "12345":
        login(tmp_path, f"pts/{number}", number)
    rows = tell(tmp_path)
    assert len(rows) == 5
    assert all(row.error for row in rows)
    assert (target.read_text(), (pts / "3").read_text()) == ("as it was", "")
    os.close(reader)


@pytest.mark.parametrize(
    "more",
    [
        {"STATE": "closing"},
        {"CLASS": "greeter"},
        {"UID": "x"},
        {"USER": "eve", "CLASS": "background"},
    ],
)
def test_sessions_of_nobody_to_tell(root: Path, terminal: Terminal, more: dict[str, Any]) -> None:
    login(root, terminal.name, **more)
    assert [row.place for row in tell(root)] == [None]


def test_without_logind(tmp_path: Path) -> None:
    """That log-ins cannot be read is not that there are none."""
    [row] = tell(tmp_path)
    assert str(row.error).startswith("log-ins cannot be read: ")


SSHD = r"""
import os, pty, signal, sys
signal.alarm(30)
# as sshd: the leader has no terminal, and the shell two below has the log-in's
if os.fork():
    os.wait()
    sys.exit()
pid, master = pty.fork()
if pid == 0:
    os.fchmod(0, 0o620)
    print(os.ttyname(0), flush=True)
    os.execvp("sleep", ["sleep", "60"])
said = b""
while not said.endswith(b"\n"):
    said += os.read(master, 200)
os.write(1, said)
os.read(0, 1)
os.kill(pid, 9)
"""


def test_the_terminal_of_ssh(root: Path) -> None:
    """OpenSSH tells logind of no terminal: it is found below the leader."""
    command = [sys.executable, "-c", SSHD]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as leader:
        assert leader.stdout
        name = leader.stdout.readline().decode().strip().removeprefix("/dev/")
        login(root, None, LEADER=leader.pid)
        rows = tell(root)
        leader.communicate(b"x")
    assert rows == [Delivered("alice", "terminal", name, None)]


def test_a_leader_that_has_ended(root: Path) -> None:
    login(root, None, LEADER=2**22 + 5)
    assert [row.place for row in tell(root)] == [None]
