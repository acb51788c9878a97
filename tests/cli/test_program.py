"""The program itself: help, contract, what it loads, what it prints where."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.cli.conftest import Host

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


def test_no_arguments_is_help(host: Host) -> None:
    ran = host.run()
    assert ran.status == 2
    assert "Commands:" in ran.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("detect", "unmanaged", "--nonsense"),
        ("detect", "nonsense"),
        ("nonsense",),
        ("detect", "unmanaged", "--watch", "0"),
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


def test_a_reader_that_has_seen_enough(host: Host) -> None:
    """`| head -1` ends it without a complaint."""
    command = f"{sys.executable} -m ds01ctl detect unmanaged --replay example --explain | head -1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        env=host.env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stderr == ""


def test_terminal_gets_a_table(host: Host) -> None:
    """On a terminal the same report is a rich table; NO_COLOR takes the colours out."""
    shown = host.on_terminal("detect", "unmanaged", "--replay", "example")
    assert "host-gpu-process" in shown
    assert "─" in shown
    assert "\x1b[33m" not in shown
    del host.env["NO_COLOR"]
    assert "\x1b[33m" in host.on_terminal("detect", "unmanaged", "--replay", "example")


def test_watch_shows_and_ends_on_interrupt(host: Host) -> None:
    """`--watch` looks again and again; ^C ends it without a complaint."""
    import signal

    with subprocess.Popen(
        [sys.executable, "-m", "ds01ctl", "detect", "workloads", "--watch", "1"],
        env=host.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as running:  # fmt: skip
        assert running.stdout is not None
        assert running.stderr is not None
        looks = 0
        while looks < 2:
            looks += "examined" in running.stdout.readline()
        running.send_signal(signal.SIGINT)
        rest = running.stderr.read()
        running.wait(10)
    assert "Traceback" not in rest
    assert running.returncode == 0
