"""Install and uninstall where something is in the way, killed, moved, or not ours."""

from __future__ import annotations

import json
import os
import signal
import stat
from pathlib import Path
from typing import Any

import pytest

from ds01ctl.unitfiles.stamp import stamped
from tests.cli.systemd import Systemd

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a mount namespace needs root")

THEIRS = "/var/log/other/*.log { daily }\n"


@pytest.fixture
def systemd(tmp_path: Path) -> Systemd:
    return Systemd(tmp_path)


def install(systemd: Systemd, *more: str) -> Any:
    return systemd.run("units", "install", "--program", "/bin/true", *more)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("call", [2, 5, 6])
def test_a_signal_undoes_an_upgrade(systemd: Systemd, call: int, number: int) -> None:
    """A broken connection must not leave the host without timers."""
    assert install(systemd).returncode == 0
    before = systemd.contents()
    systemd.fail_at(call, signal=number)
    done = install(systemd, "--program", "/bin/false")
    loaded: Any = systemd.memory["loaded"]
    assert loaded["ds01-detect.timer"]["active"] == "active"
    if done.returncode:
        assert "everything was put back as it was" in done.stderr
        assert systemd.contents() == before
    systemd.fail_at(0)
    assert install(systemd).returncode == 0


def test_what_is_not_told_is_not_taken_for_stopped(systemd: Systemd) -> None:
    """An answer without content must not lead to a change."""
    install(systemd)
    before, loaded = systemd.contents(), systemd.memory["loaded"]
    for command in (("install", "--program", "/bin/false"), ("uninstall",)):
        systemd.fail_at(1, garbage=True)
        done = systemd.run("units", *command)
        assert done.returncode == 1
        assert "tells nothing of" in done.stderr
        assert (systemd.contents(), systemd.memory["loaded"]) == (before, loaded)


def test_folders_that_are_gone_are_made_again(systemd: Systemd) -> None:
    """Killed before they were made, or removed by hand: the jobs could write nothing."""
    install(systemd)
    (systemd.tree / "var/cache/ds01").rmdir()
    assert "made /run/ds01" in install(systemd).stdout
    assert (systemd.tree / "var/cache/ds01").is_dir()
    assert "nothing to do" in install(systemd).stdout


def test_an_admins_newer_file_stays(systemd: Systemd) -> None:
    """Uninstall puts an old file back only where nobody has put another since."""
    theirs = systemd.tree / "etc/logrotate.d/ds01"
    theirs.write_text(THEIRS)
    assert install(systemd, "--force").returncode == 0
    newer = THEIRS.replace("daily", "weekly")
    theirs.write_text(newer)
    done = systemd.run("units", "uninstall")
    assert done.returncode == 0, done.stderr
    assert theirs.read_text() == newer
    assert "another file lies there by now" in done.stdout
    copies = list((systemd.tree / "var/lib/ds01/replaced").rglob("ds01.*"))
    assert [copy.read_text() for copy in copies] == [THEIRS]


def test_a_killed_uninstall_put_the_file_back_already(systemd: Systemd) -> None:
    """The rerun leaves it, also when it was changed meanwhile."""
    theirs = systemd.tree / "etc/logrotate.d/ds01"
    theirs.write_text(THEIRS)
    install(systemd, "--force")
    record = systemd.tree / "var/lib/ds01/units.json"
    noted = record.read_text()
    assert systemd.run("units", "uninstall").returncode == 0
    record.write_text(noted)
    record.chmod(0o600)
    assert systemd.run("units", "uninstall").returncode == 0
    assert theirs.read_text() == THEIRS
    assert not record.exists()


def test_a_failed_second_force_keeps_the_first_copy(systemd: Systemd) -> None:
    """Undoing a replacement does not forget the one before it."""
    theirs = systemd.tree / "etc/logrotate.d/ds01"
    theirs.write_text(THEIRS)
    install(systemd, "--force")
    record = json.loads((systemd.tree / "var/lib/ds01/units.json").read_text())
    theirs.write_text(THEIRS.replace("daily", "weekly"))
    systemd.fail_once("start")
    done = install(systemd, "--force", "--program", "/bin/false")
    assert done.returncode == 1
    assert "everything was put back" in done.stderr
    assert json.loads((systemd.tree / "var/lib/ds01/units.json").read_text()) == record
    install(systemd, "--force")
    systemd.run("units", "uninstall")
    assert "weekly" in theirs.read_text()


def test_purge_goes_on_past_what_is_in_the_way(systemd: Systemd) -> None:
    """A folder that somebody named like our store is not ours, and nothing is undone half."""
    install(systemd)
    state = systemd.tree / "var/lib/ds01"
    (state / "ds01ctl.db").write_text("x")
    (state / "ds01ctl.db.old").mkdir()
    stamps = systemd.tree / "var/lib/systemd/timers"
    for name in ("ds01-state", "ds01-cron-backup-1a2b3c", "logrotate"):
        (stamps / f"stamp-{name}.timer").touch()
    done = systemd.run("units", "uninstall", "--purge")
    assert done.returncode == 0, done.stderr
    assert not (state / "ds01ctl.db").exists()
    assert (state / "ds01ctl.db.old").is_dir()
    left = {path.name for path in stamps.iterdir()}
    assert left == {"stamp-ds01-cron-backup-1a2b3c.timer", "stamp-logrotate.timer"}


