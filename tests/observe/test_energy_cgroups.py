"""What control groups have used, from a moved /sys of either version, and from the real one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from ds01ctl.observe import energy_cgroups
from ds01ctl.observe.boottime import Instant
from ds01ctl.paths import Paths
from tests.observe.energy_world import MIB, EnergyWorld

if TYPE_CHECKING:
    from pathlib import Path

ID = "{:064x}".format
ALICE = "/ds01.slice/ds01-student.slice/ds01-student-alice.slice"


@pytest.fixture(params=[False, True], ids=["v2", "v1"])
def world(tmp_path: Path, request: pytest.FixtureRequest) -> EnergyWorld:
    return EnergyWorld(tmp_path, v1=request.param)


def read(world: EnergyWorld, *more: str) -> energy_cgroups.CgroupReading:
    found = energy_cgroups.find(world.paths)
    return energy_cgroups.read(world.paths, (*found, *more))


def test_all_that_is_of_interest(world: EnergyWorld) -> None:
    """One listing for each level: what is within a user's slice or a service is not looked at."""
    wanted = {
        "/user.slice": (900, 90),
        "/user.slice/user-1001.slice": (500, 50),
        "/ds01.slice": (7000, 700),
        "/ds01.slice/ds01-student.slice": (6000, 600),
        ALICE: (5000, 500),
        f"{ALICE}/docker-{ID(1)}.scope": (4000, 400),
        "/docker": (40, 4),
        f"/docker/{ID(2)}": (30, 3),
        "/machine.slice": (20, 2),
        f"/machine.slice/libpod-{ID(3)}.scope": (15, 1),
        f"/system.slice/docker-{ID(4)}.scope": (77, 7),
    }
    others = [
        "/system.slice",
        "/system.slice/sshd.service",
        "/user.slice/user-1001.slice/session-3.scope",
        f"/user.slice/user-1001.slice/user@1001.service/docker-{ID(5)}.scope",
        "/init.scope",
        f"/docker/{ID(2)}/init.scope",
        f"/docker/{'not-an-id' * 9}",
    ]
    for path, (cpu_us, mib) in wanted.items():
        world.group(path, cpu_us, mib * MIB)
    for path in others:
        world.group(path, 1)
    found = read(world).by_cgroup
    assert {
        path: (use.cpu_us, (use.memory_bytes or 0) // MIB) for path, use in found.items()
    } == wanted


def test_where_an_engine_was_told_to_put_one(world: EnergyWorld) -> None:
    world.group(f"/mine/{ID(1)}", 5)
    assert set(read(world, f"/mine/{ID(1)}", "/mine/gone").by_cgroup) == {f"/mine/{ID(1)}"}


def test_each_has_a_time_of_its_own(world: EnergyWorld) -> None:
    for uid in range(1001, 1004):
        world.group(f"/user.slice/user-{uid}.slice", 5)
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    reading = read(world)
    times = [use.at_s for use in reading.by_cgroup.values()]
    assert reading.total is not None
    assert before <= times[0] < times[1] < times[2] <= reading.total.at_s
    given = energy_cgroups.read(world.paths, (), clock=lambda: Instant(5.0, 5.0))
    assert given.total is not None
    assert given.total.at_s == 5.0


def test_a_group_that_vanishes_is_no_error(world: EnergyWorld) -> None:
    world.group(f"/docker/{ID(1)}", 5)
    found = energy_cgroups.find(world.paths)
    world.remove(f"/docker/{ID(1)}")
    reading = energy_cgroups.read(world.paths, found)
    assert f"/docker/{ID(1)}" not in reading.by_cgroup
    assert reading.gaps == ()


def test_a_group_made_anew_is_another(world: EnergyWorld) -> None:
    world.group(ALICE, 500)
    first = read(world).by_cgroup[ALICE]
    world.remove(ALICE)
    world.group(ALICE, 600)
    second = read(world).by_cgroup[ALICE]
    assert first.inode != second.inode
    world.group(ALICE, 700)
    assert read(world).by_cgroup[ALICE].inode == second.inode


def test_memory_that_is_not_counted(world: EnergyWorld) -> None:
    world.group(ALICE, 500, None)
    assert read(world).by_cgroup[ALICE].memory_bytes is None


@pytest.mark.parametrize("text", ["", "nonsense", "usage_usec -4\n", "usage_usec\n"])
def test_garbage(world: EnergyWorld, text: str) -> None:
    """A group of which nothing sensible is told is not there: the rest of the host has its use."""
    world.group("/user.slice", 9)
    world.group("/user.slice/user-1001.slice", 5)
    name = "cpuacct/user.slice/user-1001.slice/cpuacct.usage"
    if not world.v1:
        name = "user.slice/user-1001.slice/cpu.stat"
    (world.root / "sys/fs/cgroup" / name).write_text(text)
    assert set(read(world).by_cgroup) == {"/user.slice"}


def test_the_host(world: EnergyWorld) -> None:
    world.host(5_000_000, 3 << 30)
    total = read(world).total
    assert total is not None
    assert (total.cpu_us, total.memory_bytes) == (5_000_000, 3 << 30)
    # finer, and by the same clockwork as the groups'
    world.group("/", 5_123_456)
    total = read(world).total
    assert total is not None
    assert total.cpu_us == 5_123_456


def test_no_control_groups(tmp_path: Path) -> None:
    world = EnergyWorld(tmp_path)
    (tmp_path / "sys/fs/cgroup/cgroup.controllers").unlink()
    world.host(10_000, 1 << 30)
    reading = read(world)
    assert (reading.by_cgroup, [gap.kind for gap in reading.gaps]) == ({}, ["failed"])
    assert reading.total is not None


@pytest.mark.parametrize("text", ["", "cpu\n", "cpu a b c d e f g\n", "cpu 1 2 3\n"])
def test_a_total_of_garbage(tmp_path: Path, text: str) -> None:
    world = EnergyWorld(tmp_path)
    (tmp_path / "proc/stat").write_text(text)
    reading = read(world)
    assert reading.total is None
    assert [gap.kind for gap in reading.gaps] == ["failed"]


def test_this_very_machine() -> None:
    """Whichever version it has, its processors have done something, and go on."""
    paths = Paths()
    first = energy_cgroups.read(paths, energy_cgroups.find(paths)).total
    ends = time.monotonic() + 0.1
    while time.monotonic() < ends:
        pass
    second = energy_cgroups.read(paths, ()).total
    assert first is not None
    assert second is not None
    assert second.cpu_us > first.cpu_us
    assert second.memory_bytes
