"""Limits on a real systemd and kernel: they bite, they hold, and no container loses its GPU."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.host.host import Host
from tests.host.test_units import PLACE, QUIET, reloads, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.host.containers import Container
    from tests.host.machine import Machine

MIB = 1 << 20
POLICY = """\
default_group: student
enforcement: {mode: enforce}
defaults: {max_cpus: 1, memory: 256m, memory_swap: 256m, pids_limit: 64}
groups:
  student:
    aggregate:
      cpu_quota: "40%"
      memory_max: 256M
      memory_high: 240M
      memory_swap_max: 0
      tasks_max: 60
      io_write_bandwidth_max: "/ 4M"
  researcher:
    aggregate: {cpu_quota: "60%", memory_max: 300M}
"""
POLICY += f"jobs: {{{QUIET}}}\n"
BURN = "sh -c 'while :; do :; done'"


@pytest.fixture
def site(host: Host, ds01ctl: str) -> Iterator[Site]:
    """The host with a policy, alice the student, and no limits yet."""
    host.put(POLICY, PLACE)
    host.put("alice\n", "/etc/ds01/groups/student.members")
    host.put("", "/etc/ds01/groups/researcher.members")
    host.ok("mkdir -p /var/lib/prometheus/node-exporter")
    site = Site(host, ds01ctl)
    yield site
    if host.run("ls /etc/systemd/system/ds01-*.timer").status == 0:
        host.run(f"{ds01ctl} units uninstall --purge --force")
    host.run(f"{ds01ctl} enforce revert --yes")
    # slices stay in memory, with the definition that they had
    host.run("docker ps -q | xargs -r docker rm -f; systemctl stop ds01.slice")
    host.run("rm -rf /etc/ds01 /var/lib/ds01 /var/log/ds01 /run/ds01 /var/cache/ds01")


class Site:
    """The host, and the program on it."""

    def __init__(self, host: Host, ds01ctl: str) -> None:
        self.host = host
        self.program = ds01ctl
        self.uid = host.user("alice")
        self.logins = f"user-{self.uid}.slice"
        self.slice = "ds01-student-alice.slice"

    def json(self, arguments: str, *, status: int = 0) -> dict[str, Any]:
        """Run ds01ctl with --json."""
        ran = self.host.run(f"{self.program} {arguments} --json")
        assert ran.status == status, ran.out + ran.err
        return dict(json.loads(ran.out))

    def apply(self, *, status: int = 0) -> dict[str, Any]:
        """Apply the policy."""
        return self.json("enforce apply --yes", status=status)

    def kernel(self, unit: str, file: str) -> str:
        """Read a file of a slice's control group."""
        place = self.host.ok(f"systemctl show --property=ControlGroup --value {unit}").strip()
        return self.host.ok(f"cat /sys/fs/cgroup{place}/{file}").strip()

    def group(self, name: str) -> None:
        """Move alice to a group."""
        for group in ("student", "researcher"):
            text = "alice\n" if group == name else ""
            self.host.put(text, f"/etc/ds01/groups/{group}.members")

    def cpu_percent(self, cgroup: str, seconds: float = 6) -> float:
        """Measure what of a CPU a control group takes."""
        read = f"sed -n 's/usage_usec //p' /sys/fs/cgroup{cgroup}/cpu.stat; cat /proc/uptime"
        first = self.host.ok(read).split()
        time.sleep(seconds)
        last = self.host.ok(read).split()
        elapsed = float(last[1]) - float(first[1])
        return (int(last[0]) - int(first[0])) / 1e4 / elapsed

    def raw_container(self, command: str = "sleep 100000", options: str = "") -> Container:
        """Start a container of alice's past the platform."""
        return self.host.container(f"--volume=/home/alice:/work {options}", command)


def below(container: Container) -> str:
    """Give a container's control group as /proc has it."""
    return container.cgroup.removeprefix("/sys/fs/cgroup")


# --- they bite --------------------------------------------------------------------------------


