"""Single containers: bound wherever they run, by their real owner's limits, and by no more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.enforce.host import POLICY, EnforceHost, done
from tests.observe.stub_engine import ID

GIB = 1 << 30
ALICES = "ds01-student-alice.slice"
TREE = f"/ds01.slice/ds01-student.slice/{ALICES}"


def values(group: Path) -> dict[str, str]:
    """What a container's control group says."""
    names = ("cpu.max", "memory.max", "memory.high", "memory.swap.max", "pids.max")
    return {name: (group / name).read_text().strip() for name in names}


FREE = {
    "cpu.max": "max 100000",
    "memory.max": "max",
    "memory.high": "max",
    "memory.swap.max": "max",
    "pids.max": "max",
}


def kinds(document: dict[str, Any]) -> dict[str, str | None]:
    return {one["kind"]: one["user"] for one in document["findings"]}


def test_a_raw_container_is_held(docker: EnforceHost) -> None:
    """By its owner's limits for one container, and the aggregate, whichever is less."""
    group = docker.container(1, home="alice")
    document = docker.apply()
    assert values(group) == {
        "cpu.max": "800000 100000",
        "memory.max": str(32 * GIB),
        "memory.high": str(86 * GIB),
        "memory.swap.max": "0",
        "pids.max": "4096",
    }
    assert kinds(document)["container-outside-slice"] == "alice"
    assert kinds(document)["container-over-limit"] == "alice"
    # no call of systemd's: set-property on a scope takes hook-granted GPUs away
    assert docker.calls == []
    again = docker.apply()
    assert again["actions"] == []
    # what it was made with is told still
    assert kinds(again)["container-over-limit"] == "alice"


def test_in_its_owners_slice_only_its_own_limits_count(docker: EnforceHost) -> None:
    docker.start(ALICES)
    group = docker.container(1, parent=TREE, home="alice")
    document = docker.apply()
    assert values(group) == FREE | {
        "cpu.max": "1600000 100000",
        "memory.max": str(32 * GIB),
        "memory.swap.max": "0",
        "pids.max": "4096",
    }
    assert "container-outside-slice" not in kinds(document)


def test_tighter_limits_stay(docker: EnforceHost) -> None:
    group = docker.container(1, home="alice")
    (group / "memory.max").write_text(f"{2 * GIB}\n")
    (group / "pids.max").write_text("50\n")
    (group / "cpu.max").write_text("50000 50000\n")
    docker.apply()
    assert (group / "memory.max").read_text().strip() == str(2 * GIB)
    assert (group / "pids.max").read_text().strip() == "50"
    assert (group / "cpu.max").read_text().strip() == "50000 50000"


def test_a_share_for_each_container_outside(docker: EnforceHost) -> None:
    """Up to eight raw containers reach no more together than one."""
    groups = [docker.container(n, home="alice") for n in range(1, 5)]
    docker.apply()
    assert {values(group)["cpu.max"] for group in groups} == {"200000 100000"}
    assert {values(group)["memory.max"] for group in groups} == {str(24 * GIB)}
    for number in (2, 3, 4):
        docker.end(number)
    document = docker.apply()
    # what we tightened is loosened again, and no further than it was
    assert values(groups[0])["cpu.max"] == "800000 100000"
    assert values(groups[0])["memory.max"] == str(32 * GIB)
    assert [kind for kind, _ in done(document)] == ["write-cgroup"]


def test_in_somebody_elses_slice(docker: EnforceHost) -> None:
    """Bob's folder in alice's slice: two words against each other accuse nobody."""
    docker.start(ALICES)
    group = docker.container(1, parent=TREE, home="bob")
    document = docker.apply()
    assert values(group) == FREE
    assert kinds(document).keys() == {"container-unowned"}


@pytest.mark.parametrize(
    "labels", [{"ds01.user": "bob"}, {"aime.mlc.USER": "bob"}], ids=["ds01", "aime"]
)
def test_a_label_alone_accuses_nobody(docker: EnforceHost, labels: dict[str, str]) -> None:
    group = docker.container(1, Labels=labels)
    document = docker.apply()
    assert values(group) == FREE
    assert kinds(document) == {"container-unowned": None}


