"""The programs of an engine with the newest API that the SDK speaks: a later Debian's.

They lie in a cache outside the tree, and are never installed. runc is the machine's own: a later
one wants a later libc.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.host.image import alone

SUITE = "trixie"
PACKAGES = ("docker.io", "containerd")
_PROGRAMS = (
    "usr/sbin/dockerd",
    "usr/sbin/docker-proxy",
    "usr/bin/containerd",
    "usr/bin/containerd-shim-runc-v2",
)
_FETCH_S = 300


def missing() -> str | None:
    """Say why they cannot be had here; None where they can."""
    if shutil.which("apt-get") is None:
        return "a newer Docker engine is taken from a Debian, and there is no apt-get"
    return None


def programs() -> Path:
    """Return the folder with the programs; fetch them where the cache has none."""
    folder = Path.home() / ".cache/ds01ctl-engine" / SUITE
    with alone(folder.parent):
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
                _fetch(Path(scratch))
                (Path(scratch) / "programs").rename(folder)
    return folder


def _fetch(scratch: Path) -> None:
    """Have apt look into that Debian, with nothing of the machine's own lists touched."""
    (scratch / "sources").write_text(f"deb {_mirror()} {SUITE} main\n")
    options = (
        f"Dir::Etc::sourcelist={scratch}/sources",
        "Dir::Etc::sourceparts=/dev/null",
        f"Dir::State={scratch}/state",
        f"Dir::Cache={scratch}/cache",
        f"Dir::State::status={scratch}/status",
        "APT::Sandbox::User=root",
    )
    for name in ("state/lists/partial", "cache/archives/partial", "programs", "root"):
        (scratch / name).mkdir(parents=True)
    (scratch / "status").touch()
    apt = ["apt-get", "-qq", *(word for option in options for word in ("-o", option))]
    _run([*apt, "update"], scratch)
    _run([*apt, "download", *PACKAGES], scratch)
    for package in scratch.glob("*.deb"):
        _run(["dpkg-deb", "--extract", str(package), str(scratch / "root")], scratch)
    for program in _PROGRAMS:
        (scratch / "root" / program).rename(scratch / "programs" / Path(program).name)


def _mirror() -> str:
    """Tell where this machine has its own packages from."""
    asked = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    told = _run([*asked, "Origin: Debian", "Component: main"], Path("/"))
    return told.split()[0]


def _run(argv: list[str], folder: Path) -> str:
    done = subprocess.run(
        argv,
        cwd=folder,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_FETCH_S,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)} exited with {done.returncode}:\n{done.stderr}")
    return done.stdout
