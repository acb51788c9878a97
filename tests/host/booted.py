"""Keep the test host as it is right after its boot, so that a test run need not wait for one."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from pathlib import Path

from tests.host import image as images
from tests.host import machine as machines
from tests.host import qemu
from tests.host.containers import IMPORT_IMAGE

# memory fits only the machine that it was saved from
_MADE_BY = (Path(__file__), Path(qemu.__file__))
_UNUSED_S = 24 * 3600


def ready(image: images.Image) -> Path:
    """Return the folder that the booted host can be resumed from; boot it where there is none."""
    folder = image.folder / f"booted-{_key()}"
    with images.alone(image.folder):
        if not folder.exists():
            _sweep(image.folder)
            _boot(image, folder)
        os.utime(folder)
    return folder


def _key() -> str:
    made_by = "\n".join([qemu.version(), IMPORT_IMAGE, *(path.read_text() for path in _MADE_BY)])
    return hashlib.sha256(made_by.encode()).hexdigest()[:16]


def _sweep(folder: Path) -> None:
    """Remove what a killed run left, and machines of yesterday's harness."""
    for old in folder.glob("booted-*"):
        if old.suffix == ".part" or time.time() - old.stat().st_mtime > _UNUSED_S:
            shutil.rmtree(old)


def _boot(image: images.Image, folder: Path) -> None:
    part = folder.with_suffix(".part")
    part.mkdir()
    try:
        with machines.Machine(image) as machine:
            machine.ok("systemctl is-system-running || (systemctl --failed >&2; exit 1)")
            machine.ok(IMPORT_IMAGE)
            machine.save(part)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


if __name__ == "__main__":
    # ahead of time: the tests would do it when the first of them needs it
    print(ready(images.ready()))
