"""A host below a root of our own, with containers whose signals a test writes."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from ds01ctl.core.cleanup_model import Clock, Sample
from ds01ctl.core.model import Container
from ds01ctl.observe import cleanup_signals
from ds01ctl.observe.gpu_activity import GpuActivity
from ds01ctl.paths import Paths

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from ds01ctl.core.model import GpuUse

NOW = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)
CLOCK = Clock(NOW, "boot", 10_000.0)
TICKS = os.sysconf("SC_CLK_TCK")
ID = "ab" * 32
INIT = 4000
SCOPE = f"/ds01.slice/ds01-student.slice/docker-{ID}.scope"
NO_DRIVER = GpuActivity(problem="no NVIDIA driver", is_absent=True)
HOST_NET = "net:[4026531840]"
NET_DEV = """\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo
    lo: 99999      10    0    0    0     0          0         0   99999      10    0 0 0 0 0 0
  eth0:    1000      10    0    0    0     0          0         0     200       3    0 0 0 0 0 0
  tun0:30 1 0 0 0 0 0 0 4 1 0 0 0 0 0 0
"""


def container(id_: str = ID, pid: int = INIT, **known: Any) -> Container:
    one = Container(
        "unix:///run/docker.sock", id_, "train", "image", "running", NOW, {},
        started_at=NOW, pid=pid,
    )  # fmt: skip
    return one._replace(**known)


def stat_line(pid: int, ppid: int, *, comm: str = "python", tty: int = 0, ticks: int = 0) -> str:
    return f"{pid} ({comm}) S {ppid} {pid} {pid} {tty} -1 " + "0 " * 13 + f"{ticks} 0 0\n"


class World:
    """One host; by default with control groups v2 and no container."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.paths = Paths(root)
        self.write("proc/1/stat", stat_line(1, 0))
        self.link("proc/1/ns/net", HOST_NET)
        self.write("sys/fs/cgroup/cgroup.controllers", "cpu io memory pids\n")

    def write(self, name: str, text: str | bytes) -> Path:
        file = self.root / name.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return file

    def link(self, name: str, target: str) -> None:
        file = self.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        file.symlink_to(target)

    def process(self, pid: int, ppid: int, **known: Any) -> None:
        """Write what /proc tells of a process."""
        self.write(f"proc/{pid}/stat", stat_line(pid, ppid, **known))

    def add(
        self,
        pids: Iterable[int] = (INIT,),
        *,
        group: str = SCOPE,
        cgroup: str | None = None,
        network: str = "net:[4026532001]",
        net_dev: str = NET_DEV,
        usec: int = 5_000_000,
        io: str | None = "8:0 rbytes=100 wbytes=20 rios=1 wios=2 dbytes=7 dios=9\n",
    ) -> World:
        """Add a container whose first pid is its first process; all are its children."""
        pids = list(pids)
        init = pids[0]
        self.write(f"proc/{init}/cgroup", cgroup or f"0::{group}\n")
        self.write(f"proc/{init}/net/dev", net_dev)
        self.link(f"proc/{init}/ns/net", network)
        self.process(init, 1)
        for pid in pids[1:]:
            self.process(pid, init)
        folder = f"sys/fs/cgroup{group}"
        self.write(f"{folder}/cpu.stat", f"usage_usec {usec}\nuser_usec 1\nsystem_usec 2\n")
        self.write(f"{folder}/cgroup.procs", "".join(f"{pid}\n" for pid in pids))
        if io is not None:
            self.write(f"{folder}/io.stat", io)
        return self

    def read(
        self,
        *containers: Container,
        uses: Iterable[GpuUse] = (),
        gpu: GpuActivity = NO_DRIVER,
        clock: Clock = CLOCK,
    ) -> dict[str, Sample]:
        return cleanup_signals.read(
            containers or (container(),), list(uses), gpu, self.paths, clock,
            jupyter_ports=[8888], deadline_s=0.1,
        )  # fmt: skip

    def sample(self, **known: Any) -> Sample:
        (sample,) = self.read(**known).values()
        return sample
