"""Ask container engines over their sockets: GET and JSON, nothing else.

By hand, because ``import docker`` costs more than everything else a run does. HTTP/1.0 has
neither chunks nor kept connections: an answer ends with its connection. Several requests are
under way at once, so that neither a slow engine nor a slow request holds up the others, and one
deadline covers all of them.
"""

from __future__ import annotations

import errno
import json
import select
import socket
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ds01ctl.errors import Ds01Error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ds01ctl.core.model import GapKind

_IN_FLIGHT = 8
"""Requests at once to one engine."""
_CHUNK = 1 << 18
_LARGEST = 256 << 20
"""Bytes of an answer; 1,000 containers with large labels need about 10 MB."""

Trouble = Literal["absent", "refused", "denied", "slow", "failed", "not-found"]
_KIND: dict[Trouble, GapKind] = {"absent": "absent", "denied": "denied"}
_TROUBLE_OF_ERRNO: dict[int, Trouble] = {
    errno.ENOENT: "absent",
    errno.ENOTDIR: "absent",
    errno.ECONNREFUSED: "refused",
    # a path that is no socket
    errno.ENOTSOCK: "refused",
    errno.EPROTOTYPE: "refused",
    errno.EACCES: "denied",
    errno.EPERM: "denied",
}
_NOT_HERE = (
    "only engines on this host can be joined to its processes: "
    "unix:///run/docker.sock or tcp://127.0.0.1:2375"
)
_HINTS: dict[Trouble, str] = {
    "denied": "run as root, or as a member of the group that owns the socket",
    "refused": "is the engine running?",
}


class EngineError(Ds01Error):
    """An engine gave no answer, or none that can be used."""

    def __init__(self, host: str, trouble: Trouble, what: str) -> None:
        super().__init__(f"{host}: {what}", _HINTS.get(trouble))
        self.host = host
        self.trouble = trouble

    @property
    def kind(self) -> GapKind:
        """Say what kind of gap this leaves."""
        return _KIND.get(self.trouble, "failed")


class Request(NamedTuple):
    """One GET."""

    host: str
    """``unix:///…`` or ``tcp://HOST:PORT``."""
    path: str


class Answer(NamedTuple):
    """What came back with status 200."""

    value: Any
    """The JSON, parsed."""
    server: str | None
    """The header, for example ``Docker/20.10.24 (linux)``."""


def get(host: str, path: str, *, deadline: float) -> Answer:
    """Ask one thing until a point of time.monotonic(); raises EngineError."""
    answer = get_all([Request(host, path)], deadline=deadline)[0]
    if isinstance(answer, EngineError):
        raise answer
    return answer


def get_all(requests: Sequence[Request], *, deadline: float) -> list[Answer | EngineError]:
    """Ask many things until a point of time.monotonic(); the answers are in the order asked."""
    return _Exchange(requests, deadline).run()


class _Connection:
    """One request under way."""

    __slots__ = ("index", "opened", "parts", "request", "size")

    def __init__(self, index: int, request: Request, opened: socket.socket) -> None:
        self.index = index
        self.request = request
        self.opened = opened
        self.parts: list[bytes] = []
        self.size = 0

    def receive(self) -> bool:
        """Take what has come; tell whether there is more. Raises EngineError."""
        try:
            part = self.opened.recv(_CHUNK)
        except OSError as error:
            raise _failed(self.request.host, "failed", error) from None
        self.parts.append(part)
        self.size += len(part)
        if self.size > _LARGEST:
            raise EngineError(self.request.host, "failed", f"answer above {_LARGEST >> 20} MiB")
        return bool(part)


