"""What got through to nobody, what no engine answered, and whom no directory can tell."""

from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path

import pytest

from tests.cli.cleanup_host import CONTAINERS, POLICY, CleanupHost, owner_uid
from tests.cli.conftest import Host
from tests.engine import Engine

TABLE_AWAY = """
import sqlite3
def hook(event, args):
    if event == "os.rename" and "/notices/" in str(args[1]) and "STORE" in os.environ:
        with sqlite3.connect(os.environ.pop("STORE")) as db:
            db.execute("ALTER TABLE cleanup_log RENAME TO away")
"""
"""Makes the store fail from the moment on in which the first warning is delivered."""

DEAF = """
import socket
def hook(event, args):
    if event == "http.client.send" and os.environ["DEED"].encode() in args[1]:
        args[0].sock.shutdown(socket.SHUT_RD)
"""
"""Has an engine be asked to do something, and hears no answer to it."""
NAMED = "train._.54321"
EXEMPT = """\
exemptions:
  - {username: nobody, category: waiver, exempt_from: [container_hold_after_stop_h], reason: r,
     approved_by: a, approved_on: 2026-01-01, expires_on: null}
"""


@pytest.fixture
def host(host: Host, engine: Engine) -> CleanupHost:
    return CleanupHost(host, engine)


def due_for_a_warning(host: CleanupHost, id_: str) -> None:
    host.due(id_, hours=0.85)
    host.remember(id_, warned=())


def notices(host: CleanupHost) -> str:
    return (host.root / f"var/lib/ds01/notices/{owner_uid()}").read_text()


# --- warnings ---------------------------------------------------------------------------------


def test_what_did_not_take_a_warning_is_remembered(host: CleanupHost) -> None:
    id_ = host.container("train")
    host.apply()
    due_for_a_warning(host, id_)
    assert "    not by terminal: " in (out := host.run("apply", "--yes", "--only", CONTAINERS).out)
    assert "not by mail" not in out
    mail = "mail: not configured (cleanup.mail_domain, mail)"
    (row,) = host.json("history")["data"]["rows"]
    refused = [one for one in row["channel_errors"] if one != mail]
    assert len(refused) == len(row["channel_errors"]) - 1
    # that nobody has set one up is told by --json and by `why` alone
    assert f"not told by {'; '.join(refused)}\n" in (told := host.run("history").out)
    assert mail not in told
    (warned,) = host.json("why", "train")["data"]["warnings"]
    assert warned["errors"] == row["channel_errors"]
    assert f"not by {mail}" in host.run("why", "train").out
    (event,) = host.base.events()
    assert mail in event["details"]["channel_errors"]
    host.due(id_)
    kept = tuple(one._replace(errors=(mail,)) for one in host.watch(id_).warned)
    host.remember(id_, warned=kept)
    (change,) = host.json("plan", "--only", CONTAINERS)["data"]["changes"]
    assert change["kind"] == "stop-container"
    assert change["evidence"].count(f"not warned by {mail}") == 2


def test_a_warning_that_reached_nobody_is_told_by_why(host: CleanupHost) -> None:
    host.home.rmdir()
    id_ = host.container("train")
    host.apply()
    due_for_a_warning(host, id_)
    assert [one["outcome"] for one in host.apply()["actions"]] == ["skipped"]
    data = host.json("why", "train")["data"]
    assert data["warnings"] == []
    (row,) = data["undelivered"]
    assert (row["part"], row["stage"]) == ("idle", 1)
    assert "it reached nobody, so nothing is stopped on it" in row["error"]
    assert "warnings that reached nobody:" in host.run("why", "train").out


def test_a_store_that_fails_after_a_warning(host: CleanupHost) -> None:
    """It is told as given, nothing else is done, and the next run gives it again."""
    ids = [host.container(name) for name in ("train", "old")]
    host.apply()
    host.due(ids[1])
    due_for_a_warning(host, ids[0])
    arguments = ("apply", "--yes", "--only", CONTAINERS, "--json")
    done = host.with_hook(TABLE_AWAY, *arguments, STORE=str(host.base.state_path))
    assert done.returncode == 3, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    document = json.loads(done.stdout)
    warn, stop = document["actions"]
    assert warn["error"].startswith("it was done, but it could not be noted down: ")
    assert warn["error"].endswith("; it is given again")
    assert (stop["kind"], stop["outcome"]) == ("stop-container", "skipped")
    assert "so it was not done" in stop["error"]
    assert "state" in {gap["source"] for gap in document["gaps"]}
    assert [host.state_of(id_) for id_ in ids] == ["running", "running"]
    assert notices(host).count("will be stopped in about") == 1
    with sqlite3.connect(host.base.state_path) as db:
        db.execute("ALTER TABLE away RENAME TO cleanup_log")
    assert host.apply()["actions"][0]["kind"] == "warn"
    assert notices(host).count("will be stopped in about") == 2


# --- engines that do not answer ---------------------------------------------------------------


