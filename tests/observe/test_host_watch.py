"""Metrics, logs, units, our own files and the kernel's walls, in a moved root."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ds01ctl.core.host_facts import FileFact, Unread
from ds01ctl.core.policy import builtin_policy
from ds01ctl.observe import host_own, host_watch
from ds01ctl.paths import Paths

POLICY = builtin_policy()
MARK = "# ds01ctl: generated, digest 0123\n"


def write(root: Path, path: str, text: str = "", mode: int = 0o644) -> Path:
    file = root / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(mode)
    return file


def test_metrics(tmp_path: Path) -> None:
    """Our files, and each exporter's folder as this root has it."""
    write(tmp_path, "/var/lib/prometheus/node-exporter/ds01_detect.prom", "x 1\n")
    write(tmp_path, "/var/lib/prometheus/node-exporter/apt.prom", "y 1\n")
    commands = [("node_exporter", "--collector.textfile.directory=/a"), ("node_exporter",)]
    found = host_watch.metrics(Paths(tmp_path), POLICY, commands)
    assert [Path(file.path).name for file in found.files] == ["ds01_detect.prom"]
    assert found.exporters == (str(tmp_path / "a"), None)
    assert found.is_writable
    none = host_watch.metrics(Paths(tmp_path / "x"), POLICY, [])
    assert isinstance(none.folder, Unread)
    assert none.folder.kind == "absent"


def test_logs(tmp_path: Path) -> None:
    """What rotates our logs; the journal's settings, the last drop-in by name winning."""
    write(tmp_path, "/etc/logrotate.d/apt", "/var/log/apt/*.log {\n copytruncate\n}\n")
    write(tmp_path, "/etc/logrotate.d/ds01", "/var/log/ds01/*.jsonl {\n  copytruncate\n}\n")
    write(tmp_path, "/etc/logrotate.d/note", "# /var/log/ds01 is elsewhere\n")
    write(tmp_path, "/usr/sbin/logrotate")
    write(tmp_path, "/etc/systemd/journald.conf", "[Journal]\n#Storage=none\nSystemMaxUse=9G\n")
    write(tmp_path, "/etc/systemd/journald.conf.d/50-ds01.conf", "[Journal]\nSystemMaxUse=2G\n")
    write(tmp_path, "/usr/lib/systemd/journald.conf.d/10-x.conf", "[Journal]\nStorage=Persistent\n")
    log = write(tmp_path, "/var/log/ds01/events.jsonl", mode=0o664)
    write(tmp_path, "/etc/group", f"adm:x:{log.stat().st_gid}:\n")
    found = host_watch.logs(Paths(tmp_path), POLICY)
    assert found.has_logrotate
    assert [(Path(file.path).name, copies) for file, copies in found.rotations] == [("ds01", True)]
    assert isinstance(found.event_log, FileFact)
    assert (found.event_log.mode, found.event_group) == (0o664, "adm")
    assert (found.journal_storage, found.journal_cap) == ("persistent", "2G")
    bare = host_watch.logs(Paths(tmp_path / "bare"), POLICY)
    assert (bare.has_logrotate, bare.rotations, bare.journal_storage) == (False, (), "auto")


def test_units(tmp_path: Path) -> None:
    """Ours by their mark, enabled by their link; a masked unit and a slice are nobody's."""
    folder = "/etc/systemd/system"
    for name in ("ds01-detect.timer", "ds01-detect.service", "ds01-quota.timer"):
        write(tmp_path, f"{folder}/{name}", f"{MARK}[Unit]\n")
    write(tmp_path, f"{folder}/ds01-container-sync.service", "[Service]\n")
    write(tmp_path, f"{folder}/ds01-student.slice", "[Slice]\n")
    (tmp_path / "etc/systemd/system/ds01-old.service").symlink_to("/dev/null")
    (tmp_path / "etc/systemd/system/timers.target.wants").mkdir()
    link = tmp_path / "etc/systemd/system/timers.target.wants/ds01-detect.timer"
    link.symlink_to("../ds01-detect.timer")
    (tmp_path / "etc/systemd/system/multi-user.target.wants").mkdir()
    starter = tmp_path / "etc/systemd/system/multi-user.target.wants/ds01-start.service"
    starter.symlink_to("../ds01-start.service")
    found = host_watch.units(Paths(tmp_path))
    assert found.ours == ("ds01-detect.timer", "ds01-quota.timer")
    assert found.enabled == ("ds01-detect.timer", "ds01-start.service")
    assert found.foreign == ("ds01-container-sync.service",)
    assert found.cron == ()


