"""The `nvml` fixture: a pretended NVIDIA driver for one test."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.nvml.double import NvmlDouble, has_compiler

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def nvml_libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the compiled libraries of this session lie; none is compiled twice."""
    if not has_compiler():
        (pytest.fail if os.environ.get("CI") else pytest.skip)("gcc is needed for the NVML double")
    return tmp_path_factory.mktemp("nvml-libraries")


@pytest.fixture
def nvml(tmp_path: Path, nvml_libraries: Path) -> NvmlDouble:
    """A machine without GPUs; add what the test is about."""
    return NvmlDouble(tmp_path, nvml_libraries)
