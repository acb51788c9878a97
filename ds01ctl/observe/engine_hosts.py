"""Which container engines to ask, whose they are, and where their sockets are."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ds01ctl.core.record import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ds01ctl.paths import Paths

_DEFAULT_SOCKET = "/run/docker.sock"
_UNIX = "unix://"
_WILD = frozenset("*?[")


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
    uid: int | None = None
    """Whose it is: 0 for root's, else the user who could put his own engine there."""


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
    """Expand patterns such as ``unix:///run/user/*/docker.sock``; name each socket once.

    Root's come first, so that no user's link to a socket of root's can take its place.
    """
    every = [host for address in hosts for host in _hosts(address)]
    found: dict[str, Host] = {}
    for host in sorted(every, key=lambda host: bool(host.uid)):
        found.setdefault(_real(host.address), host)
    return tuple(found.values())


def _hosts(address: str) -> Iterator[Host]:
    is_pattern = address.startswith(_UNIX) and not _WILD.isdisjoint(address)
    for each in _matching(address) if is_pattern else (address,):
        yield Host(each, is_pattern, socket_owner(each))


def _matching(pattern: str) -> list[str]:
    # not pathlib's: a mount of a user's that died ends its walk with an OSError
    from glob import glob

    return [f"{_UNIX}{path}" for path in sorted(glob(pattern.removeprefix(_UNIX)))]  # noqa: PTH207 -- as above


def _real(address: str) -> str:
    """Follow links: /var/run/docker.sock and /run/docker.sock are one engine."""
    if not address.startswith(_UNIX):
        return address
    try:
        return os.path.realpath(address.removeprefix(_UNIX))
    except ValueError:
        # a zero byte
        return address


def socket_owner(address: str) -> int | None:
    """Tell whose engine listens at an address: 0 is root, None is not known.

    It is root's only if nobody else owns the socket, or a folder or link on the way to it: he
    could put a socket of his own there at any time.
    """
    if not address.startswith(_UNIX):
        return None
    path = address.removeprefix(_UNIX)
    try:
        os.stat(path)  # noqa: PTH116 -- text in, number out; also below
        owners = [os.lstat(place).st_uid for place in _way_to(path)]
    except (OSError, ValueError):
        return None
    return next((uid for uid in owners if uid), 0)


def _way_to(path: str) -> Iterator[str]:
    """Name a path and all that lies above it, as written and with every link followed."""
    for place in dict.fromkeys((os.path.realpath(path), os.path.abspath(path))):  # noqa: PTH100 -- text in, text out
        while place != "/":
            yield place
            place = place.rpartition("/")[0] or "/"