def test_cpu(site: Site) -> None:
    """A burner in a log-in and one in a raw container, both running already, within 5 %."""
    site.host.session("alice", "sh -c 'while :; do :; done'")
    container = site.raw_container(BURN)
    before = site.cpu_percent(f"/user.slice/{site.logins}", 3)
    assert before > 45
    site.apply()
    # a busy machine may give less, and never more than 5 % above the quota
    assert 25 <= site.cpu_percent(f"/user.slice/{site.logins}") <= 42
    assert 25 <= site.cpu_percent(below(container)) <= 42
    site.apply()
    metrics = site.host.ok("cat /var/lib/prometheus/node-exporter/ds01_enforce.prom")
    line = next(
        x for x in metrics.splitlines() if x.startswith("ds01_enforce_throttled") and "logins" in x
    )
    assert float(line.rpartition(" ")[2]) > 0.5


def test_memory(site: Site) -> None:
    """A hog dies within its slice, nobody else's work does, and it is told who was killed."""
    host = site.host
    host.session("alice")
    host.user("bob")
    other = host.session("bob")
    site.apply()
    assert site.kernel(site.logins, "memory.max") == str(256 * MIB)
    assert site.kernel(site.logins, "memory.swap.max") == "0"
    hog = "python3 -c 'x = bytearray(600 << 20); import time; time.sleep(60)'"
    place = f"/sys/fs/cgroup/user.slice/{site.logins}/memory.events"
    # it is slowed down at memory_high first, and killed at memory_max
    host.ok(f"systemd-run --quiet --collect --uid=alice --property=PAMName=login {hog}")
    wait_for(
        "a kill",
        lambda: "oom_kill 0" not in host.ok(f"grep 'oom_kill ' {place}"),
        at_most_s=120,
    )
    assert host.ok(f"systemctl is-active {other}").strip() == "active"
    site.apply()
    told = [json.loads(x) for x in host.ok("cat /var/log/ds01/events.jsonl").splitlines()]
    (event,) = [one for one in told if one["event_type"] == "resource.oom_kill"]
    assert event["user"] == "alice"
    assert event["details"]["unit"] == site.logins
    shown = host.ok(f"{site.program} explain alice")
    assert "resource.oom_kill" in shown


def test_tasks(site: Site) -> None:
    """A fork bomb stops at the limit of its slice."""
    host = site.host
    site.apply()
    host.session("alice", "sh -c 'for i in $(seq 200); do sleep 1000 & done; sleep 1000'")
    place = f"/sys/fs/cgroup/user.slice/{site.logins}"
    refused = f"find {place} -name pids.events -exec grep -v 'max 0' {{}} +"
    wait_for("refused forks", lambda: host.run(refused).out, at_most_s=60)
    assert int(host.ok(f"cat {place}/pids.current")) <= 60
    site.apply()
    told = [json.loads(x) for x in host.ok("cat /var/log/ds01/events.jsonl").splitlines()]
    assert [one["user"] for one in told if one["event_type"] == "resource.tasks_limit"] == ["alice"]
    # what the bomb has left outlives its session; the next test is to find nothing of it
    host.log_out("alice")
    assert host.run(f"ps --no-headers -U {site.uid}").out == ""


def test_io(site: Site) -> None:
    """A writer is held to its bandwidth on the disk that the path lies on."""
    host = site.host
    site.apply()
    host.session("alice", "dd if=/dev/zero of=/home/alice/f bs=256k count=400 oflag=direct")
    assert "wbps=4000000" in site.kernel(site.logins, "io.max")
    read = (
        f"sed -n 's/.*wbytes=\\([0-9]*\\).*/\\1/p' /sys/fs/cgroup/user.slice/{site.logins}/io.stat"
        " | head -1; cat /proc/uptime"
    )
    first = host.ok(read).split()
    time.sleep(6)
    last = host.ok(read).split()
    rate = (int(last[0]) - int(first[0])) / (float(last[1]) - float(first[1])) / 1e6
    assert 2.5 <= rate <= 4.4, (first, last)


# --- no container loses its GPU ---------------------------------------------------------------


