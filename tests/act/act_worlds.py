"""What the tests of acts on containers and images need of an engine."""

from __future__ import annotations

import io
import json
import os
import signal
import tarfile
from typing import TYPE_CHECKING, Any

from ds01ctl.act import containers
from tests.engine import IMAGE

if TYPE_CHECKING:
    from ds01ctl.act.engine import Done
    from tests.engine import Engine

OBEYS = ("sh", "-c", "trap 'exit 0' TERM; sleep 1000 & wait")
"""Ends at SIGTERM; what is plainly ``sleep`` does not, as the first process of a container."""


GRACE_S = 2
NEVER = "0001-01-01T00:00:00Z"


def run(engine: Engine, name: str | None = None, **options: Any) -> str:
    """Run a container that obeys SIGTERM; return its id."""
    return engine.run(name, **{"command": OBEYS, **options})


def count(engine: Engine, wanted: int) -> int:
    """Say how many rounds: all on the machine's own engine, some on the one with a newer API."""
    return wanted if engine.is_machines or os.environ.get("DS01_ALL_ROUNDS") else wanted * 3 // 10


def state_of(engine: Engine, container_id: str) -> dict[str, Any] | None:
    """Ask for the state of a container; None: it is gone."""
    import docker.errors

    try:
        return dict(engine.client.inspect_container(container_id)["State"])
    except docker.errors.NotFound:
        return None


def create(engine: Engine, image: str = IMAGE, name: str | None = None, **host: Any) -> str:
    """Create a container with any host configuration; return its id."""
    client = engine.client
    config = client.create_host_config(**{"network_mode": "none", **host})
    made = client.create_container(image, list(OBEYS), name=name, host_config=config)
    return str(made["Id"])


def tiny_image(engine: Engine, reference: str, content: str = "") -> str:
    """Import an image with one small file of its own; return its id."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        told = f"{reference} {content}".encode()
        entry = tarfile.TarInfo("who")
        entry.size = len(told)
        tar.addfile(entry, io.BytesIO(told))
    repository, _, tag = reference.rpartition(":")
    answer = engine.client.import_image_from_data(
        packed.getvalue(), repository=repository, tag=tag, changes=["CMD /who"]
    )
    # not by its name: that may be another's, or gone, by now
    return str(json.loads(answer.strip().splitlines()[-1])["status"])


def image_id(engine: Engine, name: str) -> str | None:
    """Ask for the id of an image; None: there is none."""
    import docker.errors

    try:
        return str(engine.client.inspect_image(name)["Id"])
    except docker.errors.ImageNotFound:
        return None


def kill_daemon(engine: Engine) -> None:
    """Kill an engine's daemon, and make that it can be started again."""
    os.kill(int((engine.folder / "pid").read_text()), signal.SIGKILL)
    engine.stop_daemon()
    # its containerd dies with it; as a zombie it would be taken for one that still runs
    (engine.folder / "run/containerd/containerd.pid").unlink(missing_ok=True)


def stop(engine: Engine, container_id: str, started_at: str, **options: Any) -> Done:
    """Stop a container with what most tests leave as it is."""
    return containers.stop(
        engine.host, container_id, **{"started_at": started_at, "grace_s": GRACE_S} | options
    )


def do(host: str, act: str, container_id: str) -> Done:
    """Do to a container what is given by its name."""
    if act == "stop":
        return containers.stop(host, container_id, started_at=NEVER, grace_s=1)
    if act == "start":
        return containers.start(host, container_id, finished_at=NEVER)
    return containers.remove(host, container_id, state="exited", finished_at=NEVER)
