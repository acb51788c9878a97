"""`detect unmanaged --interactive`, with real keys on a pseudo-terminal."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable

import pytest

from tests.cli.conftest import Host
from tests.engine import Engine
from tests.nvml.double import GIB, NvmlDouble


@pytest.fixture
def one_job(host: Host, nvml: NvmlDouble, gpu_process: Callable[..., int]) -> tuple[Host, int]:
    """A host with one process that uses a GPU."""
    pid = gpu_process(54321)
    host.policy("# the admin's own words\ndefaults: {max_cpus: 4}\n")
    host.env |= nvml.gpus(1).process(gpu=0, pid=pid, mem=GIB).env()
    return host, pid


def interact(host: Host, *answers: str) -> str:
    return host.on_terminal(
        "detect", "unmanaged", "--interactive", keys="\n".join([*answers, "q", ""])
    )


def test_explain(one_job: tuple[Host, int]) -> None:
    host, pid = one_job
    shown = interact(host, "1 e")
    assert "because: runs on the host" in shown
    assert f"pid: {pid}" in shown


def test_the_stop_command_hits_that_process_only(one_job: tuple[Host, int]) -> None:
    """It is shown and not run; run by hand it stops this process, and no later one of its pid."""
    host, pid = one_job
    shown = interact(host, "1s")
    [command] = re.findall(rf'\[ ".*" = \d+ \] && kill -TERM {pid}', shown)
    assert subprocess.run(["kill", "-0", str(pid)], check=False).returncode == 0
    another = re.sub(r"= \d+ \]", "= 1 ]", command)
    assert subprocess.run(["sh", "-c", another], check=False).returncode != 0
    assert subprocess.run(["sh", "-c", command], check=False).returncode == 0


def test_exempt_until_a_date(one_job: tuple[Host, int]) -> None:
    """The change is shown, asked for, written beside the policy, and counts."""
    host, _ = one_job
    shown = interact(host, "1 x", "2999-12-31", "long training", "y")
    assert "+" in shown
    side = host.policy_path.with_name("lifecycle-exemptions.yaml")
    assert "2999-12-31" in side.read_text()
    assert host.policy_path.read_text().startswith("# the admin's own words")
    assert host.json("detect", "unmanaged")["findings"] == []
    left = host.json("detect", "unmanaged", "--all")["data"]["left_alone"]
    assert "lifecycle-exemptions.yaml" in left[0]["why"]


@pytest.mark.parametrize(
    "answers", [("1 x", "soon"), ("1 x", "2999-12-31", "why", "n"), ("9 x",), ("nonsense",), ("",)]
)
def test_nothing_is_written_without_a_yes(one_job: tuple[Host, int], answers: tuple[str]) -> None:
    host, _ = one_job
    interact(host, *answers)
    assert not host.policy_path.with_name("lifecycle-exemptions.yaml").exists()


def test_a_label_gets_no_exemption(host: Host, engine: Engine) -> None:
    """An owner that only a label names can't be exempted, and it says why."""
    # first comes that it runs outside the slice, then that it is unmanaged
    engine.run("liar", labels={"ds01.user": "root"})
    host.policy("")
    host.env["DOCKER_HOST"] = engine.host
    assert "only a label or a name says" in interact(host, "2 x")


def test_the_stop_command_of_a_container(host: Host, engine: Engine) -> None:
    """It names the engine and the full id, and works."""
    name = engine.run("raw", command=("sleep", "300"))
    host.env["DOCKER_HOST"] = engine.host
    shown = interact(host, "1 s")
    assert f"docker --host {engine.host} stop --time 60 {name}" in shown
