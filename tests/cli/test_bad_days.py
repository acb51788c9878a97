"""The world at its worst: always a report that is right about what it knows, and the gap named."""

from __future__ import annotations

import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Host, gaps, kinds
from tests.engine import Engine
from tests.nvml.double import (
    DRIVER_NOT_LOADED,
    GIB,
    LIB_RM_VERSION_MISMATCH,
    NvmlDouble,
)
from tests.observe.stub_engine import ID, StubEngine
from tests.observe.stub_engine import entry as entry_of

DETECT = ("detect", "unmanaged")


@pytest.fixture
def stub(tmp_path: Path) -> Iterator[StubEngine]:
    engine = StubEngine(tmp_path)
    yield engine
    engine.stop()


# --- sources that are not there ------------------------------------------------------------------


def test_nothing_at_all(host: Host) -> None:
    """Neither NVML nor Docker: told, and no failure."""
    document = host.json(*DETECT)
    assert gaps(document) == {("policy", "absent"), ("nvml", "absent"), ("docker", "absent")}
    assert document["data"]["examined"] == {
        "gpus": None, "gpu_processes": None, "containers": None,
    }  # fmt: skip


@pytest.mark.parametrize("source", ["nvml", "docker"])
def test_required_sources(host: Host, source: str) -> None:
    """What the policy requires is a failure when it is absent."""
    host.policy(f"require: [{source}]\n")
    assert (source, "failed") in gaps(host.json(*DETECT, status=3))


def test_docker_host_names_an_engine_that_is_gone(host: Host) -> None:
    """DOCKER_HOST promises an engine."""
    host.env["DOCKER_HOST"] = "unix:///nowhere/docker.sock"
    assert ("docker", "failed") in gaps(host.json(*DETECT, status=3))


def test_what_an_earlier_run_saw_is_missed(host: Host, nvml: NvmlDouble) -> None:
    """A driver that was there in a recorded run and is not any more is a failure."""
    bare = dict(host.env)
    host.env |= nvml.gpus(1).env()
    host.json(*DETECT, "--record")
    host.env = bare
    document = host.json(*DETECT, status=3)
    assert ("nvml", "failed") in gaps(document)


# --- NVML ----------------------------------------------------------------------------------------


def test_driver_not_loaded(host: Host, nvml: NvmlDouble) -> None:
    host.env |= nvml.gpus(1).fault("nvmlInit", DRIVER_NOT_LOADED).env()
    document = host.json(*DETECT, status=3)
    assert ("nvml", "failed") in gaps(document)


def test_driver_and_library_differ(host: Host, nvml: NvmlDouble) -> None:
    """The commonest of all: an upgrade without a reboot."""
    host.env |= nvml.gpus(1).fault("nvmlInit", LIB_RM_VERSION_MISMATCH).env()
    document = host.json(*DETECT, status=3)
    [finding] = document["findings"]
    assert (finding["kind"], finding["severity"]) == ("gpu-unhealthy", "critical")
    assert "reboot" in finding["evidence"][0]


def test_one_gpu_is_lost(host: Host, nvml: NvmlDouble, gpu_process: Callable[..., int]) -> None:
    """The others are reported in full, and the lost one's processes are not said to be none."""
    nvml.gpus(3).lost(1).process(gpu=2, pid=gpu_process(1001), mem=GIB)
    host.env |= nvml.env()
    document = host.json(*DETECT, status=3)
    assert {"gpu-unhealthy", "host-gpu-process"} <= kinds(document)
    assert [gpu["processes_known"] for gpu in document["data"]["gpus"]] == [True, False, True]


def test_a_call_hangs(host: Host, nvml: NvmlDouble, gpu_process: Callable[..., int]) -> None:
    """The deadline holds, what was read before stays, and the call has a name."""
    host.policy("nvml: {timeout_s: 1}\n")
    nvml.gpus(2).process(gpu=0, pid=gpu_process(1001), mem=GIB)
    nvml.hang("nvmlDeviceGetComputeRunningProcesses_v3", gpu=1)
    host.env |= nvml.env()
    began = time.monotonic()
    document = host.json(*DETECT, status=3)
    assert time.monotonic() - began < 10
    assert "host-gpu-process" in kinds(document)
    [reason] = [gap["reason"] for gap in document["gaps"] if gap["source"] == "nvml"]
    assert "nvmlDeviceGetComputeRunningProcesses" in reason
    assert "GPU 1" in reason


