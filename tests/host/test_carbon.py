"""Energy on a real systemd and cgroup v2: counted by the hardened job, and by whose work."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.host.test_units import PLACE, TROUBLE, reloads

if TYPE_CHECKING:
    from tests.host.host import Host
    from tests.nvml.double import NvmlDouble

POLICY = """\
default_group: student
jobs: {detect: {enabled: false}, enforce: {enabled: false}, quota: {enabled: false}}
docker: {timeout_s: 30}
"""
JOB = "ds01-carbon"
BOARD = Path("/etc/energy-of-gpu-0")
METRICS = "/var/lib/prometheus/node-exporter/ds01_carbon.prom"


def counters(host: Host, *, gpu_j: int, package_j: int) -> None:
    """Set what the counters of the GPU and of the processor stand at, in joules."""
    host.put(f"{gpu_j * 1000} 100000 400000\n", f"{BOARD}.new")
    host.ok(f"mv {BOARD}.new {BOARD}")
    package = {"name": "package-0", "energy_uj": package_j * 10**6}
    host.powercap({"intel-rapl:0": {**package, "max_energy_range_uj": 262143328850}})


def joules(metrics: str, component: str) -> dict[str, int]:
    """Give the joules of a component by user, measured and modelled together."""
    found: dict[str, int] = {}
    for line in metrics.splitlines():
        if line.startswith("ds01_energy_joules_total{") and f'component="{component}"' in line:
            [user] = re.findall(r'user="([^"]*)"', line)
            found[user] = found.get(user, 0) + int(line.rsplit(" ", 1)[1])
    return found


def test_the_job_counts_as_hardened(host: Host, ds01ctl: str, nvml: NvmlDouble) -> None:
    """The board goes to the one who holds it, and the processor's counter is root's alone."""
    host.put(POLICY, PLACE)
    host.ok("mkdir -p /var/lib/prometheus/node-exporter")
    host.user("alice")
    host.ok("install -d -o alice -g alice -m 700 /home/alice/work")
    container = host.hook_granted_container("--name=work --volume=/home/alice/work:/workspace")
    nvml.gpu(0, mem_used=4 << 30).energy(0, file=BOARD).process(gpu=0, pid=container.pid)
    try:
        counters(host, gpu_j=1000, package_j=50)
        host.gpus(nvml)
        host.ok(f"{ds01ctl} units install")
        # the runs are ours to time
        host.ok(f"systemctl stop {JOB}.timer; systemctl start {JOB}.service")
        no_reload = reloads(host)
        counters(host, gpu_j=1700, package_j=170)
        host.ok(f"sleep 5; systemctl start {JOB}.service")

        metrics = host.ok(f"cat {METRICS}")
        assert joules(metrics, "gpu") == {"alice": 700}
        whole = joules(metrics, "cpu")
        # a user's counter is of whole joules, so less than one each is still to come
        assert 120 - len(whole) < sum(whole.values()) <= 120, whole
        runs = host.journal(JOB, options="--output=cat")
        assert "Deactivated successfully" in runs
        assert not [line for line in runs.splitlines() if TROUBLE.search(line)], runs
        report = json.loads(host.ok(f"{ds01ctl} carbon report --by user --json"))["data"]
        # today, and this month
        for period in report["periods"]:
            [alice] = [row for row in period["rows"] if row["name"] == "alice"]
            assert alice["gpu_kwh"] == pytest.approx(700 / 3.6e6)
            everyone = sum(row["cpu_kwh"] for row in period["rows"])
            assert everyone == pytest.approx(120 / 3.6e6, rel=1e-9)
        assert container.has_access()
        assert reloads(host) == no_reload
    finally:
        host.run(f"{ds01ctl} units uninstall --purge --force")
        host.run(f"rm -rf /etc/ds01 /var/lib/ds01 /var/log/ds01 /run/ds01 {BOARD}")
