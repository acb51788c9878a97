"""Reading the policy: the sample, every alias, and every way in which it can be wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ds01ctl.config.read import find_policy, load_policy
from ds01ctl.config.source import PolicyError
from ds01ctl.core.host_keys import host_keys
from ds01ctl.core.keys import LIMITS, POLICIES
from ds01ctl.core.policy import builtin_policy
from ds01ctl.errors import Ds01Error
from ds01ctl.paths import Paths
from tests.config.sample import EXEMPTIONS, OVERRIDES, SAMPLE, load, problems_of, write
from tests.folders import let_others_in


def test_sample_loads_without_a_word(tmp_path: Path) -> None:
    policy = load(
        tmp_path,
        SAMPLE,
        user_overrides_yaml=OVERRIDES,
        lifecycle_exemptions_yaml=EXEMPTIONS,
        researcher_members="204999@uni.example  # thesis\n\n# nobody else\n",
        admin_members="labadmin\r\n",
        archived_members="gone\n",
    )
    assert policy.warnings == ()
    assert set(policy.groups) == {"student", "researcher", "admin"}
    assert policy.roster == {"204999@uni.example", "labadmin"}
    assert [Path(name).name for name in policy.files] == [
        "resource-limits.yaml",
        "admin.members",
        "researcher.members",
        "user-overrides.yaml",
        "lifecycle-exemptions.yaml",
    ]
    assert policy.value("monitoring.infrastructure_containers") == (
        "ds01-prometheus",
        "ds01-grafana",
        "ds01-cadvisor",
    )
    assert policy.value("access_control.wrapper.enforcement_mode") == "full"


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "defaults:\n  # all out\ngroups:\n"])
def test_empty_file_is_the_built_in_policy(tmp_path: Path, text: str) -> None:
    policy = load(tmp_path, text)
    assert {key: policy.value(key) for key in host_keys()} == {
        key: builtin_policy().value(key) for key in host_keys()
    }
    assert policy.limit("alice", "max_cpus").origin is None


ALIASES = [(alias, key.name) for key in LIMITS for alias in key.aliases]


@pytest.mark.parametrize(("alias", "name"), ALIASES)
def test_alias(tmp_path: Path, alias: str, name: str) -> None:
    policy = load(tmp_path, f"defaults: {{{alias}: 3}}")
    assert policy.limit("alice", name).value == 3
    assert [warning.key for warning in policy.warnings] == [f"defaults.{alias}"]


OLD_LIMITS = [(key.old, key.name, key.kind) for key in LIMITS if key.old]
OLD_POLICIES = [(key.old, key.name, key.kind) for key in POLICIES if key.old]


@pytest.mark.parametrize(("old", "name", "kind"), OLD_LIMITS)
def test_old_duration(tmp_path: Path, old: str, name: str, kind: str) -> None:
    policy = load(
        tmp_path, f"defaults: {{{old}: 90m}}\ngroups: {{g: {{{old}: null}}}}", g_members="bob"
    )
    assert kind == "hours"
    assert policy.limit("alice", name).value == 1.5
    assert policy.limit("bob", name)[1] is None
    assert policy.limit("bob", name).origin is not None


@pytest.mark.parametrize(("old", "name", "kind"), OLD_POLICIES)
def test_old_policy_duration(tmp_path: Path, old: str, name: str, kind: str) -> None:
    # a grace is never so long
    text = "1.5min" if kind == "seconds" else "1.5h"
    policy = load(tmp_path, f"policies: {{{old}: {text}}}")
    expected = {"hours": 1.5, "minutes": 90, "seconds": 90}[kind]
    assert policy.value(f"policies.{name}") == expected


def test_bare_number_under_an_old_name_is_never_guessed(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, "defaults:\n  max_runtime: 48\n")
    assert (problem.line, problem.key) == (2, "defaults.max_runtime")
    assert "max_runtime_h: 48" in problem.message


def test_seconds_in_the_name_are_a_unit(tmp_path: Path) -> None:
    policy = load(tmp_path, "policies: {sigterm_grace_seconds: 45}")
    assert policy.value("policies.sigterm_grace_s") == 45


@pytest.mark.parametrize("word", ["yes", "no", "on", "off", "true", "False", "Yes", "OFF"])
def test_booleans_of_yaml_1_1(tmp_path: Path, word: str) -> None:
    policy = load(tmp_path, f"enforcement: {{aggregate_limits: {word}}}")
    assert policy.value("enforcement.aggregate_limits") is (word.lower() in {"yes", "on", "true"})


def test_numeric_logins_stay_text(tmp_path: Path) -> None:
    text = "groups: {a: {members: [204999, 007]}}\nbare_metal_access: {exempt_users: [1234]}\n"
    policy = load(tmp_path, text, user_overrides_yaml="0123: {max_cpus: 3}\n", a_members="42\n")
    assert policy.roster == {"204999", "007", "1234", "0123", "42"}
    assert policy.limit("0123", "max_cpus").value == 3
    assert policy.bare_metal_exempt("1234") is not None


def test_anchors_and_merges(tmp_path: Path) -> None:
    text = (
        "groups:\n"
        "  a: &a {max_cpus: 4, memory: 8g}\n"
        "  b:\n    <<: *a\n    memory: 16g\n"
        "  c:\n    <<: [{max_cpus: 1}, *a]\n"
    )
    policy = load(tmp_path, text, b_members="bob", c_members="cleo", a_members="ann")
    assert policy.limit("bob", "max_cpus").value == 4
    assert policy.limit("bob", "memory").value == 16 << 30
    assert policy.limit("cleo", "max_cpus").value == 1
    assert policy.limit("cleo", "memory").origin.line == 2  # type: ignore[union-attr]


def test_keys_without_effect_are_warnings(tmp_path: Path) -> None:
    text = (
        "defaults: {storage_workspace: 100G, gpu_memory: null, priority: 10}\n"
        "gpu_allocation: {strategy: least_allocated, mig_gpus: {0: {enable: false}}}\n"
        "policies: {checkpoint_warning: 1h}\n"
        "container_types: {docker: {default_mig_count: {student: 1}}}\n"
        "advanced: {enable_mps: false}\n"
        "wizard: {error_messages: {a: b}}\n"
    )
    assert len(load(tmp_path, text).warnings) == 9


WRONG = [
    ("a: 1\n" * 1, [(1, "a", "unknown key")]),
    ("defaults:\n  max_cpuss: 3\n", [(2, "defaults.max_cpuss", "did you mean max_cpus?")]),
    ("max_cpus: 3\n", [(1, "max_cpus", "it belongs in defaults")]),
    ("defaults:\n  max_cpus: 1\n  max_cpus: 2\n", [(3, "defaults.max_cpus", "see line 2")]),
    ("defaults: {}\ndefaults: {}\n", [(2, "defaults", "twice")]),
    ("defaults:\n\tmax_cpus: 1\n", [(2, "", "a tab")]),
    ("defaults:\n  max_cpus: 1\n\n\n\n\n  memory: [\n", [(7, "", "a bracket is open")]),
    ("a: 1\n---\nb: 1\n", [(2, "", "a second document begins here")]),
    ("a: *b\n", [(1, "", "*b stands for what &b marks")]),
    ("x: \x01\n", [(1, "", "does not allow")]),
    ('x: "\\UFFFFFFFF"\n', [(None, "", "not YAML")]),
    ("[" * 3000, [(None, "", "nested too deeply")]),
    ("- a\n", [(1, "", "is a list")]),
    ("defaults: 3\n", [(1, "defaults", "expected keys")]),
    ("defaults: {max_cpus: '3'}", [(1, "defaults.max_cpus", "expected a number above 0")]),
    ("defaults: {max_cpus: 0}", [(1, "defaults.max_cpus", "expected a number above 0")]),
    ("defaults: {max_cpus: .inf}", [(1, "defaults.max_cpus", "a number above 0")]),
    ("defaults: {max_cpus: .nan}", [(1, "defaults.max_cpus", "a number above 0")]),
    ("defaults: {max_runtime_h: 1e99}", [(1, "defaults.max_runtime_h", "hours")]),
    ("defaults: {max_runtime_h: 24h}", [(1, "defaults.max_runtime_h", "a number of hours")]),
    ("defaults: {max_runtime_h: -1}", [(1, "defaults.max_runtime_h", "a number of hours")]),
    ("defaults: {pids_limit: 1.5}", [(1, "defaults.pids_limit", "a whole number")]),
    ("defaults: {allow_full_gpu: null}", [(1, "defaults.allow_full_gpu", "is null")]),
    ("defaults: {allow_full_gpu: 'yes'}", [(1, "defaults.allow_full_gpu", "true or false")]),
    ("defaults: {memory: 32}", [(1, "defaults.memory", "with its unit")]),
    ("defaults: {memory: 80%}", [(1, "defaults.memory", "a size")]),
    ("defaults: {memory: [1g]}", [(1, "defaults.memory", "is a list")]),
    ("defaults: {idle_timeout: '0,5h'}", [(1, "defaults.idle_timeout", "a duration")]),
    ("defaults: {max_gpu_slots: 1, max_mig_instances: 2}",
     [(1, "defaults.max_mig_instances", "contradicts max_gpu_slots")]),
    ("groups: {g: {aggregate: {cpu_quota: 9600}}}",
     [(1, "groups.g.aggregate.cpu_quota", "such as 400%")]),
    ("groups: {g: {aggregate: {memory_max: 120%}}}",
     [(1, "groups.g.aggregate.memory_max", "a size")]),
    ("groups: {g: {members: bob}}", [(1, "groups.g.members", "a list of logins")]),
    ("groups: {g: {members: ['a b']}}", [(1, "groups.g.members", "is not a login")]),
    ("groups: {a/b: {}}", [(1, "groups.a/b", "not a name")]),
    ("groups: {student: {}}\ndefault_group: studnet\n",
     [(2, "default_group", "did you mean student?")]),
    ("user_overrides: {'@x': {}}", [(1, "user_overrides.@x", "is not a login")]),
    ("user_overrides: {.: {}}", [(1, "user_overrides..", "is not a login")]),
    ("detect: {scans: 0}", [(1, "detect.scans", "above 0")]),
    ("nvml: {timeout_s: 0}", [(1, "nvml.timeout_s", "above 0")]),
    ("docker: {hosts: [/run/docker.sock]}", [(1, "docker.hosts", "unix:///")]),
    ("events: {path: log}", [(1, "events.path", "the absolute path of a file")]),
    ("require: [nvmll]", [(1, "require", "'nvmll' is not known; did you mean nvml?")]),
    ("a: &a\n  <<: *a\n", [(1, "a", "unknown key")]),
    ("defaults: &a\n  <<: *a\n", [(1, "defaults", "expected maps to merge")]),
    ("defaults:\n  <<: 3\n", [(2, "defaults", "expected maps to merge")]),
    ("defaults: {? [a] : 1}", [(1, "defaults", "one word")]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), WRONG, ids=[text[:40] for text, _ in WRONG])
def test_problem_names_line_and_key(
    tmp_path: Path, text: str, expected: list[tuple[int | None, str, str]]
) -> None:
    found = problems_of(tmp_path, text)
    assert [(problem.line, problem.key) for problem in found] == [one[:2] for one in expected]
    assert all(part in problem.message for problem, (*_, part) in zip(found, expected, strict=True))


def test_problems_of_all_files_are_told_together(tmp_path: Path) -> None:
    found = problems_of(
        tmp_path,
        "defaults: {max_cpus: x}\nfoo: 1\n",
        user_overrides_yaml="alice: {max_cpu: 3}\n",
        lifecycle_exemptions_yaml="exemptions: [{username: a, exempt_from: [x], expires_on: no}]",
        student_members="two words\n",
        group_overrides_txt="no colon\n",
    )
    assert [(Path(one.file).name, one.line) for one in found] == [
        ("group-overrides.txt", 1),
        ("student.members", 1),
        ("lifecycle-exemptions.yaml", 1),
        ("lifecycle-exemptions.yaml", 1),
        ("resource-limits.yaml", 1),
        ("resource-limits.yaml", 2),
        ("user-overrides.yaml", 1),
    ]


def test_text_of_a_problem(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, "defaults:\n  max_cpuss: 3\n")
    wanted = "resource-limits.yaml:2: defaults.max_cpuss: unknown key; did you mean max_cpus?"
    assert str(problem) == f"{tmp_path}/{wanted}"


def test_hostile_key_is_shown_harmless(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, 'defaults: {"\\e[31mred": 1}\n')
    assert str(problem).isprintable()


def test_not_utf8(tmp_path: Path) -> None:
    path = write(tmp_path, "")
    path.write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(PolicyError, match=r"yaml:2: is not UTF-8") as caught:
        load_policy(path, Paths(tmp_path))
    assert caught.value.exit_code == 1


def test_byte_order_mark(tmp_path: Path) -> None:
    path = write(tmp_path, "")
    path.write_bytes(b"\xef\xbb\xbfdefaults: {max_cpus: 3}\r\n")
    assert load_policy(path, Paths(tmp_path)).limit("a", "max_cpus").value == 3


@pytest.mark.parametrize("kind", ["folder", "pipe", "link to nowhere", "link to itself"])
def test_what_cannot_be_read_is_an_error_never_a_default(tmp_path: Path, kind: str) -> None:
    paths = Paths(tmp_path)
    paths.policies[0].parent.mkdir(parents=True)
    if kind == "folder":
        paths.policies[0].mkdir()
    elif kind == "pipe":
        os.mkfifo(paths.policies[0])
    else:
        paths.policies[0].symlink_to("nowhere" if kind == "link to nowhere" else paths.policies[0])
    found = find_policy(paths, None, {})
    assert found == paths.policies[0]
    with pytest.raises(PolicyError, match="cannot be read"):
        load_policy(found, paths)


READ_AS_NOBODY = """
import os, sys
from pathlib import Path
from ds01ctl.config.read import find_policy, load_policy
from ds01ctl.errors import Ds01Error
from ds01ctl.paths import Paths
from ruamel.yaml import YAML
YAML(typ="safe", pure=True).compose("all: of it is imported, while it can be")
paths = Paths(Path(sys.argv[1]))
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    load_policy(find_policy(paths, None, {}), paths)
except Ds01Error as error:
    print(error.message)
    print(error.hint)
