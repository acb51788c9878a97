"""The counters of processors and memory, from a moved /sys."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ds01ctl.core.energy_counters import deltas
from ds01ctl.core.energy_nesting import without_doubtful, without_twins
from ds01ctl.observe import rapl
from ds01ctl.observe.boottime import Instant
from ds01ctl.paths import Paths
from tests.folders import let_others_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ds01ctl.core.energy_model import Counter

RANGE = 65_532_610_987
BOOT = "0e5c6b3e-0000-4000-8000-000000000001"


class Machine:
    """A host whose zones a test writes."""

    def __init__(self, root: Path) -> None:
        self.paths = Paths(root)
        self.boot(BOOT)

    def boot(self, boot_id: str) -> None:
        file = self.paths.proc / "sys/kernel/random/boot_id"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{boot_id}\n")

    def zone(self, folder: str, name: str, uj: int | str, **files: int | str) -> Path:
        zone = self.paths.under("/sys/class/powercap") / folder
        zone.mkdir(parents=True, exist_ok=True)
        said: Mapping[str, int | str] = {
            "name": name, "energy_uj": uj, "max_energy_range_uj": RANGE, **files,
        }  # fmt: skip
        for file, text in said.items():
            (zone / file).write_text(f"{text}\n")
        return zone

    def read(self, *, psys: bool = False) -> rapl.RaplReading:
        return rapl.read(self.paths, psys=psys)

    def energies(self, *, psys: bool = False) -> dict[str, int | None]:
        return {one.name: one.uj for one in self.read(psys=psys).counters}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def two_sockets(machine: Machine) -> None:
    for socket in (0, 1):
        machine.zone(f"intel-rapl:{socket}", f"package-{socket}", 1000 + socket)
        machine.zone(f"intel-rapl:{socket}:0", "core", 5)
        machine.zone(f"intel-rapl:{socket}:1", "dram", 300 + socket)
    machine.zone("intel-rapl:2", "psys", 9000)
    (machine.paths.under("/sys/class/powercap") / "intel-rapl").mkdir()


def test_a_server(machine: Machine) -> None:
    """Packages, and memory beside them; cores are within their package."""
    two_sockets(machine)
    assert machine.energies() == {
        "rapl:package-0": 1000, "rapl:package-1": 1001, "rapl:dram-0": 300, "rapl:dram-1": 301,
    }  # fmt: skip
    assert machine.energies(psys=True)["rapl:psys"] == 9000
    components = {one.name: one.component for one in machine.read(psys=True).counters}
    assert components["rapl:dram-1"] == "dram"
    assert components["rapl:package-0"] == "cpu"
    assert components["rapl:psys"] == "other"
    assert machine.read().gaps == ()


def test_each_has_a_time_of_its_own(machine: Machine) -> None:
    two_sockets(machine)
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    counters = machine.read().counters
    after = time.clock_gettime(time.CLOCK_BOOTTIME)
    times = [one.at_s for one in counters]
    assert before <= min(times) < max(times) <= after
    assert times == sorted(times)
    assert {one.epoch for one in counters} == {BOOT}
    assert all(one.awake_s is not None and one.awake_s <= one.at_s + 1 for one in counters)


def test_a_clock_can_be_given(machine: Machine) -> None:
    machine.zone("intel-rapl:0", "package-0", 7)
    reading = rapl.read(machine.paths, psys=False, clock=lambda: Instant(60.0, 50.0))
    assert [(one.at_s, one.awake_s) for one in reading.counters] == [(60.0, 50.0)]


def test_who_has_sub_zones_only_within(machine: Machine) -> None:
    """In the folder of the devices they are not beside the others."""
    machine.zone("intel-rapl:0", "package-0", 1)
    machine.zone("intel-rapl:0/intel-rapl:0:0", "dram", 2)
    assert machine.energies() == {"rapl:package-0": 1, "rapl:dram-0": 2}


def test_zones_that_are_links_count_once(machine: Machine) -> None:
    zone = machine.zone("intel-rapl:0", "package-0", 1)
    below = machine.zone("intel-rapl:0/intel-rapl:0:0", "dram", 2)
    (zone.parent / "intel-rapl:0:0").symlink_to(below)
    assert machine.energies() == {"rapl:package-0": 1, "rapl:dram-0": 2}


def test_the_number_of_a_folder_is_no_identity(machine: Machine, tmp_path: Path) -> None:
    """After a reload the sockets may be the other way round."""
    machine.zone("intel-rapl:0", "package-0", 1_000_000)
    machine.zone("intel-rapl:1", "package-1", 5_000_000)
    first = deltas({}, machine.read().counters)
    machine.zone("intel-rapl:1", "package-0", 1_000_100)
    machine.zone("intel-rapl:0", "package-1", 5_000_007)
    second = deltas(first.last, machine.read().counters)
    assert {one.name: one.uj for one in second.deltas} == {
        "rapl:package-0": 100, "rapl:package-1": 7,
    }  # fmt: skip


def test_the_same_counter_through_mmio(machine: Machine) -> None:
    machine.zone("intel-rapl:0", "package-0", 1000)
    machine.zone("intel-rapl-mmio:0", "package-0", 999)
    assert machine.energies() == {"rapl:package-0": 1000}


def test_mmio_alone(machine: Machine) -> None:
    machine.zone("intel-rapl-mmio:0", "package-0", 999)
    machine.zone("intel-rapl-mmio:0:0", "dram", 9)
    assert machine.energies() == {"rapl:package-0": 999, "rapl:dram-0": 9}


def test_dies_of_one_package(machine: Machine) -> None:
    machine.zone("intel-rapl:0", "package-0-die-0", 10_000_000)
    machine.zone("intel-rapl:1", "package-0-die-1", 90_000_000)
    machine.zone("intel-rapl:1:0", "dram", 4)
    assert machine.energies() == {
        "rapl:package-0-die-0": 10_000_000, "rapl:package-0-die-1": 90_000_000,
        "rapl:dram-0-die-1": 4,
    }  # fmt: skip
    assert machine.read().duplicates == ()


@pytest.mark.parametrize(("first", "second"), [(5_000_000, 5_000_000), (RANGE - 10, 20)])
def test_dies_that_show_one_counter(machine: Machine, first: int, second: int) -> None:
    """A Threadripper 1950X shows its package's twice: 68 W are not 136."""
    machine.zone("intel-rapl:0", "package-0-die-0", first)
    machine.zone("intel-rapl:1", "package-0-die-1", second)
    machine.zone("intel-rapl:2", "package-1-die-0", first)
    assert machine.energies() == {"rapl:package-0-die-0": first, "rapl:package-1-die-0": first}
    assert machine.read().duplicates == ("rapl:package-0-die-1 = rapl:package-0-die-0",)


