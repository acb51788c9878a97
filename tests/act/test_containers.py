"""Containers are stopped, removed and started only if they are still what was decided about."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from ds01ctl.act import containers
from ds01ctl.act.containers import Done, Stop
from ds01ctl.act.engine import time_of
from ds01ctl.errors import Ds01Error
from tests import engine as docker_engine
from tests.act.act_worlds import NEVER, create, do, run, state_of, stop
from tests.observe.stub_engine import ID

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engine import Engine


def ended(engine: Engine, name: str | None = None) -> tuple[str, dict[str, Any]]:
    """Run a container to its end; return its id and its state."""
    container_id = engine.run(name, command=("echo", "over"))
    engine.client.wait(container_id)
    state = state_of(engine, container_id)
    assert state is not None
    return container_id, state


# --- stop -------------------------------------------------------------------------------------


@pytest.mark.engine
def test_a_stop_lets_the_container_end_itself_and_tells_when_it_did(engine: Engine) -> None:
    container_id = run(engine)
    before = state_of(engine, container_id)
    done = stop(engine, container_id, before["StartedAt"], grace_s=30)
    after = state_of(engine, container_id)
    assert done == Done("done", "", time_of(after["FinishedAt"]))
    assert (after["Status"], after["ExitCode"]) == ("exited", 0)
    again = stop(engine, container_id, before["StartedAt"])
    assert (again.outcome, again.why) == ("already", "it is exited")


@pytest.mark.engine
def test_who_does_not_obey_is_killed_after_the_grace(engine: Engine) -> None:
    container_id = engine.run(command=("sleep", "1000"))
    started_at = state_of(engine, container_id)["StartedAt"]
    begun = time.monotonic()
    assert stop(engine, container_id, started_at, grace_s=1).outcome == "done"
    assert 0.9 < time.monotonic() - begun < 10
    assert state_of(engine, container_id)["ExitCode"] == 137


@pytest.mark.engine
def test_another_run_is_not_stopped(engine: Engine) -> None:
    container_id = run(engine)
    first = state_of(engine, container_id)["StartedAt"]
    engine.client.restart(container_id)
    second = state_of(engine, container_id)
    done = stop(engine, container_id, first)
    assert done.outcome == "refused"
    assert "started anew" in done.why
    assert state_of(engine, container_id) == second


@pytest.mark.engine
def test_a_run_is_known_to_the_microsecond(engine: Engine) -> None:
    container_id = run(engine)
    at = time_of(state_of(engine, container_id)["StartedAt"])
    assert at is not None
    other = at.replace(microsecond=(at.microsecond + 1) % 1_000_000)
    assert containers.stop(engine.host, container_id, started_at=other, grace_s=1).outcome == (
        "refused"
    )
    assert containers.stop(engine.host, container_id, started_at=at, grace_s=9).outcome == "done"


@pytest.mark.engine
@pytest.mark.parametrize("started_at", [None, NEVER, ""])
def test_without_a_start_nothing_is_stopped(engine: Engine, started_at: str | None) -> None:
    container_id = run(engine)
    assert stop(engine, container_id, started_at).outcome == "refused"
    assert state_of(engine, container_id)["Running"]


@pytest.mark.engine
def test_paused_and_created_ones_are_left_alone(engine: Engine) -> None:
    paused, created = run(engine), create(engine)
    started_at = state_of(engine, paused)["StartedAt"]
    engine.client.pause(paused)
    assert stop(engine, paused, started_at) == Done("refused", "it is paused, not running")
    assert stop(engine, created, NEVER) == Done("refused", "it is created, not running")
    assert state_of(engine, paused)["Paused"]
    engine.client.unpause(paused)


@pytest.mark.engine
def test_between_two_runs_of_a_restart_policy_nothing_is_stopped(engine: Engine) -> None:
    client = engine.client
    config = client.create_host_config(network_mode="none", restart_policy={"Name": "always"})
    made = client.create_container(docker_engine.IMAGE, ["echo", "over"], host_config=config)
    client.start(made["Id"])
    for _ in range(200):
        state = state_of(engine, made["Id"])
        if state["Status"] == "restarting":
            break
        time.sleep(0.02)
    done = stop(engine, made["Id"], state["StartedAt"])
    # it may have begun again in between
    assert (done.outcome, done.why != "") == ("refused", True)
    assert state_of(engine, made["Id"])["Status"] in {"restarting", "running"}


@pytest.mark.engine
def test_a_restart_policy_does_not_bring_back_what_was_stopped(engine: Engine) -> None:
    container_id = create(engine, restart_policy={"Name": "always"})
    engine.client.start(container_id)
    started_at = state_of(engine, container_id)["StartedAt"]
    assert stop(engine, container_id, started_at).why == ""
    assert state_of(engine, container_id)["Status"] == "exited"


@pytest.mark.engine
def test_one_that_removes_itself_was_stopped(engine: Engine) -> None:
    container_id = create(engine, auto_remove=True)
    engine.client.start(container_id)
    started_at = state_of(engine, container_id)["StartedAt"]
    assert stop(engine, container_id, started_at).outcome == "done"
    while state_of(engine, container_id):
        time.sleep(0.05)


@pytest.mark.engine
def test_the_one_who_asks_may_still_say_no(engine: Engine) -> None:
    container_id = run(engine)
    started_at = state_of(engine, container_id)["StartedAt"]
    done = stop(engine, container_id, started_at, recheck=lambda: "it is busy again")
    assert done == Done("refused", "it is busy again")

    def restart() -> None:
        engine.client.restart(container_id, timeout=5)

    # a look at activity takes a while, in which much may happen
    assert stop(engine, container_id, started_at, recheck=restart).outcome == "refused"
    assert state_of(engine, container_id)["Running"]
    started_at = state_of(engine, container_id)["StartedAt"]
    assert stop(engine, container_id, started_at, recheck=lambda: None).outcome == "done"


@pytest.mark.engine
@pytest.mark.parametrize("act", ["stop", "remove", "start"])
def test_names_and_short_ids_are_not_taken(engine: Engine, act: str) -> None:
    container_id = run(engine, "mine")
    for name in ("mine", container_id[:12], container_id.upper(), "", "../images"):
        with pytest.raises(Ds01Error, match="not the full id"):
            do(engine.host, act, name)
    assert state_of(engine, container_id)["Running"]


@pytest.mark.engine
def test_a_name_that_is_the_id_of_another_is_not_followed(engine: Engine) -> None:
    gone = create(engine)
    engine.remove(gone)
    other = run(engine, gone)
    state = state_of(engine, other)
    assert stop(engine, gone, state["StartedAt"]) == Done("already", "it is gone")
    assert containers.remove(engine.host, gone, state="running", finished_at=None).outcome == (
        "already"
    )
    assert state_of(engine, other) == state


# --- remove -----------------------------------------------------------------------------------


@pytest.mark.engine
def test_a_container_goes_and_its_volumes_stay(engine: Engine) -> None:
    client = engine.client
    client.create_volume("kept")
    made = client.create_container(
        docker_engine.IMAGE,
        ["echo", "over"],
        volumes=["/anonymous", "/named"],
        host_config=client.create_host_config(binds=["kept:/named"], network_mode="none"),
    )
    client.start(made["Id"])
    client.wait(made["Id"])
    mounted = {mount["Name"] for mount in client.inspect_container(made["Id"])["Mounts"]}
    finished_at = state_of(engine, made["Id"])["FinishedAt"]
    done = containers.remove(engine.host, made["Id"], state="exited", finished_at=finished_at)
    assert done == Done("done")
    assert state_of(engine, made["Id"]) is None
    left = {volume["Name"] for volume in client.volumes()["Volumes"]}
    assert len(mounted) == 2
    assert mounted <= left
    for name in mounted:
        client.remove_volume(name)
    again = containers.remove(engine.host, made["Id"], state="exited", finished_at=finished_at)
    assert again == Done("already", "it is gone")


@pytest.mark.engine
def test_one_that_ran_meanwhile_is_not_removed(engine: Engine) -> None:
    container_id, first = ended(engine)
    engine.client.start(container_id)
    engine.client.wait(container_id)
    done = containers.remove(
        engine.host, container_id, state="exited", finished_at=first["FinishedAt"]
    )
    assert done.outcome == "refused"
    assert "ran meanwhile" in done.why
    assert state_of(engine, container_id) is not None


@pytest.mark.engine
def test_a_created_one_goes_only_as_long_as_it_never_ran(engine: Engine) -> None:
    never, ran = create(engine), create(engine)
    engine.client.start(ran)
    engine.client.stop(ran, timeout=5)
    results = [
        containers.remove(engine.host, each, state="created", finished_at=None)
        for each in (never, ran)
    ]
    assert [done.outcome for done in results] == ["done", "refused"]
    assert state_of(engine, never) is None
    assert state_of(engine, ran) is not None


@pytest.mark.engine
@pytest.mark.parametrize("state", ["running", "paused", "exited"])
def test_what_runs_is_never_removed(engine: Engine, state: str) -> None:
    container_id = run(engine)
    if state == "paused":
        engine.client.pause(container_id)
    done = containers.remove(engine.host, container_id, state=state, finished_at=NEVER)
    assert done.outcome == "refused"
    if state == "paused":
        engine.client.unpause(container_id)
    assert state_of(engine, container_id)["Running"]


@pytest.mark.engine
def test_a_start_during_the_last_question_saves_it(engine: Engine) -> None:
    container_id, state = ended(engine)

    def start_again() -> None:
        engine.client.start(container_id)
        engine.client.wait(container_id)

    done = containers.remove(
        engine.host,
        container_id,
        state="exited",
        finished_at=state["FinishedAt"],
        recheck=start_again,
    )
    assert done.outcome == "refused"
    assert state_of(engine, container_id) is not None


# --- start ------------------------------------------------------------------------------------


@pytest.mark.engine
def test_what_was_stopped_is_started_again_once(engine: Engine) -> None:
    container_id = run(engine)
    done = stop(engine, container_id, state_of(engine, container_id)["StartedAt"])
    first = containers.start(engine.host, container_id, finished_at=done.finished_at)
    second = containers.start(engine.host, container_id, finished_at=done.finished_at)
    assert [first, second] == [Done("done"), Done("already", "it runs")]
    engine.client.stop(container_id, timeout=5)
    # that stop is another's
    third = containers.start(engine.host, container_id, finished_at=done.finished_at)
    assert third.outcome == "refused"
    assert state_of(engine, container_id)["Status"] == "exited"


@pytest.mark.engine
def test_one_that_ends_at_once_was_started(engine: Engine) -> None:
    container_id, state = ended(engine)
    done = containers.start(engine.host, container_id, finished_at=state["FinishedAt"])
    assert done.outcome == "done"
    assert done.why in {"", "it ended again at once: exited, exit code 0"}
    engine.remove(container_id)
    gone = containers.start(engine.host, container_id, finished_at=state["FinishedAt"])
    assert gone == Done("refused", "it is gone")


@pytest.mark.engine
def test_one_that_cannot_be_started_is_an_error_with_the_engines_words(
    engine: Engine, tmp_path: Path
) -> None:
    from docker.types import Mount

    folder = tmp_path / "workspace"
    folder.mkdir()
    container_id = create(engine, mounts=[Mount("/workspace", str(folder), type="bind")])
    engine.client.start(container_id)
    done = stop(engine, container_id, state_of(engine, container_id)["StartedAt"])
    folder.rmdir()
    with pytest.raises(Ds01Error, match="does not exist"):
        containers.start(engine.host, container_id, finished_at=done.finished_at)
    assert state_of(engine, container_id)["Status"] == "exited"


# --- many at once -----------------------------------------------------------------------------


@pytest.mark.engine
def test_many_stops_take_as_long_as_one_and_one_that_fails_keeps_none(engine: Engine) -> None:
    ids = [engine.run(command=("sleep", "1000")) for _ in range(6)]
    stops = [Stop(engine.host, each, state_of(engine, each)["StartedAt"], 3) for each in ids]
    stops.insert(2, Stop("unix:///no/such.sock", ID(7), NEVER, 3))
    told: list[tuple[str, str]] = []
    begun = time.monotonic()
    became = containers.stop_all(
        stops,
        begin=lambda one: told.append(("begin", one.id)),
        end=lambda one, _: told.append(("end", one.id)),
    )
    assert time.monotonic() - begun < 3 * 3
    assert isinstance(became[ID(7)], Ds01Error)
    assert [became[each].outcome for each in ids] == ["done"] * 6
    assert sorted(told) == sorted((what, one.id) for one in stops for what in ("begin", "end"))


@pytest.mark.engine
def test_a_signal_begins_no_more_and_tells_of_those_under_way(engine: Engine) -> None:
    count = containers.AT_ONCE + 4
    ids = [engine.run(command=("sleep", "1000")) for _ in range(count)]
    stops = [Stop(engine.host, each, state_of(engine, each)["StartedAt"], 2) for each in ids]
    begun: list[str] = []
    told: dict[str, Any] = {}
    # a shell starts what runs in the background with it ignored
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(0.8, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        containers.stop_all(
            stops, begin=lambda one: begun.append(one.id), end=lambda one, done: told.update(
                {one.id: done}
            )
        )  # fmt: skip
    timer.join()
    signal.signal(signal.SIGINT, before)
    assert len(begun) == containers.AT_ONCE
    assert set(told) == set(begun)
    assert {done.outcome for done in told.values()} == {"done"}
    assert all(state_of(engine, each)["Running"] for each in set(ids) - set(begun))
