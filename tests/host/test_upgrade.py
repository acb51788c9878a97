"""An upgrade of the program: what was remembered stays, and every unit is the new one's."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.host import wheels
from tests.host.host import Host, install_wheel
from tests.host.test_units import PLACE, POLICY, events, stale_units, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.host.image import Image
    from tests.host.machine import Machine


@pytest.fixture
def older_wheel(host_image: Image, tmp_path: Path) -> Path:
    """A wheel as of before this version: with another schedule, and a job that is no more."""
    tree = tmp_path / "older"
    tree.mkdir()
    for name in ("ds01ctl", "pyproject.toml", "README.md"):
        source = wheels.TREE / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, tree / name)
    version = tree / "ds01ctl/__init__.py"
    now = next(line for line in version.read_text().splitlines() if "__version__" in line)
    version.write_text(version.read_text().replace(now, '__version__ = "0.0.1"'))
    jobs = tree / "ds01ctl/jobs.py"
    text = jobs.read_text()
    older = text.replace('name="state"', 'name="tidy"').replace('"30s"', '"40s"')
    assert older != text
    jobs.write_text(older)
    return wheels.build(tmp_path, build_wheels=host_image.build_wheels, tree=tree)


@pytest.fixture
def older(machine: Machine, ds01ctl: str, wheel: Path, older_wheel: Path) -> Iterator[str]:
    """The program in its older version, until the test ends."""
    yield install_wheel(machine, older_wheel)
    install_wheel(machine, wheel)


def test_upgrade_keeps_what_is_remembered(
    host: Host, machine: Machine, older: str, wheel: Path
) -> None:
    host.put(POLICY, PLACE)
    try:
        container = host.hook_granted_container("--name=raw")
        host.ok(f"{older} units install")
        assert host.ok(f"{older} --version").strip() == "ds01ctl 0.0.1"
        assert "ds01-tidy.timer" in host.ok("systemctl list-timers --no-pager")
        # from then on the findings are known, and keep the time at which they were first seen
        known = "detection.unmanaged_container"
        wait_for(
            known, lambda: [e for e in events(host) if e["event_type"] == known], at_most_s=180
        )
        told = events(host)
        found = json.loads(host.ok(f"{older} detect unmanaged --json"))["findings"]
        new = install_wheel(machine, wheel)
        host.ok(f"{new} units install")
        timers = host.ok("systemctl list-timers --all --no-pager")
        assert "ds01-tidy" not in timers
        assert "ds01-state.timer" in timers
        assert "OnUnitActiveUSec=30s" in host.ok(
            "systemctl show -p TimersMonotonic ds01-detect.timer"
        )
        assert stale_units(host) == []
        assert container.has_access()
        again = json.loads(host.ok(f"{new} detect unmanaged --json"))["findings"]
        assert [one["first_seen"] for one in again] == [one["first_seen"] for one in found]
        assert events(host)[: len(told)] == told
    finally:
        host.run(f"{older} units uninstall --purge --force")
        host.run("rm -rf /etc/ds01 /var/lib/ds01 /var/log/ds01 /run/ds01 /var/cache/ds01")
