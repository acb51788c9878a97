"""The config commands as an admin runs them: streams, exit codes, widths."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import Host

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_a_failing_check_has_its_problems_in_the_document(host: Host) -> None:
    host.policy("foo: 1\ndefaults: {cpus: 3}\n")
    document = host.json("config", "check", status=1)
    assert document["status"] == "error"
    assert document["data"]["files"] == [str(host.policy_path)]
    (problem,) = document["data"]["problems"]
    assert (problem["file"], problem["line"], problem["key"]) == (str(host.policy_path), 1, "foo")
    assert [row["key"] for row in document["data"]["warnings"]] == ["defaults.cpus"]


def test_other_commands_tell_the_problems_too(host: Host) -> None:
    host.policy("foo: 1\n")
    document = host.json("config", "show", status=1)
    assert [row["key"] for row in document["data"]["problems"]] == ["foo"]
    assert document["error"]["hint"].endswith("ds01ctl config check")


def test_a_failing_check_reads_like_a_good_one(host: Host) -> None:
    host.policy("defaults: {cpus: 3}\n")
    warning = f"warning: {host.policy_path}:1: defaults.cpus: old name of max_cpus"
    good = host.run("config", "check")
    assert (good.status, good.err) == (0, "")
    assert good.out.splitlines() == [
        warning, f"no problems, 1 warning in 1 file ({host.policy_path})"
    ]  # fmt: skip
    host.policy("defaults: {cpus: 3}\ndetect: {scans: 0}\n")
    bad = host.run("config", "check")
    assert (bad.status, bad.out) == (1, "")
    assert bad.err.splitlines() == [
        "ds01ctl: the policy cannot be used as it is:",
        f"{host.policy_path}:2: detect.scans: is 0; expected a whole number above 0",
        warning,
        "1 problem, 1 warning in 1 file",
        "hint: correct what is named, then check again",
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ("config", "explain", ""),
        ("config", "explain", "a b"),
        ("config", "check", "--config", ""),
        ("config", "show", "--config="),
        ("config", "init", ""),
    ],
    ids=str,
)
def test_what_names_nobody_or_nothing_is_wrong_usage(host: Host, arguments: tuple[str]) -> None:
    host.policy("defaults: {max_cpus: 4}\n")
    assert host.json(*arguments, status=2)["error"]["exit_code"] == 2


@pytest.mark.parametrize("columns", [60, 80, 100, 120])
def test_no_line_of_a_table_is_wider_than_the_terminal(host: Host, columns: int) -> None:
    host.policy("defaults: {max_cpus: 4}\ngroups: {student: {max_cpus: 5, memory: 4g}}\n")
    host.env["COLUMNS"] = str(columns)
    for command in (("config", "show"), ("config", "explain", "alice")):
        lines = host.run(*command).out.splitlines()
        table = lines[lines.index("") :] if "" in lines else lines
        assert max(map(len, table)) <= columns
        assert any("resource-limits.yaml:2 (group student)" in line for line in table)


def test_what_is_piped_is_never_broken_or_cut(host: Host) -> None:
    names = ", ".join(f"container-{number}" for number in range(60))
    host.policy(f"monitoring: {{infrastructure_containers: [{names}]}}\n")
    del host.env["COLUMNS"]
    (line,) = [row for row in host.run("config", "show").out.splitlines() if "container-1," in row]
    assert line.endswith(f"{names}  resource-limits.yaml:1 (monitoring)")


def test_init_dry_run_beside_a_policy(host: Host) -> None:
    host.policy("defaults: {max_cpus: 4}\n")
    ran = host.run("config", "init", "--dry-run")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith("# The policy of ds01ctl.")
    assert host.run("config", "init").status == 1
