"""What is read of a running container, below a root of our own: all layouts, hostile content."""

from __future__ import annotations

import os
import pty
from pathlib import Path
from typing import Any

import pytest

from ds01ctl.core.cleanup_model import SIGNALS, Reading, Signal
from ds01ctl.core.model import ContainerConfig, Gpu, GpuUse, MigDevice
from ds01ctl.observe import cleanup_signals
from ds01ctl.observe.gpu_activity import GpuActivity
from ds01ctl.paths import Paths
from tests.observe.signal_world import (
    CLOCK,
    HOST_NET,
    ID,
    INIT,
    NET_DEV,
    NOW,
    SCOPE,
    TICKS,
    World,
    container,
)

OTHER = "cd" * 32


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def values(readings: Any) -> dict[Signal, tuple[str, float]]:
    return {name: (one.state, one.value) for name, one in readings.items()}


def state(world: World, signal: Signal, **known: Any) -> tuple[str, float]:
    reading = world.sample(**known).readings[signal]
    return reading.state, reading.value


KNOWN = {
    "gpu": ("absent", 0), "cpu": ("known", 5e6), "network": ("known", 1234),
    "block-io": ("known", 120), "sessions": ("known", 0), "jupyter": ("absent", 0),
}  # fmt: skip


def test_every_signal_has_a_reading(world: World) -> None:
    sample = world.add().sample()
    assert set(sample.readings) == set(SIGNALS)
    assert values(sample.readings) == KNOWN
    assert (sample.id, sample.started_at, sample.at) == (ID, NOW, CLOCK)
    assert sample.gpu_memory_bytes is None


def test_the_clock() -> None:
    one, two = cleanup_signals.read_clock(Paths()), cleanup_signals.read_clock(Paths())
    assert one.boot_id == two.boot_id
    assert one.now <= two.now
    assert 0 < one.boottime_s <= two.boottime_s


# --- control groups ---------------------------------------------------------------------------


V1 = f"""\
9:name=systemd:/docker/{ID}
7:blkio:/docker/{ID}
5:cpu,cpuacct:/docker/{ID}
0::/docker/{ID}
"""
BLKIO = (
    "8:0 Read 100\n8:0 Write 20\n8:0 Sync 5\n8:0 Async 5\n8:0 Discard 9\n8:0 Total 120\nTotal 120\n"
)


def v1(world: World, *, file: str = "blkio.throttle.io_service_bytes") -> World:
    world.add(cgroup=V1, group=f"/unified/docker/{ID}")
    (world.root / "sys/fs/cgroup/cgroup.controllers").unlink()
    world.write(f"sys/fs/cgroup/cpuacct/docker/{ID}/cpuacct.usage", "5000000999\n")
    world.write(f"sys/fs/cgroup/cpuacct/docker/{ID}/cgroup.procs", f"{INIT}\n")
    world.write(f"sys/fs/cgroup/blkio/docker/{ID}/{file}", BLKIO)
    # what v2 says on a hybrid host does not count
    world.write(f"sys/fs/cgroup/unified/docker/{ID}/cpu.stat", "usage_usec 1\n")
    return world


@pytest.mark.parametrize(
    "file", ["blkio.throttle.io_service_bytes", "blkio.throttle.io_service_bytes_recursive"]
)
def test_v1_and_hybrid_hosts(world: World, file: str) -> None:
    assert values(v1(world, file=file).sample().readings) == KNOWN


def test_what_is_done_in_groups_below_counts_on_v1(world: World) -> None:
    v1(world, file="blkio.throttle.io_service_bytes_recursive")
    world.write(f"sys/fs/cgroup/blkio/docker/{ID}/blkio.throttle.io_service_bytes", "Total 0\n")
    assert state(world, "block-io") == ("known", 120)


@pytest.mark.parametrize(
    "group",
    [
        SCOPE,
        f"/docker/{ID}",
        f"/system.slice:docker:{ID}",
        f"/machine.slice/libpod-{ID}.scope",
    ],
)
@pytest.mark.parametrize("below", ["", "/init.scope", "/container", f"/docker/{OTHER}"])
def test_its_own_group_is_meant_and_not_one_inside(world: World, group: str, below: str) -> None:
    world.add(group=group, cgroup=f"0::{group}{below}\n")
    assert values(world.sample().readings) == KNOWN


