"""See the containers of every engine: one list each, and an inspect only where it must be."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from ds01ctl.core.model import Container, Engine, Gap
from ds01ctl.core.record import NamedTuple
from ds01ctl.observe import engine_api, engine_json
from ds01ctl.observe.container_cgroups import Cgroups
from ds01ctl.observe.engine_answer import EngineError, Request
from ds01ctl.observe.engine_hosts import Host, expand, socket_owner
from ds01ctl.observe.engine_talk import Talk, read_inspect, with_origin

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ds01ctl.observe.container_facts import KnownFacts
    from ds01ctl.observe.engine_talk import Seen
    from ds01ctl.paths import Paths

_USERS_OWN_S = 2.0
"""For all the engines that users run, together: root's owe them nothing."""


class ContainersReading(NamedTuple):
    """What the engines told."""

    engines: tuple[Engine, ...]
    containers: tuple[Container, ...]
    gaps: tuple[Gap, ...]
    facts: dict[str, KnownFacts]
    """By container id, to be remembered; the very same object as known where nothing changed."""
    addresses: Mapping[str, tuple[str, ...]] = {}
    """By container id: its own IP addresses, of running ones in root's engines."""


def read(
    hosts: Sequence[str],
    *,
    deadline_s: float,
    paths: Paths,
    known: Mapping[str, KnownFacts],
    named_by_admin: bool,
) -> ContainersReading:
    """List all containers of all engines, and inspect those whose known facts may not hold.

    Root's engines, and those whose owner is not known, have the deadline for all of it; after
    them users' own have two seconds at most. Nothing is raised: what fails leaves a gap.
    """
    places = expand(hosts)
    cgroups = Cgroups(paths)
    now = datetime.now(timezone.utc)
    talks = [Talk(host, known, cgroups, now) for host in places]
    limit = f"{deadline_s:g} s (docker.timeout_s)"
    _talk_to([talk for talk in talks if not talk.host.uid], deadline_s, limit)
    users_own_s = min(deadline_s, _USERS_OWN_S)
    _talk_to([talk for talk in talks if talk.host.uid], users_own_s, f"{users_own_s:g} s")
    facts: dict[str, KnownFacts] = {}
    addresses: dict[str, tuple[str, ...]] = {}
    containers: dict[str, Container] = {}
    for talk in talks:
        for one in talk.seen:
            # the first engine has it: two addresses may lead to one, and a user's may claim any
            if one.id in containers or one.id in talk.gone:
                continue
            fact = talk.facts.get(one.id)
            if fact:
                facts[one.id] = fact
            containers[one.id] = _container(one, fact, known.get(one.id), cgroups)
            # whom root asks something is not for a user's own engine to say
            if not talk.host.uid and containers[one.id].state == "running":
                addresses[one.id] = engine_json.addresses(one.entry)
    gaps = (*_nothing_to_ask(hosts, places), *_gaps(talks, named_by_admin=named_by_admin))
    engines = tuple(_engine(talk) for talk in talks)
    return ContainersReading(engines, tuple(containers.values()), gaps, facts, addresses)


def _talk_to(talks: Sequence[Talk], seconds: float, limit: str) -> None:
    """Hold the talks with some engines, all at once, and end those that take too long."""
    if not talks:
        return
    at = {talk.host.address: talk for talk in talks}
    engine_api.ask(
        [talk.opening for talk in talks],
        lambda request, answer: at[request.host].hear(request, answer),
        deadline=time.monotonic() + seconds,
        late=f"no answer in {limit}",
    )


def find(
    host: str,
    container_id: str,
    *,
    paths: Paths,
    deadline_s: float = 10,
    deadline: float = float("inf"),
) -> Container | None:
    """Inspect one container that a list taken before does not have; None if there is none.

    It ends after ``deadline_s``, and at ``deadline``, a point of time.monotonic() that several
    look-ups may share. Raises EngineError.
    """
    if not engine_json.is_id(container_id):
        return None
    place = Host(host, found=False, uid=socket_owner(host))
    until = min(time.monotonic() + deadline_s, deadline)
    late = "no answer in time (docker.timeout_s)"
    request = Request(host, f"/containers/{container_id}/json", bool(place.uid))
    try:
        answer = engine_api.get(request, deadline=until, late=late)
    except EngineError as error:
        if error.trouble == "not-found":
            return None
        raise
    facts, image = read_inspect(place, container_id, answer)
    if image:
        facts = _with_origin(facts, image, until)
    cgroup = Cgroups(paths).of(container_id, facts)
    return engine_json.inspected(host, answer.value, facts, cgroup)


def _with_origin(facts: KnownFacts, image: Request, deadline: float) -> KnownFacts:
    try:
        answer = engine_api.get(image, deadline=deadline)
    except EngineError:
        # not known whether it was inherited
        return facts
    return with_origin(facts, engine_json.image_environment(answer.value))


def _container(
    one: Seen, facts: KnownFacts | None, known: KnownFacts | None, cgroups: Cgroups
) -> Container:
    cgroup = cgroups.of(one.id, facts) if facts else None
    container = engine_json.listed(one.host, one.entry, facts, cgroup)
    if facts is None and known is not None and known.engine == one.host:
        # only the configuration is for good
        return container._replace(config=known.config)
    return container


def _engine(talk: Talk) -> Engine:
    return Engine(talk.host.address, talk.failure is None, talk.version, talk.host.uid)


# --- gaps -------------------------------------------------------------------------------------


def _nothing_to_ask(hosts: Sequence[str], places: Sequence[Host]) -> Iterator[Gap]:
    if hosts and not places:
        yield Gap("docker", "absent", f"nothing matches docker.hosts: {', '.join(hosts)}")


def _gaps(talks: Sequence[Talk], *, named_by_admin: bool) -> Iterator[Gap]:
    for talk in talks:
        whose = f" (the own engine of uid {talk.host.uid})" if talk.host.uid else ""
        if talk.failure:
            gap = _gap_of_list(talk.host, talk.failure, named_by_admin=named_by_admin)
            yield gap._replace(reason=gap.reason + whose)
        for complaint in talk.complaints:
            yield Gap("docker", "failed", f"{talk.host.address}: {complaint}{whose}")
        if failed := talk.not_inspected:
            counted = f"{len(failed)} of {talk.inspects} containers not inspected"
            yield Gap("docker", "failed", f"{failed[0].message} ({counted}){whose}")


def _gap_of_list(host: Host, error: EngineError, *, named_by_admin: bool) -> Gap:
    if host.found and error.trouble in {"absent", "refused"}:
        # a socket left behind is no promise of an engine
        return Gap("docker", "absent", f"{host.address}: nobody listens")
    kind = "failed" if named_by_admin and error.kind == "absent" else error.kind
    hint = f" ({error.hint})" if error.hint else ""
    return Gap("docker", kind, f"{error.message}{hint}")
