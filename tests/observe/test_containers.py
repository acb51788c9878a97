"""Containers from engines that behave badly, and from a real one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ds01ctl.core.gpu_access import gpu_access
from ds01ctl.core.model import DeviceRequest, Gpu
from ds01ctl.observe import container_facts, containers
from ds01ctl.observe.engine_api import EngineError
from ds01ctl.observe.engine_hosts import engine_hosts
from ds01ctl.paths import Paths
from tests.observe.stub_engine import (
    ID,
    LIST,
    StubEngine,
    drip,
    entry,
    inspect_of,
    kinds,
    read,
    world,
)

if TYPE_CHECKING:
    from tests.engine import Engine

HOST = Paths()


# --- an engine that is not there --------------------------------------------------------------


@pytest.mark.parametrize(("named", "kind"), [(False, "absent"), (True, "failed")])
def test_socket_absent(tmp_path: Path, named: bool, kind: str) -> None:
    reading = read(f"unix://{tmp_path}/no.sock", named=named)
    assert [("docker", kind)] == kinds(reading)
    assert "no.sock: no such file" in reading.gaps[0].reason
    assert tuple(engine.answered for engine in reading.engines) == (False,)


def left_behind(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


def test_socket_refused(tmp_path: Path) -> None:
    left_behind(tmp_path / "s")
    reading = read(f"unix://{tmp_path}/s")
    assert kinds(reading) == [("docker", "failed")]
    assert "connection refused" in reading.gaps[0].reason


def test_no_socket_but_a_file(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("")
    assert kinds(read(f"unix://{tmp_path}/s")) == [("docker", "failed")]


@pytest.mark.parametrize("sockets", [0, 2])
def test_a_pattern_promises_no_engine(tmp_path: Path, sockets: int) -> None:
    for number in range(sockets):
        (tmp_path / str(number)).mkdir()
        left_behind(tmp_path / str(number) / "docker.sock")
    reading = read(f"unix://{tmp_path}/*/docker.sock", named=True)
    assert kinds(reading) == [("docker", "absent")] * max(sockets, 1)
    said = "nobody listens" if sockets else "nothing matches docker.hosts"
    assert all(said in gap.reason for gap in reading.gaps)
    assert [False] * sockets == [engine.answered for engine in reading.engines]


@pytest.mark.parametrize("host", ["ssh://gpu01", "https://gpu01:2376", "tcp://gpu01", "nonsense"])
def test_engines_elsewhere_are_refused(host: str) -> None:
    reading = read(host, named=True)
    assert kinds(reading) == [("docker", "failed")]
    assert "only engines on this host" in reading.gaps[0].reason


def test_permission_denied(stub: StubEngine) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    stub.path.chmod(0o600)
    script = (
        "import os, sys; os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "from ds01ctl.observe import containers; from ds01ctl.paths import Paths\n"
        "reading = containers.read([sys.argv[1]], deadline_s=5, paths=Paths(), known={},"
        " named_by_admin=False)\n"
        "print(reading.gaps[0].kind, reading.gaps[0].reason)"
    )
    # imported before the user changes: a checkout may be root's alone
    script = "import ds01ctl.observe.containers, ds01ctl.paths\n" + script
    done = subprocess.run(
        [sys.executable, "-c", script, stub.host], capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith("denied ")
    assert "run as root" in done.stdout


# --- an engine that answers badly -------------------------------------------------------------

BAD_LISTS = {
    "error status": (b'{"message": "disk full"}', "500 Internal Server Error", 0, "disk full"),
    "not an engine": (b"", "404 Not Found", 0, "status 404"),
    "truncated": (b'[{"Id": "', "200 OK", 4000, "cut short"),
    "truncated without length": (b'[{"Id": "', "200 OK", 9, "cut short or not JSON"),
    "garbage": (b"\xff\x00<html>", "200 OK", 8, "not JSON"),
    "deep": (b"[" * 200_000, "200 OK", 200_000, "not JSON"),
    "no list": (b'{"Id": 1}', "200 OK", 9, "no list"),
}


@pytest.mark.parametrize("name", BAD_LISTS)
def test_bad_list(stub: StubEngine, name: str) -> None:
    body, status, length, reason = BAD_LISTS[name]
    stub.raw(LIST, body, status=status, length=length or len(body))
    reading = read(stub.host)
    assert kinds(reading) == [("docker", "failed")]
    assert reason in reading.gaps[0].reason
    assert reading.containers == ()


@pytest.mark.parametrize("raw", [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.0 abc\r\n\r\n[]"])
def test_no_http(stub: StubEngine, raw: bytes) -> None:
    stub.answers[LIST] = raw
    assert kinds(read(stub.host)) == [("docker", "failed")]


def test_half_a_surrogate_pair_can_be_printed(stub: StubEngine) -> None:
    stub.containers(entry(1))
    body = f'[{{"Id": "{ID(1)}", "Names": ["/a"], "Labels": {{"x": "\\ud800"}}}}]'.encode()
    stub.raw(LIST, body, length=len(body))
    assert read(stub.host).containers[0].labels["x"].encode() == b"?"


def test_entries_without_id_are_told(stub: StubEngine) -> None:
    stub.containers(entry(1))
    stub.answer(LIST, [entry(1), {"Id": "short"}, None, 7])
    reading = read(stub.host)
    assert [ID(1)] == [container.id for container in reading.containers]
    assert "3 entries" in reading.gaps[0].reason


def test_slow_list_ends_at_the_deadline(stub: StubEngine) -> None:
    stub.containers(entry(1))
    stub.delay_s = 2
    started = time.monotonic()
    reading = read(stub.host, deadline_s=0.3)
    assert time.monotonic() - started < 1.5
    assert kinds(reading) == [("docker", "failed")]
    assert "no answer in 0.3 s (docker.timeout_s)" in reading.gaps[0].reason


def test_an_answer_in_drops_ends_at_the_deadline(stub: StubEngine) -> None:
    path = stub.path.with_name("drip.sock")
    thread = drip(path, for_s=3)
    started = time.monotonic()
    reading = read(f"unix://{path}", deadline_s=0.4)
    assert time.monotonic() - started < 1.5
    assert kinds(reading) == [("docker", "failed")]
    thread.join()


def test_a_slow_engine_does_not_hide_another(stub: StubEngine) -> None:
    stub.containers(entry(1))
    path = stub.path.with_name("drip.sock")
    thread = drip(path, for_s=1)
    reading = read(f"unix://{path}", stub.host, deadline_s=0.5)
    assert [ID(1)] == [container.id for container in reading.containers]
    assert [engine.answered for engine in reading.engines] == [False, True]
    thread.join()


def test_slow_inspects_leave_what_is_known(stub: StubEngine) -> None:
    stub.containers(*(entry(number) for number in range(30)))
    known = read(stub.host).facts
    stub.containers(*(entry(number) for number in range(60)))
    del known[ID(0)]
    stub.delay_s = 0.5
    reading = read(stub.host, known=known, deadline_s=1.25)
    assert len(reading.containers) == 60
    assert "containers not inspected" in reading.gaps[0].reason
    unknown = {container.id for container in reading.containers if container.config is None}
    assert unknown
    # what was inspected in time is not asked for again
    assert set(reading.facts) == {ID(number) for number in range(60)} - unknown


def test_container_gone_between_list_and_inspect(stub: StubEngine) -> None:
    stub.containers(entry(1), entry(2))
    del stub.answers[f"/containers/{ID(1)}/json"]
    reading = read(stub.host)
    assert [ID(2)] == [container.id for container in reading.containers]
    assert reading.gaps == ()


def test_engine_that_fails_after_the_list(stub: StubEngine) -> None:
    stub.containers(entry(1), entry(2, state="exited"))
    known = {ID(2): read(stub.host).facts[ID(2)]}
    stub.answer(LIST, [entry(1), entry(2, state="running")])
    for number in (1, 2):
        stub.answers[f"/containers/{ID(number)}/json"] = b""
    reading = read(stub.host, known=known)
    first, second = reading.containers
    assert first.config is None
    assert first.state == "created"
    assert second.config == known[ID(2)].config
    assert (second.state, second.pid, second.started_at) == ("running", None, None)
    assert "2 of 2 containers not inspected" in reading.gaps[0].reason


# --- what it says -----------------------------------------------------------------------------


def test_podman_writes_it_differently(stub: StubEngine) -> None:
    listed = {
        "Id": ID(7),
        "Names": ["plain"],
        "Created": "1795445825",
        "Labels": None,
        "State": "stopped",
        "Mounts": None,
    }
    stub.answer(LIST, [listed])
    stub.answer(f"/containers/{ID(7)}/json", {"Id": ID(7), "State": {"Status": "stopped"}})
    reading = read(stub.host)
    (container,) = reading.containers
    assert reading.gaps == ()
    assert (container.name, container.state, container.labels) == ("plain", "exited", {})
    assert container.created_at == datetime(2026, 11, 23, 14, 57, 5, tzinfo=timezone.utc)
    assert container.config is not None
    assert read(stub.host, known=reading.facts).facts[ID(7)] is reading.facts[ID(7)]


def test_a_link_is_not_the_name(stub: StubEngine) -> None:
    stub.containers(entry(1, Names=["/other/alias", "/own", "/third/alias"]))
    assert read(stub.host).containers[0].name == "own"


def test_labels_of_4_kib_arrive_whole(stub: StubEngine) -> None:
    labels = {"long": "x" * 4096, "evil": "a\nb\x1b[31m[red]\x00", "number": 7}
    stub.containers(entry(1, Labels=labels))
    labels.pop("number")
    assert read(stub.host).containers[0].labels == labels


@pytest.mark.parametrize(
    "host_config",
    [
        {"DeviceRequests": [None], "Devices": [None, {"PathOnHost": 7}]},
        {"DeviceRequests": "all", "Devices": {}, "DeviceCgroupRules": [1]},
        {"DeviceRequests": [{"Capabilities": ["gpu"], "Count": "x", "DeviceIDs": [0]}]},
    ],
)
def test_any_json_is_survived(stub: StubEngine, host_config: dict[str, Any]) -> None:
    stub.containers(entry(1, Created=1e300, Names=None))
    stub.answer(f"/containers/{ID(1)}/json", inspect_of(entry(1), **host_config))
    reading = read(stub.host)
    config = reading.containers[0].config
    assert config is not None
    assert gpu_access(config, ()).forms == ()
    assert reading.containers[0].name == ID(1)[:12]


def test_one_engine_under_two_names(stub: StubEngine) -> None:
    stub.containers(entry(1))
    link = stub.path.with_name("link.sock")
    link.symlink_to(stub.path)
    reading = read(stub.host, f"unix://{link}")
    assert len(reading.engines) == len(reading.containers) == 1


def test_a_process_that_an_engine_invents_has_no_cgroup(stub: StubEngine) -> None:
    """A user's own engine could name anybody's process as its container's."""
    listed = entry(1, state="running", Pid=os.getpid())
    stub.containers(listed)
    (container,) = read(stub.host).containers
    assert container.pid == os.getpid()
    assert container.cgroup is None


