"""Make what is generated: docs/reference, unit files, the example host. `--check` compares."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from ds01ctl.config import describe  # noqa: E402 -- the path is set above
from ds01ctl.core import codec  # noqa: E402
from ds01ctl.unitfiles.files import render  # noqa: E402
from tools import cli_reference, example_host, json_reference, pages  # noqa: E402


def rendered() -> dict[Path, str]:
    """Render every generated file, and the pages that show output."""
    shown = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return {
        **{page: pages.refreshed(page) for page in shown},
        ROOT / "ds01ctl/example/snapshot.json": codec.dump_snapshot(example_host.host()),
        ROOT / "docs/reference/policy.md": describe.reference(),
        ROOT / "docs/reference/commands.md": cli_reference.render(),
        ROOT / "docs/reference/output.schema.json": json_reference.render(),
        **{ROOT / file.source: file.text for file in render()},
    }


def main() -> int:
    """Write the files that differ, or with --check name them and fail."""
    check = "--check" in sys.argv[1:]
    stale = 0
    for path, text in rendered().items():
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale += 1
        print(f"{'stale' if check else 'wrote'}: {path.relative_to(ROOT)}")
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
