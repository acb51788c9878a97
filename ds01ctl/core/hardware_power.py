"""What processors draw at full load, by model, for estimates before anything was measured.

Green Algorithms, calculator v3.0, data (CC BY 4.0), where it has a model; board power as the
maker states it for newer GPUs, which it lacks.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

ANY = "Any"
GREEN_ALGORITHMS = "Green Algorithms v3.0"
_MAKER = "board power as NVIDIA states it"
_MAKERS = ("nvidia", "amd", "intel", "r", "tm")
_SERIES = ("tesla", "geforce", "quadro", "gpu", "cpu", "processor", "epyc", "xeon", "core")
_NO_NAME = frozenset((*_MAKERS, *_SERIES))
"""Words that tell no model from another."""


class Model(NamedTuple):
    """One model of a GPU, or of a CPU."""

    name: str
    watts: float
    """Of a GPU, or of one core of a CPU."""
    source: str = GREEN_ALGORITHMS


class UnknownModelError(ValueError):
    """A model is in no row, or could be several; ``near`` names those it was likely meant to be."""

    def __init__(self, name: str, near: tuple[str, ...]) -> None:
        self.name = name
        self.near = near
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        super().__init__(f"{name!a} is no model of the table{hint}")


GPUS: tuple[Model, ...] = (
    Model(ANY, 200.0),
    *(
        Model(name, watts)
        for name, watts in (
            ("AMD RX480", 150.0),
            ("NVIDIA A100 40GB PCIe", 250.0),
            ("NVIDIA A100 80GB PCIe", 300.0),
            ("NVIDIA GTX 1080", 180.0),
            ("NVIDIA GTX 1080 Ti", 250.0),
            ("NVIDIA GTX TITAN X", 250.0),
            ("NVIDIA Jetson AGX Xavier", 30.0),
            ("NVIDIA RTX 2080", 215.0),
            ("NVIDIA RTX 2080 Ti", 250.0),
            ("NVIDIA Tesla K80", 300.0),
            ("NVIDIA Tesla P100", 250.0),
            ("NVIDIA Tesla P100 PCIe", 250.0),
            ("NVIDIA Tesla P4", 75.0),
            ("NVIDIA Tesla T4", 70.0),
            ("NVIDIA Tesla V100", 300.0),
            ("NVIDIA Tesla V100S", 250.0),
            ("NVIDIA Titan V", 250.0),
            ("NVIDIA TITAN X Pascal", 250.0),
            ("TPU v2", 280.0),
            ("TPU v3", 220.0),
            ("TPU v4", 170.0),
        )
    ),
    *(
        Model(f"NVIDIA {name}", watts, _MAKER)
        for name, watts in (
            ("A100 SXM4 40GB", 400.0),
            ("A100 SXM4 80GB", 400.0),
            ("A10", 150.0),
            ("A30", 165.0),
            ("A40", 300.0),
            ("H100 PCIe", 350.0),
            ("H100 80GB HBM3", 700.0),
            ("H200", 700.0),
            ("L4", 72.0),
            ("L40", 300.0),
            ("L40S", 350.0),
            ("RTX A4000", 140.0),
            ("RTX A5000", 230.0),
            ("RTX A6000", 300.0),
            ("RTX 6000 Ada Generation", 300.0),
            ("RTX 3080", 320.0),
            ("RTX 3090", 350.0),
            ("RTX 3090 Ti", 450.0),
            ("RTX 4080", 320.0),
            ("RTX 4090", 450.0),
            ("RTX 5090", 575.0),
            ("TITAN RTX", 280.0),
        )
    ),
)

CPUS: tuple[Model, ...] = (
    Model(ANY, 12.0),
    *(
        Model(name, watts)
        for name, watts in (
            ("AMD EPYC 7251", 15.0),
            ("AMD EPYC 7343", 11.9),
            ("AMD EPYC 7513", 6.3),
            ("AMD EPYC 7552", 4.2),
            ("AMD EPYC 7642", 4.7),
            ("AMD EPYC 7763", 4.4),
            ("AMD EPYC 7773X", 4.4),
            ("AMD EPYC 7H12", 4.4),
            ("AMD EPYC 7V73X", 4.4),
            ("Core i7-6700K", 23.8),
            ("Core i7-8700K", 15.8),
            ("Core i9-10900K", 12.5),
            ("Core i9-12900K", 7.8),
            ("Core i9-9900K", 11.9),
            ("Ryzen 5 3600", 10.8),
            ("Ryzen 7 3700X", 8.1),
            ("Ryzen 9 3900X", 10.4),
            ("Ryzen 9 3950X", 6.6),
            ("Ryzen Threadripper 2990WX", 7.8),
            ("Ryzen Threadripper 3990X", 4.4),
            ("Xeon E5-2650 v2", 11.9),
            ("Xeon E5-2660 v3", 10.5),
            ("Xeon E5-2670", 14.4),
            ("Xeon E5-2670 v2", 11.5),
            ("Xeon E5-2680 v3", 10.0),
            ("Xeon E5-2683 v4", 7.5),
            ("Xeon E5-2690 v2", 13.0),
            ("Xeon E5-2690 v3", 11.3),
            ("Xeon E5-2695 v3", 8.6),
            ("Xeon E5-2695 v4", 6.7),
            ("Xeon E5-2697 v4", 8.1),
            ("Xeon E5-2699 v3", 8.1),
            ("Xeon E5-2699 v4", 6.6),
            ("Xeon E5-4610 v4", 10.5),
            ("Xeon E7-8867 v3", 10.3),
            ("Xeon E7-8880 v4", 6.8),
            ("Xeon Gold 6142", 9.4),
            ("Xeon Gold 6148", 7.5),
            ("Xeon Gold 6248", 7.5),
            ("Xeon Gold 6252", 6.3),
            ("Xeon Platinum 8260", 6.9),
            ("Xeon Platinum 8268", 8.5),
            ("Xeon Platinum 9282", 7.1),
        )
    ),
)
Processor = Literal["gpu", "cpu"]


def model_of(name: str, processor: Processor) -> Model:
    """Find a model by its name, also as NVML or /proc/cpuinfo writes it.

    A part of the name will do where all models with it draw the same. Raises UnknownModelError.
    """
    table = GPUS if processor == "gpu" else CPUS
    asked = _words(name)
    by_words = {_words(model.name): model for model in table}
    if asked in by_words and asked:
        return by_words[asked]
    wider = [model for words, model in by_words.items() if asked and asked < words]
    if len({model.watts for model in wider}) == 1:
        return wider[0]
    near = tuple(model.name for model in wider) or _near(name, table)
    raise UnknownModelError(name, near)


def _near(name: str, table: tuple[Model, ...]) -> tuple[str, ...]:
    """List the models that share a number with a name, else those that are spelled like it."""
    from difflib import get_close_matches

    numbers = {word for word in _words(name) if re.search(r"\d", word) and word[-2:] != "gb"}
    alike = tuple(model.name for model in table if numbers & _words(model.name))
    spelled = {" ".join(sorted(_words(model.name))): model.name for model in table}
    found = get_close_matches(" ".join(sorted(_words(name))), sorted(spelled), 3, 0.5)
    return alike[:6] or tuple(spelled[each] for each in found)


def _words(name: str) -> frozenset[str]:
    """Take a name apart: ``NVIDIA A100-SXM4-80GB`` is a100, sxm4 and 80gb."""
    text = re.sub(r"@.*|\b\d+-core\b", " ", name.lower())
    text = re.sub(r"(\d+) +gb\b", r"\1gb", text)
    return frozenset(re.findall(r"[a-z0-9]+", text)) - _NO_NAME
