"""Jupyter servers, and what else may listen there: real sockets, in a network of their own."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from datetime import datetime, timezone
from typing import Any

import pytest

from ds01ctl.core.cleanup_model import Reading
from ds01ctl.observe import jupyter

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("ip"),
    reason="makes a network of its own",
)
PROGRAM = """
import pickle, socket, subprocess, sys, threading, time
from ds01ctl.observe import jupyter
answers, ports, deadline_s, now = pickle.load(sys.stdin.buffer)
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
asked, where = [], {}

def serve(listening, raw):
    while True:
        opened, _ = listening.accept()
        asked.append(listening.getsockname())
        opened.recv(4096)
        try:
            for part in raw:
                opened.sendall(part) if isinstance(part, bytes) else time.sleep(part)
        except OSError:
            pass
        opened.close()

for number, (id_, raw) in enumerate(answers.items()):
    address = f"172.30.0.{number + 2}"
    subprocess.run(["ip", "addr", "add", f"{address}/32", "dev", "lo"], check=True)
    where[id_] = [address]
    if raw is not None:
        listening = socket.create_server((address, 8888))
        threading.Thread(target=serve, args=(listening, raw), daemon=True).start()
loopback = socket.create_server(("127.0.0.1", 8888))
other = threading.Thread(target=serve, args=(loopback, [b"x"]), daemon=True)
other.start()
began, cpu = time.monotonic(), time.process_time()
heard = jupyter.read(where, ports, deadline_s=deadline_s, now=now)
took = time.monotonic() - began
assert "http.client" not in sys.modules
sys.stdout.buffer.write(pickle.dumps((heard, took, asked)))
"""
NOW = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)
THEN = datetime(2026, 11, 23, 11, 30, tzinfo=timezone.utc).timestamp()
HEAD = b"HTTP/1.1 200 OK\r\nServer: TornadoServer/6.4\r\nContent-Type: application/json\r\n\r\n"


def status(activity: str) -> bytes:
    return (
        HEAD
        + b'{"connections": 0, "kernels": 1, "last_activity": "%s", "started": "x"}'
        % activity.encode()
    )


def read(
    answers: dict[str, list[bytes | float] | None], deadline_s: float = 1.0
) -> tuple[dict[str, Reading], float, list[tuple[str, int]]]:
    done = subprocess.run(
        ["unshare", "-n", sys.executable, "-c", PROGRAM],
        input=pickle.dumps((answers, [8888, 8889], deadline_s, NOW)),
        capture_output=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr.decode()) == (0, "")
    told: Any = pickle.loads(done.stdout)
    return told


@pytest.mark.parametrize(
    ("activity", "expected"),
    [
        ("2026-11-23T11:30:00.000000Z", THEN),
        ("2026-11-23T12:30:00.123456789+01:00", THEN + 0.123456),
        ("1960-01-01T00:00:00Z", 0.0),
        # no later than now: a clock that was set back, or somebody who lies
        ("2999-01-01T00:00:00Z", NOW.timestamp()),
    ],
)
def test_the_last_activity(activity: str, expected: float) -> None:
    heard, _, _ = read({"a": [status(activity)]})
    assert heard["a"].state == "known"
    assert heard["a"].value == pytest.approx(expected, abs=1e-3)
    assert heard["a"].detail == "tcp://172.30.0.2:8888/api/status"


GOOD = status("2026-11-23T11:30:00Z")
HOSTILE: dict[str, list[bytes | float] | None] = {
    "nobody listens": None,
    "empty": [],
    "token wanted": [b"HTTP/1.1 403 Forbidden\r\n\r\n" + GOOD.partition(b"\r\n\r\n")[2]],
    "redirects": [b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:8888/api/status\r\n\r\n"],
    "moved": [b"HTTP/1.1 301 Moved\r\nLocation: file:///etc/shadow\r\n\r\n"],
    "no HTTP": [b"SSH-2.0-OpenSSH_9.2\r\n"],
    "no JSON": [HEAD + b"<html>last_activity</html>"],
    "a list": [HEAD + b'["last_activity"]'],
    "a number": [HEAD + b'{"last_activity": 1e999}'],
    "null": [HEAD + b'{"last_activity": null}'],
    "no time": [status("yesterday")],
    "never": [status("0001-01-01T00:00:00Z")],
    "no such day": [status("2026-02-31T00:00:00Z")],
    "a long text": [HEAD + b'{"last_activity": "%s"}' % (b"2" * 10_000)],
    "half a sign": [HEAD + b'{"last_activity": "\\ud800"}'],
    "deep": [HEAD + b"[" * 15_000],
    "claims to be long": [b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n{}"],
    "is long": [HEAD + b"{" + b" " * 5_000_000 + b'"last_activity": "2026-11-23T11:30:00Z"}'],
    "endless head": [b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500_000],
    "never ends": [HEAD, 30.0],
    "a byte now and then": [part for byte in GOOD for part in (bytes([byte]), 0.3)],
    "silent": [30.0],
}


def test_hostile_servers_are_absent_and_hide_no_other() -> None:
    heard, took, asked = read(HOSTILE | {"good": [GOOD]})
    assert set(heard) == {"good"}
    assert took < 1.3
    # no redirection was followed
    assert "127.0.0.1" not in {address for address, _ in asked}


def test_one_deadline_for_all() -> None:
    _, took, _ = read({f"silent {n}": [30.0] for n in range(40)}, deadline_s=60)
    assert 0.9 < took < 1.5
    _, took, _ = read({f"silent {n}": [30.0] for n in range(40)}, deadline_s=0.2)
    assert took < 0.6


@pytest.mark.parametrize(
    "address",
    ["", "localhost", "127.0.0.1", "127.1", "0.0.0.0", "0", "169.254.169.254", "224.0.0.1",
     "255.255.255.255", "2130706433", "0x7f.1", "0177.0.0.1", "10.0.0.1@127.0.0.1", "::1",
     "10.0.0.1/../", "10.0.0.1 ", "10.0.0.1\r\nHost: x", "fe80::1%eth0", "example.org",
     "10.0.0.1:80", "1" * 5000, "\ud800", "10.0.0.1\0"],
)  # fmt: skip
def test_only_addresses_of_other_hosts_are_asked(address: str) -> None:
    """Nothing is sent: no time passes."""
    read = jupyter.read({"a": [address]}, [8888], deadline_s=1, now=NOW)
    assert read == {}


def test_an_address_that_two_have_is_both_ones() -> None:
    """Whoever takes another's address must not hide what he does."""
    requests = jupyter._requests({"a": ["10.0.0.1"], "b": ["10.0.0.1"]}, [8888])
    assert list(requests.values()) == [["a", "b"]]


def test_the_number_of_requests_is_limited() -> None:
    many = {f"{n}": [f"10.0.{n % 250}.{n // 250}"] for n in range(2000)}
    assert len(jupyter._requests(many, [8888, 8889])) == 512
