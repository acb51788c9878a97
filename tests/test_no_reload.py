"""Nothing that we say or do reloads systemd: a reload can take the GPUs away from containers."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "ds01ctl").rglob("*.py")),
]
# these reload by themselves unless they are told not to
RELOADING = re.compile(
    r"systemctl(?: --(?!no-reload)\S+)* "
    r"(?:enable|disable|mask|unmask|preset|reenable|link)\b(?! --no-reload)"
)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_hint_reloads(path: Path) -> None:
    found = [match[0] for match in RELOADING.finditer(path.read_text(encoding="utf-8"))]
    assert found == []
