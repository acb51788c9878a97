"""A host with a real engine for tests of `cleanup`, whose memory can be made older."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ds01ctl.commands.cleanup_rows import read_watch, watch_text
from ds01ctl.core.cleanup_model import Part, Warned, Watch
from ds01ctl.core.cleanup_stages import IDLE, RUNTIME
from ds01ctl.paths import Paths
from ds01ctl.state import State
from tests.cli.conftest import Host, Ran
from tests.engine import Engine

CONTAINERS = "idle,runtime,stopped,created,gpu-holds"
IMAGES = "images,cache,networks"
POLICY = """\
defaults: {idle_timeout_h: 1, max_runtime_h: 24, container_hold_after_stop_h: 1}
policies: {grace_period_m: 0, idle_detection_window: 1, created_container_timeout_m: 1,
  sigterm_grace_s: 1}
cleanup:
  mode: enforce
  idle_without_gpu: true
  runtime_without_gpu: true
  unowned: act
  breaker: {after_boot_m: 0, after_upgrade_m: 0}
"""
LIMITS_H: dict[Part, float] = {"idle": 1, "runtime": 24}
"""As the policy has them."""
OWNER = "nobody"
HOUR = 3600.0
SOURCES = str(Path(__file__).parent.parent.parent)


class CleanupHost:
    """The host of the other command line tests, with an engine and what tests of cleanup do."""

    def __init__(self, base: Host, engine: Engine) -> None:
        self.base, self.engine = base, engine
        self.root = base.root
        (self.root / "sys").symlink_to("/sys")
        (self.root / "tmp").symlink_to("/tmp")
        (self.root / "var/log/ds01").mkdir(parents=True)
        base.env |= {"DOCKER_HOST": engine.host, "PYTHONPATH": SOURCES}
        base.policy(POLICY)
        self.paths = Paths(self.root)
        self.home = give(self.root / "home" / OWNER)
        """Where its owner is warned."""

    def container(self, name: str, *, user: str = OWNER, **options: Any) -> str:
        """Run a container that does nothing, of somebody."""
        labels = {"ds01.user": user, **options.pop("labels", {})}
        return self.engine.run(name, labels=labels, **options)

    def run(self, *arguments: object, **options: Any) -> Ran:
        """Run a command of cleanup."""
        return self.base.run("cleanup", *arguments, **options)

    def json(self, *arguments: object, status: int = 0, **options: Any) -> dict[str, Any]:
        """Run a command of cleanup with --json; the document is checked against the contract."""
        return self.base.json("cleanup", *arguments, status=status, **options)

    def apply(self, *more: object, only: str = CONTAINERS, status: int = 0) -> dict[str, Any]:
        """Do what the timer does."""
        return self.json("apply", "--yes", "--only", only, *more, status=status)

    # --- the world ---

    def state_of(self, id_: str) -> str | None:
        """Say the state of a container; None: it is gone."""
        import docker.errors

        try:
            return str(self.engine.client.inspect_container(id_)["State"]["Status"])
        except docker.errors.NotFound:
            return None

    def started_at(self, id_: str) -> str:
        """Say when its present run began."""
        return str(self.engine.client.inspect_container(id_)["State"]["StartedAt"])

    # --- memory ---

    def watch(self, id_: str) -> Watch:
        """Read what is remembered of a container."""
        state = State.open_for_reading(self.paths)
        assert state is not None
        with state:
            found = read_watch(state.watches()[id_])
        assert found is not None
        return found

    def remember(self, id_: str, **values: Any) -> None:
        """Have it remembered as if more time had gone by."""
        watch = self.watch(id_)
        # the next look is compared with this sample, which must not be of that very moment
        age = datetime.now(timezone.utc) - watch.looked.now
        time.sleep(max(0.0, 1.1 - age.total_seconds()))
        watch = watch._replace(**values)
        with State.open_for_recording(self.paths) as state, state.transaction():
            state.put_watches({id_: watch_text(watch)})

    def due(self, id_: str, part: Part = "idle", hours: float = 2) -> None:
        """Have a container be due for its stop: it was warned twice, and in time."""
        at, limit_s = datetime.now(timezone.utc), LIMITS_H[part] * HOUR
        stages = IDLE if part == "idle" else RUNTIME
        marks = enumerate((stages.first, stages.second), 1)
        warned = tuple(Warned(part, stage, at, limit_s * mark, ("test",)) for stage, mark in marks)
        name = "idle_s" if part == "idle" else "ran_s"
        self.remember(id_, **{name: hours * HOUR, "streak": 5, "warned": warned})

    def log(self) -> list[tuple[str, str]]:
        """Read what was done, and what came of it."""
        state = State.open_for_reading(self.paths)
        if state is None:
            return []
        with state:
            return [(row.kind, row.outcome) for row in state.log_since("")]

    def marks(self) -> dict[str, str]:
        """Read the marks."""
        state = State.open_for_reading(self.paths)
        assert state is not None
        with state:
            return state.marks()

    # --- a run that is killed, or in which something happens ---

    def with_hook(self, hook: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run cleanup with an audit hook in it: ``hook(event, args)``, by Python's sys."""
        code = f"import os, signal, sys, time\n{hook}\nsys.addaudithook(hook)\n"
        code += "from ds01ctl import __main__\n__main__.main()\n"
        return subprocess.run(
            [sys.executable, "-c", code, "cleanup", *arguments],
            env={**self.base.env, **env},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


KILL = """
count, asking = 0, False
def hook(event, args):
    global count, asking
    words = " ".join(str(one) for one in args[:2])
    sent = event == "http.client.send"
    written = event == "open" and isinstance(args[2], int) and args[2] & (os.O_CREAT | os.O_APPEND)
    if not (sent or event == "os.rename" or (written and "/ds01/" in words)):
        return
    asks = sent and args[1].startswith(b"GET ")
    if not (asks and asking):
        count += 1
        if count == int(os.environ["KILL_AT"]):
            os.kill(os.getpid(), signal.SIGKILL)
    asking = asks
"""
"""Kills right before the Nth thing that is done to an engine or to a file of ours.

Of questions in a row only the first counts: they change nothing, and what the store is given
between two of them lies between the first and what is done next.
"""

KILL_AFTER = """
asked = False
def hook(event, args):
    global asked
    if event != "http.client.send":
        return
    if asked:
        os.kill(os.getpid(), signal.SIGKILL)
    asked = os.environ["AFTER"].encode() in args[1]
"""
"""Kills once an engine has done what it was asked, and before anybody could note that it has."""

MEANWHILE = """
opened = 0
def hook(event, args):
    global opened
    if event == "sqlite3.connect" and "mode=rw" in str(args[0]):
        opened += 1
        if opened == 2:
            with open(os.environ["FILE"], "w") as file:
                file.write(os.environ["TEXT"])
            time.sleep(float(os.environ["SLEEP"]))
"""
"""Writes a file between the look and what is done: the store is opened first to be brought up to
date, and then to be written in."""


def was_killed(done: subprocess.CompletedProcess[str]) -> bool:
    """Tell whether a run was killed; any other end must be a good one."""
    assert done.returncode in {0, -signal.SIGKILL}, done.stdout + done.stderr
    return done.returncode != 0


def owner_uid() -> int:
    """Give the uid of the owner of the tests' containers."""
    import pwd

    return pwd.getpwnam(OWNER).pw_uid


def give(path: Path) -> Path:
    """Make a folder of the owner's."""
    path.mkdir(parents=True, exist_ok=True)
    os.chown(path, owner_uid(), -1)
    return path
