"""Processes from the real /proc and from one that was written down."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from ds01ctl.errors import Ds01Error
from ds01ctl.observe import own_place, processes
from ds01ctl.observe.clock import boot_time, parse_time
from ds01ctl.observe.procfs import cgroup_path
from ds01ctl.paths import Paths
from tests.folders import let_others_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.engine import Engine

HOST = Paths()
BOOTED = datetime(2026, 11, 23, tzinfo=timezone.utc)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may do this")
ID = "ab" * 32
MINE = "/user.slice/user-1001.slice/user@1001.service"
OTHERS = f"/ds01.slice/ds01-student.slice/ds01-student-bob.slice/docker-{ID}.scope"


def stat_line(pid: int, *, comm: str = "python", state: str = "S", ticks: int = 100) -> str:
    numbers = " ".join(str(field) for field in range(5, 22))
    return f"{pid} ({comm}) {state} 1 {numbers} {ticks} 0 0\n"


def write_process(root: Path, pid: int, **files: Any) -> Path:
    """Write a process below a root; None leaves a file out."""
    folder = root / "proc" / str(pid)
    folder.mkdir(parents=True)
    contents = {
        "stat": stat_line(pid),
        "status": f"Name:\tpython\nUid:\t1001\t0\t0\t0\nNSpid:\t{pid}\n",
        "cgroup": "0::/user.slice/user-1001.slice/session-3.scope\n",
        "cmdline": "python\0train.py\0",
        "loginuid": "1001",
        "uid_map": "         0          0 4294967295\n",
    } | files
    for name, content in contents.items():
        if content is not None:
            (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    (folder / "exe").symlink_to("/usr/bin/python3.11")
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/stat").write_text(f"cpu 1 2 3\nbtime {int(BOOTED.timestamp())}\n")
    return tmp_path


def read_one(root: Path, pid: int = 42) -> Any:
    reading = processes.read([pid], paths=Paths(root))
    assert reading.gaps == ()
    return reading.processes[pid]


# --- one that was written down ----------------------------------------------------------------


def test_everything_of_a_process(root: Path) -> None:
    write_process(root, 42, stat=stat_line(42, ticks=250))
    process = read_one(root)
    ticks_per_s = os.sysconf("SC_CLK_TCK")
    assert process.started_at == BOOTED + timedelta(seconds=250 / ticks_per_s)
    assert (process.start_ticks, process.state, process.ppid) == (250, "S", 1)
    assert (process.comm, process.exe) == ("python", "/usr/bin/python3.11")
    assert process.cmdline == "python train.py"
    assert (process.uid, process.loginuid, process.uid_map) == (1001, 1001, ())
    assert process.cgroup == "/user.slice/user-1001.slice/session-3.scope"
    assert process.container_pid is None


@pytest.mark.parametrize("comm", ["a b", ") R 0 0 (", "((", "a\nb", "\n\nUid:\t0", ")", "é"])
def test_any_name_of_a_process(root: Path, comm: str) -> None:
    write_process(root, 42, stat=stat_line(42, comm=comm, state="D", ticks=7))
    process = read_one(root)
    assert (process.comm, process.state, process.ppid, process.start_ticks) == (comm, "D", 1, 7)


def test_what_is_no_text(root: Path) -> None:
    write_process(root, 42, cmdline=b"\xff\xfe\0x\0", stat=b"42 (\xff) S 1" + b" 9" * 19)
    process = read_one(root)
    process.cmdline.encode()
    process.comm.encode()


@pytest.mark.parametrize(
    ("file", "content", "attribute", "expected"),
    [
        ("loginuid", "4294967295", "loginuid", None),
        ("loginuid", "0", "loginuid", 0),
        ("loginuid", None, "loginuid", None),
        ("cmdline", "", "cmdline", ""),
        ("cmdline", "x" * 10000, "cmdline", "x" * 4096),
        ("uid_map", "0 100000 65536\n", "uid_map", ((0, 100000, 65536),)),
        ("uid_map", "0 1001 1\n1 100000 65536\n", "uid_map", ((0, 1001, 1), (1, 100000, 65536))),
        ("uid_map", None, "uid_map", ()),
        ("status", "Name:\tx\nUid:\t5\t6\t7\t8\nNSpid:\t42\t9\t1\n", "container_pid", 1),
        ("status", "Name:\tx\nUid:\t5\t6\t7\t8\n", "uid", 5),
        ("stat", stat_line(42, state="Z"), "state", "Z"),
    ],
)
def test_fields(root: Path, file: str, content: Any, attribute: str, expected: Any) -> None:
    write_process(root, 42, **{file: content})
    assert getattr(read_one(root), attribute) == expected


def test_gone_is_no_gap(root: Path) -> None:
    write_process(root, 42)
    reading = processes.read([42, 43, 43], paths=Paths(root))
    assert (set(reading.processes), reading.gone) == ({42}, frozenset({43}))
    assert (reading.unreadable, reading.gaps) == ({}, ())


def test_a_pid_that_was_used_again_meanwhile_is_gone(root: Path) -> None:
    """The reader waits in the middle, at a pipe, while another process takes the pid."""
    folder = write_process(root, 42, cmdline=None)
    os.mkfifo(folder / "cmdline")

    def replace() -> None:
        with (folder / "cmdline").open("wb"):
            (folder / "stat").write_text(stat_line(42, ticks=999))

    thread = threading.Thread(target=replace)
    thread.start()
    reading = processes.read([42], paths=Paths(root))
    thread.join()
    assert (reading.processes, reading.gone) == ({}, frozenset({42}))


def test_nothing_asked_reads_nothing(tmp_path: Path) -> None:
    assert processes.read([], paths=Paths(tmp_path)) == ({}, {}, frozenset(), ())


@pytest.mark.parametrize("pid", [0, -1, (1 << 22) + 1, (1 << 32) - 1])
def test_a_number_that_is_no_pid_is_never_asked_for(root: Path, pid: int) -> None:
    """Nor killed: the folder is there, so that reading it would show."""
    write_process(root, pid)
    assert processes.read([pid], paths=Paths(root)) == ({}, {}, frozenset(), ())


def test_without_proc_everything_is_unreadable(tmp_path: Path) -> None:
    reading = processes.read([1], paths=Paths(tmp_path))
    assert reading.gone == frozenset()
    assert set(reading.unreadable) == {1}
    assert [(gap.source, gap.kind) for gap in reading.gaps] == [("processes", "failed")]


# --- control groups ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0::/ds01.slice\n", "/ds01.slice"),
        ("0::/\n", "/"),
        ("", None),
        ("0::/a:b:c\n", "/a:b:c"),
        # v1 with systemd; with the systemd line at the root; Slurm beside slurmd's own service
        (f"9:name=systemd:/docker/{ID}\n4:memory:/docker/{ID}\n0::/\n", f"/docker/{ID}"),
        (f"9:name=systemd:/\n4:memory:/docker/{ID}\n0::/\n", f"/docker/{ID}"),
        ("9:name=systemd:/\n4:memory:/m\n3:cpu,cpuacct:/c\n0::/\n", "/m"),
        ("9:name=systemd:/\n3:cpu,cpuacct:/c\n2:blkio:/b\n0::/\n", "/c"),
        ("1:name=systemd:/\n0::/\n", "/"),
        (
            "5:devices:/slurm/uid_1001/job_77/step_0\n"
            "1:name=systemd:/system.slice/slurmd.service\n0::/system.slice/slurmd.service\n",
            "/slurm/uid_1001/job_77/step_0",
        ),
        # hybrid: v2 tells where v1 does not
        ("4:memory:/x\n1:name=systemd:/\n0::/user.slice/u\n", "/user.slice/u"),
        # whoever owns a group names those below it: no sign but the newline ends a line
        *(
            (
                f"0::{MINE}/x{sign}1:name=systemd:{OTHERS}\n",
                f"{MINE}/x{sign}1:name=systemd:{OTHERS}",
            )
            for sign in ("\r", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029")
        ),
    ],
)
def test_cgroup_path(text: str, expected: str | None) -> None:
    assert cgroup_path(text.encode()) == expected


# --- the real /proc ---------------------------------------------------------------------------


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


def test_a_real_process(sleeper: subprocess.Popen[bytes]) -> None:
    now = datetime.now(timezone.utc)
    reading = processes.read([sleeper.pid, 1], paths=HOST)
    process = reading.processes[sleeper.pid]
    assert (process.ppid, process.uid, process.comm) == (os.getpid(), os.getuid(), "sleep")
    assert process.cmdline == "sleep 60"
    assert process.exe
    assert process.cgroup
    assert abs(process.started_at - now) < timedelta(seconds=5)


def test_a_real_zombie_is_still_there() -> None:
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    reading = processes.read([process.pid], paths=HOST)
    assert reading.processes[process.pid].state == "Z"
    assert reading.processes[process.pid].exe is None
    process.wait()
    assert processes.read([process.pid], paths=HOST).gone == {process.pid}


def test_processes_that_exit_during_the_scan() -> None:
    """A fifth of them goes while we look: each is read in full, or gone."""
    running = [subprocess.Popen(["sleep", "30"]) for _ in range(40)]
    doomed = running[::5]

    def end() -> None:
        for process in doomed:
            process.kill()
            process.wait()

    thread = threading.Thread(target=end)
    thread.start()
    pids = {process.pid for process in running}
    seen: list[processes.ProcessesReading] = []
    while thread.is_alive() or not seen:
        seen.append(processes.read(pids, paths=HOST))
    thread.join()
    last = processes.read(pids, paths=HOST)
    for process in set(running) - set(doomed):
        process.kill()
        process.wait()
    for reading in [*seen, last]:
        assert set(reading.processes) | reading.gone == pids
        assert reading.gaps == ()
    assert last.gone == {process.pid for process in doomed}


HIDDEN = """
import os, sys
from pathlib import Path
from ds01ctl.observe import processes
from ds01ctl.paths import Paths
os.setgroups([]); os.setgid(65534); os.setuid(65534)
reading = processes.read([int(sys.argv[2]), 4194303], paths=Paths(Path(sys.argv[1])))
print(sorted(reading.unreadable), sorted(reading.gone), [gap.kind for gap in reading.gaps])
"""


@needs_root
@pytest.mark.parametrize("hidepid", ["1", "2"])
def test_hidden_is_not_gone(tmp_path: Path, sleeper: subprocess.Popen[bytes], hidepid: str) -> None:
    """With hidepid=2 another's process looks like one that ended."""
    let_others_in(tmp_path)
    (tmp_path / "proc").mkdir()
    mounted = ["mount", "-t", "proc", "-o", f"hidepid={hidepid}", "proc", f"{tmp_path}/proc"]
    subprocess.run(mounted, check=True)
    try:
        argv = [sys.executable, "-c", HIDDEN, str(tmp_path), str(sleeper.pid)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    finally:
        subprocess.run(["umount", f"{tmp_path}/proc"], check=True)
    assert done.stdout == f"[{sleeper.pid}] [4194303] ['denied']\n", done.stderr


UNREADABLE = """
import os, sys
from ds01ctl.observe import processes
from ds01ctl.paths import Paths
os.setgroups([]); os.setgid(65534); os.setuid(65534)
reading = processes.read([int(pid) for pid in sys.argv[1:]], paths=Paths())
print([process.exe for process in reading.processes.values()], *reading.gaps, sep="\\n")
"""


@needs_root
def test_without_root_the_executables_of_roots_processes_are_missed(
    sleeper: subprocess.Popen[bytes],
) -> None:
    """Whether a process of root's is a system process can then not be told; others' don't need."""
    other = subprocess.Popen(["sleep", "60"], user=1001)
    argv = [sys.executable, "-c", UNREADABLE, "1", str(sleeper.pid), str(other.pid)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    other.kill()
    other.wait()
    reason = "the executables of 2 processes of root (run as root)"
    gap = f"Gap(source='processes', kind='denied', reason='{reason}')"
    assert done.stdout.splitlines() == ["[None, None, None]", gap], done.stderr


@pytest.mark.engine
def test_a_real_process_in_a_container(engine: Engine) -> None:
    container = engine.run(user="1001", cgroup_parent="/ds01.slice")
    pid = engine.pid(container)
    process = processes.read([pid], paths=HOST).processes[pid]
    assert (process.uid, process.container_pid) == (1001, 1)
    assert process.cgroup
    assert process.cgroup.startswith("/ds01.slice/")
    assert container in process.cgroup


# --- where we are -----------------------------------------------------------------------------


def test_boot(root: Path) -> None:
    assert boot_time(Paths(root)) == BOOTED
    assert len(own_place.boot_id(HOST)) == 36


@pytest.mark.parametrize("made", [None, "proc", "proc/sys/kernel/random"])
def test_no_proc(tmp_path: Path, made: str | None) -> None:
    """A root that is no host: the message names it, and the hint says what it should be."""
    if made:
        (tmp_path / made).mkdir(parents=True)
    with pytest.raises(Ds01Error, match=f"there is no /proc below {tmp_path}$") as caught:
        own_place.boot_id(Paths(tmp_path))
    assert "DS01_ROOT" in (caught.value.hint or "")


def test_a_boot_id_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "proc/sys/kernel/random/boot_id").mkdir(parents=True)
    with pytest.raises(Ds01Error, match=r"boot_id: Is a directory"):
        own_place.boot_id(Paths(tmp_path))


@pytest.mark.parametrize("text", ["cpu 1\n", None])
def test_boot_time_unknown(tmp_path: Path, text: str | None) -> None:
    (tmp_path / "proc").mkdir()
    if text:
        (tmp_path / "proc/stat").write_text(text)
    with pytest.raises(Ds01Error, match="stat"):
        boot_time(Paths(tmp_path))


@pytest.mark.parametrize(
    ("cgroup", "problem"),
    [
        ("0::/user.slice/user-0.slice/session-1.scope", None),
        ("0::/system.slice/docker.service", None),
        (f"0::/system.slice/docker-{ID}.scope", "runs in a container"),
        ("0::/lxc.payload.ci/x", "runs in a container"),
        (None, None),
    ],
)
def test_own_cgroup(tmp_path: Path, cgroup: str | None, problem: str | None) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    # an image may well be copied with it: it proves nothing
    (tmp_path / ".dockerenv").touch()
    if cgroup:
        (tmp_path / "proc/self/cgroup").write_text(cgroup + "\n")
    told = own_place.own_namespace_problem(Paths(tmp_path))
    assert (told or "").startswith(problem or "")
    assert (told is None) == (problem is None)


@needs_root
@pytest.mark.parametrize(
    ("argv", "problem"),
    [
        (["unshare", "--pid", "--fork", "--mount-proc"], "another PID namespace"),
        (["unshare", "--cgroup"], "another cgroup namespace"),
    ],
)
def test_another_namespace(argv: list[str], problem: str) -> None:
    script = (
        "from ds01ctl.observe import own_place; from ds01ctl.paths import Paths\n"
        "print(own_place.own_namespace_problem(Paths()))"
    )
    done = subprocess.run(
        [*argv, sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert problem in done.stdout, done.stderr


# --- open device nodes ------------------------------------------------------------------------


def test_device_holders(root: Path) -> None:
    for pid, links in {
        7: ["/dev/nvidia0", "/dev/nvidiactl", "/dev/nvidia-uvm"],
        8: ["/dev/nvidia0 (deleted)", "/dev/nvidia1", "/dev/nvidia1"],
        9: ["/dev/null", "/dev/nvidia1x", "/home/a/dev/nvidia0", "socket:[1]"],
    }.items():
        folder = root / "proc" / str(pid) / "fd"
        folder.mkdir(parents=True)
        for number, link in enumerate(links):
            (folder / str(number)).symlink_to(link)
    (root / "proc/10").mkdir()
    assert own_place.device_holders(frozenset({0, 1, 2}), Paths(root)) == {0: (7, 8), 1: (8,)}
    assert own_place.device_holders(frozenset({1}), Paths(root)) == {1: (8,)}


def test_device_holders_walks_the_real_proc() -> None:
    assert own_place.device_holders(frozenset({255}), HOST) == {}


# --- times ------------------------------------------------------------------------------------

AT = datetime(2026, 11, 23, 14, 57, 5, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-23T14:57:05Z", AT),
        ("2026-11-23t14:57:05z", AT),
        ("2026-11-23 14:57:05", AT),
        ("2026-11-23T14:57:05.", AT),
        ("2026-11-23T14:57:05.4Z", AT.replace(microsecond=400_000)),
        ("2026-11-23T14:57:05.409579792Z", AT.replace(microsecond=409_579)),
        ("2026-11-23T14:57:05.000000001+00:00", AT),
        ("2026-11-23T15:57:05+01:00", AT),
        ("2026-11-23T09:27:05-0530", AT),
        ("0001-01-01T00:00:00Z", None),
        ("", None),
    ],
)
def test_parse_time(text: str, expected: datetime | None) -> None:
    assert parse_time(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "now",
        "2026-13-01T00:00:00Z",
        "9999-12-31T23:59:59-23:00",
        "2026-11-23",
        "٢٠٢٦-11-23T14:57:05Z",
    ],
)
def test_parse_time_refuses(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_time(text)
