"""Engines that users run: they may hang, lie and flood, and root's engines never notice."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from ds01ctl.core.gpu_access import gpu_access
from ds01ctl.observe.engine_hosts import expand, socket_owner
from tests.observe.stub_engine import ID, LIST, entry, inspect_of, kinds, read, world

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.observe.stub_engine import StubEngine

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a socket away")

ALICE, BOB = 1001, 1002
MIB = 1 << 20
SCOPE = f"/ds01.slice/docker-{ID(1)}.scope"


# --- slow ones --------------------------------------------------------------------------------


def test_a_users_engine_that_hangs_costs_roots_nothing(new_stub: Callable[..., StubEngine]) -> None:
    """Root's needs nearly all of its time, and is read whole; the user's is named."""
    roots, users = new_stub(), new_stub(ALICE)
    roots.containers(*(entry(number) for number in range(20)))
    roots.delay_s, users.delay_s = 0.3, 30
    started = time.monotonic()
    reading = read(users.host, roots.host, deadline_s=1.5)
    assert time.monotonic() - started < 1.5 + 2
    assert [container.config is not None for container in reading.containers] == [True] * 20
    assert [(engine.host, engine.answered, engine.uid) for engine in reading.engines] == [
        (roots.host, True, 0),
        (users.host, False, ALICE),
    ]
    (gap,) = reading.gaps
    assert gap.reason == f"{users.host}: no answer in 1.5 s (the own engine of uid {ALICE})"


def test_users_engines_have_two_seconds_together(new_stub: Callable[..., StubEngine]) -> None:
    hanging = [new_stub(uid) for uid in (ALICE, BOB, BOB)]
    for engine in hanging:
        engine.delay_s = 30
    started = time.monotonic()
    reading = read(*(engine.host for engine in hanging), deadline_s=10)
    assert 1.9 < time.monotonic() - started < 3.5
    assert ["no answer in 2 s" in gap.reason for gap in reading.gaps] == [True] * 3


@pytest.mark.parametrize(("first", "second"), [(ALICE, BOB), (0, 0)])
def test_one_engine_does_not_hold_up_its_like(
    new_stub: Callable[..., StubEngine], first: int, second: int
) -> None:
    """Neither the list nor the inspects after it wait for the one that hangs."""
    hanging, good = new_stub(first), new_stub(second)
    hanging.delay_s = 30
    good.containers(entry(1))
    reading = read(hanging.host, good.host, deadline_s=1)
    assert [container.config is not None for container in reading.containers] == [True]
    (gap,) = reading.gaps
    assert gap.reason.startswith(f"{hanging.host}: no answer in 1 s")


def crowded_tcp() -> tuple[str, list[socket.socket]]:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    clients = [socket.socket(type=socket.SOCK_STREAM | socket.SOCK_NONBLOCK) for _ in range(4)]
    for client in clients:
        client.connect_ex(listener.getsockname())
    return f"tcp://127.0.0.1:{listener.getsockname()[1]}", [listener, *clients]


def crowded_unix(path: Path) -> tuple[str, list[socket.socket]]:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(0)
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(path))
    return f"unix://{path}", [listener, client]


@pytest.fixture(params=["tcp", "unix"])
def crowded(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An engine that listens and never accepts, so that even to connect would take for ever."""
    host, sockets = crowded_tcp() if request.param == "tcp" else crowded_unix(tmp_path / "s")
    yield host
    for one in sockets:
        one.close()


def test_to_connect_is_under_the_deadline_too(stub: StubEngine, crowded: str) -> None:
    stub.containers(*(entry(number) for number in range(20)))
    started = time.monotonic()
    reading = read(crowded, stub.host, deadline_s=0.7)
    assert time.monotonic() - started < 2
    assert [container.config is not None for container in reading.containers] == [True] * 20
    reasons = [gap.reason for gap in reading.gaps]
    assert reasons == [f"{crowded}: no answer in 0.7 s (docker.timeout_s)"]


FRONT = """
import socket, sys, time
if sys.argv[2] == "tcp":
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    print(f"tcp://localhost:{listener.getsockname()[1]}", flush=True)
else:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(sys.argv[2])
    listener.listen(0)
    print(f"unix://{sys.argv[2]}", flush=True)
while True:
    client, _ = listener.accept()
    time.sleep(0.01)
    with client, socket.socket(socket.AF_UNIX) as back:
        back.connect(sys.argv[1])
        back.sendall(client.recv(4096))
        while part := back.recv(65536):
            client.sendall(part)
"""


@pytest.mark.parametrize(("to", "uid"), [("tcp", None), ("unix", 0)])
def test_a_crowded_engine_is_tried_again(
    stub: StubEngine, tmp_path: Path, to: str, uid: int | None
) -> None:
    """More connections are wanted than it has room for: every answer comes all the same."""
    stub.containers(*(entry(number) for number in range(20)))
    place = "tcp" if to == "tcp" else str(tmp_path / "front.sock")
    argv = [sys.executable, "-c", FRONT, str(stub.path), place]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as front:
        assert front.stdout
        reading = read(front.stdout.readline().strip(), deadline_s=20)
        front.kill()
    assert reading.gaps == ()
    assert [engine.uid for engine in reading.engines] == [uid]
    assert [container.config is not None for container in reading.containers] == [True] * 20


