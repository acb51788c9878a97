"""End `carbon sample` wherever it changes the disk: `python -m tests.energy.kill 1000`.

Whatever happens to a run, what the store has is what the counters moved up to a run that was
committed, to the microjoule; the file that Prometheus reads is whole and never goes back.
"""

from __future__ import annotations

import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter as Tally
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.energy import trace as tr
from tests.energy.host import EnergyHost

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.energy.host import Moved

STEP_S = 20.0
"""Between runs: more than a run takes on a busy machine, and few enough of them make no wrap."""
COMPONENTS = ("cpu", "dram", "gpu")
BETWEEN_CLEAN = 4
"""Kills in a row; the counters go around twice unseen if nothing is committed for too long."""
_SERIES = re.compile(r"([a-z][a-z0-9_]*(?:\{[^}]*\})?) ([0-9.e+-]+)")


class Cut(NamedTuple):
    """Where a run is ended, and how."""

    at: int
    """The number of the change."""
    how: str
    """before, after, half; full, EIO: see cut.c."""
    what: str = ""
    """Only changes of this name are counted."""
    file: str = ""
    """Only files whose path matches this are."""


def build(folder: Path) -> Path:
    """Compile the library that ends a program."""
    library = folder / "cut.so"
    source = Path(__file__).with_name("cut.c")
    argv = ["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([*argv, "-o", str(library), str(source), "-ldl"], check=True)
    return library


class Reader(threading.Thread):
    """Reads the file all the time, as node_exporter might, and notes what must never be."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self.path = path
        self.problems: list[str] = []
        self.files = 0
        self._shown = ""
        self._values: dict[str, float] = {}
        self._over = threading.Event()

    def __enter__(self) -> Reader:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()
        self._look()

    def run(self) -> None:
        while not self._over.wait(0.002):
            self._look()

    def _look(self) -> None:
        try:
            text = self.path.read_text()
        except FileNotFoundError:
            if self._shown:
                self.problems.append("the file is gone")
            return
        if text != self._shown:
            self._shown = text
            self.files += 1
            self._compare(text)

    def _compare(self, text: str) -> None:
        types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
        values: dict[str, float] = {}
        for line in text.splitlines():
            if line.startswith("# "):
                continue
            match = _SERIES.fullmatch(line)
            if match is None or match[1].partition("{")[0] not in types:
                self.problems.append(f"no series: {line!r}")
            elif match[1] in values:
                self.problems.append(f"twice: {match[1]}")
            else:
                values[match[1]] = float(match[2])
        if not text.endswith("\n"):
            self.problems.append("half a file")
        counters = {name for name in values if types[name.partition("{")[0]] == "counter"}
        for name, known in self._values.items():
            if name not in values:
                self.problems.append(f"gone: {name}")
            elif values[name] < known:
                self.problems.append(f"{name} went from {known} back to {values[name]}")
        self._values = {name: values[name] for name in counters}


class Victim:
    """A host whose runs are ended, and what its counters have moved."""

    def __init__(self, folder: Path, libraries: Path, runs: int, seed: int = 1) -> None:
        gpus: tuple[tr.Kind, ...] = ("exclusive", "shared")
        self.host = EnergyHost(folder, libraries, tr.make(seed, 3, gpus, (runs + 2) * STEP_S))
        self.library = build(folder)
        self.log = folder / "changes"
        self.first: Moved | None = None
        self.committed: Moved | None = None
        """What the counters showed at the last run that is in the store."""
        self.killed = 0
        self.said = ""
        """By the last run, on stderr."""

    def pass_time(self) -> None:
        """Let the counters go on."""
        self.host.at(self.host.seconds + STEP_S)

    def run(self, cut: Cut | None = None) -> int:
        """Take a sample and give its status."""
        env = {"LD_PRELOAD": str(self.library), "CUT_BELOW": f"{self.host.root}/"}
        if cut is None:
            self.log.unlink(missing_ok=True)
            env["CUT_LOG"] = str(self.log)
        else:
            env |= {"CUT_AT": str(cut.at), "CUT_HOW": cut.how}
            env |= {"CUT_WHAT": cut.what} if cut.what else {}
            env |= {"CUT_FILE": cut.file} if cut.file else {}
        done = subprocess.run(self.argv(), env={**self.host.env, **env}, capture_output=True)
        self.killed += done.returncode == -signal.SIGKILL
        self.said = done.stderr.decode()
        return done.returncode

    def run_whole(self) -> None:
        """Take a sample that must succeed, and see that all is counted. Raises AssertionError."""
        assert self.run() == 0, self.said
        self.check(is_whole=True)

    def argv(self) -> list[str]:
        return self.host.argv("-m", "ds01ctl", "carbon", "sample")

    def check(self, *, is_whole: bool = False) -> None:
        """See that the store is as of a run, the last if it was whole. Raises AssertionError."""
        stored = stored_totals(self.host.database)
        if self.first is None and not self._begins(stored, is_whole=is_whole):
            return
        assert self.first is not None
        now = self._since(self.host.moved)
        if is_whole or stored == now:
            assert stored == now
            self.committed = self.host.moved
        else:
            assert stored == self._since(self.committed or self.first)

    def _begins(self, stored: Mapping[str, int], *, is_whole: bool) -> bool:
        """Find out if a baseline was committed: before it nothing can be counted."""
        assert not any(stored.values())
        if is_whole or raw_rows(self.host.database):
            self.first = self.committed = self.host.moved
        return self.first is not None

    def _since(self, moved: Moved) -> dict[str, int]:
        assert self.first is not None
        return {name: uj for name in COMPONENTS if (uj := moved.of(name) - self.first.of(name)) > 0}


_QUIET: dict[str, object] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def boundaries(log: Path) -> Iterator[Cut]:
    """Choose where to end a run: at the first of each kind of change, and of many at a later one.

    Before it; a write also in its middle; after it where that makes something final.
    """
    # the number of the process is in a name; how often a page is written depends on what was killed
    kinds = Tally(re.sub(r"\.\d+\.part$", ".*.part", line) for line in log.read_text().splitlines())
    for kind, count in kinds.items():
        what, file = kind.split(" ", 1)
        pattern = f"*{file}"
        yield Cut(1, "before", what, pattern)
        if "write" in what:
            yield Cut(1, "half", what, pattern)
        if count > 4:
            yield Cut(count // 2, "before", what, pattern)
        if what in {"rename", "fdatasync", "unlink"}:
            yield Cut(1, "after", what, pattern)


def stored_totals(database: Path) -> dict[str, int]:
    """Add up what the store has by component; of a copy: to look changes what a kill left."""
    return dict(
        _query(database, "SELECT component, sum(uj) FROM energy_totals GROUP BY 1 HAVING sum(uj)")
    )


def raw_rows(database: Path) -> int:
    """Count the last readings in the store."""
    rows = _query(database, "SELECT 'n', count(*) FROM energy_raw")
    return rows[0][1] if rows else 0


def _query(database: Path, sql: str) -> list[tuple[str, int]]:
    if not database.exists():
        return []
    with tempfile.TemporaryDirectory(prefix="ds01-k-") as folder:
        for name in ("", "-wal", "-journal"):
            if (part := Path(f"{database}{name}")).exists():
                shutil.copy(part, f"{folder}/db{name}")
        with sqlite3.connect(f"{folder}/db") as copy:
            assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            try:
                rows: list[tuple[str, int]] = copy.execute(sql).fetchall()
            except sqlite3.OperationalError:  # no such table yet
                rows = []
        copy.close()
    return rows


def check_metrics(path: Path) -> None:
    """Let promtool look at the file. Raises AssertionError."""
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=path.read_text(), capture_output=True, text=True
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def kill_at_random(victim: Victim, dice: random.Random) -> None:
    """Kill a run from outside, at any moment of it."""
    process = subprocess.Popen(victim.argv(), env=victim.host.env, **_QUIET)  # type: ignore[call-overload]
    time.sleep(dice.uniform(0.05, 1.2))
    process.kill()
    victim.killed += process.wait() == -signal.SIGKILL


def main() -> None:
    """Kill a run as often as was said: at changes in turn, and every third time at any moment."""
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    dice = random.Random(8)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ds01-k-") as folder:
        victim = Victim(Path(folder), Path(folder) / "nvml", 2 * wanted)
        victim.run_whole()
        with Reader(victim.host.prom) as reader:
            runs = _kill(victim, wanted, dice)
        counted = sum(stored_totals(victim.host.database).values()) / 1e6
    seconds = time.monotonic() - began
    print(f"{victim.killed} kills in {runs} runs, {seconds:.0f} s; {reader.files} files were read")
    print(f"{counted:.6f} J are in the store, as many as the counters moved")
    print("\n".join(reader.problems) or "no decrease, no half file, nothing twice")
    sys.exit(bool(reader.problems))


def _kill(victim: Victim, wanted: int, dice: random.Random) -> int:
    runs = 0
    while victim.killed < wanted:
        victim.pass_time()
        runs += 1
        if runs % (BETWEEN_CLEAN + 1) == 0:
            victim.run_whole()
        elif dice.random() < 1 / 3:
            kill_at_random(victim, dice)
            victim.check()
        else:
            changes = len(victim.log.read_text().splitlines())
            how = dice.choice(("before", "after", "half"))
            victim.run(Cut(dice.randint(1, changes + 1), how))
            victim.check()
        if runs % 100 == 0:
            check_metrics(victim.host.prom)
            print(f"{victim.killed} kills in {runs} runs", file=sys.stderr, flush=True)
    victim.pass_time()
    victim.run_whole()
    return runs


if __name__ == "__main__":
    main()