def test_unowned_containers_can_be_held(docker: EnforceHost) -> None:
    """To the default group's limits for one container; infrastructure is left alone."""
    docker.policy(
        POLICY.replace("{mode: enforce}", "{mode: enforce, unowned_containers: hold}")
        + "monitoring: {infrastructure_containers: [ds01-prometheus]}\n"
    )
    group = docker.container(1)
    infra = docker.container(2, Names=["/ds01-prometheus"])
    docker.apply()
    assert values(group)["memory.max"] == str(32 * GIB)
    assert values(infra) == FREE


def test_containers_of_the_spared(docker: EnforceHost) -> None:
    """Who becomes an admin has what we wrote taken back."""
    group = docker.container(1, home="alice")
    docker.apply()
    docker.policy(POLICY + "access_control: {admin_users: [alice]}\n")
    document = docker.apply()
    assert values(group) == FREE
    assert document["findings"] == []
    assert docker.apply()["actions"] == []


def test_memory_in_use_is_not_cut_away(docker: EnforceHost) -> None:
    group = docker.container(1, home="alice")
    stat = "anon {0}\ninactive_file 0\nactive_file 0\n"
    (group / "memory.current").write_text(f"{40 * GIB}\n")
    (group / "memory.stat").write_text(stat.format(40 * GIB))
    document = docker.apply()
    assert values(group)["memory.max"] == "max"
    assert values(group)["memory.high"] == str(32 * GIB)
    assert kinds(document)["limit-deferred"] == "alice"
    assert docker.apply()["actions"] == []
    (group / "memory.current").write_text(f"{20 * GIB}\n")
    (group / "memory.stat").write_text(stat.format(20 * GIB))
    docker.apply()
    assert values(group)["memory.max"] == str(32 * GIB)
    assert docker.apply()["actions"] == []


def test_a_restart_is_another_run(docker: EnforceHost) -> None:
    """The group is made anew, with what Docker was told: it is held again, and told as it is."""
    group = docker.container(1, home="alice")
    docker.apply()
    # while it is open, nothing else gets its number
    held = os.open(group, os.O_RDONLY)
    docker.end(1)
    group = docker.container(1, home="alice", StartedAt="2026-11-24T11:00:00Z")
    os.close(held)
    assert values(group) == FREE
    docker.apply()
    assert values(group)["memory.max"] == str(32 * GIB)


def test_reloaded_by_somebody_else(docker: EnforceHost) -> None:
    """A daemon-reload puts a scope's own limits back: the next run holds it again."""
    group = docker.container(1, home="alice")
    docker.apply()
    for name, text in FREE.items():
        (group / name).write_text(f"{text}\n")
    document = docker.apply()
    assert [kind for kind, _ in done(document)] == ["write-cgroup"]
    assert values(group)["memory.max"] == str(32 * GIB)


def test_revert_gives_back_what_containers_had(docker: EnforceHost) -> None:
    group = docker.container(1, home="alice")
    (group / "pids.max").write_text("9000\n")
    before = values(group)
    docker.apply()
    assert values(group)["pids.max"] == "4096"
    docker.json("enforce", "revert", "--yes")
    assert values(group) == before
    assert docker.json("enforce", "revert", "--yes")["actions"] == []


def test_report_only(docker: EnforceHost) -> None:
    docker.policy(POLICY.replace("{mode: enforce}", "{mode: enforce, rules: {containers: report}}"))
    group = docker.container(1, home="alice")
    document = docker.apply()
    assert values(group) == FREE
    (action,) = [a for a in document["actions"] if a["kind"] == "write-cgroup"]
    assert (action["outcome"], action["error"]) == ("skipped", "report only")


def test_a_controller_that_is_off(docker: EnforceHost) -> None:
    """What the kernel cannot hold is told as such, never as held; the rest is held."""
    group = docker.container(1, home="alice")
    for file in group.glob("memory.*"):
        file.unlink()
    document = docker.apply()
    told = [one["evidence"][0] for one in document["findings"] if one["kind"] == "limit-unusable"]
    assert "MemoryMax: there is no memory.max here; the other limits are set" in told
    assert (group / "pids.max").read_text().strip() == "4096"
    assert docker.apply()["actions"] == []


