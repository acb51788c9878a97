"""When something was last done on a Jupyter server in a container, where its API answers us.

The addresses are those that the engine lists, and yet a user may have chosen them: nothing secret
is sent, no redirection is followed, and whatever comes back that is not what a Jupyter server says
is no answer. Source: the Jupyter Server API, GET /api/status.
"""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

from ds01ctl.core.cleanup_model import Reading
from ds01ctl.observe.clock import parse_time
from ds01ctl.observe.engine_answer import Answer, EngineError, Request
from ds01ctl.observe.engine_api import ask

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

_LONGEST_S = 1.0
"""For all servers together."""
_MOST_REQUESTS = 512
"""Open at a time, all of them."""
_MOST_BYTES = 16384
_MOST_TEXT = 64
_PATH = "/api/status"
ABSENT = Reading("absent", detail="no Jupyter server that answers")
# this host, links of its own such as a cloud's service of secrets, and what is no host at all
_FORBIDDEN = (("0.", "127.", "169.254."), range(224, 256))


def read(
    addresses: Mapping[str, Sequence[str]],
    ports: Sequence[int],
    *,
    deadline_s: float,
    now: datetime,
) -> dict[str, Reading]:
    """Ask the servers of containers, all at once; by container id, for those that answered.

    addresses: the IPv4 addresses of each container, as the engine lists them.
    """
    asked = _requests(addresses, ports)
    heard: dict[str, Reading] = {}

    def hear(request: Request, answer: Answer | EngineError) -> tuple[Request, ...]:
        at = _last_activity(answer)
        if at is not None:
            # a clock that was set back since, or a time that somebody made up
            value = max(0.0, min(at, now.timestamp()))
            newest = Reading("known", value, f"{request.host}{_PATH}")
            for container in asked[request]:
                heard[container] = max(newest, heard.get(container, newest), key=_value)
        return ()

    if asked:
        ends = time.monotonic() + min(deadline_s, _LONGEST_S)
        ask(list(asked), hear, deadline=ends, late="no answer in time")
    return heard


def _value(reading: Reading) -> float:
    return reading.value


def _requests(
    addresses: Mapping[str, Sequence[str]], ports: Sequence[int]
) -> dict[Request, list[str]]:
    """Make the requests, each with the containers that have the address."""
    asked: dict[Request, list[str]] = {}
    for container, request in _all(addresses, ports):
        if request in asked or len(asked) < _MOST_REQUESTS:
            asked.setdefault(request, []).append(container)
    return asked


def _all(
    addresses: Mapping[str, Sequence[str]], ports: Sequence[int]
) -> Iterator[tuple[str, Request]]:
    for container, own in sorted(addresses.items()):
        for address in own:
            if _may_be_asked(address):
                for port in ports:
                    host = f"tcp://{address}:{port}"
                    yield container, Request(host, _PATH, largest=_MOST_BYTES)


def _may_be_asked(address: str) -> bool:
    """Take nothing but the address of another host, written in full."""
    try:
        is_written_so = socket.inet_ntoa(socket.inet_aton(address)) == address
    except (OSError, ValueError):
        return False
    prefixes, first_bytes = _FORBIDDEN
    return (
        is_written_so
        and not address.startswith(prefixes)
        and int(address.partition(".")[0]) not in first_bytes
    )


def _last_activity(answer: Answer | EngineError) -> float | None:
    if isinstance(answer, EngineError) or not isinstance(answer.value, dict):
        return None
    text = answer.value.get("last_activity")
    if not isinstance(text, str) or len(text) > _MOST_TEXT:
        return None
    try:
        at = parse_time(text)
    except ValueError:
        return None
    return at.timestamp() if at else None
