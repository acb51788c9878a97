"""What is wrong or odd is said in an admin's words, at the line where it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.config.sample import load, problems_of

if TYPE_CHECKING:
    from pathlib import Path

NOT_YAML = [
    ("a: 1\nb: 'x\nc: 1\nd: 2\n", 2, "the quote ' that opens here is never closed"),
    ('a: "x\nb: 1\n', 1, 'the quote " that opens here is never closed'),
    ("a: [\n\n", 2, "the text ends while a bracket is open"),
    ("a: [1\n", 1, "the bracket [ that opens here is never closed"),
    (
        "m:\n  a: [1,\n  b: 2\nc: 3\n",
        2,
        "the bracket [ that opens here is not closed before line 4",
    ),
    ("m: {a: 1\nb: 2\n", 1, "the bracket { that opens here is not closed before line 2"),
    ("a: {b: [1, 2}\n", 1, "expected ',' or ']', but got '}'"),
    ("a: 1\n---\nb: 1\n", 2, "a second document begins here; a file holds one"),
    ("a: 1\n b: 2\n", 2, "no key can stand here"),
    ("a:\n  b: 1\n c: 2\n", 3, "is not indented like the lines before it"),
    ("a: 'it's'\n", 1, "is a quote missing, or one too many?"),
    ("a: @x\n", 1, "a value cannot begin with '@'; put it in quotes"),
    ("a: |\n x\n y\nb", 4, "could not find expected ':'"),
]


@pytest.mark.parametrize(("text", "line", "said"), NOT_YAML, ids=[said for *_, said in NOT_YAML])
def test_what_is_not_yaml(tmp_path: Path, text: str, line: int, said: str) -> None:
    (problem,) = problems_of(tmp_path, text)
    assert problem.line == line
    assert said in problem.message


TOP = (
    "access_control, advanced, bare_metal_access, carbon, cleanup, container_types, default_group, "
)
VALUES = [
    ("require: [nvlm]", 1, "'nvlm' is not known; did you mean nvml?"),
    ("require:\n- nvml\n- gpu\n", 3, "'gpu' is not known; expected one of docker, nvml"),
    ("docker:\n  hosts:\n  - unix:///run/docker.sock\n  - /run/podman.sock\n", 4,
     "entry 2 is '/run/podman.sock'; expected an address such as unix:///run/docker.sock"),
    ("docker: {hosts: [[a]]}", 1, "entry 1 is a list; expected an address"),
    ("users: {home_dirs: [home]}", 1, "entry 1 is 'home'; expected an absolute path"),
    ("bare_metal_access: {exempt_users: [a, 'b;c']}", 1, "'b;c' is not a login"),
    ("enforcement: {cgroup_driver: sytemd}", 1, "'sytemd' is not known; did you mean systemd?"),
    ("detect: {scans: 0}", 1, "is 0; expected a whole number above 0"),
    ("defaults: {max_cpus: -1}", 1, "is -1; expected a number above 0"),
    ("defaults: {max_cpus: '3'}", 1, "is '3' in quotes; expected a number above 0"),
    ("defaults: {max_cpus: many}", 1, "is 'many'; expected a number above 0"),
    ("defaults: 3", 1, "is 3; expected keys with values"),
    ("defalts: {}", 1, f"unknown key; did you mean defaults? Or expected one of {TOP}"),
    ("foo: {}", 1, f"unknown key; expected one of {TOP}"),
    ("container_type: {}", 1, "unknown key; did you mean container_types?"),
    ("nvml: {xyz: 1}", 1, "unknown key; expected one of timeout_s"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "said"), VALUES, ids=[text for text, *_ in VALUES])
def test_what_is_no_value(tmp_path: Path, text: str, line: int, said: str) -> None:
    (problem,) = problems_of(tmp_path, text)
    assert problem.line == line
    assert problem.message.startswith(said)
    assert not problem.message.endswith("…")


def test_a_list_of_names_that_is_cut_says_so(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, "defaults: {xyz: 1}")
    assert problem.message.endswith(", …")


GROUPS = "groups: {student: {max_cpus: 1}, researcher: {max_cpus: 2}}\n"
TWO = {"student_members": "ann\n", "researcher_members": "bob\n"}
ODD = [
    ({"policy": ""}, "resource-limits.yaml: sets nothing: every limit is off"),
    ({"policy": "# all out\ndefaults:\n"}, "sets nothing: every limit is off"),
    ({"policy": "", "user_overrides_yaml": "a: {max_cpus: 3}"},
     "sets nothing: every limit but those of user-overrides.yaml is off"),
    ({"policy": GROUPS, **TWO, "reseacher_members": "carl\n"},
     "groups/reseacher.members: there is no group 'reseacher'; did you mean researcher?; "
     "its members have the defaults only"),
    ({"policy": GROUPS, "researcher_members": "# nobody yet\n"},
     "groups.researcher: has no members: groups/researcher.members is empty"),
    ({"policy": GROUPS.replace("{max_cpus: 1}", "{aggregate: {memory_max: 86G, memory_high: 96G}}"),
      **TWO},
     "yaml:1: groups.student.aggregate.memory_high: 96G is above memory_max 86G"),
    ({"policy": "user_overrides: {u: {aggregate: {memory_max: 40%, memory_high: 50%}}}"},
     "yaml:1: user_overrides.u.aggregate.memory_high: 50% is above memory_max 40%"),
    ({"policy": "defaults: {max_cpus: 1}",
      "user_overrides_yaml": "u: {aggregate: {memory_max: 1G, memory_high: 1.5G}}"},
     "user-overrides.yaml:1: u.aggregate.memory_high: 1.5G is above memory_max 1G"),
    ({"policy": "user_overrides:\n  u:\n    login: {memory_max: 8G, memory_high: 9G}\n"},
     "yaml:3: user_overrides.u.login.memory_high: 9G is above memory_max 8G"),
    ({"policy": "defaults: {max_cpus: 1}",
      "user_overrides_yaml": "u:\n  login: {memory_high: 2G}\n  aggregate: {memory_max: 1G}\n"},
     "user-overrides.yaml:2: u.login.memory_high: 2G is above memory_max 1G"),
    ({"policy": "groups: {student: {aggregate: {managed_oom_memory_pressure_limit: 60%}}}"},
     "yaml:1: groups.student.aggregate.managed_oom_memory_pressure_limit: "
     "has no effect without managed_oom_memory_pressure: kill"),
]  # fmt: skip


@pytest.mark.parametrize(("world", "said"), ODD, ids=[said for _, said in ODD])
def test_the_one_warning(tmp_path: Path, world: dict[str, str], said: str) -> None:
    (warning,) = load(tmp_path, **world).warnings
    assert str(warning).endswith(said)


QUIET = [
    "user_overrides: {u: {login: {memory_max: 8G, memory_high: 7G},"
    " aggregate: {memory_max: 1G, memory_high: 1G}}}",
    "groups: {student: {login: {managed_oom_memory_pressure_limit: 60%},"
    " aggregate: {managed_oom_memory_pressure: kill}}}",
    # the group may say kill
    "user_overrides: {u: {aggregate: {managed_oom_memory_pressure_limit: 60%}}}",
]


@pytest.mark.parametrize("text", QUIET)
def test_no_warning(tmp_path: Path, text: str) -> None:
    assert load(tmp_path, text).warnings == ()


@pytest.mark.parametrize("line", ["bob;carol", "bob carol", "bob,carol", "bob:x", "<bob>", "b*"])
def test_a_line_that_is_no_login(tmp_path: Path, line: str) -> None:
    (problem,) = problems_of(tmp_path, GROUPS, student_members=f"ann\n{line}\n")
    assert str(problem).endswith(
        f"groups/student.members:2: '{line}' is not a login; expected one login per line"
    )


@pytest.mark.parametrize(
    "name", ["o'brien@uni.example", "UNI\\bob", "a+b", "204999", "bob$", "b_1"]
)
def test_a_login_of_a_directory_is_one(tmp_path: Path, name: str) -> None:
    policy = load(tmp_path, GROUPS, student_members=f"{name}\n")
    assert policy.group_of(name).value == "student"
    assert name in policy.members


def test_a_mistyped_default_group_draws_no_warning_after_it(tmp_path: Path) -> None:
    """The group that was meant has no members file, which is right for a default group."""
    from ds01ctl.config.source import PolicyError

    with pytest.raises(PolicyError) as caught:
        load(tmp_path, "default_group: studnet\n" + GROUPS, researcher_members="bob\n")
    assert [problem.message for problem in caught.value.problems] == [
        "there is no group 'studnet'; did you mean student?"
    ]
    assert caught.value.warnings == ()