@pytest.mark.parametrize(
    "host",
    [
        "tcp://gpu01.example:2375",
        "tcp://127.0.0.1:99999",
        "tcp://127.0.0.1:\u0661",
        "tcp://[::1]x:1",
    ],
)
def test_what_would_have_to_be_looked_up_is_refused(host: str) -> None:
    (gap,) = read(host).gaps
    assert "only engines on this host" in gap.reason


# --- liars ------------------------------------------------------------------------------------

EVIL = "\x1b]0;owned\x07\x1b[2Jrunning"


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (EVIL, "unknown"), ("", "unknown"), (None, "unknown"), (7, "unknown"), (["x"], "unknown"),
        ("Running", "running"), ("stopped", "exited"), ("dead", "dead"), ("x" * 9999, "unknown"),
    ],
)  # fmt: skip
def test_a_state_is_one_of_the_fixed_words(stub: StubEngine, state: Any, expected: str) -> None:
    stub.answer(LIST, [entry(1) | {"State": state}])
    stub.answer(f"/containers/{ID(1)}/json", {"message": "busy"}, status="500 busy")
    assert [container.state for container in read(stub.host).containers] == [expected]
    stub.answer(f"/containers/{ID(1)}/json", {"Id": ID(1), "State": {"Status": state}})
    assert [container.state for container in read(stub.host).containers] == [expected]


@pytest.mark.parametrize("pid", [0, -1, True, (1 << 22) + 1, 1 << 80, "1", 1.5, None])
def test_a_pid_that_cannot_be_is_unknown(stub: StubEngine, pid: Any) -> None:
    stub.containers(entry(1, state="running", Pid=pid))
    assert [container.pid for container in read(stub.host).containers] == [None]


def test_hostile_words_about_a_failure_are_harmless(stub: StubEngine) -> None:
    stub.answer(LIST, {"message": "a\nb\x1b[2J" + "y" * 999}, status="500 x")
    (gap,) = read(stub.host).gaps
    assert "status 500: a" in gap.reason
    assert gap.reason.isprintable()
    assert len(gap.reason) < 400


@pytest.mark.parametrize("version", [b"\x1b[2J", b"D" * 999, b"\xb2"])
def test_a_version_that_is_none_is_unknown(stub: StubEngine, version: bytes) -> None:
    stub.containers(entry(1))
    assert read(stub.host).engines[0].version == "Docker/99"
    stub.answers[LIST] = stub.answers[LIST].replace(b"Docker/99", version)
    assert read(stub.host).engines[0].version is None


def test_a_length_of_thousands_of_digits(stub: StubEngine) -> None:
    stub.containers(entry(1))
    stub.answers[LIST] = stub.answers[LIST].replace(b"Length: ", b"Length: " + b"9" * 5000)
    assert len(read(stub.host).containers) == 1


def test_long_texts_are_cut_where_one_sees_it(stub: StubEngine) -> None:
    long = "x" * 5000
    labels = {"k" * 5000: long} | {f"label{number}": "" for number in range(2999)}
    mounts = [{"Type": "bind", "Source": long, "Destination": "/d"}] * 1500
    listed = entry(1, Names=[f"/{long}"], Image=long, Labels=labels, Mounts=mounts)
    stub.containers(listed)
    environment = {"Config": {"Env": [f"NVIDIA_VISIBLE_DEVICES={'0,' * 5000}"], "User": long}}
    stub.answer(f"/containers/{ID(1)}/json", inspect_of(listed, Runtime="nvidia") | environment)
    (container,) = read(stub.host).containers
    cut = "x" * 4095 + "…"
    assert container.image == cut
    assert len(container.name) == 4095
    assert container.name.endswith("x…")
    assert container.labels["k" * 4095 + "…"] == cut
    assert (len(container.labels), container.labels["…"]) == (1001, "2000 more")
    assert (len(container.mounts), container.mounts[0].source) == (1001, cut)
    assert (container.mounts[-1].source, container.mounts[-1].destination) == ("…", "500 more")
    assert container.config
    assert container.config.user == cut
    # what was cut is not known, rather than not there
    assert gpu_access(container.config, ()).gpu_uuids is None


