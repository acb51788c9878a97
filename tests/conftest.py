"""Fixtures for all tests: an NVML double, a Docker engine of our own, a name service that hangs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest_plugins = ["tests.nvml.fixtures", "tests.engine_fixtures", "tests.nss_fixtures"]

# a Python that the machine does not have can't be installed there
MAY_BE_SKIPPED = "tests/test_versions.py"
WHOLE_MACHINE = ("test_versions.py", "uml", "host")
"""What keeps all cores busy by itself, in this order, and after everything else."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With several workers (-n), keep each file on one, and what needs the machine for the last."""
    if not config.pluginmanager.hasplugin("xdist"):
        return
    here = Path(__file__).parent
    parts = [item.path.relative_to(here).parts[0] for item in items]
    order = {name: rank for rank, name in enumerate(WHOLE_MACHINE, 1)}
    ranked = sorted(zip(parts, items, strict=True), key=lambda one: order.get(one[0], 0))
    items[:] = [item for _, item in ranked]
    for part, item in ranked:
        group = "whole machine" if part in order else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    """In CI, where every part is installed, a test that is skipped has failed."""
    report = yield
    if os.environ.get("CI") and report.skipped and not item.nodeid.startswith(MAY_BE_SKIPPED):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {report.longrepr}"
    return report
