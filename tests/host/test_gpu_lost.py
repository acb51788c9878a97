"""`detect` names the containers that have lost their GPU to somebody's daemon-reload."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.host import hardware
from tests.host.test_units import PLACE, POLICY, TROUBLE, events

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.host.containers import Container
    from tests.host.host import Host
    from tests.nvml.double import NvmlDouble

NODE = "/dev/nvidia0"
OPTIONS = "--runtime=nvidia -e NVIDIA_VISIBLE_DEVICES=all"
DAEMON = "/etc/docker/daemon.json"
# the unit allows the major number of the NVIDIA driver, which the guest does not have
DROP_IN = "/etc/systemd/system/ds01-detect.service.d/50-node.conf"


@pytest.fixture
def gpu_host(host: Host, ds01ctl: str, nvml: NvmlDouble) -> Iterator[Host]:
    """A host with a GPU, its node, and the NVIDIA runtime by name."""
    host.gpus(nvml.gpu(0))
    host.put('{"runtimes": {"nvidia": {"path": "runc"}}}', DAEMON)
    host.ok(f"mknod --mode=666 {NODE} c 195 0; systemctl reload docker; sleep 1")
    yield host
    host.clean()
    host.put('{"runtimes": {}}', DAEMON)
    host.ok(f"systemctl reload docker; sleep 1; rm {DAEMON} {NODE}")


def lost(host: Host, ds01ctl: str) -> dict[str, dict[str, Any]] | None:
    """Findings by the container's id; None: they could not be seen."""
    # services have it from systemd, root's shell has not
    env = f"FAKE_NVML_SCENARIO={hardware.SCENARIO}"
    ran = host.run(f"{env} {ds01ctl} detect unmanaged --json")
    assert ran.status in {0, 3}, ran.out + ran.err
    told = json.loads(ran.out)
    if told["data"]["counts"]["gpu-access-lost"] is None:
        return None
    found = [one for one in told["findings"] if one["kind"] == "gpu-access-lost"]
    return {one["subject"]["id"]: one for one in found}


@pytest.mark.parametrize("reload", ["daemon-reload", "daemon-reexec"])
def test_a_reload_takes_it_and_it_is_told(gpu_host: Host, ds01ctl: str, reload: str) -> None:
    host = gpu_host
    container = host.hook_granted_container(OPTIONS)
    plain = host.container()
    assert lost(host, ds01ctl) == {}
    host.ok(f"systemctl {reload}")
    assert not container.has_access()
    found = lost(host, ds01ctl)
    assert found is not None
    assert list(found) == [container.id]
    assert found[container.id]["severity"] == "warning"
    assert NODE in found[container.id]["evidence"][0]
    container.grant()
    assert lost(host, ds01ctl) == {}
    assert container.has_access(), "the look itself must cost nothing"
    # nobody is left in a container's control group
    for one in (container, plain):
        assert host.ok(f"cat {one.cgroup}/cgroup.procs").split() == [str(one.pid)]


def test_what_is_not_asked_is_not_told(gpu_host: Host, ds01ctl: str) -> None:
    """A paused container is not entered; one whose kernel ends all together is not either."""
    host = gpu_host
    paused, together = host.hook_granted_container(OPTIONS), host.hook_granted_container(OPTIONS)
    # a reload sets memory.oom.group back, too
    host.ok(f"docker pause {paused.id}; systemctl daemon-reload")
    host.ok(f"echo 1 > {together.cgroup}/memory.oom.group")
    assert lost(host, ds01ctl) is None
    host.ok(f"docker unpause {paused.id}")
    assert list(lost(host, ds01ctl) or ()) == [paused.id]


def test_the_hardened_unit_tells_it(gpu_host: Host, ds01ctl: str) -> None:
    """Its sandbox lets it go into a container's control group, and an event is written."""
    host = gpu_host
    container: Container = host.hook_granted_container(OPTIONS)
    try:
        host.put(POLICY, PLACE)
        host.put(f"[Service]\nDeviceAllow={NODE} rw\n", DROP_IN)
        host.ok(f"{ds01ctl} units install")
        host.ok("systemctl stop ds01-detect.timer; systemctl daemon-reload")
        for _ in range(3):
            host.ok("systemctl start ds01-detect.service")
        told = [e for e in events(host) if e["event_type"] == "detection.gpu_access_lost"]
        assert [event["details"]["id"] for event in told] == [container.id]
        runs = host.journal("ds01-detect.service", options="--output=cat")
        assert not [line for line in runs.splitlines() if TROUBLE.search(line)], runs
    finally:
        host.run(f"{ds01ctl} units uninstall --purge --force")
        host.run(f"rm -rf /etc/ds01 /var/lib/ds01 /var/log/ds01 /run/ds01 {DROP_IN}")
