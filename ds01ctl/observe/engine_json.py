"""Turn what an engine's API says into model values; Docker's, and podman's imitation of it.

Any field may be missing, null or of another type: an engine may be a user's own.
"""

from __future__ import annotations

import re
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from ds01ctl.core.model import Container, ContainerConfig, DeviceRequest, Mount
from ds01ctl.observe.clock import seconds_in, time_in
from ds01ctl.observe.container_facts import KnownFacts
from ds01ctl.observe.procfs import is_pid

if TYPE_CHECKING:
    from datetime import datetime

_ID = r"[0-9a-f]{64}"
# podman writes it without the name of the hash
_IMAGE_ID = r"(?:sha256:)?[0-9a-f]{64}"
UNKNOWN_STATE = "unknown"
_STATES = {
    state: state
    for state in ("created", "running", "paused", "restarting", "removing", "exited", "dead")
} | {
    # podman's own words
    "configured": "created",
    "initialized": "created",
    "stopped": "exited",
    "stopping": "running",
}
_VARIABLE = "NVIDIA_VISIBLE_DEVICES="
_SHELL = ("/bin/sh", "-c")
"""What Docker runs a line of a health check with, unless the image names another."""
_AGO = r"(?a)(\d{1,6}|an?) (second|minute|hour|day|week|month|year)s? ago"
_UNIT_S = {
    "second": 1,
    "minute": 60,
    "hour": 3600,
    "day": 86400,
    "week": 7 * 86400,
    "month": 30 * 86400,
    "year": 365 * 86400,
}
_LONGEST = 4096
"""Characters of one text."""
_MOST = 1000
"""Labels, and mounts, of one container."""
_MORE = "…"
"""Stands where something was cut."""

Json = dict[str, Any]


def container_id(entry: object) -> str | None:
    """Read the full id of a list entry or inspect answer; None where there is none."""
    found = entry.get("Id") if isinstance(entry, dict) else None
    return found if isinstance(found, str) and is_id(found) else None


def is_id(text: str) -> bool:
    """Tell whether a text is a full container id; names and short ids are not unique."""
    return re.fullmatch(_ID, text) is not None


def listed_state(entry: Json) -> str:
    """Read the state of a list entry."""
    return _state(entry.get("State"))


def ended_ago(entry: Json) -> tuple[int, int] | None:
    """Read ``Exited (0) 5 minutes ago``: seconds, and how many of them one step is.

    None where a list entry does not tell. The words are those of go-units' HumanDuration.
    """
    match = re.search(_AGO, _text(entry.get("Status")))
    if match is None:
        return None
    unit_s = _UNIT_S[match[2]]
    # "About a minute", "About an hour", "Less than a second"
    count = int(match[1]) if match[1].isdigit() else 1
    return count * unit_s, unit_s


def addresses(entry: Json) -> tuple[str, ...]:
    """Read the IPv4 addresses of a list entry; none where it shares another's network."""
    networks = _dict(_dict(entry.get("NetworkSettings")).get("Networks"))
    said = (_dict(network).get("IPAddress") for network in islice(networks.values(), _MOST))
    return tuple(sorted({text for text in _texts(list(said)) if text}))


def listed(engine: str, entry: Json, facts: KnownFacts | None, cgroup: str | None) -> Container:
    """Make a container of a list entry and what else is known of it."""
    return Container(
        engine=engine,
        id=entry["Id"],
        name=_name(_list(entry.get("Names"))) or entry["Id"][:12],
        image=_text(entry.get("Image")),
        state=facts.state if facts else listed_state(entry),
        created_at=_created(entry.get("Created")),
        labels=_labels(entry.get("Labels")),
        mounts=_mounts(entry.get("Mounts")),
        started_at=facts.started_at if facts else None,
        finished_at=facts.finished_at if facts else None,
        pid=facts.pid if facts else None,
        cgroup=cgroup,
        config=facts.config if facts else None,
    )


def inspected(engine: str, answer: Json, facts: KnownFacts, cgroup: str | None) -> Container:
    """Make a container of an inspect answer alone."""
    asked = _dict(answer.get("Config"))
    as_listed = answer | {
        "Names": [answer.get("Name")],
        "Image": asked.get("Image"),
        "Labels": asked.get("Labels"),
    }
    return listed(engine, as_listed, facts, cgroup)


def facts_of(engine: str, answer: Json) -> KnownFacts:
    """Read what the list does not tell from an inspect answer."""
    state = _dict(answer.get("State"))
    return KnownFacts(
        engine=engine,
        state=_state(state.get("Status")),
        pid=_pid(state.get("Pid")),
        started_at=time_in(state.get("StartedAt")),
        finished_at=time_in(state.get("FinishedAt")),
        config=_config(_dict(answer.get("HostConfig")), _dict(answer.get("Config"))),
    )


