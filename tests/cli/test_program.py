"""The program itself: help, contract, what it loads, what it prints where."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from ds01ctl.commandline import COMMANDS as COMMAND_ORDER
from tests.cli.conftest import Host, gaps
from tests.cli.terminal import on_pty
from tests.nvml.double import GIB, NvmlDouble

ESCAPES = r"\x1b\[[0-9;?]*[a-zA-Z]"
COMMANDS = [
    ("detect",), ("detect", "unmanaged"), ("detect", "workloads"), ("snapshot",), ("events",),
    ("config",), ("config", "check"), ("config", "show"), ("config", "explain"),
    ("config", "schema"), ("config", "init"),
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_teaches(host: Host, command: tuple[str, ...]) -> None:
    """Every command has help; every leaf shows an example."""
    ran = host.run(*command, "--help")
    assert ran.status == 0
    assert f"Usage: ds01ctl {' '.join(command)}" in ran.out
    if len(command) > 1 or command[0] in {"snapshot", "events"}:
        assert "Example" in ran.out


def test_version(host: Host) -> None:
    from ds01ctl import __version__

    assert host.run("--version").out == f"ds01ctl {__version__}\n"


@pytest.mark.parametrize("arguments", [(), ("detect",)])
def test_no_arguments_is_help(host: Host, arguments: tuple[str, ...]) -> None:
    ran = host.run(*arguments)
    assert (ran.status, ran.out) == (2, "")
    assert "Commands:" in ran.err


def test_help_names_the_commands_in_order(host: Host) -> None:
    """What one comes for is first, and examples show how it is asked for."""
    text = host.run("--help").out
    listed = text.partition("Commands:")[2].split("Examples:")[0]
    assert [line.split()[0] for line in listed.strip().splitlines()] == list(COMMAND_ORDER)
    assert "ds01ctl detect unmanaged" in text.partition("Examples:")[2]


def test_help_explains_the_signs_of_the_table(host: Host) -> None:
    text = " ".join(host.run("detect", "--help").out.split())
    for sign in ("GPU 2:1 is MIG instance 1 of GPU 2", "(0,1)", "? is unknown", "(new)"):
        assert sign in text


@pytest.mark.parametrize("view", ["unmanaged", "workloads"])
def test_help_lists_what_kinds_there_are(host: Host, view: str) -> None:
    """The kinds in the help are those in the refusal, and none of the parser's own words shows."""
    text = host.run("detect", view, "--help").out
    refused = host.run("detect", view, "--kind", "nonsense").err
    kinds = refused.partition("kinds: ")[2].strip().split(", ")
    assert len(kinds) > 5
    told = "".join(text.split())
    assert [kind for kind in kinds if kind not in told] == []
    assert "x>=" not in text
    assert "RANGE" not in text.upper().replace("ARRANGE", "")


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("detect", "unmanaged", "--nonsense"), "ds01ctl detect unmanaged --help"),
        (("detect", "nonsense"), "ds01ctl detect --help"),
        (("events", "--user"), "ds01ctl events --help"),
        (("nonsense",), "ds01ctl --help"),
    ],
    ids=str,
)
def test_wrong_usage_points_to_the_right_help(
    host: Host, arguments: tuple[str, ...], hint: str
) -> None:
    ran = host.run(*arguments)
    assert ran.status == 2
    assert ran.err.splitlines()[0].startswith("ds01ctl: ")
    assert ran.err.splitlines()[1:] == [f"hint: {hint}"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("detect", "unmanaged", "--replay", ""),
        ("detect", "unmanaged", "--user", ""),
        ("detect", "unmanaged", "--user="),
        ("detect", "workloads", "--gpu", ""),
        ("detect", "workloads", "--config", ""),
        ("events", "--since", ""),
        ("events", "--type", ""),
        ("snapshot", "-o", ""),
        ("config", "explain", ""),
        ("config", "check", "--config="),
    ],
    ids=str,
)
def test_an_empty_value_is_refused(host: Host, arguments: tuple[str, ...]) -> None:
    """`--user "$WHO"` with WHO unset must not mean every user."""
    ran = host.run(*arguments)
    assert (ran.status, ran.out) == (2, "")
    assert "empty" in ran.err


@pytest.mark.parametrize(
    ("option", "expected"),
    [("--kind", "host-gpu-process"), ("--replay", "example"), ("--kind gpu-", "gpu-mismatch")],
)
def test_completion(host: Host, option: str, expected: str) -> None:
    """The shell completes kinds, and `example`."""
    words = f"ds01ctl detect unmanaged {option}"
    words += "" if option.count(" ") else " "
    host.env |= {
        "_DS01CTL_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
    }
    ran = host.run()
    assert expected in ran.out.split()
    if " " in option:
        assert "unattributed" not in ran.out


