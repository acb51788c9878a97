"""What is asked of a container engine, and what its HTTP answer says: pure, no sockets."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Literal

from ds01ctl.core.record import NamedTuple
from ds01ctl.errors import Ds01Error

if TYPE_CHECKING:
    from ds01ctl.core.model import GapKind

Trouble = Literal["absent", "refused", "denied", "slow", "failed", "not-found"]
_KIND: dict[Trouble, GapKind] = {"absent": "absent", "denied": "denied"}
_HINTS: dict[Trouble, str] = {
    "denied": "run as root, or as a member of the group that owns the socket",
    "refused": "is the engine running?",
}
# a user's own engine may send any text: what is shown as a version must look like one
_SERVER = r"(?a)[\w./+~-]{1,64}"
_LENGTH = r"[0-9]{1,18}"


class EngineError(Ds01Error):
    """An engine gave no answer, or none that can be used."""

    def __init__(self, host: str, trouble: Trouble, what: str) -> None:
        super().__init__(f"{host}: {what}", _HINTS.get(trouble))
        self.host = host
        self.trouble = trouble

    @property
    def kind(self) -> GapKind:
        """Say what kind of gap this leaves."""
        return _KIND.get(self.trouble, "failed")


class Request(NamedTuple):
    """One GET."""

    host: str
    """``unix:///…`` or ``tcp://ADDRESS:PORT``."""
    path: str
    is_users_own: bool = False
    """A user runs the engine: it gets less room for its answers."""
    is_stream: bool = False
    """The answer is one JSON value after another, and is given as a list of them."""
    largest: int = 0
    """Bytes that the answer may have; 0: what is usual."""


class Answer(NamedTuple):
    """What came back with status 200."""

    value: Any
    """The JSON, parsed."""
    server: str | None
    """From the header, for example ``Docker/20.10.24``."""


def parse(host: str, raw: bytes, *, is_stream: bool = False) -> Answer:
    """Parse an HTTP answer whose body is JSON, or a stream of it; raises EngineError."""
    head, end, body = raw.partition(b"\r\n\r\n")
    protocol, _, status = head.partition(b"\r\n")[0].partition(b" ")
    if not end or not protocol.startswith(b"HTTP/") or not status[:3].isdigit():
        raise EngineError(host, "failed", "no HTTP answer" if raw else "closed without an answer")
    code = int(status[:3])
    if code != 200:
        trouble: Trouble = "not-found" if code == 404 else "failed"
        raise EngineError(host, trouble, f"status {code}{_message(body)}")
    headers = _headers(head)
    length = headers.get("content-length", "")
    if re.fullmatch(_LENGTH, length) and len(body) != int(length):
        raise EngineError(host, "failed", f"answer cut short: {len(body)} of {length} bytes")
    # an engine writes no line break within a value
    lines = [line for line in body.splitlines() if line.strip()] if is_stream else []
    value = [_json(host, line) for line in lines] if is_stream else _json(host, body)
    return Answer(value, _server(headers.get("server", "")))


def _headers(head: bytes) -> dict[str, str]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    parted = (line.partition(":") for line in lines)
    return {name.strip().lower(): value.strip() for name, _, value in parted}


def _server(header: str) -> str | None:
    """Shorten ``Docker/20.10.24 (linux)``."""
    name = header.partition(" ")[0]
    return name if re.fullmatch(_SERVER, name) else None


def _json(host: str, body: bytes) -> Any:
    try:
        value = json.loads(body)
        if b"\\ud" in body or b"\\uD" in body:
            # half a surrogate pair is text that nobody could print
            text = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
            value = json.loads(text)
    except (ValueError, RecursionError):
        raise EngineError(host, "failed", "answer cut short or not JSON") from None
    return value


def _message(body: bytes) -> str:
    """Quote the engine's own words, as far as they are any, without what is no text."""
    text = body.decode("utf-8", "replace")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    message = value.get("message") if isinstance(value, dict) else None
    if not isinstance(message, str):
        return ""
    return ": " + "".join(c if c.isprintable() else "\ufffd" for c in message[:200])