def test_a_job_that_ends_while_nvml_hangs_is_not_told_as_ended(
    host: Host, nvml: NvmlDouble, gpu_process: Callable[..., int]
) -> None:
    """Silence is no exit."""
    host.policy("nvml: {timeout_s: 1}\n")
    pid = gpu_process(1001)
    host.env |= nvml.gpus(1).process(gpu=0, pid=pid, mem=GIB).env()
    host.json(*DETECT, "--record")
    host.env |= nvml.hang("nvmlInit").env()
    assert host.metric('ds01_detect_findings{kind="ghost-gpu-memory",user=""}') == 0
    blind = host.json(*DETECT, "--record", status=3)
    assert host.events() == []
    # none seen is not none there: an alert must not resolve
    assert blind["data"]["counts"]["host-gpu-process"] is None
    with pytest.raises(KeyError):
        host.metric('ds01_detect_findings{kind="ghost-gpu-memory",user=""}')


def test_processes_that_exit_during_the_scan(
    host: Host, nvml: NvmlDouble, gpu_process: Callable[..., int]
) -> None:
    """A pid that NVML still lists but that is gone is ghost memory; the others are unharmed."""
    gone = subprocess.Popen(["true"])
    gone.wait()
    nvml.gpu(0, mem_used=2 * GIB).process(gpu=0, pid=gone.pid, mem=GIB)
    nvml.process(gpu=0, pid=gpu_process(1001), mem=GIB)
    host.env |= nvml.env()
    document = host.json(*DETECT)
    assert kinds(document) == {"ghost-gpu-memory", "host-gpu-process"}
    [ghost] = [f for f in document["findings"] if f["kind"] == "ghost-gpu-memory"]
    assert ghost["subject"]["pid"] == gone.pid


