"""Stop, remove and start containers: each is looked at directly before and directly after.

Containers are named by their full id only; nothing is ever forced, and no volume goes with one.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.act.container_facts import difference, look, told_as
from ds01ctl.act.engine import (
    ANSWER_S,
    Done,
    GoneError,
    RefusedError,
    is_full_id,
    opened,
    time_of,
)
from ds01ctl.act.making_sure import ended, made_sure
from ds01ctl.errors import Ds01Error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from concurrent.futures import Future
    from datetime import datetime

    from ds01ctl.act.container_facts import ContainerFacts
    from ds01ctl.act.engine import Client, Recheck, When

__all__ = ["Done", "Stop", "remove", "start", "stop", "stop_all"]

AT_ONCE = 8
"""Stops under way at once."""
_ENDED = {"exited", "dead"}
_REMOVABLE = {"created", "exited", "dead"}
_LOOK = "look with docker inspect; the next run looks again"


class Stop(NamedTuple):
    """One container to stop."""

    engine: str
    id: str
    started_at: When
    grace_s: int
    recheck: Recheck | None = None


def stop(
    engine: str,
    container_id: str,
    *,
    started_at: When,
    grace_s: int,
    recheck: Recheck | None = None,
    answer_s: float = ANSWER_S,
) -> Done:
    """Stop the run of a container that began then: SIGTERM, and SIGKILL after the grace.

    ``already`` says that it does not run, by another's doing. answer_s: how long to wait for the
    engine's answer once the grace is over. Raises UnknownError where it may still be stopped, and
    Ds01Error where it was not.
    """
    _check(container_id)
    meant = time_of(started_at)
    with opened(engine) as client:
        if held := _held_from_stopping(client, container_id, meant, recheck):
            return held

        def ask() -> None:
            # the SDK itself waits as much longer as the grace is
            grace = max(int(grace_s), 0)
            client.act("stop", container_id, timeout=grace, answer_s=answer_s)

        return ended(ask, lambda: _stopped(client, container_id, meant))


def _held_from_stopping(
    client: Client, container_id: str, meant: datetime | None, recheck: Recheck | None
) -> Done | None:
    """Say why it is not to be stopped; the callback may take a while, so look again after it."""
    if held := _not_that_run(look(client, container_id), meant):
        return held
    if recheck is None:
        return None
    if why := recheck():
        return Done("refused", why)
    return _not_that_run(look(client, container_id), meant)


def _not_that_run(seen: ContainerFacts | None, meant: datetime | None) -> Done | None:
    if seen is None:
        return Done("already", "it is gone")
    if seen.state in _ENDED:
        return Done("already", f"it is {seen.state}", seen.finished_at)
    if seen.state != "running":
        # of these none can hear SIGTERM, or is between two runs
        return Done("refused", f"it is {seen.state}, not running")
    if meant is None or seen.started_at != meant:
        return Done("refused", f"it was started anew: {difference(seen.started_at, meant)}")
    return None


def _stopped(client: Client, container_id: str, meant: datetime | None) -> Done:
    """Confirm that the run has ended, and say so if another one began."""
    seen = look(client, container_id)
    if seen is None or seen.state == "removing":
        return Done("done", "it was removed when it ended, as it was told to be")
    if seen.started_at == meant:
        if seen.state in _ENDED:
            return Done("done", "", seen.finished_at)
        raise Ds01Error(f"{client.address}: container {container_id[:12]} is still {seen.state}",
                        _LOOK)  # fmt: skip
    again = f"started again at {told_as(seen.started_at)} (restart policy {seen.restart or 'no'})"
    if seen.state in _ENDED:
        return Done("done", f"it had been {again}: that run was stopped", seen.finished_at)
    return Done("done", f"that run has ended, but it was {again} and is {seen.state}")


def remove(
    engine: str,
    container_id: str,
    *,
    state: str,
    finished_at: When,
    recheck: Recheck | None = None,
    answer_s: float = ANSWER_S,
) -> Done:
    """Remove a container that is in this state since then; its volumes stay.

    Raises UnknownError where it may still be removed, and Ds01Error where it was not.
    """
    _check(container_id)
    meant = time_of(finished_at)
    with opened(engine) as client:
        if held := _held_from_removing(client, container_id, state, meant, recheck):
            return held
        how = {"v": False, "link": False, "force": False, "answer_s": answer_s}
        return ended(
            lambda: client.act("remove_container", container_id, **how),
            lambda: _removed(client, container_id),
        )


def _removed(client: Client, container_id: str) -> Done:
    if seen := look(client, container_id):
        what = f"container {container_id[:12]} is still there, {seen.state}"
        raise Ds01Error(f"{client.address}: {what}", _LOOK)
    return Done("done")


def _held_from_removing(
    client: Client, container_id: str, state: str, meant: datetime | None, recheck: Recheck | None
) -> Done | None:
    if held := _not_that_end(look(client, container_id), state, meant):
        return held
    if recheck is None:
        return None
    if why := recheck():
        return Done("refused", why)
    return _not_that_end(look(client, container_id), state, meant)


def _not_that_end(seen: ContainerFacts | None, state: str, meant: datetime | None) -> Done | None:
    if seen is None:
        return Done("already", "it is gone")
    if seen.state != state or seen.state not in _REMOVABLE:
        return Done("refused", f"it is {seen.state}, not {state}")
    if seen.finished_at != meant:
        return Done("refused", f"it ran meanwhile: {difference(seen.finished_at, meant)}")
    if seen.removes_itself and seen.state != "created":
        return Done("refused", "the engine itself removes it when it ends")
    return None


def start(
    engine: str,
    container_id: str,
    *,
    finished_at: When,
    recheck: Recheck | None = None,
    answer_s: float = ANSWER_S,
) -> Done:
    """Start a container again that ended then, and has not run since.

    Raises UnknownError where it may still be started, and Ds01Error where it can't be.
    """
    _check(container_id)
    meant = time_of(finished_at)
    with opened(engine) as client:
        before = look(client, container_id)
        if held := _not_to_start(before, meant):
            return held
        if recheck and (why := recheck()):
            return Done("refused", why)
        try:
            return made_sure(
                lambda: client.act("start", container_id, answer_s=answer_s),
                lambda: _started(client, container_id, before),
            )
        except (GoneError, RefusedError) as error:
            return Done("refused", error.message)


def _not_to_start(seen: ContainerFacts | None, meant: datetime | None) -> Done | None:
    if seen is None:
        return Done("refused", "it is gone")
    if seen.state == "running":
        return Done("already", "it runs")
    if seen.state != "exited":
        return Done("refused", f"it is {seen.state}, not exited")
    if meant is None or seen.finished_at != meant:
        return Done("refused", f"it ran meanwhile: {difference(seen.finished_at, meant)}")
    return None


def _started(client: Client, container_id: str, before: ContainerFacts | None) -> Done:
    seen = look(client, container_id)
    if seen is not None and seen.state == "running":
        return Done("done")
    if seen is None or before is None or seen.started_at == before.started_at:
        what = f"container {container_id[:12]} was not started"
        raise Ds01Error(f"{client.address}: {what}", _LOOK)
    code = f"exit code {seen.exit_code}"
    return Done("done", f"it ended again at once: {seen.state}, {code}", seen.finished_at)


def stop_all(
    stops: Iterable[Stop],
    *,
    begin: Callable[[Stop], None] = lambda _: None,
    end: Callable[[Stop, Done | Ds01Error], None] = lambda *_: None,
) -> dict[str, Done | Ds01Error]:
    """Stop many containers, some at once; one that fails does not keep the others.

    ``begin`` is called before each, ``end`` with what became of it, both in the caller's own
    thread. Where a signal raises an exception there, no other stop is begun, those under way are
    waited for and told, and then it is raised on.
    """
    # costs every run of every job some milliseconds at the top
    from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

    became: dict[str, Done | Ds01Error] = {}
    waiting = deque(stops)
    under_way: dict[Future[Done], Stop] = {}
    pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="stop")

    def hear() -> None:
        for future in wait(under_way, return_when=FIRST_COMPLETED).done:
            one = under_way.pop(future)
            became[one.id] = _became(future)
            end(one, became[one.id])

    try:
        while waiting or under_way:
            while waiting and len(under_way) < AT_ONCE:
                begin(waiting[0])
                one = waiting.popleft()
                under_way[pool.submit(_stop_one, one)] = one
            hear()
    finally:
        while under_way:
            hear()
        pool.shutdown(wait=False)
    return became


def _stop_one(one: Stop) -> Done:
    return stop(
        one.engine, one.id, started_at=one.started_at, grace_s=one.grace_s, recheck=one.recheck
    )


def _became(future: Future[Done]) -> Done | Ds01Error:
    try:
        return future.result()
    except Ds01Error as error:
        return error


def _check(container_id: str) -> None:
    if not is_full_id(container_id):
        raise Ds01Error(f"not the full id of a container: {container_id[:80]!r}")
