"""`cleanup` on a real engine: sampled, warned, stopped, held, undone, removed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.cleanup_host import CONTAINERS, HOUR, POLICY, CleanupHost, give, owner_uid
from tests.cli.conftest import Host, kinds
from tests.engine import Engine
from tests.nvml.double import GIB, NvmlDouble


@pytest.fixture
def host(host: Host, engine: Engine) -> CleanupHost:
    return CleanupHost(host, engine)


@pytest.fixture
def each_host(tmp_path: Path, each_engine: Engine) -> CleanupHost:
    """The same, and once more on an engine with the newest API."""
    return CleanupHost(Host(tmp_path / "root"), each_engine)


def done(document: dict) -> list[tuple[str, str]]:
    return [(one["kind"], one["outcome"]) for one in document["actions"]]


def test_a_plan_writes_nothing(host: CleanupHost) -> None:
    host.container("one")
    before = sorted(str(path) for path in host.root.rglob("*") if "sys" not in path.parts)
    document = host.json("plan")
    assert document["data"]["examined"]["containers"] == 1
    assert document["data"]["examined"]["sampled"] == 1
    after = sorted(str(path) for path in host.root.rglob("*") if "sys" not in path.parts)
    assert before == after
    host.apply()
    stored = host.base.state_path.read_bytes()
    host.json("plan")
    assert host.base.state_path.read_bytes() == stored


def test_the_way_of_an_idle_container(each_host: CleanupHost) -> None:
    """Two warnings, the stop, the hold, the removal: each in a run of its own, each told."""
    host = each_host
    id_ = host.container("train")
    host.apply()
    host.due(id_, hours=0.85)
    host.remember(id_, warned=())
    assert done(host.apply()) == [("warn", "done")]
    notice = (host.root / f"var/lib/ds01/notices/{owner_uid()}").read_text()
    assert "train" in notice
    assert host.state_of(id_) == "running"
    # not the second on the heels of the first, nor the stop on those of the second
    assert done(host.apply()) == []
    host.remember(id_, idle_s=1.2 * HOUR)
    assert done(host.apply()) == [("warn", "done")]
    assert done(host.apply()) == []
    host.remember(id_, idle_s=1.3 * HOUR)
    ran = host.run("apply", "--yes", "--only", CONTAINERS)
    assert "stopped train (nobody): idle for 1 h 18 min; idle_timeout_h is 1" in ran.out
    assert host.state_of(id_) == "exited"
    assert "was stopped" in (host.root / f"var/lib/ds01/notices/{owner_uid()}").read_text()
    assert host.watch(id_).stopped_by_us.startswith("idle for")
    assert done(host.apply()) == []
    host.remember(id_, stopped_s=1.1 * HOUR)
    assert done(host.apply()) == [("remove-container", "done")]
    assert host.state_of(id_) is None
    types = [one["event_type"] for one in host.base.events()]
    assert types == ["maintenance.alert_idle"] * 2 + [
        "maintenance.idle_kill", "maintenance.cleanup",
    ]  # fmt: skip
    rows = host.json("history", "--user", "nobody")["data"]["rows"]
    assert [(row["kind"], row["outcome"]) for row in rows] == [
        ("warn", "done"), ("warn", "done"),
        ("stop-container", "done"), ("remove-container", "done"),
    ]  # fmt: skip
    assert host.json("history", "--user", "bob")["data"]["rows"] == []
    week = host.json("report")["data"]
    assert (week["stopped"], week["removed"], week["warned"]) == ({"idle": 1}, {"stopped": 1}, 2)


def test_report_mode_is_the_default(host: CleanupHost) -> None:
    """It samples and remembers; nobody is warned, nothing is stopped, and it says what would be."""
    host.base.policy(POLICY.replace("  mode: enforce\n", ""))
    id_ = host.container("train")
    host.apply()
    host.due(id_)
    ran = host.run("apply", "--yes", "--only", CONTAINERS)
    assert ran.status == 0
    assert "would stop train" in ran.out
    assert "1 only reported" in ran.out
    assert "cleanup: {mode: enforce}" in ran.out
    assert host.state_of(id_) == "running"
    assert host.log() == []
    assert host.base.events() == []
    assert host.watch(id_).idle_s > 2 * HOUR
    host.remember(id_, idle_s=0.85 * HOUR, warned=())
    host.apply()
    assert not (host.root / "var/lib/ds01/notices").exists()


def test_over_long_runs_are_stopped_and_can_be_had_back(host: CleanupHost) -> None:
    id_ = host.container("long", command=("sh", "-c", "while :; do :; done"))
    host.apply()
    host.due(id_, "runtime", hours=25)
    assert done(host.apply()) == [("stop-container", "done")]
    assert host.state_of(id_) == "exited"
    listed = host.json("undo")["data"]["held"]
    assert [(one["name"], one["user"]) for one in listed] == [("long", "nobody")]
    assert "long" in host.run("undo").out
    assert done(host.json("undo", "long", "--dry-run")) == [("start-container", "planned")]
    assert host.state_of(id_) == "exited"
    assert done(host.json("undo", "lon")) == [("start-container", "done")]
    assert host.state_of(id_) == "running"
    # it is over its time still, and is warned anew before anything else
    assert done(host.apply()) == [("warn", "done")]
    assert host.state_of(id_) == "running"
    assert host.json("undo")["data"]["held"] == []
    refused = host.run("undo", "long")
    assert refused.status == 2
    assert "long is running already" in refused.err


def test_a_keep_holds_for_this_container_only(host: CleanupHost) -> None:
    id_ = host.container("train")
    host.apply()
    host.due(id_)
    assert done(host.json("keep", "train", "--for", "2d", "--reason", "a talk", "--dry-run")) == [
        ("keep-container", "planned")
    ]
    assert not (host.root / "var/lib/ds01/keep.json").exists()
    document = host.json("keep", "train", "--for", "2d", "--reason", "a talk")
    assert done(document) == [("keep-container", "done")]
    assert done(host.apply()) == []
    told = host.json("why", id_[:8])["data"]
    assert told["keep"]["reason"] == "a talk"
    assert any("kept by" in text for text in told["left_alone"])
    assert "maintenance.keep" in [one["event_type"] for one in host.base.events()]
    host.engine.remove(id_)
    again = host.container("train")
    host.apply()
    host.due(again)
    assert done(host.apply()) == [("stop-container", "done")]
    assert done(host.json("keep", "train", "--forever")) == [("keep-container", "done")]
    assert done(host.json("keep", "train", "--forever")) == []
    assert done(host.json("keep", "train", "--remove")) == [("drop-keep", "done")]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("train",), "say for how long"),
        (("train", "--for", "2d", "--forever"), "say for how long"),
        (("train", "--for", "2"), "is no time span"),
        (("train", "--until", "2020-01-01"), "give a later time"),
        (("train", "--until", "soon"), "is neither a day nor a time"),
        (("train", "--remove", "--for", "2d"), "leave out"),
        (("train", "--remove"), "is not kept by an admin"),
        (("tarin", "--for", "2d"), "did you mean train?"),
        (("t", "--for", "2d"), "could be any of 2 containers"),
    ],
)
def test_what_keep_cannot_mean(host: CleanupHost, arguments: tuple[str, ...], said: str) -> None:
    host.container("train")
    host.container("test")
    ran = host.run("keep", *arguments)
    assert ran.status == 2
    assert said in ran.err


def test_a_users_file_keeps_too(host: CleanupHost, tmp_path: Path) -> None:
    work = give(tmp_path / "work")
    (host.root / str(work).lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
    id_ = host.container("train", mounts=[(work, "/workspace")])
    host.apply()
    host.due(id_)
    (work / ".keep-alive").touch()
    give(work)
    host.base.env["DS01_ROOT"] = str(host.root)
    data = host.json("plan", "--only", CONTAINERS)["data"]
    assert [one["id"] for one in data["kept"]] == [id_]
    assert data["changes"] == []


def test_a_keep_file_that_makes_no_sense_defers_everything(host: CleanupHost) -> None:
    id_ = host.container("train")
    host.apply()
    host.due(id_)
    file = host.root / "var/lib/ds01/keep.json"
    file.write_text("{")
    document = host.apply(status=3)
    assert done(document) == [("stop-container", "skipped")]
    assert "keep.json" in document["actions"][0]["error"]
    assert host.state_of(id_) == "running"
    ran = host.run("keep", "train", "--for", "2d")
    assert (ran.status, "keep.json" in ran.err) == (1, True)
    file.unlink()
    assert done(host.apply()) == [("stop-container", "done")]


def test_why_says_it_all(host: CleanupHost) -> None:
    id_ = host.container("train")
    host.apply()
    host.due(id_, hours=0.85)
    host.remember(id_, warned=())
    host.apply()
    data = host.json("why", "train")["data"]
    assert data["container"]["id"] == id_
    assert data["counted"]["idle_s"] >= 0.85 * HOUR
    assert data["intervals"][-1]["verdict"] == "idle"
    assert [one["part"] for one in data["warnings"]] == ["idle"]
    assert data["warnings"][0]["channels"]
    rows = {row["key"]: row for row in data["limits"]}
    assert rows["idle_timeout_h"]["value"] == 1
    assert rows["idle_timeout_h"]["origin"].startswith("resource-limits.yaml:1")
    assert [one["what"] for one in data["next"]] == ["last warning", "first warning"]
    text = host.run("why", "train").out
    for part in ("cpu 0 % < 2 %", "last warning (idle)", "idle warning 1", "notice /"):
        assert part in text
    missing = host.run("why", "trains")
    assert (missing.status, "did you mean train?" in missing.err) == (2, True)


def test_a_plan_that_was_saved_is_made_as_it_is_or_not_at_all(
    host: CleanupHost, tmp_path: Path
) -> None:
    first, second = host.container("first"), host.container("second")
    host.apply()
    host.due(first)
    file = tmp_path / "plan.json"
    assert "ds01ctl cleanup apply" in host.run("plan", "--only", CONTAINERS, "--out", file).out
    host.due(second)
    ran = host.run("apply", file, "--yes")
    assert ran.status == 1
    assert "the host has moved" in ran.err
    assert "only now: stop-container second" in ran.err
    assert (host.state_of(first), host.state_of(second)) == ("running", "running")
    host.json("plan", "--only", CONTAINERS, "--out", file)
    assert done(host.json("apply", file, "--yes")) == [("stop-container", "done")] * 2
    ran = host.run("apply", file, "--yes", "--limit", 1)
    assert (ran.status, "made as it is" in ran.err) == (2, True)


def test_no_more_than_a_share_is_stopped(host: CleanupHost) -> None:
    """The breaker trips, says how to go on, is told once, and shows in the metrics."""
    ids = [host.container(f"c{number}") for number in range(4)]
    host.apply()
    for id_ in ids:
        host.due(id_)
    document = host.apply()
    assert done(document) == [("stop-container", "skipped")] * 4
    assert [trip["breaker"] for trip in document["data"]["trips"]] == ["share"]
    metrics = host.root / "var/lib/prometheus/node-exporter/ds01_cleanup.prom"
    assert 'ds01_cleanup_breaker_tripped{breaker="share",of="containers"} 1' in metrics.read_text()
    host.apply()
    assert [one["event_type"] for one in host.base.events()] == ["maintenance.breaker"]
    document = host.apply("--limit", 2)
    assert sorted(done(document)) == [
        ("stop-container", "done"), ("stop-container", "done"),
        ("stop-container", "skipped"), ("stop-container", "skipped"),
    ]  # fmt: skip
    assert sum(host.state_of(id_) == "exited" for id_ in ids) == 2


def test_nobody_is_asked_in_vain(host: CleanupHost) -> None:
    host.container("one")
    assert host.run("apply").status == 2
    assert host.run("apply", "--json").status == 2
    assert host.run("plan", "--only", "idel").status == 2
    assert host.run("plan", "--user", "nobdy").status == 2
    assert host.run("plan", "--limit", "-1").status == 2


def test_a_terminal_is_shown_the_plan_and_asked(host: CleanupHost) -> None:
    id_ = host.container("train")
    host.apply()
    host.due(id_)
    shown = host.base.on_terminal("cleanup", "apply", "--only", CONTAINERS, keys="n\n")
    assert "would stop train" in shown
    assert "Aborted; nothing was changed." in shown
    assert host.state_of(id_) == "running"
    shown = host.base.on_terminal("cleanup", "apply", "--only", CONTAINERS, keys="y\n")
    assert "stopped train" in shown
    assert host.state_of(id_) == "exited"


def test_only_one_at_a_time(host: CleanupHost) -> None:
    from ds01ctl.lock import job_lock

    host.container("one")
    with job_lock(host.paths, "cleanup"):
        assert host.run("apply", "--yes").status == 5
        # a keep needs no leave of a run that takes its time
        assert host.run("keep", "one", "--for", "1h").status == 0
        assert host.run("plan").status == 0


def test_gpu_time_that_was_freed_is_counted(host: CleanupHost, nvml: NvmlDouble) -> None:
    """From the stop on, by what was watched, for as long as it is held, at most a day."""
    id_ = host.container("train")
    nvml.gpus(1).process(gpu=0, pid=host.engine.pid(id_), mem=GIB)
    host.base.env |= nvml.env()
    host.apply()
    host.due(id_)
    held = host.json("plan", "--only", CONTAINERS)
    assert "cleanup-idle-holding" in kinds(held)
    assert done(host.apply()) == [("stop-container", "done")]
    assert json.loads(host.marks()["reclaiming"]) == {id_: [1.0, 0.0]}
    host.apply()
    host.remember(id_, stopped_s=0.5 * HOUR)
    host.apply()
    total = json.loads(host.marks()["totals"])["gpu-seconds"]
    assert total == pytest.approx(0.5 * HOUR, abs=30)
    assert host.json("report")["data"]["gpu_hours"] == pytest.approx(0.5, abs=0.01)
    host.engine.client.start(id_)
    host.apply()
    assert json.loads(host.marks()["reclaiming"]) == {}


def test_images_and_containers_do_not_wait_for_each_other(host: CleanupHost) -> None:
    """Removing images may take long; samples are taken meanwhile, and not by that run."""
    from ds01ctl.lock import job_lock

    id_ = host.container("one")
    with job_lock(host.paths, "cleanup-images"):
        assert host.run("apply", "--yes", "--only", CONTAINERS).status == 0
        assert host.run("apply", "--yes", "--only", "images").status == 5
    before = host.watch(id_)
    with job_lock(host.paths, "cleanup"):
        assert host.run("apply", "--yes", "--only", "images,cache,networks").status == 0
        assert host.run("apply", "--yes").status == 5
    assert host.watch(id_) == before


def test_without_a_policy_nothing_is_done(host: CleanupHost) -> None:
    id_ = host.container("one")
    host.base.policy_path.unlink()
    host.apply()
    host.due(id_)
    document = host.apply()
    assert document["actions"] == []
    assert host.state_of(id_) == "running"
    told = host.run("why", "one").out
    assert "set nowhere: no limit" in told
