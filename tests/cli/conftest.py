"""Run the program as an admin does, on a host of the test's own."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import pytest

from tools.json_reference import schema

VALIDATOR = jsonschema.Draft202012Validator(
    schema(), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
)


class Ran(NamedTuple):
    """What one run of the program left."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The JSON document on stdout, checked against the contract."""
        document: dict[str, Any] = json.loads(self.out)
        VALIDATOR.validate(document)
        return document


class Host:
    """A moved root with the real /proc in it, and an environment to run the program in."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("etc/ds01", "var/lib/ds01", "var/log", "run", "dev"):
            (root / name).mkdir(parents=True)
        (root / "var/lib/prometheus/node-exporter").mkdir(parents=True)
        (root / "proc").symlink_to("/proc")
        self.env = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("DS01_", "DOCKER_", "COV_"))
        }
        self.env |= {"DS01_ROOT": str(root), "COLUMNS": "200", "NO_COLOR": "1"}
        self.policy_path = root / "etc/ds01/resource-limits.yaml"
        self.events_path = root / "var/log/ds01/events.jsonl"
        self.metrics_path = root / "var/lib/prometheus/node-exporter/ds01_detect.prom"
        self.state_path = root / "var/lib/ds01/ds01ctl.db"

    def policy(self, text: str) -> None:
        """Write the policy file."""
        self.policy_path.write_text(text)

    def run(self, *arguments: object, wrap: tuple[str, ...] = (), **options: Any) -> Ran:
        """Run ``ds01ctl`` with these arguments; a traceback fails the test."""
        done = subprocess.run(
            [
                *wrap,
                sys.executable,
                *os.environ.get("DS01CTL_TRY", "-m ds01ctl").split(),
                *map(str, arguments),
            ],
            env=self.env,
            capture_output=True,
            text=True,
            timeout=120,
            stdin=options.pop("stdin", subprocess.DEVNULL),
            check=False,
            **options,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Ran(done.returncode, done.stdout, done.stderr)

    def on_terminal(self, *arguments: object, keys: str = "") -> str:
        """Run on a pseudo-terminal, type some keys, and give all that appeared."""
        command = shlex.join(
            [
                sys.executable,
                *os.environ.get("DS01CTL_TRY", "-m ds01ctl").split(),
                *map(str, arguments),
            ]
        )
        done = subprocess.run(
            ["script", "-qec", f"stty rows 50 cols 200; {command}", "/dev/null"],
            env={**self.env, "TERM": "xterm"},
            input=keys,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "Traceback" not in done.stdout, done.stdout
        return done.stdout

    def json(self, *arguments: object, status: int = 0, **options: Any) -> dict[str, Any]:
        """Run with ``--json`` and give the document, checked against the contract."""
        ran = self.run(*arguments, "--json", **options)
        assert ran.status == status, ran.out + ran.err
        return ran.document

    def events(self) -> list[dict[str, Any]]:
        """Read the event log."""
        if not self.events_path.exists():
            return []
        return [json.loads(line) for line in self.events_path.read_text().splitlines()]

    def metric(self, series: str) -> float:
        """Read one series of the textfile."""
        for line in self.metrics_path.read_text().splitlines():
            name, _, value = line.rpartition(" ")
            if name == series:
                return float(value)
        raise KeyError(series)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A host without NVML, Docker and policy."""
    return Host(tmp_path / "root")


@pytest.fixture
def gpu_process() -> Iterator[Callable[..., int]]:
    """Start sleeping processes that play GPU users; give their pids."""
    started: list[subprocess.Popen[bytes]] = []

    def start(uid: int | None = None) -> int:
        started.append(subprocess.Popen(["sleep", "300"], user=uid))
        return started[-1].pid

    yield start
    for one in started:
        one.kill()
        one.wait()


def kinds(document: dict[str, Any]) -> set[str]:
    """The kinds of a document's findings."""
    return {finding["kind"] for finding in document["findings"]}


def gaps(document: dict[str, Any]) -> set[tuple[str, str]]:
    """Sources and kinds of a document's gaps."""
    return {(gap["source"], gap["kind"]) for gap in document["gaps"]}
