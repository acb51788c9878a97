"""Engines that are newer, slow, broken, killed, or not there at all."""

from __future__ import annotations

import gc
import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from ds01ctl.act import containers
from ds01ctl.act.containers import Done
from ds01ctl.act.engine import opened
from ds01ctl.errors import Ds01Error
from tests import engine as docker_engine
from tests.act.act_worlds import NEVER, do, kill_daemon, run, state_of, stop
from tests.observe.stub_engine import ID, StubEngine
from tests.tap import Tap

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.engine import Engine


@pytest.mark.engine
# the SDK leaves the socket open on which it was not answered
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_engine_killed_in_the_middle_of_a_stop_leaves_nothing_claimed() -> None:
    if reason := docker_engine.missing():
        pytest.skip(reason)
    engine = docker_engine.Engine()
    try:
        container_id = engine.run(command=("sleep", "1000"))
        started_at = state_of(engine, container_id)["StartedAt"]
        with ThreadPoolExecutor(1) as pool:
            stopping = pool.submit(stop, engine, container_id, started_at, grace_s=20)
            time.sleep(0.7)
            kill_daemon(engine)
            with pytest.raises(Ds01Error) as raised:
                stopping.result(15)
        assert "not known" in (raised.value.hint or "")
        with pytest.raises(Ds01Error, match="connection refused"):
            stop(engine, container_id, started_at)
        engine.restart_daemon()
        after = state_of(engine, container_id)
        # the next run looks again: it may have been stopped or not, and both are right
        done = stop(engine, container_id, started_at, grace_s=1)
        assert done.outcome == ("done" if after["Running"] else "already")
    finally:
        engine.stop()
        gc.collect()


@pytest.fixture
def stub(tmp_path: Path) -> Iterator[StubEngine]:
    stub = StubEngine(tmp_path)
    stub.answer("/version", {"ApiVersion": "1.41", "MinAPIVersion": "1.12"})
    yield stub
    stub.stop()


INSPECT = f"/v1.41/containers/{ID(1)}/json"
INSPECTED = {"Id": ID(1), "State": {"Status": "exited", "FinishedAt": "2026-11-23T12:00:00Z"}}


@pytest.mark.parametrize("act", ["stop", "remove", "start"])
@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        ("500 Internal Server Error", {"message": "layer store is broken"}, "layer store"),
        ("503 Service Unavailable", {}, "no answer that can be used"),
        ("404 Not Found", {"message": "page not found"}, "page not found"),
        ("404 Not Found", ["?"], "no answer that can be used"),
        ("403 Forbidden", {"message": "by a proxy"}, "by a proxy"),
        ("200 OK", ["no", "object"], "nothing usable"),
        ("200 OK", {"Id": ID(1), "State": {"FinishedAt": "yesterday"}}, "not a time"),
    ],
)
def test_an_answer_that_proves_nothing_is_an_error(
    stub: StubEngine, act: str, status: str, body: object, says: str
) -> None:
    stub.answer(INSPECT, body, status=status)
    with pytest.raises(Ds01Error, match=says):
        do(stub.host, act, ID(1))


def test_only_the_engines_no_such_container_means_gone(stub: StubEngine) -> None:
    stub.answer(INSPECT, {"message": f"No such container: {ID(1)}"}, status="404 Not Found")
    assert do(stub.host, "stop", ID(1)) == Done("already", "it is gone")


def test_a_slow_engine_is_an_error(stub: StubEngine) -> None:
    stub.delay_s = 3
    slow = opened(stub.host, timeout_s=0.2)
    with pytest.raises(Ds01Error, match="no answer in time") as raised, slow:
        pass
    assert "not known" in (raised.value.hint or "")


@pytest.mark.parametrize("body", [{}, [], {"ApiVersion": 1}, {"ApiVersion": "newest"}])
def test_an_engine_that_does_not_tell_its_version_is_an_error(
    stub: StubEngine, body: object
) -> None:
    stub.answer("/version", body)
    with pytest.raises(Ds01Error, match="ApiVersion"):
        do(stub.host, "stop", ID(1))


