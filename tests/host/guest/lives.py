"""Generated lives of containers, some at a time, and a record of all that happened to them.

Runs in the guest, where it is root on behalf of users: ``lives.py NUMBER AT_ONCE SPAN_S RECORD``.
All lives end once there is a file ``RECORD.over``. The record is JSON: what was done here
(``own``), and what Docker told of it (``events``).
"""

from __future__ import annotations

import json
import os
import pwd
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import docker

if TYPE_CHECKING:
    from collections.abc import Callable

USERS = ("alice", "bob", "carol")
IMAGE = "ds01/busybox:1"
SLEEP = "sleep 100000"
# some tenths of a core, in each second anew
BUSY = "while :; do i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done; sleep 0.3; done"
KINDS = (
    "idle", "created", "kept", "paused", "busy", "short", "restless", "protected", "late",
    "restless",
)  # fmt: skip
OPERATIONS = ("start", "stop", "restart", "rename", "recreate", "pause", "unpause", "remove")


class World:
    """The engine, and what was done to it."""

    def __init__(self, over: Path) -> None:
        self.over = over
        self.client = docker.APIClient(version="auto", timeout=120)
        self.own: list[dict[str, Any]] = []

    def act(self, what: str, id_: str, call: Callable[[], Any]) -> Any:
        """Do it, and note when it was under way; what the engine refuses is noted, too."""
        row = {"what": what, "id": id_, "begin": time.time(), "error": None}
        # before it is done: what is under way is ours as well
        self.own.append(row)
        answer = None
        try:
            answer = call()
        except docker.errors.APIError as error:
            row["error"] = str(error.explanation)
        row["end"] = time.time()
        return answer


class Life:
    """One life: of one container, or of several that have its name one after the other."""

    def __init__(self, number: int, world: World, span_s: float) -> None:
        self.kind, self.name = KINDS[number % len(KINDS)], f"life{number}"
        self._world, self._client = world, world.client
        self._random = random.Random(number)
        self._user, self._volume = USERS[number % len(USERS)], number % 2 == 0
        self._end = time.monotonic() + span_s
        self._span_s = span_s
        self._ids: list[str] = []
        self._folder = Path("/home", self._user, self.name)
        self._folder.mkdir()
        self._give(self._folder)

    def live(self) -> None:
        """Live it, and then take away what is left of it."""
        self._create()
        getattr(self, f"_{self.kind}", self._idle)()
        for id_ in self._ids:
            self._do("remove", id_, force=True)

    # --- kinds ---

    def _idle(self) -> None:
        self._do("start")
        self._wait_to_the_end()

    _busy = _protected = _short = _idle

    def _created(self) -> None:
        self._wait_to_the_end()

    def _late(self) -> None:
        # sooner or later than the limit for those that never were started
        self._pause(self._random.uniform(1, 14))
        self._idle()

    def _kept(self) -> None:
        keep = self._folder / ".keep-alive"

        def touch() -> None:
            keep.touch()
            self._give(keep)

        self._world.act("keep", self._ids[-1], touch)
        self._do("start")
        if self._random.random() < 0.3:
            self._pause(self._span_s / 3)
            self._world.act("unkeep", self._ids[-1], keep.unlink)
        self._wait_to_the_end()

    def _paused(self) -> None:
        self._do("start")
        self._pause(self._random.uniform(0, 10))
        self._do("pause")
        self._wait_to_the_end()

    def _restless(self) -> None:
        self._do("start")
        while not self._is_over():
            self._pause(self._random.expovariate(1 / 6))
            operation = self._random.choice(OPERATIONS)
            if operation == "rename":
                # and another takes the name
                self._do("rename", None, f"{self.name}-{self._random.randrange(10**6)}")
                self._create()
            elif operation == "recreate":
                self._do("remove", force=True)
                self._create()
                self._do("start")
            elif operation in {"stop", "restart"}:
                self._do(operation, timeout=1)
            else:
                self._do(operation)

    # --- deeds ---

    def _create(self) -> None:
        binds = [f"{self._folder}:/workspace"]
        binds += [f"of-{self.name}:/data"] if self._volume else []
        labels = {"life": self.kind} | (
            {"ds01.protected": "true"} if self.kind == "protected" else {}
        )
        command = {"busy": ["sh", "-c", BUSY], "short": ["sleep", "5"]}.get(self.kind)
        config = self._client.create_host_config(binds=binds, network_mode="none")

        def create() -> Any:
            return self._client.create_container(
                IMAGE, command or SLEEP.split(), name=self.name, labels=labels, host_config=config
            )

        if made := self._world.act("create", "", create):
            self._ids.append(made["Id"])

    def _do(self, what: str, id_: str | None = None, *values: Any, **options: Any) -> None:
        id_ = id_ or self._ids[-1]
        call = getattr(self._client, "remove_container" if what == "remove" else what)
        self._world.act(what, id_, lambda: call(id_, *values, **options))

    def _give(self, path: Path) -> None:
        account = pwd.getpwnam(self._user)
        os.chown(path, account.pw_uid, account.pw_gid)

    def _pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self._is_over():
            time.sleep(min(0.5, seconds))

    def _wait_to_the_end(self) -> None:
        while not self._is_over() and self._is_there():
            self._pause(1)

    def _is_over(self) -> bool:
        return time.monotonic() > self._end or self._world.over.exists()

    def _is_there(self) -> bool:
        return bool(self._client.containers(all=True, quiet=True, filters={"id": self._ids[-1]}))


def main(number: int, at_once: int, span_s: float, record: Path) -> None:
    """Live so many lives, and write down what was done and what Docker told."""
    world, told = World(record.with_suffix(".over")), record.with_suffix(".events")
    listen = ["docker", "events", f"--since={time.time():.3f}", "--format={{json .}}"]
    with told.open("w") as file, subprocess.Popen(listen, stdout=file) as listening:
        with ThreadPoolExecutor(at_once) as pool:
            list(pool.map(lambda one: Life(one, world, span_s).live(), range(number)))
        # what comes after everything else
        last = world.client.create_container(IMAGE, SLEEP.split())["Id"]
        while last not in told.read_text():
            time.sleep(0.1)
        listening.terminate()
    world.client.remove_container(last)
    events = [json.loads(line) for line in told.read_text().splitlines()]
    record.write_text(json.dumps({"own": world.own, "events": events}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), Path(sys.argv[4]))
