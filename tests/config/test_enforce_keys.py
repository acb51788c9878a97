"""The keys that `enforce` reads: their values, what is wrong with others, and who has which."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

import pytest

from ds01ctl.commands import configuring
from ds01ctl.commands.configuring import Asked
from ds01ctl.config.rates import cpu_list, device_rate
from ds01ctl.core.keys import AGGREGATE, LOGIN, user_keys
from ds01ctl.core.policy import builtin_policy
from ds01ctl.paths import Paths
from ds01ctl.report import config_text
from tests.config.sample import load, problems_of, write

if TYPE_CHECKING:
    from pathlib import Path

    from ds01ctl.core.policy import Policy

NOW = datetime(2026, 5, 1, tzinfo=timezone.utc)
G = 1 << 30

GOOD = [
    ("cpu_quota", "0.5%", 0.5),
    ("cpu_weight", "1", 1),
    ("cpu_weight", "10000", 10000),
    ("cpu_weight", "null", None),
    ("io_weight", "100", 100),
    ("io_weight", "null", None),
    ("allowed_cpus", "0", "0"),
    ("allowed_cpus", "0-15,32", "0-15,32"),
    ("allowed_cpus", "0 1 2", "0-2"),
    ("allowed_cpus", "'0, 3-5'", "0,3-5"),
    ("allowed_cpus", "8-8191", "8-8191"),
    ("allowed_cpus", "null", None),
    ("memory_max", "100%", "100%"),
    ("memory_swap_max", "0", 0),
    ("memory_swap_max", "0G", 0),
    ("memory_swap_max", "8G", 8 * G),
    ("memory_swap_max", "infinity", None),
    ("memory_swap_max", "null", None),
    ("io_read_bandwidth_max", "[/dev/sda 100M]", ("/dev/sda 100000000",)),
    ("io_read_bandwidth_max", "/dev/sda 1.5k", ("/dev/sda 1500",)),
    ("io_write_bandwidth_max", "[/ 1T, /home/ 2G]", ("/ 1000000000000", "/home 2000000000")),
    ("io_write_bandwidth_max", "[]", ()),
    ("io_write_bandwidth_max", "null", None),
    ("io_write_bandwidth_max", "unlimited", None),
    ("io_read_iops_max", "/scratch 20K", ("/scratch 20000",)),
    ("io_write_iops_max", "[ '/scratch   500' ]", ("/scratch 500",)),
    ("managed_oom_swap", "kill", "kill"),
    ("managed_oom_memory_pressure", "auto", "auto"),
    ("managed_oom_memory_pressure_limit", "60%", 60),
    ("managed_oom_memory_pressure_limit", "12.25 %", 12.25),
    ("managed_oom_memory_pressure_limit", "null", None),
]


@pytest.mark.parametrize(("key", "text", "value"), GOOD)
def test_value(tmp_path: Path, key: str, text: str, value: object) -> None:
    policy = load(tmp_path, f"groups:\n  student:\n    aggregate:\n      {key}: {text}\n")
    setting = policy.limit("x", f"aggregate.{key}")
    assert (setting.value, type(setting.value)) == (value, type(value))
    assert setting.origin is not None


QUOTA = "expected a percentage above 0% such as 400%, which is four cores"
SIZE = "expected a size with its unit, such as 96G, or 80% of the host's memory"
WEIGHT = "expected a whole number from 1 to 10000, or null: "
CPUS = "expected CPU numbers below 8192, in rising ranges, such as 0-15,32, or null: all CPUs"
SWAP = "expected a size with its unit, such as 8G, or 0 for no swap at all"
RATES = 'expected a list of "PATH RATE" such as [/dev/nvme0n1 500M], with a rate above 0; '
RATE = "expected a path on the device, without spaces"
PERCENT = "expected a percentage above 0% and up to 100%, such as 60%, with two decimals at most"
BAD = [
    ("cpu_quota", "0%", f"is '0%'; {QUOTA}"),
    ("cpu_quota", "-100%", f"is '-100%'; {QUOTA}"),
    ("cpu_quota", "400", f"is 400; {QUOTA}"),
    ("cpu_quota", "4 cores", f"is '4 cores'; {QUOTA}"),
    ("cpu_quota", "[400%]", f"is a list; {QUOTA}"),
    ("memory_max", "0%", f"is '0%'; {SIZE}"),
    ("memory_max", "-1G", f"is '-1G'; {SIZE}"),
    ("memory_max", "96X", f"is '96X'; {SIZE}"),
    ("memory_high", "0", f"is 0 bytes, too small to be meant; {SIZE}"),
    ("tasks_max", "-1", "is -1; expected a whole number above 0, or null: no limit"),
    ("tasks_max", "80%", "is '80%'; expected a whole number above 0"),
    ("cpu_weight", "0", f"is 0; {WEIGHT}the kernel's default (100)"),
    ("cpu_weight", "-5", f"is -5; {WEIGHT}"),
    ("cpu_weight", "10001", f"is 10001; {WEIGHT}"),
    ("cpu_weight", "1.5", f"is 1.5; {WEIGHT}"),
    ("cpu_weight", "idle", f"is 'idle'; {WEIGHT}"),
    ("io_weight", "'100'", f"is '100' in quotes; {WEIGHT}the default (100)"),
    ("allowed_cpus", "''", f"is ''; {CPUS}"),
    ("allowed_cpus", "5-3", f"is '5-3'; {CPUS}"),
    ("allowed_cpus", "8192", f"is 8192; {CPUS}"),
    ("allowed_cpus", "-1", f"is -1; {CPUS}"),
    ("allowed_cpus", "all", f"is 'all'; {CPUS}"),
    ("allowed_cpus", "'0,,1'", f"is '0,,1'; {CPUS}"),
    ("allowed_cpus", "0-3:2", f"is '0-3:2'; {CPUS}"),
    ("allowed_cpus", "[0, 1]", f"is a list; {CPUS}"),
    ("memory_swap_max", "50%", f"is '50%'; {SWAP}"),
    ("memory_swap_max", "-1", f"is -1; {SWAP}"),
    ("memory_swap_max", "8X", f"is '8X'; {SWAP}"),
    ("memory_swap_max", "8", f"is 8 bytes, too small to be meant; {SWAP}"),
    ("io_read_bandwidth_max", "100M", f"is '100M'; {RATES}"),
    ("io_read_bandwidth_max", "{/dev/sda: 100M}", f"is a map; {RATES}"),
    ("io_read_bandwidth_max", "[/dev/sda]", f"entry 1 is '/dev/sda'; {RATE}"),
    ("io_read_bandwidth_max", "[/a 1, sda 2]", f"entry 2 is 'sda 2'; {RATE}"),
    ("io_read_bandwidth_max", "[/dev/sda 100MB]", f"entry 1 is '/dev/sda 100MB'; {RATE}"),
    ("io_read_bandwidth_max", "[/dev/sda 0]", f"entry 1 is '/dev/sda 0'; {RATE}"),
    ("io_read_bandwidth_max", "[/dev/sda -1M]", f"entry 1 is '/dev/sda -1M'; {RATE}"),
    ("io_read_bandwidth_max", "[/dev/sda 80%]", f"entry 1 is '/dev/sda 80%'; {RATE}"),
    ("io_read_bandwidth_max", "[/dev/sda infinity]", f"entry 1 is '/dev/sda infinity'; {RATE}"),
    ("io_read_bandwidth_max", "[/my disk 1M]", f"entry 1 is '/my disk 1M'; {RATE}"),
    ("io_read_bandwidth_max", "[/a/../b 1M]", f"entry 1 is '/a/../b 1M'; {RATE}"),
    ("io_read_bandwidth_max", "[/dev/%i 1M]", f"entry 1 is '/dev/%i 1M'; {RATE}"),
    ("io_read_bandwidth_max", "[{/dev/sda: 1M}]", f"entry 1 is a map; {RATE}"),
    ("io_write_bandwidth_max", "[/a 1M, /b 1M, /a/ 2M]", "/a is here twice"),
    ("io_write_iops_max", "[/a 5G]", f"entry 1 is '/a 5G'; {RATE}"),
    ("managed_oom_swap", "yes", "'yes' is not known; expected one of auto, kill"),
    ("managed_oom_swap", "null", "is null; expected one of auto, kill"),
    ("managed_oom_memory_pressure_limit", "0%", f"is '0%'; {PERCENT}"),
    ("managed_oom_memory_pressure_limit", "101%", f"is '101%'; {PERCENT}"),
    ("managed_oom_memory_pressure_limit", "0.001%", f"is '0.001%'; {PERCENT}"),
    ("managed_oom_memory_pressure_limit", "60", f"is 60; {PERCENT}, or null: systemd-oomd's own"),
]  # fmt: skip


@pytest.mark.parametrize("section", ["aggregate", "login"])
@pytest.mark.parametrize(("key", "text", "said"), BAD)
def test_wrong_value(tmp_path: Path, section: str, key: str, text: str, said: str) -> None:
    policy = f"groups:\n  student:\n    {section}:\n      {key}: {text}\n"
    (problem,) = problems_of(tmp_path, policy)
    start = f"{tmp_path}/resource-limits.yaml:4: groups.student.{section}.{key}: "
    assert str(problem).startswith(start + said)


def test_a_wrong_entry_is_told_at_its_own_line(tmp_path: Path) -> None:
    text = "u:\n  login:\n    io_read_iops_max:\n    - /a 1\n    - /b 2\n    - /a 3\n"
    (problem,) = problems_of(tmp_path, "", user_overrides_yaml=text)
    assert str(problem) == (
        f"{tmp_path}/user-overrides.yaml:6: u.login.io_read_iops_max: /a is here twice"
    )


@pytest.mark.parametrize(
    ("text", "line", "key", "said"),
    [
        ("enforcement: {mode: on}", 1, "enforcement.mode", "'on' is not known"),
        ("enforcement: {mode: null}", 1, "enforcement.mode", "is null; expected one of report"),
        ("enforcement: {mode: enforced}", 1, "enforcement.mode", "did you mean enforce?"),
        ("enforcement: {min_uid: -1}", 1, "enforcement.min_uid", "a whole number"),
        ("enforcement: {exempt_users: root}", 1, "enforcement.exempt_users", "a list of logins"),
        ("enforcement:\n  rules: {disk: report}", 2, "enforcement.rules.disk", "unknown key"),
        ("enforcement:\n  rules:\n    io: unlimited", 3, "enforcement.rules.io", "is not known"),
        ("enforcement: {rules: report}", 1, "enforcement.rules", "expected keys with values"),
        ("groups: {a: {login: {gpu_limit: 1}}}", 1, "groups.a.login.gpu_limit", "aggregate"),
        ("defaults: {login: {}}", 1, "defaults.login", "unknown key"),
        ("cpu_weight: 3", 1, "cpu_weight", "it belongs in a group's aggregate"),
    ],
)
def test_wrong_section(tmp_path: Path, text: str, line: int, key: str, said: str) -> None:
    (problem,) = problems_of(tmp_path, text)
    assert (problem.line, problem.key) == (line, key)
    assert said in problem.message


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("0,1,2,3", "0-3"),
        ("3,1", "1,3"),
        ("0-3,2-5", "0-5"),
        ("1, 1", "1"),
        (" 4-4\t7 ", "4,7"),
        ("007", "7"),
    ],
)
def test_cpu_list_is_written_as_the_kernel_does(text: str, values: str) -> None:
    assert cpu_list(text) == cpu_list(values) == values


@pytest.mark.parametrize("text", ["/a\x7f 1", "/a;\n 1", '/a" 1', "/a\\ 1", "/a$ 1", " 1", "//a 1"])
def test_no_device(text: str) -> None:
    with pytest.raises(ValueError):
        device_rate(text)


def test_login_has_the_keys_of_aggregate_but_gpus() -> None:
    assert [key.name for key in AGGREGATE if key not in LOGIN] == ["gpu_limit"]
    assert "login.cpu_weight" in user_keys()
    assert "login.gpu_limit" not in user_keys()


def test_enforcement_is_built_in_but_its_mode() -> None:
    policy = builtin_policy()
    names = ("mode", "min_uid", "exempt_users", "unowned_containers", "rules.logins")
    values = [policy.value(f"enforcement.{name}") for name in names]
    assert values == [None, 1000, (), "report", None]
    assert policy.setting("enforcement.mode").origin is None


WORLD = """\
enforcement:
  mode: report
  rules: {logins: enforce, io: null}
