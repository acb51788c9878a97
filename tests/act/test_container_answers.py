"""Engines that answer late, not at all or with a failure, once they were told to do something."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from ds01ctl.act import containers, images
from ds01ctl.act.engine import ANSWER_S, time_of
from ds01ctl.act.engine_answers import UnknownError
from ds01ctl.errors import Ds01Error
from tests.act.act_worlds import run, state_of, stop
from tests.observe.stub_engine import ID, StubEngine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
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
LATE = "; a second look shows that it is done"
SILENT, ENDS, FAILS = "", "ends", "fails"
SAID = {SILENT: "no answer in time", ENDS: "connection", FAILS: "it may be done or not"}
ANSWERS = pytest.mark.parametrize("answers", SAID)


class LateEngine(StubEngine):
    """Does what it is told, or begins to, and gives no answer to it that says so."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.answer("/version", {"ApiVersion": "1.41", "MinAPIVersion": "1.12"})
        self.deed, self.answers_with = "", SILENT
        self.then: Callable[[], None] = lambda: None

    def shows(self, state: str, started_at: str = STARTED, finished_at: str | None = None) -> None:
        """Show the container so."""
        told = {"Status": state, "StartedAt": started_at, "FinishedAt": finished_at}
        self.answer(INSPECT, {"Id": ID(1), "State": told})

    def _serve(self, connection: Any) -> None:
        with connection, suppress(OSError):
            path = connection.recv(4096).split()[1].decode()
            self.asked.append(path)
            if path == self.deed:
                self.then()
                self._last_word(connection)
                return
            connection.sendall(self.answers[path])

    def _last_word(self, connection: Any) -> None:
        if self.answers_with == SILENT:
            self._stopping.wait(1)
        elif self.answers_with == FAILS:
            self.answer("failure", {"message": SAID[FAILS]}, status="500 Internal Server Error")
            connection.sendall(self.answers["failure"])


@pytest.fixture
def late(tmp_path: Path) -> Iterator[LateEngine]:
    engine = LateEngine(tmp_path)
    yield engine
    engine.stop()


def do(late: LateEngine, act: str, after: dict[str, str], answers: str = SILENT) -> Done:
    """Ask it for an act, with a wait that is too short."""
    late.deed, late.answers_with = DEEDS[act], answers
    late.then = lambda: late.shows(**after)
    if act == "stop":
        late.shows("running")
        return containers.stop(
            late.host, ID(1), started_at=STARTED, grace_s=0, answer_s=0.3
        )  # fmt: skip
    late.shows("exited", STARTED, LATER)
    if act == "start":
        return containers.start(late.host, ID(1), finished_at=LATER, answer_s=0.3)
    return containers.remove(late.host, ID(1), state="exited", finished_at=LATER, answer_s=0.3)


@ANSWERS
@pytest.mark.parametrize(
    ("act", "after"),
    [
        ("stop", {"state": "exited", "finished_at": LATER}),
        ("start", {"state": "running", "started_at": LATER}),
    ],
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_a_second_look_shows_is_done(
    late: LateEngine, act: str, after: dict[str, str], answers: str
) -> None:
    done = do(late, act, after, answers)
    assert done.outcome == "done"
    assert SAID[answers] in done.why.lower()
    assert done.why.endswith(LATE)
    assert late.asked.count(DEEDS[act]) == 1
    if act == "stop":
        assert done.finished_at == time_of(LATER)


@ANSWERS
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
    late: LateEngine, act: str, after: dict[str, str], said: str, answers: str
) -> None:
    with pytest.raises(UnknownError, match="; looked at again: ") as raised:
        do(late, act, after, answers)
    assert SAID[answers] in raised.value.message.lower()
    assert said in raised.value.message
    assert "not known" in (raised.value.hint or "")


def test_before_it_is_told_anything_nothing_is_unknown(late: LateEngine) -> None:
    """An engine that says nothing to the first look was asked for nothing."""
    late.deed = INSPECT
    late.shows("exited")
    with pytest.raises(Ds01Error) as raised:
        containers.start(late.host, ID(1), finished_at="", answer_s=0.3)
    assert not isinstance(raised.value, UnknownError)


@ANSWERS
@pytest.mark.parametrize("is_gone", [True, False])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_image_whose_removal_is_not_answered(
    late: LateEngine, answers: str, is_gone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "ANSWER_S", 0.3)
    image_id = f"sha256:{ID(2)}"
    inspect = f"/v1.41/images/{image_id}/json"
    late.answer("/v1.41/containers/json?limit=-1&all=1&size=0&trunc_cmd=0", [])
    late.answer(inspect, {"Id": image_id})
    late.deed = f"/v1.41/images/{image_id}?force=False&noprune=True"
    late.answers_with = answers
    gone = {"message": "No such image"}
    late.then = lambda: late.answer(inspect, gone, status="404 Not Found") if is_gone else None
    if is_gone:
        done = images.remove_image(late.host, image_id, expected_tags=[], settle_s=0)
        assert (done.outcome, done.why.endswith(LATE)) == ("done", True)
    else:
        with pytest.raises(UnknownError, match=r"looked at again: .* is still there"):
            images.remove_image(late.host, image_id, expected_tags=[], settle_s=0)


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
        assert again.why == "" or again.why.endswith(LATE)
    ends = time.monotonic() + 20
    while not state_of(engine, container_id)["Running"]:
        assert time.monotonic() < ends
        time.sleep(0.1)
    begun = state_of(engine, container_id)["StartedAt"]
    # the grace is waited for, and the answer besides
    assert stop(engine, container_id, begun, answer_s=ANSWER_S).outcome == "done"