@pytest.mark.parametrize(
    "cgroup",
    [
        f"0::/docker/{OTHER}\n",
        f"0::/user.slice/x{ID}\n",
        f"0::/user.slice/{ID}x\n",
        f"0::/user.slice/{ID[1:]}\n",
        "0::/\n",
        "",
        "\n\n:\n::\n",
    ],
)
def test_a_pid_that_is_anothers_now_says_nothing(world: World, cgroup: str) -> None:
    """Neither active nor idle, whatever is read there."""
    world.add(cgroup=cgroup or "\n")
    sample = world.sample()
    assert {one.state for one in sample.readings.values()} == {"failed"}
    assert sample.readings["cpu"].detail == f"pid {INIT} is not in its control group"


@pytest.mark.parametrize(
    ("name", "text", "signal", "expected"),
    [
        ("io.stat", None, "block-io", ("absent", 0)),
        ("io.stat", "", "block-io", ("known", 0)),
        ("io.stat", "8:0 rbytes=1\n8:16 wbytes=2\n1:0 rbytes=4\n", "block-io", ("known", 7)),
        ("io.stat", "8:0 rbytes=x\n", "block-io", ("failed", 0)),
        ("io.stat", "8:0 rbytes=\xff\n".encode("latin-1"), "block-io", ("failed", 0)),
        ("cpu.stat", None, "cpu", ("failed", 0)),
        ("cpu.stat", "", "cpu", ("failed", 0)),
        ("cpu.stat", "nr_periods 3\nusage_usec 7\n", "cpu", ("known", 7)),
        ("cpu.stat", "usage_usec many\n", "cpu", ("failed", 0)),
        ("cpu.stat", "usage_usec 7\n" * 200_000, "cpu", ("failed", 0)),
        ("cgroup.procs", None, "sessions", ("failed", 0)),
        ("cgroup.procs", "x\n", "sessions", ("failed", 0)),
        ("cgroup.procs", "0\n-1\n99999999999\n", "sessions", ("known", 0)),
    ],
)  # fmt: skip
def test_files_of_a_group(
    world: World, name: str, text: str | bytes | None, signal: Signal, expected: tuple[str, float]
) -> None:
    file = world.add().write(f"sys/fs/cgroup{SCOPE}/{name}", text or "")
    if text is None:
        file.unlink()
    assert state(world, signal) == expected


def test_a_controller_that_cannot_be_read_is_failed(world: World) -> None:
    file = world.add().root / f"sys/fs/cgroup{SCOPE}/io.stat"
    file.unlink()
    file.mkdir()
    reading = world.sample().readings["block-io"]
    assert reading == Reading("failed", detail=f"{file}: is a directory")


# --- which containers -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "known",
    [
        {"state": "paused"}, {"state": "exited"}, {"state": "restarting"}, {"state": "created"},
        {"pid": None}, {"started_at": None}, {"pid": 4999},
    ],
    ids=str,
)  # fmt: skip
def test_who_does_not_run_or_has_ended_has_no_sample(world: World, known: Any) -> None:
    assert world.add().read(container()._replace(**known)) == {}


def test_one_that_cannot_be_read_hides_no_other(world: World) -> None:
    world.add([INIT])
    world.add([5000], group=f"/docker/{OTHER}", cgroup="0::/elsewhere\n")
    samples = world.read(container(OTHER, 5000), container(), container("ef" * 32, 6000))
    assert set(samples) == {ID, OTHER}
    assert values(samples[ID].readings) == KNOWN


# --- the network ------------------------------------------------------------------------------


def test_the_hosts_network_is_nobodys(world: World) -> None:
    reading = world.add(network=HOST_NET).sample().readings["network"]
    assert reading == Reading("absent", detail="host network")


