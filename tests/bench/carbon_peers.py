"""CodeCarbon's and carbontracker's own classes, and ours, on the same traces of power.

Each looks at the same files of one processor package, and at the same counter of one GPU, for an
hour, once a minute. carbontracker measures power over one second at each look, as its own code
says, and takes it for the mean; only the clock and the folder that it reads are ours. It is also
measured as its defaults have it, with a second between two looks.

The others live in the process that they measure: a boot ends them, and what they had counted. What
their classes make of counters that begin anew is seen with a suspend that has them do so.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import version
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from ds01ctl.core.energy_interval import account
from ds01ctl.core.energy_model import Counter, SplitPolicy, Work
from tests.energy import trace as tr

HOUR_S, LOOK_S = 3600.0, 60.0
RANGE_UJ = 65_532_610_987
_J_PER_KWH = 1 / 2.77778e-7
"""With CodeCarbon's own constant, so that only what it counts is compared."""


class Event(NamedTuple):
    """What happens at one look, in the middle of the hour."""

    name: str
    is_reset: bool = False
    """Counters begin at 0, a second before the look."""
    is_boot: bool = False
    """The host was booted; else it was suspended for an hour."""
    is_unreadable: bool = False
    knows_range: bool = True


EVENTS = (
    Event("nothing happens"),
    Event("one look fails", is_unreadable=True),
    Event("a suspend, and counters begin at 0", is_reset=True),
    Event("a boot", is_reset=True, is_boot=True),
    Event("the range is not readable", knows_range=False),
)
AT = HOUR_S / 2


class Scene:
    """One trace with an event, and the files at a time of it."""

    def __init__(self, trace: tr.Trace, event: Event, folder: Path) -> None:
        self.trace = trace
        self.event = event
        self.zone = folder / "intel-rapl:0"
        self.zone.mkdir()
        (self.zone / "name").write_text("package-0\n")
        if event.knows_range:
            (self.zone / "max_energy_range_uj").write_text(f"{RANGE_UJ}\n")
        self.now = 0.0
        self.go_to(0.0)

    @property
    def is_lost(self) -> bool:
        """Say whether nothing can be read at this time."""
        return self.event.is_unreadable and AT <= self.now < AT + LOOK_S

    def go_to(self, at: float) -> None:
        """Write the files of a time."""
        self.now = at
        file = self.zone / "energy_uj"
        file.write_text("\n" if self.is_lost else f"{self.cpu_uj()}\n")

    def cpu_uj(self) -> int:
        """Give what the package's counter shows."""
        uj = round(self._since(self.trace.package_joules) * 1e6)
        return uj % RANGE_UJ

    def gpu_mj(self) -> int | None:
        """Give what the GPU's counter shows; None: it cannot be read."""
        mj = round(self._since(lambda at: self.trace.board_joules(0, at)) * 1e3)
        return None if self.is_lost else mj

    def gpu_watts(self) -> float:
        """Give the power of the last second."""
        joules = self.trace.board_joules
        return joules(0, self.now) - joules(0, self.now - 1.0)

    def true_joules(self) -> float:
        """Give what both used in the hour, but what no counter can tell: before a boot."""
        whole = self._joules(HOUR_S) - self._joules(0.0)
        unseen = self._joules(AT - 1.0) - self._joules(AT - LOOK_S)
        return whole - (unseen if self.event.is_boot else 0.0)

    def _joules(self, at: float) -> float:
        return self.trace.package_joules(at) + self.trace.board_joules(0, at)

    def _since(self, joules: Callable[[float], float]) -> float:
        if self.event.is_reset and self.now >= AT:
            return joules(self.now) - joules(AT - 1.0)
        return joules(self.now) + 5000.0

    def looks(self, every_s: float = LOOK_S) -> Iterator[float]:
        """Go through the hour from look to look."""
        at = every_s
        while at <= HOUR_S:
            self.go_to(at)
            yield at
            at += every_s


# --- ours ---------------------------------------------------------------------------------------


def ours(scene: Scene) -> float:
    """Count joules with `account`."""
    last: Mapping[str, Counter] = {}
    pending: Mapping[str, Work] = {}
    total = 0
    for at in chain((0.0,), scene.looks()):
        policy, work = SplitPolicy(), Work(LOOK_S)
        one = account(last, _counters(scene, at), work, policy, pending, at_s=at)
        last, pending = one.last, one.pending
        total += sum(portion.uj for portion in one.interval.portions)
    return total / 1e6


def _counters(scene: Scene, at: float) -> list[Counter]:
    is_later = scene.event.is_reset and at >= AT
    boot, up, asleep = "first", at + 1000.0, 0.0
    if is_later and scene.event.is_boot:
        boot, up = "second", at - AT + 1.0
    elif is_later:
        asleep = HOUR_S
    mj = scene.gpu_mj()
    wraps = RANGE_UJ if scene.event.knows_range else None
    uj = None if scene.is_lost else scene.cpu_uj()
    found = [
        Counter("rapl:package-0", "cpu", boot, up + asleep, uj, wraps, 400.0),
        Counter("gpu:G", "gpu", boot, up + asleep, None if mj is None else mj * 1000, None, 450.0),
    ]
    return [one._replace(awake_s=up) for one in found]


