"""See the containers of every engine: one list each, and an inspect only where it must be."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from ds01ctl.core.model import Container, Engine, Gap
from ds01ctl.observe import engine_api, engine_json, procfs
from ds01ctl.observe.engine_api import Answer, EngineError, Request
from ds01ctl.observe.engine_hosts import Host, expand, socket_owner

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ds01ctl.observe.container_facts import KnownFacts
    from ds01ctl.paths import Paths

_LIST = "/containers/json?all=1"
_WITH_PROCESSES = frozenset({"running", "paused"})


class ContainersReading(NamedTuple):
    """What the engines told."""

    engines: tuple[Engine, ...]
    containers: tuple[Container, ...]
    gaps: tuple[Gap, ...]
    facts: dict[str, KnownFacts]
    """By container id, to be remembered; the very same object as known where nothing changed."""


class _Seen(NamedTuple):
    """A container as the list gave it."""

    host: str
    id: str
    entry: dict[str, Any]


class _Listing(NamedTuple):
    engines: tuple[Engine, ...]
    seen: dict[str, _Seen]
    gaps: tuple[Gap, ...]


class _Inspection(NamedTuple):
    facts: dict[str, KnownFacts]
    gone: frozenset[str]
    gaps: tuple[Gap, ...]


def read(
    hosts: Sequence[str],
    *,
    deadline_s: float,
    paths: Paths,
    known: Mapping[str, KnownFacts],
    named_by_admin: bool,
) -> ContainersReading:
    """List all containers of all engines, and inspect those whose known facts may not hold.

    The deadline is for everything together. Nothing is raised: what fails leaves a gap.
    """
    deadline = time.monotonic() + deadline_s
    listing = _list_all(expand(hosts), deadline, named_by_admin=named_by_admin)
    cgroups = _Cgroups(paths)
    facts = {
        one.id: fact
        for one in listing.seen.values()
        if (fact := known.get(one.id)) and _still_holds(fact, one, cgroups)
    }
    doubtful = [one for one in listing.seen.values() if one.id not in facts]
    inspection = _inspect(doubtful, deadline)
    facts |= inspection.facts
    containers = tuple(
        _container(one, facts.get(one.id), known.get(one.id), cgroups)
        for one in listing.seen.values()
        if one.id not in inspection.gone
    )
    gaps = listing.gaps + inspection.gaps
    return ContainersReading(listing.engines, containers, gaps, facts)


def find(host: str, container_id: str, *, deadline_s: float, paths: Paths) -> Container | None:
    """Inspect one container that a list taken before does not have; None if there is none.

    Raises EngineError.
    """
    deadline = time.monotonic() + deadline_s
    request = Request(host, f"/containers/{container_id}/json")
    if not engine_json.is_id(container_id):
        return None
    try:
        answer = engine_api.get(*request, deadline=deadline).value
    except EngineError as error:
        if error.trouble == "not-found":
            return None
        raise
    if engine_json.container_id(answer) != container_id:
        raise EngineError(host, "failed", "inspect of a container answers something else")
    facts = _with_origin({container_id: (host, answer)}, deadline)[container_id]
    cgroup = _Cgroups(paths).of(container_id, facts)
    return engine_json.inspected(host, answer, facts, cgroup)


class _Cgroups:
    """The real control groups of containers, each read at most once per first process."""

    def __init__(self, paths: Paths) -> None:
        self._proc = str(paths.proc)
        self._read: dict[tuple[str, int], str | None] = {}

    def of(self, container_id: str, facts: KnownFacts) -> str | None:
        """Read the cgroup of a container's first process; None if that is no longer its own."""
        if facts.pid is None or facts.state not in _WITH_PROCESSES:
            return None
        key = container_id, facts.pid
        if key not in self._read:
            self._read[key] = self._now(*key)
        return self._read[key]

    def _now(self, container_id: str, pid: int) -> str | None:
        try:
            text = procfs.read(f"{self._proc}/{pid}/cgroup")
        except OSError:
            return None
        # a pid that was used again, or one that an engine invented, lives somewhere else
        return procfs.cgroup_path(text) if container_id.encode() in text else None


def _still_holds(known: KnownFacts, one: _Seen, cgroups: _Cgroups) -> bool:
    """Tell whether what was known is still so: the same state, and the same first process."""
    if known.state != engine_json.listed_state(one.entry) or known.state == "restarting":
        return False
    return known.state not in _WITH_PROCESSES or cgroups.of(one.id, known) is not None


def _container(
    one: _Seen, facts: KnownFacts | None, known: KnownFacts | None, cgroups: _Cgroups
) -> Container:
    cgroup = cgroups.of(one.id, facts) if facts else None
    container = engine_json.listed(one.host, one.entry, facts, cgroup)
    if facts is None and known is not None:
        # only the configuration is for good
        return container._replace(config=known.config)
    return container


# --- the list ---------------------------------------------------------------------------------


