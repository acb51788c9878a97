"""A socket that passes everything on to an engine and notes what was asked."""

from __future__ import annotations

import re
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class Tap:
    """Stands before an engine for as long as the ``with`` lasts."""

    def __init__(self, host: str, path: Path) -> None:
        self.host = f"unix://{path}"
        self.asked: list[str] = []
        """The first line of every request."""
        self._behind = host.removeprefix("unix://")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(64)
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Tap:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in tuple(self._threads):
            thread.join(10)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._threads.append(threading.Thread(target=self._serve, args=(client,)))
                self._threads[-1].start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError), socket.socket(socket.AF_UNIX) as engine:
            request = client.recv(1 << 16)
            if not request:
                return
            self.asked.append(request.decode("latin-1").partition("\r\n")[0])
            # one request a connection, or the next would go by unseen
            request = re.sub(rb"(?i)connection: *keep-alive", b"Connection: close", request)
            engine.connect(self._behind)
            engine.sendall(request)
            while part := engine.recv(1 << 16):
                client.sendall(part)
