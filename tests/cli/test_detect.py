"""`detect` on real parts: a Docker engine, real processes, the real binding on an NVML double."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Host, gaps, kinds
from tests.engine import Engine
from tests.nvml.double import GIB, NvmlDouble, uuid
from tests.tap import Tap

POLICY = """
defaults:
  max_containers_per_user: 3
bare_metal_access: {exempt_users: [labadmin]}
monitoring:
  infrastructure_containers: [ds01-grafana]
"""


@pytest.fixture
def busy(
    host: Host, engine: Engine, nvml: NvmlDouble, gpu_process: Callable[..., int], tmp_path: Path
) -> Host:
    """A server with every kind of workload on two GPUs."""
    managed = engine.run(
        "train._.1001",
        labels={"ds01.managed": "true", "ds01.user": "1001"},
        cgroup_parent="ds01.slice",
    )
    raw = engine.run("raw", user="1002")
    compose = engine.run(
        "web-db-1",
        labels={
            "com.docker.compose.project": "web",
            "com.docker.compose.project.working_dir": "/home/x/web",
        },
    )
    engine.run("vsc-thesis", labels={"devcontainer.local_folder": "/home/x/thesis"})
    engine.run("ds01-grafana")
    engine.run("jupyter-eve", start=False, gpus="all")
    nvml.gpus(2)
    nvml.process(gpu=0, pid=engine.pid(managed), mem=2 * GIB)
    nvml.process(gpu=1, pid=engine.pid(raw), mem=3 * GIB)
    nvml.process(gpu=1, pid=gpu_process(1003), mem=GIB)
    del compose
    host.policy(POLICY)
    host.env |= {"DOCKER_HOST": engine.host, **nvml.env()}
    return host


def test_everything_is_seen_and_named(busy: Host) -> None:
    """Each workload has its owner and its verdict; nothing is missing and nothing is doubled."""
    document = busy.json("detect", "workloads", "--all")
    rows = {
        row["subject"].get("name"): (row["kind"], row["verdict"], row["user"])
        for row in document["data"]["workloads"]
    }
    assert rows == {
        "train._.1001": ("managed", "managed", "1001"),
        "raw": ("docker", "unmanaged", "1002"),
        "web-db-1": ("compose", "unmanaged", None),
        "vsc-thesis": ("devcontainer", "unmanaged", None),
        "ds01-grafana": ("infrastructure", "infrastructure", None),
        "jupyter-eve": ("jupyter", "unmanaged", None),
        "sleep": ("host-process", "unmanaged", "1003"),
    }
    assert document["gaps"] == []


def test_findings(busy: Host) -> None:
    """What is unmanaged is found, worst first, each with evidence."""
    document = busy.json("detect", "unmanaged")
    named = {(f["kind"], f["subject"].get("name"), f["severity"]) for f in document["findings"]}
    assert ("unmanaged-container", "raw", "warning") in named
    assert ("unmanaged-container", "jupyter-eve", "warning") in named
    assert ("unmanaged-container", "web-db-1", "info") in named
    assert ("host-gpu-process", "sleep", "warning") in named
    assert ("gpu-mismatch", "raw", "warning") in named
    assert not any(name in {"train._.1001", "ds01-grafana"} for _, name, _ in named - {
        ("gpu-mismatch", "train._.1001", "warning")
    })  # fmt: skip
    assert all(finding["new"] for finding in document["findings"])
    assert document["data"]["examined"] == {"gpus": 2, "gpu_processes": 3, "containers": 6}


def test_filters(busy: Host) -> None:
    """--user, --gpu and --kind keep what they say; an unknown one is a usage error."""
    assert kinds(busy.json("detect", "unmanaged", "--user", "1003")) == {"host-gpu-process"}
    by_gpu = busy.json("detect", "unmanaged", "--gpu", "1", "--kind", "host-gpu-process")
    assert [finding["user"] for finding in by_gpu["findings"]] == ["1003"]
    by_uuid = busy.json("detect", "workloads", "--gpu", uuid(0))
    assert {row["user"] for row in by_uuid["data"]["workloads"]} >= {"1001"}
    no_gpu = busy.json("detect", "unmanaged", "--gpu", "7", status=2)
    assert "GPUs that can be seen: 0, 1" in no_gpu["error"]["hint"]
    no_kind = busy.json("detect", "unmanaged", "--kind", "nonsense", status=2)
    assert "host-gpu-process" in no_kind["error"]["hint"]


def test_exit_code_only_when_asked(busy: Host) -> None:
    """Findings alone never make a unit red."""
    assert busy.run("detect", "unmanaged").status == 0
    assert busy.run("detect", "unmanaged", "--exit-code").status == 4


def test_record_remembers_and_waits(busy: Host) -> None:
    """The timer's run holds new findings back until they are old and have been seen twice."""
    busy.policy(POLICY + "detect: {min_age_s: 0, scans: 2}\n")
    first = busy.json("detect", "unmanaged", "--record")
    assert first["findings"] == []
    assert busy.events() == []
    second = busy.json("detect", "unmanaged", "--record")
    assert {"unmanaged-container", "host-gpu-process"} <= kinds(second)
    types = {event["event_type"] for event in busy.events()}
    assert {"detection.unmanaged_container", "detection.host_gpu_process"} <= types
    told = len(busy.events())
    busy.json("detect", "unmanaged", "--record")
    assert len(busy.events()) == told
    assert busy.metric('ds01_detect_findings{kind="host-gpu-process",user="1003"}') == 1
    assert busy.metric('ds01_job_last_success_timestamp_seconds{job="detect"}') > 0
    manual = busy.json("detect", "unmanaged")
    assert not any(finding["new"] for finding in manual["findings"])


