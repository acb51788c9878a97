"""`doctor` as an admin runs it: moved roots, fake tools, a real engine, an NVML double."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Host, gaps
from tests.engine import Engine
from tests.nvml.double import LIB_RM_VERSION_MISMATCH, NvmlDouble
from tests.observe.fake_tools import Tools

KEYS = {"area", "check", "state", "found", "why", "fix", "needs_reboot"}
SYSTEMCTL = """
case "$1" in
--version) echo 'systemd 252 (252.39-1~deb12u1)';;
show) printf 'Id=docker.service\\nNeedDaemonReload=no\\n';;
esac
"""


@pytest.fixture
def tools(tmp_path: Path) -> Tools:
    """A systemd that answers, and a clock that is right."""
    made = Tools(tmp_path / "bin")
    made.put("systemctl", SYSTEMCTL)
    made.says("timedatectl", "NTPSynchronized=yes\nTimezone=Europe/Berlin")
    return made


@pytest.fixture
def server(host: Host, tools: Tools) -> Host:
    """A host with systemd and control groups v2, without Docker and GPUs."""
    (host.root / "run/systemd/system").mkdir(parents=True)
    write(host, "/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n")
    host.env["PATH"] = tools.path()
    host.policy("default_group: student\n")
    return host


def write(host: Host, path: str, text: str) -> Path:
    file = host.root / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def check(document: dict[str, Any], area: str, name: str) -> dict[str, Any]:
    [row] = [
        row for row in document["data"]["checks"] if (row["area"], row["check"]) == (area, name)
    ]
    return row


def states(document: dict[str, Any]) -> set[str]:
    return {row["state"] for row in document["data"]["checks"]}


def test_the_contract(server: Host) -> None:
    """Every check has the same keys; what is not fine has a fix; nothing is a finding."""
    document = server.json("doctor")
    assert document["command"] == "doctor"
    assert document["findings"] == document["actions"] == []
    rows = document["data"]["checks"]
    assert len(rows) > 30
    for row in rows:
        assert set(row) == KEYS
        assert bool(row["fix"]) is (row["state"] in {"warning", "problem", "unknown"})
    assert sum(document["data"]["counts"].values()) == len(rows)


def test_it_changes_nothing(server: Host) -> None:
    """No file is made, changed or touched."""

    def everything() -> list[tuple[str, float, int]]:
        top = server.root
        found = (Path(folder) / name for folder, _, names in os.walk(top) for name in names)
        stats = [(str(path), path.lstat()) for path in found]
        return sorted((path, stat.st_mtime, stat.st_size) for path, stat in stats)

    before = everything()
    server.run("doctor")
    assert everything() == before


@pytest.mark.parametrize(
    ("options", "status"),
    [
        (("--only", "clock"), 0),
        (("--only", "clock", "--exit-code"), 0),
        (("--only", "timers"), 0),
        (("--only", "timers", "--exit-code"), 4),
        # what is left out of the report still counts
        (("--only", "timers", "--only", "clock", "--problems", "--exit-code"), 4),
    ],
)
def test_exit_codes(server: Host, options: tuple[str, ...], status: int) -> None:
    """A warning is no failure, unless --exit-code asks."""
    assert server.run("doctor", *options).status == status


def test_problems_only(server: Host) -> None:
    """--problems leaves out what is fine; the counts are those of all checks."""
    short = server.json("doctor", "--only", "timers", "--problems")
    assert states(short) == {"warning"}
    assert short["data"]["counts"]["ok"] == 2


def test_an_area_that_there_is_not(server: Host) -> None:
    ran = server.json("doctor", "--only", "nonsense", status=2)
    assert "systemd, docker, gpu" in ran["error"]["hint"]


def test_a_tool_that_hangs(server: Host, tools: Tools) -> None:
    """It is unknown, the run is partial whatever was found, and the rest is there in time."""
    tools.put("timedatectl", "exec sleep 60")
    began = time.monotonic()
    document = server.json("doctor", "--exit-code", status=3)
    assert time.monotonic() - began < 15
    assert gaps(document) == {("clock", "failed")}
    row = check(document, "clock", "synchronised")
    assert (row["state"], row["found"]) == ("unknown", "timedatectl: no answer in 2 s")
    assert check(document, "systemd", "version")["state"] == "ok"


def test_without_any_tool(server: Host, tmp_path: Path) -> None:
    """An empty PATH is a bad day, and no crash."""
    (tmp_path / "empty").mkdir()
    server.env["PATH"] = str(tmp_path / "empty")
    document = server.json("doctor", status=3)
    assert check(document, "systemd", "version")["found"] == "systemctl: not found"


def test_not_root(server: Host, engine: Engine) -> None:
    """What may not be done is unknown, and says what would help."""
    Path(engine.host.removeprefix("unix://")).chmod(0o600)
    server.env["DOCKER_HOST"] = engine.host
    # it may read the program, wherever that lies; it may write and connect to nothing of root's
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    read_only = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    document = server.json("doctor", status=3, wrap=(*nobody, *read_only))
    assert {("docker", "denied"), ("metrics", "denied")} <= gaps(document)
    row = check(document, "docker", "engine")
    assert row["found"].endswith("(needs root)")
    assert row["fix"] == "run it as root: sudo ds01ctl doctor"


# --- the policy and our own files ---------------------------------------------------------------


def test_a_policy_that_is_wrong(server: Host) -> None:
    """It is a line of the report, with the place; the other checks are made all the same."""
    server.policy("docker: {timeout_s: soon}\n")
    document = server.json("doctor")
    row = check(document, "policy", "content")
    assert row["state"] == "problem"
    assert f"{server.policy_path}:1" in row["found"]
    assert check(document, "clock", "synchronised")["state"] == "ok"


def test_a_policy_that_everybody_can_write(server: Host) -> None:
    """It tells jobs of root's what to do: as good as root."""
    server.policy_path.chmod(0o666)
    row = check(server.json("doctor"), "policy", "who may change it")
    assert (row["state"], row["fix"]) == (
        "problem",
        f"chown root {server.policy_path} && chmod o-w {server.policy_path}",
    )


