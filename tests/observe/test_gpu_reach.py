"""Which containers may open their GPUs, in a root of our own: all but the kernel's refusal.

That a device program refuses is tested on the test host (tests/host/test_gpu_lost.py).
"""

from __future__ import annotations

import os
import stat
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ds01ctl.core.lost_access import Suspect
from ds01ctl.observe import gpu_reach
from ds01ctl.paths import Paths

if TYPE_CHECKING:
    from collections.abc import Callable

CGROUP = "/system.slice/docker-" + "a" * 64 + ".scope"
NODE = "/dev/nvidia0"
ONE = Suspect("a" * 64, CGROUP, (NODE,))
MAY_OPEN = {ONE.id: ()}
LOADED = datetime(2026, 11, 23, 11, 30, tzinfo=timezone.utc)
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="makes device nodes")


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """A host with one container, and a GPU's node that is /dev/null's."""
    paths = Paths(tmp_path)
    for file in (f"/sys/fs/cgroup{CGROUP}/cgroup.procs", "/sys/fs/cgroup/cgroup.controllers",
                 "/proc/self/oom_score_adj", "/run/systemd/systemd-units-load"):  # fmt: skip
        paths.under(file).parent.mkdir(parents=True, exist_ok=True)
        paths.under(file).touch()
    paths.dev.mkdir()
    if os.geteuid() == 0:
        os.mknod(paths.under(NODE), stat.S_IFCHR | 0o666, os.makedev(1, 3))
    return paths


def procs(paths: Paths) -> str:
    return paths.under(f"/sys/fs/cgroup{CGROUP}/cgroup.procs").read_text()


@as_root
def test_it_is_asked_from_within(paths: Paths) -> None:
    """The child offers itself to the kernel first, then goes in; its parent does not."""
    assert gpu_reach.denied([ONE], paths) == MAY_OPEN
    assert procs(paths) == "0"
    assert (paths.proc / "self/oom_score_adj").read_text() == "1000"


def test_nobody_to_ask_is_no_child(paths: Paths) -> None:
    assert gpu_reach.denied([], paths) == {}
    assert (paths.proc / "self/oom_score_adj").read_text() == ""


@as_root
@pytest.mark.parametrize(
    "spoil",
    [
        lambda paths: paths.under(NODE).unlink(),
        lambda paths: (paths.under(NODE).unlink(), paths.under(NODE).touch()),
        # a folder in its place cannot be written
        lambda paths: (
            (paths.proc / "self/oom_score_adj").replace(paths.proc / "x")
            and (paths.proc / "self/oom_score_adj").mkdir()
        ),
        lambda paths: paths.under("/sys/fs/cgroup/memory.oom.group").write_text("1\n"),
    ],
    ids=["no node", "no device", "not the first to go", "all end together"],
)
def test_it_does_not_go_in(paths: Paths, spoil: Callable[[Paths], object]) -> None:
    """Nothing to learn there, or a danger to the user's work: unknown."""
    spoil(paths)
    assert gpu_reach.denied([ONE], paths) == {}
    assert procs(paths) == ""


@as_root
def test_one_that_cannot_be_entered_hides_no_other(paths: Paths) -> None:
    gone = Suspect("b" * 64, CGROUP.replace("a" * 64, "b" * 64), (NODE,))
    assert gpu_reach.denied([gone, ONE], paths) == MAY_OPEN


@as_root
def test_a_node_that_is_missing_is_not_refused(paths: Paths) -> None:
    two = ONE._replace(nodes=(NODE, "/dev/nvidia1"))
    assert gpu_reach.denied([two], paths) == MAY_OPEN


def test_when_systemd_loaded_its_units(paths: Paths) -> None:
    file = paths.under("/run/systemd/systemd-units-load")
    os.utime(file, (LOADED.timestamp(), LOADED.timestamp()))
    assert gpu_reach.units_loaded_at(paths) == LOADED


@pytest.mark.parametrize(
    "missing", ["/run/systemd/systemd-units-load", "/sys/fs/cgroup/cgroup.controllers"]
)
def test_without_systemd_or_control_groups_v2(paths: Paths, missing: str) -> None:
    paths.under(missing).unlink()
    assert gpu_reach.units_loaded_at(paths) is None
