"""A Docker engine of the tests' own: real, private, gone when they are."""

from __future__ import annotations

import io
import os
import shutil
import signal
import socket
import subprocess
import tarfile
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

IMAGE = "ds01/busybox:1"
_LINKS = ("sh", "sleep", "cat", "ls", "id", "mknod", "echo", "tail")
_START_S = 30.0
_STOP_S = 20.0


def missing() -> str | None:
    """Say why an engine cannot be started here; None where it can."""
    if os.geteuid() != 0:
        return "a Docker engine needs root"
    if _program("dockerd") is None:
        return "dockerd is missing (Debian package docker.io)"
    if _static_busybox() is None:
        return "a static busybox is missing (Debian package busybox-static)"
    return None


def _path(programs: Path | None = None) -> str:
    # dockerd and runc lie in /usr/sbin, which is not on every PATH
    first = f"{programs}:" if programs else ""
    return f"{first}{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin:/sbin:/bin"


def _program(name: str, programs: Path | None = None) -> str | None:
    return shutil.which(name, path=_path(programs))


def _static_busybox() -> Path | None:
    for candidate in (Path("/bin/busybox"), Path("/usr/bin/busybox")):
        if candidate.exists() and b"/lib64/ld-linux" not in candidate.read_bytes()[:4096]:
            return candidate
    return None