# --- CodeCarbon ---------------------------------------------------------------------------------


def codecarbon(scene: Scene) -> float:
    """Count joules with RAPLFile and GPUDevice."""
    import logging

    from codecarbon.core.rapl import RAPLFile
    from codecarbon.core.units import Time

    logging.getLogger("codecarbon").setLevel(logging.CRITICAL)
    files = str(scene.zone / "energy_uj"), str(scene.zone / "max_energy_range_uj")
    rapl = RAPLFile("Processor", *files)
    gpu = _codecarbon_gpu(scene)
    rapl.start()
    gpu.start()
    total = 0.0
    for _ in scene.looks():
        rapl.delta(Time(LOOK_S))
        gpu.delta(Time(LOOK_S))
        total += rapl.energy_delta.kWh + gpu.energy_delta.kWh
    return total * _J_PER_KWH


def _codecarbon_gpu(scene: Scene) -> Any:
    from types import SimpleNamespace

    from codecarbon.core.gpu_device import GPUDevice

    class Device(GPUDevice):  # type: ignore[misc]  # not typed
        """What a backend fills in."""

        def _get_total_energy_consumption(self) -> int | None:
            return scene.gpu_mj()

        def _get_power_usage(self) -> float:
            return scene.gpu_watts()

        def _get_gpu_name(self) -> str:
            return "G"

        _get_uuid = _get_gpu_name

        def _get_power_limit(self) -> int:
            return 450

        def _get_memory_info(self) -> Any:
            return SimpleNamespace(total=1, free=1, used=0)

        def _reports_zero_power_by_design(self) -> bool:
            return False

    return Device(handle=None, gpu_index=0)


# --- carbontracker ------------------------------------------------------------------------------


def carbontracker(scene: Scene, every_s: float = LOOK_S) -> float:
    """Count joules with IntelCPU's power, and the GPU's power, each for the time until the next."""
    from carbontracker.components.cpu import intel

    def sleep(seconds: float) -> None:
        scene.go_to(scene.now + seconds)

    intel.RAPL_DIR = str(scene.zone.parent)
    intel.time = type("Clock", (), {"sleep": staticmethod(sleep)})  # theirs would take an hour
    cpu = intel.IntelCPU(pids=[], devices_by_pid=False)
    cpu.init()
    total = 0.0
    for at in scene.looks(every_s):
        scene.go_to(at - 1.0)
        try:
            watts = sum(cpu.power_usage())
        except ValueError:
            # its thread takes any error for the end of measuring, or of the whole process
            return total
        total += (watts + scene.gpu_watts()) * every_s
    return total


# --- telling ------------------------------------------------------------------------------------

PEERS: Mapping[str, Mapping[str, Callable[[Scene], float]]] = {
    "codecarbon": {"": codecarbon},
    "carbontracker": {"": carbontracker, ", a look every 2 s": lambda s: carbontracker(s, 2.0)},
}
_ENDED = "its process ends, and its totals"


def installed() -> list[str]:
    """Find those that can be compared."""
    return [name for name in PEERS if find_spec(name)]


def table(seeds: Iterable[int]) -> str:
    """Compare errors: the median and the largest of some traces, in percent of the truth."""
    tools: dict[str, Callable[[Scene], float]] = {"ds01ctl": ours}
    for peer in installed():
        tools |= {f"{peer} {version(peer)}{how}": count for how, count in PEERS[peer].items()}
    seeds = list(seeds)
    lines = [
        f"One package ({RANGE_UJ / 1e9:.1f} kJ range) and one GPU, 1 h, a look a minute, bursts of"
        f" 5 s to 5 min; signed error in % of the truth, median and the largest of {len(seeds)}"
        " traces; in joules by which the largest is off. carbontracker stops at the first read that"
        " fails, here in the middle of the hour:\n",
        f"| in the middle | {' | '.join(tools)} |",
        f"|---|{'---|' * len(tools)}",
    ]
    for event in EVENTS:
        cells = [
            _ENDED
            if event.is_boot and tool != "ds01ctl"
            else _cell([_error(count, event, seed) for seed in seeds])
            for tool, count in tools.items()
        ]
        lines.append(f"| {event.name} | {' | '.join(cells)} |")
    missing = sorted(PEERS.keys() - set(installed()))
    return "\n".join(lines + [f"\n{name} is not installed" for name in missing])


def _error(count: Callable[[Scene], float], event: Event, seed: int) -> tuple[float, float]:
    """Give the error in percent, and in joules."""
    trace = tr.make(seed, 3, ("exclusive",), HOUR_S)
    with tempfile.TemporaryDirectory(prefix="ds01-b-") as folder:
        scene = Scene(trace, event, Path(folder))
        true = scene.true_joules()
        wrong = count(scene) - true
    return 100 * wrong / true, wrong


def _cell(errors: list[tuple[float, float]]) -> str:
    middle = statistics.median(percent for percent, _ in errors)
    percent, joules = max(errors, key=lambda one: abs(one[0]))
    return f"{middle:+.4f} %, {percent:+.3f} % ({joules:+,.0f} J)"
