"""Fixtures of the observers' tests."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.observe.stub_engine import StubEngine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def new_stub() -> Iterator[Callable[..., StubEngine]]:
    """Start stub engines at short paths, root's or a user's own; they are gone with the test."""
    above = Path(f"/tmp/ds01-stub-{os.getpid()}-{threading.get_ident()}")
    engines: list[StubEngine] = []

    def start(uid: int | None = None) -> StubEngine:
        folder = above / str(len(engines))
        folder.mkdir(parents=True)
        engines.append(StubEngine(folder))
        if uid is not None:
            os.chown(engines[-1].path, uid, uid)
        return engines[-1]

    yield start
    for engine in engines:
        engine.stop()
    shutil.rmtree(above, ignore_errors=True)


@pytest.fixture
def stub(new_stub: Callable[..., StubEngine]) -> StubEngine:
    """A stub engine of whoever runs the tests."""
    return new_stub()
