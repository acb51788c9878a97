"""The keys that `cleanup` reads: their values, and what is wrong with others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ds01ctl.act.engine import ANSWER_S
from ds01ctl.commands import cleanup_acting
from ds01ctl.core.cleanup_model import Change
from ds01ctl.core.keys import POLICIES
from ds01ctl.core.policy import builtin_policy
from ds01ctl.jobs import JOBS
from tests.config.sample import load, problems_of

if TYPE_CHECKING:
    from pathlib import Path

BUILT_IN = [
    ("cleanup.mode", "report"),
    ("cleanup.rules.idle", None),
    ("cleanup.rules.gpu_holds", None),
    ("cleanup.idle_without_gpu", False),
    ("cleanup.runtime_without_gpu", False),
    ("cleanup.block_io_idle_threshold", 10 << 20),
    ("cleanup.protected_label", "honour"),
    ("cleanup.unowned", "report"),
    ("cleanup.auto_remove", "report"),
    ("cleanup.keep_alive_max_per_user", 2),
    ("cleanup.breaker.max_share", 0.2),
    ("cleanup.breaker.always", 2),
    ("cleanup.breaker.max_users", 5),
    ("cleanup.breaker.after_boot_m", 60),
    ("cleanup.breaker.after_upgrade_m", 60),
    ("cleanup.notice_dir", "/var/lib/ds01/notices"),
    ("cleanup.mail_domain", None),
    ("cleanup.mail_to_logins", False),
    ("cleanup.jupyter_ports", (8888,)),
    ("cleanup.images.high_percent", 85),
    ("cleanup.images.low_percent", 80),
    ("cleanup.images.min_age_h", 24),
    ("cleanup.images.min_age_unseen_h", 336),
    ("cleanup.images.keep_per_repository", 1),
    ("cleanup.images.keep", ()),
    ("cleanup.images.keep_label", "ds01.keep"),
    ("cleanup.images.max_unused_d", None),
    ("cleanup.cache.keep_gib", None),
    ("cleanup.networks_unused_h", 24),
    ("cleanup.users_after_d", 7),
]


@pytest.mark.parametrize(("key", "value"), BUILT_IN)
def test_built_in_value(key: str, value: object) -> None:
    assert builtin_policy().value(key) == value


GOOD = [
    ("{mode: enforce}", "mode", "enforce"),
    ("{rules: {idle: enforce}}", "rules.idle", "enforce"),
    ("{rules: {gpu_holds: null}}", "rules.gpu_holds", None),
    ("{block_io_idle_threshold: 10M}", "block_io_idle_threshold", 10 << 20),
    ("{block_io_idle_threshold: null}", "block_io_idle_threshold", None),
    ("{jupyter_ports: [8888, 8889]}", "jupyter_ports", (8888, 8889)),
    ("{jupyter_ports: null}", "jupyter_ports", ()),
    ("{jupyter_ports: []}", "jupyter_ports", ()),
    ("{keep_alive_max_per_user: 0}", "keep_alive_max_per_user", 0),
    ("{keep_alive_max_per_user: null}", "keep_alive_max_per_user", None),
    ("{breaker: {max_share: null}}", "breaker.max_share", None),
    ("{breaker: {max_share: 1}}", "breaker.max_share", 1),
    ("{mail_domain: uni.example}", "mail_domain", "uni.example"),
    ("{images: {low_percent: 85}}", "images.low_percent", 85),
    ("{images: {keep: ['*:stable', a/b]}}", "images.keep", ("*:stable", "a/b")),
    ("{images: {max_unused_d: 30}}", "images.max_unused_d", 30),
    ("{cache: {keep_gib: 0.5}}", "cache.keep_gib", 0.5),
    ("{networks_unused_h: null}", "networks_unused_h", None),
]


@pytest.mark.parametrize(("text", "key", "value"), GOOD)
def test_value(tmp_path: Path, text: str, key: str, value: object) -> None:
    policy = load(tmp_path, f"cleanup: {text}\n")
    assert policy.value(f"cleanup.{key}") == value
    origin = policy.setting(f"cleanup.{key}").origin
    assert origin is not None
    assert origin.line == 1


BAD = [
    ("{mode: on}", "mode", "'on' is not known; expected one of"),
    ("{mode: null}", "mode", "is null; expected one of report, enforce"),
    ("{mode: enforced}", "mode", "did you mean enforce?"),
    ("{rules: {gpu-holds: report}}", "rules.gpu-holds", "did you mean gpu_holds?"),
    ("{rules: {volumes: enforce}}", "rules.volumes", "unknown key"),
    ("{idle_without_gpu: 1}", "idle_without_gpu", "expected true or false"),
    ("{block_io_idle_threshold: 10}", "block_io_idle_threshold", "too small to be meant"),
    ("{protected_label: yes}", "protected_label", "is not known"),
    ("{unowned: kill}", "unowned", "'kill' is not known"),
    ("{keep_alive_max_per_user: -1}", "keep_alive_max_per_user", "expected a whole number"),
    ("{breaker: {max_share: 20%}}", "breaker.max_share", "expected a number from 0 to 1"),
    ("{breaker: {max_share: 20}}", "breaker.max_share", "expected a number from 0 to 1"),
    ("{breaker: {after_boot_m: 1h}}", "breaker.after_boot_m", "expected a number of minutes"),
    ("{notice_dir: notices}", "notice_dir", "expected an absolute path"),
    ("{jupyter_ports: 8888}", "jupyter_ports", "expected a list of port numbers"),
    ("{jupyter_ports: [0]}", "jupyter_ports", "entry 1 is 0; expected a port number from 1"),
    ("{jupyter_ports: [65536]}", "jupyter_ports", "entry 1 is 65536"),
    ("{images: {high_percent: 101}}", "images.high_percent", "expected a number from 0 to 100"),
    ("{images: {high_percent: 0}}", "images.high_percent", "above 0"),
    ("{images: {low_percent: 90}}", "images.low_percent", "90 is above high_percent 85"),
    ("{images: {high_percent: 75}}", "images.low_percent", "80 is above high_percent 75"),
    ("{images: {keep: nvcr.io}}", "images.keep", "expected a list of words"),
    ("{cache: {keep_gib: 50G}}", "cache.keep_gib", "expected a number"),
    ("{max_runtime_h: 1}", "max_runtime_h", "it belongs in defaults, a group or an override"),
]


@pytest.mark.parametrize(("text", "key", "said"), BAD)
def test_wrong_value(tmp_path: Path, text: str, key: str, said: str) -> None:
    (problem,) = problems_of(tmp_path, f"cleanup: {text}\n")
    assert problem.key == f"cleanup.{key}"
    assert problem.line == 1
    assert said in problem.message


GRACES = [
    ("policies:\n  {sigterm_grace_s: 120.5}", "is 120.5; expected a number of seconds up to 120"),
    ("policies:\n  {sigterm_grace_s: 1e9}", "expected a number of seconds up to 120"),
    ("policies:\n  {sigterm_grace_seconds: 3m}", "is '3m'; expected a number of seconds up to 120"),
    ("container_types:\n  {docker: {sigterm_grace_s: 121}}", "is 121; expected a number"),
    ("user_overrides:\n  {zoe: {policies: {sigterm_grace_s: 121}}}", "is 121; expected a number"),
]


@pytest.mark.parametrize(("text", "said"), GRACES)
def test_a_grace_that_a_run_can_not_wait_for(tmp_path: Path, text: str, said: str) -> None:
    (problem,) = problems_of(tmp_path, f"{text}\n")
    assert (problem.line, problem.key.rpartition(".")[2][:13]) == (2, "sigterm_grace")
    assert said in problem.message


def test_a_run_outlasts_the_longest_grace() -> None:
    """Of the first stops; and it knows when systemd ends it."""
    (key,) = (one for one in POLICIES if one.name == "sigterm_grace_s")
    (job,) = (one for one in JOBS if one.name == "cleanup-containers")
    assert job.timeout_s == cleanup_acting.RUN_S
    assert key.most + ANSWER_S + cleanup_acting.BEFORE_S <= cleanup_acting.RUN_S
    assert builtin_policy().value("policies.sigterm_grace_s") <= key.most


@pytest.mark.parametrize(("since_s", "graces", "is_late"), [
    (10, (60, 60), False), (121, (60, 60), True), (61, (10, 120), True), (161, (20,), True),
])  # fmt: skip
def test_later_stops_begin_only_if_they_can_end(
    since_s: float, graces: tuple[int, ...], *, is_late: bool
) -> None:
    stops = [
        Change("stop-container", "idle", "a", "a", "e", None, "", grace_s=grace) for grace in graces
    ]
    assert cleanup_acting.is_too_late(stops, since_s) is is_late


TIMEOUTS = [
    ("idle_timeout: 48", "48 has no unit; write idle_timeout_h: 48 if it means hours"),
    ("max_runtime: 48", "48 has no unit; write max_runtime_h: 48 if it means hours"),
    ("idle_timeout_h: 0.5h", "is '0.5h'; expected a number of hours above 0, or null: no limit"),
    ("idle_timeout_h: -1", "is -1; expected a number of hours above 0"),
    ("idle_timeout_h: 0", "is 0; expected a number of hours above 0"),
    ("idle_timeout: 1.5.2h", "expected a duration such as 24h or 90m"),
    ("container_hold_after_stop: 2", "2 has no unit"),
]


@pytest.mark.parametrize(("text", "said"), TIMEOUTS)
def test_a_timeout_without_a_unit_is_no_timeout(tmp_path: Path, text: str, said: str) -> None:
    """Hours read as seconds have killed a container at once (failure cases 1 and 2)."""
    (problem,) = problems_of(tmp_path, f"defaults:\n  {text}\n")
    assert problem.line == 2
    assert said in problem.message


@pytest.mark.parametrize(
    ("text", "hours"), [("0.5h", 0.5), ("0.01h", 0.01), ("90m", 1.5), ("1h 30m", 1.5), ("2d", 48)]
)
def test_an_old_timeout_is_read_exactly(tmp_path: Path, text: str, hours: float) -> None:
    policy = load(tmp_path, f"defaults: {{idle_timeout: {text}}}\n")
    assert policy.limit("x", "idle_timeout_h").value == hours


def test_a_section_of_comments_is_an_empty_one(tmp_path: Path) -> None:
    """Failure cases 3 and 4."""
    policy = load(tmp_path, "cleanup:\n  # mode: enforce\n  rules:\n  images:\ncontainer_types:\n")
    assert policy.value("cleanup.mode") == "report"
    assert policy.type_limit("docker", "idle_timeout_h").origin is None
