"""Images of a full engine, read and decided about: `python -m tests.bench.images`.

A real engine with 1,000 containers and 5,000 images of one small layer. The reading, the fold and
the decision are timed in one process; the SDK's own lists stand beside them.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import statistics
import tarfile
import time
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from ds01ctl.core import images, networks
from ds01ctl.core.image_rules import Rules
from ds01ctl.core.image_uses import Here, Use, fold
from ds01ctl.observe import engine_images
from ds01ctl.paths import Paths
from tests.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Callable

_PER_LOAD = 500
LONG_AGO = timedelta(days=90)


def main() -> None:
    """Measure, and print Markdown."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--containers", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    bench(args.rounds, args.images, args.containers)


def bench(rounds: int, images_: int = 5000, containers: int = 1000) -> None:
    """Start an engine, fill it, measure, and print Markdown."""
    engine = Engine()
    try:
        _fill(engine, images_, containers)
        _measure(engine, rounds)
    finally:
        engine.stop()


def _fill(engine: Engine, images_: int, containers: int) -> None:
    begun = time.perf_counter()
    for first in range(0, images_, _PER_LOAD):
        engine.client.load_image(_archive(range(first, min(first + _PER_LOAD, images_))))
    loaded = time.perf_counter()
    for number in range(containers):
        engine.run(f"c{number}", start=False)
    made = time.perf_counter()
    print(f"{images_} images in {loaded - begun:.0f} s, {containers} containers in"
          f" {made - loaded:.0f} s\n")  # fmt: skip


def _archive(numbers: range) -> bytes:
    """Pack images, each with a name and a configuration of its own, as `docker save` does."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("etc"))
    diff_id = f"sha256:{hashlib.sha256(layer.getvalue()).hexdigest()}"
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        _add(tar, "layer.tar", layer.getvalue())
        manifest = []
        for number in numbers:
            config = {"architecture": "amd64", "os": "linux", "created": "2026-01-01T00:00:00Z",
                      "config": {"Labels": {"number": str(number), "ds01.user": "alice"}},
                      "rootfs": {"type": "layers", "diff_ids": [diff_id]}}  # fmt: skip
            _add(tar, f"{number}.json", json.dumps(config).encode())
            tags = [f"lab/r{number % 400}:{number}"]
            manifest.append({"Config": f"{number}.json", "RepoTags": tags, "Layers": ["layer.tar"]})
        _add(tar, "manifest.json", json.dumps(manifest).encode())
    return packed.getvalue()


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


def _plan(engine: Engine) -> tuple[int, int, int]:
    """Read, fold and decide; the disk counts as full, and nothing as young."""
    now = datetime.now(timezone.utc)
    seen = engine_images.read((engine.host,), paths=Paths(), deadline_s=30, now=now)
    assert not seen.gaps, seen.gaps
    here = Here(seen.images, seen.holders, seen.events, seen.networks, seen.volumes, seen.listed)
    fresh = fold({}, here, now)
    long_ago = int((now - LONG_AGO).timestamp())
    uses = fold({key: Use(long_ago, long_ago) for key in fresh}, here._replace(events=()), now)
    complete = seen.complete("images", "containers")
    world = images.World(seen.images, seen.holders, uses, seen.disks, complete)
    decision = images.decide(world, Rules(high_percent=0.01, low_percent=0.001), now)
    networks.decide(seen.networks, seen.holders, uses, Rules(), now, complete)
    return seen.requests, len(seen.images), len(decision.changes) + len(decision.reserve)


def _measure(engine: Engine, rounds: int) -> None:
    requests, seen, changes = _plan(engine)
    rows = {
        "read, fold, decide": lambda: _plan(engine),
        "read for the uses alone": lambda: engine_images.read(
            (engine.host,), paths=Paths(), deadline_s=30, now=datetime.now(timezone.utc),
            wanted=engine_images.USES),
        "SDK, low level: images() and containers(all=True)": lambda: (
            engine.client.images(all=True), engine.client.containers(all=True)),
    }  # fmt: skip
    print(f"{requests} requests; {seen} images, {changes} changes; medians of {rounds} rounds\n")
    print("| | wall | CPU |\n|---|---:|---:|")
    for name, act in rows.items():
        wall_s, cpu_s = _median(act, rounds)
        print(f"| {name} | {wall_s * 1000:.0f} ms | {cpu_s * 1000:.0f} ms |")


def _median(act: Callable[[], object], rounds: int) -> tuple[float, float]:
    walls, cpus = [], []
    for _ in range(rounds):
        wall, cpu = time.perf_counter(), sum(os.times()[:2])
        act()
        walls.append(time.perf_counter() - wall)
        cpus.append(sum(os.times()[:2]) - cpu)
    return statistics.median(walls), statistics.median(cpus)


if __name__ == "__main__":
    main()
