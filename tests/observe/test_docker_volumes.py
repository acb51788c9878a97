"""Volumes as a real engine lists them, and where its data lie when it does not answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ds01ctl.core.policy import builtin_policy
from ds01ctl.observe import docker_volumes
from ds01ctl.paths import Paths
from tests.engine import Engine
from tests.observe.stub_engine import StubEngine


@pytest.mark.engine
def test_a_real_engine(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{engine.socket}")
    client = engine.client
    options = {"type": "none", "device": "/srv", "o": "bind"}
    client.create_volume("plain", labels={"ds01.user": "alice"})
    client.create_volume("bare")
    client.create_volume("bound", driver_opts=options)
    try:
        seen = docker_volumes.read(Paths(), builtin_policy())
        assert seen.gaps == ()
        assert Path(seen.data_root, "volumes/plain/_data").is_dir()
        assert docker_volumes.data_root(Paths(), builtin_policy()) == seen.data_root
        found = {one.name: one for one in seen.volumes}
        assert found["plain"].labels == {"ds01.user": "alice"}
        assert [found[name].has_options for name in ("plain", "bare", "bound")] == [0, 0, 1]
        assert all(one.is_in_root and one.driver == "local" for one in seen.volumes)
    finally:
        for name in ("plain", "bare", "bound"):
            client.remove_volume(name)


def test_an_engine_that_says_anything(
    stub: StubEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fields may be missing, null or of another type."""
    monkeypatch.setenv("DOCKER_HOST", stub.host)
    stub.answer("/info", {"DockerRootDir": 7})
    entries = [None, 7, {}, {"Name": "../x", "Mountpoint": "/var/lib/docker/volumes/../x/_data"},
               {"Name": "y", "Labels": [1], "Driver": None, "Mountpoint": "/elsewhere"},
               {"Name": "z", "Labels": {"a": 1, "b": "c"}}]  # fmt: skip
    stub.answer("/volumes", {"Volumes": entries})
    seen = docker_volumes.read(Paths(tmp_path), builtin_policy())
    assert seen.data_root == "/var/lib/docker"
    assert [one.name for one in seen.volumes] == ["", "../x", "y", "z"]
    assert not any(one.is_in_root for one in seen.volumes)
    stub.answer("/volumes", {"Volumes": None})
    assert docker_volumes.read(Paths(tmp_path), builtin_policy()).volumes == ()


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (None, "/var/lib/docker"),
        ('{"data-root": "/data/docker/"}', "/data/docker"),
        ('{"data-root": 7}', "/var/lib/docker"),
        ("[]", "/var/lib/docker"),
        ("{", "/var/lib/docker"),
    ],
)
def test_the_root_of_an_engine_that_is_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: str | None, expected: str
) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    if config is not None:
        (tmp_path / "etc/docker").mkdir(parents=True)
        (tmp_path / "etc/docker/daemon.json").write_text(config)
    assert docker_volumes.data_root(Paths(tmp_path), builtin_policy()) == expected
    seen = docker_volumes.read(Paths(tmp_path), builtin_policy())
    assert seen.data_root == expected
    assert [(gap.source, gap.kind) for gap in seen.gaps] == [("docker", "absent")]


def test_a_users_own_engine_is_not_asked(
    new_stub: Callable[..., StubEngine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = new_stub(1001)
    theirs.answer("/info", {"DockerRootDir": "/home/alice"})
    monkeypatch.setenv("DOCKER_HOST", theirs.host)
    assert docker_volumes.data_root(Paths(tmp_path), builtin_policy()) == "/var/lib/docker"
    assert theirs.asked == []
