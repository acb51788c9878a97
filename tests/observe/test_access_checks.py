"""Files that a job cannot reach are named, by the kernel's own rules, with a way to cure it."""

from __future__ import annotations

import json
import os
import shutil
import stat
import struct
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest

from ds01ctl.commands import reaching
from ds01ctl.core.access import EXECUTE, READ, SEARCH, WRITE, Place, Service, may
from ds01ctl.core.problem import Problem
from ds01ctl.core.unit_text import UnitFile
from ds01ctl.observe import access_checks
from ds01ctl.observe.access_checks import Need
from ds01ctl.paths import Paths
from ds01ctl.unitfiles.files import DEFAULT, PROGRAM, render

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
ALICE = 12345


def put(paths: Paths, place: str, mode: int = 0o644, uid: int = 0, text: str = "") -> Path:
    path = paths.under(place)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    os.chown(path, uid, uid)
    return path


@pytest.fixture
def host(tmp_path: Path) -> Paths:
    paths = Paths(tmp_path)
    for folder in ("etc/ds01/groups", "var/lib/ds01", "var/log/ds01", DEFAULT.textfile_dir):
        paths.under(folder).mkdir(parents=True)
    for place in (PROGRAM, "/usr/bin/systemctl"):
        put(paths, place, 0o755, text="#!/bin/sh\n")
    for place in (
        "/etc/ds01/resource-limits.yaml", "/etc/ds01/groups/student.members",
        DEFAULT.events_path, "/var/lib/ds01/ds01ctl.db",
    ):  # fmt: skip
        put(paths, place)
    return paths


def checked(paths: Paths, *more: UnitFile) -> list[Problem]:
    files = render(DEFAULT._replace(mail_secret="/etc/ds01/mail secret"))
    units = [
        UnitFile(file.name, file.text, file.place)
        for file in files
        if file.source.startswith("units/")
    ]
    ours = {unit.name for unit in units if unit.name.endswith(".service")}
    return reaching.problems([*units, *more], ours, files, paths)


SECRET = "/etc/ds01/mail secret"


@AS_ROOT
def test_nothing_is_wrong_with_a_host_of_roots(host: Paths) -> None:
    put(host, SECRET, 0o600)
    assert checked(host) == []


@AS_ROOT
@pytest.mark.parametrize(
    ("place", "uid", "mode", "severity", "who", "fix"),
    [
        (
            PROGRAM,
            ALICE,
            0o700,
            "error",
            "ds01-detect, ds01-enforce, ds01-failure@, ds01-quota, ds01-quota-volumes, ds01-state",
            "/opt",
        ),
        (PROGRAM, ALICE, 0o711, "error", "ds01-detect", "/opt"),
        ("/opt/ds01ctl", ALICE, 0o750, "error", "ds01-failure@, ds01-state, ds01-units", "/opt"),
        ("/etc/ds01/resource-limits.yaml", ALICE, 0o640, "warning", "ds01-units-check", "chown"),
        ("/etc/ds01/groups/student.members", ALICE, 0o640, "warning", "ds01-failure@", "chown"),
        ("/etc/ds01/groups", ALICE, 0o700, "warning", "ds01-failure@", "chown root"),
        ("/etc/ds01", ALICE, 0o750, "warning", "ds01-units-check", "chmod o+x"),
        (DEFAULT.events_path, ALICE, 0o644, "warning", "ds01-detect", "chown root"),
        ("/var/log/ds01", ALICE, 0o755, "warning", "ds01-detect", "chown root"),
        ("/var/lib/ds01", ALICE, 0o755, "warning", "ds01-detect", "chown root"),
        ("/var/lib/ds01/ds01ctl.db", 0, 0o444, "warning", "ds01-detect", "chmod u+w"),
        (
            DEFAULT.textfile_dir,
            ALICE,
            0o755,
            "warning",
            "ds01-detect, ds01-enforce, ds01-quota, ds01-units",
            "chown root",
        ),
        ("/var/lib/prometheus", ALICE, 0o750, "warning", "ds01-units-check", "chmod o+x"),
    ],
)
def test_what_a_job_cannot_reach(
    host: Paths, place: str, uid: int, mode: int, severity: str, who: str, fix: str
) -> None:
    put(host, SECRET, 0o600)
    path = host.under(place)
    path.chmod(mode)
    os.chown(path, uid, uid)
    (found,) = checked(host)
    assert (found.severity, found.kind) == (severity, "no-access")
    assert who in found.what
    assert f"{path} (mode {mode:04o}, uid {uid}, gid {uid})" in found.what
    assert fix in found.fix


@AS_ROOT
def test_a_capability_is_taken_into_account(host: Paths) -> None:
    """ds01-detect has CAP_DAC_READ_SEARCH; the others may be given one."""
    put(host, SECRET, 0o600)
    put(host, "/etc/ds01/resource-limits.yaml", 0o600, ALICE)
    assert "ds01-detect" not in checked(host)[0].what
    gives = "[Service]\nCapabilityBoundingSet=CAP_DAC_READ_SEARCH\n"
    jobs = ("state", "units-check", "failure@", "carbon-intensity")
    names = [f"ds01-{job}.service" for job in jobs]
    added = [UnitFile(f"{name}.d/50-local.conf", gives, "d", is_admins=True) for name in names]
    assert checked(host, *added) == []


