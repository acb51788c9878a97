"""Ask container engines over their sockets: GET and JSON, nothing else.

By hand, because ``import docker`` costs more than everything else a run does. HTTP/1.0 has
neither chunks nor kept connections: an answer ends with its connection. Several requests are
under way at once, and nothing here ever waits for one of them alone: neither a slow engine nor a
slow request holds up the others, and one deadline covers all.
"""

from __future__ import annotations

import errno
import select
import socket
import time
from collections import deque
from typing import TYPE_CHECKING

from ds01ctl.observe.engine_answer import Answer, EngineError, Request, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ds01ctl.observe.engine_answer import Trouble

    Hear = Callable[[Request, Answer | EngineError], Iterable[Request]]

__all__ = ["Answer", "EngineError", "Request", "ask", "get"]

_IN_FLIGHT = 8
"""Requests at once to one engine."""
_CROWDED_S = 0.02
"""Seconds until a socket whose queue was full is tried again."""
_CHUNK = 1 << 18
_MIB = 1 << 20
_LARGEST = 64 * _MIB
"""Bytes of an answer of root's engines; 1,000 containers with large labels need about 10 MB."""
_LARGEST_OF_A_USER = 4 * _MIB
_MOST_OF_A_USER = 16 * _MIB
"""Bytes of all answers of a user's own engine together: what it says is kept in memory."""

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


def get(request: Request, *, deadline: float, late: str = "no answer in time") -> Answer:
    """Ask one thing until a point of time.monotonic(); raises EngineError."""
    heard: list[Answer | EngineError] = []

    def hear(_: Request, answer: Answer | EngineError) -> tuple[Request, ...]:
        heard.append(answer)
        return ()

    ask([request], hear, deadline=deadline, late=late)
    (answer,) = heard
    if isinstance(answer, EngineError):
        raise answer
    return answer


def ask(requests: Iterable[Request], hear: Hear, *, deadline: float, late: str) -> None:
    """Ask many things until a point of time.monotonic(), each once.

    ``hear`` gets every answer, as it comes, and gives what is to be asked because of it; what
    has no answer by the deadline is heard as an error that says ``late``.
    """
    _Exchange(hear, deadline, late).run(requests)


class _Connection:
    """One request under way."""

    __slots__ = ("opened", "parts", "request", "size", "unsent")

    def __init__(self, request: Request) -> None:
        """Begin to connect. Raises OSError; BlockingIOError where the socket's queue is full."""
        text = f"GET {request.path} HTTP/1.0\r\nHost: docker\r\nUser-Agent: ds01ctl\r\n\r\n"
        self.request = request
        self.unsent = text.encode("ascii")
        self.parts: list[bytes] = []
        self.size = 0
        self.opened = _connect(request.host)

    def advance(self) -> bool:
        """Send what is not sent, else take what has come; tell if there is more. Raises OSError."""
        if self.unsent:
            sent = self.opened.send(self.unsent, socket.MSG_NOSIGNAL)
            self.unsent = self.unsent[sent:]
            return True
        part = self.opened.recv(_CHUNK)
        self.parts.append(part)
        self.size += len(part)
        return bool(part)

    def waits_for(self) -> int:
        """Say which event of poll(2) comes next."""
        return select.POLLOUT if self.unsent else select.POLLIN


