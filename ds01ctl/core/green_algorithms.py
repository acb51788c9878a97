"""Estimate what a computation will use, with the formula of Green Algorithms.

    energy [kWh] = hours x (cores x W/core x usage + GPUs x W x usage + GB x 0.3725) x PUE x PSF / 1000
    carbon [g]   = energy x intensity [g/kWh]

Lannelongue, Grealey, Inouye: Green Algorithms: Quantifying the Carbon Footprint of Computation,
Advanced Science 2021, doi 10.1002/advs.202100707; constants of the calculator, v3.0 (CC BY 4.0).
"""  # noqa: E501 -- a formula is read in one line

from __future__ import annotations

from math import isfinite
from typing import NamedTuple

from ds01ctl.core.hardware_power import ANY, Model, UnknownModelError, model_of

__all__ = ["Equivalents", "Estimate", "Load", "UnknownModelError", "equivalents", "estimate"]

MEMORY_W_PER_GB = 0.3725
PUE = 1.56
"""The calculator's own: Uptime Institute, average of 2024. Versions before 3.0 had 1.67."""
GIVEN = "given"
_CAR_G_PER_KM = 175.0
_TRAIN_G_PER_KM = 41.0
_TREE_MONTH_G = 917.0
_FLIGHT_G = 50_000.0


class Load(NamedTuple):
    """What is to be computed."""

    hours: float
    cores: float = 0
    core_model: str = ANY
    core_watts: float | None = None
    """Goes before the model's."""
    core_usage: float = 1.0
    """0 to 1, mean over the hours."""
    gpus: float = 0
    gpu_model: str = ANY
    gpu_watts: float | None = None
    gpu_usage: float = 1.0
    memory_gb: float = 0.0
    """What is asked for, not what is used: it draws as much."""
    pue: float = PUE
    psf: float = 1.0
    """Pragmatic scaling factor: how often it is run."""


class Estimate(NamedTuple):
    """What it will use, and from which values that was computed."""

    energy_kwh: float
    carbon_g: float
    core_kwh: float
    """With PUE and PSF, as the others: the three add up to the whole."""
    gpu_kwh: float
    memory_kwh: float
    core: Model
    gpu: Model
    pue: float
    psf: float
    g_per_kwh: float


class Equivalents(NamedTuple):
    """The same mass of CO2 in other terms; constants of the calculator."""

    car_km: float
    """A European car, 175 g/km."""
    train_km: float
    """41 g/km."""
    tree_months: float
    """What a tree takes up in a month, 917 g."""
    flights_paris_london: float
    """50 kg for one passenger."""


def estimate(load: Load, g_per_kwh: float) -> Estimate:
    """Estimate the energy and carbon of a load.

    Raises UnknownModelError, and ValueError for a number that cannot be meant.
    """
    _check(load, g_per_kwh)
    core = _model(load.core_model, load.core_watts, is_gpu=False)
    gpu = _model(load.gpu_model, load.gpu_watts, is_gpu=True)
    factor = load.hours * load.pue * load.psf / 1000
    core_kwh = factor * load.cores * core.watts * load.core_usage
    gpu_kwh = factor * load.gpus * gpu.watts * load.gpu_usage
    memory_kwh = factor * load.memory_gb * MEMORY_W_PER_GB
    kwh = core_kwh + gpu_kwh + memory_kwh
    parts = (core_kwh, gpu_kwh, memory_kwh)
    # watt-hours and grams
    if not isfinite(kwh * max(1000.0, g_per_kwh)):
        raise ValueError("so much energy is no number")
    return Estimate(
        kwh, kwh * g_per_kwh, *parts, core, gpu, load.pue, load.psf, g_per_kwh=g_per_kwh
    )


def equivalents(grams: float) -> Equivalents:
    """Put a mass of CO2 in other terms."""
    return Equivalents(
        grams / _CAR_G_PER_KM,
        grams / _TRAIN_G_PER_KM,
        grams / _TREE_MONTH_G,
        grams / _FLIGHT_G,
    )


def _model(name: str, watts: float | None, *, is_gpu: bool) -> Model:
    if watts is not None:
        return Model(name, watts, GIVEN)
    return model_of(name, "gpu" if is_gpu else "cpu")


def _check(load: Load, g_per_kwh: float) -> None:
    amounts = {
        name: getattr(load, name)
        for name in ("hours", "cores", "core_watts", "gpus", "gpu_watts", "memory_gb", "psf")
    }
    for name, value in {**amounts, "intensity": g_per_kwh}.items():
        if value is not None and not (isfinite(value) and value >= 0):
            raise ValueError(f"{name} is {value:g}; expected a number that is not negative")
    for name in ("core_usage", "gpu_usage"):
        if not 0 <= getattr(load, name) <= 1:
            raise ValueError(f"{name} is {getattr(load, name):g}; expected a number from 0 to 1")
    if not (isfinite(load.pue) and load.pue >= 1):
        what = "the whole house's energy over the computers'"
        raise ValueError(f"pue is {load.pue:g}; it is {what}, so never below 1")