def test_one_pid_on_four_gpus(
    host: Host, nvml: NvmlDouble, gpu_process: Callable[..., int]
) -> None:
    """One finding, four uses, each with its memory."""
    pid = gpu_process(1001)
    nvml.gpus(4)
    for index in range(4):
        nvml.process(gpu=index, pid=pid, mem=(index + 1) * GIB)
    host.env |= nvml.env()
    [finding] = host.json(*DETECT)["findings"]
    assert [use["memory_bytes"] // GIB for use in finding["subject"]["gpus"]] == [1, 2, 3, 4]


# --- Docker --------------------------------------------------------------------------------------


def test_engine_refuses(host: Host, tmp_path: Path) -> None:
    """A socket that nobody listens on."""
    import socket

    path = tmp_path / "dead.sock"
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    host.env["DOCKER_HOST"] = f"unix://{path}"
    assert ("docker", "failed") in gaps(host.json(*DETECT, status=3))


def test_engine_is_slow(host: Host, stub: StubEngine) -> None:
    """Two seconds a request: the deadline is for all of it together."""
    stub.containers(*(entry_of(number) for number in range(5)))
    stub.delay_s = 2
    host.policy(f"docker: {{hosts: ['{stub.host}'], timeout_s: 3}}\n")
    began = time.monotonic()
    document = host.json(*DETECT, status=3)
    assert time.monotonic() - began < 8
    assert ("docker", "failed") in gaps(document)


def test_container_is_gone_between_list_and_inspect(host: Host, stub: StubEngine) -> None:
    """A container that vanished is not reported, and is no failure."""
    stub.containers(entry_of(1), entry_of(2))
    del stub.answers[f"/containers/{ID(2)}/json"]
    host.policy(f"docker: {{hosts: ['{stub.host}']}}\n")
    document = host.json(*DETECT)
    assert document["data"]["examined"]["containers"] == 1


def test_a_thousand_containers(host: Host, stub: StubEngine) -> None:
    stub.containers(*(entry_of(number) for number in range(1000)))
    host.policy(f"docker: {{hosts: ['{stub.host}']}}\n")
    document = host.json(*DETECT)
    assert document["data"]["examined"]["containers"] == 1000
    assert len({finding["subject"]["id"] for finding in document["findings"]}) == 1000


HOSTILE = "[red]x[/red]\x1b]0;owned\x07\x1b[2J\r\nfake line\u202e" + "y" * 4096


def test_hostile_labels(host: Host, engine: Engine) -> None:
    """4 KiB of markup, escapes and newlines: shown harmless, on a pipe and on a terminal."""
    engine.run("hostile", labels={"ds01.user": HOSTILE, "com.docker.compose.project": HOSTILE})
    host.env["DOCKER_HOST"] = engine.host
    document = host.json("detect", "workloads", "--all")
    assert document["data"]["workloads"][0]["user"] is None
    for command in (DETECT, ("detect", "workloads", "--all", "--explain")):
        piped = host.run(*command).out
        assert "\x1b" not in piped
        assert "\r" not in piped
        shown = host.on_terminal(*command)
        assert "hostile" in shown
        for evil in ("\x1b]0", "\x1b[2J", "\u202e"):
            assert evil not in shown


# --- people --------------------------------------------------------------------------------------


def test_a_uid_without_an_entry_is_a_number(
    host: Host, nvml: NvmlDouble, gpu_process: Callable[..., int]
) -> None:
    host.env |= nvml.gpus(1).process(gpu=0, pid=gpu_process(54321), mem=GIB).env()
    [finding] = host.json(*DETECT)["findings"]
    assert finding["user"] == "54321"


def test_name_service_hangs(
    host: Host, nvml: NvmlDouble, gpu_process: Callable[..., int], hanging_nss: Path
) -> None:
    """Numbers instead of names, after the deadline, and the gap says so."""
    host.policy("users: {timeout_s: 1}\n")
    host.env |= nvml.gpus(1).process(gpu=0, pid=gpu_process(1001), mem=GIB).env()
    host.env |= {"LD_PRELOAD": str(hanging_nss), "HANG_UID": "1001"}
    document = host.json(*DETECT, status=3)
    assert document["findings"][0]["user"] == "1001"
    assert ("users", "failed") in gaps(document)


# --- the policy ----------------------------------------------------------------------------------

SIX_LINES = "defaults:\n  max_cpus: 4\n  memory: 4g\n  shm_size: 1g\n  pids_limit: 9\n\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (SIX_LINES + "groups: }\n", ":7"),
        (SIX_LINES + "\tgroups: {}\n", ":7"),
        (SIX_LINES + "defaults: {max_cpus: 5}\n", ":7"),
        (SIX_LINES + "detect: {min_aeg_s: 5}\n", "min_age_s"),
        (SIX_LINES + "detect: {min_age_s: soon}\n", ":7"),
    ],
    ids=["malformed", "tab", "duplicate", "unknown key", "wrong type"],
)
def test_bad_policy(host: Host, text: str, expected: str) -> None:
    """File and line are named, and nothing runs on half a policy."""
    host.policy(text)
    document = host.json(*DETECT, status=1)
    assert "resource-limits.yaml" in document["error"]["message"]
    assert expected in document["error"]["message"]
    ran = host.run(*DETECT)
    assert ran.status == 1
    assert ran.out == ""
    assert expected in ran.err


def test_empty_policy(host: Host) -> None:
    """An empty file is a policy that sets nothing."""
    host.policy("")
    assert ("policy", "absent") not in gaps(host.json(*DETECT))


def test_policy_that_was_named_is_missing(host: Host, tmp_path: Path) -> None:
    assert host.json(*DETECT, "--config", tmp_path / "no.yaml", status=1)["error"]["hint"]


def test_policy_that_cannot_be_read(host: Host) -> None:
    """Not readable is an error, never the defaults."""
    host.policy_path.mkdir()
    host.json(*DETECT, status=1)


# --- the state store, the log, the metrics --------------------------------------------------------


def test_corrupt_state(host: Host) -> None:
    """A broken store is kept as it is; the report is made without it."""
    host.state_path.write_bytes(b"this is no database" * 100)
    before = host.state_path.read_bytes()
    for more in ((), ("--record",)):
        assert ("state", "failed") in gaps(host.json(*DETECT, *more, status=3))
    assert host.state_path.read_bytes() == before


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE findings SET scans = 'x'",
        "UPDATE findings SET key = '5'",
        "UPDATE findings SET first_seen = 'yesterday'",
        "UPDATE inventory SET row = '{'",
        "UPDATE inventory SET row = '5'",
        "UPDATE sources SET answered_at = ''",
    ],
)
def test_state_that_makes_no_sense(host: Host, stub: StubEngine, harm: str) -> None:
    """A sound database with odd content is a gap as well."""
    stub.containers(entry_of(1))
    host.policy(f"docker: {{hosts: ['{stub.host}']}}\n")
    host.json(*DETECT, "--record")
    with sqlite3.connect(host.state_path) as database:
        assert database.execute(harm).rowcount
    database.close()
    # only a recording run reads the inventory
    for more in ((), ("--record",)) if "inventory" not in harm else (("--record",),):
        assert ("state", "failed") in gaps(host.json(*DETECT, *more, status=3))


