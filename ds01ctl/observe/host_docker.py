"""Read Docker: the engine's word, daemon.json, the group, and how dockerd was started."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ds01ctl.core.host_facts import DaemonConfig, DockerFacts, EngineFacts, Unread
from ds01ctl.observe import engine_hosts, host_files
from ds01ctl.observe.engine_api import EngineError, Request, get

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ds01ctl.core.policy import Policy
    from ds01ctl.paths import Paths

_LATE = "no answer in time"
_USUAL = "/run/docker.sock"
_CONFIG_OPTION = "--config-file="


def read(paths: Paths, policy: Policy, commands: Sequence[tuple[str, ...]]) -> DockerFacts:
    """Read all there is of the first engine; commands: the command lines that run here."""
    setting = policy.setting("docker.hosts")
    is_built_in = setting.origin is None or not setting.origin.file
    listed = () if is_built_in else tuple(setting.value or ())
    hosts = engine_hosts.engine_hosts(listed, os.environ, paths)
    is_required = "docker" in (policy.value("require") or ())
    engine, host = _first(hosts.hosts, float(policy.value("docker.timeout_s")))
    command = command_of(host, commands)
    config = _config_path(command, paths)
    return DockerFacts(
        host=host,
        engine=engine,
        is_expected=hosts.named_by_admin or is_required,
        config_path=str(config),
        config=_config(config),
        group=_group(paths),
        command=command,
    )


def _first(addresses: Sequence[str], timeout_s: float) -> tuple[EngineFacts | Unread, str]:
    """Ask the first engine that is root's; a pattern may fit none."""
    hosts = engine_hosts.expand(addresses)
    host = next((one.address for one in hosts), addresses[0])
    ends = time.monotonic() + timeout_s
    try:
        version = get(Request(host, "/version"), deadline=ends, late=_LATE).value
        info = get(Request(host, "/info"), deadline=ends, late=_LATE).value
    except EngineError as error:
        return Unread(error.kind, error.message), host
    if not isinstance(version, dict) or not isinstance(info, dict):
        return Unread("failed", f"{host}: the answer is no object"), host
    return engine_of(version, info), host


def engine_of(version: dict[str, Any], info: dict[str, Any]) -> EngineFacts:
    """Pick out what is judged; any field may be missing, null or of another type."""
    status = [pair for pair in _list(info.get("DriverStatus")) if isinstance(pair, list)]
    named = {str(pair[0]): str(pair[1]) for pair in status if len(pair) == 2}
    runtimes = info.get("Runtimes")
    running = info.get("ContainersRunning")
    return EngineFacts(
        version=_text(version.get("Version")),
        api_version=_text(version.get("ApiVersion")),
        cgroup_driver=_text(info.get("CgroupDriver")),
        cgroup_version=_text(info.get("CgroupVersion")),
        default_runtime=_text(info.get("DefaultRuntime")),
        runtimes=tuple(sorted(runtimes)) if isinstance(runtimes, dict) else (),
        security=_texts(info.get("SecurityOptions")),
        live_restore=info.get("LiveRestoreEnabled") is True,
        log_driver=_text(info.get("LoggingDriver")),
        storage_driver=_text(info.get("Driver")),
        backing=named.get("Backing Filesystem", ""),
        data_root=_text(info.get("DockerRootDir")),
        running=running if isinstance(running, int) else 0,
        cdi_folders=_texts(info.get("CDISpecDirs")),
        warnings=_texts(info.get("Warnings")),
    )


def command_of(host: str, commands: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """Choose the dockerd that listens at an address; systemd hands the usual socket over."""
    for words in commands:
        named = " ".join(words)
        listens = host in named
        if listens or (host.endswith(_USUAL) and ("fd://" in named or "://" not in named)):
            return words
    return ()


def _config_path(command: Sequence[str], paths: Paths) -> Path:
    for word in command:
        if word.startswith(_CONFIG_OPTION):
            return Path(word.removeprefix(_CONFIG_OPTION))
    return paths.under("/etc/docker/daemon.json")


def _config(path: Path) -> DaemonConfig | Unread:
    text = host_files.text(path)
    if isinstance(text, Unread):
        return text
    if not text.strip():
        # dockerd takes an empty file for an empty object
        return DaemonConfig(str(path), {})
    try:
        settings = json.loads(text)
    except json.JSONDecodeError as error:
        where = f"{path}:{error.lineno}:{error.colno}"
        return DaemonConfig(str(path), {}, f"{where}: {error.msg}")
    except RecursionError:
        return DaemonConfig(str(path), {}, f"{path}:1:1: nested too deeply")
    if not isinstance(settings, dict):
        return DaemonConfig(str(path), {}, f"{path}:1:1: is no object ({{…}})")
    return DaemonConfig(str(path), settings)


def _group(paths: Paths) -> tuple[str, ...] | Unread:
    """Read the members of the group docker; a directory service may add others."""
    members = groups(paths).get("docker")
    return Unread("absent", "no group docker") if members is None else members[1]


def groups(paths: Paths) -> dict[str, tuple[int, tuple[str, ...]]]:
    """Read /etc/group: the number and the members by name."""
    found: dict[str, tuple[int, tuple[str, ...]]] = {}
    for line in (host_files.line(paths.under("/etc/group")) or "").splitlines():
        fields = line.split(":")
        if len(fields) == 4 and fields[2].isdecimal():
            members = tuple(sorted(name for name in fields[3].split(",") if name))
            found[fields[0]] = (int(fields[2]), members)
    return found


def _text(value: object) -> str:
    return value[:300] if isinstance(value, str) else ""


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _texts(value: object) -> tuple[str, ...]:
    return tuple(_text(one) for one in _list(value) if isinstance(one, str))
