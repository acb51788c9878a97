"""Each room of the house imports only what the design allows it."""

import ast
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "ds01ctl"
BASE = {"core", "paths", "errors", "files"}
SYSTEM_CALLS = {"fsxattr", "quotactl", "treewalk"}
EVERYTHING = {
    "core", "observe", "act", "report", "config", "commands", "state", "store", "storecare", "lock",
    "eventlog", "run", "paths", "errors", "files", "jobs", "unitfiles", "cron", "fsxattr",
    "quotactl", "treewalk", "cleanupstate", "energystate", "energyhours",
}  # fmt: skip
ALLOWED = {
    "jobs": {"core"},
    "unitfiles": {"jobs", "unitfiles"},
    "cron": {"cron", "core", "errors", "unitfiles"},
    "core": {"core", "jobs"},
    "observe": BASE | SYSTEM_CALLS | {"run", "observe"},
    "act": BASE | SYSTEM_CALLS | {"run", "act"},
    "report": {"core", "files", "report"},
    "config": BASE | {"config", "jobs"},
    "paths": set(),
    "errors": set(),
    "files": set(),
    "run": {"errors"},
    "fsxattr": set(),
    "treewalk": set(),
    "quotactl": {"core", "errors"},
    "store": {"core", "errors"},
    "state": {"store", "core", "paths", "cleanupstate", "quotastate", "energystate"},
    "cleanupstate": {"store", "core"},
    "energystate": {"energyhours", "store", "core"},
    "energyhours": {"store", "core"},
    "quotastate": {"store"},
    "storecare": {"store"},
    "lock": {"errors", "paths"},
    "loglines": set(),
    "eventlog": {"core", "errors", "loglines"},
    "commands": EVERYTHING,
    "commandline": {"commands", "errors", "ds01ctl"},
    "cli": {"commandline", "commands", "report", "errors", "ds01ctl"},
    "__main__": {"cli"},
    "__init__": set(),
}
# what the pure room may not touch even from the standard library
IMPURE = {"os", "pathlib", "time", "subprocess", "socket", "sqlite3", "random", "platform", "pwd"}

MODULES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else path.stem


def imports_of(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            names |= {f"{module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_follow_the_table(path: Path) -> None:
    """The import table of the design holds for every module."""
    room = room_of(path)
    assert room in ALLOWED, f"{room} is not in the table"
    ours = {name.split(".")[1] for name in imports_of(path) if name.startswith("ds01ctl.")}
    ours -= {"__version__"}
    assert ours <= ALLOWED[room]


@pytest.mark.parametrize(
    "path", [p for p in MODULES if room_of(p) in {"core", "cron"}], ids=lambda p: p.stem
)
def test_core_is_pure(path: Path) -> None:
    """Nothing there can read a file, a clock or the environment; nor needs a library for it."""
    tops = {name.split(".")[0] for name in imports_of(path)}
    assert not tops & IMPURE
    assert tops <= {*sys.stdlib_module_names, "ds01ctl"}