def test_only_our_own_metrics_go(systemd: Systemd) -> None:
    """From the folder that the policy names, and nobody else's."""
    install(systemd)
    (systemd.tree / "etc/ds01").mkdir()
    (systemd.tree / "etc/ds01/resource-limits.yaml").write_text(
        "metrics: {textfile_dir: /var/lib/metrics}\n"
    )
    folder = systemd.tree / "var/lib/metrics"
    folder.mkdir()
    for name in ("ds01_detect.prom", "ds01_units.prom", "ds01_gpu.prom"):
        (folder / name).touch()
    assert systemd.run("units", "uninstall").returncode == 0
    assert [path.name for path in folder.iterdir()] == ["ds01_gpu.prom"]


def test_a_timer_of_the_admins_own_is_not_stopped(systemd: Systemd) -> None:
    """It has our name and not our mark."""
    text = "[Timer]\nOnCalendar=daily\n"
    (systemd.unit_dir / "ds01-detect.timer").write_text(text)
    systemd.load("ds01-detect.timer", text)
    assert systemd.run("units", "uninstall").returncode == 0
    loaded: Any = systemd.memory["loaded"]
    assert loaded["ds01-detect.timer"]["active"] == "active"
    assert (systemd.unit_dir / "ds01-detect.timer").read_text() == text


def test_a_link_without_its_unit_goes(systemd: Systemd) -> None:
    """A unit file that was removed by hand leaves nothing that points to it."""
    before = systemd.contents()
    install(systemd)
    (systemd.unit_dir / "ds01-state.timer").unlink()
    (systemd.unit_dir / ".ds01-detect.service.99.part").write_text("[Un")
    assert systemd.run("units", "uninstall").returncode == 0
    assert systemd.contents() == before


def test_units_made_from_cron(systemd: Systemd) -> None:
    """Those that have taken over block an uninstall; those that have not go with it."""
    install(systemd)
    idle = systemd.unit_dir / "ds01-cron-idle-1a2b3c.timer"
    busy = systemd.unit_dir / "ds01-cron-busy-1a2b3c.timer"
    for one in (idle, busy):
        one.write_text(stamped("[Timer]\nOnCalendar=daily\n"))
    wants = systemd.unit_dir / "timers.target.wants"
    made = not wants.exists()
    wants.mkdir(exist_ok=True)
    (wants / busy.name).symlink_to(f"/etc/systemd/system/{busy.name}")
    refused = systemd.run("units", "uninstall")
    assert refused.returncode == 1
    assert busy.name in refused.stderr
    assert idle.name not in refused.stderr
    assert "give-back --all" in refused.stderr
    (wants / busy.name).unlink()
    if made:
        wants.rmdir()
    assert systemd.run("units", "uninstall").returncode == 0
    assert not idle.exists()
    assert not busy.exists()


def test_a_unit_that_is_no_text(systemd: Systemd) -> None:
    """Refused in words, by every command that reads it."""
    install(systemd)
    unit = systemd.unit_dir / "ds01-detect.service"
    unit.write_bytes(unit.read_bytes() + b"# caf\xe9\n")
    for command in ("install", "uninstall"):
        done = systemd.run("units", command)
        assert done.returncode == 1
        assert "was edited since ds01ctl wrote it" in done.stderr
    assert systemd.run("units", "diff").returncode in {0, 3}


class TestPrefix:
    def test_a_link_does_not_lead_out_of_it(self, systemd: Systemd, tmp_path: Path) -> None:
        root, outside = tmp_path / "image", tmp_path / "outside"
        root.mkdir()
        outside.mkdir()
        (root / "etc").symlink_to(outside)
        done = systemd.run("units", "install", "--prefix", str(root))
        assert done.returncode == 1
        assert "outside of" in done.stderr
        assert list(outside.rglob("*")) == []

    def test_it_is_not_this_host(self, systemd: Systemd) -> None:
        before = systemd.contents()
        done = systemd.run("units", "install", "--prefix", "//")
        assert done.returncode == 2
        assert "this host itself" in done.stderr
        assert systemd.contents() == before

    def test_the_tree_may_move(self, systemd: Systemd, tmp_path: Path) -> None:
        root = tmp_path / "image"
        (root / "etc/logrotate.d").mkdir(parents=True)
        (root / "etc/logrotate.d/ds01").write_text(THEIRS)
        assert systemd.run("units", "install", "--force", "--prefix", str(root)).returncode == 0
        moved = root.rename(tmp_path / "moved")
        done = systemd.run("units", "uninstall", "--prefix", str(moved))
        assert done.returncode == 0, done.stderr
        assert (moved / "etc/logrotate.d/ds01").read_text() == THEIRS

    def test_it_gets_no_lock(self, systemd: Systemd, tmp_path: Path) -> None:
        root = tmp_path / "image"
        root.mkdir()
        assert systemd.run("units", "install", "--prefix", str(root), "--dry-run").returncode == 0
        assert list(root.iterdir()) == []
        assert systemd.run("units", "install", "--prefix", str(root)).returncode == 0
        assert not (root / "run").exists()
        mode = stat.S_IMODE((root / "etc/systemd/system/ds01.target").stat().st_mode)
        assert mode == 0o644