def test_no_command_takes_a_gpu(site: Site) -> None:
    """Access that the stand-in hook granted outlives plan, apply, revert, prune, and many runs."""
    host = site.host
    host.session("alice")
    granted = [
        host.hook_granted_container("--volume=/home/alice:/work"),
        host.hook_granted_container(f"--cgroup-parent={site.slice}"),
    ]
    no_reload = reloads(host)

    def kept(what: str) -> None:
        lost = [one.id[:12] for one in granted if not one.has_access()]
        assert lost == [], f"lost to {what}"

    for command in ("plan", "apply --yes", "check", "show", "show alice", "apply --yes --force"):
        host.ok(f"{site.program} enforce {command}")
        kept(command)
    assert (granted[0].cgroup, host.ok(f"cat {granted[0].cgroup}/pids.max").strip()) == (
        granted[0].cgroup,
        "60",
    )
    for number in range(12):
        # the policy changes with every run, so that every run writes
        quota = POLICY.replace('"40%"', f'"{40 + number}%"').replace("64}", f"{50 + number}}}")
        host.put(quota, PLACE)
        assert site.apply()["actions"] != []
    kept("twelve runs that change limits")
    site.group("researcher")
    site.apply()
    kept("a change of groups")
    site.group("student")
    site.apply()
    kept("a prune")
    host.ok(f"{site.program} enforce revert --yes")
    kept("revert")
    assert host.ok(f"cat {granted[0].cgroup}/memory.max").strip() == "max"
    assert reloads(host) == no_reload
    # so that this test can fail
    host.ok("systemctl daemon-reload")
    assert not any(one.has_access() for one in granted)


def test_after_somebody_elses_reload(site: Site) -> None:
    """A reload undoes what was written to a scope: the next run finds it and sets it again."""
    container = site.raw_container()
    site.host.session("alice")
    site.apply()
    assert site.host.ok(f"cat {container.cgroup}/memory.max").strip() == str(256 * MIB)
    site.host.ok("systemctl daemon-reload")
    lost = site.host.ok(f"cat {container.cgroup}/memory.max").strip()
    assert lost == "max"
    # the slices' limits are in drop-ins by then, and survive
    assert site.kernel(site.logins, "memory.max") == str(256 * MIB)
    document = site.apply()
    assert [a["kind"] for a in document["actions"]] == ["write-cgroup"]
    assert site.host.ok(f"cat {container.cgroup}/memory.max").strip() == str(256 * MIB)


# --- they follow ------------------------------------------------------------------------------


def test_groups_overrides_and_departures(site: Site) -> None:
    """The right files and live values follow each change, and nothing is left in the end."""
    host = site.host
    container = host.container(f"--cgroup-parent={site.slice}")
    host.session("alice")
    site.apply()
    assert site.kernel(site.slice, "memory.max") == str(256 * MIB)
    assert site.kernel(site.slice, "cpu.max") == "40000 100000"
    site.group("researcher")
    site.apply()
    # the container still runs in the old group's slice: bound by the new group's limits
    assert site.kernel(site.slice, "memory.max") == str(300 * MIB)
    assert site.kernel(site.logins, "cpu.max") == "60000 100000"
    assert site.kernel(site.logins, "pids.max") != "60"
    host.put("alice: {aggregate: {memory_max: 280M}}\n", "/etc/ds01/user-overrides.yaml")
    site.apply()
    assert site.kernel(site.logins, "memory.max") == str(280 * MIB)
    assert site.kernel(site.logins, "cpu.max") == "60000 100000"
    host.ok("rm /etc/ds01/user-overrides.yaml")
    site.apply()
    assert site.kernel(site.logins, "memory.max") == str(300 * MIB)
    kinds = {one["kind"] for one in site.json("enforce check")["findings"]}
    assert "limit-drift" not in kinds
    container.remove()
    host.log_out("alice")
    host.ok("userdel --remove alice")
    host.put("", "/etc/ds01/groups/researcher.members")
    wait_for(
        "the end of the slice",
        lambda: host.run(f"test -d /sys/fs/cgroup/user.slice/{site.logins}").status,
        at_most_s=60,
    )
    # that nobody has the uid any more counts when two runs in a row say so
    site.apply()
    site.apply()
    left = host.run("ls -d /etc/systemd/system/*.slice.d /run/systemd/system.control/*").out
    assert left == ""
    host.user("alice")


