"""A run that is ended anywhere, a full disk, two runs at once: nothing is lost, nothing twice."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.energy.kill import (
    COMPONENTS,
    Cut,
    Reader,
    Victim,
    boundaries,
    check_metrics,
    stored_totals,
)
from tests.energy.scrape import Prometheus

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RUNS = 100
CLEAN_EVERY = 5


@pytest.fixture
def victim(tmp_path: Path, nvml_libraries: Path) -> Victim:
    """A host that has not been looked at yet."""
    if os.geteuid() != 0:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("only root may move a clock")
    return Victim(tmp_path, nvml_libraries, RUNS)


def begin(victim: Victim) -> None:
    """Take two samples: the baseline, and one that counts."""
    for _ in range(2):
        victim.pass_time()
        victim.run_whole()


def test_killed_at_every_kind_of_change(victim: Victim) -> None:
    """Some 40 of them, from the lock to the last unlink; the store, the file and what was read."""
    begin(victim)
    cuts = tuple(boundaries(victim.log))
    with Reader(victim.host.prom) as reader:
        for number, cut in enumerate(cuts, 1):
            victim.pass_time()
            if victim.run(cut) != -signal.SIGKILL:
                # what a kill left may spare a step; now it was done to the end
                victim.pass_time()
                assert victim.run(cut) == -signal.SIGKILL, cut
            victim.check()
            if number % CLEAN_EVERY == 0:
                victim.pass_time()
                victim.run_whole()
        victim.pass_time()
        victim.run_whole()
    assert victim.killed == len(cuts) >= 30
    assert reader.files > len(cuts) // CLEAN_EVERY
    assert reader.problems == []
    check_metrics(victim.host.prom)
    litter = [path.name for path in victim.host.textfiles.iterdir()]
    assert [name for name in litter if name.endswith(".prom")] == ["ds01_carbon.prom"]


def test_killed_while_the_store_is_made(victim: Victim) -> None:
    """The first run of all, at each tenth change: the next begins as if that had not been."""
    at = 1
    while victim.first is None:
        victim.pass_time()
        victim.run(Cut(at, "before"))
        victim.check()
        at += 10
    assert victim.killed > 5
    victim.pass_time()
    victim.run_whole()
    assert sum(stored_totals(victim.host.database).values()) > 0


@pytest.mark.parametrize("how", ["full", "EIO"])
def test_a_disk_that_fails(victim: Victim, how: str) -> None:
    """Nothing can be written from a moment on, or one change fails: told, and made up for."""
    begin(victim)
    changes = len(victim.log.read_text().splitlines())
    told = 0
    with Reader(victim.host.prom) as reader:
        for at in range(2, changes, changes // 4):
            victim.pass_time()
            told += victim.run(Cut(at, how)) in {1, 3}
            victim.check()
            victim.pass_time()
            victim.run_whole()
    assert told >= 2
    assert reader.problems == []
    check_metrics(victim.host.prom)


@pytest.fixture
def full_disk(victim: Victim) -> Iterator[Path]:
    """Where the store and the file are is a disk of 512 KiB; more can be put there to fill it."""
    place = victim.host.root / "var/lib"
    options = ["-t", "tmpfs", "-o", "size=512k,mode=755", "tmpfs", str(place)]
    subprocess.run(["mount", *options], check=True)
    try:
        victim.host.textfiles.mkdir(parents=True)
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_disk_that_is_really_full(victim: Victim, full_disk: Path) -> None:
    begin(victim)
    filler = full_disk / "filler"
    with Reader(victim.host.prom) as reader:
        _fill(filler)
        for _ in range(2):
            victim.pass_time()
            assert victim.run() in {1, 3}
            victim.check()
        filler.unlink()
        victim.pass_time()
        victim.run_whole()
    assert reader.problems == []


def _fill(filler: Path) -> None:
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 512)
    with filler.open("ab", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        file.write(b"x" * 4096)


def test_two_at_once(victim: Victim) -> None:
    """One counts, the other says who holds the lock; or both do, one after the other."""
    begin(victim)
    with Reader(victim.host.prom) as reader:
        for _ in range(4):
            victim.pass_time()
            both = [
                subprocess.Popen(victim.argv(), env=victim.host.env, stdout=-3, stderr=-3)
                for _ in range(2)
            ]
            assert {one.wait() for one in both} <= {0, 5}
            victim.check(is_whole=True)
    assert reader.problems == []


def test_the_store_is_lost(victim: Victim) -> None:
    """It goes on from the file: less than an interval is missing, and nothing is there twice."""
    begin(victim)
    before = victim.host.moved
    with Reader(victim.host.prom) as reader:
        victim.host.database.unlink()
        victim.pass_time()
        # told as a gap
        assert victim.run() == 3
        lost = victim.host.moved
        victim.pass_time()
        assert victim.run() == 0
    assert reader.problems == []
    stored = stored_totals(victim.host.database)
    assert victim.first is not None
    for name in COMPONENTS:
        whole = victim.host.moved.of(name) - victim.first.of(name)
        interval = lost.of(name) - before.of(name)
        # the file has whole joules of each series
        assert whole - interval - 10 * 10**6 <= stored[name] <= whole - interval


def test_prometheus_sees_no_reset(victim: Victim, tmp_path: Path) -> None:
    """A real one scrapes all the while; it takes any decrease of a counter for a reset."""
    begin(victim)
    cuts = tuple(boundaries(victim.log))
    with Prometheus(tmp_path, victim.host.prom) as prometheus:
        for cut in cuts[:: max(1, len(cuts) // 5)]:
            victim.pass_time()
            victim.run(cut)
            victim.pass_time()
            assert victim.run() == 0
            prometheus.wait_for_scrape()
        victim.host.database.unlink()
        for _ in range(2):
            victim.pass_time()
            victim.run()
            prometheus.wait_for_scrape()
        energy = "ds01_energy_joules_total"
        assert prometheus.ask(f"count({energy})") > 5
        assert prometheus.ask(f"max(changes({energy}[1h]))") > 5
        assert prometheus.ask('max(resets({__name__=~"ds01_.+_total"}[1h]))') == 0
