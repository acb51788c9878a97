"""Who has which limit: user override, group, defaults, key by key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ds01ctl.core.policy import Origin, Policy, builtin_policy, canonical
from tests.config.sample import OVERRIDES, SAMPLE, load

if TYPE_CHECKING:
    from pathlib import Path

WORLD = """\
defaults: {max_cpus: 32, memory: 32g, max_runtime_h: 24, max_gpu_equivalents: 1.0}
default_group: student
policies: {sigterm_grace_s: 90}
groups:
  student: {aggregate: {gpu_limit: 2.0, tasks_max: 10}}
  researcher:
    max_cpus: 48
    max_gpu_equivalents: 4.0
    aggregate: {gpu_limit: 4.0, tasks_max: 20}
    policies: {gpu_idle_threshold: 7}
  admin: {max_gpu_equivalents: null}
user_overrides:
  carol: {memory: 64g, max_cpus: 1}
container_types:
  api: {idle_timeout_h: null}
  unknown: {idle_timeout_h: 0.25, max_runtime_h: 24}
"""
FILES = {
    "researcher_members": "r.one@uni.example\ncarol\nab@x\nab@y\n",
    "admin_members": "root1\n",
    "user_overrides_yaml": (
        "r.one@uni.example: {max_runtime_h: 100, aggregate: {gpu_limit: null}}\n"
        "carol: {max_cpus: 2}\n"
        "ab@x: {memory: 1g}\n"
    ),
}


@pytest.fixture
def policy(tmp_path: Path) -> Policy:
    return load(tmp_path, WORLD, **FILES)


TABLE = [
    ("zoe", "max_cpus", 32, "defaults"),
    ("zoe", "aggregate.gpu_limit", 2.0, "group student"),
    ("zoe", "policies.sigterm_grace_s", 90, "policies"),
    ("zoe", "policies.gpu_idle_threshold", 5, "built-in"),
    ("zoe", "shm_size", None, None),
    ("r.one@uni.example", "max_runtime_h", 100, "user override"),
    ("r.one@uni.example", "max_cpus", 48, "group researcher"),
    ("r.one@uni.example", "memory", 32 << 30, "defaults"),
    ("r.one@uni.example", "max_gpu_equivalents", 4.0, "group researcher"),
    ("r.one@uni.example", "aggregate.gpu_limit", None, "user override"),
    ("r.one@uni.example", "aggregate.tasks_max", 20, "group researcher"),
    ("r.one@uni.example", "policies.gpu_idle_threshold", 7, "group researcher"),
    ("r_one", "max_runtime_h", 100, "user override"),
    ("r.one", "max_cpus", 48, "group researcher"),
    ("carol", "max_cpus", 2, "user override"),
    ("carol", "memory", 64 << 30, "inline override"),
    ("root1", "max_gpu_equivalents", None, "group admin"),
    ("root1", "aggregate.gpu_limit", None, None),
    ("ab@x", "memory", 1 << 30, "user override"),
    ("ab@y", "memory", 32 << 30, "defaults"),
    ("ab", "memory", 32 << 30, "defaults"),
    ("ab", "max_cpus", 32, "defaults"),
    ("", "max_cpus", 32, "defaults"),
]


@pytest.mark.parametrize(("login", "key", "value", "rule"), TABLE)
def test_limit(policy: Policy, login: str, key: str, value: object, rule: str | None) -> None:
    setting = policy.limit(login, key)
    assert (setting.key, setting.value) == (key, value)
    assert (setting.origin and setting.origin.rule) == rule


def test_an_override_never_changes_the_group(policy: Policy) -> None:
    for login in ("r.one@uni.example", "r_one", "r.one", "carol"):
        assert policy.group_of(login).value == "researcher"
    assert policy.group_of("zoe").value == "student"
    assert str(policy.group_of("zoe").origin) == "resource-limits.yaml:2 (default_group)"
    assert (
        str(policy.group_of("carol").origin)
        == "groups/researcher.members:2 (members of researcher)"
    )


def test_what_was_looked_up_holds_for_that_policy_only(policy: Policy) -> None:
    """Who is on the host, too, makes a form two people's: it is nobody's then."""
    assert policy.limit("r_one", "max_runtime_h").value == 100
    known = policy.knowing(["r_one"])
    assert known.limit("r_one", "max_runtime_h").value == 24
    assert policy.limit("r_one", "max_runtime_h").value == 100


def test_candidates_are_in_order(policy: Policy) -> None:
    found = policy.candidates("carol", "max_cpus")
    assert [setting.value for setting in found] == [2, 1, 48, 32]


def test_origin_names_file_line_and_rule(policy: Policy) -> None:
    origin = policy.limit("r.one@uni.example", "max_cpus").origin
    assert str(origin) == "resource-limits.yaml:7 (group researcher)"
    assert str(Origin("", None, "built-in")) == "built-in"


@pytest.mark.parametrize(
    ("container_type", "key", "value", "is_set"),
    [
        ("api", "idle_timeout_h", None, True),
        ("api", "max_runtime_h", None, False),
        ("never-heard-of", "idle_timeout_h", 0.25, True),
    ],
)
def test_container_type(
    policy: Policy, container_type: str, key: str, value: object, is_set: bool
) -> None:
    setting = policy.type_limit(container_type, key)
    assert (setting.value, setting.origin is not None) == (value, is_set)


def test_sample_user(tmp_path: Path) -> None:
    files = {"researcher_members": "204999@uni.example", "user_overrides_yaml": OVERRIDES}
    policy = load(tmp_path, SAMPLE, **files)
    limits = {key: policy.limit("204999", key).value for key in ("max_runtime_h", "max_cpus")}
    assert limits == {"max_runtime_h": None, "max_cpus": 48}


def test_two_groups(tmp_path: Path) -> None:
    groups = "groups: {b: {}, a: {}}\n"
    members = {"a_members": "x\n", "b_members": "x\n"}
    assert load(tmp_path, groups, **members).group_of("x").value == "b"
    policy = load(tmp_path, groups, **members, group_overrides_txt="x:a\n")
    assert policy.group_of("x").value == "a"


def test_a_name_that_is_no_key_is_a_mistake_of_the_program() -> None:
    with pytest.raises(KeyError):
        builtin_policy().limit("x", "max_cpuss")
    with pytest.raises(KeyError):
        builtin_policy().setting("detect.min_age")


def test_no_file_no_limits() -> None:
    policy = builtin_policy()
    assert policy.limit("x", "max_cpus") == ("max_cpus", None, None)
    assert policy.setting("detect.min_age_s") == (
        "detect.min_age_s",
        60,
        Origin("", None, "built-in"),
    )
    assert policy.group_of("x").value == "student"
    assert policy.files == ()


@pytest.mark.parametrize(
    ("login", "form"),
    [
        ("alice", "alice"),
        ("h.baker@uni.example", "h_baker"),
        ("a-b", "a_b"),
        ("a__b", "a_b"),
        ("1234@x", "1234"),
        ("@x", ""),
        (".", ""),
        ("..a..", "a"),
        ("ü", ""),
        ("x" * 32, "x" * 32),
        ("x" * 33, "x" * 27 + "_b7b8"),
    ],
)
def test_canonical(login: str, form: str) -> None:
    assert canonical(login) == form
    assert canonical(form) == form
