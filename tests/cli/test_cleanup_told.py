"""What `cleanup` tells users, and what it tells of that, on a real engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.cleanup_host import CONTAINERS, POLICY, CleanupHost, give, owner_uid
from tests.cli.conftest import Host
from tests.engine import Engine

ZONE = "XYZ-5:30"


@pytest.fixture
def host(host: Host, engine: Engine) -> CleanupHost:
    host.env["TZ"] = ZONE
    return CleanupHost(host, engine)


def notices(host: CleanupHost) -> str:
    return (host.root / f"var/lib/ds01/notices/{owner_uid()}").read_text()


def warned(host: CleanupHost, *folders: Path) -> dict:
    """Have a container with these folders be warned of."""
    mounts = [(str(folder), f"/mnt/{place}") for place, folder in enumerate(folders)]
    id_ = host.container("train", mounts=mounts)
    host.apply()
    host.due(id_, hours=0.85)
    host.remember(id_, warned=())
    return host.apply()["data"]["changes"][0]


def test_a_warning_names_a_file_that_its_reader_can_make(host: CleanupHost) -> None:
    """In the first folder that is his; the time is the machine's own."""
    shared = host.root / "shared"
    shared.mkdir()
    mine = give(host.root / "mine")
    warned(host, shared, mine)
    text = notices(host)
    assert f"To keep it running: touch {mine}/.keep-alive" in text
    assert str(shared) not in text
    assert " XYZ." in text
    assert "UTC" not in text


def test_a_folder_of_somebody_elses_is_not_named(host: CleanupHost) -> None:
    shared = host.root / "shared"
    shared.mkdir()
    warned(host, shared)
    assert "mkdir -p ~/.ds01/keep && touch ~/.ds01/keep/train" in notices(host)


def test_why_a_channel_did_not_take_it(host: CleanupHost) -> None:
    row = warned(host)
    assert row["outcome"] == "done"
    assert [one.split()[0] for one in row["channels"]] == ["notice", "file"]
    assert "mail: not configured (cleanup.mail_domain, mail)" in row["channel_errors"]
    assert any(one.startswith("terminal: ") for one in row["channel_errors"])


def test_whom_nothing_reaches_is_not_stopped(host: CleanupHost) -> None:
    """The notice of root's alone is no warning; it is no fault of the run, and noted once."""
    host.home.rmdir()
    row = warned(host)
    assert row["outcome"] == "skipped"
    assert row["error"].startswith("it reached nobody, so nothing is stopped on it: ")
    assert "file: no folder of the host is mounted as its workspace" in row["error"]
    (id_,) = (one["target"] for one in host.apply()["actions"])
    assert host.log() == [("warn", "skipped")]
    assert not (host.root / f"var/lib/ds01/notices/{owner_uid()}").exists()
    # as an earlier version has remembered it
    host.due(id_)
    notice = ("notice /var/lib/ds01/notices/65534",)
    host.remember(id_, warned=tuple(w._replace(channels=notice) for w in host.watch(id_).warned))
    assert [one["kind"] for one in host.apply()["actions"]] == ["warn"]
    assert host.state_of(id_) == "running"


def test_who_has_no_work_folder_is_told_at_home(host: CleanupHost) -> None:
    row = warned(host)
    assert row["outcome"] == "done"
    assert "will be stopped" in (host.home / ".ds01-alerts").read_text()


def test_no_removal_is_announced_in_report_mode(host: CleanupHost) -> None:
    """Of stopped containers: it stays, so nobody need hurry; the time is told in his zone."""
    host.base.policy(POLICY.replace("mode: enforce", "mode: enforce\n  rules: {stopped: report}"))
    id_ = host.container("train")
    host.apply()
    host.due(id_)
    assert host.apply()["actions"][0]["outcome"] == "done"
    text = notices(host)
    assert "was stopped at" in text
    assert " XYZ." in text
    assert "Start it again with: docker start train\n" in text
    assert "removed" not in text


def test_nobody_has_left(host: CleanupHost) -> None:
    out = host.run("plan", "--only", f"{CONTAINERS},users").out
    assert "0 users who have left" in out
    assert "account" not in out
