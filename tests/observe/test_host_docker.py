"""Docker as `doctor` reads it: a stub engine, daemon.json, the group, dockerd's command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ds01ctl.core.host_facts import DaemonConfig, EngineFacts, Unread
from ds01ctl.core.policy import builtin_policy
from ds01ctl.observe import host_commands, host_docker
from ds01ctl.paths import Paths
from tests.engine import Engine

DAEMON = "/etc/docker/daemon.json"


@pytest.fixture(autouse=True)
def _no_docker_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)


def write(root: Path, path: str, text: str) -> Path:
    file = root / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"live-restore": true}', None),
        ("", None),
        ('{\n  "a": 1,\n}', "3:1: "),
        ("{'a': 1}", "1:2: "),
        ("[]", "1:1: is no object"),
        ("[" * 100_000, "1:1: nested too deeply"),
    ],
)
def test_daemon_json(tmp_path: Path, text: str, problem: str | None) -> None:
    """A syntax error is named with its line and column, as an editor has them."""
    file = write(tmp_path, DAEMON, text)
    found = host_docker.read(Paths(tmp_path), builtin_policy(), []).config
    assert isinstance(found, DaemonConfig)
    if problem is None:
        assert found.problem is None
    else:
        assert (found.problem or "").startswith(f"{file}:{problem}")


def test_nothing_there(tmp_path: Path) -> None:
    found = host_docker.read(Paths(tmp_path), builtin_policy(), [])
    assert isinstance(found.engine, Unread)
    assert found.engine.kind == "absent"
    assert not found.is_expected
    assert isinstance(found.config, Unread)
    assert found.group == Unread("absent", "no group docker")


def test_group(tmp_path: Path) -> None:
    write(tmp_path, "/etc/group", "root:x:0:\ndocker:x:999:zoe,adam\nbroken line\n+:::\n")
    assert host_docker.read(Paths(tmp_path), builtin_policy(), []).group == ("adam", "zoe")
    assert host_docker.groups(Paths(tmp_path))["docker"] == (999, ("adam", "zoe"))


@pytest.mark.parametrize(
    ("info", "field", "value"),
    [
        ({}, "live_restore", False),
        ({"LiveRestoreEnabled": "yes"}, "live_restore", False),
        ({"Runtimes": {"runc": {}, "nvidia": {}}}, "runtimes", ("nvidia", "runc")),
        ({"Runtimes": None}, "runtimes", ()),
        ({"DriverStatus": [["Backing Filesystem", "xfs"], "odd", []]}, "backing", "xfs"),
        ({"DriverStatus": None}, "backing", ""),
        ({"SecurityOptions": ["name=userns", 7, None]}, "security", ("name=userns",)),
        ({"ContainersRunning": "many"}, "running", 0),
        ({"CgroupDriver": 7}, "cgroup_driver", ""),
        ({"Warnings": ["x" * 1000]}, "warnings", ("x" * 300,)),
    ],
)
def test_an_engine_may_say_anything(info: dict[str, Any], field: str, value: object) -> None:
    assert getattr(host_docker.engine_of({}, info), field) == value


@pytest.mark.parametrize(
    ("host", "commands", "chosen"),
    [
        ("unix:///run/docker.sock", [("dockerd", "-H", "fd://")], 0),
        ("unix:///var/run/docker.sock", [("dockerd",)], 0),
        ("unix:///run/docker.sock", [("dockerd", "--host=unix:///tmp/x.sock")], None),
        ("unix:///tmp/x.sock", [("dockerd",), ("dockerd", "--host=unix:///tmp/x.sock")], 1),
        ("unix:///tmp/x.sock", [("dockerd",)], None),
        ("unix:///run/docker.sock", [], None),
    ],
)
def test_which_dockerd(host: str, commands: list[tuple[str, ...]], chosen: int | None) -> None:
    """The engine that is asked, not another one that runs beside it."""
    expected = () if chosen is None else commands[chosen]
    assert host_docker.command_of(host, commands) == expected


def test_a_real_engine(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it says of itself, and the file that it was started with."""
    monkeypatch.setenv("DOCKER_HOST", engine.host)
    commands = host_commands.read(Paths())["dockerd"]
    found = host_docker.read(Paths(tmp_path), builtin_policy(), commands)
    assert isinstance(found.engine, EngineFacts)
    assert found.engine.version
    assert found.engine.cgroup_driver in {"cgroupfs", "systemd"}
    assert found.engine.live_restore
    assert "nvidia" in found.engine.runtimes
    assert found.engine.data_root == f"{engine.folder}/data"
    assert found.is_expected
    assert found.config == DaemonConfig(f"{engine.folder}/daemon.json", {})


# --- command lines ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "folder"),
    [
        (("node_exporter",), None),
        (("node_exporter", "--collector.textfile.directory=/a"), "/a"),
        (("node_exporter", "--collector.textfile.directory", "/a"), "/a"),
        (("node_exporter", "-collector.textfile.directory=/a"), "/a"),
        (("node_exporter", "--collector.textfile.directory"), None),
        (("node_exporter", "collector.textfile.directory=/a"), None),
    ],
)
def test_textfile_folder(words: tuple[str, ...], folder: str | None) -> None:
    assert host_commands.textfile_folder(words) == folder


def test_command_lines(tmp_path: Path) -> None:
    """Of the daemons that matter; a kernel thread, and a process that has gone, do no harm."""
    for pid, comm, cmdline in (
        ("1", "systemd", "/sbin/init"),
        ("20", "prometheus-node", "prometheus-node-exporter\0--collector.textfile.directory=/a\0"),
        ("3", "node_exporter", "node_exporter\0"),
        ("4", "kthreadd", ""),
    ):
        write(tmp_path, f"/proc/{pid}/comm", f"{comm}\n")
        write(tmp_path, f"/proc/{pid}/cmdline", cmdline)
    (tmp_path / "proc/5").mkdir()
    assert host_commands.read(Paths(tmp_path)) == {
        "node_exporter": [
            ("node_exporter",),
            ("prometheus-node-exporter", "--collector.textfile.directory=/a"),
        ]
    }
    assert host_commands.read(Paths(tmp_path / "nowhere")) == {}