class _Exchange:
    """All requests of one get_all, each engine's in its own queue."""

    def __init__(self, requests: Sequence[Request], deadline: float) -> None:
        self._deadline = deadline
        self._requests = requests
        self._answers: dict[int, Answer | EngineError] = {}
        self._waiting: dict[str, deque[tuple[int, Request]]] = {}
        for index, request in enumerate(requests):
            self._waiting.setdefault(request.host, deque()).append((index, request))
        self._poll = select.poll()
        self._open: dict[int, _Connection] = {}

    def run(self) -> list[Answer | EngineError]:
        """Keep every engine busy until all is answered or time is up."""
        try:
            for host in self._waiting:
                for _ in range(_IN_FLIGHT):
                    self._start_next(host)
            # time, not silence, ends it: an engine may send a byte now and then for ever
            while self._open and (left_s := self._left_s()):
                for descriptor, _ in self._poll.poll(left_s * 1000):
                    self._receive(self._open[descriptor])
        finally:
            for connection in self._open.values():
                connection.opened.close()
        return [
            self._answers.get(index) or EngineError(request.host, "slow", "no answer in time")
            for index, request in enumerate(self._requests)
        ]

    def _left_s(self) -> float:
        return max(self._deadline - time.monotonic(), 0.0)

    def _start_next(self, host: str) -> None:
        queue = self._waiting[host]
        while queue and (left_s := self._left_s()):
            index, request = queue.popleft()
            try:
                opened = _send(request, left_s)
            except EngineError as error:
                self._answers[index] = error
                continue
            self._open[opened.fileno()] = _Connection(index, request, opened)
            self._poll.register(opened, select.POLLIN)
            return

    def _receive(self, connection: _Connection) -> None:
        host = connection.request.host
        try:
            if connection.receive():
                return
            answer: Answer | EngineError = _parse(host, b"".join(connection.parts))
        except EngineError as error:
            answer = error
        self._answers[connection.index] = answer
        self._poll.unregister(connection.opened)
        del self._open[connection.opened.fileno()]
        connection.opened.close()
        self._start_next(host)


# --- out --------------------------------------------------------------------------------------


def _send(request: Request, timeout_s: float) -> socket.socket:
    """Connect and ask; the socket is then ready to be polled."""
    text = f"GET {request.path} HTTP/1.0\r\nHost: docker\r\nUser-Agent: ds01ctl\r\n\r\n"
    opened = None
    try:
        opened = _connect(request.host, timeout_s)
        opened.sendall(text.encode("ascii"))
    except OSError as error:
        if opened is not None:
            opened.close()
        raise _failed(request.host, _trouble(error), error) from None
    opened.settimeout(0)
    return opened


def _connect(host: str, timeout_s: float) -> socket.socket:
    scheme, _, address = host.partition("://")
    if scheme == "unix":
        opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        opened.settimeout(timeout_s)
        try:
            opened.connect(address)
        except OSError:
            opened.close()
            raise
        return opened
    name, _, port = address.rstrip("/").rpartition(":")
    if scheme not in {"tcp", "http"} or not port.isdecimal():
        raise EngineError(host, "failed", _NOT_HERE)
    return socket.create_connection((name.strip("[]"), int(port)), timeout_s)


def _trouble(error: OSError) -> Trouble:
    if isinstance(error, TimeoutError):
        return "slow"
    return _TROUBLE_OF_ERRNO.get(error.errno or 0, "failed")


def _failed(host: str, trouble: Trouble, error: OSError) -> EngineError:
    return EngineError(host, trouble, (error.strerror or str(error)).lower())


# --- in ---------------------------------------------------------------------------------------


def _parse(host: str, raw: bytes) -> Answer:
    head, end, body = raw.partition(b"\r\n\r\n")
    protocol, _, status = head.partition(b"\r\n")[0].partition(b" ")
    if not end or not protocol.startswith(b"HTTP/") or not status[:3].isdigit():
        raise EngineError(host, "failed", "no HTTP answer" if raw else "closed without an answer")
    code = int(status[:3])
    if code != 200:
        trouble: Trouble = "not-found" if code == 404 else "failed"
        raise EngineError(host, trouble, f"status {code}{_message(body)}")
    headers = _headers(head)
    length = headers.get("content-length", "")
    if length.isdecimal() and len(body) != int(length):
        raise EngineError(host, "failed", f"answer cut short: {len(body)} of {length} bytes")
    return Answer(_json(host, body), headers.get("server"))


def _headers(head: bytes) -> dict[str, str]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    parted = (line.partition(":") for line in lines)
    return {name.strip().lower(): value.strip() for name, _, value in parted}


def _json(host: str, body: bytes) -> Any:
    try:
        value = json.loads(body)
        if b"\\ud" in body or b"\\uD" in body:
            # half a surrogate pair is text that nobody could print
            text = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
            value = json.loads(text)
    except (ValueError, RecursionError):
        raise EngineError(host, "failed", "answer cut short or not JSON") from None
    return value


def _message(body: bytes) -> str:
    """Quote the engine's own words, as far as they are any."""
    text = body.decode("utf-8", "replace")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    message = value.get("message") if isinstance(value, dict) else None
    return f": {message[:200]}" if isinstance(message, str) else ""
