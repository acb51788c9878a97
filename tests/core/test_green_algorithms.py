"""Estimates agree with the published formula, worked out by hand; and embodied carbon adds up."""

from __future__ import annotations

import math

import pytest

from ds01ctl.core import embodied
from ds01ctl.core.embodied import Embodied
from ds01ctl.core.energy_model import UNATTRIBUTED
from ds01ctl.core.green_algorithms import Estimate, Load, equivalents, estimate
from ds01ctl.core.hardware_power import CPUS, GPUS, UnknownModelError, model_of

YEARS_5 = 43_800.0

# t x (n x P x u + GPUs x P x u + GB x 0.3725) x PUE x PSF / 1000
WORKED = [
    ("one core of any kind", Load(1, 1, pue=1.0), 100, 0.012, 1.2),
    ("cores and memory", Load(12, 12, memory_gb=64, pue=1.67), 100,
     12 * (12 * 12.0 + 64 * 0.3725) * 1.67 / 1000, None),
    ("the calculator's own PUE", Load(10, 8, "EPYC 7763", memory_gb=32), 329.65,
     10 * (8 * 4.4 + 32 * 0.3725) * 1.56 / 1000, None),
    ("usage of the cores only", Load(10, 8, "EPYC 7763", core_usage=0.5, memory_gb=32), 329.65,
     10 * (8 * 4.4 * 0.5 + 32 * 0.3725) * 1.56 / 1000, None),
    ("a GPU alone", Load(1, gpus=1, gpu_model="A100 80GB PCIe", pue=1.0), 500, 0.3, 150.0),
    ("four GPUs, half used, beside cores",
     Load(48, 16, "Xeon Gold 6248", gpus=4, gpu_model="Tesla V100", gpu_usage=0.5, memory_gb=128,
          pue=1.2), 217.41,
     48 * (16 * 7.5 + 4 * 300 * 0.5 + 128 * 0.3725) * 1.2 / 1000, None),
    ("run a hundred times", Load(2, 4, memory_gb=16, pue=1.0, psf=100), 41.44,
     2 * (4 * 12.0 + 16 * 0.3725) * 100 / 1000, None),
    ("the power is given", Load(3, 2, core_watts=10, gpus=1, gpu_watts=450, pue=1.1), 383.5,
     3 * (2 * 10 + 450) * 1.1 / 1000, None),
    ("nothing for no time", Load(0, 64, gpus=8, memory_gb=1024), 458.29, 0.0, 0.0),
    ("a clean grid", Load(1, 1, pue=1.0), 0, 0.012, 0.0),
]  # fmt: skip


@pytest.mark.parametrize(
    ("load", "intensity", "kwh", "grams"),
    [row[1:] for row in WORKED],
    ids=[row[0] for row in WORKED],
)
def test_formula(load: Load, intensity: float, kwh: float, grams: float | None) -> None:
    found = estimate(load, intensity)
    assert math.isclose(found.energy_kwh, kwh, rel_tol=1e-9, abs_tol=1e-12)
    wanted = kwh * intensity if grams is None else grams
    assert math.isclose(found.carbon_g, wanted, rel_tol=1e-9, abs_tol=1e-12)
    parts = found.core_kwh + found.gpu_kwh + found.memory_kwh
    assert math.isclose(parts, found.energy_kwh, rel_tol=1e-12)


def test_values_are_told() -> None:
    found: Estimate = estimate(Load(1, 1, gpus=1, gpu_watts=450), 100)
    assert (found.pue, found.psf, found.g_per_kwh) == (1.56, 1.0, 100)
    assert found.core == ("Any", 12.0, "Green Algorithms v3.0")
    assert found.gpu == ("Any", 450, "given")


WRONG = [
    (Load(-1), 100, "hours is -1; expected a number that is not negative"),
    (Load(float("nan")), 100, "hours is nan"),
    (Load(1, float("inf")), 100, "cores is inf"),
    (Load(1, memory_gb=-1), 100, "memory_gb is -1"),
    (Load(1, gpu_watts=-1), 100, "gpu_watts is -1"),
    (Load(1, core_usage=1.01), 100, "core_usage is 1.01; expected a number from 0 to 1"),
    (Load(1, gpu_usage=-0.1), 100, "gpu_usage is -0.1"),
    (Load(1, gpu_usage=float("nan")), 100, "gpu_usage is nan"),
    (Load(1, pue=0.9), 100, "pue is 0.9; it is the whole house's energy over the computers'"),
    (Load(1, pue=float("nan")), 100, "pue is nan"),
    (Load(1, psf=-1), 100, "psf is -1"),
    (Load(1), -1, "intensity is -1"),
]


@pytest.mark.parametrize(("load", "intensity", "said"), WRONG)
def test_what_cannot_be_meant(load: Load, intensity: float, said: str) -> None:
    with pytest.raises(ValueError) as error:
        estimate(load, intensity)
    assert str(error.value).startswith(said)


