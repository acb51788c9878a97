"""Cleanup on a real systemd and cgroup v2: idle containers go their way, and nobody else's does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.host import hardware
from tests.host.test_units import PLACE, TROUBLE, events, reloads, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.host.containers import Container
    from tests.host.host import Host
    from tests.nvml.double import NvmlDouble

# seconds instead of hours: idle for 11 s, held for 4 s
POLICY = """\
default_group: student
defaults: {idle_timeout_h: 0.003, container_hold_after_stop_h: 0.001}
policies: {grace_period_m: 0, idle_detection_window: 2, sigterm_grace_s: 1}
cleanup:
  mode: enforce
  breaker: {after_boot_m: 0, after_upgrade_m: 0}
docker: {timeout_s: 30}
jobs:
  detect: {enabled: false}
  enforce: {enabled: false}
  quota: {enabled: false}
  carbon: {enabled: false}
"""
CONTAINERS, IMAGES, REPORT = (f"ds01-cleanup-{name}" for name in ("containers", "images", "report"))
SCREEN = "/var/tmp/screen"


@pytest.fixture
def site(host: Host, ds01ctl: str) -> Iterator[Site]:
    """The host with the jobs, and with alice, who sits at a terminal."""
    host.put(POLICY, PLACE)
    host.ok("mkdir -p /var/lib/prometheus/node-exporter")
    host.user("alice")
    host.ok(f"{ds01ctl} units install")
    yield Site(host, ds01ctl)
    host.run(f"{ds01ctl} units uninstall --purge --force")
    host.run(f"rm -rf /etc/ds01 /var/lib/ds01 /var/log/ds01 /run/ds01 {SCREEN}")


class Site:
    """The host, the program on it, and alice's containers."""

    def __init__(self, host: Host, ds01ctl: str) -> None:
        self.host, self.program = host, ds01ctl

    def json(self, arguments: str) -> dict[str, Any]:
        """Run a command of cleanup with --json, and give its data."""
        # services have it from systemd, root's shell has not
        env = f"FAKE_NVML_SCENARIO={hardware.SCENARIO}"
        told = self.host.ok(f"{env} {self.program} cleanup {arguments} --json")
        return dict(json.loads(told)["data"])

    def options(self, name: str) -> str:
        """Say how a container of alice's is made, with a folder of hers as its workspace."""
        self.host.ok(f"install -d -o alice -g alice -m 700 /home/alice/{name}")
        return f"--name={name} --volume=/home/alice/{name}:/workspace"

    def run_job(self, unit: str) -> None:
        """Have systemd run a job, as hardened, to its good end."""
        self.host.ok(f"systemctl start {unit}.service")
        result = self.host.ok(f"systemctl show -p Result,ExecMainStatus {unit}.service")
        assert "Result=success\nExecMainStatus=0" in result

    def run_until(self, told: str, condition: Callable[[], bool], *, at_most: int) -> None:
        """Run the job for containers, as its timer does, until a condition holds."""
        for _ in range(at_most):
            self.run_job(CONTAINERS)
            if condition():
                return
        journal = self.host.journal(CONTAINERS, options="--output=cat")
        pytest.fail(f"not in {at_most} runs: {told}\n{journal}")

    def state(self, container: Container) -> str:
        """Say the state of a container, or that it is gone."""
        ran = self.host.run(f"docker inspect --format='{{{{.State.Status}}}}' {container.id}")
        return ran.out.strip() if ran.status == 0 else "gone"

    def undo(self, container: Container) -> None:
        """Have a container back; an engine too slow to say so has started it all the same."""
        env = f"FAKE_NVML_SCENARIO={hardware.SCENARIO}"
        undo = f"{env} {self.program} cleanup undo {container.id}"
        ran = self.host.run(undo)
        assert ran.status == 0 or "no answer in time" in ran.out, ran.out + ran.err
        wait_for("the start", lambda: self.state(container) == "running", at_most_s=60)

    def signals(self, container: Container) -> dict[str, str]:
        """Give what the newest sample says by those signals that are known."""
        told = self.json(f"why {container.id}")["intervals"][-1]["evidence"]
        return {line.split()[0]: line for line in told if " < " in line or " >= " in line}

    def see_what_alice_was_told(self, name: str) -> None:
        """See that all came: in a file of hers beside her work, in ours, on her terminal."""
        note = f"/home/alice/{name}/.ds01-alerts"
        told = self.host.ok(f"cat {note}")
        assert told.count("will be stopped") == 2, told
        assert told.count("was stopped") == 1, told
        assert self.host.ok(f"stat -c '%U %G %a' {note}") == "alice alice 644\n"
        notices = "/var/lib/ds01/notices/$(id --user alice)"
        assert f'"{name}" was stopped' in self.host.ok(f"runuser -u alice -- cat {notices}")
        assert self.host.ok(f"cat {SCREEN}").count(f'"{name}" will be stopped') == 2

    def sit_down(self) -> None:
        """Log alice in, on a terminal of hers."""
        told = f"script --quiet --flush --command 'sleep infinity' {SCREEN}"
        self.host.session("alice", told, kind="user")
        self.host.ok("until ps -u alice -o tty= | grep -q pts/; do sleep 0.1; done")


def quiet(host: Host, unit: str) -> None:
    """See that a hardened job was denied nothing."""
    runs = host.journal(unit, options="--output=cat")
    assert "Deactivated successfully" in runs
    assert not [line for line in runs.splitlines() if TROUBLE.search(line)], runs


def test_the_way_of_an_idle_container(site: Site, nvml: NvmlDouble) -> None:
    """By the hardened jobs: sampled, warned twice, stopped, held, had back or removed.

    Whoever is busy or kept stays as he is, and so does the GPU that the hook has given.
    """
    host = site.host
    busy = host.hook_granted_container(site.options("busy"))
    back, idle, kept = (host.container(site.options(name)) for name in ("back", "idle", "kept"))
    host.ok("runuser -u alice -- touch /home/alice/kept/.keep-alive")
    for one in (busy, back, idle, kept):
        nvml.process(gpu=0, pid=one.pid, mem=1 << 30)
    host.gpus(nvml.gpu(0, mem_used=4 << 30).sample(gpu=0, pid=busy.pid, at=-1_000_000, sm=90))
    site.sit_down()
    no_reload = reloads(host)

    site.run_until("a stop", lambda: site.state(idle) == "exited", at_most=12)
    assert [site.state(one) for one in (busy, back, kept)] == ["running", "exited", "running"]
    site.see_what_alice_was_told("idle")

    assert {one["name"] for one in site.json("undo")["held"]} == {"back", "idle"}
    site.undo(back)
    site.run_until("a removal", lambda: site.state(idle) == "gone", at_most=4)
    # the one that is back has all its time and its warnings anew
    assert [site.state(one) for one in (busy, back, kept)] == ["running"] * 3
    known = {one["event_type"] for one in events(host)}
    assert {"maintenance.alert_idle", "maintenance.idle_kill", "maintenance.cleanup"} <= known
    assert set(site.signals(kept)) >= {"gpu", "cpu", "network", "block-io"}

    for unit in (IMAGES, REPORT):
        site.run_job(unit)
    for unit in (CONTAINERS, IMAGES, REPORT):
        quiet(host, unit)
    assert busy.has_access()
    assert reloads(host) == no_reload