def test_what_a_users_engine_says_is_remembered_for_that_engine_only(
    new_stub: Callable[..., StubEngine], tmp_path: Path
) -> None:
    """A user sees an id in /proc, and lists it before root's engine does: with no GPU, he says."""
    paths = world(tmp_path, {71: SCOPE})
    roots, users = new_stub(), new_stub(ALICE)
    listed = entry(1, state="running", Pid=71)
    users.containers(listed)
    roots.containers()
    first = read(roots.host, users.host, paths=paths)
    assert [container.engine for container in first.containers] == [users.host]
    roots.containers(listed)
    roots.answer(f"/containers/{ID(1)}/json", inspect_of(listed, Privileged=True))
    second = read(roots.host, users.host, paths=paths, known=first.facts)
    (container,) = second.containers
    assert container.engine == roots.host
    assert container.config
    assert container.config.privileged
    roots.answers[f"/containers/{ID(1)}/json"] = b""
    assert read(roots.host, paths=paths, known=first.facts).containers[0].config is None


# --- floods -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uid", "size", "reason"),
    [
        (ALICE, 4 * MIB - 4096, None),
        (ALICE, 4 * MIB, "answer above 4 MiB"),
        (0, 16 * MIB, None),
        (0, 64 * MIB, "answer above 64 MiB"),
    ],
)
def test_an_answer_has_bounds(
    new_stub: Callable[..., StubEngine], uid: int, size: int, reason: str | None
) -> None:
    stub = new_stub(uid)
    body = b"[" + b" " * (size - 2) + b"]"
    stub.raw(LIST, body, length=len(body))
    reading = read(stub.host)
    assert kinds(reading) == ([("docker", "failed")] if reason else [])
    assert all(reason and reason in gap.reason for gap in reading.gaps)


def test_all_answers_of_a_user_have_bounds_together(new_stub: Callable[..., StubEngine]) -> None:
    stub = new_stub(ALICE)
    stub.containers(*(entry(number) for number in range(24)))
    for number in range(24):
        answer = inspect_of(entry(number)) | {"Padding": "x" * MIB}
        stub.answer(f"/containers/{ID(number)}/json", answer)
    reading = read(stub.host)
    (gap,) = reading.gaps
    assert "answers above 16 MiB" in gap.reason
    # of those that were under way together none may be whole
    assert 8 <= len(reading.facts) < 16


def test_a_user_has_no_more_than_a_thousand_containers(
    new_stub: Callable[..., StubEngine],
) -> None:
    users = new_stub(ALICE)
    users.answer(LIST, [entry(number) for number in range(1001)])
    reading = read(users.host)
    assert users.count("/json") <= 1001
    assert "only 1000 of 1001 containers are read" in reading.gaps[0].reason


# --- whose an engine is -----------------------------------------------------------------------


def test_an_engine_is_roots_only_if_root_alone_could_put_it_there(tmp_path: Path) -> None:
    alices = tmp_path / "alice"
    alices.mkdir()
    roots = tmp_path / "root.sock"
    roots.touch()
    (alices / "link.sock").symlink_to(roots)
    (alices / "own.sock").touch()
    (tmp_path / "to-alice.sock").symlink_to(alices / "own.sock")
    os.chown(alices, ALICE, ALICE)
    assert socket_owner(f"unix://{roots}") == 0
    assert socket_owner(f"unix://{alices}/own.sock") == ALICE
    assert socket_owner(f"unix://{alices}/link.sock") == ALICE
    assert socket_owner(f"unix://{tmp_path}/to-alice.sock") == ALICE
    os.chown(roots, BOB, BOB)
    assert socket_owner(f"unix://{roots}") == BOB
    for nowhere in (f"unix://{tmp_path}/none", "tcp://127.0.0.1:1", "unix://a\0b", "nonsense"):
        assert socket_owner(nowhere) is None


def test_no_link_takes_the_place_of_roots_engine(stub: StubEngine, tmp_path: Path) -> None:
    """A user's link to root's socket is the same engine, and no reason to distrust it."""
    folder = tmp_path / "alice"
    folder.mkdir()
    (folder / "docker.sock").symlink_to(stub.path)
    os.chown(folder, ALICE, ALICE)
    stub.containers(entry(1))
    reading = read(f"unix://{tmp_path}/*/docker.sock", stub.host)
    assert [(engine.host, engine.uid) for engine in reading.engines] == [(stub.host, 0)]


@pytest.mark.parametrize("pattern", ["*/d.sock", "100?/d.sock", "100[12]/d.sock"])
def test_patterns(tmp_path: Path, pattern: str) -> None:
    for uid in (ALICE, BOB):
        (tmp_path / str(uid)).mkdir()
        (tmp_path / str(uid) / "d.sock").touch()
    hosts = expand([f"unix://{tmp_path}/{pattern}"])
    assert [host.address for host in hosts] == [
        f"unix://{tmp_path}/{uid}/d.sock" for uid in (ALICE, BOB)
    ]
    assert all(host.found for host in hosts)


def test_a_pattern_that_matches_nothing_beside_an_engine_is_no_gap(
    stub: StubEngine, tmp_path: Path
) -> None:
    stub.containers()
    assert read(stub.host, f"unix://{tmp_path}/*/docker.sock", named=True).gaps == ()
