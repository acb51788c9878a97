"""Sizes of container layers, told by engines that behave badly, and by a real one."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ds01ctl.core.model import Gap
from ds01ctl.observe import container_sizes
from ds01ctl.observe.container_sizes import SizesReading
from tests.engine import Engine
from tests.observe.stub_engine import ID, StubEngine, entry

LIST = "/containers/json?all=1&size=1"
ROOT_FS = 4_000_000


def read(*hosts: str, deadline_s: float = 20, named: bool = False) -> SizesReading:
    return container_sizes.read(hosts, deadline_s=deadline_s, named_by_admin=named)


def test_every_container_is_measured(engine: Engine) -> None:
    """Running, stopped, and never started; what is shared with the image is not in it."""
    write = ["sh", "-c", "busybox head -c 3000000 /dev/zero > /file; exec sleep $0"]
    ended = engine.run("ended", command=[*write, "0"])
    engine.client.wait(ended)
    running = engine.run("running", command=[*write, "300"])
    created = engine.run("created", start=False)
    waiting_until = time.monotonic() + 10
    while (sizes := read(engine.host)).sizes.get(running, 0) < 3_000_000:
        assert time.monotonic() < waiting_until
    assert sizes.gaps == ()
    assert set(sizes.sizes) == {ended, running, created}
    assert 3_000_000 <= sizes.sizes[ended] < 3_100_000
    # the engine makes a file or two for mounts
    assert sizes.sizes[created] < 100_000


@pytest.mark.parametrize(
    ("fields", "sizes", "said"),
    [
        ({"SizeRw": 7, "SizeRootFs": ROOT_FS}, {ID(1): 7}, None),
        # the engine leaves out a zero
        ({"SizeRootFs": ROOT_FS}, {ID(1): 0}, None),
        # and says -1 where its walk failed
        ({"SizeRw": -1, "SizeRootFs": ROOT_FS}, {}, "1 of 1 containers without a size"),
        ({}, {}, "1 of 1 containers without a size"),
        ({"SizeRw": "7"}, {}, "1 of 1 containers without a size"),
        ({"SizeRw": None}, {}, "1 of 1 containers without a size"),
        ({"SizeRw": True}, {}, "1 of 1 containers without a size"),
        ({"SizeRw": 7, "Id": "short"}, {}, "1 of 1 containers without a size"),
    ],
)
def test_what_an_entry_says(
    stub: StubEngine, fields: dict[str, Any], sizes: dict[str, int], said: str | None
) -> None:
    stub.answer(LIST, [entry(1) | fields])
    reading = read(stub.host)
    assert reading.sizes == sizes
    assert [gap.reason.partition(": ")[2] for gap in reading.gaps] == ([said] if said else [])


@pytest.mark.parametrize(
    ("value", "status"),
    [("nonsense", "200 OK"), ([], "500 Internal Server Error"), ({"a": 1}, "200 OK")],
)
def test_an_answer_that_is_none(stub: StubEngine, value: Any, status: str) -> None:
    stub.answer(LIST, value, status=status)
    reading = read(stub.host)
    assert (reading.sizes, [gap.kind for gap in reading.gaps]) == ({}, ["failed"])


def test_a_walk_that_takes_too_long(stub: StubEngine) -> None:
    """Its sizes are not known, and nobody waits for it."""
    stub.answer(LIST, [entry(1) | {"SizeRw": 7}])
    stub.delay_s = 5
    began = time.monotonic()
    reading = read(stub.host, deadline_s=0.2)
    assert time.monotonic() - began < 2
    why = f"{stub.host}: the sizes of container layers did not come in 0.2 s"
    assert reading == SizesReading({}, (Gap("docker", "failed", why),))


@pytest.mark.parametrize(("named", "kind"), [(False, "absent"), (True, "failed")])
def test_no_socket(tmp_path: Path, named: bool, kind: str) -> None:
    reading = read(f"unix://{tmp_path}/no.sock", named=named)
    assert [(gap.source, gap.kind) for gap in reading.gaps] == [("docker", kind)]


def test_whom_nobody_asks(new_stub: Callable[..., StubEngine]) -> None:
    """A user's own engine: its layers are in his home, and it may say anything."""
    theirs = new_stub(uid=2001)
    reading = read(theirs.host)
    assert (reading.sizes, [gap.kind for gap in reading.gaps]) == ({}, ["absent"])
    assert theirs.asked == []
