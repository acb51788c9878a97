"""The table of `detect` and the lines around it, on a pipe and on terminals of any size."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from rich.console import Console

from ds01ctl.core.model import Gap
from ds01ctl.core.plan import Finding, Result
from ds01ctl.report import detect_foot, detect_table, finding_text, screen
from ds01ctl.report.detect_rows import table

NOON = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)
GIB = 1 << 30
WHY = "no label of the platform (ds01.managed, aime.mlc), and a reason that goes on for a while"


@pytest.fixture
def cet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Be in a place one hour east of Greenwich."""
    monkeypatch.setenv("TZ", "CET-1")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def use(index: int | None, memory: int | None = GIB, instance: int | None = None) -> dict[str, Any]:
    return {
        "pid": 10, "index": index, "uuid": f"GPU-{index}", "mig_uuid": None,
        "gpu_instance": instance, "compute_instance": None, "type": "C", "memory_bytes": memory,
    }  # fmt: skip


def subject(name: str, *uses: dict[str, Any], **more: Any) -> dict[str, Any]:
    owner = {"login": "alice", "uid": 1001, "rule": "uid", "confidence": "certain"}
    return {
        "type": "container", "engine": "unix:///e", "id": name, "name": name, "state": "running",
        "started_at": NOON, "runtime": "docker", "gpus": list(uses), "gpu_uuids": None,
        "owner": {**owner, "corroborated": True}, **more,
    }  # fmt: skip


def finding(about: dict[str, Any], kind: str = "unmanaged-container", **more: Any) -> Finding:
    made = Finding(kind, "warning", "alice", about, (WHY, "more"), (kind,), NOON - timedelta(1))
    return made._replace(**more)


def result(*findings: Finding, **data: Any) -> Result:
    examined = {"gpus": 2, "gpu_processes": 1, "containers": 1}
    gpu = {"index": 0, "uuid": "GPU-0", "mig_devices": []}
    known = {"examined": examined, "gpus": [gpu]}
    return Result("detect unmanaged", "gpu01", NOON, findings=findings, data={**known, **data})


def piped(shown: Result, capsys: pytest.CaptureFixture[str], *, explain: bool = False) -> list[str]:
    detect_table.print_result(shown, explain=explain)
    return capsys.readouterr().out.splitlines()


def on_screen(shown: Result, width: int, *, explain: bool = False) -> list[str]:
    terminal = Console(file=io.StringIO(), width=width, height=50, color_system=None)
    for block in screen.blocks(table(shown), width, explain=explain):
        terminal.print(block)
    assert isinstance(terminal.file, io.StringIO)
    return [line.rstrip() for line in terminal.file.getvalue().splitlines()]


