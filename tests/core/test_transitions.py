"""What changed between two recorded runs, and what only looks like it."""

import pytest

from ds01ctl.core.detect import decide
from ds01ctl.core.model import Engine, Snapshot
from ds01ctl.core.policy import builtin_policy
from ds01ctl.core.transitions import answered, compare, confirmed, rows

from .worlds import ALICE, ENGINE, A, B, container, docker, gpu, process, replace, use, world


def run(*worlds: Snapshot) -> list[list[str]]:
    """Record one world after the other; give each run's events, by type and name."""
    known: dict[tuple[str, ...], dict[str, object]] = {}
    ever: set[str] = set()
    told = []
    for snapshot in worlds:
        inventory = decide(snapshot, builtin_policy(), snapshot.taken_at).workloads
        changes, known = compare(known, rows(inventory, snapshot), ever, snapshot)
        ever |= answered(snapshot)
        told.append([f"{c.type.removeprefix('detection.')} {c.details['name']}" for c in changes])
    return told


EMPTY = world()
ONE = world(container())
STOPPED = world(container(state="exited"))
DOCKER_DOWN = world(gaps=("docker",))
JOB = world(process(), use())
NVML_DOWN = replace(world(gaps=("nvml",)), gpus=())
LOST = world(gpu(0, health="lost", processes_known=False), gpu(1), gaps=("nvml",))

TABLE = {
    "the first run tells nothing": ([ONE], [[]]),
    "came": ([EMPTY, ONE], [[], ["container_discovered c-aaaa"]]),
    "went": ([ONE, EMPTY], [[], ["container_exited c-aaaa"]]),
    "stopped": ([ONE, STOPPED], [[], ["container_exited c-aaaa"]]),
    "stopped, then removed, is told once": (
        [ONE, STOPPED, EMPTY],
        [[], ["container_exited c-aaaa"], []],
    ),
    "paused": (
        [ONE, world(container(state="paused", cgroup=docker(A)))],
        [[], ["container_status_changed c-aaaa"]],
    ),
    "re-created under its name": (
        [ONE, world(container(B, name="c-aaaa"))],
        [[], ["container_exited c-aaaa", "container_discovered c-aaaa"]],
    ),
    "Docker down and up again": ([ONE, DOCKER_DOWN, ONE], [[], [], []]),
    "gone while Docker was down": (
        [ONE, DOCKER_DOWN, EMPTY],
        [[], [], ["container_exited c-aaaa"]],
    ),
    "Docker's first answer discovers nothing": ([DOCKER_DOWN, ONE], [[], []]),
    "a job came": ([EMPTY, JOB], [[], ["host_gpu_process_discovered python3"]]),
    "a job went": ([JOB, EMPTY], [[], ["host_gpu_process_exited python3"]]),
    "NVML down and up again": ([JOB, NVML_DOWN, JOB], [[], [], []]),
    "its GPU is lost": ([JOB, LOST, JOB], [[], [], []]),
    "a job on another GPU went while one is lost": (
        [world(process(), use(on="GPU-1")), LOST],
        [[], ["host_gpu_process_exited python3"]],
    ),
    "its pid was reused": (
        [JOB, world(process(start_ticks=9), use())],
        [[], ["host_gpu_process_exited python3", "host_gpu_process_discovered python3"]],
    ),
    "the host was rebooted": (
        [JOB, replace(EMPTY, boot_id="boot-2")],
        [[], ["host_gpu_process_exited python3"]],
    ),
    "its cgroup can't be read for a while": (
        [JOB, world(process(cgroup=None), use(), gaps=("processes",)), JOB],
        [[], [], []],
    ),
}


@pytest.mark.parametrize(("worlds", "expected"), TABLE.values(), ids=TABLE.keys())
def test_changes(worlds: list[Snapshot], expected: list[list[str]]) -> None:
    """Only what is known to have changed is told, and once."""
    assert run(*worlds) == expected


def test_one_engine_of_two_is_silent() -> None:
    """Each engine is judged by its own answers."""
    other = "unix:///run/user/1001/docker.sock"
    both = (Engine(ENGINE, answered=True), Engine(other, answered=True))
    mine = container(B, engine=other, name="rootless")
    first = world(container(), mine, engines=both)
    silent = (both[0], replace(both[1], answered=False))
    second = world(engines=silent, gaps=("docker",))
    assert run(first, second) == [[], ["container_exited c-aaaa"]]


def test_details_name_the_container_in_full() -> None:
    """An event carries what is needed to find the container again."""
    snapshot = world(container())
    inventory = decide(snapshot, builtin_policy(), snapshot.taken_at).workloads
    [change], _ = compare({}, rows(inventory, snapshot), answered(snapshot), snapshot)
    assert change.details["container_id"] == A
    assert change.details["engine"] == ENGINE
    assert change.message == "container c-aaaa discovered"


def test_a_finding_is_confirmed_once() -> None:
    """New findings make no event; confirmed ones make one, ever."""
    findings = decide(JOB, builtin_policy(), JOB.taken_at).findings
    [event] = confirmed(findings, frozenset())
    assert event.type == "detection.host_gpu_process"
    assert event.user == "alice"
    assert event.details["uid"] == ALICE
    assert confirmed(findings, {findings[0].key}) == []
    assert confirmed([replace(findings[0], new=True)], frozenset()) == []
