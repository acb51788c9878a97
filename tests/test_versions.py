"""The other Pythons that are supported: the quick tests pass on each that this machine has."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    Tried = subprocess.CompletedProcess[str]

ROOT = Path(__file__).parent.parent
OWN = f"{sys.version_info.major}.{sys.version_info.minor}"
OTHERS = [name for name in ("3.10", "3.11", "3.12", "3.13", "3.14") if name != OWN]
QUICK = (
    "tests/core", "tests/config", "tests/test_state.py", "tests/test_eventlog.py",
    "tests/observe/test_child.py", "tests/observe/test_processes.py", "tests/cli/test_program.py",
)  # fmt: skip
FEW = ("tests/cli/test_program.py", "tests/core/test_record.py", "tests/config/test_read.py")
"""For all but the oldest, which is the one that lacks things."""
LONG = ("tests/core/test_cleanup_properties.py", "tests/core/test_image_uses.py")
"""These, and what hypothesis drives, are long searches: once, on the main Python, is enough."""


def interpreter(version: str) -> str | None:
    """Find a Python of a version on the PATH, or among pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    kept = sorted(pyenv.glob(f"versions/{version}.*/bin/python{version}"))
    on_path = shutil.which(f"python{version}")
    # pyenv's shims are on the PATH and refuse to run a version that is not selected
    if on_path and not Path(on_path).is_relative_to(pyenv):
        return on_path
    return str(kept[-1]) if kept else None


@pytest.fixture(scope="session")
def tried(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Tried]]]:
    """What becomes of each version that was asked for; at once, unless other tests run beside."""
    wanted = [item.callspec.params["version"] for item in request.session.items
              if isinstance(item, pytest.Function) and item.path == Path(__file__)]  # fmt: skip
    found = {version: name for version in wanted if (name := interpreter(version))}
    oldest = next(iter(found), None)
    at_once = 1 if "PYTEST_XDIST_WORKER" in os.environ else os.cpu_count()
    with ThreadPoolExecutor(at_once) as pool:
        yield {
            version: pool.submit(
                _try,
                name,
                tmp_path_factory.mktemp(f"python{version}"),
                QUICK if version == oldest else FEW,
            )
            for version, name in found.items()
        }
        pool.shutdown(cancel_futures=True)


def _try(found: str, folder: Path, tests: tuple[str, ...]) -> Tried:
    """Install the package as a user would, and run what needs neither Docker nor a compiler."""
    subprocess.run([found, "-m", "venv", str(folder)], check=True)
    python = str(folder / "bin/python")
    quiet = ("--quiet", "--disable-pip-version-check")
    wanted = (str(ROOT), "pytest>=8", "jsonschema>=4.21")
    subprocess.run([python, "-m", "pip", "install", *quiet, *wanted], check=True)
    searches = [path for path in (ROOT / "tests").rglob("test_*.py")
                if "from hypothesis import" in path.read_text("utf-8")]  # fmt: skip
    left_out = [f"--ignore={path}" for path in (*searches, *(ROOT / name for name in LONG))]
    argv = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *left_out, *tests]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=1200, check=False)


@pytest.mark.parametrize("version", OTHERS)
def test_other_python(version: str, tried: dict[str, Future[Tried]]) -> None:
    """The quick tests pass on it."""
    if version not in tried:
        pytest.skip(f"no Python {version} on this machine")
    done = tried[version].result()
    assert done.returncode == 0, done.stdout[-6000:]
