"""Fixtures for all tests: an NVML double, a Docker engine of our own, a name service that hangs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from xdist.remote import Producer

    from tests.scheduling import ByUnit

pytest_plugins = ["tests.nvml.fixtures", "tests.engine_fixtures", "tests.nss_fixtures"]

# a Python that the machine does not have can't be installed there
MAY_BE_SKIPPED = "tests/test_versions.py"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With several workers (-n), begin with what takes longest; else it comes last."""
    if config.pluginmanager.hasplugin("xdist"):
        from tests.scheduling import rank

        alone = "PYTEST_XDIST_WORKER" not in os.environ
        items.sort(key=lambda item: rank(item.nodeid), reverse=alone)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByUnit | None:
    """Keep together what shares a machine, an engine, or what a file has built up."""
    from tests.scheduling import ByUnit

    return ByUnit(config, log) if config.getoption("dist") == "loadgroup" else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    """In CI, where every part is installed, a test that is skipped has failed."""
    report = yield
    if os.environ.get("CI") and report.skipped and not item.nodeid.startswith(MAY_BE_SKIPPED):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {report.longrepr}"
    return report