def test_a_policy_that_is_not_there(server: Host) -> None:
    """Without one there is a warning; one that was named must be there."""
    server.policy_path.unlink()
    assert check(server.json("doctor"), "policy", "content")["state"] == "warning"
    assert server.json("doctor", "--config", "/nowhere", status=1)["error"]["hint"]


def test_the_state_store(server: Host) -> None:
    """One that recorded runs made opens; a broken one is a problem, and the run partial."""
    server.run("detect", "unmanaged", "--record")
    assert "opens" in check(server.json("doctor"), "ds01", "state store")["found"]
    server.state_path.write_bytes(b"this is no database" * 100)
    row = check(server.json("doctor", status=3), "ds01", "state store")
    assert (row["state"], row["fix"].endswith(".broken")) == ("problem", True)


def test_cron_and_foreign_units(server: Host) -> None:
    """What the old platform left is named, with the command that takes it over."""
    cron = write(server, "/etc/cron.d/ds01-maintenance", "*/5 * * * * root /opt/x\n")
    write(server, "/etc/systemd/system/ds01-container-sync.service", "[Service]\nExecStart=/x\n")
    document = server.json("doctor", "--only", "timers")
    assert check(document, "timers", "old cron files")["fix"] == (
        f"ds01ctl units import-cron {cron}"
    )
    assert "ds01-container-sync.service" in check(document, "timers", "foreign units")["found"]


# --- Docker and GPUs ----------------------------------------------------------------------------


def test_a_real_engine(server: Host, engine: Engine) -> None:
    """What it says is judged by the policy; a daemon.json that it would choke on is named."""
    server.env["DOCKER_HOST"] = engine.host
    driver = engine.client.info()["CgroupDriver"]
    server.policy(f"enforcement: {{cgroup_driver: {driver}}}\n")
    document = server.json("doctor", "--only", "docker")
    assert check(document, "docker", "engine")["state"] == "ok"
    assert check(document, "docker", "cgroup driver")["state"] == "ok"
    assert check(document, "docker", "live-restore")["state"] == "ok"
    assert check(document, "docker", "default cgroup-parent")["state"] == "warning"
    assert check(document, "docker", "container logs")["state"] == "warning"
    other = {"systemd": "cgroupfs", "cgroupfs": "systemd"}[driver]
    server.policy(f"enforcement: {{cgroup_driver: {other}}}\n")
    row = check(server.json("doctor"), "docker", "cgroup driver")
    assert (row["state"], row["found"]) == ("problem", f"{driver}, but the policy wants {other}")


def test_an_engine_with_a_broken_configuration(server: Host, engine: Engine) -> None:
    """It runs still; after the next restart it would not."""
    server.env["DOCKER_HOST"] = engine.host
    file = engine.folder / "daemon.json"
    file.write_text('{\n  "live-restore": true,\n}\n')
    try:
        row = check(server.json("doctor", status=3), "docker", "daemon.json")
        assert row["found"].startswith(f"{file}:3:1: ")
    finally:
        file.write_text("{}")


def test_an_engine_that_does_not_answer(server: Host, tmp_path: Path) -> None:
    """Somebody named it: that it is not there is a problem, and the run partial."""
    server.env["DOCKER_HOST"] = f"unix://{tmp_path}/nobody.sock"
    document = server.json("doctor", "--only", "docker", status=3)
    assert check(document, "docker", "engine")["state"] == "problem"
    assert ("docker", "failed") in gaps(document)


