"""The talk with one engine about images, networks, volumes, build cache and events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from ds01ctl.observe import engine_images_json as read_json
from ds01ctl.observe.engine_answer import Answer, EngineError, Request

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from ds01ctl.observe.engine_hosts import Host

Wanted = Literal["events", "images", "networks", "volumes", "volume-sizes", "cache"]

CONTAINERS = "/containers/json?all=1"
IMAGES = "/images/json?all=1"
SHARED = "/images/json?shared-size=1"
_OPENING: Mapping[Wanted, tuple[str, ...]] = {
    "images": (IMAGES, "/info", "/version"),
    "networks": ("/networks",),
    "volumes": ("/volumes",),
    "volume-sizes": ("/version",),
    "cache": ("/version",),
}
_TYPES: Mapping[Wanted, str] = {"cache": "type=build-cache", "volume-sizes": "type=volume"}
_KNOWS_TYPES = (1, 42)
"""The API from which on the disk usage can be had in parts, and images tell what they share."""


_KEPT, _UNSEEN = 256, 16
"""Events that Docker keeps, and how many of them may be of the moment after ``until``."""


class ImagesTalk:
    """What one engine said, gathered as it comes."""

    def __init__(
        self, host: Host, wanted: Collection[Wanted], since: datetime | None, now: datetime
    ) -> None:
        self.host = host
        self.answers: dict[str, Answer | EngineError] = {}
        """By path."""
        until = now.timestamp()
        # a clock that was stepped back asks for nothing
        begins = min(since.timestamp(), until) if since else 0.0
        # until the past: for a time ahead an engine would wait
        self.events = f"/events?since={begins:.6f}&until={until:.6f}"
        self.usage = ""
        """The path by which the disk usage was asked for."""
        self._wanted = frozenset(wanted)

    def opening(self) -> list[Request]:
        """Give what is asked first."""
        named = [path for one in sorted(self._wanted) for path in _OPENING.get(one, ())]
        events = [self.events] if "events" in self._wanted else []
        return [self._request(path) for path in dict.fromkeys((CONTAINERS, *named, *events))]

    def hear(self, request: Request, answer: Answer | EngineError) -> Iterable[Request]:
        """Take an answer, and give what is to be asked because of it."""
        self.answers[request.path] = answer
        if request.path != "/version" or isinstance(answer, EngineError):
            return ()
        return self._by_version(read_json.api_version(answer.value))

    def value(self, path: str) -> Any:
        """Give an answer's value; None: there is none. An empty list may be written as null."""
        answer = self.answers.get(path)
        if not isinstance(answer, Answer):
            return None
        return [] if answer.value is None else answer.value

    @property
    def has_lost_events(self) -> bool:
        """Tell whether more may have happened since the last look than the engine still knows."""
        told = self.value(self.events)
        # one that gives more does not keep them so
        return isinstance(told, list) and _KEPT - _UNSEEN <= len(told) <= _KEPT

    def _by_version(self, version: tuple[int, int]) -> list[Request]:
        """Ask what only newer engines tell cheaply; an older one only what somebody wants so."""
        asked = [_TYPES[one] for one in sorted(_TYPES) if one in self._wanted]
        if version < _KNOWS_TYPES:
            # it walks through every layer and volume for it
            self.usage = "/system/df" if "volume-sizes" in self._wanted else ""
            return [self._request(self.usage)] if self.usage else []
        self.usage = f"/system/df?{'&'.join(asked)}&verbose=1" if asked else ""
        shared = SHARED if "images" in self._wanted else ""
        return [self._request(path) for path in (shared, self.usage) if path]

    def _request(self, path: str) -> Request:
        return Request(self.host.address, path, is_stream=path == self.events)
