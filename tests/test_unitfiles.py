"""The rendered files hold what was promised, by the word of the tools that will read them."""

from __future__ import annotations

import os
import shutil
from datetime import datetime, timezone
from pathlib import Path

import pytest

from ds01ctl.commands import verifying
from ds01ctl.core.problem import Problem
from ds01ctl.core.unit_rules import NEWER
from ds01ctl.core.unit_text import directives, names, values
from ds01ctl.errors import Ds01Error, UsageError
from ds01ctl.jobs import FAILURE, JOBS, START, Job
from ds01ctl.paths import Paths
from ds01ctl.report import verify_text
from ds01ctl.unitfiles.files import DEFAULT, PROGRAM, HostFile, Site, render
from ds01ctl.unitfiles.stamp import state_of

NOW = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
TOOLS = ("systemd-analyze", "systemd-tmpfiles", "logrotate")
with_tools = pytest.mark.skipif(
    os.geteuid() != 0 or not all(map(shutil.which, TOOLS)),
    reason=f"needs root and {', '.join(TOOLS)}",
)
# each is in systemd 249, by its manual
KNOWN_TO_249 = {
    "Unit": {
        "After", "Before", "CollectMode", "Conflicts", "ConditionPathExists", "DefaultDependencies",
        "Description", "Documentation", "OnFailure", "PartOf", "StartLimitIntervalSec",
        "StopWhenUnneeded", "Wants",
    },
    "Install": {"WantedBy"},
    "Journal": {"SystemMaxUse"},
    "Timer": {
        "AccuracySec", "FixedRandomDelay", "OnBootSec", "OnCalendar", "OnUnitActiveSec",
        "Persistent", "RandomizedDelaySec",
    },
    "Service": {
        "AmbientCapabilities", "CPUQuota", "CacheDirectory", "CapabilityBoundingSet", "DeviceAllow",
        "DevicePolicy", "Environment", "ExecStart", "IOSchedulingClass", "IPAddressDeny",
        "KeyringMode", "LoadCredential", "LockPersonality", "LogsDirectory", "LogsDirectoryMode",
        "MemoryDenyWriteExecute", "MemoryMax", "Nice", "NoNewPrivileges", "PrivateDevices",
        "PrivateMounts",
        "PrivateNetwork", "PrivateTmp", "ProcSubset", "ProtectClock", "ProtectControlGroups",
        "ProtectHome", "ProtectHostname", "ProtectKernelLogs", "ProtectKernelModules",
        "ProtectKernelTunables", "ProtectProc", "ProtectSystem", "ReadWritePaths", "RemoveIPC",
        "RestrictAddressFamilies", "RestrictNamespaces", "RestrictRealtime", "RestrictSUIDSGID",
        "RuntimeDirectory", "RuntimeDirectoryMode", "RuntimeDirectoryPreserve", "StateDirectory",
        "SetCredential", "StateDirectoryMode", "SuccessExitStatus", "SupplementaryGroups",
        "SyslogIdentifier",
        "SystemCallArchitectures", "SystemCallErrorNumber", "SystemCallFilter", "TasksMax",
        "TimeoutStartSec", "Type", "UMask",
    },
}  # fmt: skip
# a host as far from the default as it gets
ODD = Site(
    program="/opt/a b/100%/ds01ctl",
    events_path="/srv/100%#/ds01~ö.jsonl",
    textfile_dir="/srv/my  metrics 5%",
    mail_secret="/etc/ds01/mail  password: 5% ;#",
    found={"/var/lib/ds01": ("2775", "root", "thegroup"), "/var/log/ds01": ("0770", "4", "4")},
)
SITES = pytest.mark.parametrize("site", [DEFAULT, ODD], ids=["default", "odd"])
RENDERED = {file.source: file.text for file in render()}
UNITS = {name: text for name, text in RENDERED.items() if name.startswith("units/")}


