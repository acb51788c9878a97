"""Open a root shell on a fresh test host that has the tree's wheel, and that ends with it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.host import booted, image, wheels
from tests.host.host import install_wheel
from tests.host.machine import Machine


def main() -> None:
    """Resume the host, install the wheel, hand over the terminal."""
    reason = image.missing()
    if reason:
        sys.exit(reason)
    ready = image.ready()
    with tempfile.TemporaryDirectory() as folder, Machine(ready, saved=booted.ready(ready)) as host:
        install_wheel(host, wheels.build(Path(folder), build_wheels=ready.build_wheels))
        print("ds01ctl is /opt/ds01ctl/bin/ds01ctl; leaving the shell throws this host away.")
        subprocess.run(host.shell_argv(), check=False)


if __name__ == "__main__":
    main()