@pytest.mark.parametrize(
    "arguments",
    [
        ("detect", "unmanaged", "--nonsense"),
        ("detect", "nonsense"),
        ("nonsense",),
        ("detect", "unmanaged", "--watch", "0"),
        ("detect", "unmanaged", "--watch", "nan"),
        ("detect", "workloads", "--watch", "inf"),
        ("detect", "workloads", "--watch", "86401"),
        ("detect", "workloads", "--watch", "soon"),
        ("detect", "workloads", "--kind", "nonsense"),
        ("detect", "unmanaged", "--record", "--user", "alice"),
        ("detect", "unmanaged", "--watch", "5", "--json"),
        ("detect", "unmanaged", "--interactive"),
        ("snapshot", "--json"),
        ("events", "--since", "whenever"),
        ("events", "--limit", "0"),
    ],
    ids=" ".join,
)
def test_wrong_usage(host: Host, arguments: tuple[str, ...]) -> None:
    """Exit 2, nothing on stdout, a message on stderr; with --json the document."""
    if "--json" not in arguments:
        ran = host.run(*arguments)
        assert (ran.status, ran.out) == (2, "")
        assert ran.err
        arguments = (*arguments, "--json")
    ran = host.run(*arguments)
    assert ran.status == 2
    assert ran.document["status"] == "error"
    assert ran.document["error"]["exit_code"] == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("detect", "unmanaged"),
        ("detect", "unmanaged", "--all"),
        ("detect", "unmanaged", "--replay", "example"),
        ("detect", "workloads", "--replay", "example", "--by", "gpu", "--all"),
        ("config", "check"),
        ("config", "show", "--resolved"),
        ("config", "explain", "alice"),
        ("config", "schema"),
        ("config", "init", "--dry-run"),
        ("events",),
    ],
    ids=" ".join,
)
def test_json_contract(host: Host, arguments: tuple[str, ...]) -> None:
    """One document with every key of the contract, and nothing else on stdout."""
    host.policy("defaults: {max_cpus: 4}\n")
    if arguments[:2] == ("config", "init"):
        host.policy_path.unlink()
    host.events_path.parent.mkdir()
    host.events_path.touch()
    document = host.json(*arguments)
    assert document["command"] == " ".join(arguments[:2] if len(arguments) > 1 else arguments)


def test_a_thirty_second_job_pays_for_nothing_it_does_not_use(host: Host) -> None:
    """The timer's command loads none of the heavy libraries."""
    code = (
        "import sys; from ds01ctl.cli import run; run(['detect', 'unmanaged', '--json']);"
        "print(sorted(m.split('.')[0] for m in sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=host.env, capture_output=True, text=True, check=True
    )
    json.loads(done.stdout)
    loaded = set(done.stderr.translate(str.maketrans("", "", "[]',")).split())
    heavy = {
        "docker", "requests", "urllib3", "rich", "psutil", "pynvml", "http", "email", "asyncio",
        "logging", "ctypes", "pydantic", "xml", "multiprocessing", "concurrent",
    }  # fmt: skip
    assert sorted(loaded & heavy) == []


def shell(host: Host, command: str) -> subprocess.CompletedProcess[str]:
    """Run a line of bash in which `ds01ctl` is the program."""
    line = f'ds01ctl() {{ {sys.executable} -m ds01ctl "$@"; }}; {command}'
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line],
        env=host.env, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize(
    "command",
    [
        "detect unmanaged --replay example --explain",
        "detect workloads --watch 1",
        "config schema",
        "--help",
    ],
)
def test_a_reader_that_has_seen_enough(host: Host, command: str) -> None:
    """`| head -1` ends it without a complaint, also what would go on for ever."""
    done = shell(host, f"ds01ctl {command} | head -1")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "command",
    [
        "detect unmanaged --replay example",
        "detect unmanaged --replay example --json",
        "detect unmanaged --nonsense --json",
        "config schema",
        "--version",
        "--help",
    ],
)
@pytest.mark.parametrize(
    ("where", "why"),
    [(">/dev/full", "No space left on device"), (">&-", "Bad file descriptor")],
)
def test_output_that_goes_nowhere(host: Host, command: str, where: str, why: str) -> None:
    """A full disk or a closed stdout is told in one line, and is a failure."""
    done = shell(host, f"ds01ctl {command} {where}")
    told = f"ds01ctl: cannot write to standard output: {why}\n"
    assert (done.returncode, done.stderr) == (1, told)


@pytest.mark.parametrize("where", ["2>/dev/full", "2>&-"])
def test_complaints_that_go_nowhere(host: Host, where: str) -> None:
    """Nobody hears it, but the exit code says it."""
    assert shell(host, f"ds01ctl detect unmanaged --nonsense {where}").returncode == 2
    assert shell(host, f"ds01ctl detect unmanaged --replay example {where}").returncode == 0


def test_a_closed_stdout_is_not_given_to_the_database(host: Host) -> None:
    """Output must never end up in a file that happens to get the number 1."""
    done = shell(host, "ds01ctl detect unmanaged --record >&- 2>&-")
    assert done.returncode == 1
    host.json("detect", "unmanaged", "--record")
    assert ("state", "failed") not in gaps(host.json("detect", "unmanaged"))


