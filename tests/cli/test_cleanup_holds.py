"""What is removed after a hold on a real engine: when the hold begins, and what its owner reads."""

from __future__ import annotations

import pytest

from tests.cli.cleanup_host import CONTAINERS, HOUR, KILL_AFTER, POLICY, CleanupHost, owner_uid
from tests.cli.conftest import Host
from tests.engine import Engine

REPORT = POLICY.replace("mode: enforce", "mode: report")
LONG = POLICY.replace("container_hold_after_stop_h: 1", "container_hold_after_stop_h: 720")


@pytest.fixture
def host(host: Host, engine: Engine) -> CleanupHost:
    return CleanupHost(host, engine)


def notices(host: CleanupHost) -> str:
    file = host.root / f"var/lib/ds01/notices/{owner_uid()}"
    return file.read_text() if file.exists() else ""


def ended(host: CleanupHost, hours: float = 0) -> str:
    """Have a container of somebody's that has ended by itself, and was seen so for so long."""
    id_ = host.container("mine")
    host.engine.client.stop(id_, timeout=0)
    host.apply()
    host.remember(id_, stopped_s=hours * HOUR)
    return id_


def kinds(document: dict) -> list[str]:
    return [one["kind"] for one in document["actions"]]


def test_its_owner_is_told_once_when_it_goes_and_that_it_went(host: CleanupHost) -> None:
    id_ = ended(host)
    text = notices(host)
    assert 'Your container "mine" is stopped. It will be removed at ' in text
    assert "start it before that: docker start mine" in text
    host.apply()
    assert notices(host) == text
    host.remember(id_, stopped_s=1.1 * HOUR)
    assert kinds(host.apply()) == ["remove-container"]
    assert host.state_of(id_) is None
    assert 'Your container "mine" was removed at ' in notices(host)
    assert "1 hour 6 minutes after it was stopped" in notices(host)


def test_report_mode_is_no_part_of_the_hold(host: CleanupHost) -> None:
    host.base.policy(REPORT)
    id_ = ended(host, 5)
    assert kinds(host.apply()) == ["remove-container"]
    assert notices(host) == ""
    host.base.policy(POLICY)
    assert kinds(host.apply()) == []
    assert "It will be removed at " in notices(host)
    host.remember(id_, stopped_s=6.1 * HOUR)
    assert kinds(host.apply()) == ["remove-container"]


def test_a_hold_that_was_told_is_not_cut_short(host: CleanupHost) -> None:
    """Neither of one that was stopped by cleanup, nor of one that ended by itself."""
    host.base.policy(LONG)
    id_ = host.container("train")
    mine = ended(host)
    host.due(id_)
    assert "stop-container" in kinds(host.apply())
    host.apply()
    assert "(until " in notices(host)
    host.base.policy(POLICY)
    for one in (id_, mine):
        host.remember(one, stopped_s=25 * HOUR)
    assert kinds(host.apply()) == []
    assert "30 d were promised" in host.run("why", "mine").out
    host.remember(mine, stopped_s=721 * HOUR)
    assert kinds(host.apply()) == ["remove-container"]


@pytest.mark.parametrize("how", ["ends", "is taken back", "could not be read"])
def test_a_keep_is_no_part_of_the_hold(host: CleanupHost, how: str) -> None:
    id_ = ended(host, 0.9)
    file = host.root / "var/lib/ds01/keep.json"
    host.run("keep", "mine", "--for", "2d")
    if how == "could not be read":
        kept = file.read_text()
        file.write_text("{")
        host.remember(id_, stopped_s=9 * HOUR)
        host.apply(status=3)
        file.write_text(kept)
        host.run("keep", "mine", "--remove")
    else:
        host.remember(id_, stopped_s=9 * HOUR)
        host.apply()
        if how == "ends":
            file.write_text(file.read_text().replace('"until": "20', '"until": "19'))
        else:
            host.run("keep", "mine", "--remove")
    assert kinds(host.apply()) == []
    assert host.state_of(id_) == "exited"
    assert notices(host).count("It will be removed at ") == 2


def test_what_is_kept_is_not_announced(host: CleanupHost) -> None:
    id_ = host.container("mine")
    host.run("keep", "mine", "--forever")
    host.engine.client.stop(id_, timeout=0)
    host.apply()
    assert notices(host) == ""


def test_one_that_was_never_started(host: CleanupHost) -> None:
    id_ = host.container("made", start=False)
    host.apply()
    assert '"made" was never started. It will be removed at ' in notices(host)
    created = host.engine.client.inspect_container(id_)["Created"]
    assert created
    host.remember(id_, created_s=HOUR)
    assert kinds(host.apply()) == []


def test_a_stop_that_the_next_run_finds_is_told(host: CleanupHost) -> None:
    """The run was killed once the engine had stopped it: nobody but the next one can tell."""
    id_ = host.container("train")
    host.apply()
    host.due(id_)
    arguments = ("apply", "--yes", "--only", CONTAINERS)
    done = host.with_hook(KILL_AFTER, *arguments, AFTER="/stop")
    assert done.returncode < 0
    assert host.state_of(id_) == "exited"
    assert "was stopped" not in notices(host)
    host.apply()
    text = notices(host)
    assert 'Your container "train" was stopped, as was found at ' in text
    assert "Why: idle for 2 h" in text
    assert "docker start train" in text
    assert "It will be removed at " in text
    host.apply()
    assert notices(host) == text
