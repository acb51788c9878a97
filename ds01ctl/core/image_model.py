"""What engines hold besides containers, as values: images, networks, volumes, build cache."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


class Image(NamedTuple):
    """One image of one engine, tagged or not. Identity: engine, id."""

    engine: str
    id: str
    """``sha256:…``; with the containerd image store the digest of the index or the manifest."""
    tags: tuple[str, ...] = ()
    """As the engine writes them, without ``<none>``."""
    digests: tuple[str, ...] = ()
    """``repository@sha256:…``, of what was pulled."""
    parent: str = ""
    """The image it was built upon, here; empty: none, or it was pulled."""
    created_at: datetime | None = None
    """When it was built, wherever that was: it may be of any year."""
    size_bytes: int | None = None
    """With the layers that other images have as well."""
    shared_bytes: int | None = None
    """Of those layers; None: the engine did not say."""
    labels: Mapping[str, str] = {}

    @property
    def references(self) -> tuple[str, ...]:
        """List all by which it can be named, besides its id."""
        return (*self.tags, *self.digests)


class Holder(NamedTuple):
    """A container, in whatever state, and what it holds."""

    engine: str
    id: str
    name: str
    state: str
    image_id: str
    image: str
    """As whoever made it wrote it: a reference, or an id, perhaps cut short."""
    networks: tuple[str, ...] = ()
    """Names and ids, both."""
    volumes: tuple[str, ...] = ()
    project: str = ""
    """The Compose project it is part of."""


class EngineEvent(NamedTuple):
    """Something that happened in an engine."""

    engine: str
    at: int
    """Seconds since 1970."""
    type: str
    """container, image, network, volume, …"""
    action: str
    id: str
    attributes: Mapping[str, str] = {}


class DiskUse(NamedTuple):
    """The file system where an engine keeps its images."""

    path: str
    """As the engine tells it; measured there, not above it."""
    used_bytes: int
    available_bytes: int
    """To anybody but root, as df has it."""

    @property
    def percent(self) -> float:
        """Say how full it is, as df does: what is kept back for root counts as no room."""
        total = self.used_bytes + self.available_bytes
        return 100 * self.used_bytes / total if total else 100.0

    def bytes_at(self, percent: float) -> int:
        """Say how much is used at a percentage."""
        return int((self.used_bytes + self.available_bytes) * percent / 100)


class CacheRecord(NamedTuple):
    """One record of the build cache."""

    engine: str
    id: str
    type: str
    size_bytes: int
    shared: bool
    """Its bytes are an image's as well: to remove it frees nothing."""
    in_use: bool
    last_used_at: datetime | None
    description: str = ""


class Network(NamedTuple):
    """One network of an engine. Identity: engine, id."""

    engine: str
    id: str
    name: str
    driver: str
    scope: str
    created_at: datetime | None
    labels: Mapping[str, str] = {}
    is_special: bool = False
    """Of a swarm's ingress, or a pattern for other networks."""


class Volume(NamedTuple):
    """One volume of an engine. Identity: engine, name, created_at."""

    engine: str
    name: str
    driver: str
    created_at: datetime | None
    mountpoint: str = ""
    labels: Mapping[str, str] = {}
    size_bytes: int | None = None
    """None: not asked, or not known."""