class Dies:
    """A package whose two dies show one counter, or two; a minute passes between runs."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.at_s = 1000.0
        self.last: Mapping[str, Counter] = {}
        self.counted_uj = 0

    def run(self, first: int | str, second: int | str) -> None:
        self.at_s += 60
        self.machine.zone("intel-rapl:0", "package-0-die-0", first)
        self.machine.zone("intel-rapl:1", "package-0-die-1", second)
        self.run_as_it_is()

    def run_as_it_is(self) -> None:
        reading = rapl.read(
            self.machine.paths, psys=False, clock=lambda: Instant(self.at_s, self.at_s)
        )
        last, _ = without_twins(self.last, {}, reading.duplicates)
        counted = deltas(last, without_doubtful(last, reading.counters, reading.doubtful))
        self.last = counted.last
        self.counted_uj += sum(one.uj for one in counted.deltas)

    def run_slowly(self, uj: int, watts: int, pause_s: float) -> None:
        """Show one counter twice, of which the first look takes so long."""
        self.at_s += 60
        first = self.machine.zone("intel-rapl:0", "package-0-die-0", uj) / "energy_uj"
        first.unlink()
        os.mkfifo(first)

        def answer() -> None:
            with first.open("w") as file:
                self.at_s += pause_s
                later = uj + round(watts * pause_s * 1e6)
                self.machine.zone("intel-rapl:1", "package-0-die-1", later)
                file.write(f"{uj}\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        try:
            self.run_as_it_is()
        finally:
            thread.join(10)
            first.unlink()


KJ = 10**9


@pytest.fixture
def dies(machine: Machine) -> Dies:
    return Dies(machine)


def test_a_pause_between_two_looks_at_one_counter(dies: Dies) -> None:
    """Of 20 ms, before the clock is looked at: 5 J more at 250 W are no other counter."""
    dies.run(10 * KJ, 10 * KJ)
    dies.run_slowly(20 * KJ, watts=250, pause_s=0.02)
    dies.run(30 * KJ, 30 * KJ)
    assert dies.counted_uj == 20 * KJ


@pytest.mark.parametrize("unread", [{1}, {1, 4}, {2, 3}, {1, 2, 3, 4}])
def test_a_twin_that_cannot_be_read(dies: Dies, unread: set[int]) -> None:
    """What it is a twin of cannot be told then; nothing is counted twice for it."""
    for i in range(6):
        uj = (i + 1) * 3 * KJ
        dies.run("garbage" if i in unread else uj, uj)
    assert dies.counted_uj == 5 * 3 * KJ


def test_twins_that_do_not_look_alike_once(dies: Dies) -> None:
    """As if they had been two for that look alone: not for all of the time since the first."""
    for i in range(6):
        uj = (i + 1) * 3 * KJ
        dies.run(uj, uj + (50_000_000 if i == 4 else 0))
    assert dies.counted_uj == 5 * 3 * KJ


def test_two_dies_of_which_one_cannot_be_read(dies: Dies) -> None:
    """They are known to be two: each counts, and is bridged."""
    for i in range(4):
        dies.run("garbage" if i == 2 else i * KJ, 5 * KJ + i * 2 * KJ)
    assert dies.counted_uj == 3 * KJ + 3 * 2 * KJ


def test_dies_that_happen_to_be_equal_once_lose_two_minutes_of_one(dies: Dies) -> None:
    for first, second in ((5, 1), (6, 6), (7, 9), (8, 12)):
        dies.run(first * KJ, second * KJ)
    assert dies.counted_uj == 3 * KJ + 3 * KJ


UNLIMITED = 4_095_875_000
"""A firmware's way to say that there is no limit."""


