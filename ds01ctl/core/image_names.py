"""Names of images: one spelling for each, and the repository that a name is of."""

from __future__ import annotations

import re
from functools import cache

_ID = re.compile(r"(?:sha256:)?[0-9a-f]{64}", re.ASCII)
_SHORT_ID = re.compile(r"(?:sha256:)?([0-9a-f]{12,64})", re.ASCII)
_HUB = ("docker.io/library/", "index.docker.io/library/", "docker.io/", "index.docker.io/")

_OURS = "ds01-cleanup/"
"""Repositories of tags that hold an image while it is being removed."""


def is_ours(text: str) -> bool:
    """Tell whether a tag is `cleanup`'s own: it is neither a use nor a repository of anybody's."""
    return text.startswith(_OURS)


def is_id(text: str) -> bool:
    """Tell whether a text is a full id."""
    return _ID.fullmatch(text) is not None


def whole_id(text: str) -> str:
    """Write a full id with the name of its hash; podman leaves that out."""
    return text if text.startswith("sha256:") else f"sha256:{text}"


def short_id(text: str) -> str | None:
    """Give the digits of an id that may be cut short; None: it can be none."""
    found = _SHORT_ID.fullmatch(text)
    return found[1] if found else None


@cache
def reference(text: str) -> str:
    """Spell a reference in full: ``docker.io/library/busybox`` is ``busybox:latest``.

    A digest says all, so that a tag beside it is left out.
    """
    for prefix in _HUB:
        if text.startswith(prefix):
            text = text.removeprefix(prefix)
            break
    name, _, digest = text.partition("@")
    if digest:
        return f"{repository(name)}@{digest}"
    return text if _has_tag(name) else f"{name}:latest"


def repository(text: str) -> str:
    """Cut tag and digest off; a colon before the last slash is a port's."""
    name = text.partition("@")[0]
    return name.rpartition(":")[0] if _has_tag(name) else name


def _has_tag(name: str) -> bool:
    return ":" in name.rpartition("/")[2]
