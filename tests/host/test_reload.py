"""What takes the GPU away from a running container, on a real systemd: facts to build on.

The container's device was granted as the NVIDIA hook does it, behind systemd's back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.host.host import Host

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.host.containers import Container
    from tests.host.machine import Machine

FOLDER = "/etc/systemd/system"
TIMER = """\
[Unit]
Description=A timer of nobody
[Timer]
OnActiveSec=1h
[Install]
WantedBy=bystander.target
"""
SERVICE = """\
[Unit]
Description=A job of nobody
[Service]
Type=oneshot
ExecStart=/bin/true
"""


@pytest.fixture(scope="module")
def running(machine: Machine) -> Iterator[Container]:
    """One container for the whole table; each row grants it the device anew."""
    host = Host(machine)
    yield host.container()
    host.clean()


@pytest.fixture
def container(running: Container) -> Container:
    """A container with a device that was granted as the hook does it."""
    running.grant()
    return running


@pytest.fixture
def bystander(host: Host) -> Iterator[Host]:
    """A host with a timer and a service, not yet loaded, that no container has to do with."""
    host.put(TIMER, f"{FOLDER}/bystander.timer")
    host.put(SERVICE, f"{FOLDER}/bystander.service")
    yield host
    host.ok(
        "systemctl stop bystander.timer bystander.service && "
        "systemctl disable --quiet --no-reload bystander.timer && "
        f"rm {FOLDER}/bystander.timer {FOLDER}/bystander.service"
    )


@pytest.mark.parametrize(
    "command",
    [
        "systemctl daemon-reload",
        "systemctl daemon-reexec",
        "docker update --cpus=1 {id}",
        "systemctl set-property --runtime {scope} MemoryMax=200M",
        "systemctl set-property --runtime {scope} CPUQuota=50%",
    ],
)
def test_access_is_lost(host: Host, container: Container, command: str) -> None:
    host.ok(command.format(id=container.id, scope=container.scope))
    assert not container.has_access()


@pytest.mark.parametrize(
    "command",
    [
        "systemctl start bystander.timer && systemctl stop bystander.timer",
        "systemctl start bystander.service",
        "systemctl enable --no-reload bystander.timer && systemctl start bystander.timer",
        "systemctl set-property --runtime system.slice TasksMax=4000",
        "systemd-run --wait --quiet true",
    ],
)
def test_access_is_kept(bystander: Host, container: Container, command: str) -> None:
    bystander.ok(command)
    assert container.has_access()


def test_without_a_grant_there_is_no_access(host: Host) -> None:
    container = host.container()
    container.make_node()
    assert not container.has_access()
