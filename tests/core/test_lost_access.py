"""Which containers are asked about their GPU, and when one has lost it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from ds01ctl.core.anonymise import anonymise
from ds01ctl.core.codec import dump_snapshot, load_snapshot
from ds01ctl.core.detect import decide
from ds01ctl.core.findings import blind_kinds
from ds01ctl.core.lost_access import LOST, Suspect, is_unanswered, suspects
from ds01ctl.core.model import Container, Engine, Snapshot
from ds01ctl.core.policy import Setting, builtin_policy

from .worlds import (
    ALICE,
    ENGINE,
    HOUR_AGO,
    NOON,
    PLAIN,
    A,
    B,
    container,
    docker,
    gpu,
    managed,
    mig,
    replace,
    with_gpus,
    world,
)

LATER = NOON - timedelta(minutes=30)
HOOK = replace(PLAIN, runtime="nvidia", visible_devices="0")
RULE = replace(PLAIN, device_cgroup_rules=("c 195:* r",))
SPLIT = gpu(1, mig_mode=True, mig_devices=(mig("MIG-a", 3, 1),))


def host(*things: Any, **more: Any) -> Snapshot:
    """A host whose systemd was reloaded half an hour after its containers started."""
    return world(*things, **{"units_loaded_at": LATER, **more})


def one(config: Any = HOOK, **more: Any) -> Container:
    return managed(config=config, **more)


ASKED = {
    "the hook's": (host(one()), ("/dev/nvidia0",)),
    "--gpus all": (host(one(with_gpus("all"))), ("/dev/nvidia0", "/dev/nvidia1")),
    "a MIG instance": (host(SPLIT, one(with_gpus("MIG-a"))), ("/dev/nvidia1",)),
    "one GPU of --gpus, one of --device": (
        host(one(replace(with_gpus("0"), devices=("/dev/nvidia1",)))),
        ("/dev/nvidia0",),
    ),
    "--device alone: systemd knows of it": (
        host(one(replace(PLAIN, devices=("/dev/nvidia0",)))),
        None,
    ),
    "a device rule that was never for writing": (host(one(RULE)), None),
    "privileged": (host(one(replace(HOOK, privileged=True))), None),
    "no GPU": (host(one(PLAIN)), None),
    "not inspected": (host(one(None)), None),
    "a node that is not known": (host(gpu(0, minor=None), one()), None),
    "started since": (host(one(started_at=NOON)), None),
    "started at the same moment": (host(one(started_at=LATER)), None),
    "start not known": (host(one(started_at=None)), None),
    "paused": (host(one(state="paused", cgroup=docker(A))), None),
    "systemd's last load not known": (world(one()), None),
    "its control group not known": (host(one(cgroup=None)), None),
    "in a control group of another name": (host(one(cgroup=docker(B))), None),
    "in none of a container": (host(one(cgroup="/system.slice/ssh.service")), None),
    "a path that leads elsewhere": (host(one(cgroup=f"/../{docker(A)}")), None),
    "below a user's manager": (
        host(one(cgroup=f"/user.slice/user-{ALICE}.slice/user@{ALICE}.service/docker-{A}.scope")),
        None,
    ),
    "a user's own engine": (
        host(one(), engines=(Engine(ENGINE, answered=True, uid=ALICE),)),
        None,
    ),
}


@pytest.mark.parametrize(("snapshot", "nodes"), ASKED.values(), ids=ASKED.keys())
def test_who_is_asked(snapshot: Snapshot, nodes: tuple[str, ...] | None) -> None:
    """Only who may have lost something, and only where no user can lead root astray."""
    cgroup = snapshot.containers[0].cgroup
    assert suspects(snapshot) == (() if nodes is None else (Suspect(A, str(cgroup), nodes),))


DENIED = {A: ("/dev/nvidia0",)}
FOUND = {
    "refused": (host(one(), gpu_denied=DENIED), True),
    "not refused": (host(one(), gpu_denied={A: ()}), False),
    "not asked": (host(one()), False),
    "another is refused": (host(one(), gpu_denied={B: ("/dev/nvidia0",)}), False),
    "refused since its start": (host(one(started_at=NOON), gpu_denied=DENIED), False),
    "another of the same id, in a user's engine": (
        host(
            one(engine="unix:///run/user/1002/docker.sock"),
            engines=(Engine("unix:///run/user/1002/docker.sock", answered=True, uid=1002),),
            gpu_denied=DENIED,
        ),
        False,
    ),
}


@pytest.mark.parametrize(("snapshot", "is_lost"), FOUND.values(), ids=FOUND.keys())
def test_found(snapshot: Snapshot, *, is_lost: bool) -> None:
    kinds = [finding.kind for finding in decide(snapshot, builtin_policy(), NOON).findings]
    assert (LOST in kinds) == is_lost


def test_it_says_what_and_when_and_what_to_do() -> None:
    snapshot = host(one(name="train"), gpu_denied=DENIED)
    (finding,) = decide(snapshot, builtin_policy(), NOON).findings
    assert (finding.severity, finding.user, finding.since) == ("warning", "alice", HOUR_AGO)
    what, when, back, cures = finding.evidence[:4]
    assert "/dev/nvidia0" in what
    assert "reloaded at 2026-11-23T11:30:00Z, after its start at 2026-11-23T11:00:00Z" in when
    assert back == "to give it back: docker restart train"
    assert "CDI" in cures
    assert "ds01ctl doctor" in cures


def test_infrastructure_is_told_too() -> None:
    """That the exporter is blind is no accusation, but somebody has to hear of it."""
    names = Setting("monitoring.infrastructure_containers", ["dcgm-exporter"], None)
    rules = replace(builtin_policy(), host={names.key: names})
    snapshot = host(container(name="dcgm-exporter", config=HOOK), gpu_denied=DENIED)
    assert [finding.kind for finding in decide(snapshot, rules, NOON).findings] == [LOST]


@pytest.mark.parametrize(
    ("snapshot", "is_blind"),
    [
        (world(one()), True),
        (host(one()), True),
        (host(one(), one(container_id=B), gpu_denied={A: ()}), False),
        (host(one(started_at=NOON)), False),
        (host(), False),
        (host(gaps=("docker",)), True),
        (host(gpus=(), gaps=("nvml",)), True),
    ],
    ids=["not root", "no answer", "some answers", "nobody to ask", "nobody", "no engine", "no GPU"],
)
def test_none_seen_is_not_none_there(snapshot: Snapshot, *, is_blind: bool) -> None:
    assert (LOST in blind_kinds(snapshot)) == is_blind


@pytest.mark.parametrize(
    ("snapshot", "unanswered"),
    [
        (host(one()), True),
        (world(one()), True),
        (host(one(state="paused")), True),
        (host(one(), gpu_denied={A: ()}), False),
        (host(one(state="exited")), False),
        (host(), False),
    ],
)
def test_what_was_known_stays_where_nobody_answers(snapshot: Snapshot, *, unanswered: bool) -> None:
    assert is_unanswered(A, snapshot) == unanswered


def test_a_snapshot_keeps_it() -> None:
    snapshot = host(one(), gpu_denied=DENIED)
    assert load_snapshot(dump_snapshot(snapshot)) == snapshot
    masked = anonymise(snapshot)
    assert masked.gpu_denied == {masked.containers[0].id: ("/dev/nvidia0",)}
    assert A not in dump_snapshot(masked)