@pytest.mark.parametrize(
    ("files", "watts"),
    [
        ({}, 0),
        # it is the thermal design power, which a package exceeds all day
        ({"constraint_0_max_power_uw": 225_000_000}, 0),
        (
            {
                "constraint_0_name": "long_term",
                "constraint_0_power_limit_uw": 225_000_000,
                "constraint_0_max_power_uw": 400_000_000,
                "constraint_1_power_limit_uw": 270_000_000,
            },
            270,
        ),
        ({"constraint_0_power_limit_uw": UNLIMITED, "constraint_0_max_power_uw": 125_000_000}, 0),
        # for a minute the other one may be in force
        (
            {
                "constraint_0_power_limit_uw": 125_000_000,
                "constraint_1_power_limit_uw": UNLIMITED,
            },
            0,
        ),
        # that of a moment is not one of a minute
        (
            {
                "constraint_0_power_limit_uw": 125_000_000,
                "constraint_1_name": "peak_power",
                "constraint_1_power_limit_uw": UNLIMITED,
            },
            125,
        ),
        ({"enabled": 0, "constraint_0_power_limit_uw": 125_000_000}, 0),
        ({"enabled": 1, "constraint_0_power_limit_uw": 125_000_000}, 125),
        ({"constraint_0_power_limit_uw": 0}, 0),
        ({"constraint_0_power_limit_uw": "nonsense"}, 0),
    ],
)
def test_power_limits(machine: Machine, files: dict[str, int | str], watts: float) -> None:
    machine.zone("intel-rapl:0", "package-0", 1, **files)
    reading = machine.read()
    assert [one.max_watts for one in reading.counters] == [watts]
    assert reading.gaps == ()


def test_nothing_is_there(machine: Machine) -> None:
    gaps = machine.read().gaps
    assert [(one.source, one.kind) for one in gaps] == [("rapl", "absent")]


def test_no_zone_is_there(machine: Machine) -> None:
    machine.paths.under("/sys/class/powercap/intel-rapl").mkdir(parents=True)
    assert [one.kind for one in machine.read().gaps] == ["absent"]


@pytest.mark.parametrize(
    "text", ["", "-5", "1e9", "nonsense", "0x10", "9" * 40, str(RANGE + 1), "\xff"]
)
def test_garbage(machine: Machine, text: str) -> None:
    machine.zone("intel-rapl:0", "package-0", text)
    machine.zone("intel-rapl:1", "package-1", 5)
    reading = machine.read()
    assert {one.name: one.uj for one in reading.counters} == {
        "rapl:package-0": None, "rapl:package-1": 5,
    }  # fmt: skip
    assert [one.kind for one in reading.gaps] == ["failed"]
    assert "intel-rapl:0/energy_uj" in reading.gaps[0].reason


@pytest.mark.parametrize("text", ["0", "-1", "none"])
def test_a_range_of_garbage(machine: Machine, text: str) -> None:
    machine.zone("intel-rapl:0", "package-0", 1, max_energy_range_uj=text)
    reading = machine.read()
    assert [(one.uj, one.range_uj) for one in reading.counters] == [(1, None)]
    assert [one.kind for one in reading.gaps] == ["failed"]


def test_a_zone_without_a_name(machine: Machine) -> None:
    (machine.zone("intel-rapl:0", "package-0", 1) / "name").unlink()
    machine.zone("intel-rapl:1", "package-1", 5)
    reading = machine.read()
    assert [one.name for one in reading.counters] == ["rapl:package-1"]
    assert [one.kind for one in reading.gaps] == ["failed"]


def test_a_zone_that_went_meanwhile(machine: Machine) -> None:
    (machine.zone("intel-rapl:0", "package-0", 1) / "energy_uj").unlink()
    reading = machine.read()
    assert [one.uj for one in reading.counters] == [None]
    assert [one.kind for one in reading.gaps] == ["failed"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_it_is_roots_alone(machine: Machine, tmp_path: Path) -> None:
    two_sockets(machine)
    for file in machine.paths.under("/sys/class/powercap").glob("*/energy_uj"):
        file.chmod(0o400)
    let_others_in(tmp_path)
    os.seteuid(65534)
    try:
        reading = machine.read()
    finally:
        os.seteuid(0)
    assert {one.uj for one in reading.counters} == {None}
    assert [one.kind for one in reading.gaps] == ["denied"]
    reason = reading.gaps[0].reason
    assert "CAP_DAC_READ_SEARCH" in reason
    assert "chmod" not in reason
    assert "4 of 4" in reason or "(4" in reason