def test_a_new_container_is_bound_from_its_start(site: Site) -> None:
    """The slice's drop-in is read when Docker starts it; parents need nothing."""
    site.apply()
    site.host.container(f"--cgroup-parent={site.slice}")
    assert site.kernel(site.slice, "memory.max") == str(256 * MIB)
    told = site.host.ok(f"systemctl show --property=NeedDaemonReload --value {site.slice}")
    assert told.strip() == "no"
    # the container itself was made without limits of its own: only that is left to be done
    assert [action["kind"] for action in site.apply()["actions"]] == ["write-cgroup"]
    assert site.apply()["actions"] == []


def test_a_reboot(site: Site) -> None:
    """The limits are there before anybody has logged in, and the timer's run has nothing to do."""
    host = site.host
    host.ok(f"{site.program} units install")
    site.apply()
    host.reboot()
    host.session("alice")
    assert site.kernel(site.logins, "memory.max") == str(256 * MIB)
    assert site.kernel(site.logins, "cpu.max") == "40000 100000"
    host.ok("systemctl start ds01-enforce.service")
    runs = host.journal("ds01-enforce.service", options="--output=cat")
    assert "Deactivated successfully" in runs
    assert not [x for x in runs.splitlines() if "denied" in x.lower() or "Traceback" in x], runs


def test_the_timer_sets_limits_as_hardened(site: Site) -> None:
    """Started by systemd, under its full hardening, it writes files, slices and scopes."""
    host = site.host
    host.session("alice")
    container = site.raw_container()
    host.ok(f"{site.program} units install")
    host.ok("systemctl start ds01-enforce.service")
    runs = host.journal("ds01-enforce.service", options="--output=cat")
    assert "Deactivated successfully" in runs, runs
    assert site.kernel(site.logins, "memory.max") == str(256 * MIB)
    assert host.ok(f"cat {container.cgroup}/memory.max").strip() == str(256 * MIB)
    assert host.run(f"grep MemoryMax=256M /etc/systemd/system/{site.logins}.d/50-ds01.conf").out
    result = host.ok("systemctl show -p Result,ExecMainStatus ds01-enforce.service")
    assert "Result=success\nExecMainStatus=0" in result


def test_memory_in_use_waits(site: Site) -> None:
    """On a real kernel: nobody is killed by a limit that comes to lie below what is in use."""
    host = site.host
    hog = "python3 -c 'x = bytearray(350 << 20); import time; time.sleep(1000)'"
    unit = host.session("alice", hog)
    place = f"/sys/fs/cgroup/user.slice/{site.logins}"
    wait_for(
        "memory in use",
        lambda: int(host.ok(f"cat {place}/memory.current")) > 350 * MIB,
        at_most_s=60,
    )
    document = site.apply()
    assert host.ok(f"cat {place}/memory.max").strip() == "max"
    (late,) = [one for one in document["findings"] if one["kind"] == "limit-deferred"]
    assert late["user"] == "alice"
    host.ok("systemctl daemon-reload")
    assert host.ok(f"systemctl is-active {unit}").strip() == "active"
    assert "oom_kill 0" in host.ok(f"cat {place}/memory.events")


def test_killed_at_every_step(site: Site, machine: Machine) -> None:
    """Killed with -9 at one moment after the other: the next run repairs."""
    host = site.host
    host.session("alice")
    container = site.raw_container()
    for tenths in (12, 16, 20, 24, 28, 32):
        host.ok(f"{site.program} enforce revert --yes")
        host.run(
            f"timeout --signal=KILL {tenths / 10} {site.program} enforce apply --yes", timeout_s=60
        )
        site.apply()
        assert site.kernel(site.logins, "memory.max") == str(256 * MIB)
        assert host.ok(f"cat {container.cgroup}/memory.max").strip() == str(256 * MIB)
        assert site.apply()["actions"] == []