"""


@pytest.mark.parametrize(
    ("closed", "said"),
    [
        ("etc/ds01/resource-limits.yaml", "cannot be read: Permission denied"),
        ("etc/ds01", "may not be looked at"),
        ("etc/ds01/groups", "cannot be listed: Permission denied"),
        ("etc/ds01/groups/student.members", "cannot be read: Permission denied"),
        ("etc/ds01/user-overrides.yaml", "cannot be read: Permission denied"),
    ],
)
def test_unreadable(tmp_path: Path, closed: str, said: str) -> None:
    let_others_in(tmp_path)
    write(tmp_path / "etc/ds01", "", student_members="", user_overrides_yaml="")
    (tmp_path / closed).chmod(0)
    done = subprocess.run(
        [sys.executable, "-c", READ_AS_NOBODY, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    (tmp_path / closed).chmod(0o755)
    assert (done.stderr, said in done.stdout) == ("", True), done.stdout
    assert done.stdout.splitlines()[-1] == "run it as root"


def test_where_the_policy_is_looked_for(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    assert find_policy(paths, None, {}) is None
    for path in reversed(paths.policies):
        write(path.parent, "")
        assert find_policy(paths, None, {}) == path
    other = write(tmp_path / "other", "")
    third = write(tmp_path / "third", "")
    assert find_policy(paths, None, {"DS01_CONFIG": str(other)}) == other
    assert find_policy(paths, third, {"DS01_CONFIG": str(other)}) == third
    assert find_policy(paths, None, {"DS01_CONFIG": ""}) == paths.policies[0]


@pytest.mark.parametrize(("explicit", "env"), [(True, {}), (False, {"DS01_CONFIG": "gone.yaml"})])
def test_named_file_must_be_there(tmp_path: Path, explicit: bool, env: dict[str, str]) -> None:
    named = tmp_path / "gone.yaml" if explicit else None
    with pytest.raises(Ds01Error, match="no such file") as caught:
        find_policy(Paths(tmp_path), named, env)
    assert caught.value.exit_code == 1


def test_side_files_lie_beside_the_file_that_a_link_leads_to(tmp_path: Path) -> None:
    real = write(tmp_path / "real", SAMPLE, researcher_members="bob\n")
    link = tmp_path / "resource-limits.yaml"
    link.symlink_to(real)
    assert load_policy(link, Paths(tmp_path)).group_of("bob").value == "researcher"


def test_members_left_at_the_old_place_are_told(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    write(paths.policies[1].parent, SAMPLE, researcher_members="bob\n")
    paths.policies[0].parent.mkdir(parents=True)
    paths.policies[0].write_text(SAMPLE)
    warnings = load_policy(paths.policies[0], paths).warnings
    assert any("groups not read" in one.message for one in warnings)
    paths.policies[0].unlink()
    paths.policies[0].symlink_to(paths.policies[1])
    warnings = load_policy(paths.policies[0], paths).warnings
    assert not any("not read" in one.message for one in warnings)


ODD = [
    ({"policy": "groups: {a: {}, b: {}}", "a_members": "x\n", "b_members": "x\n"},
     "x is also in a"),
    ({"policy": "groups: {a: {}, b: {}}\ndefault_group: a\n"}, "no groups/b.members"),
    ({"policy": "groups: {a: {}}", "a_members": "x", "group_overrides_txt": "x:aa # c\n"},
     "there is no group 'aa'; did you mean a?"),
    ({"policy": "groups: {a: {}}", "a_members": "y", "group_overrides_txt": "x: a\n"},
     "is not in groups/a.members"),
    ({"policy": "groups: {a-b: {}}", "a_b_members": "y"}, "nests"),
    ({"policy": "", "user_overrides_yaml": "a.b@x: {}\na-b: {}\n"}, "all become 'a_b'"),
    ({"policy": "user_overrides: {u: {aggregate: {memory_max: 1G, memory_high: 2G}}}"},
     "is above memory_max"),
    ({"policy": "container_types: {devcontaner: {}}"}, "did you mean devcontainer?"),
    ({"policy": "defaults: {max_cpus: unlimited}"}, "is read as null"),
    ({"policy": "defaults: {max_cpus: 3, cpus: 4}"}, "without effect beside max_cpus"),
    ({"policy": "user_overrides: {u: {gpu_limit: 3}}"}, "belongs under aggregate"),
]  # fmt: skip


@pytest.mark.parametrize(("world", "said"), ODD, ids=[said for _, said in ODD])
def test_warning(tmp_path: Path, world: dict[str, str], said: str) -> None:
    policy = load(tmp_path, **world)
    assert any(said in str(warning) for warning in policy.warnings), policy.warnings


OLD_FILE = """\
defaults:
  max_mig_instances: 3
  max_mig_per_container: 3              # slots
  gpu_memory: null
  io_read_bps: 500M
  storage_workspace: 100G
  max_runtime: 24h
  idle_timeout: 0.5h
  gpu_hold_after_stop: 0.25h
  container_hold_after_stop: null
