"""Fixtures for tests of `enforce`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Host
from tests.enforce.host import EnforceHost
from tests.observe.stub_engine import StubEngine


@pytest.fixture
def host(tmp_path: Path) -> EnforceHost:
    """A host with a policy that enforces, alice the student and bob the researcher."""
    host = EnforceHost(Host(tmp_path / "root"))
    host.user("alice", 1001)
    host.user("bob", 1002)
    host.members("student", "alice")
    host.members("researcher", "bob")
    return host


@pytest.fixture
def docker(host: EnforceHost, tmp_path: Path) -> Iterator[EnforceHost]:
    """The host with a container engine, and homes of alice and bob."""
    stub = StubEngine(tmp_path)
    host.engine(stub)
    host.home("alice", 1001)
    host.home("bob", 1002)
    yield host
    stub.stop()