@pytest.mark.parametrize(
    ("newest", "oldest"), [("1.99", "1.90"), ("1.12", "1.0")], ids=["too-new", "too-old"]
)
def test_an_engine_that_the_sdk_does_not_speak_with_is_an_error(
    stub: StubEngine, newest: str, oldest: str
) -> None:
    stub.answer("/version", {"ApiVersion": newest, "MinAPIVersion": oldest})
    with pytest.raises(Ds01Error, match=f"speaks API {oldest} to {newest}") as raised:
        do(stub.host, "stop", ID(1))
    assert "package docker" in (raised.value.hint or "")


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("unix:///no/such.sock", "no such file"),
        ("unix:///etc/passwd", "connection refused"),
        ("tcp://127.0.0.1:1", "connection refused"),
        ("ssh://root@elsewhere", "not the address"),
        ("", "not the address"),
        ("unix:///run/x?y", "not the address"),
    ],
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_engine_that_is_not_there_is_an_error(address: str, says: str) -> None:
    with pytest.raises(Ds01Error, match=says) as raised:
        do(address, "stop", ID(1))
    assert raised.value.hint


@pytest.mark.engine
def test_the_files_and_the_environment_of_the_caller_do_not_matter(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / ".docker/config.json"
    config.parent.mkdir()
    config.write_text('{"auths": {"x": {"auth": "?"}}, "proxies": null}')
    (tmp_path / ".netrc").write_text("machine localhost login x password y\n")
    for name, value in {
        "HOME": str(tmp_path),
        "DOCKER_CONFIG": str(config.parent),
        "DOCKER_HOST": "tcp://127.0.0.1:1",
        "DOCKER_TLS_VERIFY": "1",
        "HTTP_PROXY": "http://127.0.0.1:1",
        "ALL_PROXY": "http://127.0.0.1:1",
    }.items():
        monkeypatch.setenv(name, value)
    container_id = run(engine)
    started_at = state_of(engine, container_id)["StartedAt"]
    assert stop(engine, container_id, started_at).outcome == "done"
    assert os.environ["HOME"] == str(tmp_path)
    assert os.environ["DOCKER_CONFIG"] == str(config.parent)


@pytest.mark.engine
def test_the_newest_version_is_spoken_that_both_know(each_engine: Engine, tmp_path: Path) -> None:
    from docker.constants import DEFAULT_DOCKER_API_VERSION as NEWEST

    engine = each_engine
    own = engine.client.version()["ApiVersion"]
    spoken = min(own, NEWEST, key=lambda version: tuple(map(int, version.split("."))))
    assert engine.is_machines or spoken != "1.41"
    with Tap(engine.host, tmp_path / "tap.sock") as tap:
        container_id = run(engine)
        started_at = state_of(engine, container_id)["StartedAt"]
        stopped = containers.stop(tap.host, container_id, started_at=started_at, grace_s=5)
        started = containers.start(tap.host, container_id, finished_at=stopped.finished_at)
        engine.client.stop(container_id, timeout=5)
        removed = containers.remove(
            tap.host,
            container_id,
            state="exited",
            finished_at=state_of(engine, container_id)["FinishedAt"],
        )
        gone = containers.remove(tap.host, container_id, state="exited", finished_at=NEVER)
    assert [each.outcome for each in (stopped, started, removed, gone)] == [
        "done", "done", "done", "already",
    ]  # fmt: skip
    assert {line.split()[1].split("/")[1] for line in tap.asked} == {"version", f"v{spoken}"}
    acts = [line for line in tap.asked if not line.startswith("GET")]
    base = f"/v{spoken}/containers/{container_id}"
    assert acts == [
        f"POST {base}/stop?t=5 HTTP/1.1",
        f"POST {base}/start HTTP/1.1",
        f"DELETE {base}?v=False&link=False&force=False HTTP/1.1",
    ]
