"""A real Prometheus that scrapes one `.prom` file, as node_exporter serves it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import quote
from urllib.request import urlopen

import pytest

if TYPE_CHECKING:
    from pathlib import Path

_EVERY_S = 0.2
_CONFIG = """\
global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}
scrape_configs:
- job_name: textfile
  static_configs: [{{targets: ['127.0.0.1:{port}']}}]
"""


class Prometheus:
    """Scrapes from the beginning of the `with` block to its end."""

    def __init__(self, folder: Path, prom: Path) -> None:
        if shutil.which("prometheus") is None:
            (pytest.fail if os.environ.get("CI") else pytest.skip)("prometheus is not installed")
        self.folder = folder
        self.scrapes = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler(prom))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._port = _free_port()

    def __enter__(self) -> Prometheus:
        self._thread.start()
        config = self.folder / "prometheus.yml"
        config.write_text(_CONFIG.format(port=self._server.server_port))
        self._process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={self.folder / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{self._port}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            self.wait_for_scrape()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def wait_for_scrape(self) -> None:
        """Wait until the file as it is now was scraped."""
        wanted = self.scrapes + 2
        until = time.monotonic() + 30
        while self.scrapes < wanted:
            assert self._process.poll() is None, "prometheus has ended"
            assert time.monotonic() < until, "prometheus does not scrape"
            time.sleep(_EVERY_S / 4)

    def ask(self, query: str) -> float:
        """Evaluate a query that gives one number."""
        url = f"http://127.0.0.1:{self._port}/api/v1/query?query={quote(query)}"
        with urlopen(url, timeout=30) as answer:
            [row] = json.load(answer)["data"]["result"]
        return float(row["value"][1])

    def _handler(self, prom: Path) -> type[BaseHTTPRequestHandler]:
        scraper = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = prom.read_bytes()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                scraper.scrapes += 1

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port
