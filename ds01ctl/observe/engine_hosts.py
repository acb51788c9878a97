"""Which container engines to ask, and where their sockets are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ds01ctl.paths import Paths

_DEFAULT_SOCKET = "/run/docker.sock"
_UNIX = "unix://"


class EngineHosts(NamedTuple):
    """Addresses as somebody, or nobody, named them."""

    hosts: tuple[str, ...]
    named_by_admin: bool
    """By the policy or DOCKER_HOST: an engine that is not there is then a failure."""


class Host(NamedTuple):
    """One address to ask."""

    address: str
    found: bool
    """By a pattern: a socket there is no promise that an engine listens."""


def engine_hosts(
    policy_hosts: Sequence[str], environment: Mapping[str, str], paths: Paths
) -> EngineHosts:
    """Choose the policy's ``docker.hosts``, else DOCKER_HOST, else the local socket.

    Only the local socket moves with the root: an address that somebody wrote is meant as written.
    """
    if policy_hosts:
        return EngineHosts(tuple(policy_hosts), named_by_admin=True)
    if host := environment.get("DOCKER_HOST", ""):
        return EngineHosts((host,), named_by_admin=True)
    return EngineHosts((f"{_UNIX}{paths.under(_DEFAULT_SOCKET)}",), named_by_admin=False)


def expand(hosts: Sequence[str]) -> tuple[Host, ...]:
    """Expand patterns such as ``unix:///run/user/*/docker.sock``; name each socket once."""
    found: dict[str, Host] = {}
    for address in hosts:
        is_pattern = address.startswith(_UNIX) and "*" in address
        for each in _matching(address) if is_pattern else (address,):
            found.setdefault(_real(each), Host(each, is_pattern))
    return tuple(found.values())


def _matching(pattern: str) -> list[str]:
    below_root = pattern.removeprefix(_UNIX).lstrip("/")
    return [f"{_UNIX}{path}" for path in sorted(Path("/").glob(below_root))]


def _real(address: str) -> str:
    """Follow links: /var/run/docker.sock and /run/docker.sock are one engine."""
    if not address.startswith(_UNIX):
        return address
    return os.path.realpath(address.removeprefix(_UNIX))


def socket_owner(host: Host) -> int | None:
    """Give the uid that owns an engine's socket; None where there is none."""
    try:
        return os.stat(host.address.removeprefix(_UNIX)).st_uid  # noqa: PTH116 -- an address
    except OSError:
        return None