class _Exchange:
    """All requests of one ask, each engine's in its own queue."""

    def __init__(self, hear: Hear, deadline: float, late: str) -> None:
        self._hear = hear
        self._deadline = deadline
        self._late = late
        self._asked: set[Request] = set()
        self._waiting: dict[str, deque[Request]] = {}
        self._busy: dict[str, int] = {}
        self._taken: dict[str, int] = {}
        self._poll = select.poll()
        self._open: dict[int, _Connection] = {}

    def run(self, requests: Iterable[Request]) -> None:
        """Keep every engine busy until all is answered or time is up."""
        self._add(requests)
        try:
            # time, not silence, ends it: an engine may send a byte now and then for ever
            while left_s := max(self._deadline - time.monotonic(), 0.0):
                crowded = [host for host in tuple(self._waiting) if not self._fill(host)]
                if not self._open and not crowded:
                    return
                pause_s = min(left_s, _CROWDED_S) if crowded else left_s
                for descriptor, _ in self._poll.poll(pause_s * 1000):
                    self._advance(self._open[descriptor])
        finally:
            for connection in self._open.values():
                connection.opened.close()
        self._give_up()

    def _give_up(self) -> None:
        queued = [request for queue in self._waiting.values() for request in queue]
        for request in [*(each.request for each in self._open.values()), *queued]:
            self._hear(request, EngineError(request.host, "slow", self._late))

    def _add(self, requests: Iterable[Request]) -> None:
        for request in requests:
            if request not in self._asked:
                self._asked.add(request)
                self._waiting.setdefault(request.host, deque()).append(request)

    def _fill(self, host: str) -> bool:
        """Start what may be under way at once; tell whether it could be."""
        queue = self._waiting[host]
        while queue and self._busy.get(host, 0) < _IN_FLIGHT:
            request = queue.popleft()
            try:
                self._start(request)
            except BlockingIOError:
                queue.appendleft(request)
                return False
            except OSError as error:
                self._tell(request, _failed(host, _trouble(error), error))
            except EngineError as error:
                self._tell(request, error)
        return True

    def _start(self, request: Request) -> None:
        connection = _Connection(request)
        try:
            connection.advance()
        except BlockingIOError:
            # TCP is not there yet
            pass
        except OSError:
            connection.opened.close()
            raise
        self._busy[request.host] = self._busy.get(request.host, 0) + 1
        self._open[connection.opened.fileno()] = connection
        self._poll.register(connection.opened, connection.waits_for())

    def _tell(self, request: Request, answer: Answer | EngineError) -> None:
        self._add(self._hear(request, answer))

    def _advance(self, connection: _Connection) -> None:
        request, before = connection.request, connection.size
        try:
            if connection.advance():
                self._check_room(connection, connection.size - before)
                self._poll.modify(connection.opened, connection.waits_for())
                return
            raw = b"".join(connection.parts)
            answer: Answer | EngineError = parse(request.host, raw, is_stream=request.is_stream)
        except BlockingIOError:
            return
        except OSError as error:
            answer = _failed(request.host, _trouble(error), error)
        except EngineError as error:
            answer = error
        self._close(connection)
        self._tell(request, answer)

    def _check_room(self, connection: _Connection, came: int) -> None:
        """Count the bytes that came, and refuse what would fill the memory. Raises EngineError."""
        request = connection.request
        host, is_users_own, largest = request.host, request.is_users_own, request.largest
        self._taken[host] = self._taken.get(host, 0) + came
        largest = largest or (_LARGEST_OF_A_USER if is_users_own else _LARGEST)
        if connection.size > largest:
            size = f"{largest // _MIB} MiB" if largest >= _MIB else f"{largest // 1024} KiB"
            raise EngineError(host, "failed", f"answer above {size}")
        if is_users_own and self._taken[host] > _MOST_OF_A_USER:
            raise EngineError(host, "failed", f"answers above {_MOST_OF_A_USER // _MIB} MiB")

    def _close(self, connection: _Connection) -> None:
        self._busy[connection.request.host] -= 1
        self._poll.unregister(connection.opened)
        del self._open[connection.opened.fileno()]
        connection.opened.close()


def _connect(host: str) -> socket.socket:
    """Begin to connect, and wait for nothing. Raises OSError, EngineError."""
    scheme, _, address = host.partition("://")
    family, place = (socket.AF_UNIX, address) if scheme == "unix" else _inet(host)
    opened = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        opened.connect(place)
    except OSError as error:
        # that it goes on by itself is an answer for TCP only
        if error.errno != errno.EINPROGRESS:
            opened.close()
            raise
    return opened


def _inet(host: str) -> tuple[socket.AddressFamily, tuple[str, int]]:
    """Read ``tcp://ADDRESS:PORT``; a name but localhost would have to be looked up, and may hang.

    Raises EngineError.
    """
    scheme, _, address = host.partition("://")
    name, _, port = address.rstrip("/").rpartition(":")
    name = "127.0.0.1" if name == "localhost" else name.strip("[]")
    is_port = port.isascii() and port.isdecimal() and len(port) <= 5 and int(port) < 1 << 16
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, name)
        except (OSError, ValueError):
            continue
        if scheme in {"tcp", "http"} and is_port:
            return family, (name, int(port))
    raise EngineError(host, "failed", _NOT_HERE)


def _trouble(error: OSError) -> Trouble:
    return _TROUBLE_OF_ERRNO.get(error.errno or 0, "failed")


def _failed(host: str, trouble: Trouble, error: OSError) -> EngineError:
    return EngineError(host, trouble, (error.strerror or str(error)).lower())
