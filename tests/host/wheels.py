"""Fetch and build Python wheels for the guest, which has no network of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TREE = Path(__file__).resolve().parents[2]
# Debian 12's Python, and the oldest and newest C libraries that its own can stand in for
_GUEST = (
    *("--only-binary=:all:", "--implementation=cp", "--python-version=3.11"),
    *("--platform=manylinux2014_x86_64", "--platform=manylinux_2_17_x86_64"),
    "--platform=manylinux_2_28_x86_64",
)
_PIP_S = 600


def dependencies() -> list[str]:
    """Return what the project needs to run, as pyproject.toml says."""
    return list(_pyproject()["project"]["dependencies"])


def build_requirements() -> list[str]:
    """Return what is needed to make the project's wheel."""
    return list(_pyproject()["build-system"]["requires"])


def _pyproject() -> dict[str, dict[str, list[str]]]:
    return tomllib.loads((TREE / "pyproject.toml").read_text())


def fetch_dependencies(folder: Path) -> None:
    """Download every wheel that the project needs in the guest."""
    _pip("download", "--dest", str(folder), *_GUEST, *dependencies())


def fetch_build_requirements(folder: Path) -> None:
    """Download what this machine needs to make the project's wheel, so that tests need no index."""
    _pip("download", "--dest", str(folder), *build_requirements())


def build(target: Path, *, build_wheels: Path, tree: Path = TREE) -> Path:
    """Make the wheel of a source tree and return it."""
    offline = ("--no-index", "--find-links", str(build_wheels))
    _pip("wheel", "--no-deps", *offline, "--wheel-dir", str(target), str(tree))
    return next(target.glob("ds01ctl-*.whl"))


def _pip(verb: str, *arguments: str) -> None:
    argv = [sys.executable, "-m", "pip", verb, "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(
        [*argv, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=_PIP_S,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"pip {verb} failed:\n{done.stdout.decode(errors='replace')[-3000:]}")
