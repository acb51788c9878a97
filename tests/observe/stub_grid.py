"""A provider of carbon intensities that answers as it is told, in a process of its own.

``python -m tests.observe.stub_grid FILE`` serves what the JSON file says for each path; a number
on its first line of output is its port. What it was asked is written beside, to FILE.log.
"""

from __future__ import annotations

import http.server
import json
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple


class Answer(NamedTuple):
    """What a path answers."""

    body: str = ""
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    manner: str = "whole"
    """whole; silent; slow-head; slow-body; endless; cut: closes early; no-http."""


class Stub:
    """The server's handle: what it answers, and what it was asked."""

    def __init__(self, folder: Path, certificate: Path | None = None) -> None:
        self._file = folder / "answers.json"
        self._log = folder / "answers.json.log"
        self.answer({})
        command = [sys.executable, "-m", "tests.observe.stub_grid", str(self._file)]
        if certificate:
            command.append(str(certificate))
        root = Path(__file__).parents[2]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root)
        assert self._process.stdout
        self.port = int(self._process.stdout.readline())
        scheme = "https" if certificate else "http"
        self.url = f"{scheme}://127.0.0.1:{self.port}"

    def answer(self, answers: dict[str, Answer]) -> None:
        """Say what each path answers; "*" is any other."""
        self._file.write_text(json.dumps(answers))

    def asked(self) -> list[dict[str, Any]]:
        """List the requests: path and headers, these in lower case."""
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        return [json.loads(line) for line in lines]

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout
        self._process.stdout.close()


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        file = Path(sys.argv[1])
        answers = json.loads(file.read_text())
        path = self.path.partition("?")[0]
        headers = {name.lower(): value for name, value in self.headers.items()}
        with Path(f"{file}.log").open("a") as log:
            log.write(json.dumps({"path": self.path, "headers": headers}) + "\n")
        answer = Answer(*answers.get(path, answers.get("*", Answer(status=404))))
        try:
            self._serve(answer)
        except OSError:
            self.close_connection = True

    def _serve(self, answer: Answer) -> None:
        body = answer.body.encode()
        if answer.manner == "silent":
            time.sleep(60)
        if answer.manner == "no-http":
            self.wfile.write(b"SSH-2.0-OpenSSH_9.2p1\r\n")
            return
        if answer.manner == "slow-head":
            self._drip(b"HTTP/1.0 200 OK\r\nX-Slow: " + b"x" * 1000)
        self.send_response(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        if answer.manner == "cut":
            self.send_header("Content-Length", str(len(body) + 1000))
        self.end_headers()
        if answer.manner == "slow-body":
            self._drip(body)
        self.wfile.write(body)
        while answer.manner == "endless":
            self.wfile.write(b" " * 65536)

    def _drip(self, data: bytes) -> None:
        for place in range(len(data)):
            self.wfile.write(data[place : place + 1])
            self.wfile.flush()
            time.sleep(0.1)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def _serve() -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    if len(sys.argv) > 2:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[2])
        server.socket = context.wrap_socket(server.socket, server_side=True)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    _serve()