def test_docker_does_not_answer(docker: EnforceHost) -> None:
    """People's slices are done; what was held is remembered; the run is a partial one."""
    group = docker.container(1, home="alice")
    docker.start("user-1001.slice")
    docker.apply()
    docker.stub.raw("/containers/json?all=1", b"oops", status="500 Internal Server Error")
    docker.policy(POLICY.replace("96G", "90G"))
    docker.apply(status=3)
    assert docker.kernel("user-1001.slice", "memory.max") == str(90 * GIB)
    docker.container(1, home="alice")
    docker.policy(POLICY + "access_control: {admin_users: [alice]}\n")
    docker.apply()
    assert values(group) == FREE


def test_explain_tells_all_of_it(docker: EnforceHost) -> None:
    docker.container(1, home="alice")
    docker.start("user-1001.slice")
    docker.apply()
    ran = docker.run("explain", "alice")
    assert ran.status == 0
    for text in ("group student", f"docker-{ID(1)}.scope", "log-ins: user-1001.slice",
                 "all that alice can reach at once", "resource.cgroup_limit"):  # fmt: skip
        assert text in ran.out, text
    shown = docker.json("explain", "alice")["data"]
    (container,) = shown["live"]["containers"]
    assert container["home"] is None
    assert shown["live"]["reach"] == {"CPUQuota": "2400%", "MemoryMax": "288G", "TasksMax": "36864"}
    assert shown["events"]
    for user, told in (("boss", "is an admin"), ("nobody-here", "no user nobody-here is known")):
        ran = docker.run("explain", user)
        assert ran.status == 0
        assert told in ran.out


# --- ways out ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parent",
    [
        "/ds01.slice/ds01-x.slice/ds01-x-boss.slice",
        "/user.slice/user-1000.slice",
        "/user.slice/user-0.slice",
    ],
)
def test_a_parent_of_the_spared_spares_nobody(docker: EnforceHost, parent: str) -> None:
    """Anybody can write --cgroup-parent: with a folder of alice's it is nobody's, and told."""
    docker.policy(POLICY.replace("{mode: enforce}", "{mode: enforce, unowned_containers: hold}"))
    bare = docker.container(1, parent=parent)
    mounted = docker.container(2, parent=parent, home="alice")
    document = docker.apply()
    assert values(bare)["memory.max"] == str(32 * GIB)
    assert values(mounted)["memory.max"] == str(32 * GIB)
    assert "container-unowned" in kinds(document)


def test_slices_of_groups_that_are_not_there(docker: EnforceHost) -> None:
    """Each slice that alice makes up is no home of hers: together they get one share."""
    groups = [
        docker.container(n, parent=f"/ds01.slice/ds01-{g}.slice/ds01-{g}-alice.slice", home="alice")
        for n, g in enumerate("abc", 1)
    ]
    docker.apply()
    assert {values(group)["cpu.max"] for group in groups} == {"266670 100000"}
    assert docker.drop_in("ds01-a-alice.slice") is None


def test_a_victim_cannot_be_starved(docker: EnforceHost) -> None:
    """Whoever mounts alice's home often takes no more than seven eighths of her share."""
    group = docker.container(1, home="alice")
    for number in range(2, 40):
        docker.container(number, home="alice")
    docker.apply()
    assert values(group)["cpu.max"] == "100000 100000"


# --- readings that are missing ----------------------------------------------------------------


def test_an_owner_without_a_name_is_left_as_held(docker: EnforceHost) -> None:
    """A uid that no directory names now: nothing is tightened, and nothing let go."""
    docker.user("carol", 1003)
    docker.home("carol", 1003)
    group = docker.container(1, home="carol")
    docker.apply()
    before = values(group)
    assert before["memory.max"] == str(32 * GIB)
    docker.remove_user("carol")
    docker.write("etc/nsswitch.conf", "passwd: files sss\n")
    docker.apply()
    assert values(group) == before


def test_a_file_that_this_kernel_has_not(docker: EnforceHost) -> None:
    """Without swap accounting every other limit is set, and it is told once, as no failure."""
    group = docker.container(1, home="alice")
    docker.start("user-1001.slice")
    for place in (group, docker.root / "sys/fs/cgroup/user.slice/user-1001.slice"):
        (place / "memory.swap.max").unlink()
    docker.tell_systemctl(deaf=["memory.swap.max"])
    docker.policy(POLICY.replace("tasks_max: 12288", "tasks_max: 12288, memory_swap_max: 0"))
    document = docker.apply()
    assert (group / "memory.max").read_text().strip() == str(32 * GIB)
    assert docker.kernel("user-1001.slice", "memory.max") == str(96 * GIB)
    assert any(
        "there is no memory.swap.max" in str(one["evidence"]) for one in document["findings"]
    )
    assert docker.apply()["actions"] == []