def test_damaged_page(host: Host) -> None:
    """Damage in the middle of the file is found, not passed on."""
    host.json(*DETECT, "--record")
    data = bytearray(host.state_path.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    host.state_path.write_bytes(data)
    assert ("state", "failed") in gaps(host.json(*DETECT, "--record", status=3))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB that is full."""
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k,mode=755", "tmpfs", str(place)], check=True
    )
    filler = place / "filler"
    try:
        with filler.open("wb") as file:
            while True:
                file.write(b"x" * 4096)
                file.flush()
    except OSError:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_full_disk(host: Host, small_disk: Path, stub: StubEngine) -> None:
    """Nothing can be remembered, told or measured: three gaps, and the report all the same."""
    stub.containers(entry_of(1))
    host.policy(
        f"docker: {{hosts: ['{stub.host}']}}\n"
        "detect: {min_age_s: 0, scans: 1}\n"
        "metrics: {textfile_dir: /small}\nevents: {path: /small/events.jsonl}\n"
    )
    (host.root / "small").symlink_to(small_disk)
    host.state_path.parent.rmdir()
    host.state_path.parent.symlink_to(small_disk)
    document = host.json(*DETECT, "--record", status=3)
    assert {("state", "failed"), ("metrics", "failed")} <= gaps(document)
    assert "unmanaged-container" in kinds(document)
    assert sorted(path.name for path in small_disk.iterdir() if path.stat().st_size) == ["filler"]


def test_read_only_state(host: Host, tmp_path: Path) -> None:
    """A store on a read-only disk can be read, and not written."""
    host.json(*DETECT, "--record")
    folder = host.state_path.parent
    subprocess.run(["mount", "--bind", str(folder), str(folder)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)
        assert ("state", "failed") not in gaps(host.json(*DETECT))
        assert ("state", "failed") in gaps(host.json(*DETECT, "--record", status=3))
    finally:
        subprocess.run(["umount", str(folder)], check=True)
    assert sqlite3.connect(host.state_path).execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_missing_log_directory_is_made(host: Host, stub: StubEngine) -> None:
    stub.containers(entry_of(1))
    host.policy(f"docker: {{hosts: ['{stub.host}']}}\ndetect: {{min_age_s: 0, scans: 1}}\n")
    assert not host.events_path.parent.exists()
    host.json(*DETECT, "--record")
    assert host.events()


def test_events_that_could_not_be_written_are_told_next_time(host: Host, stub: StubEngine) -> None:
    """A log that is not there today does not swallow what happened today."""
    stub.containers(entry_of(1))
    host.policy(f"docker: {{hosts: ['{stub.host}']}}\ndetect: {{min_age_s: 0, scans: 1}}\n")
    host.events_path.parent.write_text("in the way")
    assert ("events", "failed") in gaps(host.json(*DETECT, "--record", status=3))
    host.events_path.parent.unlink()
    host.json(*DETECT, "--record")
    assert "detection.unmanaged_container" in {event["event_type"] for event in host.events()}


# --- where we are ---------------------------------------------------------------------------------


def test_another_pid_namespace(host: Host) -> None:
    """Inside one, pids mean nothing: it says so and exits with 1."""
    ran = host.run(*DETECT, wrap=("unshare", "--pid", "--fork", "--mount-proc"))
    assert ran.status == 1
    assert "PID namespace" in ran.err


def test_without_root(
    host: Host, engine: Engine, nvml: NvmlDouble, gpu_process: Callable[..., int]
) -> None:
    """What root alone may see is named as denied, and the rest is shown."""
    Path(engine.host.removeprefix("unix://")).chmod(0o600)
    nvml.gpus(1).process(gpu=0, pid=gpu_process(1001), mem=GIB)
    host.env |= {"DOCKER_HOST": engine.host, **nvml.env()}
    # it may read the program, wherever that lies, and nothing else that others may not
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    read_only = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    document = host.json(*DETECT, status=3, wrap=(*nobody, *read_only))
    assert ("docker", "denied") in gaps(document)
    assert kinds(document) == {"host-gpu-process"}
