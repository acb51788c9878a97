"""An engine that speaks a newer API than the one at hand: a proxy that tells it so."""

from __future__ import annotations

import json
import re
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class NewerEngine:
    """Hands every request on, under the API version that the engine behind it speaks."""

    def __init__(self, folder: Path, behind: Path, *, tells: str, oldest: str, real: str) -> None:
        self.path = folder / "newer.sock"
        self.host = f"unix://{self.path}"
        self.asked: list[str] = []
        """The first line of every request, as it came."""
        self._behind, self._real = behind, real
        told = json.dumps({"ApiVersion": tells, "MinAPIVersion": oldest}).encode()
        self._version = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        self._version += b"Connection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(told), told)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen(64)
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def stop(self) -> None:
        """Close the listener and wait for every thread."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in tuple(self._threads):
            thread.join(10)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                thread = threading.Thread(target=self._serve, args=(connection,))
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            head = connection.recv(1 << 16).decode("latin-1")
            if not head:
                return
            line, _, rest = head.partition("\r\n")
            self.asked.append(line)
            if line.split()[1] == "/version":
                connection.sendall(self._version)
                return
            line = re.sub(r" /v[\d.]+/", f" /v{self._real}/", line)
            rest = re.sub(r"(?i)connection: *keep-alive", "Connection: close", rest)
            with socket.socket(socket.AF_UNIX) as engine:
                engine.connect(str(self._behind))
                engine.sendall(f"{line}\r\n{rest}".encode("latin-1"))
                while part := engine.recv(1 << 16):
                    connection.sendall(part)