def host(tmp_path: Path, program: str = PROGRAM) -> Paths:
    """A root that has the program, and groups of its own."""
    paths = Paths(tmp_path)
    for path in map(paths.under, (program, "/usr/bin/systemctl")):
        path.parent.mkdir(parents=True)
        path.write_text("")
        path.chmod(0o755)
    paths.under("/etc").mkdir()
    paths.under("/etc/group").write_text("thegroup:x:4711:\n")
    return paths


def problems(
    files: tuple[HostFile, ...], paths: Paths, jobs: tuple[Job, ...] = JOBS
) -> tuple[Problem, ...]:
    return verifying.problems(files, jobs, paths, now=NOW).problems


@with_tools
@SITES
def test_nothing_is_wrong_with_what_is_rendered(site: Site, tmp_path: Path) -> None:
    """systemd, logrotate and tmpfiles have nothing to say, and no file has a second opinion."""
    verified = verifying.problems(render(site), JOBS, host(tmp_path, site.program), now=NOW)
    assert verified.problems == ()
    assert verified.gaps == ()


@with_tools
@pytest.mark.parametrize("job", [*JOBS, FAILURE, START], ids=lambda job: job.name)
def test_exposure_is_at_most_what_the_row_says(job: Job, tmp_path: Path) -> None:
    verified = verifying.problems(render(ODD), JOBS, host(tmp_path, ODD.program), now=NOW)
    assert verified.exposures[f"{job.unit}.service"] <= job.exposure


@SITES
def test_every_directive_is_known_to_the_oldest_systemd(site: Site) -> None:
    for file in render(site):
        if file.name.endswith((".service", ".timer", ".target", ".conf")):
            for line in directives(file.text):
                assert line.key in KNOWN_TO_249[line.section], f"{file.name}:{line.line}"


def test_the_two_lists_of_directives_do_not_meet() -> None:
    assert not set(NEWER) & set.union(*KNOWN_TO_249.values())


@pytest.mark.parametrize("name", [name for name in UNITS if name.endswith(".timer")])
def test_a_timer_neither_ties_its_service_nor_wakes_in_bad_hours(name: str) -> None:
    lines = directives(UNITS[name])
    keys = {line.key for line in lines}
    assert "Requires" not in keys
    if "OnCalendar" in keys:
        assert {"Persistent", "RandomizedDelaySec", "FixedRandomDelay"} <= keys
    else:
        assert {"OnBootSec", "OnUnitActiveSec"} <= keys
        assert values(lines, "AccuracySec")[0].value == "1s"


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_a_service_is_bounded_and_heard_of(job: Job) -> None:
    lines = directives(UNITS[f"units/{job.unit}.service"])
    found = {line.key: line.value for line in lines}
    assert found["Type"] == "oneshot"
    assert found["OnFailure"] == "ds01-failure@%N.service"
    assert found["TimeoutStartSec"] == f"{job.timeout_s}s"
    assert found["RuntimeDirectoryPreserve"] == "yes"
    assert found["IOSchedulingClass"] == "idle"
    assert {"MemoryMax", "CPUQuota", "TasksMax", "Nice", "SyslogIdentifier"} <= found.keys()
    assert {"4", "5"} == {word for _, word in names(lines, "SuccessExitStatus")}
    assert not {"Requires", "BindsTo"} & found.keys()
    assert "daemon-reload" not in " ".join(line.value for line in lines)


@SITES
@pytest.mark.parametrize("job", [*JOBS, FAILURE], ids=lambda job: job.name)
def test_a_job_may_write_its_events_and_metrics_wherever_they_are(job: Job, site: Site) -> None:
    (text,) = [file.text for file in render(site) if file.name == f"{job.unit}.service"]
    written = [line.value.strip('"-') for line in values(directives(text), "ReadWritePaths")]
    folders = {folder.replace("%%", "%") for folder in written}
    assert str(Path(site.events_path).parent) in folders
    assert "metrics" not in job.needs or site.textfile_dir in folders