groups:
  student: {members: [], max_gpus_per_container: 1}
  admin: {members: [labadmin], max_mig_instances: null, max_tasks: null}
user_overrides:
  # nobody
gpu_allocation:
  mig_instances_per_gpu: 4
  mig_gpus: {0: {enable: false, profile: null}}
policies: {checkpoint_warning: 1h, soft_limit_threshold: 0.8, high_demand_threshold: 0.8}
container_types:
  devcontainer: {idle_timeout: 30m, max_runtime: 168h, default_mig_count: {student: 1, admin: null}}
bare_metal_access: {exempt_users: [labadmin], default_grant_duration: 24h}
advanced: {restart_policy: unless-stopped}
wizard:
  error_messages:
    limit: |
      You asked for {requested}.
"""


def test_a_file_of_the_old_kind_loads(tmp_path: Path) -> None:
    policy = load(tmp_path, OLD_FILE)
    limits = ("max_gpu_equivalents", "max_runtime_h", "idle_timeout_h", "gpu_hold_after_stop_h")
    assert [policy.limit("x", key).value for key in limits] == [3, 24, 0.5, 0.25]
    assert policy.limit("labadmin", "max_gpu_equivalents")[1] is None
    assert policy.limit("x", "max_gpu_slots_per_container").value == 1
    assert policy.type_limit("devcontainer", "idle_timeout_h").value == 0.5
    assert policy.value("bare_metal_access.default_grant_duration_h") == 24
    assert policy.value("policies.high_demand_threshold") == 0.8
