"""What a child told must survive its death, and no child may survive its parent."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ds01ctl.observe.child import Answer, Child, record, whole_records

if TYPE_CHECKING:
    from collections.abc import Callable

    from ds01ctl.observe.child import Reporter


def test_values_come_in_order():
    def work(reporter: Reporter) -> None:
        reporter.tell(1)
        reporter.doing("the rest")
        reporter.tell({"two": (2, None)})

    assert Child(work).collect(10) == Answer([1, {"two": (2, None)}], True, "the rest", "")


def test_a_child_that_hangs_is_ended_at_the_deadline_and_keeps_what_it_told():
    def work(reporter: Reporter) -> None:
        reporter.tell("first")
        reporter.doing("the call that hangs")
        time.sleep(60)

    began = time.monotonic()
    assert Child(work).collect(0.3) == Answer(
        ["first"], False, "the call that hangs", "no answer in 0.3 s"
    )
    assert time.monotonic() - began < 5


def test_a_lifetime_ends_a_child_that_nobody_ends():
    """As when its parent was killed: a hang in C is no obstacle."""
    child = Child(lambda _: time.sleep(60), lifetime_s=0.2)
    assert child.collect(30).problem == "killed by SIGALRM"


def test_the_deadline_counts_from_the_start():
    child = Child(lambda _: time.sleep(60))
    time.sleep(2)
    began = time.monotonic()
    assert not child.collect(2).finished
    # it would be 2 s more, were they counted from here
    assert time.monotonic() - began < 1.5


def divide(reporter: Reporter) -> None:
    reporter.tell("before")
    reporter.tell(1 // 0)


def leave(reporter: Reporter) -> None:
    reporter.tell("before")
    sys.exit("enough")


def crash(reporter: Reporter) -> None:
    reporter.tell("before")
    os.kill(os.getpid(), signal.SIGSEGV)


def exit_at_once(reporter: Reporter) -> None:
    reporter.tell("before")
    os._exit(7)


@pytest.mark.parametrize(
    ("work", "problem"),
    [
        (divide, "ZeroDivisionError: integer division or modulo by zero"),
        (leave, "SystemExit: enough"),
        (crash, "killed by SIGSEGV"),
        (exit_at_once, "ended with status 7"),
    ],
)
def test_a_child_that_fails_says_why(
    work: Callable[[Reporter], None], problem: str, capfd: pytest.CaptureFixture[str]
):
    answer = Child(work).collect(10)
    assert (answer.values, answer.finished, answer.problem) == (["before"], False, problem)
    assert capfd.readouterr() == ("", "")


def test_a_large_value_arrives_whole():
    assert Child(lambda reporter: reporter.tell("x" * 10_000_000)).collect(30).values == [
        "x" * 10_000_000
    ]


def test_a_record_cut_short_by_a_kill_is_left_out():
    records = [record(0, "first"), record(1, "second"), record(0, ["third", 3])]
    whole = [(0, "first"), (1, "second"), (0, ["third", 3])]
    data = b"".join(records)
    for cut in range(len(data) + 1):
        complete = sum(len(b"".join(records[: n + 1])) <= cut for n in range(len(records)))
        assert list(whole_records(data[:cut])) == whole[:complete]


def sleeper(note: Path) -> Callable[[Reporter], None]:
    def work(reporter: Reporter) -> None:
        note.write_text(str(os.getpid()))
        time.sleep(60)

    return work


def noted(note: Path) -> int:
    return wait_for(lambda: int(note.read_text()) if note.exists() and note.read_text() else 0)


def wait_for(condition: Callable[[], int], seconds: float = 10) -> int:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.01)
    raise AssertionError("it did not happen")


def is_gone(pid: int) -> bool:
    """Tell whether a process has ended; a zombie that nobody reaps has."""
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True


def test_leaving_early_ends_the_child(tmp_path: Path):
    note = tmp_path / "pid"
    with suppress(KeyboardInterrupt), Child(sleeper(note)):
        noted(note)
        raise KeyboardInterrupt
    assert not Path(f"/proc/{noted(note)}").exists()


def test_close_after_collect_is_harmless():
    child = Child(lambda reporter: reporter.tell(1))
    with child:
        assert child.collect(10).values == [1]
        child.close()


def open_files() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def test_nothing_stays_open():
    before = open_files()
    Child(lambda reporter: reporter.tell(1)).collect(10)
    Child(lambda _: time.sleep(60)).close()
    assert open_files() == before


def test_the_child_dies_with_its_parent(tmp_path: Path):
    note = tmp_path / "pid"
    program = (
        "import sys, time, pathlib\n"
        "from tests.observe.test_child import sleeper\n"
        "from ds01ctl.observe.child import Child\n"
        "Child(sleeper(pathlib.Path(sys.argv[1])))\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(note)], cwd=ROOT) as parent:
        pid = noted(note)
        parent.kill()
    assert wait_for(lambda: is_gone(pid))


def test_the_child_holds_nothing_of_the_parent(tmp_path: Path):
    """A child that cannot be killed must not keep the reader of our output waiting."""
    note = tmp_path / "pid"
    reading, writing = os.pipe()
    with Child(sleeper(note)):
        noted(note)
        os.close(writing)
        assert select.select([reading], [], [], 5)[0], "somebody still holds the other end"
        assert os.read(reading, 1) == b""
    os.close(reading)


ROOT = Path(__file__).parents[2]
