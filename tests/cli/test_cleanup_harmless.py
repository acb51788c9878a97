"""What `cleanup` must not do on the word of a label, of a filter, or without the admins' keeps."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cli.cleanup_host import CONTAINERS, MEANWHILE, POLICY, CleanupHost, give, owner_uid
from tests.cli.conftest import Host
from tests.engine import Engine

USERS = POLICY.replace("  mode: enforce\n", "  mode: enforce\n  users_after_d: 0\n")
WORK = ("sh", "-c", "while :; do :; done")
LEFT = 51005


@pytest.fixture
def host(host: Host, engine: Engine) -> CleanupHost:
    return CleanupHost(host, engine)


def notices(host: CleanupHost) -> str:
    file = host.root / f"var/lib/ds01/notices/{owner_uid()}"
    return file.read_text() if file.exists() else ""


def did(document: dict) -> list[tuple[str, str]]:
    return [(one["kind"], one["outcome"]) for one in document["actions"]]


# --- who has left -----------------------------------------------------------------------------


def archived(host: CleanupHost) -> Path:
    """Have carol be listed, with an account and a home, which is given; nobody need wait."""
    home = host.root / "home/carol"
    host.base.policy(f"{USERS}users: {{home_dirs: [{home.parent}]}}\n")
    home.mkdir(parents=True)
    os.chown(home, LEFT, LEFT)
    groups = host.root / "etc/ds01/groups"
    groups.mkdir(exist_ok=True)
    (groups / "archived.members").write_text("carol\n")
    passwd = host.root / "etc/passwd"
    before = passwd.read_text() if passwd.exists() else ""
    passwd.write_text(f"{before}carol:x:{LEFT}:{LEFT}::/home/carol:/bin/sh\n")
    return home


def test_a_label_alone_stops_nobody(host: CleanupHost) -> None:
    """A successor has copied the file of compose, label and all."""
    archived(host)
    id_ = host.container("copied", user="carol")
    for _ in range(3):
        document = host.apply(only="users")
    assert did(document) == []
    assert host.state_of(id_) == "running"


@pytest.mark.parametrize(
    ("more", "fate"),
    [
        ({}, "stopped"),
        ({"user": str(LEFT)}, "stopped"),
        ({"user": "51006"}, "uid 51006 is at work in it"),
        ({"command": WORK}, "is at work (gpu absent"),
    ],
    ids=["root's", "theirs", "another's", "busy"],
)
def test_only_what_is_surely_theirs_and_idle(
    host: CleanupHost, more: dict[str, Any], fate: str
) -> None:
    """Of a folder below their home, too; first it has to be known that it does nothing."""
    home = archived(host)
    id_ = host.engine.run("left", labels={"ds01.user": "carol"}, mounts=[(home, "/work")], **more)
    assert did(host.apply(only="users")) == []
    time.sleep(1.1)
    document = host.apply(only="users")
    if fate == "stopped":
        assert did(document) == [("stop-container", "done")]
        assert host.state_of(id_) == "exited"
        text = (host.root / f"var/lib/ds01/notices/{LEFT}").read_text()
        assert 'Your container "left" was stopped' in text
        assert "Why: carol has left (listed in groups/archived.members:1)" in text
    else:
        assert did(document) == []
        assert fate in str(document["findings"])
        assert host.state_of(id_) == "running"


def test_who_is_at_work_again_before_the_stop_is_left(host: CleanupHost) -> None:
    """Somebody goes on with what they have left: between the look and the stop."""
    home = archived(host)
    go = home / "go"
    os.mkfifo(go)
    waits = ("sh", "-c", "read line < /data/go; while :; do :; done")
    id_ = host.engine.run(
        "left", labels={"ds01.user": "carol"}, mounts=[(home, "/data")], command=waits
    )
    host.apply(only="users")
    time.sleep(1.1)
    assert did(host.json("plan", "--only", "users")) == [("stop-container", "planned")]
    apply = ("apply", "--yes", "--only", "users")
    done = host.with_hook(MEANWHILE, *apply, FILE=str(go), TEXT="\n", SLEEP="2.5")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "did not stop left" in done.stdout
    assert "active right before the stop: " in done.stdout
    assert host.state_of(id_) == "running"
    assert host.log() == [("stop-container", "skipped")]
    assert "is at work" in str(host.json("plan", "--only", "users")["findings"])


def test_what_is_left_of_somebody_without_an_account_goes_after_its_hold(
    host: CleanupHost,
) -> None:
    """Though no other rule removes what nobody is known to own. Their home is not written to."""
    home = archived(host)
    for file in ("etc/passwd", "etc/ds01/groups/archived.members"):
        (host.root / file).write_text("")
    (host.root / "etc/nsswitch.conf").write_text("passwd: files\n")
    policy = USERS.replace("  unowned: act\n", "")
    host.base.policy(f"{policy}users: {{home_dirs: [{home.parent}]}}\n")
    id_ = host.engine.run("left", labels={"ds01.user": "carol"}, mounts=[(home, "/workspace")])
    for _ in range(3):
        host.apply(only="users")
        time.sleep(1.1)
    assert host.state_of(id_) == "exited"
    host.apply()
    host.remember(id_, stopped_s=0.9 * 3600)
    # as the timer does, meanwhile
    assert did(host.apply()) == []
    assert did(host.apply(only="users")) == []
    host.remember(id_, stopped_s=1.1 * 3600)
    assert did(host.apply()) == [("remove-container", "skipped")]
    assert did(host.apply(only="users")) == [("remove-container", "done")]
    assert host.state_of(id_) is None
    assert list(home.iterdir()) == []


# --- filters ----------------------------------------------------------------------------------


def test_what_is_nobodys_own_is_not_one_users(host: CleanupHost) -> None:
    host.container("train")
    data = host.json("plan", "--user", "nobody")["data"]
    assert data["parts"] == sorted([*CONTAINERS.split(","), "users"])
    assert data["examined"]["images"] is None
    ran = host.run("apply", "--yes", "--user", "nobody", "--only", "images,networks")
    assert ran.status == 2
    assert "--user: images, networks: these are nobody's own" in ran.err


# --- keeps ------------------------------------------------------------------------------------


def test_without_the_admins_keeps_nobody_is_warned(host: CleanupHost) -> None:
    """It may be kept: a warning would be false, and somebody might kill his run himself."""
    id_ = host.container("train")
    host.apply()
    host.due(id_, hours=0.85)
    host.remember(id_, warned=())
    file = host.root / "var/lib/ds01/keep.json"
    file.write_text("{")
    assert did(host.apply(status=3)) == [("warn", "skipped")]
    assert notices(host) == ""
    file.unlink()
    assert did(host.apply())[0][0] == "warn"


def warning_of(host: CleanupHost, id_: str) -> str:
    host.due(id_, hours=0.85)
    host.remember(id_, warned=())
    host.apply()
    text = notices(host)
    return text[text.rindex("will be stopped in about") :]


def test_a_warning_advises_no_file_that_would_not_count(host: CleanupHost) -> None:
    """Three containers have one folder, and its file keeps two of them."""
    work = give(host.root / "work")
    ids = [host.container(f"s{n}", mounts=[(work, "/workspace")]) for n in range(3)]
    (work / ".keep-alive").touch()
    os.chown(work / ".keep-alive", owner_uid(), -1)
    host.apply()
    kept = {one["id"] for one in host.json("plan", "--only", CONTAINERS)["data"]["kept"]}
    assert len(kept) == 2
    [left] = set(ids) - kept
    text = warning_of(host, left)
    assert "No file can keep it: files keep 2 of your containers already" in text
    assert "touch" not in text


@pytest.mark.parametrize("home", ["srv/home/nobody", "nested/2026/n"])
def test_a_file_in_the_home_counts_wherever_that_is(host: CleanupHost, home: str) -> None:
    host.base.policy(f"{POLICY}users: {{home_dirs: [/home, /srv/home]}}\n")
    passwd = host.root / "etc/passwd"
    passwd.write_text(f"nobody:x:{owner_uid()}:0::/nested/2026/n:/bin/sh\n")
    host.container("lone")
    give(host.root / home)
    keep = give(host.root / home / ".ds01/keep")
    (keep / "lone").touch()
    os.chown(keep / "lone", owner_uid(), -1)
    data = host.json("plan", "--only", CONTAINERS)["data"]
    assert [one["by"] for one in data["kept"]] == [f"/{home}/.ds01/keep/lone"]
