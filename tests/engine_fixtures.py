"""Fixtures on a real Docker engine; load with ``pytest_plugins``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests import engine as docker_engine
from tests import newest_engine

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def session_engine() -> Iterator[docker_engine.Engine]:
    """The one engine of the test session; take ``engine`` instead."""
    _need(docker_engine.missing())
    started = docker_engine.Engine()
    yield started
    started.stop()


@pytest.fixture
def engine(session_engine: docker_engine.Engine) -> Iterator[docker_engine.Engine]:
    """A Docker engine without containers; what the test leaves is removed."""
    yield session_engine
    session_engine.remove_all()


@pytest.fixture(scope="session")
def newest_session_engine() -> Iterator[docker_engine.Engine]:
    """The one engine of the test session with the SDK's newest API."""
    _need(docker_engine.missing() or newest_engine.missing())
    started = docker_engine.Engine(programs=newest_engine.programs())
    yield started
    started.stop()


@pytest.fixture(params=["machine's engine", "newest engine"])
def each_engine(request: pytest.FixtureRequest) -> Iterator[docker_engine.Engine]:
    """As ``engine``; the test runs once more on one that speaks the newest API of the SDK."""
    name = "session_engine" if request.param == "machine's engine" else "newest_session_engine"
    started: docker_engine.Engine = request.getfixturevalue(name)
    yield started
    started.remove_all()


def _need(reason: str | None) -> None:
    if reason and os.environ.get("CI"):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
