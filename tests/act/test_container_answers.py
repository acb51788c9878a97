"""Engines that answer late, or not at all, once they were told to do something."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from ds01ctl.act import containers
from ds01ctl.act.engine import ANSWER_S, time_of
from ds01ctl.act.engine_answers import UnknownError
from ds01ctl.errors import Ds01Error
from tests.act.act_worlds import run, state_of, stop
from tests.observe.stub_engine import ID, StubEngine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

    from ds01ctl.act.engine import Done
    from tests.engine import Engine

STARTED, LATER = "2026-11-23T12:00:00Z", "2026-11-23T13:00:00Z"
INSPECT = f"/v1.41/containers/{ID(1)}/json"
DEEDS = {
    "stop": f"/v1.41/containers/{ID(1)}/stop?t=0",
    "remove": f"/v1.41/containers/{ID(1)}?v=False&link=False&force=False",
    "start": f"/v1.41/containers/{ID(1)}/start",
}
LATE = "the engine gave no answer; a second look shows that it is done"


class LateEngine(StubEngine):
    """Does what it is told, or begins to, and says nothing to it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.answer("/version", {"ApiVersion": "1.41", "MinAPIVersion": "1.12"})
        self.deed, self.after = "", {}

    def shows(self, state: str, started_at: str = STARTED, finished_at: str | None = None) -> None:
        """Show the container so."""
        told = {"Status": state, "StartedAt": started_at, "FinishedAt": finished_at}
        self.answer(INSPECT, {"Id": ID(1), "State": told})

    def _serve(self, connection: Any) -> None:
        with connection, suppress(OSError):
            path = connection.recv(4096).split()[1].decode()
            self.asked.append(path)
            if path == self.deed:
                self.shows(**self.after)
                self._stopping.wait(1)
                return
            connection.sendall(self.answers[path])


@pytest.fixture
def late(tmp_path: Path) -> Iterator[LateEngine]:
    engine = LateEngine(tmp_path)
    yield engine
    engine.stop()


def do(late: LateEngine, act: str, after: dict[str, str]) -> Done:
    """Ask it for an act, with a wait that is too short."""
    late.deed, late.after = DEEDS[act], after
    if act == "stop":
        late.shows("running")
        return containers.stop(
            late.host, ID(1), started_at=STARTED, grace_s=0, answer_s=0.3
        )  # fmt: skip
    late.shows("exited", STARTED, LATER)
    if act == "start":
        return containers.start(late.host, ID(1), finished_at=LATER, answer_s=0.3)
    return containers.remove(late.host, ID(1), state="exited", finished_at=LATER, answer_s=0.3)


@pytest.mark.parametrize(
    ("act", "after"),
    [
        ("stop", {"state": "exited", "finished_at": LATER}),
        ("start", {"state": "running", "started_at": LATER}),
    ],
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_a_second_look_shows_is_done(
    late: LateEngine, act: str, after: dict[str, str]
) -> None:
    done = do(late, act, after)
    assert (done.outcome, done.why) == ("done", LATE)
    assert late.asked.count(DEEDS[act]) == 1
    if act == "stop":
        assert done.finished_at == time_of(LATER)


@pytest.mark.parametrize(
    ("act", "after", "said"),
    [
        ("stop", {"state": "running"}, "is still running"),
        ("start", {"state": "exited", "finished_at": LATER}, "was not started"),
        ("remove", {"state": "removing", "finished_at": LATER}, "is still there, removing"),
    ],
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_it_does_not_show_may_be_done_yet(
    late: LateEngine, act: str, after: dict[str, str], said: str
) -> None:
    with pytest.raises(UnknownError, match="no answer in time; looked at again: ") as raised:
        do(late, act, after)
    assert said in raised.value.message
    assert "not known" in (raised.value.hint or "")


def test_before_it_is_told_anything_nothing_is_unknown(late: LateEngine) -> None:
    """An engine that says nothing to the first look was asked for nothing."""
    late.deed, late.after = INSPECT, {"state": "exited"}
    late.shows("exited")
    with pytest.raises(Ds01Error) as raised:
        containers.start(late.host, ID(1), finished_at="", answer_s=0.3)
    assert not isinstance(raised.value, UnknownError)


@pytest.mark.engine
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_engine_that_is_slower_than_the_wait(engine: Engine) -> None:
    """A real one: it is started, though the answer was not waited for."""
    container_id = run(engine)
    done = stop(engine, container_id, state_of(engine, container_id)["StartedAt"])
    with suppress(UnknownError):
        again = containers.start(
            engine.host, container_id, finished_at=done.finished_at, answer_s=0.001
        )
        assert again.why in {"", LATE}
    ends = time.monotonic() + 20
    while not state_of(engine, container_id)["Running"]:
        assert time.monotonic() < ends
        time.sleep(0.1)
    begun = state_of(engine, container_id)["StartedAt"]
    # the grace is waited for, and the answer besides
    assert stop(engine, container_id, begun, answer_s=ANSWER_S).outcome == "done"