groups:
  student:
    aggregate: {cpu_quota: 400%, memory_max: 80%, cpu_weight: 50}
    login: {cpu_quota: 200%, io_read_bandwidth_max: /home 100M}
user_overrides:
  eve:
    login: {cpu_quota: null, memory_swap_max: 0}
  bob:
    cpu_weight: 200
"""


@pytest.fixture
def policy(tmp_path: Path) -> Policy:
    return load(tmp_path, WORLD)


TABLE = [
    ("zoe", "login.cpu_quota", 200, "group student"),
    ("zoe", "aggregate.cpu_quota", 400, "group student"),
    ("zoe", "login.cpu_weight", None, None),
    ("zoe", "aggregate.cpu_weight", 50, "group student"),
    ("eve", "login.cpu_quota", None, "inline override"),
    ("eve", "aggregate.cpu_quota", 400, "group student"),
    ("eve", "login.memory_swap_max", 0, "inline override"),
    ("eve", "login.io_read_bandwidth_max", ("/home 100000000",), "group student"),
    ("bob", "aggregate.cpu_weight", 200, "inline override"),
]


@pytest.mark.parametrize(("login", "key", "value", "rule"), TABLE)
def test_limit(policy: Policy, login: str, key: str, value: object, rule: str | None) -> None:
    setting = policy.limit(login, key)
    assert setting.value == value
    assert (setting.origin and setting.origin.rule) == rule


def test_rules(policy: Policy) -> None:
    assert policy.value("enforcement.mode") == "report"
    assert policy.value("enforcement.rules.logins") == "enforce"
    null = policy.setting("enforcement.rules.io")
    assert (null.value, str(null.origin)) == (None, "resource-limits.yaml:3 (enforcement.rules)")


def test_a_loose_key_is_aggregates(policy: Policy) -> None:
    (warning,) = policy.warnings
    assert (warning.key, warning.message) == (
        "user_overrides.bob.cpu_weight",
        "belongs under aggregate:",
    )


def test_explain_lists_login_only_where_it_is_set(tmp_path: Path) -> None:
    write(tmp_path / "etc/ds01", WORLD)
    asked = Asked(Paths(tmp_path), None, {}, "gpu01", NOW)
    result = configuring.explain(asked, "eve")
    logins = [row for row in result.data["limits"] if row["key"].startswith("login.")]
    assert [(row["key"], row["value"], row["unit"]) for row in logins] == [
        ("login.cpu_quota", None, "%"),
        ("login.memory_swap_max", 0, "bytes"),
        ("login.io_read_bandwidth_max", ["/home 100000000"], "bytes a second"),
    ]
    assert "aggregate.io_weight" in {row["key"] for row in result.data["limits"]}
    shown = {line.split()[0]: line for line in config_text.explain_lines(result) if line}
    assert "no limit" in shown["login.cpu_quota"]
    assert shown["login.cpu_quota"].endswith("200% of group student")
    assert "/home 100000000 " in shown["login.io_read_bandwidth_max"]
    assert shown["aggregate.cpu_weight"].split()[1] == "50"
    assert shown["aggregate.memory_max"].split()[1:3] == ["80%", "resource-limits.yaml:6"]


def test_exempt_from_all_limits(tmp_path: Path) -> None:
    rows = (
        "exemptions: [{username: eve, category: waiver, exempt_from: [resource-limits],"
        " reason: r, approved_by: a, approved_on: 2026-04-01, expires_on: 2026-06-30}]\n"
    )
    policy = load(tmp_path, WORLD, lifecycle_exemptions_yaml=rows)
    assert policy.exemption("eve", "resource-limits", NOW) is not None
    assert policy.exemption("zoe", "resource-limits", NOW) is None
