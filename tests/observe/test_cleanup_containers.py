"""The signals of real containers: what makes them move, and what does not."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from ds01ctl.core.model import GpuUse
from ds01ctl.observe import cleanup_signals, containers
from ds01ctl.observe.gpu_activity import GpuActivity
from ds01ctl.paths import Paths
from tests.engine import IMAGE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ds01ctl.core.cleanup_model import Reading, Sample, Signal
    from ds01ctl.core.model import Container
    from tests.engine import Engine

pytestmark = pytest.mark.engine
HOST = Paths()
NO_GPU = GpuActivity()
BURN = ("sh", "-c", "while :; do :; done")


def listed(engine: Engine) -> tuple[Container, ...]:
    reading = containers.read(
        [engine.host], deadline_s=20, paths=HOST, known={}, named_by_admin=True
    )
    assert reading.gaps == ()
    return reading.containers


def sample_all(seen: tuple[Container, ...], **known: Any) -> dict[str, Sample]:
    given: dict[str, Any] = {"uses": (), "gpu": NO_GPU} | known
    return cleanup_signals.read(
        seen, given["uses"], given["gpu"], HOST, cleanup_signals.read_clock(HOST),
        jupyter_ports=[8888], deadline_s=0.2,
    )  # fmt: skip


def sample(engine: Engine, id_: str, **known: Any) -> Sample:
    return sample_all(listed(engine), **known)[id_]


def reading(engine: Engine, id_: str, signal: Signal) -> Reading:
    return sample(engine, id_).readings[signal]


def inside(engine: Engine, id_: str, *argv: str) -> None:
    """Do something in a container's network."""
    target = f"--target={engine.pid(id_)}"
    subprocess.run(["nsenter", target, "--net", *argv], check=True, capture_output=True)


@contextmanager
def terminal(engine: Engine, id_: str, *argv: str) -> Iterator[Any]:
    """Run a command in a container at a terminal; give the socket of the one who sits there."""
    made = engine.client.exec_create(id_, list(argv), tty=True, stdin=True)
    socket = engine.client.exec_start(made["Id"], tty=True, socket=True)
    deadline = time.monotonic() + 10
    while not engine.client.exec_inspect(made["Id"])["Pid"] and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    yield socket._sock
    # the SDK leaves all three open
    for opened in (socket._response, socket, socket._sock):
        with suppress(ValueError):
            opened.close()


def test_one_that_sleeps_has_every_signal_and_no_activity(engine: Engine) -> None:
    id_ = engine.run("train")
    one = sample(engine, id_)
    assert {name: each.state for name, each in one.readings.items()} == {
        "gpu": "known", "cpu": "known", "network": "known", "block-io": "known",
        "sessions": "known", "jupyter": "absent",
    }  # fmt: skip
    assert one.readings["sessions"].value == 0
    assert one.gpu_memory_bytes == 0
    time.sleep(1)
    two = sample(engine, id_)
    for signal in ("network", "block-io", "sessions"):
        assert two.readings[signal].value == one.readings[signal].value
    assert two.readings["cpu"].value - one.readings["cpu"].value < 20_000


def test_the_cpu_time_of_one_that_computes(engine: Engine) -> None:
    id_ = engine.run("busy", command=BURN)
    one = sample(engine, id_)
    time.sleep(1)
    two = sample(engine, id_)
    used = two.readings["cpu"].value - one.readings["cpu"].value
    elapsed = two.at.boottime_s - one.at.boottime_s
    # other tests may take their share of the processors
    assert 0.1 * elapsed * 1e6 < used < 1.2 * elapsed * 1e6


def test_a_neighbours_work_moves_nothing(engine: Engine) -> None:
    sleeper = engine.run("sleeper")
    engine.run("busy", command=BURN)
    one = sample(engine, sleeper)
    time.sleep(0.5)
    two = sample(engine, sleeper)
    assert two.readings["cpu"].value - one.readings["cpu"].value < 20_000


