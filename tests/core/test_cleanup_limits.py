"""Traces of the limits that hold, of demand, and of whom nothing touches.

``case N`` are the recorded failures of such tools, ``script N`` the bugs of the scripts before.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from ds01ctl.core.cleanup_model import Keep
from ds01ctl.core.model import Engine
from ds01ctl.core.policy import builtin_policy
from tests.config.sample import SAMPLE
from tests.core.cleanup_traces import (
    ALICES,
    FREE,
    OWNED,
    STOPS,
    Row,
    check,
    exempted,
    gpu_container,
    overridden,
    policy,
    raw,
)
from tests.core.cleanup_worlds import failing, idle
from tests.core.worlds import (
    ALICE,
    NOON,
    A,
    B,
    container,
    gpu,
    mig,
    slice_of,
    with_gpus,
)

UNOWNED_ACT = policy("cleanup: {mode: enforce, unowned: act}\n")
LIMITS = [
    Row("case 5, 70: null is no limit", idle(40), [], [], overridden("idle_timeout_h: null")),
    Row(
        "a researcher's hour, and 3 of 4 checks are too few",
        idle(15),
        ["55 warn1 idle", "65 warn2 idle", "70 stop idle"],
        ["idle_timeout_h is 1 (resource-limits.yaml:27 (group researcher))"],
        policy(researcher_members="alice\n"),
    ),
    Row(
        "case 21: an override of another key keeps the group, and all that it has",
        idle(12),
        ["55 warn1 idle"],
        ["idle_timeout_h is 1 (resource-limits.yaml:27 (group researcher))"],
        policy(researcher_members="alice\n", user_overrides_yaml="alice: {max_runtime_h: 100}\n"),
    ),
    Row(
        "case 20: the platform's old label is a label of the platform",
        idle(8),
        STOPS,
        ["idle_timeout_h is 0.5 (resource-limits.yaml:12 (defaults))"],
        None,
        [
            container(
                labels={"aime.mlc.USER": "alice"},
                config=with_gpus("GPU-0"),
                parent="ds01.slice/ds01-student.slice/ds01-student-alice.slice",
            )
        ],
    ),
    Row(
        "case 75: a container of several GPUs, one of which can't be read",
        failing("gpu", times=12),
        [],
        ["gpu unknown: for a test"],
        containers=[gpu_container(config=with_gpus("GPU-0", "GPU-1"))],
    ),
    Row(
        "a window of nine checks",
        idle(10),
        ["30 warn1 idle", "35 warn2 idle", "50 stop idle"],
        ["idle in 9 checks in a row; 9 are needed"],
        overridden("policies: {idle_detection_window: 9}"),
    ),
    Row(
        "by type: docker",
        idle(8),
        STOPS,
        ["docker.idle_timeout_h is 0.5 (resource-limits.yaml:47 (container type docker))"],
        None,
        [raw()],
        {"snapshot": OWNED},
    ),
    Row(
        "by type: a devcontainer has no idle timeout",
        idle(30),
        [],
        [],
        None,
        [raw(labels={"devcontainer.local_folder": "/home/alice/work"})],
        {"snapshot": OWNED},
    ),
    Row(
        "case 8, 69: api has none either",
        idle(30),
        [],
        [],
        None,
        [raw(labels={"ds01.interface": "api"})],
        {"snapshot": OWNED},
    ),
    Row(
        "case 8: a type without an entry counts as unknown, and is told",
        idle(6),
        ["20 warn1 idle", "25 warn2 idle", "30 stop idle"],
        ["type-without-entry: container type jupyter has no entry", "idle_timeout_h is 0.25"],
        None,
        [raw(name="jupyter-alice")],
        {"snapshot": OWNED},
    ),
    Row(
        "an override goes before the type",
        idle(40),
        [],
        [],
        overridden("idle_timeout_h: null"),
        [raw()],
        {"snapshot": OWNED},
    ),
    Row(
        "an override of another key does not",
        idle(8),
        STOPS,
        ["(container type docker)"],
        overridden("max_runtime_h: 100"),
        [raw()],
        {"snapshot": OWNED},
    ),
    Row(
        "the platform's own by its label of a type",
        idle(30),
        [],
        [],
        None,
        [gpu_container(labels={"ds01.container_type": "devcontainer"})],
    ),
    Row("nothing set, nothing done", idle(40), [], [], policy(FREE, "")),
    Row(
        "case 3: sections of comments only",
        idle(40),
        [],
        [],
        policy(FREE, "defaults:\npolicies:\n  # none\ncontainer_types:\ngroups:\n"),
    ),
    Row("no policy at all", idle(40), [], [], builtin_policy()),
    Row(
        "report mode: told, not done, and nobody is warned",
        idle(9),
        [
            "30 (report) warn1 idle",
            "35 (report) stop idle",
            "40 (report) stop idle",
            "45 (report) stop idle",
        ],
        ["report mode: cleanup.mode is report (built-in)"],
        policy(""),
    ),
    Row(
        "one rule in report mode",
        idle(8),
        ["30 (report) warn1 idle", "35 (report) stop idle", "40 (report) stop idle"],
        ["report mode: cleanup.rules.idle is report (resource-limits.yaml:"],
        policy("cleanup: {mode: enforce, rules: {idle: report}}\n"),
    ),
    Row("one rule in force", idle(8), STOPS, [], policy("cleanup: {rules: {idle: enforce}}\n")),
]

TWO = [gpu_container(), gpu_container(B, on="GPU-1", config=with_gpus("GPU-1"))]
DEMAND = [
    Row(
        "demand is high: half the time",
        idle(6),
        [
            "20 warn1 idle",
            "20 warn1 idle",
            "25 warn2 idle",
            "25 warn2 idle",
            "30 stop idle",
            "30 stop idle",
        ],
        [
            "demand is high: 2 of 2 GPU equivalents are given out, high_demand_threshold is 0.8",
            "high_demand_idle_reduction is 0.5",
        ],
        None,
        TWO,
    ),
    Row(
        "case 76: one GPU shared by two is one",
        idle(8),
        [x for x in STOPS for _ in "12"],
        [],
        None,
        [gpu_container(), gpu_container(B)],
    ),
    Row(
        "who watches all GPUs holds none",
        idle(8),
        STOPS,
        [],
        None,
        [gpu_container(), container(B, config=with_gpus("all"), name="ds01-prometheus")],
    ),
    Row(
        "MIG counts by its slices",
        idle(8),
        STOPS,
        [],
        None,
        [gpu_container(config=with_gpus("MIG-1"))],
        {
            "snapshot": {
                "gpus": (
                    gpu(0, mig_mode=True, mig_devices=(mig("MIG-1", 3, 1), mig("MIG-2", 4, 2))),
                )
            }
        },
    ),
    Row(
        "a GPU that is lost is no GPU to be had",
        idle(6),
        ["20 warn1 idle", "25 warn2 idle", "30 stop idle"],
        ["1 of 1 GPU equivalents"],
        None,
        [gpu_container()],
        {"snapshot": {"gpus": (gpu(0), gpu(1, health="lost"))}},
    ),
    Row(
        "never high",
        idle(8),
        [x for x in STOPS for _ in "12"],
        [],
        policy(base=SAMPLE.replace("high_demand_threshold: 0.8", "high_demand_threshold: null")),
        TWO,
    ),
]

SPARED = [
    Row(
        "case 71: ds01.protected holds for every rule",
        idle(40),
        [],
        ["protected-label: c-aaaa: label ds01.protected=true of a user who is no admin keeps it"],
        None,
        [gpu_container(**ALICES)],
    ),
    Row(
        "case 48: ds01.monitoring too",
        idle(40),
        [],
        ["label ds01.monitoring=true"],
        None,
        [gpu_container(labels={"ds01.monitoring": "true"})],
    ),
    Row(
        "the label is for admins alone",
        idle(8),
        STOPS,
        ["protected-label", "is not heeded"],
        policy("cleanup: {mode: enforce, protected_label: admins}\n"),
        [gpu_container(**ALICES)],
    ),
    Row(
        "an admin's label",
        idle(40),
        [],
        [],
        policy("cleanup: {mode: enforce, protected_label: admins}\n"),
        [raw(labels={"ds01.protected": "true"})],
        {"snapshot": OWNED, "admins": frozenset({"alice"})},
    ),
    Row(
        "case 48: infrastructure by its name",
        idle(40),
        [],
        [],
        None,
        [container(config=with_gpus("all"), name="ds01-grafana")],
    ),
    Row("kept by an admin", idle(40), [], [], more={"keeps": [Keep(A, None, "labadmin")]}),
    Row(
        "a keep that ends: its owner is warned anew",
        idle(13),
        ["55 warn1 idle", "60 warn2 idle", "65 stop idle"],
        [],
        more={"keeps": [Keep(A, NOON + timedelta(minutes=52), "/home/alice/work/.keep-alive")]},
    ),
    Row(
        "case 74: a keep that can't be read defers",
        idle(12),
        [],
        ["kept by /w/.keep-alive, which can't be read as meant: is a symlink"],
        more={
            "keeps": [Keep(A, NOON - timedelta(days=1), "/w/.keep-alive", problem="is a symlink")]
        },
    ),
    Row(
        "exempt, by a date without quotes (case 87)",
        idle(30),
        [],
        [],
        exempted("username: alice, exempt_from: [idle_timeout_h], expires_on: 2026-12-31"),
    ),
    Row(
        "exempt, by a time without a zone (case 87)",
        idle(30),
        [],
        [],
        exempted("username: alice, exempt_from: [idle_timeout_h], expires_on: 2026-12-31 12:00"),
    ),
    Row(
        "exempt in another spelling of the login",
        idle(30),
        [],
        [],
        exempted("username: alice@uni.example, exempt_from: [idle_timeout_h], expires_on: null"),
    ),
    Row(
        "exempt from another limit",
        idle(8),
        STOPS,
        [],
        exempted("username: alice, exempt_from: [max_runtime_h], expires_on: null"),
    ),
    Row(
        "an exemption that has run out",
        idle(8),
        STOPS,
        [],
        exempted("username: alice, exempt_from: [idle_timeout_h], expires_on: 2026-11-22"),
    ),
    Row(
        "an exemption that runs out after the warnings",
        idle(12),
        ["55 warn1 idle", "60 warn2 idle"],
        [],
        exempted(
            'username: alice, exempt_from: [idle_timeout_h], expires_on: "2026-11-23T12:52:00Z"'
        ),
    ),
    Row(
        "an exemption for somebody misspelt",
        idle(8),
        STOPS,
        ["exemption-user: alise is exempt, and nobody here is called so; did you mean alice?"],
        exempted("username: alise, exempt_from: [idle_timeout_h], expires_on: null"),
    ),
    Row(
        "an exemption for nobody, with a short name",
        idle(8),
        STOPS,
        ["exemption-user: alec is exempt, and nobody here is called so; did you mean alice?"],
        exempted("username: alec, exempt_from: [idle_timeout_h], expires_on: null"),
        (),
        {"nobody": frozenset({"alec"})},
    ),
    Row(
        "an exemption for nobody at all",
        idle(8),
        STOPS,
        ["exemption-user: zoe is exempt, and nobody here is called so"],
        exempted("username: zoe, exempt_from: [idle_timeout_h], expires_on: null"),
        (),
        {"nobody": frozenset({"zoe"})},
    ),
    Row(
        "an exemption for somebody who has nothing here yet",
        idle(8),
        STOPS,
        [],
        exempted("username: zoe, exempt_from: [idle_timeout_h], expires_on: null"),
    ),
    Row(
        "an exemption for somebody whose name is written in capitals",
        idle(8),
        STOPS,
        ["exemption-user: ALICE is exempt, and nobody here is called so; did you mean alice?"],
        exempted("username: ALICE, exempt_from: [idle_timeout_h], expires_on: null"),
    ),
    Row(
        "a user's own engine",
        idle(40),
        [],
        [],
        None,
        [gpu_container(engine="unix:///run/user/1001/docker.sock")],
        {"snapshot": {"engines": (Engine("unix:///run/user/1001/docker.sock", True, uid=ALICE),)}},
    ),
    Row(
        "case 18: nobody can tell whose it is",
        idle(7),
        ["30 (its) warn1 idle", "35 (its) stop idle"],
        ["its owner is not known: cleanup.unowned is report"],
        None,
        [container(config=with_gpus("GPU-0"))],
    ),
    Row(
        "a directory that is down and says so to nobody: whose limits hold is not known",
        idle(9),
        ["30 (its) warn1 idle", "35 (its) stop idle", "40 (its) stop idle", "45 (its) stop idle"],
        ["its owner is not known: cleanup.unowned is report"],
        overridden("idle_timeout_h: null"),
        [raw()],
        {"snapshot": {**OWNED, "users": {0: "root"}, "uids": {}}},
    ),
    Row(
        "the same, though what nobody owns is to be held",
        idle(9),
        ["30 (its) warn1 idle", "35 (its) stop idle", "40 (its) stop idle", "45 (its) stop idle"],
        ["its owner could not be looked up, and may be somebody: bind mount /home/alice/work"],
        UNOWNED_ACT,
        [raw()],
        {"snapshot": {**OWNED, "users": {0: "root"}, "uids": {}}},
    ),
    Row(
        "the same: nothing but a label names somebody",
        idle(7),
        ["30 (its) warn1 idle", "35 (its) stop idle"],
        [
            "its owner could not be looked up, and may be somebody: ",
            "label ds01.user=carol (no such user)",
        ],
        UNOWNED_ACT,
        [container(config=with_gpus("GPU-0"), labels={"ds01.user": "carol"})],
    ),
    Row(
        "the same: nothing but a name names somebody",
        idle(7),
        ["30 (its) warn1 idle", "35 (its) stop idle"],
        [
            "its owner could not be looked up, and may be somebody: ",
            "name train._.54321 ends in uid 54321",
        ],
        UNOWNED_ACT,
        [container(config=with_gpus("GPU-0"), name="train._.54321")],
    ),
    Row(
        "the same: nothing but a slice names somebody",
        idle(7),
        ["30 (its) warn1 idle", "35 (its) stop idle"],
        ["its owner could not be looked up, and may be somebody: nothing names an owner"],
        UNOWNED_ACT,
        [container(config=with_gpus("GPU-0"), parent=slice_of("carol"))],
    ),
    Row(
        "the same, when the directory answers: his limit is null",
        idle(40),
        [],
        [],
        overridden("idle_timeout_h: null"),
        [raw()],
        {"snapshot": OWNED},
    ),
    Row(
        "nobody can tell, and it is to be held all the same",
        idle(8),
        STOPS,
        [],
        UNOWNED_ACT,
        [container(config=with_gpus("GPU-0"))],
    ),
]


@pytest.mark.parametrize("row", [*LIMITS, *DEMAND, *SPARED], ids=lambda row: row.name)
def test_trace(row: Row) -> None:
    check(row)