@pytest.mark.parametrize("text", ["", "lots", "50000 0", "-1", "\u0663"])
def test_strange_words_of_the_kernel(docker: EnforceHost, text: str) -> None:
    """A file that makes no sense is neither above nor below anything; the others are set."""
    group = docker.container(1, home="alice")
    (group / "cpu.max").write_text(text)
    (group / "pids.max").write_text(text)
    docker.apply()
    assert (group / "memory.max").read_text().strip() == str(32 * GIB)


@pytest.mark.parametrize(
    "line", ["CPUQuota=lots%", "IOReadBandwidthMax=/dev/sda ten", "MemoryMax=much", "TasksMax=x%"]
)
def test_strange_words_of_somebody_elses_file(docker: EnforceHost, line: str) -> None:
    unit = "user-1001.slice"
    docker.start(unit)
    docker.apply()
    docker.write(f"etc/systemd/system/{unit}.d/20-odd.conf", f"[Slice]\n{line}\n")
    docker.json("enforce", "check")
    docker.json("enforce", "revert", "--yes")
    assert docker.kernel(unit, "memory.max") == "max"


# --- what a container has of its own ----------------------------------------------------------


def test_own_cpus_and_devices_stay(docker: EnforceHost) -> None:
    docker.write(
        "etc/ds01/user-overrides.yaml",
        'alice: {aggregate: {allowed_cpus: "0-7", io_read_bandwidth_max: "/srv 10M"}}\n',
    )
    number = (docker.root / "srv").mkdir() or (docker.root / "srv").stat().st_dev
    disk = docker.root / "sys/devices/block/sda"
    disk.mkdir(parents=True)
    place = f"{number >> 8 & 0xFFF}:{number & 0xFF | number >> 12 & 0xFFF00}"
    (docker.root / f"sys/dev/block/{place}").symlink_to(disk)
    group = docker.container(1, home="alice")
    (group / "cpuset.cpus").write_text("2-3\n")
    (group / "io.max").write_text("9:9 rbps=1000 wbps=max riops=max wiops=max\n")
    writes = docker.json("enforce", "plan")["data"]["changes"]
    (write,) = [one for one in writes if one["kind"] == "write-cgroup"]
    assert "AllowedCPUs" not in write["after"]
    assert write["after"]["IOReadBandwidthMax"] == f"{place} 10000000, 9:9 1000"
    (group / "cpuset.cpus").write_text("6-9\n")
    writes = docker.json("enforce", "plan")["data"]["changes"]
    (write,) = [one for one in writes if one["kind"] == "write-cgroup"]
    assert write["after"]["AllowedCPUs"] == "6-7"


def test_a_crash_forgets_nothing(docker: EnforceHost) -> None:
    """What is about to be written is noted before: a revert gives it back."""
    group = docker.container(1, home="alice")
    code = (
        "import os, signal, sys\n"
        "def hook(event, args):\n"
        "    if event == 'open' and str(args[0]) == 'pids.max' and args[2] & os.O_WRONLY:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "sys.addaudithook(hook)\n"
        "from ds01ctl import __main__\n"
        "__main__.main()\n"
    )
    argv = [sys.executable, "-c", code, "enforce", "apply", "--yes"]
    ran = subprocess.run(argv, env=docker.base.env, capture_output=True, check=False)
    assert ran.returncode == -signal.SIGKILL
    assert values(group)["memory.max"] == str(32 * GIB)
    docker.json("enforce", "revert", "--yes")
    assert values(group) == FREE


def test_somebody_without_a_slice_has_limits_all_the_same(docker: EnforceHost) -> None:
    """No slice can be named after the group: the aggregate holds for the container itself."""
    docker.policy(POLICY + "  phd--new:\n    aggregate: {memory_max: 8G, tasks_max: 99}\n")
    docker.members("phd--new", "carol")
    docker.user("carol", 1003)
    docker.home("carol", 1003)
    group = docker.container(1, home="carol")
    document = docker.apply()
    assert kinds(document)["slice-name"] == "carol"
    assert (values(group)["memory.max"], values(group)["pids.max"]) == (str(8 * GIB), "99")
