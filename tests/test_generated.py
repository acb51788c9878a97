"""Generated files are as the code renders them, and docs show what the program prints."""

from pathlib import Path

import pytest

from tools import generate

RENDERED = generate.rendered()


@pytest.mark.parametrize("path", RENDERED, ids=lambda path: str(path.relative_to(generate.ROOT)))
def test_committed_equals_rendered(path: Path) -> None:
    """Run `make generate` when this fails."""
    assert path.read_text(encoding="utf-8") == RENDERED[path]
