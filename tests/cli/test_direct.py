"""What runs without typer does what it does with it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from ds01ctl import __version__, commandline
from ds01ctl.commands import direct
from ds01ctl.jobs import JOBS
from tests.cli.carbon_host import CarbonHost
from tests.cli.carbon_host import host as host

_CHANGING = {"time", "host", "age_s", "first_seen"}


def _still(value: Any) -> Any:
    """Leave out what two runs cannot have in common: times, and what was counted meanwhile."""
    if isinstance(value, dict):
        return {k: _still(v) for k, v in value.items() if k not in _CHANGING and "second" not in k}
    return [_still(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    "words",
    [
        ["carbon", "sample", "--dry-run", "--json"],
        ["detect", "unmanaged", "--json"],
        ["detect", "unmanaged", "--json", "--record"],
        ["detect", "unmanaged", "--exit-code", "--json"],
    ],
    ids=" ".join,
)
def test_both_ways_give_the_same(host: CarbonHost, words: list[str]) -> None:
    """With --config it is typer that reads the words."""
    by_typer = [*words, "--config", str(host.policy_path)]
    assert direct.find(words) is not None
    assert direct.find(by_typer) is None
    ours, theirs = host.run(*words), host.run(*by_typer)
    assert ours.status == theirs.status
    assert _still(json.loads(ours.out)) == _still(json.loads(theirs.out))


def test_text_is_the_same(host: CarbonHost) -> None:
    words = ["carbon", "sample", "--dry-run"]
    ours = host.run(*words)
    theirs = host.run(*words, "--config", str(host.policy_path))
    assert (ours.status, ours.err) == (theirs.status, theirs.err)
    assert ours.out.splitlines()[-1] == theirs.out.splitlines()[-1]


def test_what_runs_every_minute_is_direct() -> None:
    often = [job for job in JOBS if job.every_s is not None and job.every_s <= 60]
    assert {job.name for job in often} == {"detect", "carbon"}
    assert all(direct.find(list(job.command)) for job in often)


@pytest.mark.parametrize(
    "words",
    [
        [], ["--help"], ["--version", "--help"], ["carbon"], ["carbon", "sample", "--help"],
        ["carbon", "sample", "--dry-rum"], ["carbon", "sample", "more"], ["carbon", "report"],
        ["detect", "unmanaged", "--user", "alice"], ["detect", "unmanaged", "-i"],
        ["--json", "carbon", "sample"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_everything_else_is_typers(words: list[str]) -> None:
    assert direct.find(words) is None


@pytest.mark.parametrize(("group", "command"), [key for key in direct._RUNS if len(key) == 2])
def test_flags_are_flags_of_the_command(group: str, command: str) -> None:
    """None that typer does not know, and none with a value."""
    import typer.main

    known = typer.main.get_command(commandline.build([group, command]))
    found: Any = known.commands[group].commands[command]  # type: ignore[attr-defined]
    flags = {name for one in found.params if one.is_flag for name in one.opts}
    assert direct._RUNS[group, command][1] <= flags


def test_a_wrong_flag_is_told_as_ever(host: CarbonHost) -> None:
    ran = host.run("carbon", "sample", "--dry-rum")
    assert ran.status == 2
    assert "No such option: --dry-rum" in ran.err
    assert "hint: ds01ctl carbon sample --help" in ran.err


def test_the_version_is_the_same(host: CarbonHost) -> None:
    assert host.run("--version").out == f"ds01ctl {__version__}\n"


@pytest.mark.parametrize("words", ["'--version'", "'carbon', 'sample'"])
def test_typer_is_not_loaded(host: CarbonHost, words: str) -> None:
    """Nor what it loads, nor dataclasses, which load the same."""
    code = (
        f"import sys; from ds01ctl.cli import run; run([{words}]);"
        "print(*{'typer', 'inspect', 'dataclasses', 'rich'} & {*sys.modules}, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=host.env, capture_output=True, text=True
    )
    assert done.stderr == "\n"
