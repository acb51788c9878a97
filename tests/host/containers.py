"""Containers of the guest, and the stand-in for the hook that grants them GPUs."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.host.machine import Machine

IMAGE = "ds01/busybox:1"
# no registry can be reached; a static busybox is all that a container needs
IMPORT_IMAGE = f"""
set -e
cd "$(mktemp -d)"
mkdir bin
cp /bin/busybox bin/
for name in sh sleep cat dd echo id ls mknod tail touch; do ln -s busybox "bin/$name"; done
tar -c bin | docker import - {IMAGE}
rm -r "$PWD"
"""
# fuse: a device that the kernel has, and that no container may open unless somebody grants it
_DEVICE = "c 10 229"
_NODE = "/fusex"


class Container:
    """A running container of the guest."""

    def __init__(self, machine: Machine, options: str = "", command: str = "sleep 100000") -> None:
        self._machine = machine
        started = machine.ok(f"docker run --detach --network=none {options} {IMAGE} {command}")
        self.id = started.strip()

    @cached_property
    def pid(self) -> int:
        """The guest's pid of the container's first process, since its start."""
        return int(self._machine.ok(f"docker inspect --format='{{{{.State.Pid}}}}' {self.id}"))

    @cached_property
    def cgroup(self) -> str:
        """The container's folder below /sys/fs/cgroup."""
        line = self._machine.ok(f"cat /proc/{self.pid}/cgroup").strip()
        return f"/sys/fs/cgroup{line.removeprefix('0::')}"

    @property
    def scope(self) -> str:
        """The systemd unit that holds the container."""
        return f"docker-{self.id}.scope"

    def grant(self) -> None:
        """Open a device behind systemd's back, as the NVIDIA hook does before toolkit 1.18.

        The program that refuses devices is taken off the container's cgroup. What was granted, and
        lost since, may be granted again.
        """
        self.make_node()
        self._machine.ok(
            f"bpftool cgroup show {self.cgroup} | awk '$2 ~ /device/ {{ print $1 }}' | "
            f"while read -r id; do bpftool cgroup detach {self.cgroup} device id $id; done"
        )
        assert self.has_access(), "the stand-in for the hook does not work here"

    def make_node(self) -> None:
        """Give the container the device's node, which it still may not open."""
        make = f"nsenter --target={self.pid} --mount mknod {_NODE} {_DEVICE}"
        self._machine.ok(f"docker exec {self.id} ls {_NODE} 2>/dev/null || {make}")

    def has_access(self) -> bool:
        """Tell whether a process that starts in the container now can open the device."""
        opened = f"docker exec {self.id} dd if={_NODE} of=/dev/null bs=1 count=0"
        return self._machine.run(opened).status == 0

    def remove(self) -> None:
        """Kill the container and delete it."""
        self._machine.run(f"docker rm --force --volumes {self.id}")