def test_bytes_of_its_own_network_only(engine: Engine) -> None:
    id_, other = engine.run("train"), engine.run("other")
    for argv in (
        ("ip", "link", "add", "left", "type", "veth", "peer", "name", "right"),
        ("ip", "addr", "add", "10.77.0.1/24", "dev", "left"),
        ("ip", "link", "set", "right", "up"),
        ("ip", "link", "set", "left", "up"),
        ("ip", "link", "set", "lo", "up"),
    ):
        inside(engine, id_, *argv)
    before = sample_all(listed(engine))
    send = (
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
        "s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1);"
        "[s.sendto(bytes(1000), ('{}', 9)) for _ in range(50)]"
    )
    # what it says to itself is no network
    inside(engine, id_, sys.executable, "-c", send.format("127.0.0.1"))
    silent = sample_all(listed(engine))
    inside(engine, id_, sys.executable, "-c", send.format("10.77.0.255"))
    after = sample_all(listed(engine))
    assert silent[id_].readings["network"].value - before[id_].readings["network"].value < 5_000
    assert after[id_].readings["network"].value - silent[id_].readings["network"].value >= 50_000
    assert after[other].readings["network"].value == before[other].readings["network"].value


def test_the_hosts_network_is_absent(engine: Engine) -> None:
    host_config = engine.client.create_host_config(network_mode="host")
    made = engine.client.create_container(IMAGE, ["sleep", "60"], host_config=host_config)
    engine.client.start(made["Id"])
    one = reading(engine, made["Id"], "network")
    assert (one.state, one.detail) == ("absent", "host network")


def test_a_command_run_in_it_is_activity_once(engine: Engine) -> None:
    id_ = engine.run("train")
    before = time.time()
    engine.exec_detached(id_, "sleep", "60")
    time.sleep(0.2)
    one = reading(engine, id_, "sessions")
    # ticks are a hundredth of a second
    assert before - 0.1 <= one.value <= time.time()
    assert one.detail.startswith("command run in it")
    time.sleep(1)
    assert reading(engine, id_, "sessions").value == pytest.approx(one.value, abs=0.05)


@pytest.mark.parametrize(
    "test",
    [
        ["CMD", "sleep", "0.2"],
        ["CMD-SHELL", "sleep 0.2"],
        ["CMD-SHELL", "sleep 0.2 || exit 1"],
        ["CMD-SHELL", "exec sleep 0.2"],
    ],
)
def test_a_health_check_is_no_session(each_engine: Engine, test: list[str]) -> None:
    """Whatever moment of it is met; what somebody runs besides is one all the same."""
    engine = each_engine
    health = {"Test": test, "Interval": 300_000_000, "Timeout": 10**10, "Retries": 1}
    id_ = engine.run("train", health=health)
    seen = [one for one in listed(engine) if one.id == id_]
    met, looks, end = 0, 0, time.monotonic() + 30
    while (met < 20 or looks < 200) and time.monotonic() < end:
        one = sample_all(tuple(seen))[id_].readings["sessions"]
        assert one.value == 0, one.detail
        met += not one.detail.startswith("1 ")
        looks += 1
    assert met >= 20
    engine.exec_detached(id_, "sleep", "60")
    time.sleep(0.3)
    assert reading(engine, id_, "sessions").value > 0


def test_what_a_container_starts_itself_is_no_session(engine: Engine) -> None:
    """Nor are orphans: whoever loses his parent gets the container's first process."""
    id_ = engine.run("train", command=("sh", "-c", "(sleep 70 &) & sleep 60 & wait; sleep 60"))
    time.sleep(0.3)
    one = reading(engine, id_, "sessions")
    assert one.value == 0
    assert one.detail.startswith(("3 ", "4 "))


def test_with_the_hosts_processes_too(engine: Engine) -> None:
    id_ = engine.run("train", pid_mode="host", command=("sh", "-c", "sleep 60 & wait"))
    assert reading(engine, id_, "sessions").value == 0


def test_a_terminal_that_is_silent_is_no_activity(engine: Engine) -> None:
    """Its last use counts, and an hour later it is an hour ago."""
    id_ = engine.run("train")
    with terminal(engine, id_, "sh") as socket:
        opened = reading(engine, id_, "sessions")
        assert time.time() - opened.value < 12
        time.sleep(1)
        assert reading(engine, id_, "sessions").value == pytest.approx(opened.value, abs=0.05)
        hour_ago = time.time() - 3600
        (pid,) = (
            pid
            for pid in map(int, engine_pids(engine, id_))
            if os.readlink(f"/proc/{pid}/fd/0").startswith("/dev/pts")  # noqa: PTH115 -- a magic link
        )
        os.utime(f"/proc/{pid}/fd/0", (hour_ago, hour_ago))
        assert "command run" in reading(engine, id_, "sessions").detail
        # the kernel notes the use of a terminal by steps of eight seconds
        socket.sendall(b"echo hello\n")
        time.sleep(0.5)
        used = reading(engine, id_, "sessions")
        assert used.detail.startswith("terminal pts/")
        assert time.time() - used.value < 12