# --- what is asked ----------------------------------------------------------------------------


def scope(number: int) -> str:
    return f"/ds01.slice/docker-{ID(number)}.scope"


def test_steady_state_is_one_list_and_no_inspect(stub: StubEngine, tmp_path: Path) -> None:
    paths = world(tmp_path, {71: scope(1)})
    stub.containers(entry(1, state="running", Pid=71), entry(2), entry(3, state="exited"))
    first = read(stub.host, paths=paths)
    assert first.containers[0].cgroup == scope(1)
    stub.asked.clear()
    second = read(stub.host, known=first.facts, paths=paths)
    assert stub.asked == [LIST]
    assert second.containers == first.containers
    assert all(second.facts[id_] is first.facts[id_] for id_ in first.facts)


def changed_state(stub: StubEngine, _: Path) -> None:
    stub.containers(entry(1, state="exited"), entry(2))


def restarted(stub: StubEngine, root: Path) -> None:
    world(root, {71: "/system.slice/cron.service", 72: scope(1)})
    stub.containers(entry(1, state="running", Pid=72), entry(2))


def killed(stub: StubEngine, root: Path) -> None:
    (root / "proc/71/cgroup").unlink()


@pytest.mark.parametrize("change", [changed_state, restarted, killed])
def test_one_inspect_of_what_may_have_changed(
    stub: StubEngine, tmp_path: Path, change: Any
) -> None:
    paths = world(tmp_path, {71: scope(1)})
    stub.containers(entry(1, state="running", Pid=71), entry(2))
    first = read(stub.host, paths=paths)
    change(stub, tmp_path)
    stub.asked.clear()
    read(stub.host, known=first.facts, paths=paths)
    assert stub.asked == [LIST, f"/containers/{ID(1)}/json"]


