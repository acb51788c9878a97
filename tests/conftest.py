"""Fixtures for all tests: an NVML double, a Docker engine of our own, a name service that hangs."""

from __future__ import annotations

import os

import pytest

pytest_plugins = ["tests.nvml.fixtures", "tests.engine_fixtures", "tests.nss_fixtures"]

# a Python that the machine does not have can't be installed there
MAY_BE_SKIPPED = "tests/test_versions.py"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    """In CI, where every part is installed, a test that is skipped has failed."""
    report = yield
    if os.environ.get("CI") and report.skipped and not item.nodeid.startswith(MAY_BE_SKIPPED):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {report.longrepr}"
    return report