@pytest.fixture
def gpu_server(server: Host, nvml: NvmlDouble, tools: Tools, engine: Engine) -> Host:
    """Two GPUs, a container toolkit, and an engine."""
    nvml.gpus(2)
    tools.says("nvidia-ctk", "NVIDIA Container Toolkit CLI version 1.17.7")
    server.env |= {"DOCKER_HOST": engine.host, **nvml.env()}
    return server


def test_gpus_and_the_toolkit(gpu_server: Host, tools: Tools) -> None:
    """The driver by NVML, the toolkit by its own word, its known flaws by the version."""
    document = gpu_server.json("doctor", "--only", "gpu")
    assert check(document, "gpu", "driver")["found"].endswith("2 GPUs")
    row = check(document, "gpu", "container toolkit")
    assert row["state"] == "problem"
    assert "CVE-2025-23266" in row["found"]
    tools.says("nvidia-ctk", "NVIDIA Container Toolkit CLI version 1.18.0")
    document = gpu_server.json("doctor", "--only", "gpu")
    assert check(document, "gpu", "container toolkit")["state"] == "ok"


def test_what_a_reload_costs(gpu_server: Host, engine: Engine) -> None:
    """The verdict follows the engine's driver; where GPUs are at stake, so does every fix."""
    driver = engine.client.info()["CgroupDriver"]
    document = gpu_server.json("doctor")
    expected = "ok" if driver == "cgroupfs" else "warning"
    assert check(document, "gpu", "daemon-reload")["state"] == expected
    gpu_server.env["DOCKER_HOST"] = "unix:///nowhere.sock"
    config = '{"exec-opts": ["native.cgroupdriver=systemd"]}'
    write(gpu_server, "/etc/docker/daemon.json", config)
    document = gpu_server.json("doctor", status=3)
    row = check(document, "gpu", "daemon-reload")
    assert (row["state"], row["found"]) == ("warning", "takes running containers' GPUs away")
    for row in document["data"]["checks"]:
        if "apt-get install" in (row["fix"] or ""):
            assert row["fix"].startswith("when no GPU container runs"), row


def test_a_driver_that_was_upgraded(server: Host, nvml: NvmlDouble) -> None:
    """The most common bad day of a GPU server: one sentence, and the cure."""
    nvml.gpus(1).fault("nvmlInit", LIB_RM_VERSION_MISMATCH)
    server.env |= nvml.env()
    row = check(server.json("doctor"), "gpu", "driver")
    assert (row["state"], row["fix"], row["needs_reboot"]) == ("problem", "reboot", True)
    assert "without a reboot" in row["found"]


def test_a_driver_that_hangs(server: Host, nvml: NvmlDouble) -> None:
    """It is unknown in time; that it does not answer is not "no GPU"."""
    nvml.gpus(1).hang("nvmlInit")
    server.env |= nvml.env()
    server.policy("nvml: {timeout_s: 1}\n")
    document = server.json("doctor", "--only", "gpu", status=3)
    row = check(document, "gpu", "driver")
    assert (row["state"], "no answer in 1 s" in row["found"]) == ("unknown", True)


# --- how it looks -------------------------------------------------------------------------------


def test_plain_lines_when_piped(server: Host) -> None:
    """A line a check, aligned, no escapes; the counts at the end."""
    lines = server.run("doctor").out.splitlines()
    assert lines[0].split() == ["STATE", "AREA", "CHECK", "FOUND", "WHY", "FIX"]
    assert re.fullmatch(r"\d+ checks: \d+ ok, .*", lines[-1])
    rows = server.json("doctor")["data"]["checks"]
    assert len(lines) == len(rows) + 2
    column = lines[0].index("AREA")
    assert all(line[column - 2 : column] == "  " for line in lines[:-1])


def test_a_table_on_a_terminal(server: Host) -> None:
    """The fix has a line of its own, to be copied."""
    shown = server.on_terminal("doctor", "--only", "timers").replace("\r", "")
    assert "    fix: ds01ctl units install" in shown
    assert shown.rstrip().endswith("3 checks: 2 ok, 1 warning")


def test_nothing_to_show(server: Host) -> None:
    """Where all is well --problems shows the counts alone, on a pipe and on a terminal."""
    options = ("doctor", "--only", "clock", "--problems")
    assert server.run(*options).out == "2 checks: 2 ok\n"
    assert server.on_terminal(*options).strip() == "2 checks: 2 ok"


def test_foreign_text_reaches_no_terminal(server: Host) -> None:
    """A group's member, a unit's name and a policy's text are whatever somebody wrote."""
    write(server, "/etc/group", "docker:x:999:al\x1b[31mice\u202e\n")
    write(server, "/etc/systemd/system/ds01-\x1b[2Jx.service", "[Service]\n")
    for text in (server.run("doctor").out, server.on_terminal("doctor")):
        assert "al\\x1b[31mice\\u202e" in text.replace("\r\n", "")
        assert "\x1b[31mice" not in text
        assert "\x1b[2J" not in text