@pytest.mark.parametrize("delay_s", [0.06, 0.09, 0.12, 0.15, 0.2])
def test_interrupted_anywhere(host: Host, delay_s: float) -> None:
    """^C from the moment that our code is there: no word of Python's, only the exit code."""
    code = (
        "import os, signal, threading, time;"
        f"at = lambda: (time.sleep({delay_s} - 0.05), os.kill(os.getpid(), signal.SIGINT));"
        "import sys; sys.argv[1:] = ['detect', 'workloads', '--watch', '5'];"
        "threading.Thread(target=at, daemon=True).start();"
        "from ds01ctl.__main__ import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=host.env, capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert done.stderr.strip() == ""
    # killed while it loaded; told while it looked; ended while it watched
    assert done.returncode in {-signal.SIGINT, 130, 0}


def test_terminal_gets_a_table(host: Host) -> None:
    """On a terminal the same report is a rich table; NO_COLOR takes the colours out."""
    shown = host.on_terminal("detect", "unmanaged", "--replay", "example")
    assert "host-gpu-process" in shown
    assert "─" in shown
    assert "\x1b[33m" not in shown
    del host.env["NO_COLOR"]
    assert "\x1b[33m" in host.on_terminal("detect", "unmanaged", "--replay", "example")


@pytest.mark.parametrize("columns", [80, 100, 139])
def test_narrow_terminals_stay_readable(host: Host, columns: int) -> None:
    """No line is broken by the terminal, and each kind stands whole in its row."""
    replay = ("detect", "unmanaged", "--replay", "example", "--kind", "unmanaged-container")
    with on_pty(host, *replay, columns=columns) as terminal:
        lines = re.sub(ESCAPES, "", terminal.rest()).splitlines()
    assert all(len(line.rstrip()) <= columns for line in lines)
    rows = [line for line in lines if line.split()[:1] in (["warning"], ["info"])]
    assert [row.split()[1] for row in rows] == ["unmanaged-container"] * 3
    assert "    no label of the platform (ds01.managed, aime.mlc)" in [x.rstrip() for x in lines]
    assert any(line.startswith("2:1 = GPU 2, MIG instance 1") for line in lines)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_locale_that_lacks_a_sign(host: Host, encoding: str) -> None:
    """The report comes all the same, with an escape in the sign's place."""
    host.env["PYTHONIOENCODING"] = encoding
    ran = host.run("detect", "unmanaged", "--replay", "example")
    assert ran.status == 0
    assert "llm-finetune" in ran.out


def test_a_pipe_has_no_legend(host: Host) -> None:
    assert "2:1 = " not in host.run("detect", "unmanaged", "--replay", "example").out


def test_watch_shows_and_ends_on_interrupt(host: Host) -> None:
    """`--watch` looks again and again; ^C ends it without a complaint."""
    with subprocess.Popen(
        [sys.executable, "-m", "ds01ctl", "detect", "workloads", "--watch", "1"],
        env=host.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as running:  # fmt: skip
        assert running.stdout is not None
        assert running.stderr is not None
        looks = 0
        while looks < 2:
            looks += "^C ends" in running.stdout.readline()
        running.send_signal(signal.SIGINT)
        rest = running.stderr.read()
        running.wait(10)
    assert "Traceback" not in rest
    assert running.returncode == 0


def test_watch_on_a_small_screen(
    host: Host, nvml: NvmlDouble, gpu_process: Callable[..., int]
) -> None:
    """The count and the clock are to be seen, whatever the number of rows."""
    nvml.gpus(1)
    for _ in range(12):
        nvml.process(gpu=0, pid=gpu_process(1001), mem=GIB)
    host.env |= {**nvml.env(), "TZ": "CET-1"}
    with on_pty(host, "detect", "workloads", "--watch", "30", rows=12) as terminal:
        seen = terminal.until("^C ends")
        terminal.type("\x03")
        terminal.rest()
        assert terminal.status() == 0
    lines = re.sub(ESCAPES, "", seen).splitlines()
    assert len(lines) < 12
    assert re.search(r"\+\d+ more rows", seen)
    assert "12 workloads; examined 1 GPU, 12 GPU processes" in seen
    assert re.search(r"\d\d:\d\d:\d\d CET, every 30 s", seen)


def test_watch_outlives_a_policy_saved_half_edited(host: Host) -> None:
    """The reason is shown, and it looks again until the policy is whole."""
    host.policy("")
    with subprocess.Popen(
        [sys.executable, "-m", "ds01ctl", "detect", "workloads", "--watch", "1"],
        env=host.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as running:  # fmt: skip
        assert running.stdout is not None
        assert running.stderr is not None
        steps = (("", "^C ends"), ("defaults: [\n", "not looked again: "), ("", "NVML"))
        for policy, expected in steps:
            host.policy(policy)
            while expected not in (line := running.stdout.readline()):
                assert line, running.stderr.read()
        running.send_signal(signal.SIGINT)
        running.stdout.read()
        assert running.stderr.read() == ""
    assert running.returncode == 0


def test_watch_does_not_begin_with_a_broken_policy(host: Host) -> None:
    host.policy("defaults: [\n")
    assert host.run("detect", "workloads", "--watch", "1").status == 1
