"""systemd, control groups and the clock: from fake tools and a moved root."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ds01ctl.core.host_facts import Unread
from ds01ctl.observe import host_systemd
from ds01ctl.paths import Paths
from tests.observe.fake_tools import Tools


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tools:
    made = Tools(tmp_path / "bin")
    made.use(monkeypatch)
    return made


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


def write(root: Path, path: str, text: str = "") -> Path:
    file = root / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


SHOW = """
case "$1" in
--version) echo 'systemd 252 (252.39-1~deb12u1)'; echo '+PAM +AUDIT';;
show) printf 'Id=b.service\\nNeedDaemonReload=yes\\n\\nId=a.timer\\nNeedDaemonReload=no\\n';;
esac
"""


def test_a_host_with_systemd(tools: Tools, root: Path) -> None:
    tools.put("systemctl", SHOW)
    (root / "run/systemd/system").mkdir(parents=True)
    write(root, "/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n")
    write(root, "/proc/pressure/cpu", "some avg10=0.00\n")
    found = host_systemd.read(Paths(root))
    assert found.is_init
    assert (found.version, found.hierarchy) == (252, "unified")
    assert found.controllers == ("cpu", "cpuset", "io", "memory", "pids")
    assert found.has_pressure
    assert found.reload_pending == ("b.service",)


@pytest.mark.parametrize(
    ("files", "hierarchy"),
    [
        (["unified/cgroup.controllers", "memory/x"], "hybrid"),
        (["memory/x"], "legacy"),
        (["systemd/x"], "legacy"),
    ],
)
def test_older_control_groups(tools: Tools, root: Path, files: list[str], hierarchy: str) -> None:
    """The controllers of v1 by their names of v2; one that is off is none."""
    for file in files:
        write(root, f"/sys/fs/cgroup/{file}")
    write(
        root,
        "/proc/cgroups",
        "#subsys_name\thierarchy\tnum_cgroups\tenabled\nblkio\t1\t1\t1\nmemory\t2\t1\t0\ncpu\t3\t1\t1\n",
    )
    found = host_systemd.read(Paths(root))
    assert (found.hierarchy, found.controllers) == (hierarchy, ("cpu", "io"))
    assert not found.has_pressure


def test_nothing_there(tools: Tools, root: Path) -> None:
    """No systemctl and no control groups: said, not guessed; and the bus is not asked."""
    found = host_systemd.read(Paths(root))
    assert isinstance(found.version, Unread)
    assert found.version.kind == "absent"
    assert isinstance(found.hierarchy, Unread)
    assert found.reload_pending == Unread("absent", "systemd is not PID 1")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("echo 'Failed to connect to bus' >&2; exit 1", "systemctl: Failed to connect to bus"),
        ("exit 3", "systemctl: ended with status 3"),
        ("echo nonsense", "systemctl --version: not understood"),
    ],
)
def test_a_tool_that_fails(tools: Tools, root: Path, body: str, reason: str) -> None:
    tools.put("systemctl", body)
    found = host_systemd.read(Paths(root))
    assert found.version == Unread("failed", reason)


def test_a_tool_that_hangs(tools: Tools) -> None:
    """It is given up in time, children of its own and all."""
    tools.put("hang", "/bin/sleep 30")
    began = time.monotonic()
    found = host_systemd.tool(["hang"], timeout_s=0.3)
    assert time.monotonic() - began < 5
    assert found == Unread("failed", "hang: no answer in 0.3 s")


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("", ()),
        ("Id=a\nNeedDaemonReload=no\n", ()),
        ("NeedDaemonReload=yes\n", ()),
        ("Id=b\nNeedDaemonReload=yes\n\nId=a\nNeedDaemonReload=yes\n", ("a", "b")),
    ],
)
def test_pending_units(text: str, units: tuple[str, ...]) -> None:
    assert host_systemd.parse_pending(text) == units


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("NTPSynchronized=yes\nTimezone=Europe/Berlin", (True, "Europe/Berlin")),
        ("Timezone=UTC\nNTPSynchronized=no", (False, "UTC")),
    ],
)
def test_clock(tools: Tools, root: Path, said: str, answer: tuple[bool, str]) -> None:
    tools.says("timedatectl", said)
    assert tuple(host_systemd.clock(Paths(root))) == answer


def test_clock_is_asked_for_one_property_at_a_time(tools: Tools, root: Path) -> None:
    """The real timedatectl says nothing at all to two names with a comma between."""
    tools.put("timedatectl", 'for word; do echo "${word#--property=}=yes"; done')
    assert tuple(host_systemd.clock(Paths(root))) == (True, "yes")


def test_clock_without_timedated(tools: Tools, root: Path) -> None:
    """The file of timesyncd, and the zone from its link; silence is not "no"."""
    tools.says("timedatectl", "Failed to connect to bus", status=1)
    (root / "run/systemd/system").mkdir(parents=True)
    found = host_systemd.clock(Paths(root))
    assert found.is_synchronised == Unread("failed", "timedatectl: Failed to connect to bus")
    write(root, "/run/systemd/timesync/synchronized")
    (root / "etc").mkdir()
    (root / "etc/localtime").symlink_to("/usr/share/zoneinfo/Europe/Berlin")
    assert tuple(host_systemd.clock(Paths(root))) == (True, "Europe/Berlin")


def test_clock_that_says_neither(tools: Tools, root: Path) -> None:
    tools.says("timedatectl", "Timezone=UTC")
    assert isinstance(host_systemd.clock(Paths(root)).is_synchronised, Unread)