MODELS = [
    ("NVIDIA A100-SXM4-80GB", 400.0),
    ("NVIDIA A100-PCIE-40GB", 250.0),
    ("NVIDIA A100 80GB PCIe", 300.0),
    ("NVIDIA H100 80GB HBM3", 700.0),
    ("nvidia geforce rtx 3090", 350.0),
    ("RTX 2080 Ti", 250.0),
    ("rtx 2080", 215.0),
    ("Tesla T4", 70.0),
    ("L4", 72.0),
    ("a6000", 300.0),
    ("any", 200.0),
]


@pytest.mark.parametrize(("name", "watts"), MODELS)
def test_gpu_by_any_spelling(name: str, watts: float) -> None:
    assert model_of(name, "gpu").watts == watts


CORES = [
    ("AMD EPYC 7763 64-Core Processor", 4.4),
    ("Intel(R) Xeon(R) Gold 6248 CPU @ 2.50GHz", 7.5),
    ("Intel(R) Xeon(R) CPU E5-2670 v2 @ 2.50GHz", 11.5),
    ("EPYC 7251", 15.0),
    ("epyc 7642", 4.7),
]


@pytest.mark.parametrize(("name", "watts"), CORES)
def test_cpu_by_any_spelling(name: str, watts: float) -> None:
    assert model_of(name, "cpu").watts == watts


UNKNOWN = [
    ("A100", "NVIDIA A100 40GB PCIe"),  # four of them, and they draw differently
    ("H100", "NVIDIA H100 PCIe"),
    ("H100 SXM", "NVIDIA H100 PCIe"),
    ("RTX 2080 Super", "NVIDIA RTX 2080"),
    ("Tesla V100-SXM2-32GB", "NVIDIA Tesla V100"),
    ("titann v", "NVIDIA Titan V"),
    ("qqqq", None),
    ("", None),
    ("NVIDIA", None),
]


@pytest.mark.parametrize(("name", "near"), UNKNOWN)
def test_unknown_model_names_the_nearest(name: str, near: str | None) -> None:
    with pytest.raises(UnknownModelError) as error:
        estimate(Load(1, gpus=1, gpu_model=name), 100)
    assert (near in error.value.near) if near else not error.value.near
    assert "is no model of the table" in str(error.value)


def test_no_model_stands_for_two() -> None:
    """Every row is found by its own name, so that no two have the same words."""
    assert [model_of(one.name, "gpu") for one in GPUS if one.name != "TITAN"] == list(GPUS)
    assert [model_of(one.name, "cpu") for one in CPUS] == list(CPUS)


def test_equivalents() -> None:
    assert equivalents(917.0).tree_months == 1.0
    assert equivalents(1750.0).car_km == 10.0
    assert equivalents(410.0).train_km == 10.0
    assert equivalents(50_000.0).flights_paris_london == 1.0


# --- embodied carbon ---


def test_embodied_per_hour() -> None:
    """150 kg over five years are 3.42 g an hour."""
    assert embodied.ug_of(150, YEARS_5, 3600) == 3_424_658
    assert embodied.ug_of(150, YEARS_5, YEARS_5 * 3600) == 150 * 10**9
    assert embodied.ug_of(150, 0, 3600) == 0
    with pytest.raises(ValueError, match="interval"):
        embodied.ug_of(150, YEARS_5, -1)


HOLDERS: list[tuple[dict[str, dict[str, float]], set[str]]] = [
    ({}, {UNATTRIBUTED}),
    ({"a": {}, "b": {}}, {UNATTRIBUTED}),
    ({"a": {"alice": 1.0}, "b": {}}, {"alice", UNATTRIBUTED}),
    ({"a": {"alice": 1.0}, "b": {"bob": 1.0}}, {"alice", "bob"}),
    ({"a": {"alice": 3 / 7, "bob": 1 / 7}}, {"alice", "bob", UNATTRIBUTED}),
    ({"a": {"alice": 1.0, "bob": 1.0}}, {"alice", "bob"}),  # shared: no more than the whole
    ({"a": {"alice": 0.0}}, {UNATTRIBUTED}),
]


@pytest.mark.parametrize(("holders", "parties"), HOLDERS)
def test_embodied_adds_up(holders: dict[str, dict[str, float]], parties: set[str]) -> None:
    whole = Embodied(1500, 150, YEARS_5)
    charged = embodied.charge(whole, 61.7, holders)
    gpus = embodied.ug_of(150, YEARS_5, 61.7) * len(holders)
    assert sum(charged.values()) == gpus + embodied.ug_of(1500, YEARS_5, 61.7)
    assert set(charged) == parties
    assert all(ug > 0 for ug in charged.values())


@pytest.mark.parametrize("nothing", [Embodied(), Embodied(1500, 150, 0), Embodied(0, 0, YEARS_5)])
def test_embodied_is_optional(nothing: Embodied) -> None:
    assert not nothing.is_counted
    assert embodied.charge(nothing, 60, {"a": {"alice": 1.0}}) == {}


def test_embodied_from_the_policy() -> None:
    written = {"carbon.embodied.gpu_kg": 150, "carbon.embodied.lifetime_h": 43800}
    assert embodied.embodied_of(written.get) == Embodied(0, 150, 43800)
