"""What may be remembered of a container, so that the next run need not inspect it."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from ds01ctl.core.model import ContainerConfig, DeviceRequest
from ds01ctl.core.record import NamedTuple

_FORMAT = 4
"""Raise it when the fields change: what was remembered before is then forgotten."""


class KnownFacts(NamedTuple):
    """What an inspect told: the configuration for good, the rest until the state changes."""

    engine: str
    """The address of the engine that told it: what another says of the same id is another's."""
    state: str
    pid: int | None
    started_at: datetime | None
    finished_at: datetime | None
    config: ContainerConfig


def to_json(facts: KnownFacts) -> str:
    """Write facts as one short line of JSON."""
    config = facts.config
    requests = [
        [request.driver, request.count, request.device_ids, request.capabilities]
        for request in config.device_requests
    ]
    written = [
        _FORMAT,
        facts.engine,
        facts.state,
        facts.pid,
        _time(facts.started_at),
        _time(facts.finished_at),
        config.runtime,
        config.privileged,
        requests,
        config.devices,
        config.device_cgroup_rules,
        config.visible_devices,
        config.visible_devices_from_image,
        config.cgroup_parent,
        config.user,
        config.pid_mode,
        config.auto_remove,
        config.health_command,
    ]
    return json.dumps(written, separators=(",", ":"))


def from_json(text: str) -> KnownFacts | None:
    """Read what to_json wrote; None for anything else, so that the container is inspected."""
    try:
        return _facts(json.loads(text))
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None


def _facts(written: list[Any]) -> KnownFacts:
    version, engine, state, pid, started_at, finished_at, *configuration = written
    if version != _FORMAT:
        raise ValueError(version)
    times = _at(started_at), _at(finished_at)
    return KnownFacts(engine, state, pid, *times, _config(*configuration))


def _config(
    runtime: str,
    privileged: bool,  # noqa: FBT001 -- the order is that of the list
    requests: list[list[Any]],
    devices: list[str],
    rules: list[str],
    visible_devices: str | None,
    *rest: Any,
) -> ContainerConfig:
    *more, health_command = rest
    config = ContainerConfig(
        runtime,
        privileged,
        tuple(DeviceRequest(d, n, tuple(ids), tuple(caps)) for d, n, ids, caps in requests),
        tuple(devices),
        tuple(rules),
        visible_devices,
        *more,
    )
    return config._replace(health_command=tuple(health_command))


def _time(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def _at(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
