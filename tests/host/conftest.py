"""Fixtures on the test host: one machine for the test run, each test with a clean view of it."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.host import booted, image, wheels
from tests.host.host import Host, install_wheel
from tests.host.machine import Machine

if TYPE_CHECKING:
    from collections.abc import Iterator

_MACHINE = pytest.StashKey[Machine]()
_KEPT = pytest.StashKey[Path]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything here, so that ``-m "not host"`` leaves it out."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.host)


@pytest.fixture(scope="session")
def host_image() -> image.Image:
    """The image of the test host, built where the cache has none."""
    reason = image.missing()
    if reason:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    return image.ready()


@pytest.fixture(scope="package")
def machine(host_image: image.Image, pytestconfig: pytest.Config) -> Iterator[Machine]:
    """The one machine of the test run, until the last test here; take ``host`` instead."""
    with Machine(host_image, saved=booted.ready(host_image)) as started:
        pytestconfig.stash[_MACHINE] = started
        yield started
        del pytestconfig.stash[_MACHINE]


@pytest.fixture
def host(machine: Machine) -> Iterator[Host]:
    """An admin's root shell on the test host; containers, users and sessions end with the test."""
    of_this_test = Host(machine)
    yield of_this_test
    of_this_test.clean()


@pytest.fixture(scope="session")
def wheel(host_image: image.Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the tree under test."""
    folder = tmp_path_factory.mktemp("wheel")
    return wheels.build(folder, build_wheels=host_image.build_wheels)


@pytest.fixture(scope="package")
def ds01ctl(machine: Machine, wheel: Path) -> str:
    """The program's path in the guest, where pip has installed the wheel."""
    return install_wheel(machine, wheel)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    """Keep console log and journal of a test that failed, and say where."""
    report = yield
    machine = item.config.stash.get(_MACHINE, None)
    if report.failed and machine is not None:
        folder = _folder_to_keep(item.config)
        name = re.sub(r"[^\w.-]+", "_", f"{item.nodeid.rpartition('/')[2]}-{report.when}")
        _keep(machine, folder / name)
        report.sections.append(("test host", f"console log and journal: {folder / name}.*"))
    return report


def _folder_to_keep(config: pytest.Config) -> Path:
    if _KEPT not in config.stash:
        named = os.environ.get("DS01_HOST_KEEP")
        config.stash[_KEPT] = Path(named or tempfile.mkdtemp(prefix="ds01-host-failed-"))
        config.stash[_KEPT].mkdir(parents=True, exist_ok=True)
    return config.stash[_KEPT]


def _keep(machine: Machine, stem: Path) -> None:
    stem.with_name(f"{stem.name}.console").write_text(machine.console)
    try:
        told = machine.journal(options="--output=short-precise")
    except (AssertionError, OSError, subprocess.SubprocessError) as error:
        told = f"no journal: {error}"
    stem.with_name(f"{stem.name}.journal").write_text(told)
