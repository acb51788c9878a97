"""A large host for `cleanup plan`: containers that run, an NVML double, an engine with images.

What runs has control groups and processes of its own, so that the kernel answers; the engine is a
socket of ours that gives the JSON of Docker.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ds01ctl.paths import Paths
from ds01ctl.state import State
from tests.bench import cleanup
from tests.nvml.double import GIB, NvmlDouble
from tests.observe.stub_engine import ID, StubEngine, entry, inspect_of

if TYPE_CHECKING:
    from types import TracebackType

    from ds01ctl.core.model import Container

GPUS, USERS, REPOSITORIES = 8, 80, 400
_LONG_AGO = 1_700_000_000
_STARTED = "2026-11-20T12:00:00Z"
_ENDED = datetime.now(timezone.utc) - timedelta(days=3, hours=4)
"""As what the list says in words has it: else each would be asked for anew."""
_POLICY = """\
docker: {hosts: ['%s']}
defaults: {idle_timeout_h: 48, max_runtime_h: 200, container_hold_after_stop_h: 48}
cleanup:
  mode: enforce
  images: {max_unused_d: 30}
"""


class Size(NamedTuple):
    """How large the host is."""

    running: int
    stopped: int
    images: int


class _Answers(dict[str, bytes]):
    """Events are asked for with the times of the look, which nobody knows before."""

    def get(self, path: str, default: Any = None) -> Any:
        return super().get("/events" if path.startswith("/events?") else path, default)


class CleanupWorld:
    """Running containers are on a GPU each; the others have ended; most images are unused."""

    def __init__(self, folder: str, size: Size) -> None:
        self.size = size
        self._folder = Path(folder)
        self.root = self._folder / "root"
        for name in ("etc/ds01", "var/lib/docker/overlay2", "var/log/ds01", "run", "dev", "home"):
            (self.root / name).mkdir(parents=True)
        (self.root / "var/lib/prometheus/node-exporter").mkdir(parents=True)
        for name in ("proc", "sys"):
            (self.root / name).symlink_to(f"/{name}")
        self.engine = StubEngine(self._folder)
        self.engine.answers = _Answers()
        (self.root / "etc/ds01/resource-limits.yaml").write_text(_POLICY % self.engine.host)
        self._host = cleanup.Host(cleanup.Shape(size.running, 1))

    def __enter__(self) -> CleanupWorld:
        self._host.__enter__()
        listed = [_running(one, number) for number, one in enumerate(self._host.containers)]
        self._listed = [*listed, *(_stopped(number) for number in range(1, self.size.stopped + 1))]
        self._answer()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.engine.stop()
        self._host.__exit__(kind, error, at)

    def _answer(self) -> None:
        engine = self.engine
        engine.containers(*self._listed)
        for one in self._listed:
            state = inspect_of(one)
            state["State"]["FinishedAt"] = one.get("FinishedAt", "0001-01-01T00:00:00Z")
            engine.answer(f"/containers/{one['Id']}/json", state)
        images = [_image(number) for number in range(self.size.images)]
        engine.answer("/images/json?all=1", images)
        engine.answer("/info", {"DockerRootDir": "/var/lib/docker", "Driver": "overlay2"})
        engine.answer("/version", {"ApiVersion": "1.41", "MinAPIVersion": "1.12"})
        engine.answer("/networks", [])
        engine.answer("/volumes", {"Volumes": [], "Warnings": None})
        engine.raw("/events", b"")

    def change(self, count: int) -> None:
        """Put containers that nobody has seen in the place of as many that have ended."""
        for at in range(count):
            self._listed[-1 - at] = _stopped(500_000 + at)
        self._answer()

    def forget_uses(self) -> None:
        """Have every image be unused for years."""
        with State.open_for_recording(Paths(self.root)) as state, state.transaction():
            known = state.image_uses()
            state.put_image_uses({}, gone=known)
            state.put_image_uses(dict.fromkeys(known, (_LONG_AGO, _LONG_AGO)))

    def env(self) -> dict[str, str]:
        """Tell the environment of a run."""
        env = {k: v for k, v in os.environ.items() if not k.startswith(("DS01_", "DOCKER_"))}
        env |= {**self._gpus().env(), "DS01_ROOT": str(self.root)}
        del env["FAKE_NVML_LOG"]
        return env

    def _gpus(self) -> NvmlDouble:
        nvml = NvmlDouble(self._folder, self._folder / "libraries")
        for gpu in range(GPUS):
            nvml.gpu(gpu, mem_used=30 * GIB)
        for number, one in enumerate(self._host.containers):
            assert one.pid
            nvml.process(number % GPUS, one.pid, GIB // 4)
            nvml.sample(number % GPUS, one.pid, -1000, sm=1 + number % 9)
        return nvml


def _running(one: Container, number: int) -> dict[str, Any]:
    about = {"Pid": one.pid, "StartedAt": _STARTED, "Status": "Up 3 hours"}
    return {**_entry(number, "running"), **about, "Id": one.id, "Names": [f"/{one.name}"]}


def _stopped(number: int) -> dict[str, Any]:
    ended = {"StartedAt": _STARTED, "FinishedAt": _ENDED.isoformat()}
    return {**_entry(number, "exited"), **ended, "Status": "Exited (0) 3 days ago"}


def _entry(number: int, state: str) -> dict[str, Any]:
    labels = {"ds01.managed": "true", "ds01.user": f"user{number % USERS:02}"}
    return entry(1000 + number, state=state, Labels=labels, Image=_name(number % 50),
                 ImageID=_image_id(number % 50))  # fmt: skip


def _image(number: int) -> dict[str, Any]:
    return {
        "Id": _image_id(number), "ParentId": "", "RepoTags": [_name(number)], "RepoDigests": None,
        "Created": 1_760_000_000 + number, "Size": 5 * GIB + number, "SharedSize": -1,
        "VirtualSize": 5 * GIB + number, "Containers": -1,
        "Labels": {"maintainer": "lab", "ds01.user": f"user{number % USERS:02}"},
    }  # fmt: skip


def _name(number: int) -> str:
    return f"lab/r{number % REPOSITORIES}:{number}"


def _image_id(number: int) -> str:
    return f"sha256:{ID(number + 1)}"