def test_the_secret_is_named_as_it_is_and_may_be_missing() -> None:
    """LoadCredential= takes the rest of its line, quotes too; a missing file must not end it."""
    (text,) = [file.text for file in render(ODD) if file.name == "ds01-failure@.service"]
    found = {line.key: line.value for line in directives(text)}
    assert found["LoadCredential"] == "mail-password:/etc/ds01/mail  password: 5%% ;#"
    assert found["SetCredential"] == "mail-password:none"


def test_the_timers_do_not_wait_for_docker() -> None:
    assert "docker" not in {
        word
        for line in directives(UNITS["units/ds01-start.service"])
        for word in line.value.split(".")
    }
    assert "docker.service" in UNITS["units/ds01-detect.service"]
    assert not [name for name, text in UNITS.items() if "\nWants=" in text]


@pytest.mark.parametrize("name", RENDERED)
def test_every_file_bears_our_mark(name: str) -> None:
    assert state_of(RENDERED[name]) == "ours"


@pytest.mark.parametrize("name", [name for name in UNITS if name.endswith(".service")])
def test_what_may_have_to_be_relaxed_says_why(name: str) -> None:
    """Above each of these stands what it is for."""
    lines = UNITS[name].splitlines()
    for number, line in enumerate(lines):
        if line.startswith(("MemoryMax=", "ProtectSystem=", "PrivateTmp=", "LoadCredential=")):
            assert lines[number - 1].startswith("# "), line
        if line.startswith("CapabilityBoundingSet=CAP"):
            capabilities = line.partition("=")[2].split()
            above = "\n".join(lines[:number])
            assert all(f"# {capability}: " in above for capability in capabilities)


# --- what verify tells ---


def faulty(name: str, old: str, new: str) -> tuple[HostFile, ...]:
    return tuple(
        file._replace(text=file.text.replace(old, new)) if file.name == name else file
        for file in render()
    )


@with_tools
@pytest.mark.parametrize(
    ("name", "old", "new", "kinds"),
    [
        ("ds01-detect.service", "Nice=10", "Nicee=10", {"syntax"}),
        ("ds01-detect.service", "Type=oneshot", "Type=once", {"syntax"}),
        ("ds01-detect.service", "SystemCallFilter", "#", {"exposed"}),
        ("ds01-detect.service", PROGRAM, "/opt/gone", {"program"}),
        ("ds01-detect.timer", "OnUnitActiveSec", "#", set()),
        ("ds01-state.timer", "05:10", "25:10", {"bad-schedule"}),
        ("ds01-state.timer", "05:10", "02:30", {"clock-change"}),
        ("ds01-state.timer", "05:10", "06:05", {"overlap"}),
        ("ds01-units-check.timer", "*-*-* 06:10:00", "*:0/7", {"step-at-midnight", "overlap"}),
        ("ds01-state.timer", "*-*-* 05:10:00", "*:0..59/5", {"crowded", "overlap"}),
        ("ds01", "weekly", "wekly", {"logrotate"}),
        ("ds01.conf", "/run/ds01 0755", "/run/ds01 0999", {"tmpfiles"}),
    ],
)
def test_a_fault_in_the_set(name: str, old: str, new: str, kinds: set[str], tmp_path: Path) -> None:
    found = problems(faulty(name, old, new), host(tmp_path))
    wanted = kinds - {"program"}
    assert {one.kind for one in found if one.kind != "program"} == wanted
    assert "program" not in kinds or [one.kind for one in found] == ["program"]


@with_tools
def test_two_jobs_with_one_lock_at_one_time(tmp_path: Path) -> None:
    rows = tuple(job._replace(lock="one", schedule="*-*-* 05:10") for job in JOBS[-2:])
    site = DEFAULT._replace(jobs=(*JOBS[:-2], *rows))
    (found,) = problems(render(site), host(tmp_path), site.jobs)
    assert (found.severity, found.kind) == ("warning", "overlap")
    assert "share the lock 'one'" in found.what


