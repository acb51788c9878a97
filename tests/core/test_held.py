"""What users hold of GPUs and containers, by the same count that `detect` accuses by."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from ds01ctl.core import held
from ds01ctl.core.allocation import over_quota
from ds01ctl.core.held import Held, HeldKind
from ds01ctl.core.inventory import inventory
from ds01ctl.core.model import Gap, Mount, Snapshot
from ds01ctl.core.policy import Policy, builtin_policy

from .test_detect import HERE, limits, policy
from .worlds import (
    NOON,
    A,
    B,
    C,
    container,
    gpu,
    managed,
    mig,
    process,
    replace,
    use,
    with_gpus,
    world,
)

NOTHING = builtin_policy()
SPLIT = gpu(0, mig_mode=True, mig_devices=(mig("MIG-a", 3, 1), mig("MIG-b", 4, 2)))
RULES = limits(max_gpu_equivalents=2.0, max_containers_per_user=3)


def rows(snapshot: Snapshot, rules: Policy = RULES) -> tuple[Held, ...]:
    return held.rows(inventory(snapshot, rules, NOON), snapshot, rules, NOON)


def counted(snapshot: Snapshot, rules: Policy = RULES) -> dict[tuple[str, str], Any]:
    """What is used and given, by user and kind."""
    return {(row.user, row.kind): (row.used, row.limit) for row in rows(snapshot, rules)}


ALICE_GPU, ALICE_CONTAINERS = ("alice", "gpu"), ("alice", "containers")
WORLDS: dict[str, tuple[Snapshot, Policy, dict[tuple[str, str], Any]]] = {
    "nobody": (world(), RULES, {}),
    "below the limit": (
        world(managed(config=with_gpus("0"))),
        RULES,
        {ALICE_GPU: (1.0, 2.0), ALICE_CONTAINERS: (1, 3)},
    ),
    "no limit anywhere": (
        world(managed(config=with_gpus("0"))),
        NOTHING,
        {ALICE_GPU: (1.0, None), ALICE_CONTAINERS: (1, None)},
    ),
    "null is no limit, unless another one is written": (
        world(managed(config=with_gpus("0"))),
        limits(max_gpu_equivalents=None, aggregate__gpu_limit=3.0, max_containers_per_user=None),
        {ALICE_GPU: (1.0, 3.0), ALICE_CONTAINERS: (1, None)},
    ),
    "a limit of none at all": (
        world(managed(config=with_gpus("0"))),
        limits(max_gpu_equivalents=0.0),
        {ALICE_GPU: (1.0, 0.0), ALICE_CONTAINERS: (1, None)},
    ),
    "without a GPU there is no row of GPUs": (world(managed()), RULES, {ALICE_CONTAINERS: (1, 3)}),
    "MIG by its share of compute": (
        world(SPLIT, managed(config=with_gpus("MIG-a"))),
        RULES,
        {ALICE_GPU: (pytest.approx(3 / 7), 2.0), ALICE_CONTAINERS: (1, 3)},
    ),
    "one that two share counts for each, once": (
        world(
            managed(config=with_gpus("0")),
            managed("alice", B, config=with_gpus("0")),
            managed("bob", C, config=with_gpus("0")),
        ),
        RULES,
        {
            ALICE_GPU: (1.0, 2.0),
            ALICE_CONTAINERS: (2, 3),
            ("bob", "gpu"): (1.0, 2.0),
            ("bob", "containers"): (1, 3),
        },
    ),
    "stopped: not running, and its GPU held for a while": (
        world(
            managed(
                config=replace(with_gpus("0"), cgroup_parent="ds01-student-alice.slice"),
                state="exited",
                finished_at=NOON - timedelta(minutes=5),
            )
        ),
        limits(gpu_hold_after_stop_h=0.25),
        {ALICE_GPU: (1.0, None)},
    ),
    "a label alone counts for nobody": (
        world(container(labels={"ds01.user": "alice"}, config=with_gpus("all"))),
        RULES,
        {},
    ),
    "the platform's own": (
        world(
            container(
                name="ds01-grafana",
                config=with_gpus("0"),
                mounts=(Mount("bind", "/root/grafana", "/x"),),
            ),
            path_owners={"/root/grafana": 0},
        ),
        policy(monitoring__infrastructure_containers=("ds01-grafana",)),
        {},
    ),
    "no GPU can be seen": (
        world(managed(config=with_gpus("0")), gpus=(), gaps=("nvml",)),
        RULES,
        {ALICE_CONTAINERS: (1, 3)},
    ),
    # NVML says that there is a MIG device, and not how much of the GPU it is
    "a share that is not known is no row": (
        world(
            replace(
                SPLIT, mig_devices=(mig("MIG-a", 3, 1)._replace(compute_slices=None, profile=None),)
            ),
            managed(config=with_gpus("MIG-a")),
        ),
        RULES,
        {ALICE_CONTAINERS: (1, 3)},
    ),
    "Docker is down": (world(process(), use(), gaps=("docker",)), RULES, {}),
}


@pytest.mark.parametrize(("snapshot", "rules", "expected"), WORLDS.values(), ids=WORLDS.keys())
def test_rows(snapshot: Snapshot, rules: Policy, expected: dict[tuple[str, str], Any]) -> None:
    """Everybody who holds something has a row, with or without a limit; nobody else has."""
    assert counted(snapshot, rules) == expected


@pytest.mark.parametrize("snapshot", [one for one, *_ in WORLDS.values()], ids=WORLDS.keys())
@pytest.mark.parametrize("most", [0, 1, 2])
def test_over_quota_is_the_rows_above_their_limit(snapshot: Snapshot, most: int) -> None:
    """The report and the accusation come of one count."""
    rules = limits(max_gpu_equivalents=float(most), max_containers_per_user=most)
    seen = inventory(snapshot, rules, NOON)
    accused = [
        (one.user, one.held, one.limit, one.evidence)
        for one in over_quota(seen, snapshot, rules, NOON)
    ]
    above = [row for row in rows(snapshot, rules) if row.limit is not None and row.used > row.limit]
    assert accused == [(row.user, row.used, row.limit, row.evidence) for row in above]


def test_evidence_and_origin() -> None:
    """A row says what it counted, and where its limit was written."""
    both = world(
        managed(config=with_gpus("0"), name="a"), managed("alice", B, config=with_gpus("1"))
    )
    of_gpus, of_containers = rows(both)
    assert of_gpus.containers == of_containers.containers == ("a", "c-bbbb")
    assert of_gpus.origin == str(HERE)
    assert of_gpus.evidence == (
        "holds 2 GPU-equivalents in 2 containers: a, c-bbbb",
        f"max_gpu_equivalents is 2.0 ({HERE})",
    )
    assert of_containers.evidence[0] == "runs 2 containers: a, c-bbbb"


def test_no_limit_says_whether_somebody_wanted_that() -> None:
    """A null in the policy has a place; a limit that nobody wrote has none."""
    snapshot = world(managed(container_id=A))
    [unset] = rows(snapshot, NOTHING)
    [null] = rows(snapshot, limits(max_containers_per_user=None))
    assert (unset.origin, len(unset.evidence)) == (None, 1)
    assert (null.origin, null.evidence[1]) == (
        str(HERE), f"max_containers_per_user is null ({HERE})",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("sources", "kinds"),
    [
        ((), set()),
        (("docker",), {"gpu", "containers"}),
        (("users",), {"gpu", "containers"}),
        (("nvml",), {"gpu"}),
        (("processes",), {"gpu"}),
        (("state", "policy"), set()),
    ],
)
def test_unknown_kinds(sources: tuple[str, ...], kinds: set[HeldKind]) -> None:
    """Where a source is silent, that somebody has no row means nothing."""
    assert held.unknown_kinds(Gap(one, "absent", "for a test") for one in sources) == kinds