def _list_all(hosts: Sequence[Host], deadline: float, *, named_by_admin: bool) -> _Listing:
    # root's own engine is heard first: another's may claim ids that are not its own
    hosts = sorted(hosts, key=lambda host: bool(socket_owner(host)))
    requests = [Request(host.address, _LIST) for host in hosts]
    engines: list[Engine] = []
    gaps: list[Gap] = []
    seen: dict[str, _Seen] = {}
    for host, answer in zip(hosts, engine_api.get_all(requests, deadline=deadline), strict=True):
        uid = socket_owner(host)
        entries = _entries(host.address, answer)
        if isinstance(entries, EngineError):
            engines.append(Engine(host.address, answered=False, uid=uid))
            gaps += _gap_of_list(host, entries, named_by_admin=named_by_admin)
            continue
        engines.append(Engine(host.address, answered=True, version=_version(answer), uid=uid))
        valid = [entry for entry in entries if engine_json.container_id(entry)]
        if len(valid) < len(entries):
            gaps.append(_failed(f"{host.address}: {len(entries) - len(valid)} entries without id"))
        for entry in valid:
            # the first engine has it: two addresses may lead to one engine
            seen.setdefault(entry["Id"], _Seen(host.address, entry["Id"], entry))
    return _Listing(tuple(engines), seen, tuple(gaps))


def _entries(host: str, answer: Answer | EngineError) -> list[Any] | EngineError:
    if isinstance(answer, EngineError):
        return answer
    if answer.value is None:
        return []
    if not isinstance(answer.value, list):
        return EngineError(host, "failed", "the list of containers is no list")
    return answer.value


def _version(answer: Answer | EngineError) -> str | None:
    """Shorten ``Docker/20.10.24 (linux)``."""
    server = answer.server if isinstance(answer, Answer) else None
    return server.partition(" ")[0] if server else None


def _gap_of_list(host: Host, error: EngineError, *, named_by_admin: bool) -> list[Gap]:
    if host.found and error.trouble in {"absent", "refused"}:
        # a socket left behind: nobody listens, so there is no engine
        return []
    kind = "failed" if named_by_admin and error.kind == "absent" else error.kind
    hint = f" ({error.hint})" if error.hint else ""
    return [Gap("docker", kind, f"{error.message}{hint}")]


def _failed(reason: str) -> Gap:
    return Gap("docker", "failed", reason)


# --- the inspects -----------------------------------------------------------------------------


def _inspect(doubtful: Sequence[_Seen], deadline: float) -> _Inspection:
    requests = [Request(one.host, f"/containers/{one.id}/json") for one in doubtful]
    answers: dict[str, tuple[str, dict[str, Any]]] = {}
    gone: set[str] = set()
    errors: list[EngineError] = []
    for one, answer in zip(doubtful, engine_api.get_all(requests, deadline=deadline), strict=True):
        if isinstance(answer, EngineError):
            is_gone = answer.trouble == "not-found"
            gone |= {one.id} if is_gone else set()
            errors += [] if is_gone else [answer]
        elif engine_json.container_id(answer.value) == one.id:
            answers[one.id] = (one.host, answer.value)
        else:
            errors.append(EngineError(one.host, "failed", "inspect answers something else"))
    gaps = tuple(_gaps_of_inspects(errors, doubtful))
    return _Inspection(_with_origin(answers, deadline), frozenset(gone), gaps)


def _gaps_of_inspects(errors: Sequence[EngineError], asked: Sequence[_Seen]) -> Iterable[Gap]:
    """Make one gap per engine, with the first error's words."""
    for host in dict.fromkeys(error.host for error in errors):
        messages = [error.message for error in errors if error.host == host]
        of = sum(one.host == host for one in asked)
        yield _failed(f"{messages[0]} ({len(messages)} of {of} containers not inspected)")


def _with_origin(
    answers: Mapping[str, tuple[str, dict[str, Any]]], deadline: float
) -> dict[str, KnownFacts]:
    """Read facts; ask each image whether NVIDIA_VISIBLE_DEVICES was inherited from it."""
    facts = {id_: engine_json.facts_of(answer) for id_, (_, answer) in answers.items()}
    images = {
        id_: Request(host, f"/images/{image}/json")
        for id_, (host, answer) in answers.items()
        if _needs_image(facts[id_]) and (image := engine_json.image_id(answer))
    }
    distinct = list(dict.fromkeys(images.values()))
    environments = {
        request: engine_json.image_environment(answer.value)
        for request, answer in zip(
            distinct, engine_api.get_all(distinct, deadline=deadline), strict=True
        )
        if isinstance(answer, Answer)
    }
    for id_, request in images.items():
        if request in environments:
            facts[id_] = _compare(facts[id_], environments[request])
    return facts


def _needs_image(facts: KnownFacts) -> bool:
    return facts.config.visible_devices is not None and facts.config.runtime.startswith("nvidia")


def _compare(facts: KnownFacts, image_environment: object) -> KnownFacts:
    inherited = engine_json.visible_devices(image_environment) == facts.config.visible_devices
    return facts._replace(config=facts.config._replace(visible_devices_from_image=inherited))
