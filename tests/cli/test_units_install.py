"""Install, upgrade and uninstall on the real `/` of a mount namespace."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.cli.systemd import Systemd

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a mount namespace needs root")

PROGRAM = "/opt/ds01ctl/bin/ds01ctl"


@pytest.fixture
def systemd(tmp_path: Path) -> Systemd:
    return Systemd(tmp_path)


def install(systemd: Systemd, *more: str) -> Any:
    return systemd.run("units", "install", "--program", "/bin/true", *more)


def test_install_writes_enables_and_starts(systemd: Systemd) -> None:
    """A fresh host gets everything; a second run changes nothing."""
    done = install(systemd)
    assert done.returncode == 0, done.stderr
    assert (systemd.unit_dir / "ds01-detect.timer").read_text().startswith("# ds01ctl: generated")
    assert "ExecStart=/bin/true detect" in (systemd.unit_dir / "ds01-detect.service").read_text()
    loaded = systemd.memory["loaded"]
    assert {"ds01.target", "ds01-detect.timer", "ds01-state.timer"} <= set(loaded)
    assert (systemd.tree / "var/lib/ds01").is_dir()
    before, calls = systemd.contents(), len(systemd.calls)
    again = install(systemd)
    assert again.returncode == 0
    assert "nothing to do" in again.stdout
    assert systemd.contents() == before
    assert len(systemd.calls) == calls


def test_no_command_ever_reloads(systemd: Systemd) -> None:
    """A daemon-reload takes the GPUs away from running containers."""
    assert install(systemd).returncode == 0
    policy = systemd.tree / "etc/ds01"
    policy.mkdir()
    (policy / "resource-limits.yaml").write_text("jobs: {detect: {schedule: 1min}}\n")
    assert install(systemd).returncode == 0
    assert systemd.run("units", "uninstall", "--purge").returncode == 0
    words = {word for call in systemd.calls for word in call}
    assert not words & {"daemon-reload", "daemon-reexec", "revert", "reload", "edit"}
    enabling = [call for call in systemd.calls if {"enable", "disable"} & set(call)]
    assert enabling
    assert all("--no-reload" in call for call in enabling)


def test_upgrade_stops_what_keeps_the_old_definition(systemd: Systemd) -> None:
    """Every changed unit is read anew, and an unchanged host stays as it is."""
    install(systemd)
    (systemd.tree / "etc/ds01").mkdir()
    policy = systemd.tree / "etc/ds01/resource-limits.yaml"
    policy.write_text("jobs: {detect: {schedule: 2min}, state: {enabled: false}}\n")
    done = install(systemd)
    assert done.returncode == 0, done.stderr
    loaded: Any = systemd.memory["loaded"]
    assert "OnUnitActiveSec=120s" in loaded["ds01-detect.timer"]["text"]
    assert "ds01-state.timer" not in loaded
    wants = {path.name for path in (systemd.unit_dir / "ds01.target.wants").iterdir()}
    assert wants == {
        "ds01-carbon.timer", "ds01-cleanup-containers.timer", "ds01-cleanup-images.timer",
        "ds01-cleanup-report.timer", "ds01-detect.timer", "ds01-enforce.timer", "ds01-quota.timer",
        "ds01-units-check.timer",
    }  # fmt: skip


def test_a_job_that_is_off_by_default_begins_when_the_policy_says_so(systemd: Systemd) -> None:
    """Its files are there from the start, and nothing runs them; and it can be turned off again."""
    link = systemd.unit_dir / "ds01.target.wants/ds01-quota-volumes.timer"
    install(systemd)
    assert (systemd.unit_dir / "ds01-quota-volumes.timer").exists()
    assert not link.is_symlink()
    (systemd.tree / "etc/ds01").mkdir()
    policy = systemd.tree / "etc/ds01/resource-limits.yaml"
    for says in (True, False):
        policy.write_text(f"jobs: {{quota-volumes: {{enabled: {str(says).lower()}}}}}\n")
        done = install(systemd)
        assert done.returncode == 0, done.stderr
        loaded: Any = systemd.memory["loaded"]
        assert (link.is_symlink(), "ds01-quota-volumes.timer" in loaded) == (says, says)


def test_uninstall_leaves_every_byte_as_it_was(systemd: Systemd) -> None:
    """Also after an upgrade; only state is left, and --purge drops that, too."""
    before = systemd.contents()
    install(systemd)
    install(systemd, "--program", "/bin/false")
    done = systemd.run("units", "uninstall")
    assert done.returncode == 0, done.stderr
    assert systemd.contents() == before
    assert systemd.memory["loaded"] == {}
    assert "nothing to do" in systemd.run("units", "uninstall").stdout


def test_dry_run_changes_nothing(systemd: Systemd) -> None:
    """It says what it would do."""
    before = systemd.contents()
    done = install(systemd, "--dry-run")
    assert "would write /etc/systemd/system/ds01-detect.service (new)" in done.stdout
    assert "would start ds01.target" in done.stdout
    assert systemd.contents() == before
    assert systemd.calls == []


def test_edited_unit_is_refused_then_kept_as_a_copy(systemd: Systemd) -> None:
    """An admin's edit is never lost."""
    install(systemd)
    unit = systemd.unit_dir / "ds01-detect.service"
    edited = unit.read_text().replace("MemoryMax=256M", "MemoryMax=1G")
    unit.write_text(edited)
    before = systemd.contents()
    refused = install(systemd)
    assert refused.returncode == 1
    assert "was edited since ds01ctl wrote it" in refused.stderr
    assert "-MemoryMax=1G" in refused.stderr
    assert "hint: put your changes into a drop-in" in refused.stderr
    assert systemd.contents() == before
    assert systemd.run("units", "uninstall").returncode == 1
    assert systemd.contents() == before
    assert install(systemd, "--force").returncode == 0
    assert "MemoryMax=256M" in unit.read_text()
    copies = list((systemd.tree / "var/lib/ds01/replaced").rglob("ds01-detect.service.*"))
    assert [copy.read_text() for copy in copies] == [edited]


