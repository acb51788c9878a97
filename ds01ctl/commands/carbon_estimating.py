"""What `carbon estimate` does: apply the formula of Green Algorithms."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ds01ctl.commands import carbon_factors, gathering
from ds01ctl.core import carbon_text, green_algorithms
from ds01ctl.core.green_algorithms import Load, UnknownModelError
from ds01ctl.core.intensity import choose, wanted_of
from ds01ctl.core.plan import Result
from ds01ctl.errors import UsageError

if TYPE_CHECKING:
    from datetime import datetime

    from ds01ctl.core.green_algorithms import Estimate
    from ds01ctl.core.hardware_power import Model
    from ds01ctl.core.intensity import Intensity
    from ds01ctl.core.policy import Policy


class Asked(NamedTuple):
    """The options of the command."""

    hours: float
    cores: float = 0
    cpu: str = "Any"
    gpu: str | None = None
    gpus: float | None = None
    memory_gb: float = 0
    usage: float = 1.0
    pue: float | None = None
    repeat: float = 1.0
    zone: str | None = None
    config: Path | None = None
    equivalences: bool = False


def estimate(asked: Asked) -> Result:
    """Estimate. Raises UsageError for a model or a zone that nobody knows."""
    if not (asked.cores or asked.gpu or asked.gpus or asked.memory_gb):
        raise UsageError("nothing to compute on", "give --gpu MODEL, --cores N or --memory-gb GB")
    paths, now = gathering.host_paths(), gathering.utcnow()
    loaded = gathering.load_policy(paths, asked.config)
    policy = loaded.policy
    intensity = _intensity(asked.zone, policy, now)
    pue, whence = _pue(asked.pue, policy)
    load = Load(
        asked.hours,
        asked.cores,
        asked.cpu,
        core_usage=asked.usage,
        gpus=_gpus(asked),
        gpu_model=asked.gpu or "Any",
        gpu_usage=asked.usage,
        memory_gb=asked.memory_gb,
        pue=pue,
        psf=asked.repeat,
    )
    try:
        found = green_algorithms.estimate(load, intensity.g_per_kwh)
    except UnknownModelError as error:
        raise UsageError(str(error), "its names are those of NVML and /proc/cpuinfo") from None
    except ValueError as error:
        hint = "give numbers that a machine can have: ds01ctl carbon estimate --help has examples"
        raise UsageError(str(error), hint) from None
    data = _data(asked, load, found, intensity, whence, policy)
    return Result("carbon estimate", os.uname().nodename, now, loaded.gaps, data=data)


def _gpus(asked: Asked) -> float:
    if asked.gpus is not None:
        return asked.gpus
    return 1.0 if asked.gpu else 0.0


def _intensity(zone: str | None, policy: Policy, now: datetime) -> Intensity:
    """Take the zone's row, or what the policy says; a provider's figure is of one moment."""
    wanted = wanted_of(policy.value)._replace(provider=None)
    if zone is None:
        return choose(wanted, (), now)
    return choose(wanted._replace(zone=carbon_factors.known_zone(zone), configured=None), (), now)


def _pue(given: float | None, policy: Policy) -> tuple[float, str]:
    if given is not None:
        return given, "given"
    known = policy.value("carbon.pue")
    if known is not None:
        return float(known), "carbon.pue"
    return green_algorithms.PUE, "Green Algorithms v3.0, Uptime Institute's average of 2024"


def _data(
    asked: Asked,
    load: Load,
    found: Estimate,
    intensity: Intensity,
    pue_source: str,
    policy: Policy,
) -> dict[str, Any]:
    wants_same = asked.equivalences or bool(policy.value("carbon.equivalences"))
    same = green_algorithms.equivalents(found.carbon_g)._asdict() if wants_same else None
    return {
        "energy_kwh": found.energy_kwh,
        "carbon_g": found.carbon_g,
        "core_kwh": found.core_kwh,
        "gpu_kwh": found.gpu_kwh,
        "memory_kwh": found.memory_kwh,
        "hours": load.hours,
        "cores": load.cores,
        "core": _model(found.core) if load.cores else None,
        "gpus": load.gpus,
        "gpu": _model(found.gpu) if load.gpus else None,
        "memory_gb": load.memory_gb,
        "usage": asked.usage,
        "repeat": load.psf,
        "pue": found.pue,
        "pue_source": pue_source,
        "g_per_kwh": intensity.g_per_kwh,
        "intensity": carbon_text.provenance(intensity),
        "notes": list(intensity.notes),
        "equivalences": same,
    }


def _model(one: Model) -> dict[str, Any]:
    return {"name": one.name, "watts": one.watts, "source": one.source}
