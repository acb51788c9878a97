"""Boot user-mode Linux with disks that have quotas, and run a command inside.

``python -m tests.uml.guest COMMAND...`` does so by hand. See the package's docstring.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.uml.init import BEGIN, END

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

REPOSITORY = Path(__file__).resolve().parents[2]
TIMEOUT_S = 600.0
"""Some take a minute; on a machine that does much else, more."""
_INIT = Path(__file__).with_name("init.py")
_PROGRAMS = ("linux.uml", "mkfs.xfs", "mke2fs", "setquota", "repquota")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_QUOTA = ("-O", "quota,project", "-E", "quotatype=usrquota:grpquota:prjquota")
_MIB = 1024 * 1024


class Ended(NamedTuple):
    """How a command inside ended."""

    status: int | None
    """None: it never came to an end."""
    output: str
    """All that it printed; the kernel's messages too where it did not begin."""


def missing() -> str | None:
    """Tell why there can be no guest here; None where there can."""
    lacking = [name for name in _PROGRAMS if shutil.which(name, path=_PATH) is None]
    if lacking:
        return f"not installed: {', '.join(lacking)} (user-mode-linux, xfsprogs, e2fsprogs, quota)"
    return None if os.geteuid() == 0 else "must be root, so that the guest's root is it too"


def run(
    argv: Sequence[str],
    folder: Path,
    *,
    env: Mapping[str, str] | None = None,
    memory_mib: int = 512,
    xfs_mib: int = 512,
    ext4_mib: int = 256,
    timeout_s: float = TIMEOUT_S,
) -> Ended:
    """Boot, run a command there in the repository's folder, and power off; disks lie in folder."""
    disks = _disks(folder, xfs_mib, ext4_mib)
    inside = {
        "PATH": f"{Path(sys.executable).parent}:{_PATH}", "HOME": "/root", "LANG": "C.UTF-8",
        "TMPDIR": "/run/tmp", "PYTHONDONTWRITEBYTECODE": "1", "DS01_UML": "1",
        # of this tree, wherever the environment has it installed from
        "PYTHONPATH": str(REPOSITORY), **(env or {}),
    }  # fmt: skip
    keep = [str(REPOSITORY), *dict.fromkeys((sys.prefix, sys.base_prefix))]
    job = folder / "job.json"
    job.write_text(json.dumps({"argv": argv, "folder": keep[0], "env": inside, "keep": keep}))
    command = [
        "linux.uml", f"mem={memory_mib}M", "rootfstype=hostfs", "rootflags=/", "ro",
        "con=null", "con0=null,fd:1", "quiet", "loglevel=1", f"uml_dir={folder}", *disks,
        f"init={sys.executable}", "--", "-IS", str(_INIT), str(job),
    ]  # fmt: skip
    return _cut(_boot(command, folder / "console", timeout_s))


def _disks(folder: Path, xfs_mib: int, ext4_mib: int) -> list[str]:
    """Make the disks, sparse, and tell the kernel's arguments for them."""
    made = (
        _disk(folder / "xfs", xfs_mib, "mkfs.xfs", "-q"),
        _disk(folder / "ext4", ext4_mib, "mke2fs", "-q", "-t", "ext4", *_QUOTA),
        _disk(folder / "plain", 32, "mke2fs", "-q", "-t", "ext4"),
        # mkfs.xfs makes none smaller
        _disk(folder / "plainxfs", 300, "mkfs.xfs", "-q"),
    )
    return [f"ubd{letter}={path}" for letter, path in zip("abcd", made, strict=True)]


def _disk(path: Path, size_mib: int, *argv: str) -> Path:
    with path.open("wb") as file:
        file.truncate(size_mib * _MIB)
    subprocess.run([*argv, path], env={"PATH": _PATH}, check=True, capture_output=True)
    return path


def _boot(command: Sequence[str], console: Path, timeout_s: float) -> str:
    """Run the kernel to its end, or end it; what it printed."""
    # an end of its own, should we be killed ourselves; on SIGTERM it ends its processes too
    argv = ["timeout", "--kill-after=5", str(timeout_s), *command]
    env = {"PATH": _PATH, "HOME": str(console.parent)}
    with console.open("wb") as file:
        started = subprocess.Popen(
            argv, env=env, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        try:
            started.wait()
        finally:
            # all of the session, for the kernel is several processes
            with suppress(ProcessLookupError):
                os.killpg(started.pid, signal.SIGKILL)
            started.wait()
    return console.read_text(errors="replace").replace("\r\n", "\n")


def _cut(console: str) -> Ended:
    """Find the command's output and status on the console."""
    _, begun, rest = console.partition(BEGIN + "\n")
    output, ended, after = rest.partition(f"\n{END} ")
    if not begun or not ended:
        return Ended(None, console)
    return Ended(int(after.split()[0]), output)


def main() -> None:
    """Run the command line's command inside."""
    reason = missing()
    if reason:
        sys.exit(reason)
    with tempfile.TemporaryDirectory(prefix="ds01-uml-") as name:
        status, output = run(sys.argv[1:], Path(name))
    print(output)
    sys.exit(99 if status is None else status)


if __name__ == "__main__":
    main()
