"""A container engine that misbehaves on demand: a real unix socket that speaks HTTP."""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ds01ctl.observe import containers
from ds01ctl.paths import Paths

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ds01ctl.observe.container_facts import KnownFacts

ID = "{:064x}".format
LIST = "/containers/json?all=1"


def read(
    *hosts: str,
    known: Mapping[str, KnownFacts] | None = None,
    deadline_s: float = 10,
    named: bool = False,
    paths: Paths = Paths(),  # noqa: B008 -- it holds names only
) -> containers.ContainersReading:
    """Read containers with what most tests leave as it is."""
    return containers.read(
        hosts, deadline_s=deadline_s, paths=paths, known=known or {}, named_by_admin=named
    )


def kinds(reading: containers.ContainersReading) -> list[tuple[str, str]]:
    """The sources and kinds of the gaps."""
    return [(gap.source, gap.kind) for gap in reading.gaps]


def world(root: Path, cgroups: dict[int, str]) -> Paths:
    """Write the control groups of processes below a root, by pid."""
    for pid, path in cgroups.items():
        folder = root / "proc" / str(pid)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cgroup").write_text(f"0::{path}\n")
    return Paths(root)


class StubEngine:
    """Answers each path from a table; counts what it was asked."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "stub.sock"
        self.host = f"unix://{self.path}"
        self.answers: dict[str, bytes] = {}
        self.delay_s = 0.0
        self.asked: list[str] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen(64)
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    def answer(self, path: str, value: Any, *, status: str = "200 OK", length: int = 0) -> None:
        """Answer with JSON; a length above zero promises more than is sent."""
        body = json.dumps(value).encode()
        self.raw(path, body, status=status, length=length or len(body))

    def raw(self, path: str, body: bytes, *, status: str = "200 OK", length: int = 0) -> None:
        """Answer with any bytes as the body."""
        head = f"HTTP/1.0 {status}\r\nServer: Docker/99 (linux)\r\nContent-Length: {length}\r\n\r\n"
        self.answers[path] = head.encode() + body

    def containers(self, *entries: dict[str, Any]) -> None:
        """List these, and answer their inspects with what ``inspect`` made of each."""
        self.answer(LIST, list(entries))
        for entry in entries:
            self.answer(f"/containers/{entry['Id']}/json", inspect_of(entry))

    def count(self, part: str) -> int:
        """Count the requests for paths that have this part."""
        return sum(part in path for path in self.asked)

    def stop(self) -> None:
        """Close the listener and wait for every thread."""
        self._stopping.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(5)
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            path = connection.recv(4096).split()[1].decode()
            self.asked.append(path)
            self._stopping.wait(self.delay_s)
            not_found = b'HTTP/1.0 404 Not Found\r\n\r\n{"message": "no such container"}'
            connection.sendall(self.answers.get(path, not_found))


def drip(host_path: Path, for_s: float) -> threading.Thread:
    """Serve one client at a path with a byte now and then, never an end."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(host_path))
    listener.listen(1)

    def serve() -> None:
        with listener, suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                ends = time.monotonic() + for_s
                while time.monotonic() < ends:
                    connection.sendall(b"H")
                    time.sleep(0.02)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


def entry(number: int, *, state: str = "created", **fields: Any) -> dict[str, Any]:
    """Make a list entry as Docker 20.10 writes it."""
    return {
        "Id": ID(number),
        "Names": [f"/c{number}"],
        "Image": "ds01/busybox:1",
        "ImageID": "sha256:" + ID(0),
        "Created": 1795445825,
        "Labels": {},
        "State": state,
        "Status": "Created",
        "HostConfig": {"NetworkMode": "none"},
        "Mounts": [],
        **fields,
    }


def inspect_of(listed: dict[str, Any], **host_config: Any) -> dict[str, Any]:
    """Make the inspect answer that belongs to a list entry."""
    return {
        "Id": listed["Id"],
        "Name": (listed.get("Names") or ["/x"])[0],
        "Created": "2026-11-23T14:57:05.097271292Z",
        "State": {
            "Status": listed.get("State", "created"),
            "Pid": listed.get("Pid", 0),
            "StartedAt": listed.get("StartedAt", "0001-01-01T00:00:00Z"),
            "FinishedAt": "0001-01-01T00:00:00Z",
        },
        "Image": listed.get("ImageID"),
        "HostConfig": {"Runtime": "runc", "Privileged": False, "DeviceRequests": None}
        | host_config,
        "Config": {"Env": None, "User": "", "Labels": listed.get("Labels"), "Image": "x"},
    }