def test_transitions_become_events(busy: Host, engine: Engine) -> None:
    """A container that comes and goes is told once each."""
    busy.json("detect", "unmanaged", "--record")
    late = engine.run("late")
    busy.json("detect", "unmanaged", "--record")
    engine.remove(late)
    busy.json("detect", "unmanaged", "--record")
    told = [
        event["event_type"] for event in busy.events() if event["details"].get("name") == "late"
    ]
    assert told == ["detection.container_discovered", "detection.container_exited"]


def test_engine_restart_tells_nothing(busy: Host, engine: Engine) -> None:
    """Docker going down and coming back neither ends nor discovers a container."""
    busy.json("detect", "unmanaged", "--record")
    engine.stop_daemon()
    try:
        down = busy.json("detect", "unmanaged", "--record", status=3)
        assert ("docker", "failed") in gaps(down)
        assert "unmanaged-container" not in kinds(down)
    finally:
        engine.restart_daemon()
    busy.json("detect", "unmanaged", "--record")
    assert [e for e in busy.events() if "container" in e["event_type"]] == []


def test_snapshot_replays_to_the_same_findings(busy: Host, tmp_path: Path) -> None:
    """What was recorded gives the same verdicts elsewhere, with names and without."""
    plain, masked = tmp_path / "plain.json", tmp_path / "masked.json"
    assert busy.run("snapshot", "-o", plain).status == 0
    assert busy.run("snapshot", "--anonymise", "-o", masked).status == 0
    assert plain.stat().st_mode & 0o777 == 0o600
    live = sorted(f["kind"] for f in busy.json("detect", "unmanaged")["findings"])
    for file in (plain, masked):
        replayed = busy.json("detect", "unmanaged", "--replay", file)
        assert sorted(f["kind"] for f in replayed["findings"]) == live
    for name in ("train._.1001", "vsc-thesis", "/home/x"):
        assert name not in masked.read_text()
    assert "train._.1001" in plain.read_text()


def test_a_snapshot_replaces_no_device(host: Host, tmp_path: Path) -> None:
    """As root, a rename onto a device or a pipe would take it away."""
    import os

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    ran = host.run("snapshot", "-o", pipe)
    assert ran.status == 1
    assert "no regular file" in ran.err
    assert pipe.is_fifo()


def test_second_recorder_is_turned_away(busy: Host) -> None:
    """Two timers at once: the second says who is at work, and exits with 5."""
    import fcntl

    lock = busy.root / "run/ds01/detect.lock"
    lock.parent.mkdir()
    with lock.open("w") as held:
        held.write("1\nsince\nsomebody\n")
        held.flush()
        fcntl.lockf(held, fcntl.LOCK_EX)
        ran = busy.json("detect", "unmanaged", "--record", status=5)
    assert ran["error"]["exit_code"] == 5


def test_one_list_and_no_inspect_in_the_steady_state(busy: Host) -> None:
    """After a recorded run, a run asks the engine one question."""
    with Tap(busy.env["DOCKER_HOST"], busy.root / "tap.sock") as tap:
        busy.env["DOCKER_HOST"] = tap.host
        busy.json("detect", "unmanaged", "--record")
        assert len(tap.asked) > 1
        tap.asked.clear()
        assert len(busy.json("detect", "unmanaged")["findings"]) > 3
        assert tap.asked == ["GET /containers/json?all=1 HTTP/1.0"]


def test_tables_are_plain_when_piped(busy: Host) -> None:
    """No escape and no box reaches a pipe; the columns line up."""
    ran = busy.run("detect", "unmanaged", "--explain")
    assert "\x1b" not in ran.out
    assert "│" not in ran.out
    lines = ran.out.splitlines()
    assert lines[0].startswith("SEVERITY")
    assert any("owner by" in line for line in lines)


def test_mig_and_unknown_memory(
    host: Host, nvml: NvmlDouble, gpu_process: Callable[..., int]
) -> None:
    """A process in a MIG instance is named with it; memory that is not told is null, not 0."""
    pid = gpu_process(1001)
    nvml.gpu(0, mig=1).mig(0, 1, 0, "3g.20gb")
    nvml.process(gpu=0, pid=pid, mem=None, gi=1, ci=0)
    host.env |= nvml.env()
    [row] = host.json("detect", "workloads")["data"]["workloads"]
    [use] = row["subject"]["gpus"]
    assert (use["gpu_instance"], use["compute_instance"], use["memory_bytes"]) == (1, 0, None)
    assert use["mig_uuid"].startswith("MIG-")
    assert row["memory_bytes"] is None
    ran = host.run("detect", "workloads")
    assert "0:1" in ran.out
    assert json.dumps(0) not in ran.out.split("VERDICT")[0]