@pytest.mark.parametrize(
    ("net_dev", "expected"),
    [
        (NET_DEV.partition("  eth0")[0], ("known", 0)),
        ("", ("known", 0)),
        ("x\ny\n  eth0: 1 2\n", ("failed", 0)),
        ("x\ny\n  eth0: a b c d e f g h i j k l m n o p\n", ("failed", 0)),
        (NET_DEV + "  d: 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n" * 40_000, ("failed", 0)),
    ],
    ids=["loopback alone", "empty", "short", "no numbers", "endless"],
)
def test_what_a_network_may_say(world: World, net_dev: str, expected: tuple[str, float]) -> None:
    assert state(world.add(net_dev=net_dev), "network") == expected


@pytest.mark.parametrize("name", ["proc/1/ns/net", f"proc/{INIT}/ns/net", f"proc/{INIT}/net/dev"])
def test_a_network_that_cannot_be_read_is_failed(world: World, name: str) -> None:
    (world.add().root / name).unlink()
    assert state(world, "network") == ("failed", 0)
    assert state(world, "cpu") == ("known", 5e6)


# --- sessions ---------------------------------------------------------------------------------


def test_a_command_that_was_run_in_it_is_activity_at_its_start(world: World) -> None:
    world.add([INIT, 4001, 4002, 4003])
    # docker exec: its parent is the engine's; what it started is inside
    world.process(4002, 300, ticks=9_000 * TICKS)
    world.process(4003, 4002, ticks=9_900 * TICKS)
    reading = world.sample().readings["sessions"]
    assert reading.value == NOW.timestamp() - 1_000
    assert reading.detail == "command run in it (pid 4002)"


@pytest.mark.parametrize("comm", ["a b", ") S 1 (", "((((", "))))", "\n", "python) R 300 "])
def test_a_process_may_call_itself_anything(world: World, comm: str) -> None:
    world.add([INIT, 4001])
    world.process(4001, INIT, comm=comm, ticks=9_000 * TICKS)
    assert state(world, "sessions") == ("known", 0)


def test_processes_in_groups_below_are_inside(world: World) -> None:
    """Else each child of systemd's in a container would look like one put in from outside."""
    world.add([INIT])
    world.write(f"sys/fs/cgroup{SCOPE}/a.slice/b.service/cgroup.procs", "4001\n4002\n")
    world.write(f"sys/fs/cgroup{SCOPE}/gone/x", "")
    world.process(4001, INIT)
    world.process(4002, 4001)
    assert state(world, "sessions") == ("known", 0)


def test_a_process_that_ended_meanwhile_is_passed_over(world: World) -> None:
    world.add([INIT, 4001])
    (world.root / "proc/4001/stat").unlink()
    assert state(world, "sessions") == ("known", 0)


def test_thousands_of_processes_are_not_looked_through(world: World) -> None:
    world.add()
    world.write(f"sys/fs/cgroup{SCOPE}/cgroup.procs", "".join(f"{n}\n" for n in range(2, 1100)))
    reading = world.sample().readings["sessions"]
    assert reading == Reading("failed", detail="more than 1000 processes")


def test_thousands_of_groups_are_not_looked_through(world: World) -> None:
    world.add()
    for number in range(300):
        world.write(f"sys/fs/cgroup{SCOPE}/g{number}/cgroup.procs", "")
    reading = world.sample().readings["sessions"]
    assert reading == Reading("failed", detail="more than 256 control groups")


def test_a_command_of_the_future_counts_as_now(world: World) -> None:
    """A clock that is read before the process is."""
    world.add([INIT, 4001])
    world.process(4001, 300, ticks=99_999 * TICKS)
    assert state(world, "sessions") == ("known", NOW.timestamp())


# --- terminals: real ones, which the kernel vouches for ----------------------------------------


def _mount_id(fd: int) -> int:
    told = Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines()
    return next(int(line.split()[1]) for line in told if line.startswith("mnt_id"))


def _at_terminal(world: World, input_: int, *, fs: str = "devpts", tty: int = 136 << 8) -> None:
    """Let a process have a terminal, and some open file as its input."""
    world.add([INIT, 4001])
    world.process(4001, INIT, tty=tty)
    world.write("proc/4001/fdinfo/0", f"pos:\t0\nflags:\t02\nmnt_id:\t{_mount_id(input_)}\n")
    mount = f"{_mount_id(input_)} 1 0:1 / /dev/x rw - {fs} - devpts rw\n"
    world.write("proc/4001/mountinfo", f"1 1 0:1 / / rw - devpts a rw\n{mount}")
    world.link("proc/4001/fd/0", f"/proc/self/fd/{input_}")


