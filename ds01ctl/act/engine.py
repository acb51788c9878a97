"""Reach a container engine through the Docker SDK's low-level client, to change something there.

A call ends in a value or in a Ds01Error: GoneError where the engine knows no such thing,
RefusedError where it says no; any other means that it is not known what it did, and nothing may be
claimed.
"""

from __future__ import annotations

import json
import os
import re
import socket
import threading
import time
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ds01ctl.act.engine_answers import UNKNOWN, called, printable
from ds01ctl.act.engine_answers import GoneError as GoneError
from ds01ctl.act.engine_answers import RefusedError as RefusedError
from ds01ctl.act.engine_answers import no_answer as _no_answer
from ds01ctl.core import timestamp
from ds01ctl.errors import Ds01Error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    When = datetime | str | None
    """A time as an engine tells it, parsed or not; None or year 1: never."""
    Recheck = Callable[[], str | None]
    """Asked directly before the effect; a text says why it must not be."""

Outcome = Literal["done", "already", "refused"]

TIMEOUT_S = 15.0
"""For the next byte of an answer to a question."""
ANSWER_S = 60.0
"""For the answer to an act: on a loaded host a start with a GPU, or a removal, takes its time. A
stop has its grace besides."""
_LONGEST = 1 << 20
_NEVER = 1
"""The year of Go's zero time, which engines write for "never"."""
_ADDRESS = r"(?a)unix:///[\w./@:+~-]+|tcp://[\w.:\[\]-]+:\d+/?"
_FULL_ID = r"[0-9a-f]{64}"
_ENVIRONMENT = threading.Lock()


class Done(NamedTuple):
    """What became of one act."""

    outcome: Outcome
    """already: it was so before, or is gone; refused: it is not what was decided about, or is used;
    nothing was done."""
    why: str = ""
    finished_at: datetime | None = None
    """stop: when the run ended, as the engine tells; what ``start`` wants to undo it."""
    freed_bytes: int | None = None
    """prune_build_cache: as the engine tells."""