def test_restarting_is_always_inspected(stub: StubEngine) -> None:
    stub.containers(entry(1, state="restarting"))
    read(stub.host, known=read(stub.host).facts)
    assert stub.count(ID(1)) == 2


def test_each_image_is_asked_once(stub: StubEngine) -> None:
    entries = [entry(number) for number in range(1, 4)]
    stub.containers(*entries)
    values = ["all", "all", "0,1"]
    for listed, value in zip(entries, values, strict=True):
        answer = inspect_of(listed, Runtime="nvidia")
        answer["Config"]["Env"] = [
            "A=b",
            "NVIDIA_VISIBLE_DEVICES=",
            f"NVIDIA_VISIBLE_DEVICES={value}",
        ]
        stub.answer(f"/containers/{listed['Id']}/json", answer)
    image = f"/images/sha256:{ID(0)}/json"
    stub.answer(image, {"Config": {"Env": ["NVIDIA_VISIBLE_DEVICES=all"]}})
    reading = read(stub.host)
    configs = [container.config for container in reading.containers]
    assert [c and c.visible_devices for c in configs] == values
    assert [c and c.visible_devices_from_image for c in configs] == [True, True, False]
    assert stub.count(image) == 1


def test_facts_survive_as_text(stub: StubEngine) -> None:
    listed = entry(1, state="running", Pid=5, StartedAt="2026-11-23T14:57:05.409579792Z")
    requests = [{"Driver": "", "Count": 2, "DeviceIDs": None, "Capabilities": [["gpu"]]}]
    stub.containers(listed)
    answer = inspect_of(listed, DeviceRequests=requests, Devices=[{"PathOnHost": "/dev/nvidia0"}])
    answer["Config"] = {"Healthcheck": {"Test": ["CMD", "curl", "-f", "localhost"]}}
    stub.answer(f"/containers/{ID(1)}/json", answer)
    (facts,) = read(stub.host).facts.values()
    assert facts.config.device_requests == (DeviceRequest("", 2, (), ("gpu",)),)
    assert facts.config.health_command == ("curl", "-f", "localhost")
    assert container_facts.from_json(container_facts.to_json(facts)) == facts


