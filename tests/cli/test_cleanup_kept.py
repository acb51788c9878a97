"""When a keep ends, its user is warned anew: nobody is stopped on warnings from before it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.cli.cleanup_host import CleanupHost, give
from tests.cli.conftest import Host
from tests.engine import Engine

DAYS_AGO = 1_700_000_000


@pytest.fixture
def host(host: Host, engine: Engine) -> CleanupHost:
    return CleanupHost(host, engine)


def kinds(document: dict[str, Any]) -> list[str]:
    return [one["kind"] for one in document["actions"]]


@pytest.mark.parametrize("ending", ["taken back", "removed", "over"])
def test_after_a_keep_the_warnings_come_anew(
    host: CleanupHost, tmp_path: Path, ending: str
) -> None:
    """The admin takes it back, the user removes the file, or it has held as long as one may."""
    work = give(tmp_path / "work")
    file = work / ".keep-alive"
    id_ = host.container("train", mounts=[(work, "/workspace")])
    host.apply()
    host.due(id_)
    if ending == "taken back":
        host.json("keep", "train", "--for", "2d")
    else:
        file.touch()
    assert kinds(host.apply()) == []
    assert host.watch(id_).idle_s > 0
    if ending == "taken back":
        host.json("keep", "train", "--remove")
    elif ending == "removed":
        file.unlink()
    else:
        os.utime(file, (DAYS_AGO, DAYS_AGO))
    assert kinds(host.apply()) == ["warn"]
    assert host.state_of(id_) == "running"