class Client:
    """An engine that answered."""

    def __init__(self, address: str, api: Any) -> None:
        self.address = address
        self._api = api

    @property
    def version(self) -> str:
        """The version of the API that is spoken with it."""
        return str(self._api.api_version)

    def ask(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Call a method of docker.APIClient. Raises GoneError, RefusedError, Ds01Error."""
        call = getattr(self._api, method)
        return called(self.address, lambda: call(*arguments, **options))

    def act(self, method: str, *arguments: Any, answer_s: float, **options: Any) -> Any:
        """Call a method that changes something, and wait so long for the answer.

        Raises UnansweredError where none came in time, and what ``ask`` raises.
        """
        before = self._api.timeout
        self._api.timeout = answer_s
        try:
            return self.ask(method, *arguments, **options)
        finally:
            self._api.timeout = before

    def inspect(self, what: str, name: str) -> dict[str, Any] | None:
        """Inspect a container, image, network or volume; None: it is gone. Raises Ds01Error."""
        try:
            told = self.ask(f"inspect_{what}", name)
        except GoneError:
            return None
        if not isinstance(told, dict):
            raise Ds01Error(f"{self.address}: of {what} {name[:19]} it tells nothing usable")
        return told

    def containers(self) -> list[dict[str, Any]]:
        """List the containers in every state. Raises Ds01Error."""
        told = self.ask("containers", all=True)
        if not isinstance(told, list) or not all(isinstance(each, dict) for each in told):
            raise Ds01Error(f"{self.address}: its list of containers is not one")
        return told

    def events(self, since: datetime, kinds: Iterable[str]) -> list[dict[str, Any]]:
        """List the events of some kinds from then until now, of the last 256. Raises Ds01Error.

        The SDK's own call would wait for ever for an engine that hangs.
        """
        api, now_s = self._api, time.time()
        # a clock that was set back since asks for nothing
        begins_s = min(since.timestamp(), now_s)
        span = {"since": f"{begins_s:.6f}", "until": f"{now_s:.6f}"}
        asked = {**span, "filters": json.dumps({"event": sorted(kinds)})}

        def get() -> list[dict[str, Any]]:
            url = f"{api.base_url}/v{self.version}/events"
            answer = api.get(url, params=asked, timeout=api.timeout)
            # the SDK's own, which takes what the engine says of it
            api._raise_for_status(answer)
            # bytes: in a text any user's label could end a line
            return [dict(json.loads(line)) for line in answer.content.splitlines() if line.strip()]

        return list(called(self.address, get))

    def close(self) -> None:
        """Close its connections."""
        self._api.close()


@contextmanager
def opened(address: str, *, timeout_s: float = TIMEOUT_S) -> Iterator[Client]:
    """Reach the engine at ``unix:///…`` or ``tcp://ADDRESS:PORT``. Raises Ds01Error.

    Of the API the newest version is spoken that both the engine and the SDK know.
    """
    if not re.fullmatch(_ADDRESS, address):
        hint = "give unix:///run/docker.sock or tcp://127.0.0.1:2375"
        raise Ds01Error(f"not the address of an engine: {address!r}", hint)
    client = _reach(address, timeout_s)
    try:
        yield client
    finally:
        client.close()


def _reach(address: str, timeout_s: float) -> Client:
    from docker import constants

    told = _told_version(address, timeout_s)
    newest: tuple[int, ...] = _version(address, told, "ApiVersion")
    oldest: tuple[int, ...] = (0, 0)
    if isinstance(told, dict) and "MinAPIVersion" in told:
        oldest = _version(address, told, "MinAPIVersion")
    low = _parsed(constants.MINIMUM_DOCKER_API_VERSION)
    high = _parsed(constants.DEFAULT_DOCKER_API_VERSION)
    spoken = min(newest, high)
    if spoken < max(oldest, low):
        raise Ds01Error(
            f"{address}: speaks API {_text(oldest)} to {_text(newest)}, "
            f"the Docker SDK {_text(low)} to {_text(high)}",
            "install another version of the Python package docker",
        )
    return _client(address, _text(spoken), timeout_s)


def _told_version(address: str, timeout_s: float) -> Any:
    """Ask for the versions by hand: the SDK would take one that it does not speak.

    It would leave a socket open, too, each time it is refused. Raises Ds01Error.
    """
    import http.client

    scheme, _, place = address.partition("://")
    connection = http.client.HTTPConnection(
        place.rstrip("/") if scheme == "tcp" else "docker", timeout=timeout_s
    )
    try:
        if scheme == "unix":
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(timeout_s)
            connection.sock.connect(place)
        connection.request("GET", "/version")
        return json.loads(connection.getresponse().read(_LONGEST))
    except TimeoutError:
        raise Ds01Error(f"{address}: no answer in time", UNKNOWN) from None
    except OSError as error:
        raise _no_answer(address, error) from None
    except (http.client.HTTPException, ValueError):
        raise Ds01Error(f"{address}: does not tell its version", "is it a Docker engine?") from None
    finally:
        connection.close()


def _version(address: str, told: Any, key: str) -> tuple[int, ...]:
    text = told.get(key) if isinstance(told, dict) else None
    if isinstance(text, str) and re.fullmatch(r"[0-9]{1,3}\.[0-9]{1,4}", text):
        return _parsed(text)
    raise Ds01Error(f"{address}: does not tell its {key}", "is it a Docker engine?")


def _parsed(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _text(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _client(address: str, version: str, timeout_s: float) -> Client:
    import docker

    with _without_files_of_the_caller():
        api = called(address, lambda: docker.APIClient(address, version, timeout_s))
    # neither proxies from the environment nor passwords from ~/.netrc
    api.trust_env = False
    return Client(address, api)


@contextmanager
def _without_files_of_the_caller() -> Iterator[None]:
    # the SDK reads ~/.docker/config.json: headers, proxies and credentials that are not ours, and
    # a file that it fails on; below /dev/null it finds none
    with _ENVIRONMENT:
        before = {name: os.environ.get(name) for name in ("HOME", "DOCKER_CONFIG")}
        os.environ.update(dict.fromkeys(before, os.devnull))
        try:
            yield
        finally:
            for name, value in before.items():
                os.environ.pop(name)
                if value is not None:
                    os.environ[name] = value


def is_full_id(text: str) -> bool:
    """Tell a full id from a name, or the beginning of an id, which may be many things'."""
    return re.fullmatch(_FULL_ID, text) is not None


def time_of(told: object) -> datetime | None:
    """Read a time of an engine, to the microsecond; None for "never". Raises Ds01Error."""
    if isinstance(told, datetime):
        return told.astimezone(timezone.utc)
    if told is None or told == "":
        return None
    try:
        at = timestamp.parse_time(str(told))
        if at.year == _NEVER:
            return None
        return at.replace(tzinfo=at.tzinfo or timezone.utc).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        raise Ds01Error(f"not a time: {printable(str(told))[:40]!r}") from None