def visible_devices(environment: object) -> str | None:
    """Find NVIDIA_VISIBLE_DEVICES in a list of NAME=VALUE; the last one counts."""
    values = [line for line in _texts(environment) if line.startswith(_VARIABLE)]
    return values[-1].removeprefix(_VARIABLE) if values else None


def image_id(answer: Json) -> str | None:
    """Read the id of the image from a container's inspect answer."""
    image = _text(answer.get("Image"))
    return image if re.fullmatch(_IMAGE_ID, image) else None


def image_environment(answer: object) -> object:
    """Read the environment of an image inspect answer."""
    return _dict(_dict(answer).get("Config")).get("Env")


def _state(value: object) -> str:
    """Map to the fixed words of the model: an engine may say anything."""
    return _STATES.get(_text(value).lower(), UNKNOWN_STATE)


def _pid(value: object) -> int | None:
    # not isinstance: true is an int
    return value if type(value) is int and is_pid(value) else None


def _config(host: Json, asked: Json) -> ContainerConfig:
    devices = [_dict(device).get("PathOnHost") for device in _list(host.get("Devices"))]
    return ContainerConfig(
        runtime=_text(host.get("Runtime")),
        privileged=host.get("Privileged") is True,
        device_requests=tuple(_request(_dict(r)) for r in _list(host.get("DeviceRequests"))),
        devices=_texts(devices),
        device_cgroup_rules=_texts(host.get("DeviceCgroupRules")),
        visible_devices=visible_devices(asked.get("Env")),
        cgroup_parent=_text(host.get("CgroupParent")),
        user=_text(asked.get("User")),
        pid_mode=_text(host.get("PidMode")),
        auto_remove=host.get("AutoRemove") is True,
        health_command=_health_command(asked),
    )


def _health_command(asked: Json) -> tuple[str, ...]:
    """Read what the engine runs, as it runs it; NONE and an empty list are no health check."""
    form, *words = _texts(_dict(asked.get("Healthcheck")).get("Test")) or ("NONE",)
    if form == "CMD-SHELL":
        return (*(_texts(asked.get("Shell")) or _SHELL), *words)
    return tuple(words) if form == "CMD" else ()


def _request(request: Json) -> DeviceRequest:
    count = request.get("Count")
    capabilities = [name for group in _list(request.get("Capabilities")) for name in _texts(group)]
    return DeviceRequest(
        driver=_text(request.get("Driver")),
        count=count if type(count) is int else 0,
        device_ids=_texts(request.get("DeviceIDs")),
        capabilities=tuple(dict.fromkeys(capabilities)),
    )


def _name(names: list[Any]) -> str:
    """Choose the container's own name: a link's has a second slash (``/other/alias``)."""
    known = [name.removeprefix("/") for name in _texts(names)]
    return min(known, key=lambda name: name.count("/"), default="")


def _created(value: object) -> datetime | None:
    """Read whole seconds since 1970, as a number or text, or of an RFC 3339 time."""
    if isinstance(value, str) and not value.isdecimal():
        at = time_in(value)
        # the list gives no fraction, an inspect nine digits: one container, one time
        return at.replace(microsecond=0) if at else None
    return seconds_in(value)


def _labels(value: object) -> dict[str, str]:
    labels = {name: text for name, text in _dict(value).items() if isinstance(text, str)}
    if (
        len(labels) <= _MOST
        and max(map(len, chain(labels, labels.values())), default=0) <= _LONGEST
    ):
        return labels
    kept = dict(islice(labels.items(), _MOST))
    cut = {_text(name): _text(text) for name, text in kept.items()}
    more = len(labels) - len(kept)
    return cut | {_MORE: f"{more} more"} if more else cut


def _mounts(value: object) -> tuple[Mount, ...]:
    entries = _list(value)
    mounts = tuple(_mount(_dict(entry)) for entry in entries[:_MOST])
    more = len(entries) - len(mounts)
    return (*mounts, Mount("", _MORE, f"{more} more")) if more else mounts


def _mount(entry: Json) -> Mount:
    return Mount(
        _text(entry.get("Type")), _text(entry.get("Source")), _text(entry.get("Destination"))
    )


def _text(value: object) -> str:
    """Give a text, cut where it is too long; the empty text for anything else."""
    if not isinstance(value, str):
        return ""
    return value if len(value) <= _LONGEST else value[: _LONGEST - 1] + _MORE


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _dict(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def _texts(value: object) -> tuple[str, ...]:
    return tuple(_text(text) for text in _list(value) if isinstance(text, str))