def test_a_file_that_was_there_before_comes_back(systemd: Systemd) -> None:
    """With its mode and owner, byte for byte, also one that is no UTF-8."""
    theirs = systemd.tree / "etc/logrotate.d/ds01"
    theirs.write_bytes(b"/var/log/other/*.log {\n daily\n # caf\xe9\n}\n")
    theirs.chmod(0o600)
    os.chown(theirs, 12, 34)
    before = systemd.contents()
    refused = install(systemd)
    assert refused.returncode == 1
    assert "/etc/logrotate.d/ds01: is not ds01ctl's" in refused.stderr
    assert systemd.contents() == before
    assert install(systemd, "--force").returncode == 0
    assert theirs.read_text().startswith("# ds01ctl: generated")
    assert systemd.run("units", "uninstall").returncode == 0
    assert systemd.contents() == before
    found = theirs.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (12, 34, 0o600)


def test_only_our_own_record_is_believed(systemd: Systemd) -> None:
    """The folder of our state may be one that a group writes to: nobody's word makes us write."""
    install(systemd)
    copy = systemd.tree / "var/lib/ds01/replaced/passwd"
    copy.parent.mkdir()
    copy.write_text("evil::0:0::/:/bin/sh\n")
    kept = {
        "copy": "/var/lib/ds01/replaced/passwd",
        "digest": hashlib.sha256(copy.read_bytes()).hexdigest(),
        "mode": 0o644,
        "uid": 0,
        "gid": 0,
    }
    record = systemd.tree / "var/lib/ds01/units.json"
    before = (systemd.tree / "etc/passwd").read_text()
    for place, owner in (("/etc/passwd", 0), ("/etc/logrotate.d/ds01", 1000)):
        record.write_text(json.dumps({"replaced": {place: kept}, "folders": []}))
        os.chown(record, owner, owner)
        done = systemd.run("units", "uninstall")
        assert (systemd.tree / "etc/passwd").read_text() == before
        assert ("is not ours alone" in done.stderr) == (owner != 0)
        record.unlink(missing_ok=True)
        install(systemd)


def test_a_masked_unit_stays_masked(systemd: Systemd) -> None:
    """A link to /dev/null is an admin's word, and --force does not overrule it."""
    (systemd.unit_dir / "ds01-detect.timer").symlink_to("/dev/null")
    before = systemd.contents()
    for more in ((), ("--force",)):
        refused = install(systemd, *more)
        assert refused.returncode == 1
        assert "is a link or a folder" in refused.stderr
        assert "unmask" in refused.stderr
    assert systemd.contents() == before


@pytest.mark.parametrize("call", range(1, 12))
def test_a_failing_step_undoes_all_before_it(systemd: Systemd, call: int) -> None:
    """Fresh install: whatever call of systemctl fails, the host is as it was."""
    before = systemd.contents()
    systemd.fail_at(call)
    done = install(systemd)
    if done.returncode == 0:
        # that call was only a question, or came never
        return
    assert "everything was put back as it was" in done.stderr
    assert systemd.contents() == before
    assert not any(name.endswith(".timer") for name in systemd.memory["loaded"])
    systemd.fail_at(0)
    assert install(systemd).returncode == 0


@pytest.mark.parametrize("call", range(1, 14))
def test_a_failing_upgrade_leaves_the_old_one_running(systemd: Systemd, call: int) -> None:
    """The old files are back and their timers run."""
    install(systemd)
    before = systemd.contents()
    systemd.fail_at(call)
    done = install(systemd, "--program", "/bin/false")
    loaded: Any = systemd.memory["loaded"]
    assert loaded["ds01-detect.timer"]["active"] == "active"
    if done.returncode == 0:
        return
    assert systemd.contents() == before
    assert (
        loaded["ds01-detect.timer"]["text"] == (systemd.unit_dir / "ds01-detect.timer").read_text()
    )


