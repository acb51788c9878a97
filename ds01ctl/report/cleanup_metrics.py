"""The metrics of `cleanup`: what it freed, stopped and removed, and what keeps it from it.

Counters come from totals in the state store, which only grow. Two jobs have a file each, and no
series is in both: the collector would refuse them.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from ds01ctl.report.prometheus import Family, Sample

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ds01ctl.core.cleanup_model import Part

BREAKERS = ("share", "users", "source", "boot", "upgrade", "clock", "state")
_VERDICTS = ("active", "idle", "unknown", "baseline", "stopped", "created", "other")
_STAGES = ("1", "2")


class Count(NamedTuple):
    """One counter: a total's first word in the store, and what it counts."""

    word: str
    name: str
    text: str
    parts: tuple[Part, ...]


_OF_CONTAINERS = (
    Count("stop-container", "ds01_cleanup_stopped_containers_total",
          "Containers that cleanup has stopped, by the rule.", ("idle", "runtime")),
    Count("remove-container", "ds01_cleanup_removed_containers_total",
          "Containers that cleanup has removed, by the rule.", ("stopped", "created")),
    Count("release-gpu", "ds01_cleanup_released_gpu_holds_total",
          "GPUs of stopped containers that count as free again.", ("gpu-holds",)),
)  # fmt: skip
_OF_IMAGES = (
    Count("remove-image", "ds01_cleanup_removed_images_total",
          "Images that cleanup has removed.", ("images",)),
    Count("untag-image", "ds01_cleanup_untagged_images_total",
          "Tags of images that cleanup has removed, where the image stayed.", ("images",)),
    Count("prune-build-cache", "ds01_cleanup_build_cache_prunes_total",
          "Times that cleanup had the engine shrink its build cache.", ("cache",)),
    Count("remove-network", "ds01_cleanup_removed_networks_total",
          "Networks that cleanup has removed.", ("networks",)),
)  # fmt: skip
CONTAINER_PARTS: tuple[Part, ...] = ("idle", "runtime", "stopped", "created", "gpu-holds")
IMAGE_PARTS: tuple[Part, ...] = ("images", "cache", "networks")


class Seen(NamedTuple):
    """What a run of the container parts saw."""

    verdicts: Iterable[str]
    """One for each container that is watched."""
    kept: int
    breakers: Iterable[str]
    """Those that tripped."""


def of_containers(totals: Mapping[str, float], seen: Seen) -> Iterator[Family]:
    """Make the families of the job that looks after containers."""
    yield from _counters(totals, _OF_CONTAINERS, CONTAINER_PARTS)
    yield Family(
        "ds01_cleanup_warnings_total",
        "counter",
        "Warnings that were delivered, by rule and stage.",
        tuple(
            Sample({"part": part, "stage": stage}, totals.get(f"warn|{part}|{stage}", 0))
            for part in ("idle", "runtime")
            for stage in _STAGES
        ),
    )
    yield Family(
        "ds01_cleanup_reclaimed_gpu_seconds_total",
        "counter",
        "Time for which GPUs of idle containers were free because cleanup stopped those, times"
        " their GPU equivalents; at most a day for each stop.",
        (Sample({}, totals.get("gpu-seconds", 0)),),
    )
    found = Counter(seen.verdicts)
    yield Family(
        "ds01_cleanup_watched_containers",
        "gauge",
        "Containers that cleanup watches, by what the last run concluded.",
        tuple(Sample({"verdict": one}, found[one]) for one in _VERDICTS),
    )
    yield Family(
        "ds01_cleanup_kept_containers",
        "gauge",
        "Containers that an admin or their user keeps from cleanup.",
        (Sample({}, seen.kept),),
    )
    yield _breakers(seen.breakers, "containers")


def of_images(totals: Mapping[str, float], breakers: Iterable[str]) -> Iterator[Family]:
    """Make the families of the job that looks after images, build cache and networks."""
    yield from _counters(totals, _OF_IMAGES, IMAGE_PARTS)
    yield _breakers(breakers, "images")


def _counters(
    totals: Mapping[str, float], counts: Iterable[Count], parts: Iterable[Part]
) -> Iterator[Family]:
    for one in counts:
        samples = (Sample({"part": p}, totals.get(f"{one.word}|{p}", 0)) for p in one.parts)
        yield Family(one.name, "counter", one.text, tuple(samples))
    parts = tuple(parts)
    for word, name, text in (
        ("freed", "ds01_cleanup_freed_bytes_total", "Disk space that cleanup has freed, by part."),
        ("failed", "ds01_cleanup_failures_total", "Things that cleanup could not do, by part."),
    ):
        samples = (Sample({"part": part}, totals.get(f"{word}|{part}", 0)) for part in parts)
        yield Family(name, "counter", text, tuple(samples))


def _breakers(tripped: Iterable[str], of: str) -> Family:
    now = set(tripped)
    return Family(
        "ds01_cleanup_breaker_tripped",
        "gauge",
        "Whether a circuit breaker kept the last run from stopping or removing anything.",
        tuple(Sample({"breaker": one, "of": of}, one in now) for one in BREAKERS),
    )
