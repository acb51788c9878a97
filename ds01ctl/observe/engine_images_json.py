"""Turn what an engine says of images, networks, volumes, cache and events into values.

Any field may be missing, null or of another type. Whatever has no identity is not made into a
value: it is counted, and then the engine has not told all.
"""

from __future__ import annotations

import re
from typing import Any

from ds01ctl.core.image_model import CacheRecord, EngineEvent, Holder, Image, Network, Volume
from ds01ctl.core.image_names import is_id, whole_id
from ds01ctl.observe import engine_json
from ds01ctl.observe.clock import seconds_in, time_in

Json = dict[str, Any]
_REFERENCE = re.compile(r"[\w][\w.:/@+-]{0,500}", re.ASCII)
_PROJECT = "com.docker.compose.project"
_LONGEST = 4096


def image(engine: str, entry: object) -> Image | None:
    """Read one entry of the list of images."""
    fields = _dict(entry)
    id_, parent = _text(fields.get("Id")), _text(fields.get("ParentId"))
    if not is_id(id_):
        return None
    return Image(
        engine=engine,
        id=whole_id(id_),
        tags=_references(fields.get("RepoTags")),
        digests=_references(fields.get("RepoDigests")),
        parent=whole_id(parent) if is_id(parent) else "",
        created_at=seconds_in(fields.get("Created")),
        size_bytes=_count(fields.get("Size")),
        shared_bytes=_count(fields.get("SharedSize")),
        labels=_labels(fields.get("Labels")),
    )


def holder(engine: str, entry: object) -> Holder | None:
    """Read what a container of the list holds."""
    if engine_json.container_id(entry) is None:
        return None
    fields = _dict(entry)
    container = engine_json.listed(engine, fields, None, None)
    return Holder(
        engine=engine,
        id=container.id,
        name=container.name,
        state=container.state,
        image_id=_text(fields.get("ImageID")),
        image=container.image,
        networks=tuple(sorted(_networks_of(fields))),
        volumes=tuple(sorted(_volumes_of(fields))),
        project=container.labels.get(_PROJECT, ""),
    )


def _networks_of(fields: Json) -> set[str]:
    """Collect names and ids: one that never started knows the name alone."""
    joined = _dict(_dict(fields.get("NetworkSettings")).get("Networks"))
    mode = _text(_dict(fields.get("HostConfig")).get("NetworkMode"))
    ids = {_text(_dict(one).get("NetworkID")) for one in joined.values()}
    return {text for text in {*joined, *ids, mode} if text}


def _volumes_of(fields: Json) -> set[str]:
    mounts = [_dict(mount) for mount in _list(fields.get("Mounts"))]
    named = {_text(mount.get("Name")) for mount in mounts if mount.get("Type") == "volume"}
    return named - {""}


def network(engine: str, entry: object) -> Network | None:
    """Read one entry of the list of networks."""
    fields = _dict(entry)
    id_, name = _text(fields.get("Id") or fields.get("id")), _text(fields.get("Name"))
    if not id_ or not name:
        return None
    return Network(
        engine=engine,
        id=id_,
        name=name,
        driver=_text(fields.get("Driver")),
        scope=_text(fields.get("Scope")),
        created_at=time_in(fields.get("Created")),
        labels=_labels(fields.get("Labels")),
        is_special=bool(fields.get("Ingress") or fields.get("ConfigOnly")),
    )


def volume(engine: str, entry: object) -> Volume | None:
    """Read one volume, of the list or of the disk usage, which has its size as well."""
    fields = _dict(entry)
    name = _text(fields.get("Name"))
    if not name:
        return None
    return Volume(
        engine=engine,
        name=name,
        driver=_text(fields.get("Driver")),
        created_at=time_in(fields.get("CreatedAt")),
        mountpoint=_text(fields.get("Mountpoint")),
        labels=_labels(fields.get("Labels")),
        size_bytes=_count(_dict(fields.get("UsageData")).get("Size")),
    )


def cache_record(engine: str, entry: object) -> CacheRecord | None:
    """Read one record of the build cache."""
    fields = _dict(entry)
    id_, size = _text(fields.get("ID")), _count(fields.get("Size"))
    if not id_ or size is None:
        return None
    return CacheRecord(
        engine=engine,
        id=id_,
        type=_text(fields.get("Type")) or "unknown",
        size_bytes=size,
        shared=fields.get("Shared") is True,
        in_use=fields.get("InUse") is True,
        last_used_at=time_in(fields.get("LastUsedAt")),
        description=_text(fields.get("Description"))[:200],
    )


def event(engine: str, entry: object) -> EngineEvent | None:
    """Read one event."""
    fields = _dict(entry)
    actor, at = _dict(fields.get("Actor")), _count(fields.get("time"))
    if at is None:
        return None
    named = _dict(actor.get("Attributes"))
    return EngineEvent(
        engine=engine,
        at=at,
        type=_text(fields.get("Type")),
        # exec_create: has its command behind
        action=_text(fields.get("Action")).partition(":")[0],
        id=_text(actor.get("ID")),
        attributes={
            key: _text(named[key]) for key in ("image", "name", "container") if key in named
        },
    )


def disk_usage(answer: object, old: str, new: str) -> list[Any] | None:
    """Find one list of the disk usage; from API 1.52 on it has another name (with verbose=1)."""
    fields = _dict(answer)
    found = _dict(fields.get(new)).get("Items") if new in fields else fields.get(old)
    is_there = new in fields or old in fields
    return _list(found) if is_there else None


def api_version(answer: object) -> tuple[int, int]:
    """Read the newest API of an engine; (0, 0) where it does not tell."""
    found = re.fullmatch(r"(?a)(\d{1,4})\.(\d{1,4})", _text(_dict(answer).get("ApiVersion")))
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _references(value: object) -> tuple[str, ...]:
    texts = [text for text in _list(value) if isinstance(text, str)]
    return tuple(text for text in texts if _REFERENCE.fullmatch(text))


def _labels(value: object) -> dict[str, str]:
    return {key: text for key, text in _dict(value).items() if isinstance(text, str)}


def _count(value: object) -> int | None:
    """Read a number of things; an engine says -1 for what it did not count."""
    return value if type(value) is int and value >= 0 else None


def _text(value: object) -> str:
    return value[:_LONGEST] if isinstance(value, str) else ""


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _dict(value: object) -> Json:
    return value if isinstance(value, dict) else {}
