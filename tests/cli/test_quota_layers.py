"""Container layers in `quota report`, of a real engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Host, gaps
from tests.core.worlds import slice_of
from tests.engine import Engine
from tests.observe.stub_engine import StubEngine, entry
from tests.tap import Tap

POLICY = """
groups: {student: {members: [alice]}}
monitoring: {infrastructure_containers: [prometheus]}
"""
SIZES = "/containers/json?all=1&size=1"
MIB = 1 << 20


@pytest.fixture
def here(host: Host) -> Host:
    """A host with a policy."""
    host.policy(POLICY)
    return host


@pytest.fixture
def stub(tmp_path: Path) -> Iterator[StubEngine]:
    """An engine that answers what it is told to."""
    started = StubEngine(tmp_path)
    yield started
    started.stop()


@pytest.fixture
def full(here: Host, engine: Engine) -> Host:
    """Two containers of alice's, one of nobody who can be told, and one of the platform."""

    def write(name: str, mib: int, **options: Any) -> None:
        command = ["sh", "-c", f"busybox head -c {mib * MIB} /dev/zero > /file"]
        engine.client.wait(engine.run(name, command=command, **options))

    labels = {"ds01.managed": "true", "ds01.user": "alice"}
    write("big", 3, labels=labels, cgroup_parent=slice_of("alice"))
    write("small", 2, labels=labels, cgroup_parent=slice_of("alice"))
    # a label alone accuses nobody
    write("claimed", 1, labels={"ds01.user": "alice"})
    write("prometheus", 1)
    engine.run("empty", start=False, labels=labels, cgroup_parent=slice_of("alice"))
    here.env["DOCKER_HOST"] = engine.host
    return here


def test_layers_are_their_owners(full: Host) -> None:
    """Also of one who uses no disk besides; stopped containers keep theirs."""
    document = full.json("quota", "report")
    (alice,) = [row for row in document["data"]["rows"] if row["user"] == "alice"]
    assert ("docker", "failed") not in gaps(document)
    assert 5 * MIB <= alice["layers_bytes"] < 5.2 * MIB
    assert alice["used_bytes"] == alice["layers_bytes"]
    assert (alice["places"], alice["standing"], alice["share"]) == ([], "ok", None)
    assert alice["layers_containers"][:2] == ["big", "small"]
    unowned = document["data"]["unowned_layers"]
    assert 2 * MIB <= unowned["bytes"] < 2.2 * MIB
    assert sorted(unowned["containers"]) == ["claimed", "prometheus"]


def test_the_walk_is_left_out(full: Host, engine: Engine, tmp_path: Path) -> None:
    with Tap(engine.host, tmp_path / "tap.sock") as tap:
        full.env["DOCKER_HOST"] = tap.host
        for wish in (("--no-layers",), ("--by", "filesystem"), ("--by", "project")):
            document = full.json("quota", "report", *wish)
            assert gaps(document) <= {("quotas", "absent"), ("policy", "absent")}
            assert all(row.get("layers_bytes") is None for row in document["data"]["rows"])
        assert not any("size=1" in line for line in tap.asked)


def test_on_the_screen(full: Host) -> None:
    titles, alice, foot = full.run("quota", "report").out.splitlines()
    assert titles.split()[:3] == ["USER", "USED", "LAYERS"]
    assert alice.split()[:5] == ["alice", "5", "MiB", "5", "MiB"]
    assert foot.startswith("container layers of the platform, and of nobody known: 2 MiB (")
    assert "LAYERS" not in full.run("quota", "report", "--no-layers").out


def test_csv(full: Host) -> None:
    lines = full.run("quota", "report", "--csv").out.splitlines()
    (alice,) = [line.split(",") for line in lines if line.startswith("alice,")]
    assert alice[:6] == ["alice", "True", "", "layers", "", ""]
    assert int(alice[6]) >= 5 * MIB


@pytest.mark.skipif(not Path("/dev/shm").is_mount(), reason="no second file system")
def test_a_path_elsewhere_has_no_layers(full: Host, engine: Engine) -> None:
    """What is asked of one file system is told of that one."""
    (full.root / "dev/shm").mkdir()
    data = engine.folder / "data"
    (full.root / data.relative_to("/")).mkdir(parents=True)
    for path, users in (("/dev/shm", set()), (str(data), {"alice"})):
        document = full.json("quota", "report", "--path", path)
        assert {row["user"] for row in document["data"]["rows"]} >= users
        assert users or not [row for row in document["data"]["rows"] if row["layers_bytes"]]


def test_without_docker(here: Host) -> None:
    """Neither an error nor a note: but what layers take is not known, and not 0."""
    document = here.json("quota", "report")
    assert not [source for source, _ in gaps(document) if source == "docker"]
    assert document["data"]["unowned_layers"] is None
    assert "docker" not in here.run("quota", "report").out.lower()


def test_docker_is_broken(here: Host, stub: StubEngine) -> None:
    stub.answer(SIZES, {"message": "lock is held"}, status="500 Internal Server Error")
    here.env["DOCKER_HOST"] = stub.host
    document = here.json("quota", "report", status=3)
    assert ("docker", "failed") in gaps(document)
    assert all(row["layers_bytes"] is None for row in document["data"]["rows"])
    assert "lock is held" in here.run("quota", "report").out


def test_one_size_is_not_known(here: Host, stub: StubEngine) -> None:
    """What is known is told, and the rest is a note."""
    stub.containers(*(entries := [entry(1), entry(2)]))
    known = {"SizeRw": 7 * MIB, "SizeRootFs": MIB}
    stub.answer(SIZES, [entries[0] | known, entries[1] | {"SizeRw": -1}])
    here.env["DOCKER_HOST"] = stub.host
    document = here.json("quota", "report", status=3)
    assert document["data"]["unowned_layers"] == {"bytes": 7 * MIB, "containers": ["c1"]}
    assert "1 of 2 containers without a size" in document["gaps"][-1]["reason"]