@pytest.fixture
def terminal() -> Any:
    master, slave = pty.openpty()
    yield slave
    os.close(master)
    os.close(slave)


@pytest.mark.parametrize(
    ("access", "change", "expected"),
    [(100, 50, 100), (50, 100, 100), (2**33, 0, NOW.timestamp()), (0, 0, 0)],
)
def test_a_terminal_was_last_used(
    world: World, terminal: int, access: int, change: int, expected: float
) -> None:
    """Read from or written to; a time to come is somebody's doing, or a clock set back."""
    os.utime(terminal, (access, change))
    _at_terminal(world, terminal)
    assert state(world, "sessions") == ("known", expected)


def test_input_that_is_no_terminal_is_none(world: World, tmp_path: Path) -> None:
    """A user chooses what his processes read from; its times are his to set."""
    (tmp_path / "file").touch()
    with (tmp_path / "file").open() as file:
        _at_terminal(world, file.fileno())
        assert state(world, "sessions") == ("known", 0)


@pytest.mark.parametrize(
    "spoil",
    [
        {"fs": "fuse.devpts"}, {"fs": "ext4"}, {"tty": 0}, {"tty": 4 << 8}, {"tty": 5 << 8},
    ],
    ids=str,
)  # fmt: skip
def test_only_what_the_kernel_calls_a_terminal_is_asked(
    world: World, terminal: int, spoil: Any
) -> None:
    _at_terminal(world, terminal, **spoil)
    assert state(world, "sessions") == ("known", 0)


def test_what_took_a_terminals_place_meanwhile_is_not_asked(world: World, terminal: int) -> None:
    _at_terminal(world, terminal)
    with Path("/dev/null").open() as other:
        world.link("proc/4001/fd/0", f"/proc/self/fd/{other.fileno()}")
        assert state(world, "sessions") == ("known", 0)


def test_mounts_without_end_are_not_looked_through(world: World, terminal: int) -> None:
    _at_terminal(world, terminal)
    world.write("proc/4001/mountinfo", "7 1 0:1 / /x rw - tmpfs x rw\n" * 60_000)
    assert state(world, "sessions") == ("failed", 0)


# --- GPUs -------------------------------------------------------------------------------------

GPU = Gpu(0, "GPU-0")
SPLIT = Gpu(1, "GPU-1", mig_mode=True, mig_devices=(MigDevice("MIG-1", 1, 0, "1g.5gb", 1),))
GIB = 1 << 30


def use(pid: int, uuid: str = "GPU-0", memory: int | None = GIB, **known: Any) -> GpuUse:
    return GpuUse(pid, uuid, "C", memory)._replace(**known)


def activity(percents: dict[tuple[int, str], float | None], **known: Any) -> GpuActivity:
    return GpuActivity(by_pid=percents, gpus=(GPU, SPLIT))._replace(**known)


def place(world: World, pids: dict[int, str]) -> None:
    for pid, group in pids.items():
        world.write(f"proc/{pid}/cgroup", f"0::{group}\n")


