"""List the volumes of root's Docker engine, and where its data lie."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from ds01ctl.core.model import Gap
from ds01ctl.observe import engine_hosts
from ds01ctl.observe.engine_api import EngineError, Request, get

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ds01ctl.core.policy import Policy
    from ds01ctl.paths import Paths

USUAL_ROOT = "/var/lib/docker"
_LATE = "no answer in time"


class DockerVolume(NamedTuple):
    """A volume as the engine lists it."""

    name: str
    driver: str
    labels: Mapping[str, str]
    has_options: bool
    """Made with options such as type, device or size: its data may lie elsewhere, and a size is
    a project of Docker's own."""
    is_in_root: bool
    """Its data are where Docker's own are."""


class VolumesReading(NamedTuple):
    """What the engine told."""

    data_root: str
    """As a path of the host."""
    volumes: tuple[DockerVolume, ...]
    gaps: tuple[Gap, ...]


def read(paths: Paths, policy: Policy) -> VolumesReading:
    """Ask the first engine of root's for its volumes; without an answer there is a gap."""
    host = _host(paths, policy)
    if host is None:
        reason = "no engine of root's is named or here"
        return VolumesReading(_configured_root(paths), (), (Gap("docker", "absent", reason),))
    ends = time.monotonic() + float(policy.value("docker.timeout_s"))
    try:
        root = _root_of(get(Request(host, "/info"), deadline=ends, late=_LATE).value)
        listed = get(Request(host, "/volumes"), deadline=ends, late=_LATE).value
    except EngineError as error:
        gap = Gap("docker", error.kind, error.message)
        return VolumesReading(_configured_root(paths), (), (gap,))
    root = root or _configured_root(paths)
    entries = listed.get("Volumes") if isinstance(listed, dict) else None
    volumes = [_volume(one, root) for one in entries or () if isinstance(one, dict)]
    return VolumesReading(root, tuple(sorted(volumes, key=lambda one: one.name)), ())


def data_root(paths: Paths, policy: Policy) -> str:
    """Tell where Docker keeps its data: as it says itself, else as configured, else as usual."""
    host = _host(paths, policy)
    if host is not None:
        ends = time.monotonic() + float(policy.value("docker.timeout_s"))
        try:
            info = get(Request(host, "/info"), deadline=ends, late=_LATE).value
        except EngineError:
            pass
        else:
            return _root_of(info) or _configured_root(paths)
    return _configured_root(paths)


def _host(paths: Paths, policy: Policy) -> str | None:
    """Choose the first engine that nobody but root could have put there."""
    setting = policy.setting("docker.hosts")
    is_built_in = setting.origin is None or not setting.origin.file
    listed = () if is_built_in else tuple(setting.value or ())
    hosts = engine_hosts.expand(engine_hosts.engine_hosts(listed, os.environ, paths).hosts)
    return next((one.address for one in hosts if not one.uid), None)


def _root_of(info: object) -> str | None:
    root = info.get("DockerRootDir") if isinstance(info, dict) else None
    return os.path.normpath(root) if isinstance(root, str) and root.startswith("/") else None


def _configured_root(paths: Paths) -> str:
    settings = _json(paths.under("/etc/docker/daemon.json"))
    root = settings.get("data-root") if isinstance(settings, dict) else None
    is_path = isinstance(root, str) and root.startswith("/")
    return os.path.normpath(str(root)) if is_path else USUAL_ROOT


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(errors="replace"))
    except (OSError, ValueError, RecursionError):
        return None


def _volume(entry: dict[str, Any], root: str) -> DockerVolume:
    name = str(entry.get("Name") or "")
    labels = entry.get("Labels")
    labels = labels if isinstance(labels, dict) else {}
    return DockerVolume(
        name=name,
        driver=str(entry.get("Driver") or ""),
        labels={str(key): text for key, text in labels.items() if isinstance(text, str)},
        has_options=bool(entry.get("Options")),
        is_in_root=entry.get("Mountpoint") == f"{root}/volumes/{name}/_data"
        and name not in {"", ".", ".."}
        and "/" not in name,
    )