@pytest.mark.parametrize(
    ("test", "shell", "runs"),
    [
        (["CMD", "a", "b c"], None, ("a", "b c")),
        (["CMD-SHELL", "a b"], None, ("/bin/sh", "-c", "a b")),
        (["CMD-SHELL", "a"], ["/bin/bash", "-o", "pipefail", "-c"],
         ("/bin/bash", "-o", "pipefail", "-c", "a")),
        (["NONE"], None, ()), ([], None, ()), (None, None, ()), ("CMD a", None, ()),
        (["CMD"], None, ()), ([1, 2], None, ()), ({}, "sh", ()),
    ],
)  # fmt: skip
def test_what_a_health_check_runs(
    stub: StubEngine, test: object, shell: object, runs: tuple[str, ...]
) -> None:
    listed = entry(1, state="running", Pid=5, StartedAt="2026-11-23T14:57:05.409579792Z")
    stub.containers(listed)
    answer = inspect_of(listed)
    answer["Config"] = {"Healthcheck": {"Test": test}, "Shell": shell}
    stub.answer(f"/containers/{ID(1)}/json", answer)
    (facts,) = read(stub.host).facts.values()
    assert facts.config.health_command == runs


@pytest.mark.parametrize("text", ["", "{}", "[]", "[1]", "[0,1,2,3,4]", "null", "[" * 9999])
def test_facts_that_are_none_are_forgotten(text: str) -> None:
    assert container_facts.from_json(text) is None