@with_tools
def test_a_file_that_lies_there_since_long(tmp_path: Path) -> None:
    """The platform's own file rotates the same logs."""
    paths = host(tmp_path)
    theirs = paths.under("/etc/logrotate.d/ds01-infra")
    theirs.parent.mkdir()
    theirs.write_text("/var/log/ds01/*.log /var/log/ds01/events.jsonl {\n  copytruncate\n}\n")
    found = problems(render(), paths)
    assert [(one.severity, one.kind) for one in found] == [("error", "duplicate-log")] * 2
    assert all(str(theirs) in one.what and str(theirs) in one.fix for one in found)


@with_tools
def test_an_admins_drop_in_does_not_stop_an_install(tmp_path: Path) -> None:
    paths = host(tmp_path)
    drop_in = paths.under("/etc/systemd/system/ds01-detect.service.d/50-local.conf")
    drop_in.parent.mkdir(parents=True)
    drop_in.write_text("[Service]\nMemoryMax=lots\n")
    (found,) = problems(render(), paths)
    assert (found.severity, found.where) == ("warning", f"{drop_in}:2")


@with_tools
def test_a_drop_in_that_opens_too_much_is_measured(tmp_path: Path) -> None:
    paths = host(tmp_path)
    drop_in = paths.under("/etc/systemd/system/ds01-state.service.d/50-local.conf")
    drop_in.parent.mkdir(parents=True)
    drop_in.write_text("[Service]\nPrivateNetwork=no\nIPAddressDeny=\nSystemCallFilter=\n")
    (found,) = problems(render(), paths)
    assert (found.severity, found.kind) == ("warning", "exposed")


# --- files that are named ---


def verify(paths: Paths, *given: Path):
    return verifying.verify(verifying.Asked(paths, given, "gpu01", NOW), render(), JOBS)


def generated(folder: Path) -> Path:
    for file in render():
        path = folder / file.source
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.text)
    return folder


@with_tools
def test_a_generated_folder_is_checked_whole(tmp_path: Path) -> None:
    paths = host(tmp_path / "root")
    result = verify(paths, generated(tmp_path / "made"))
    assert (result.findings, result.gaps, result.status) == ((), (), "ok")
    assert len(result.data["files"]) == len(render())
    assert verify_text.lines(result)[-1] == f"{len(render())} files checked: nothing wrong"


@with_tools
def test_one_unit_is_held_to_its_own_rules(tmp_path: Path) -> None:
    unit = tmp_path / "backup.service"
    unit.write_text("[Service]\nExecStart=/bin/true\nNicee=1\n")
    result = verify(Paths(), unit)
    (found,) = result.findings
    assert (found.severity, found.subject) == ("critical", {"where": f"{unit}:3"})
    lines = verify_text.lines(result)
    assert lines[0].startswith(f"error: {unit}:3: Unknown key 'Nicee'")
    assert lines[-1] == "1 file checked: 1 error"
    row = {"service": "backup.service", "exposure": pytest.approx(9.6, abs=0.4)}
    assert result.data["exposures"] == [row | {"exposure_max": None}]


@pytest.mark.parametrize(
    ("name", "error"), [("missing.service", Ds01Error), ("notes.txt", UsageError)]
)
def test_what_cannot_be_checked(name: str, error: type[Ds01Error], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(error) as caught:
        verify(Paths(tmp_path), tmp_path / name)
    assert caught.value.hint


def test_a_folder_without_units(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no units in it"):
        verify(Paths(tmp_path), tmp_path)


def test_a_missing_tool_makes_the_run_a_partial_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = host(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    result = verify(paths)
    assert result.status == "partial"
    assert result.findings == ()
    assert verify_text.lines(result)[0].startswith("not checked: systemd-analyze: not found")