@pytest.mark.parametrize(
    ("uses", "known", "expected", "memory"),
    [
        ([], activity({}), Reading("known", 0.0, "no process on a GPU"), 0),
        ([use(7)], activity({(7, "GPU-0"): 40.0}), Reading("known", 40.0, "pid 7 on GPU-0"), GIB),
        ([use(7), use(8)], activity({(7, "GPU-0"): 4.0, (8, "GPU-0"): 5.0}),
         Reading("known", 5.0, "pid 8 on GPU-0"), 2 * GIB),
        # a neighbour's work, a process of the host's, and one that ended
        ([use(66), use(77), use(99)], activity({(66, "GPU-0"): 9.0, (77, "GPU-0"): 9.0}),
         Reading("known", 0.0, "no process on a GPU"), 0),
        # holds memory and does nothing
        ([use(7)], activity({(7, "GPU-0"): 0.0}), Reading("known", 0.0, "pid 7 on GPU-0"), GIB),
        ([use(7, memory=None)], activity({(7, "GPU-0"): 0.0}),
         Reading("known", 0.0, "pid 7 on GPU-0"), None),
        ([use(7), use(8)], activity({(7, "GPU-0"): 90.0, (8, "GPU-0"): None}),
         Reading("failed", detail="pid 8 on GPU-0: not known"), 2 * GIB),
        ([use(7)], activity({(7, "GPU-0"): None}, failed={"GPU-0": "f: NOT_SUPPORTED"}),
         Reading("failed", detail="pid 7 on GPU-0: f: NOT_SUPPORTED"), GIB),
        ([use(7, "GPU-1", mig_uuid="MIG-1")], activity({(7, "GPU-1"): None}),
         Reading("failed", detail="pid 7 on GPU-1: the driver does not tell it for MIG instances"),
         GIB),
        ([use(7, type="M")], activity({(7, "GPU-0"): None}),
         Reading("failed", detail="pid 7 on GPU-0: what it does through MPS is not told"), GIB),
        # listed after the activity was read
        ([use(7)], activity({}), Reading("failed", detail="pid 7 on GPU-0: not known"), GIB),
        ([], GpuActivity(problem="nvmlInit: UNKNOWN"),
         Reading("failed", detail="nvmlInit: UNKNOWN"), None),
        ([], GpuActivity(problem="no driver", is_absent=True),
         Reading("absent", detail="no driver"), None),
    ],
)  # fmt: skip
def test_the_use_of_gpus(
    world: World,
    uses: list[GpuUse],
    known: GpuActivity,
    expected: Reading,
    memory: int | None,
) -> None:
    world.add()
    place(world, {7: SCOPE, 8: f"{SCOPE}/inner", 66: f"/docker/{OTHER}", 77: "/user.slice/x"})
    sample = world.sample(uses=uses, gpu=known)
    assert (sample.readings["gpu"], sample.gpu_memory_bytes) == (expected, memory)


def test_a_group_named_like_anothers_container_is_not_in_its_place(world: World) -> None:
    """A user could keep another's container busy else, or his own."""
    world.add()
    place(world, {7: f"/user.slice/user-1001.slice/docker-{ID}.scope"})
    reading = world.sample(uses=[use(7)], gpu=activity({(7, "GPU-0"): 99.0})).readings["gpu"]
    assert (reading.state, reading.value) == ("known", 0)


def test_a_process_on_a_gpu_that_may_be_anybodys(world: World) -> None:
    world.add()
    (world.root / "proc/7/cgroup").mkdir(parents=True)
    reading = world.sample(uses=[use(7)], gpu=activity({(7, "GPU-0"): 0.0})).readings["gpu"]
    assert reading.state == "failed"
    assert "pid 7: is a directory" in reading.detail


def config(**known: Any) -> ContainerConfig:
    return ContainerConfig("nvidia", privileged=False)._replace(**known)


@pytest.mark.parametrize(
    ("known", "blind", "expected"),
    [
        (config(visible_devices="0"), {"GPU-0"}, "failed"),
        (config(visible_devices="GPU-0"), {"GPU-0"}, "failed"),
        (config(visible_devices="0"), {"GPU-1"}, "known"),
        (config(visible_devices="MIG-1"), {"GPU-1"}, "failed"),
        (config(visible_devices="MIG-1"), {"GPU-0"}, "known"),
        (config(visible_devices="all"), {"GPU-0"}, "failed"),
        (config(privileged=True), {"GPU-1"}, "failed"),
        # it has no GPU
        (config(), {"GPU-0"}, "known"),
        # not known which
        (config(visible_devices="GPU-lost"), {"GPU-0"}, "failed"),
        (None, {"GPU-0"}, "failed"),
    ],
)
def test_a_gpu_whose_processes_are_not_known(
    world: World, known: ContainerConfig | None, blind: set[str], expected: str
) -> None:
    """Whoever may use it may be using it; whoever may not is judged as ever."""
    world.add()
    gpu = activity({}, blind=frozenset(blind))
    (sample,) = world.read(container()._replace(config=known), gpu=gpu).values()
    assert sample.readings["gpu"].state == expected