def test_a_thousand_containers(stub: StubEngine, tmp_path: Path) -> None:
    """One request, however many of them are known."""
    paths = world(tmp_path, {1000 + number: scope(number) for number in range(1000)})
    running = [entry(number, state="running", Pid=1000 + number) for number in range(1000)]
    stub.containers(*running)
    first = read(stub.host, paths=paths)
    assert stub.count("/json") == 1001
    stub.asked.clear()
    second = read(stub.host, known=first.facts, paths=paths)
    assert stub.asked == [LIST]
    assert len(second.containers) == 1000
    assert all(container.cgroup for container in second.containers)


# --- which engines ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "environment", "expected"),
    [
        ((), {}, (("unix:///r/run/docker.sock",), False)),
        ((), {"DOCKER_HOST": ""}, (("unix:///r/run/docker.sock",), False)),
        ((), {"DOCKER_HOST": "unix:///e"}, (("unix:///e",), True)),
        (("unix:///p",), {"DOCKER_HOST": "unix:///e"}, (("unix:///p",), True)),
    ],
)
def test_engine_hosts(policy: Any, environment: Any, expected: Any) -> None:
    assert expected == engine_hosts(policy, environment, Paths(Path("/r")))


# --- a real engine ----------------------------------------------------------------------------


@pytest.mark.engine
def test_real_containers_of_every_kind(engine: Engine) -> None:
    image = engine.build_image("ds01/cuda:1", env={"NVIDIA_VISIBLE_DEVICES": "all"})
    made = {
        "plain": engine.run("plain", labels={"a": "b\n[red]"}, mounts=[("/tmp", "/data")]),
        "requested": engine.run("requested", gpus=2, start=False),
        "ids": engine.run("ids", gpus=["0", "1"], start=False),
        "cdi": engine.run(
            device_requests=[{"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=0"]}], start=False
        ),
        "inherited": engine.run("inherited", image=image, runtime="nvidia"),
        "set": engine.run(image=image, runtime="nvidia", env={"NVIDIA_VISIBLE_DEVICES": "1"}),
        "void": engine.run(image=image, runtime="nvidia", env={"NVIDIA_VISIBLE_DEVICES": "void"}),
        "default": engine.run(runtime="nvidia"),
        "node": engine.run(devices=["/dev/nvidia1:/dev/nvidia1"], start=False),
        "rule": engine.run(device_cgroup_rules=["c 195:0 rw"], auto_remove=True),
        "privileged": engine.run(privileged=True, start=False),
        "slice": engine.run("slice", cgroup_parent="/ds01.slice", user="1001", pid_mode="host"),
    }
    reading = read(engine.host)
    assert reading.gaps == ()
    assert reading.engines[0].version
    seen = {container.id: container for container in reading.containers}
    assert set(seen) == set(made.values())

    gpus = [Gpu(0, "GPU-a", minor=0), Gpu(1, "GPU-b", minor=1), Gpu(2, "GPU-c", minor=2)]
    both, every = {"GPU-a", "GPU-b"}, {"GPU-a", "GPU-b", "GPU-c"}
    expected: dict[str, tuple[tuple[str, ...], set[str]]] = {
        "plain": ((), set()),
        "requested": (("device-request",), both),
        "ids": (("device-request",), both),
        "cdi": (("cdi",), {"GPU-a"}),
        "inherited": (("runtime",), every),
        "set": (("runtime",), {"GPU-b"}),
        "void": ((), set()),
        "default": ((), set()),
        "node": (("device",), {"GPU-b"}),
        "rule": (("device-rule",), {"GPU-a"}),
        "privileged": (("privileged",), every),
        "slice": ((), set()),
    }
    configs = {name: seen[id_].config for name, id_ in made.items()}
    accesses = {name: gpu_access(config, gpus) for name, config in configs.items() if config}
    assert expected == {n: (a.forms, set(a.gpu_uuids or ())) for n, a in accesses.items()}
    assert configs["inherited"]
    assert configs["inherited"].visible_devices_from_image is True

    plain, in_slice = seen[made["plain"]], seen[made["slice"]]
    assert (plain.name, plain.state, plain.labels) == ("plain", "running", {"a": "b\n[red]"})
    assert plain.mounts[0].source == "/tmp"
    assert plain.pid == engine.pid(plain.id)
    assert plain.cgroup
    assert plain.id in plain.cgroup
    assert in_slice.cgroup
    assert in_slice.cgroup.startswith("/ds01.slice/")
    assert seen[made["node"]].started_at is None
    assert {name for name, one in configs.items() if one and one.auto_remove} == {"rule"}
    assert containers.find(engine.host, plain.id, deadline_s=5, paths=HOST) == plain