# --- on a pipe -----------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [41, 121, 301, 4000])
def test_a_pipe_gets_whole_names_and_reasons(
    length: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is shortened where a script may read it."""
    name, why = "n" * length, "w" * length
    shown = result(finding(subject(name), evidence=(why, why), user=name))
    lines = piped(shown, capsys, explain=True)
    assert [lines[1].count("n" * length), lines[1].count(why), lines[2].strip()] == [2, 1, why]


def test_absurd_text_is_cut_and_escapes_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    line = piped(result(finding(subject("\x1b[31m" + "n" * 9999))), capsys)[1]
    assert "\\x1b[31m" in line
    assert "\x1b" not in line
    assert line.count("n" * 4000) == 1
    assert len(line) < 5000


def test_wide_characters_take_two_cells(capsys: pytest.CaptureFixture[str]) -> None:
    """The column behind a Chinese name stands where it stands for the others."""
    head, wide, plain, _ = piped(
        result(finding(subject("模型")), finding(subject("model"))), capsys
    )
    assert wide.index(" 1d ") + 2 == plain.index(" 1d ") == head.index(" AGE")


def test_every_row_of_a_pipe_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    """What is left out on a terminal, as the row above says it, is there for grep."""
    one = subject("train", use(0))
    lines = piped(result(finding(one), finding(one, "outside-slice")), capsys)
    assert [("alice" in line, "train" in line) for line in lines[1:3]] == [(True, True)] * 2


# --- on a terminal -------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [80, 100, 139])
@pytest.mark.parametrize("kind", ["unmanaged-container", "privileged-gpu-container"])
def test_a_narrow_terminal_keeps_kinds_whole_and_reasons_below(width: int, kind: str) -> None:
    name = "a-container-with-a-rather-long-name-of-its-own"
    about = subject(name, *(use(index) for index in range(8)))
    lines = on_screen(result(finding(about, kind, new=True)), width)
    assert all(len(line) <= width for line in lines)
    [row] = [line for line in lines if kind in line]
    assert row.startswith("warning ")
    assert not any(WHY[:20] in line and kind in line for line in lines)
    below = [line for line in lines if line.startswith("    ") and not line.startswith("     ")]
    assert " ".join(line.strip() for line in below) == "(new) " + WHY


def test_a_wide_terminal_has_a_column_for_reasons() -> None:
    lines = on_screen(result(finding(subject("train"))), 200)
    assert lines[0].endswith("WHY")
    assert lines[2].endswith(WHY)


def test_a_long_name_is_folded_not_lost() -> None:
    name = "abcdefghij" * 5
    lines = on_screen(result(finding(subject(name))), 80)
    at, end = lines[0].index("WHAT"), lines[0].index("GPU")
    row = [line for line in lines[2:] if not re.match(r" {4}\S", line)]
    assert len(row) > 1
    assert "".join(line[at:end].strip() for line in row) == name


def test_a_subject_is_named_once() -> None:
    """Three findings about one container, and one about another of the same name."""
    one, other = subject("train", use(0)), subject("train", use(0), id="other")
    kinds = ("outside-slice", "unmanaged-container", "gpu-mismatch")
    found = [finding(one, kind) for kind in kinds] + [finding(other)]
    lines = on_screen(result(*found), 200)[2:]
    assert [line.count("train") for line in lines] == [1, 0, 0, 1]
    assert [line.count("alice") for line in lines] == [1, 0, 0, 1]
    assert all(kind in line for kind, line in zip(kinds, lines, strict=False))


@pytest.mark.parametrize(
    ("uses", "given", "expected"),
    [
        ((10, 2, 1), None, "1,2,10"),
        ((2, None), None, "2,?"),
        ((), ["GPU-0"], "(0)"),
        ((), ["GPU-gone"], "(?)"),
        ((), None, "-"),
    ],
)
def test_gpus_are_in_the_order_of_numbers(
    uses: tuple[int | None, ...], given: list[str] | None, expected: str
) -> None:
    about = subject("x", *map(use, uses), gpu_uuids=given)
    made = table(result(finding(about)))
    assert made.lines[0].cells[made.titles.index("GPU")] == expected


@pytest.mark.parametrize(
    ("about", "new", "expected"),
    [
        (subject("x", use(0)), False, None),
        (subject("x", use(2, GIB, 1)), False, "2:1 = GPU 2, MIG instance 1"),
        (subject("x", gpu_uuids=["GPU-0"]), False, "(0) = given, not in use"),
        (subject("x", use(0, None)), False, "? = unknown"),
        (subject("x", use(0)), True, "(new) = seen too briefly or too rarely to be sure"),
    ],
)
def test_signs_are_explained_where_they_are_used(
    about: dict[str, Any], new: bool, expected: str | None
) -> None:
    assert detect_foot.legend(table(result(finding(about, new=new)))) == expected


@pytest.mark.parametrize(
    ("height", "more"), [(10, "+96 more rows"), (103, "+3 more rows"), (200, "")]
)
def test_watch_fits_the_screen(height: int, more: str) -> None:
    """The foot is always to be seen; what does not fit is counted."""
    shown = result(*(finding(subject(f"c{number}")) for number in range(100)))
    terminal = Console(file=io.StringIO(), width=200, height=height, color_system=None)
    rows = screen.blocks(table(shown), 200, explain=False)
    terminal.print(screen.fitting(terminal, rows, ["foot", "clock"]))
    assert isinstance(terminal.file, io.StringIO)
    lines = terminal.file.getvalue().splitlines()
    assert len(lines) < height
    assert lines[-2:] == ["foot", "clock"]
    assert more in lines[-3]


# --- the foot ------------------------------------------------------------------------------------

SEEN = {"gpus": 1, "gpu_processes": 2, "containers": 1}
NO_NVML = {"gpus": None, "gpu_processes": None, "containers": 3}
BLIND = {"gpus": None, "gpu_processes": None, "containers": None}
ASKED = {"user": "typo", "gpu": None, "kinds": []}
LOOKED = "examined 1 GPU, 2 GPU processes, 1 container"


@pytest.mark.parametrize(
    ("data", "found", "expected"),
    [
        ({"examined": SEEN}, 0, f"no findings; {LOOKED}"),
        ({"examined": SEEN}, 1, f"1 finding; {LOOKED}"),
        ({"examined": SEEN}, 2, f"2 findings; {LOOKED}"),
        ({"examined": SEEN, "filters": ASKED}, 0, f"no findings for user typo; {LOOKED}"),
        ({"examined": SEEN, "filters": ASKED}, 1, f"1 finding; {LOOKED}"),
        (
            {"examined": SEEN, "filters": {"user": None, "gpu": "2:1", "kinds": ["a", "b"]}}, 0,
            f"no findings on GPU 2:1 of kind a, b; {LOOKED}",
        ),
        (
            {"examined": SEEN, "held_back": 24}, 0,
            f"no confirmed findings; 24 new ones wait for a second scan; {LOOKED}",
        ),
        ({"examined": SEEN, "held_back": 0}, 0, f"no findings; {LOOKED}"),
        (
            {"examined": SEEN, "held_back": 1}, 2,
            f"2 findings; 1 new one waits for a second scan; {LOOKED}",
        ),
        (
            {"examined": NO_NVML}, 0,
            "no findings in what could be seen; examined ? GPUs, ? GPU processes, 3 containers",
        ),
        (
            {"examined": BLIND}, 0,
            "nothing can be said: neither NVML nor a container engine answered",
        ),
        (
            {"examined": BLIND}, 1,
            "1 finding; examined ? GPUs, ? GPU processes, ? containers",
        ),
        ({"examined": SEEN, "workloads": []}, 0, f"no workloads; {LOOKED}"),
        ({"examined": SEEN, "workloads": [{}]}, 0, f"1 workload; {LOOKED}"),
    ],
)  # fmt: skip
def test_what_was_found_in_words(data: dict[str, Any], found: int, expected: str) -> None:
    """Not seen is never told as not there, and a mistyped filter is seen."""
    shown = result(*[finding(subject("x"))] * found, **data)
    assert detect_foot.summary(shown) == expected


def test_new_ones_are_counted() -> None:
    shown = result(finding(subject("x"), new=True), finding(subject("y")))
    assert detect_foot.summary(shown).startswith("2 findings (1 new); ")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("nvml", "not seen: nvml failed: why"),
        ("docker", "not seen: docker failed: why"),
        ("processes", "not seen: processes failed: why"),
        ("users", "not seen: users failed: why"),
        ("policy", "note: policy failed: why"),
        ("state", "not remembered: state failed: why"),
        ("events", "not written: events failed: why"),
        ("metrics", "not written: metrics failed: why"),
    ],
)
def test_a_gap_says_what_it_cost(source: str, expected: str) -> None:
    assert detect_foot.gap_line(Gap(source, "failed", "why")) == expected


@pytest.mark.usefixtures("cet")
def test_a_replay_says_so_first(capsys: pytest.CaptureFixture[str]) -> None:
    replay = {
        "file": "x.json",
        "host": "gpu01",
        "taken_at": NOON,
        "policy": "/etc/ds01/limits.yaml",
    }
    assert piped(result(replay=replay), capsys)[0] == (
        "recorded on gpu01 at 2026-11-23 13:00 CET (not this machine), judged by limits.yaml"
    )
    bare = result(replay={**replay, "policy": None})
    assert piped(bare, capsys)[0].endswith("judged by the built-in policy")


@pytest.mark.usefixtures("cet")
def test_all_of_a_finding_in_words() -> None:
    """No Python in it: the owner, the GPUs, memory and times read as sentences."""
    about = subject("train", use(0, 3 * GIB), use(2, None, 1), pids=[10, 11], unexplained_bytes=GIB)
    about["owner"]["corroborated"] = False
    text = "\n".join(finding_text.lines(finding(about, first_seen=NOON)))
    for line in (
        "warning unmanaged-container, user alice",
        f"because: {WHY}",
        "first seen: 2026-11-23 13:00 CET",
        "owner: alice (uid 1001), certain, by uid; only a label or a name says so",
        "uses: GPU 0: 3.0 GiB by pid 10",
        "uses: GPU 2, MIG instance 1: memory unknown by pid 10",
        "pids: 10, 11",
        "unexplained: 1.0 GiB",
        "started: 2026-11-23 13:00 CET",
    ):
        assert f"\n  {line}\n" in f"\n  {text}\n"
    assert not set("{}[]'") & set(text)
