"""GPUs and containers held, read of a real engine and a pretended driver."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Host
from tests.core.worlds import slice_of
from tests.engine import Engine
from tests.nvml.double import NvmlDouble
from tests.tap import Tap

POLICY = """
defaults: {max_containers_per_user: 3, max_gpu_equivalents: 2}
groups: {student: {members: [alice]}}
"""
# the pretended driver is found by a program that starts, and by none that runs already
READ = """
import json
from ds01ctl.commands import gathering, quota_held
from ds01ctl.core import held
rows, gaps = quota_held.read(gathering.host_paths(), None)
told = {"rows": [row._asdict() for row in rows], "gaps": gaps}
print(json.dumps({**told, "unknown": sorted(held.unknown_kinds(gaps))}))
"""


@pytest.fixture
def here(host: Host, nvml: NvmlDouble) -> Host:
    """A host with two GPUs."""
    host.policy(POLICY)
    host.env |= nvml.gpus(2).env()
    return host


def read(host: Host) -> Any:
    command = [sys.executable, "-c", READ]
    return json.loads(subprocess.run(command, env=host.env, capture_output=True, check=True).stdout)


def test_one_look(here: Host, engine: Engine, nvml: NvmlDouble, tmp_path: Path) -> None:
    """Who holds something has a row with the limit and its line; every source is asked once."""
    labels = {"ds01.managed": "true", "ds01.user": "alice"}
    used = engine.run("one", labels=labels, cgroup_parent=slice_of("alice"))
    engine.run("two", labels=labels, cgroup_parent=slice_of("alice"))
    here.env |= nvml.process(gpu=1, pid=engine.pid(used)).env()
    with Tap(engine.host, tmp_path / "tap.sock") as tap:
        here.env["DOCKER_HOST"] = tap.host
        told = read(here)
    assert (told["gaps"], told["unknown"]) == ([], [])
    assert [(row["user"], row["kind"], row["used"], row["limit"]) for row in told["rows"]] == [
        ("alice", "gpu", 1.0, 2.0),
        ("alice", "containers", 2, 3),
    ]
    assert told["rows"][0]["containers"] == ["one"]
    assert "resource-limits.yaml:2" in told["rows"][1]["origin"]
    assert sum("/containers/json" in line for line in tap.asked) == 1
    assert sum(function.startswith("nvmlInit") for function, _ in nvml.calls()) == 1


def test_an_engine_that_is_silent(here: Host, tmp_path: Path) -> None:
    """There is no row of it, and a gap that says which kinds nothing is known of."""
    here.env["DOCKER_HOST"] = f"unix://{tmp_path}/nobody.sock"
    told = read(here)
    assert told["rows"] == []
    assert told["unknown"] == ["containers", "gpu"]