@AS_ROOT
def test_a_group_of_root_is_enough(host: Paths) -> None:
    path = host.under("/var/lib/ds01")
    path.chmod(0o2775)
    os.chown(path, ALICE, 0)
    put(host, SECRET, 0o600)
    assert checked(host) == []


@AS_ROOT
def test_what_is_not_there_yet_is_no_matter(host: Paths) -> None:
    put(host, SECRET, 0o600)
    for folder in ("etc/ds01/groups", "var/lib", "var/log"):
        shutil.rmtree(host.under(folder))
    host.under("/etc/ds01/resource-limits.yaml").unlink()
    assert checked(host) == []


@AS_ROOT
@pytest.mark.parametrize(
    ("uid", "mode", "kind"),
    [
        (0, 0o600, None),
        (0, 0o640, None),
        (0, 0o644, "open-secret"),
        (ALICE, 0o600, "open-secret"),
        (None, 0, "no-secret"),
    ],
)
def test_the_secret_is_roots_alone(
    host: Paths, uid: int | None, mode: int, kind: str | None
) -> None:
    """It is read by systemd, with all of root's rights; only who else may is the matter."""
    if uid is not None:
        put(host, SECRET, mode, uid)
        os.chown(host.under(SECRET), uid, 0)
    found = checked(host)
    assert [(one.severity, one.kind) for one in found] == ([("warning", kind)] if kind else [])
    assert all(SECRET in one.what and "ds01-failure@.service:" in one.where for one in found)


# --- the kernel's own word ---

ASK = """
import json, os, sys
def tried(path, wanted):
    try:
        if os.path.isdir(path):
            return os.access(path, wanted, effective_ids=True)
        if wanted == 1:
            return os.access(path, wanted, effective_ids=True)
        flags = {4: os.O_RDONLY, 2: os.O_WRONLY, 6: os.O_RDWR}[wanted]
        os.close(os.open(path, flags))
        return True
    except PermissionError:
        return False
print(json.dumps([tried(path, wanted) for path, wanted in json.load(sys.stdin)]))
"""


@AS_ROOT
@pytest.mark.skipif(not shutil.which("setpriv"), reason="setpriv is not installed")
@pytest.mark.parametrize("reads_all", [False, True])
def test_the_kernel_agrees(tmp_path: Path, *, reads_all: bool) -> None:
    """Each owner and mode, tried by a root whose capabilities are gone."""
    asked = []
    modes = (0o000, 0o400, 0o070, 0o044, 0o604, 0o640, 0o711, 0o755, 0o222)
    kinds = (False, True)
    for number, (uid, gid, mode, is_dir) in enumerate(product((0, 9), (0, 9), modes, kinds)):
        path = tmp_path / str(number)
        path.mkdir() if is_dir else path.touch()
        path.chmod(mode)
        os.chown(path, uid, gid)
        place = Place(str(path), uid, gid, mode, is_dir)
        wants = (READ, WRITE | SEARCH, SEARCH) if is_dir else (READ, WRITE, READ | WRITE, EXECUTE)
        asked += [(place, wanted) for wanted in wants]
    left = "-all,+dac_read_search" if reads_all else "-all"
    # as systemd starts a service: uid and gid 0, and no other group
    argv = ["setpriv", f"--bounding-set={left}", f"--inh-caps={left}", "--clear-groups", "--"]
    answers = subprocess.run(
        [*argv, sys.executable, "-c", ASK],
        input=json.dumps([(place.path, wanted) for place, wanted in asked]),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    mine = [may(place, wanted, reads_all=reads_all) for place, wanted in asked]
    differ = [
        (place, stat.filemode(place.mode), wanted, answer)
        for (place, wanted), answer, own in zip(asked, json.loads(answers), mine, strict=True)
        if answer is not own
    ]
    assert differ == []


def acl(*entries: tuple[int, int, int]) -> bytes:
    """Write an access list as the kernel stores it: rows of tag, permissions and id."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *one) for one in entries)


NOBODY = 0xFFFFFFFF
ROOT_READS = acl((1, 6, NOBODY), (2, 4, 0), (4, 0, NOBODY), (16, 4, NOBODY), (32, 0, NOBODY))


@AS_ROOT
def test_a_list_that_gives_more_is_believed(tmp_path: Path) -> None:
    path = put(Paths(tmp_path), "/x", 0o600, ALICE)
    service = Service("a.service", "/bin/x", "a:1")
    need = Need("/x", READ, (service,), "x")
    assert len(access_checks.needs([need], Paths(tmp_path))) == 1
    try:
        os.setxattr(path, "system.posix_acl_access", ROOT_READS)
    except OSError as error:
        pytest.skip(f"no access lists in this file system: {error.strerror}")
    path.read_text()
    assert access_checks.needs([need], Paths(tmp_path)) == []
