"""The whole program on files that move: not a microjoule of what counters show is lost or added."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.energy.truth import true_joules
from tests.nvml.double import UNKNOWN, uuid

if TYPE_CHECKING:
    from tests.energy.host import EnergyHost, Moved

COMPONENTS = ("cpu", "dram", "gpu")


def sample(host: EnergyHost, status: int = 0) -> dict[str, Any]:
    """Take one sample and check that it adds up in itself; to the microjoule."""
    ran = host.run("sample", "--json")
    assert ran.returncode == status, ran.stdout + ran.stderr
    data: dict[str, Any] = json.loads(ran.stdout)["data"]
    for component in COMPONENTS:
        shared, counted = (
            sum(round(one["joules"] * 1e6) for one in data[kind] if one["component"] == component)
            for kind in ("portions", "counters")
        )
        assert shared == counted
    return data


def assert_all_is_counted(host: EnergyHost, since: Moved) -> None:
    """Compare the store, by party and of the node, with what the counters moved."""
    moved = {name: host.moved.of(name) - since.of(name) for name in COMPONENTS}
    assert host.totals("energy_totals") == moved
    assert host.totals("energy_node") == moved
    shown: dict[str, int] = {}
    for line in host.prom.read_text().splitlines():
        if line.startswith("ds01_node_energy_joules_total{"):
            component = line.partition('component="')[2].partition('"')[0]
            shown[component] = shown.get(component, 0) + int(line.rpartition(" ")[2])
    assert shown == {name: uj // 10**6 for name, uj in moved.items()}


def test_ten_minutes(host: EnergyHost) -> None:
    """All packages go around, jobs begin and end: exact for the node, and users get theirs."""
    first = host.moved
    bounds = [0.0, 60.0, 121.0, 180.0, 239.0, 301.0, 360.0, 420.0]
    sample(host)
    reasons = set()
    for at in bounds[1:]:
        host.at(at)
        data = sample(host)
        reasons |= {one["reason"] for one in data["counters"]}
        assert data["skipped"] == {}
        assert_all_is_counted(host, first)
    assert reasons == {"measured", "wrap"}
    true = true_joules(host.trace, bounds, "usage")
    charged = host.of_users()
    for user in host.trace.users:
        # of GPUs it is not compared: the clock of their records is not moved, see `host`
        for component, most in (("cpu", 0.01), ("dram", 0.5)):
            joules = true[user, component]
            assert charged[user, component] == pytest.approx(joules, rel=most)
        assert (true[user, "gpu"] > 0) == ((user, "gpu") in charged)


def test_a_dry_run_changes_nothing(host: EnergyHost) -> None:
    sample(host)
    host.at(60.0)
    before = host.database.read_bytes(), host.prom.read_bytes()
    shown = json.loads(host.run("sample", "--dry-run", "--json").stdout)["data"]
    assert (host.database.read_bytes(), host.prom.read_bytes()) == before
    real = sample(host)
    assert shown["energy_joules"] == real["energy_joules"] > 0
    assert (shown["stored"], real["stored"]) == (False, True)


def test_counters_that_cannot_be_read_for_a_while(host: EnergyHost) -> None:
    """Their energy comes with the next reading, all of it."""
    first = host.moved
    sample(host)
    host.at(60.0)
    sample(host)
    host.at(120.0)
    (host.root / "sys/class/powercap/intel-rapl:0/energy_uj").write_text("\n")
    host.env |= host.nvml.fault("nvmlDeviceGetTotalEnergyConsumption", UNKNOWN, gpu=1).env()
    data = sample(host, status=3)
    assert {one["name"] for one in data["counters"]}.isdisjoint(
        {"rapl:package-0", f"gpu:{uuid(1)}"}
    )
    host.at(180.0)
    data = sample(host)
    bridged = {one["name"] for one in data["counters"] if one["reason"] == "bridged"}
    assert bridged == {"rapl:package-0", f"gpu:{uuid(1)}"}
    assert_all_is_counted(host, first)


def test_a_host_that_was_booted_anew(host: EnergyHost) -> None:
    """Counters begin at 0, and what they show since is all that is counted: nothing phantom."""
    sample(host)
    host.at(60.0)
    sample(host)
    before = host.totals()
    host.reboot()
    data = sample(host)
    assert {one["reason"] for one in data["counters"]} == {"reset"}
    added = {name: uj - before[name] for name, uj in host.totals().items()}
    assert added == {name: host.moved.of(name) for name in COMPONENTS}
