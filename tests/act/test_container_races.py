"""Fifty generated lives, and races of users against what was decided about their containers."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from ds01ctl.act import containers
from tests.act.act_worlds import count, create, run, state_of, stop

if TYPE_CHECKING:
    from tests.engine import Engine


OPERATIONS = (
    "start", "stop", "restart", "rename", "recreate", "pause", "unpause", "remove", "decide",
    "decide", "decide",
)  # fmt: skip


def _operate(engine: Engine, operation: str, name: str, random_: random.Random) -> None:
    """Do what a user does; what the engine refuses is no concern here."""
    import docker.errors

    client = engine.client
    try:
        if operation in {"stop", "restart"}:
            getattr(client, operation)(name, timeout=1)
        elif operation == "rename":
            # and another takes the name
            client.rename(name, f"{name}-{random_.randrange(10**6)}")
            create(engine, name=name)
        elif operation == "recreate":
            client.remove_container(name, force=True)
            client.start(create(engine, name=name))
        elif operation == "remove":
            client.remove_container(name)
        else:
            getattr(client, operation)(name)
    except docker.errors.APIError:
        pass


def _justified(kind: str, decided: dict[str, Any], now: dict[str, Any] | None) -> bool:
    """Tell from Docker's own fields whether an act is justified at this moment."""
    if now is None:
        return False
    if kind == "stop":
        return now["Status"] == "running" and now["StartedAt"] == decided["StartedAt"]
    same = (now["Status"], now["FinishedAt"]) == (decided["Status"], decided["FinishedAt"])
    return same and now["Status"] in {"created", "exited"}


def _apply(engine: Engine, kind: str, container_id: str, decided: dict[str, Any]) -> str:
    """Apply what was decided on an older state, and check what it did by the engine's word."""
    now = state_of(engine, container_id)
    if kind == "stop":
        done = stop(engine, container_id, decided["StartedAt"])
    else:
        done = containers.remove(
            engine.host,
            container_id,
            state=decided["Status"],
            finished_at=decided["FinishedAt"],
        )
    after = state_of(engine, container_id)
    if _justified(kind, decided, now):
        assert done.outcome == "done"
        assert after is None if kind == "remove" else after["Status"] == "exited"
    else:
        assert done.outcome in {"already", "refused"}
        assert after == now
    return f"{kind} {done.outcome}"


def _live(engine: Engine, seed: int) -> list[str]:
    random_ = random.Random(seed)
    name = f"life{seed}"
    if random_.random() < 0.7:
        engine.client.start(create(engine, name=name))
    else:
        create(engine, name=name)
    decisions: list[tuple[str, str, dict[str, Any]]] = []
    outcomes: list[str] = []
    for _ in range(6):
        operation = random_.choice(OPERATIONS)
        if operation != "decide":
            _operate(engine, operation, name, random_)
        else:
            listed = engine.client.containers(all=True, filters={"name": f"^/{name}"})
            for each in listed:
                state = state_of(engine, each["Id"])
                assert state is not None
                decisions.append((random_.choice(("stop", "remove")), each["Id"], state))
        if decisions and random_.random() < 0.35:
            chosen = decisions.pop(random_.randrange(len(decisions)))
            outcomes.append(_apply(engine, *chosen))
    outcomes += [_apply(engine, *each) for each in decisions]
    return outcomes


@pytest.mark.engine
def test_fifty_lives_lose_nothing_that_the_engines_fields_do_not_justify(
    each_engine: Engine,
) -> None:
    engine, lives_ = each_engine, count(each_engine, 50)
    bystander = run(engine, "bystander")
    state = state_of(engine, bystander)
    with ThreadPoolExecutor(4) as pool:
        lives = list(pool.map(lambda seed: _live(engine, seed), range(lives_)))
    outcomes = [outcome for life in lives for outcome in life]
    assert state_of(engine, bystander) == state
    # the generator has shown every kind of end, or the test proves little
    assert {"stop done", "stop refused", "remove done", "remove refused"} <= set(outcomes)
    assert len(outcomes) > lives_


@pytest.mark.engine
def test_sixty_starts_against_removal(each_engine: Engine) -> None:
    import docker.errors

    engine = each_engine
    random_ = random.Random(7)

    def race(number: int) -> tuple[bool, str]:
        # most never ran, some ran and ended
        container_id = create(engine)
        if number % 4 == 3:
            engine.client.start(container_id)
            engine.client.stop(container_id, timeout=1)
        state = state_of(engine, container_id)
        pause_s, is_gone = random_.random() * 0.03, threading.Event()

        def start() -> bool:
            if number % 6 == 5:
                # on some machines none would be late enough by chance
                is_gone.wait(60)
            time.sleep(pause_s)
            try:
                engine.client.start(container_id)
            except docker.errors.APIError:
                return False
            return True

        with ThreadPoolExecutor(1) as user:
            started = user.submit(start)
            if number % 6 == 4:
                started.result()
            done = containers.remove(
                engine.host,
                container_id,
                state=state["Status"],
                finished_at=state["FinishedAt"],
            )
            is_gone.set()
            was_started = started.result()
        after = state_of(engine, container_id)
        # never both: what was started is there and runs
        assert was_started == (after is not None and after["Running"])
        assert (done.outcome == "done") == (after is None)
        engine.remove(container_id)
        return was_started, done.outcome

    with ThreadPoolExecutor(4) as pool:
        results = set(pool.map(race, range(count(engine, 60))))
    assert results == {(True, "refused"), (False, "done")}


@pytest.mark.engine
def test_forty_restarts_against_stops(each_engine: Engine) -> None:
    engine, races_ = each_engine, count(each_engine, 40)
    ids = [run(engine) for _ in range(4)]

    def race(number: int) -> str:
        container_id = ids[number % 4]
        random_ = random.Random(number)
        engine.client.start(container_id)
        started_at = state_of(engine, container_id)["StartedAt"]
        # by chance alone a slow machine shows no early one, or no late one
        turn = number // 4 % 5
        with ThreadPoolExecutor(1) as user:
            time.sleep(random_.random() * 0.02)
            early = stop(engine, container_id, started_at, grace_s=5) if turn == 1 else None
            restarted = user.submit(engine.client.restart, container_id, timeout=5)
            if turn == 0:
                restarted.result()
            else:
                time.sleep(random_.random() * 0.1)
            done = early or stop(engine, container_id, started_at, grace_s=5)
            restarted.result()
        after = state_of(engine, container_id)
        if after["Status"] == "exited" and after["StartedAt"] != started_at:
            # a new run was hit, which nobody can rule out: but it is said
            assert done.outcome == "done"
            assert "started again" in done.why
        return done.outcome

    def races(lane: int) -> list[str]:
        return [race(number) for number in range(lane, races_, 4)]

    with ThreadPoolExecutor(4) as pool:
        outcomes = {outcome for lane in pool.map(races, range(4)) for outcome in lane}
    assert {"done", "refused"} <= outcomes