class Engine:
    """A dockerd with its own data, state, containerd and socket below one temporary folder.

    Containers have no network, and the image holds a static busybox only. A runtime called
    ``nvidia`` is plain runc. Device requests can be created, but not started.
    """

    def __init__(
        self,
        *,
        folder: Path | None = None,
        options: Sequence[str] = (),
        programs: Path | None = None,
    ) -> None:
        """Start it. programs: a folder with another dockerd and containerd than the machine's."""
        # a socket's path may have at most 107 bytes, which a test's own folder easily exceeds
        self.folder = folder or Path(tempfile.mkdtemp(prefix="ds01-engine-"))
        self.socket = self.folder / "docker.sock"
        self.host = f"unix://{self.socket}"
        # containerd is strict about names; a temporary folder's may have any underscores
        self._namespace = f"ds01-{os.urandom(6).hex()}"
        self._options, self._programs = tuple(options), programs
        self._daemon: subprocess.Popen[bytes] | None = None
        self._client: Any = None
        try:
            self._start_daemon()
            self._import_image(IMAGE)
        except BaseException:
            self.stop()
            raise

    @property
    def is_machines(self) -> bool:
        """Whether it is the one that the machine has; the other one speaks a newer API."""
        return self._programs is None

    @property
    def client(self) -> Any:
        """The low-level SDK client (docker.APIClient) of this engine."""
        import docker

        if self._client is None:
            self._client = docker.APIClient(base_url=self.host, version="auto", timeout=60)
            # else each request walks through an environment that another thread may be changing
            self._client.trust_env = False
        return self._client

    def run(  # one keyword for each thing a test may want
        self,
        name: str | None = None,
        *,
        labels: Mapping[str, str] | None = None,
        mounts: Iterable[tuple[str | Path, str]] = (),
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        gpus: str | int | Sequence[str] | None = None,
        device_requests: Sequence[Mapping[str, Any]] | None = None,
        devices: Sequence[str] = (),
        device_cgroup_rules: Sequence[str] = (),
        privileged: bool = False,
        runtime: str | None = None,
        cgroup_parent: str | None = None,
        pid_mode: str | None = None,
        auto_remove: bool = False,
        health: Mapping[str, Any] | None = None,
        command: Sequence[str] = ("sleep", "infinity"),
        image: str = IMAGE,
        start: bool = True,
    ) -> str:
        """Create a container, start it unless told otherwise, and return its full id.

        ``gpus`` is what follows ``--gpus``: "all", a number, or ids; only with start=False.
        ``health`` is the API's Healthcheck: Test, and Interval in nanoseconds.
        Where the machine itself lacks a capability, ``privileged`` starts only with a ``user``.
        """
        requests = [*(device_requests or ()), *_gpu_requests(gpus)]
        host_config = self.client.create_host_config(
            binds=[f"{source}:{target}" for source, target in mounts],
            network_mode="none",
            devices=list(devices),
            device_cgroup_rules=list(device_cgroup_rules),
            device_requests=requests or None,
            privileged=privileged,
            runtime=runtime,
            cgroup_parent=cgroup_parent,
            pid_mode=pid_mode,
            auto_remove=auto_remove,
        )
        created = self.client.create_container(
            image,
            list(command),
            name=name,
            labels=dict(labels or {}),
            environment=dict(env or {}),
            user=user,
            host_config=host_config,
            healthcheck=health,
        )
        container_id = str(created["Id"])
        if start:
            self.client.start(container_id)
        return container_id

    def pid(self, container_id: str) -> int:
        """Return the host's pid of the container's first process; 0 when it does not run."""
        return int(self.client.inspect_container(container_id)["State"]["Pid"])

    def exec_detached(self, container_id: str, *command: str) -> None:
        """Start one more process in a running container."""
        made = self.client.exec_create(container_id, list(command))
        self.client.exec_start(made["Id"], detach=True)

    def remove(self, container_id: str) -> None:
        """Kill and remove a container; one that is gone is fine."""
        import docker.errors

        with suppress(docker.errors.NotFound):
            self.client.remove_container(container_id, force=True, v=True)

    def remove_all(self) -> None:
        """Kill and remove every container."""
        for container in self.client.containers(all=True, quiet=True):
            self.remove(container["Id"])

    def build_image(self, tag: str, *, env: Mapping[str, str]) -> str:
        """Make an image with variables of its own, as a CUDA image has; return its tag."""
        changes = [f"ENV {name}={value}" for name, value in env.items()]
        self._import_image(tag, changes=changes)
        return tag

    def restart_daemon(self) -> None:
        """Stop the daemon and start it again; running containers keep running."""
        self.stop_daemon()
        self._start_daemon()

    def stop_daemon(self) -> None:
        """Stop the daemon and leave the containers running (``live-restore``)."""
        if self._client is not None:
            self._client.close()
            self._client = None
        if self._daemon is None:
            return
        with suppress(OSError, ValueError):
            os.kill(int((self.folder / "pid").read_text()), signal.SIGTERM)
        try:
            self._daemon.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._daemon.kill()
            self._daemon.wait()
        self._daemon = None

    def stop(self) -> None:
        """Remove every container, stop the daemon and delete everything it wrote."""
        if self._daemon is not None and self.socket.exists():
            self.remove_all()
        self.stop_daemon()
        _unmount_below(self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start_daemon(self) -> None:
        # not the host's /etc/docker/daemon.json: it may say anything
        (self.folder / "daemon.json").write_text("{}")
        with (self.folder / "log").open("ab") as log:
            self._daemon = subprocess.Popen(
                [*self._argv(), *self._options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "PATH": _path(self._programs)},
            )
        self._wait_for_answer()

    def _argv(self) -> list[str]:
        # the name spaces keep us apart from another dockerd that shares a system containerd
        return [
            _program("dockerd", self._programs) or "dockerd",
            f"--config-file={self.folder}/daemon.json",
            f"--data-root={self.folder}/data",
            f"--exec-root={self.folder}/run",
            f"--pidfile={self.folder}/pid",
            f"--host={self.host}",
            "--bridge=none",
            "--iptables=false",
            "--ip6tables=false",
            "--live-restore",
            f"--containerd-namespace={self._namespace}",
            f"--containerd-plugins-namespace={self._namespace}-plugins",
            f"--add-runtime=nvidia={_program('runc')}",
        ]

    def _wait_for_answer(self) -> None:
        waiting_until = time.monotonic() + _START_S
        while time.monotonic() < waiting_until:
            if self._answers():
                return
            if self._daemon is not None and self._daemon.poll() is not None:
                break
            time.sleep(0.05)
        log = (self.folder / "log").read_text(errors="replace")
        raise RuntimeError(f"dockerd does not answer:\n{log[-3000:]}")

    def _answers(self) -> bool:
        # by hand: the SDK leaves a socket open each time it is refused
        with suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(str(self.socket))
            connection.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
            return b" 200 " in connection.recv(64)
        return False

    def _import_image(self, tag: str, *, changes: Sequence[str] = ()) -> None:
        repository, _, version = tag.partition(":")
        self.client.import_image_from_data(
            _rootfs(), repository=repository, tag=version, changes=list(changes) or None
        )


def _gpu_requests(gpus: str | int | Sequence[str] | None) -> list[dict[str, Any]]:
    if gpus is None:
        return []
    request: dict[str, Any] = {"Driver": "", "Capabilities": [["gpu"]], "Options": {}}
    if gpus == "all":
        return [request | {"Count": -1, "DeviceIDs": None}]
    if isinstance(gpus, int):
        return [request | {"Count": gpus, "DeviceIDs": None}]
    return [request | {"Count": 0, "DeviceIDs": list(gpus)}]


def _rootfs() -> bytes:
    """Pack a root file system of a static busybox and a few links to it."""
    busybox = _static_busybox()
    if busybox is None:
        raise RuntimeError("no static busybox")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.add(busybox, arcname="bin/busybox")
        for name in _LINKS:
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname, link.mode = tarfile.SYMTYPE, "busybox", 0o777
            tar.addfile(link)
    return packed.getvalue()


def _unmount_below(folder: Path) -> None:
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    points = [line.split()[1] for line in mounts if line.split()[1].startswith(f"{folder}/")]
    for point in sorted(points, reverse=True):
        subprocess.run(["umount", "--lazy", point], check=False, capture_output=True)
