"""What `cleanup` answers when it is asked: in doubt, without limits, and when it does not know."""

from __future__ import annotations

import json
import os
import pwd
from pathlib import Path

import pytest

from tests.cli.cleanup_host import CONTAINERS, HOUR, POLICY, CleanupHost, give
from tests.cli.conftest import Host
from tests.engine import Engine

OTHER = "daemon"
"""Somebody with an account and without a container."""


@pytest.fixture
def host(host: Host, engine: Engine) -> CleanupHost:
    return CleanupHost(host, engine)


def test_whose_it_is_is_in_doubt(host: CleanupHost, tmp_path: Path) -> None:
    """A label says one name, and the workspace is another's: nobody is warned, nothing stopped."""
    work = give(tmp_path / "work")
    os.chown(work, pwd.getpwnam(OTHER).pw_uid, -1)
    id_ = host.container("copied", mounts=[(work, "/workspace")])
    host.apply()
    host.due(id_)
    document = host.apply()
    assert document["actions"] == []
    [finding] = [one for one in document["findings"] if one["subject"]["id"] == id_]
    assert finding["kind"] == "cleanup-owner-contradicted"
    assert f"whose it is is in doubt by its work folder {work}: " in finding["evidence"][0]
    [left] = host.json("why", "copied")["data"]["left_alone"]
    assert left.startswith("whose it is is in doubt")
    assert host.state_of(id_) == "running"


def test_why_nothing_is_in_sight(host: CleanupHost) -> None:
    host.base.policy(POLICY.replace("without_gpu: true", "without_gpu: false"))
    host.container("own")
    host.apply()
    host.apply()
    out = host.run("why", "own").out
    for part in ("idle", "runtime"):
        key = f"cleanup.{part}_without_gpu"
        assert f"nothing by {part}: it has no GPU, and {key} is false (resource-lim" in out
    assert "1 without a GPU, so not judged" in host.run("plan", "--only", CONTAINERS).out
    host.base.policy("cleanup: {idle_without_gpu: true, runtime_without_gpu: true}\n")
    out = host.run("why", "own").out
    assert "nothing by idle: no limit is set (idle_timeout_h)" in out
    assert "nothing by runtime: no limit is set (max_runtime_h)" in out


def test_no_answer_is_not_none(host: CleanupHost) -> None:
    """An engine that is down has not said that there is no such container."""
    host.container("train")
    host.base.env["DOCKER_HOST"] = f"unix://{host.engine.folder}/nobody.sock"
    for command in ("why", "undo"):
        ran = host.run(command, "train")
        assert ran.status == 1
        assert "containers cannot be listed: " in ran.err
        assert "see: ds01ctl doctor" in ran.err
    assert "what can be undone is not known" in host.run("undo").out
    host.base.env["DOCKER_HOST"] = host.engine.host
    assert "nothing can be undone" in host.run("undo").out
    host.base.state_path.parent.mkdir(parents=True, exist_ok=True)
    host.base.state_path.write_bytes(b"no database at all" * 100)
    assert "what cleanup has done is not known" in host.run("history").out
    assert "what can be undone is not known" in host.run("undo").out


def test_a_user_without_a_container_is_known(host: CleanupHost) -> None:
    assert host.run("plan", "--user", OTHER).status == 0
    ran = host.run("plan", "--user", "nosuch-one")
    assert (ran.status, "no user nosuch-one is known here" in ran.err) == (2, True)


def test_undo_of_one_that_is_kept(host: CleanupHost) -> None:
    """Its hold begins when the keep ends; and one that runs is not to be started."""
    id_ = host.container("lone")
    host.apply()
    host.due(id_)
    host.apply()
    host.json("keep", "lone", "--until", "2099-01-01T00:00:00Z")
    [row] = host.json("undo")["data"]["held"]
    assert row["removed_at"] == "2099-01-01T01:00:00Z"
    host.json("keep", "lone", "--forever")
    [row] = host.json("undo")["data"]["held"]
    assert row["removed_at"] is None
    host.json("undo", "lone")
    assert host.state_of(id_) == "running"
    ran = host.run("undo", "lone")
    assert ran.status == 2
    assert "lone is running already" in ran.err
    assert "docker start" not in ran.err


def test_a_saved_plan_with_a_breakers_row(host: CleanupHost, tmp_path: Path) -> None:
    """Why something is left alone is told with the time, which has gone on since."""
    host.base.policy(POLICY.replace("after_upgrade_m: 0", "after_upgrade_m: 60"))
    id_ = host.container("own")
    host.apply()
    host.due(id_)
    file = tmp_path / "plan.json"
    [action] = host.json("plan", "--only", CONTAINERS, "--out", file)["actions"]
    assert "breaker upgrade" in action["error"]
    [action] = host.json("apply", file, "--yes")["actions"]
    assert action["outcome"] == "skipped"
    assert host.state_of(id_) == "running"
    said = json.loads(file.read_text())
    said["changes"][0]["grace_s"] = 0
    file.write_text(json.dumps(said))
    ran = host.run("apply", file, "--yes")
    assert "stop-container own: grace_s 0, now 1" in ran.err
    assert ran.status == 1


@pytest.mark.parametrize("wish", [{"only": ["nonsense"]}, {"limit": -3}])
def test_a_saved_wish_that_nobody_can_have(
    host: CleanupHost, tmp_path: Path, wish: dict[str, object]
) -> None:
    file = tmp_path / "plan.json"
    host.json("plan", "--only", CONTAINERS, "--out", file)
    said = json.loads(file.read_text())
    said["wish"] |= wish
    file.write_text(json.dumps(said))
    ran = host.run("apply", file, "--yes")
    assert (ran.status, "is not a plan that" in ran.err) == (1, True)


def test_the_timer_asks_who_has_left(host: CleanupHost) -> None:
    """Once a day: that somebody has no account rests on answers from day to day."""
    gone = host.root / "home/carol"
    gone.mkdir()
    (host.root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    (host.root / "etc/nsswitch.conf").write_text("passwd: files\n")
    os.chown(gone, 51005, 51005)
    host.container("train")
    host.apply()
    marks = host.marks()
    assert "uid 51005" in json.loads(marks["departed"])
    host.apply()
    assert host.marks()["departed_at"] == marks["departed_at"]
    host.apply(only="users")
    assert host.marks()["departed_at"] > marks["departed_at"]


def test_a_folder_in_place_of_a_keep_file_costs_one(host: CleanupHost, tmp_path: Path) -> None:
    """Whatever lies there, no more than two are kept by it."""
    ids = []
    for number in range(4):
        work = give(tmp_path / f"w{number}")
        give(work / ".keep-alive")
        ids.append(host.container(f"c{number}", mounts=[(work, "/workspace")]))
    host.apply()
    for id_ in ids:
        host.remember(id_, idle_s=0.85 * HOUR, streak=5)
    kinds = [one["kind"] for one in host.apply()["actions"]]
    assert kinds == ["warn", "warn"]
