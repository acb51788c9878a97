"""A host whose counters go as a trace says."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.energy.host import EnergyHost, small_trace

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def host(tmp_path: Path, nvml_libraries: Path) -> EnergyHost:
    """A host with two packages, four GPUs and three users, at the beginning of its trace."""
    if os.geteuid() != 0:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("only root may move a clock")
    return EnergyHost(tmp_path, nvml_libraries, small_trace())
