"""Ask the engines how large the writable layer of each container is.

An engine walks every layer to tell, which takes seconds where they are large: it has a deadline of
its own. Users' own engines are not asked: their layers lie in the users' homes.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from ds01ctl.core.model import Gap
from ds01ctl.observe import engine_api, engine_json
from ds01ctl.observe.engine_answer import Answer, EngineError, Request
from ds01ctl.observe.engine_hosts import expand

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ds01ctl.observe.engine_hosts import Host

_LIST = "/containers/json?all=1&size=1"


class SizesReading(NamedTuple):
    """What the engines told."""

    sizes: dict[str, int]
    """Bytes by container id; one whose size was not told has no entry."""
    gaps: tuple[Gap, ...]
    """Not empty: there may be more than the sizes say."""


def read(hosts: Sequence[str], *, deadline_s: float, named_by_admin: bool) -> SizesReading:
    """Ask all engines of root's at once. Nothing is raised: what fails leaves a gap."""
    places = [host for host in expand(hosts) if not host.uid]
    heard: dict[str, Answer | EngineError] = {}

    def hear(request: Request, answer: Answer | EngineError) -> tuple[Request, ...]:
        heard[request.host] = answer
        return ()

    engine_api.ask(
        [Request(host.address, _LIST) for host in places],
        hear,
        deadline=time.monotonic() + deadline_s,
        late=f"the sizes of container layers did not come in {deadline_s:g} s",
    )
    sizes: dict[str, int] = {}
    gaps = [] if places else [Gap("docker", "absent", "no engine of root's is named or here")]
    for host in places:
        try:
            found, complaint = _sizes(host, heard[host.address])
        except EngineError as error:
            gaps.append(_gap(host, error, named_by_admin=named_by_admin))
            continue
        # two addresses may lead to one engine
        sizes = {**found, **sizes}
        gaps += [Gap("docker", "failed", f"{host.address}: {complaint}")] if complaint else []
    return SizesReading(sizes, tuple(gaps))


def _sizes(host: Host, answer: Answer | EngineError) -> tuple[dict[str, int], str]:
    """Read a list, and say what is wrong with it. Raises EngineError."""
    if isinstance(answer, EngineError):
        raise answer
    entries = [] if answer.value is None else answer.value
    if not isinstance(entries, list):
        raise EngineError(host.address, "failed", "the list of containers is no list")
    told = {engine_json.container_id(one): _size(one) for one in entries}
    sizes = {id_: size for id_, size in told.items() if id_ is not None and size is not None}
    missing = len(entries) - len(sizes)
    return sizes, f"{missing} of {len(entries)} containers without a size" if missing else ""


def _size(entry: Any) -> int | None:
    """Read the size. Docker leaves out what is 0, and says -1 where it does not know.

    An engine that did not measure leaves out the image's size too, which is never 0.
    """
    if not isinstance(entry, dict) or ("SizeRw" not in entry and "SizeRootFs" not in entry):
        return None
    size = entry.get("SizeRw", 0)
    is_count = isinstance(size, int) and not isinstance(size, bool) and size >= 0
    return size if is_count else None


def _gap(host: Host, error: EngineError, *, named_by_admin: bool) -> Gap:
    is_absent = host.found and error.trouble in {"absent", "refused"}
    kind = "absent" if is_absent else error.kind
    if kind == "absent" and named_by_admin and not host.found:
        kind = "failed"
    hint = f" ({error.hint})" if error.hint else ""
    return Gap("docker", kind, f"{error.message}{hint}")


def of_one(host: str, container_id: str, *, deadline_s: float = 5) -> int | None:
    """Ask for one container's; None where that is not told in time."""
    request = Request(host, f"/containers/{container_id}/json?size=1")
    try:
        return _size(engine_api.get(request, deadline=time.monotonic() + deadline_s).value)
    except EngineError:
        return None