def test_a_stop_without_an_answer_is_settled_by_the_next_run(host: CleanupHost) -> None:
    """Whether it will be stopped is not known yet; then it is, and can be undone."""
    id_ = host.container("train")
    host.apply()
    host.due(id_)
    arguments = ("apply", "--yes", "--only", CONTAINERS, "--json")
    done = host.with_hook(DEAF, *arguments, DEED="/stop")
    assert done.returncode == 3, done.stdout + done.stderr
    (action,) = json.loads(done.stdout)["actions"]
    assert action["outcome"] == "failed"
    assert "whether it was done is not known; the next run looks again" in action["error"]
    assert host.log() == [("stop-container", "begun")]
    ends = time.monotonic() + 30
    while host.state_of(id_) != "exited":
        assert time.monotonic() < ends
        time.sleep(0.1)
    assert host.apply()["actions"] == []
    assert host.log() == [("stop-container", "done")]
    assert [one["name"] for one in host.json("undo")["data"]["held"]] == ["train"]
    assert [one["details"]["outcome"] for one in host.base.events()] == ["failed", "done"]


def test_an_undo_without_an_answer_looks_again(host: CleanupHost) -> None:
    id_ = host.container("train")
    host.apply()
    host.due(id_)
    host.apply()
    assert host.state_of(id_) == "exited"
    done = host.with_hook(DEAF, "undo", "train", DEED="/start")
    told = done.stdout + done.stderr
    # a slow engine has not begun yet when it is looked at again
    is_early = "whether it was done is not known; the next run looks again" in told
    assert done.returncode == (3 if is_early else 0), told
    assert is_early or "a second look shows that it is done" in told
    ends = time.monotonic() + 30
    while host.state_of(id_) != "running":
        assert time.monotonic() < ends
        time.sleep(0.1)
    assert host.log()[-1] == ("start-container", "begun" if is_early else "done")


# --- dates on which nothing is done -----------------------------------------------------------


@pytest.mark.parametrize("why", ["exempt", "report", "kept"])
def test_nobody_is_told_a_date_on_which_nothing_is_removed(host: CleanupHost, why: str) -> None:
    if why == "exempt":
        host.base.policy_path.with_name("lifecycle-exemptions.yaml").write_text(EXEMPT)
    elif why == "report":
        host.base.policy(f"{POLICY}  rules: {{stopped: report}}\n")
    id_ = host.container("train")
    host.apply()
    host.due(id_)
    assert [one["outcome"] for one in host.apply()["actions"]] == ["done"]
    if why == "kept":
        host.json("keep", "train", "--forever")
    else:
        assert "Start it again with: docker start train\n" in notices(host)
    (held,) = host.json("undo")["data"]["held"]
    assert held["removed_at"] is None
    host.remember(id_, stopped_s=7200.0)
    (held,) = host.json("undo")["data"]["held"]
    assert held["removed_at"] is None
    assert host.state_of(id_) == "exited"


def test_those_who_have_left_are_counted_as_such(host: CleanupHost) -> None:
    data = host.json("plan", "--only", "idle,users")["data"]
    assert data["examined"]["departed_users"] == 0
    assert "accounts" not in data["examined"]
    assert host.json("plan", "--only", "idle")["data"]["examined"]["departed_users"] is None


# --- a directory that is down -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("directory", "gaps"),
    [({"HANG_UID": "54321"}, {"users"}), ({"FAIL_UID": "54321"}, set()), ({}, set())],
    ids=["hangs", "fails", "says nothing"],
)
def test_nothing_is_stopped_whose_owner_cannot_be_looked_up(
    host: CleanupHost, hanging_nss: Path, directory: dict[str, str], gaps: set[str]
) -> None:
    """Not even where what nobody owns is acted on: carol may be exempt, or have more time.

    The look-up of one that fails is, to Python, that of one who is not there.
    """
    host.base.policy(f"{POLICY}users: {{timeout_s: 1}}\n")
    host.base.env |= {"LD_PRELOAD": str(hanging_nss)}
    there = {"DIRECTORY_UID": "54321", "DIRECTORY_NAME": "carol"}
    host.base.env |= there
    id_ = host.engine.run(NAMED)
    host.apply()
    for name in there:
        del host.base.env[name]
    for hours in (2, 0.85):
        host.due(id_, hours=hours)
        if hours < 1:
            host.remember(id_, warned=())
        host.base.env |= directory
        document = host.apply(status=3 if gaps else 0)
        assert {one["source"] for one in document["gaps"] if one["kind"] != "absent"} == gaps
        (action,) = document["actions"]
        assert action["outcome"] == "skipped"
        said = "its owner could not be looked up, and may be somebody: name train._.54321"
        assert action["error"].startswith(said)
        assert host.state_of(id_) == "running"
        for name in directory:
            del host.base.env[name]
    host.base.env |= there
    host.due(id_)
    assert [one["outcome"] for one in host.apply()["actions"]] == ["done"]
    assert host.state_of(id_) == "exited"