def engine_pids(engine: Engine, id_: str) -> list[str]:
    return [row[1] for row in engine.client.top(id_)["Processes"]]


def test_a_terminal_of_its_first_process(engine: Engine) -> None:
    """``docker run -it``: used when it began, and whenever somebody types."""
    host_config = engine.client.create_host_config(network_mode="none")
    made = engine.client.create_container(
        IMAGE, ["sh"], tty=True, stdin_open=True, host_config=host_config
    )
    engine.client.start(made["Id"])
    time.sleep(0.3)
    one = reading(engine, made["Id"], "sessions")
    assert one.detail == "terminal pts/0"
    assert time.time() - one.value < 12


@pytest.mark.parametrize("redirected", ["/bin/sh", "/dev/zero", "/proc/self/mounts"])
def test_input_from_a_file_at_a_terminal(engine: Engine, redirected: str) -> None:
    """Only the terminal is asked for its times, whatever a process reads from."""
    id_ = engine.run("train")
    with terminal(engine, id_, "sh", "-c", f"sleep 60 < {redirected}"):
        one = reading(engine, id_, "sessions")
    assert one.state == "known"
    assert one.detail.startswith(("terminal pts/", "command run"))


def test_more_processes_than_are_looked_through(engine: Engine) -> None:
    many = "i=0; while [ $i -lt 1010 ]; do sleep 300 & i=$((i+1)); done; wait"
    id_ = engine.run("many", command=("sh", "-c", many))
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        one = reading(engine, id_, "sessions")
        if one.state == "failed":
            break
        time.sleep(0.5)
    assert one.detail == "more than 1000 processes"
    assert reading(engine, id_, "cpu").state == "known"


def test_its_processes_on_a_gpu(engine: Engine) -> None:
    """Matched by control groups, as the kernel tells them."""
    id_, other = engine.run("train"), engine.run("other")
    pid, neighbour = engine.pid(id_), engine.pid(other)
    uses = [GpuUse(pid, "GPU-0", "C", 5), GpuUse(neighbour, "GPU-0", "C", 7),
            GpuUse(os.getpid(), "GPU-0", "C", 9)]  # fmt: skip
    gpu = GpuActivity(
        by_pid={(pid, "GPU-0"): 3.0, (neighbour, "GPU-0"): 99.0, (os.getpid(), "GPU-0"): 50.0}
    )
    one = sample(engine, id_, uses=uses, gpu=gpu)
    assert (one.readings["gpu"].value, one.gpu_memory_bytes) == (3.0, 5)


def test_one_that_ended_since_the_list_has_no_sample(engine: Engine) -> None:
    ended, other = engine.run("ended"), engine.run("other")
    seen = listed(engine)
    engine.remove(ended)
    assert set(sample_all(seen)) == {other}


def test_one_that_was_restarted_since_the_list_has_no_sample(engine: Engine) -> None:
    """What its next run has used is none of this one's."""
    id_ = engine.run("train")
    seen = listed(engine)
    engine.client.restart(id_, timeout=0)
    assert sample_all(seen) == {}


def test_a_pid_that_was_used_again(engine: Engine) -> None:
    id_, other = engine.run("train"), engine.run("other")
    seen = [one._replace(pid=engine.pid(other)) for one in listed(engine) if one.id == id_]
    one = sample_all(tuple(seen))[id_]
    assert {each.state for each in one.readings.values()} == {"failed"}


def test_containers_that_come_and_go_meanwhile(engine: Engine) -> None:
    """Whatever is read half is no error, and none is anything but known or gone or failed."""
    stopping = threading.Event()

    def churn() -> None:
        while not stopping.is_set():
            id_ = engine.run(command=("sh", "-c", "sleep 0.05 & sleep 0.2"))
            with suppress(Exception):
                engine.remove(id_)

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        ends = time.monotonic() + 6
        looks = 0
        while time.monotonic() < ends:
            for one in sample_all(listed(engine)).values():
                assert one.readings["cpu"].state in {"known", "failed"}
                looks += 1
    finally:
        stopping.set()
        thread.join()
    assert looks


def test_addresses_are_those_of_the_list(engine: Engine) -> None:
    id_ = engine.run("train")
    reading = containers.read(
        [engine.host], deadline_s=20, paths=HOST, known={}, named_by_admin=True
    )
    assert reading.addresses == {id_: ()}
