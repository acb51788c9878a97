"""`detect unmanaged --interactive`, with real keys on a pseudo-terminal."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from tests.cli.conftest import Host
from tests.cli.terminal import on_pty
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
    assert "uses: GPU 0: 1.0 GiB by pid" in shown
    assert "{'" not in shown


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
    shown = interact(host, "1 x", "2999-12-31", "long training", "y", "r")
    assert "+" in shown
    scope = "this leaves alone every GPU process outside containers of 54321, also future ones"
    assert f"{scope}, until the end of 2999-12-31" in shown
    assert "no findings in what could be seen" in shown
    side = host.policy_path.with_name("lifecycle-exemptions.yaml")
    assert "2999-12-31" in side.read_text()
    assert host.policy_path.read_text().startswith("# the admin's own words")
    assert host.json("detect", "unmanaged")["findings"] == []
    left = host.json("detect", "unmanaged", "--all")["data"]["left_alone"]
    assert "lifecycle-exemptions.yaml" in left[0]["why"]


def test_an_exemption_leaves_an_audit_event(one_job: tuple[Host, int]) -> None:
    """Who exempted whom, from what, until when and why; what is not written leaves none."""
    host, _ = one_job
    interact(host, "1 x", "2999-12-31", "long training", "n")
    assert host.events() == []
    interact(host, "1 x", "2999-12-31", "long training", "y")
    [event] = host.events()
    assert (event["event_type"], event["user"]) == ("config.change", "54321")
    assert event["source"] == "ds01ctl detect"
    details = event["details"]
    assert details["file"] == str(host.policy_path.with_name("lifecycle-exemptions.yaml"))
    assert (details["kind"], details["until"]) == ("host-gpu-process", "2999-12-31")
    assert details["reason"] == "long training"
    assert details["approved_by"]


def test_an_event_that_cannot_be_written_is_told(one_job: tuple[Host, int]) -> None:
    host, _ = one_job
    host.events_path.parent.write_text("in the way")
    shown = interact(host, "1 x", "2999-12-31", "long training", "y")
    assert "not written: events failed" in shown


def test_list_and_look_again(one_job: tuple[Host, int]) -> None:
    """`l` shows the same again; `r` looks, and what is gone is gone."""
    host, pid = one_job
    assert interact(host, "l").count(f"pid {pid} sleep") == 2
    shown = interact(host, "r")
    assert shown.count(f"pid {pid} sleep") == 2
    assert shown.count("examined 1 GPU, 1 GPU process") == 2


def test_a_policy_broken_meanwhile_does_not_end_the_session(one_job: tuple[Host, int]) -> None:
    """`r` says what is wrong with it, and the rows of before are still there."""
    host, pid = one_job
    with on_pty(host, "detect", "unmanaged", "-i") as terminal:
        terminal.until("> ")
        host.policy("defaults: [\n")
        terminal.type("r\n")
        assert "resource-limits.yaml" in terminal.until("> ")
        terminal.type("1 e\n")
        assert f"pid: {pid}" in terminal.until("> ")


def test_rows_that_are_not_there(one_job: tuple[Host, int]) -> None:
    host, _ = one_job
    assert "there is no row 99 (1 to 1)" in interact(host, "99")
    assert "there is no row 0 (1 to 1)" in interact(host, "0 s")
    assert "Answer like `1 e`" in interact(host, "what")


def test_the_past_is_no_date_to_exempt_until(one_job: tuple[Host, int]) -> None:
    host, _ = one_job
    assert "2001-01-01 is in the past" in interact(host, "1 x", "2001-01-01")


def test_interrupt_leaves_on_a_new_line(one_job: tuple[Host, int]) -> None:
    """^C at the prompt: 130, and nothing but a newline."""
    host, _ = one_job
    with on_pty(host, "detect", "unmanaged", "-i") as terminal:
        terminal.until("q(uit)\r\n> ")
        time.sleep(0.3)  # between its prompt and its read, input() is deaf
        terminal.type("\x03")
        assert terminal.rest().replace("^C", "").strip() == ""
        assert terminal.status() == 130


def test_the_session_ends_well(one_job: tuple[Host, int]) -> None:
    """The exit code is the session's, not the sources': 0, also where one did not answer."""
    host, _ = one_job
    host.env["DOCKER_HOST"] = "unix:///nowhere/docker.sock"
    with on_pty(host, "detect", "unmanaged", "-i") as terminal:
        terminal.until("> ")
        # and bytes of another encoding are an answer like any other
        terminal.type(b"\xff\xfe\n")
        terminal.until("> ")
        terminal.type("q\n")
        terminal.rest()
        assert terminal.status() == 0


@pytest.mark.parametrize("stdin", ["</dev/null", "<&-"])
def test_without_a_terminal(host: Host, stdin: str) -> None:
    """It refuses, with what to do about it; a closed stdin is one more way to have none."""
    command = shlex.join([sys.executable, "-m", "ds01ctl", "detect", "unmanaged", "-i"])
    ran = subprocess.run(
        ["sh", "-c", f"{command} {stdin}"],
        env=host.env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 2
    assert "no terminal" in ran.stderr
    assert "ssh" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    "answers",
    [
        ("1 x", "soon"), ("1 x", ""), ("1 x", "2999-12-31", ""), ("1 x", "2001-01-01", "why", "y"),
        ("1 x", "2999-12-31", "why", "n"), ("9 x",), ("nonsense",), ("",),
    ],
)  # fmt: skip
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
