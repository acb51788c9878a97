"""The talk with one engine: its list, the inspects that the list calls for, their images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ds01ctl.core.record import NamedTuple
from ds01ctl.observe import engine_json
from ds01ctl.observe.container_cgroups import WITH_PROCESSES
from ds01ctl.observe.engine_answer import Answer, EngineError, Request

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from ds01ctl.observe.container_cgroups import Cgroups
    from ds01ctl.observe.container_facts import KnownFacts
    from ds01ctl.observe.engine_hosts import Host

_LIST = "/containers/json?all=1"
_NEVER_SURE = frozenset({"restarting", engine_json.UNKNOWN_STATE})
_MOST_OF_A_USER = 1000
"""Containers of one user's own engine; the rest is a gap."""
_LIST_TAKES_S = 10
"""How long a list that says ``3 seconds ago`` may be under way."""


class Seen(NamedTuple):
    """A container as the list gave it."""

    host: str
    id: str
    entry: dict[str, Any]


class Talk:
    """What one engine said, gathered as it comes.

    Nothing in it waits for another engine: what a list calls for is asked as soon as it is there.
    """

    def __init__(
        self, host: Host, known: Mapping[str, KnownFacts], cgroups: Cgroups, now: datetime
    ) -> None:
        self.host = host
        self.opening = self._request(_LIST)
        self.failure: EngineError | None = None
        """Why there is no list."""
        self.version: str | None = None
        self.seen: list[Seen] = []
        self.facts: dict[str, KnownFacts] = {}
        """By container id: known before and still so, or inspected."""
        self.gone: set[str] = set()
        self.complaints: list[str] = []
        """What is wrong with the list."""
        self.not_inspected: list[EngineError] = []
        self.inspects = 0
        """How many were asked for."""
        self._known = known
        self._cgroups = cgroups
        self._now = now
        self._made_from: dict[Request, list[str]] = {}
        """By request for an image: the ids of the containers that want to know of it."""
        self._environments: dict[Request, object] = {}
        """By request for an image: its environment, once it is there."""

    def hear(self, request: Request, answer: Answer | EngineError) -> Iterable[Request]:
        """Take an answer, and give what is to be asked because of it."""
        if request == self.opening:
            return self._hear_list(answer)
        if request in self._made_from:
            self._hear_image(request, answer)
            return ()
        return self._hear_inspect(request.path.split("/")[2], answer)

    def _request(self, path: str) -> Request:
        return Request(self.host.address, path, bool(self.host.uid))

    def _hear_list(self, answer: Answer | EngineError) -> Sequence[Request]:
        try:
            entries = _entries(self.host, answer)
        except EngineError as error:
            self.failure = error
            return ()
        self.version = answer.server if isinstance(answer, Answer) else None
        self.seen = self._valid(entries)
        for one in self.seen:
            known = self._known.get(one.id)
            if known and _still_holds(known, one, self._cgroups, self._now):
                self.facts[one.id] = known
        doubtful = [one.id for one in self.seen if one.id not in self.facts]
        self.inspects = len(doubtful)
        return [self._request(f"/containers/{id_}/json") for id_ in doubtful]

    def _valid(self, entries: Sequence[Any]) -> list[Seen]:
        valid = [entry for entry in entries if engine_json.container_id(entry)]
        if len(valid) < len(entries):
            self.complaints.append(f"{len(entries) - len(valid)} entries without id")
        if self.host.uid and len(valid) > _MOST_OF_A_USER:
            self.complaints.append(f"only {_MOST_OF_A_USER} of {len(valid)} containers are read")
            valid = valid[:_MOST_OF_A_USER]
        return [Seen(self.host.address, entry["Id"], entry) for entry in valid]

    def _hear_inspect(self, id_: str, answer: Answer | EngineError) -> Sequence[Request]:
        try:
            facts, image = read_inspect(self.host, id_, answer)
        except EngineError as error:
            if error.trouble == "not-found":
                self.gone.add(id_)
            else:
                self.not_inspected.append(error)
            return ()
        self.facts[id_] = facts
        if image is None:
            return ()
        self._made_from.setdefault(image, []).append(id_)
        if image in self._environments:
            self.facts[id_] = with_origin(facts, self._environments[image])
        return (image,)

    def _hear_image(self, image: Request, answer: Answer | EngineError) -> None:
        if isinstance(answer, EngineError):
            return
        self._environments[image] = engine_json.image_environment(answer.value)
        for id_ in self._made_from[image]:
            self.facts[id_] = with_origin(self.facts[id_], self._environments[image])


def read_inspect(
    host: Host, id_: str, answer: Answer | EngineError
) -> tuple[KnownFacts, Request | None]:
    """Read the facts, and whom to ask whether NVIDIA_VISIBLE_DEVICES was inherited.

    Raises EngineError.
    """
    if isinstance(answer, EngineError):
        raise answer
    if engine_json.container_id(answer.value) != id_:
        raise EngineError(host.address, "failed", "inspect answers something else")
    facts = engine_json.facts_of(host.address, answer.value)
    image = engine_json.image_id(answer.value)
    is_asked = facts.config.visible_devices is not None
    if image is None or not is_asked or not facts.config.runtime.startswith("nvidia"):
        return facts, None
    return facts, Request(host.address, f"/images/{image}/json", bool(host.uid))


def with_origin(facts: KnownFacts, image_environment: object) -> KnownFacts:
    """Tell whether NVIDIA_VISIBLE_DEVICES is that of the image."""
    inherited = engine_json.visible_devices(image_environment) == facts.config.visible_devices
    return facts._replace(config=facts.config._replace(visible_devices_from_image=inherited))


def _entries(host: Host, answer: Answer | EngineError) -> list[Any]:
    if isinstance(answer, EngineError):
        raise answer
    if answer.value is None:
        return []
    if not isinstance(answer.value, list):
        raise EngineError(host.address, "failed", "the list of containers is no list")
    return answer.value


def _still_holds(known: KnownFacts, one: Seen, cgroups: Cgroups, now: datetime) -> bool:
    """Tell whether what was known is still so: the same state, and the same first process."""
    if known.engine != one.host or known.state in _NEVER_SURE:
        return False
    if known.state != engine_json.listed_state(one.entry):
        return False
    if known.state in WITH_PROCESSES:
        return cgroups.of(one.id, known) is not None
    return not _ended_again(known, one, now)


def _ended_again(known: KnownFacts, one: Seen, now: datetime) -> bool:
    """Tell whether it ran, unseen, after the end that is known: the list says how long ago."""
    listed = engine_json.ended_ago(one.entry)
    if listed is None or known.finished_at is None:
        return False
    seconds, unit_s = listed
    known_s = (now - known.finished_at).total_seconds()
    return abs(known_s - seconds) > max(unit_s, _LIST_TAKES_S)
