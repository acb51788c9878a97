"""Fixtures on a real Docker engine; load with ``pytest_plugins``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests import engine as docker_engine

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def session_engine() -> Iterator[docker_engine.Engine]:
    """The one engine of the test session; take ``engine`` instead."""
    reason = docker_engine.missing()
    if reason and os.environ.get("CI"):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    started = docker_engine.Engine()
    yield started
    started.stop()


@pytest.fixture
def engine(session_engine: docker_engine.Engine) -> Iterator[docker_engine.Engine]:
    """A Docker engine without containers; what the test leaves is removed."""
    yield session_engine
    session_engine.remove_all()