@pytest.mark.parametrize("kept", range(0, 12, 3))
def test_a_killed_install_is_completed_by_the_next(systemd: Systemd, kept: int) -> None:
    """Killed between two files: some are there, one is half-written beside its place."""
    install(systemd)
    whole = systemd.contents()
    ours = sorted(name for name in whole if "ds01" in name and whole[name][1].startswith("# ds01"))
    for name in ours[kept:]:
        (systemd.tree / name).unlink()
    (systemd.unit_dir / ".ds01-detect.service.99.part").write_text("[Unit]\nDescr")
    done = install(systemd)
    assert done.returncode == 0, done.stderr
    assert systemd.contents() == whole


def test_a_unit_that_is_wanted_no_more_goes(systemd: Systemd) -> None:
    """A job that an older version had is stopped, disabled and removed; a cron unit is not ours."""
    from ds01ctl.unitfiles.stamp import stamped

    install(systemd)
    for name in ("ds01-old.timer", "ds01-cron-backup-1a2b3c.timer"):
        (systemd.unit_dir / name).write_text(stamped("[Timer]\nOnCalendar=daily\n"))
    (systemd.unit_dir / "ds01-foreign.service").write_text("[Service]\nExecStart=/bin/true\n")
    assert install(systemd).returncode == 0
    assert not (systemd.unit_dir / "ds01-old.timer").exists()
    assert (systemd.unit_dir / "ds01-cron-backup-1a2b3c.timer").exists()
    assert (systemd.unit_dir / "ds01-foreign.service").exists()


def test_folders_of_the_platform_keep_mode_and_group(systemd: Systemd) -> None:
    """Neither a unit nor tmpfiles.d may change what the platform's own scripts rely on."""
    logs = systemd.tree / "var/log/ds01"
    logs.mkdir()
    os.chown(logs, 0, 4)
    logs.chmod(0o2775)
    assert install(systemd).returncode == 0
    line = "d /var/log/ds01 2775 root adm -"
    assert line in (systemd.tree / "etc/tmpfiles.d/ds01.conf").read_text()
    found = logs.stat()
    assert (found.st_gid, stat.S_IMODE(found.st_mode)) == (4, 0o2775)
    service = (systemd.unit_dir / "ds01-detect.service").read_text()
    assert "StateDirectory=" not in service
    assert "LogsDirectory=" not in service


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        ("jobs: {detect: {schedule: 20s}}", "jobs.detect.schedule: a run may take 25 s"),
        ("jobs: {detect: {schedule: often}}", "jobs.detect.schedule"),
        ("jobs: {detekt: {schedule: 1min}}", "detekt"),
        ('jobs: {state: {schedule: "*-13-* 05:00"}}', "jobs.state.schedule"),
        ('jobs: {state: {schedule: "daily\\nExecStart=/bin/sh"}}', "jobs.state.schedule"),
    ],
)
def test_a_bad_schedule_names_file_and_line(systemd: Systemd, policy: str, told: str) -> None:
    """Nothing is written for a policy that makes no sense."""
    (systemd.tree / "etc/ds01").mkdir()
    (systemd.tree / "etc/ds01/resource-limits.yaml").write_text(policy + "\n")
    before = systemd.contents()
    done = install(systemd)
    assert done.returncode == 1
    assert told in done.stderr
    assert "resource-limits.yaml:1" in done.stderr
    assert systemd.contents() == before


def test_read_only_unit_folder(systemd: Systemd) -> None:
    """A clear error, and nothing half-written."""
    before = systemd.contents()
    mounts = systemd.wrap[4].replace(
        "exec", f"mount --bind {systemd.unit_dir} /etc/systemd/system\n"
        "mount -o remount,bind,ro /etc/systemd/system\nexec"
    )  # fmt: skip
    systemd.wrap = (*systemd.wrap[:4], mounts, "sh")
    done = install(systemd)
    assert done.returncode == 1
    assert "Read-only file system" in done.stderr
    assert systemd.contents() == before


def test_full_unit_folder(systemd: Systemd) -> None:
    """A disk that fills half-way through leaves nothing."""
    before = systemd.contents()
    mounts = systemd.wrap[4].replace(
        "exec", "mount -t tmpfs -o size=16k tmpfs /etc/systemd/system\nexec"
    )
    systemd.wrap = (*systemd.wrap[:4], mounts, "sh")
    done = install(systemd)
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "put back" in done.stderr
    assert systemd.contents() == before


def test_prefix_is_for_images(systemd: Systemd, tmp_path: Path) -> None:
    """Nothing is started, and the program is the one that the image will have."""
    root = tmp_path / "image"
    root.mkdir()
    done = systemd.run("units", "install", "--prefix", str(root), "--json")
    document = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert document["data"]["live"] is False
    unit = (root / "etc/systemd/system/ds01-detect.service").read_text()
    assert f"ExecStart={PROGRAM} detect unmanaged --record" in unit
    assert [call[0] for call in systemd.calls if "enable" in call] != []
    assert all(call[2].startswith("--root=") for call in systemd.calls)