@pytest.mark.engine
def test_real_life_of_a_container(engine: Engine) -> None:
    """Start, pause, restart, stop, remove: each is seen, with its own start."""
    id_ = engine.run("life", command=["sh", "-c", "trap exit TERM; while :; do sleep 0.1; done"])
    known: dict[str, container_facts.KnownFacts] = {}
    states = []
    starts = set()
    for change in ("pause", "unpause", "restart", "stop"):
        reading = read(engine.host, known=known)
        known = reading.facts
        states.append(reading.containers[0].state)
        starts.add(reading.containers[0].started_at)
        getattr(engine.client, change)(id_)
    reading = read(engine.host, known=known)
    (stopped,) = reading.containers
    assert states[:4] == ["running", "paused", "running", "running"]
    assert (stopped.state, stopped.pid, stopped.cgroup) == ("exited", None, None)
    assert len(starts | {stopped.started_at}) == 2
    assert stopped.finished_at is not None
    engine.remove(id_)
    assert read(engine.host, known=reading.facts).containers == ()
    assert containers.find(engine.host, id_, deadline_s=5, paths=HOST) is None


@pytest.mark.engine
def test_real_daemon_restarted(engine: Engine) -> None:
    """While the daemon is away there is a gap; afterwards nothing has changed."""
    engine.run("stays")
    before = read(engine.host)
    engine.stop_daemon()
    away = read(engine.host, known=before.facts)
    with pytest.raises(EngineError):
        containers.find(engine.host, before.containers[0].id, deadline_s=5, paths=HOST)
    engine.restart_daemon()
    assert away.containers == ()
    assert len(away.gaps) == 1
    assert read(engine.host, known=before.facts).containers == before.containers


@pytest.mark.parametrize("name", ["life", ID(1)[:12], "../images/json?x=", "x y"])
def test_find_takes_full_ids_only(stub: StubEngine, name: str) -> None:
    assert containers.find(stub.host, name, deadline_s=5, paths=HOST) is None
    assert stub.asked == []
