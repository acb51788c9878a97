"""Each file in ``inside`` passes in a guest of its own; alone, as many run at once as cores."""

from __future__ import annotations

import compileall
import os
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.uml import guest

if TYPE_CHECKING:
    from collections.abc import Iterator

INSIDE = sorted(Path(__file__).parent.glob("inside/test_*.py"))
PYTEST = (
    "-m",
    "pytest",
    "-q",
    "--color=no",
    "-p",
    "no:cacheprovider",
    "--confcutdir",
    "tests/uml/inside",
)
REASON = guest.missing()
_MOST_GUESTS = 4
"""Each has half a gigabyte of memory."""


@pytest.fixture(scope="session")
def ended(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[Path, Future[guest.Ended]]]:
    """What becomes of each file that was asked for; at once, unless other tests run beside."""
    files = [item.callspec.params["file"] for item in request.session.items
             if isinstance(item, pytest.Function) and item.path == Path(__file__)
             and hasattr(item, "callspec")]  # fmt: skip
    # the guest may not write: it would compile the program at each run
    for folder in ("ds01ctl", "tests", "tools"):
        compileall.compile_dir(guest.REPOSITORY / folder, quiet=1)
    beside = "PYTEST_XDIST_WORKER" in os.environ
    at_once = 1 if beside else min(os.cpu_count() or 1, _MOST_GUESTS)
    with ThreadPoolExecutor(at_once) as pool:
        yield {file: pool.submit(_run, file, tmp_path_factory.mktemp(file.stem)) for file in files}
        # with -x the rest need not be waited for
        pool.shutdown(cancel_futures=True)


def _run(file: Path, folder: Path) -> guest.Ended:
    return guest.run([sys.executable, *PYTEST, str(file.relative_to(guest.REPOSITORY))], folder)


@pytest.mark.skipif(REASON is not None, reason=f"no user-mode Linux here: {REASON}")
@pytest.mark.parametrize("file", INSIDE, ids=lambda path: path.stem.removeprefix("test_"))
def test_in_the_guest(file: Path, ended: dict[Path, Future[guest.Ended]]) -> None:
    """All tests in it ran and passed; none was skipped, and there was one."""
    status, output = ended[file].result()
    if status != 0:
        pytest.fail(f"status {status} inside\n{output}", pytrace=False)
