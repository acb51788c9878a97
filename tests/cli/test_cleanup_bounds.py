"""`cleanup` does what was asked for and no more, and tells what it did, whatever happens to it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ds01ctl.commands.cleanup_leftovers import NOTHING
from ds01ctl.core.cleanup_model import Change
from tests.cli.cleanup_host import CONTAINERS, MEANWHILE, POLICY, CleanupHost, give, owner_uid
from tests.cli.conftest import Host
from tests.cli.test_cleanup_leftovers import UNUSED, forget_uses
from tests.engine import Engine

LOCKED = """
import subprocess
held = []
def hook(event, args):
    if event == "http.client.send" and b"/stop" in args[1] and not held:
        held.append(0)
        code = (
            "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
            "c.execute('BEGIN EXCLUSIVE'); print('held', flush=True); sys.stdin.read()"
        )
        argv = [sys.executable, "-c", code, os.environ["STORE"]]
        # its input ends with us, and so does it
        held[0] = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        held[0].stdout.readline()
"""
"""Holds the store from the moment on in which an engine is asked to stop something."""


@pytest.fixture
def host(host: Host, engine: Engine) -> CleanupHost:
    return CleanupHost(host, engine)


def test_what_was_done_is_told_though_it_could_not_be_noted_down(host: CleanupHost) -> None:
    """The store is locked after the stop: it is told as done, its owner, too; nothing follows."""
    ids = [host.container(name) for name in ("train", "old")]
    host.engine.client.stop(ids[1], timeout=0)
    host.apply()
    host.due(ids[0])
    host.remember(ids[1], stopped_s=7200.0)
    store = str(host.base.state_path)
    done = host.with_hook(LOCKED, "apply", "--yes", "--only", CONTAINERS, "--json", STORE=store)
    assert done.returncode == 3, done.stdout + done.stderr
    stop, remove = json.loads(done.stdout)["actions"]
    assert (stop["kind"], stop["outcome"]) == ("stop-container", "failed")
    assert stop["error"].startswith("it was done, but it could not be noted down: ")
    assert (remove["outcome"], host.state_of(ids[1])) == ("skipped", "exited")
    assert host.state_of(ids[0]) == "exited"
    notice = (host.root / f"var/lib/ds01/notices/{owner_uid()}").read_text()
    assert "was stopped at" in notice
    (event,) = host.base.events()
    assert event["details"]["error"].startswith("it was done, but it could not be noted down: ")
    host.apply()
    assert ("stop-container", "done") in host.log()
    assert host.watch(ids[0]).stopped_by_us.startswith("idle for")


def test_a_limit_is_of_the_whole_run(host: CleanupHost) -> None:
    """One container or one image, tags and all: not one of each."""
    host.base.policy(POLICY + UNUSED)
    for name in "ab":
        host.engine.build_image(f"old/{name}:1", env={"A": name})
        host.engine.client.tag(f"old/{name}:1", f"older/{name}", "1")
    id_ = host.container("train")
    parts = f"{CONTAINERS},images"
    host.apply(only=parts)
    forget_uses(host)
    host.due(id_)
    outcomes = [
        [one["target"] for one in host.json("plan", "--only", parts, "--limit", n)["actions"]
         if one["outcome"] == "planned"]
        for n in (1, 2)
    ]  # fmt: skip
    assert outcomes[0] == [id_]
    assert len(outcomes[1]) == 3
    host.apply(only="images")


def test_what_is_beyond_the_plan_is_left(host: CleanupHost) -> None:
    more = Change("remove-image", "images", "sha256:0", "a:1", "unix://x", None, "a test")
    assert NOTHING._replace(reserve=(more,)).as_planned().reserve == ()


def test_a_plan_of_images_that_was_saved_is_made_later(host: CleanupHost, tmp_path: Path) -> None:
    """How old an image must be is counted from now, and so is no part of the plan."""
    host.base.policy(POLICY + UNUSED)
    host.engine.build_image("old/one:1", env={"A": "1"})
    host.container("user")
    host.apply(only="images")
    forget_uses(host)
    file = tmp_path / "plan.json"
    host.json("plan", "--only", "images", "--out", file)
    saved = json.loads(file.read_text())
    for one in saved["changes"]:
        one["identity"]["touched_before"] = "2026-01-01T00:00:00Z"
    file.write_text(json.dumps(saved))
    document = host.json("apply", "--yes", file)
    assert [one["outcome"] for one in document["actions"]] == ["done"]


def test_a_keep_that_has_ended_hides_no_file(host: CleanupHost, tmp_path: Path) -> None:
    """The admin's row of long ago is there still, and the user has just made his file."""
    work = give(tmp_path / "work")
    id_ = host.container("train", mounts=[(work, "/workspace")])
    host.apply()
    rows = [{"id": id_, "name": "train", "until": "2026-01-02T00:00:00Z", "by": "boss",
             "reason": "", "at": "2026-01-01T00:00:00Z"}]  # fmt: skip
    text = json.dumps({"schema": "ds01ctl-keeps/v1", "keeps": rows})
    (host.root / "var/lib/ds01/keep.json").write_text(text)
    host.due(id_)
    file = str(work / ".keep-alive")
    arguments = ("apply", "--yes", "--only", CONTAINERS)
    done = host.with_hook(MEANWHILE, *arguments, FILE=file, TEXT="", SLEEP="0")
    assert "kept meanwhile by" in done.stdout, done.stdout + done.stderr
    assert host.state_of(id_) == "running"


@pytest.mark.parametrize("keeps", ["{}", '[{"id": "4f1c2b"}]'])
def test_keeps_that_make_no_sense_defer(host: CleanupHost, keeps: str) -> None:
    row = {"name": "x", "until": None, "by": "boss", "reason": "", "at": "2026-01-01T00:00:00Z"}
    said = json.loads(keeps)
    said = [one | row for one in said] if said else said
    host.container("train")
    host.apply()
    text = json.dumps({"schema": "ds01ctl-keeps/v1", "keeps": said})
    (host.root / "var/lib/ds01/keep.json").write_text(text)
    document = host.apply(status=3)
    assert "keeps" in {gap["source"] for gap in document["gaps"]}


def test_report_mode_is_said_before_what_comes_next(host: CleanupHost) -> None:
    host.base.policy(POLICY.replace("  mode: enforce\n", ""))
    host.container("made", start=False)
    host.apply()
    out = host.run("plan", "--only", CONTAINERS).out
    assert out.splitlines()[0].startswith("report mode: nothing will be done")
    assert "remove (only told)" in out
    host.base.policy(POLICY)
    out = host.run("plan", "--only", CONTAINERS).out
    assert "report mode" not in out
    assert "(only told)" not in out