@pytest.mark.parametrize(
    ("name", "text", "is_told"),
    [
        ("ds01-maintenance", "*/5 * * * * root x\n", True),
        ("ds01-maintenance", "5 * * * * root x\n", True),
        ("ds01-maintenance", "@reboot root x\n", True),
        ("ds01-maintenance", "# */5 * * * * root x\nPATH=/bin\n", False),
        ("ds01.conf", "*/5 * * * * root x\n", False),
        ("apt", "*/5 * * * * root x\n", False),
    ],
)
def test_old_cron_files(tmp_path: Path, name: str, text: str, is_told: bool) -> None:
    """Only what cron would run: a line in force, in a file whose name has no dot."""
    file = write(tmp_path, f"/etc/cron.d/{name}", text)
    assert host_watch.units(Paths(tmp_path)).cron == ((str(file),) if is_told else ())


def test_own(tmp_path: Path) -> None:
    write(tmp_path, "/run/ds01/detect.lock", mode=0o600)
    write(tmp_path, "/var/lib/ds01/ds01ctl.db", "x", mode=0o640)
    (tmp_path / "proc").symlink_to("/proc")
    found = host_own.read(Paths(tmp_path))
    assert [type(folder).__name__ for folder in found.folders] == ["FileFact", "Unread", "FileFact"]
    assert [lock.mode for lock in found.locks] == [0o600]
    assert isinstance(found.database, FileFact)
    assert found.program.endswith("/ds01ctl")
    assert found.euid == os.geteuid()


def test_weak_places(tmp_path: Path) -> None:
    """Whoever can replace a folder on the way can replace the program."""
    place = tmp_path / "opt/ds01ctl"
    place.mkdir(parents=True)
    before = {one.path for one in host_own.weak([place])}
    (tmp_path / "opt").chmod(0o777)
    assert {one.path for one in host_own.weak([place])} - before == {str(tmp_path / "opt")}
    # with the sticky bit, as /tmp has it, nobody can replace another's
    (tmp_path / "opt").chmod(0o1777)
    assert {one.path for one in host_own.weak([place])} == before


def test_policy_files(tmp_path: Path) -> None:
    file = write(tmp_path, "/etc/ds01/p.yaml", mode=0o666)
    found = host_own.policy_files([str(file), str(tmp_path / "gone")])
    assert [one.path for one in found] == [str(file), str(file.parent), str(tmp_path)]
    assert [one.is_open for one in found] == [True, False, False]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, (None, None, None)),
        ({"/sys/module/apparmor/parameters/enabled": "Y\n"}, (True, None, None)),
        ({"/sys/module/apparmor/parameters/enabled": "N\n"}, (False, None, None)),
        ({"/proc/sys/user/max_user_namespaces": "0\n"}, (None, 0, None)),
        ({"/proc/sys/kernel/unprivileged_userns_clone": "0\n"}, (None, None, False)),
        ({"/proc/sys/kernel/unprivileged_userns_clone": "1\n"}, (None, None, None)),
        ({"/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1\n"}, (None, None, False)),
    ],
)
def test_access(tmp_path: Path, files: dict[str, str], expected: tuple[object, ...]) -> None:
    for path, text in files.items():
        write(tmp_path, path, text)
    found = host_own.access(Paths(tmp_path))
    assert (found.apparmor, found.userns_max, found.userns_unprivileged) == expected
    assert isinstance(found.profiles, Unread)


def test_profiles(tmp_path: Path) -> None:
    write(
        tmp_path,
        "/sys/kernel/security/apparmor/profiles",
        "docker-default (enforce)\n/usr/sbin/x (complain)\n",
    )
    assert host_own.access(Paths(tmp_path)).profiles == (
        "docker-default (enforce)",
        "/usr/sbin/x (complain)",
    )
